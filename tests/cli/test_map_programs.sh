#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs that know nothing of duplex are workers of `duplex map` as they are.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

seq 1 300 >"$work/in"

# expect_answers SED-COMMAND: what the jobs become.
expect_answers() {
    sed "$1" "$work/in" >"$work/expected"
    expect_status 0
    expect_silence
    expect_output_of "$work/expected"
}

# has PROGRAM: else it is passed over.
has() {
    command -v "$1" >"$work/ignored" && return
    echo "passed over: $1 is missing"
    return 1
}

for handover in pipes stdio; do
    check "cat, by $handover"
    run "$DUPLEX" map -q -j 2 --handover $handover -- cat <"$work/in"
    expect_answers ''

    check "sed -u, by $handover"
    run "$DUPLEX" map -q -j 2 --handover $handover -- sed -u 's/^/a/' <"$work/in"
    expect_answers 's/^/a/'

    check "grep by the line, where each line matches, by $handover"
    run "$DUPLEX" map -q -j 2 --handover $handover -- grep --line-buffered '' <"$work/in"
    expect_answers ''

    check "a shell, by $handover"
    # shellcheck disable=SC2016
    run "$DUPLEX" map -q -j 2 --handover $handover -- \
        sh -c 'while read -r job; do echo "re: $job"; done' <"$work/in"
    expect_answers 's/^/re: /'

    if has python3; then
        check "python3 -u, by $handover"
        cat >"$work/worker.py" <<'END'
import sys
for line in sys.stdin:
    print(int(line) + 1000)
END
        run "$DUPLEX" map -q -j 2 --handover $handover -- python3 -u "$work/worker.py" <"$work/in"
        awk '{ print $1 + 1000 }' "$work/in" >"$work/expected"
        expect_status 0
        expect_output_of "$work/expected"
    fi
done

if has stdbuf && has tr; then
    check "a program that collects its output by the block, under stdbuf -oL"
    seq 1 300 | sed 's/^/a/' >"$work/in"
    run "$DUPLEX" map -q -j 2 -- stdbuf -oL tr a b <"$work/in"
    expect_answers 's/a/b/'
    seq 1 300 >"$work/in"
fi

if has jq; then
    check "jq --unbuffered"
    run "$DUPLEX" map -q -j 2 -- jq --unbuffered -c '{n: .}' <"$work/in"
    expect_answers 's/.*/{"n":&}/'
fi

if has bc; then
    check "bc -l"
    run "$DUPLEX" map -q -j 2 -- bc -ql <"$work/in"
    expect_answers ''
fi

# mawk reads its input by the block, and so would wait for more of it.
if has gawk; then
    check "awk, which says fflush() itself"
    # shellcheck disable=SC2016
    run "$DUPLEX" map -q -j 2 -- gawk '{ print $1 "!"; fflush() }' <"$work/in"
    expect_answers 's/$/!/'
fi

if has node; then
    check "a script for Node, by lines"
    cat >"$work/worker.js" <<'END'
require('readline').createInterface({ input: process.stdin })
    .on('line', (line) => console.log(line + '!'))
END
    run "$DUPLEX" map -q -j 2 -- node "$work/worker.js" <"$work/in"
    expect_answers 's/$/!/'

    check "a script for Node, by its own messages"
    cat >"$work/worker.js" <<'END'
process.on('message', (message) => process.send({ got: message }))
END
    run "$DUPLEX" map -q -j 2 --framing node -- node "$work/worker.js" <"$work/in"
    expect_answers 's/.*/{"got":&}/'
fi

finish
