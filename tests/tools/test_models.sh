#!/bin/sh
# SPDX-License-Identifier: MIT
# The check of the models passes a model that holds, and fails for each way in which one may not.
set -eu

for program in python3 spin gcc; do
    if ! command -v "$program" >/dev/null; then
        echo "skipped: tools_models: $program is missing"
        exit 77
    fi
done

work=$(mktemp -d "$DUPLEX_BUILD/models.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tools" "$work/tests/models"
cp "$DUPLEX_SOURCE/tools/models" "$work/tools/models"

# model RUNS STATEMENTS: a model of one process that counts to STEPS.
model() {
    {
        echo "/*"
        echo "$1" | sed 's/^/ * /'
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
bug: BUG_ONE_MORE'

model "$runs" "$holds"
expect 0 "1 models, 2 searches of "
expect 0 "1 planted bugs: as it must be"

model "$runs" "assert(counter < 4)"
expect 1 "count: STEPS=4: FAILED: assertion violated (counter<4)"

model "$runs" "assert(counter <= STEPS)"
expect 1 "count: BUG_ONE_MORE: FAILED: the planted bug was NOT caught"

model "$runs" "false"
expect 1 "count: STEPS=3: FAILED: invalid end state"

model "run: -DSTEPS=3" "if
:: counter == 3
:: counter == 4 -> counter = 0
fi"
expect 1 ": no run reaches "

model "run: -DSTEPS=3
run: -DSTEPS=4" "if
:: counter == 3
:: counter == 4 -> counter = 0
fi"
expect 0 "as it must be"

model "run: -DSTEPS=3" "if
:: counter == 3
:: counter == 4 -> counter = 0 /* unreached */
fi"
expect 0 "as it must be"

model "live: -DSTEPS=3" "end: do
:: counter = 1 - (counter % 2)
od"
expect 1 "non-progress cycle"

model "run: -DSTEPS=3" "this is no Promela"
expect 1 "spin failed"
