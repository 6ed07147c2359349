#!/bin/sh
# SPDX-License-Identifier: MIT
# The check of the models passes a model that holds, and fails for each way in which one may not.
set -eu

for program in python3 spin gcc tcc; do
    if ! command -v "$program" >/dev/null; then
        echo "skipped: tools_models: $program is missing"
        exit 77
    fi
done

work=$(mktemp -d "$DUPLEX_BUILD/models.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tools" "$work/tests/models"
cp "$DUPLEX_SOURCE/tools/models" "$work/tools/models"
cp "$DUPLEX_SOURCE/tests/models/memory.pml" "$work/tests/models"

sizes="sizes: 1 process, STEPS steps"

# model RUNS STATEMENTS: a model of one process that counts to STEPS.
model() {
    {
        echo "/*"
        printf '%s\n\n%s\n' "$sizes" "$1" | sed 's/^/ * /'
        echo " */"
        echo "#ifndef STEPS"
        echo "#define STEPS 3"
        echo "#endif"
        echo "byte counter;"
        echo "init {"
        echo "do"
        echo ":: counter < STEPS -> counter++"
        echo ":: else -> break"
        echo "od;"
        echo "$2"
        echo "}"
    } >"$work/tests/models/count.pml"
}

# expect STATUS TEXT: the check ends so, and says so.
expect() {
    status=0
    said=$("$work/tools/models" "$work/build" 2>&1) || status=$?
    case $status:$said in
    "$1:"*"$2"*) ;;
    *)
        echo "expected $1 and '$2', got $status: $said"
        exit 1
        ;;
    esac
}

holds='#ifdef BUG_ONE_MORE
counter++;
#endif
assert(counter == STEPS)'
runs='run: -DSTEPS=3
run: -DSTEPS=4
bug: BUG_ONE_MORE -DSTEPS=3'

model "$runs" "$holds"
expect 0 "2 searches took "
expect 0 "1 planted bugs caught, 0 failed"

model "run: -DSTEPS=4
bug: BUG_ONE_MORE -DSTEPS=3" "$holds"
expect 1 "nobody looks whether that holds without the bug"

model "run: -DSTEPS=3" "$holds"
expect 1 "BUG_ONE_MORE is planted and not looked for"

model "run: -DSTEPS=3" "assert(counter == STEPS)"
expect 1 "has no planted bug"

sizes=
model "$runs" "$holds"
expect 1 "does not say its sizes"
sizes="sizes: 1 process, STEPS steps"

model "$runs" "assert(counter < 4)"
expect 1 "count: STEPS=4: FAILED: assertion violated (counter<4)"

model "$runs" "assert(counter <= STEPS)"
expect 1 "count: BUG_ONE_MORE STEPS=3: FAILED: the planted bug was NOT caught"

model "$runs" "false"
expect 1 "count: STEPS=3: FAILED: invalid end state"

model "run: -DSTEPS=3
bug: BUG_ONE_MORE -DSTEPS=3" "$holds;
if
:: counter == 3
:: counter == 4 -> counter = 0
fi"
expect 1 ": no run reaches "

model "$runs" "$holds;
if
:: counter == 3
:: counter == 4 -> counter = 0
fi"
expect 0 "0 failed"

model "run: -DSTEPS=3
bug: BUG_ONE_MORE -DSTEPS=3" "$holds;
if
:: counter == 3
:: counter == 4 -> counter = 0 /* unreached */
fi"
expect 0 "0 failed"

model "live: -DSTEPS=3" "end: do
:: counter = 1 - (counter % 2)
od"
expect 1 "non-progress cycle"

model "run: -DSTEPS=3" "this is no Promela"
expect 1 "spin failed"
