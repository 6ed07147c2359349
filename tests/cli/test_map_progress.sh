#!/bin/sh
# SPDX-License-Identifier: MIT
# `duplex map` shows how it goes on a terminal, on one line that gives way to everything else, and
# nowhere else.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

worker=${DUPLEX_PROGRAMS:?}/program_worker

if ! script --version >"$work/version" 2>&1 || ! grep -q util-linux "$work/version"; then
    echo "skipped: map_progress: script(1) of util-linux is missing"
    exit 77
fi

# Run the command with standard error on a terminal, whose output is kept with a line for each return
# of its cursor: on_terminal ARGUMENTS…, quoted for a shell.
on_terminal() {
    status=0
    timeout -k 5 30 script -qec "stty cols 70; '$DUPLEX' map $* <'$work/in' >'$work/out'" /dev/null \
        </dev/null >"$work/terminal" 2>&1 || status=$?
    tr '\r' '\n' <"$work/terminal" | sed 's/\x1b\[K/<wipe>/g' >"$work/err"
}

for i in 1 2 3 4 5 6 7 8; do echo "wait 10$i"; done >"$work/in"

check "progress is shown: how many are done and failed, how fast, restarts, share, the time left"
on_terminal "-j 1 --depth 1 -- '$worker'"
expect_status 0
expect_output_of "$work/in"
grep -qE '^<wipe>duplex: [0-9]+ done, [0-9.]+/s, 0 failed, 0 restarts, [0-9]+ %, 0:00:0[0-9] left$' \
    "$work/err" || fail "it is not shown"
[ "$(grep -c 'left$' "$work/err")" -le 8 ] || fail "it is shown more than five times a second"

check "it gives way to sentences, to the summary and to what workers say"
sed -i 's/wait 103/exit 3/' "$work/in"
on_terminal "-j 1 --depth 1 -- sh -c 'sleep 0.3; echo starting >&2; exec \"\$0\"' '$worker'"
expect_status 1
grep -qx '<wipe>starting' "$work/err" || fail "what the worker says is not on a line of its own"
grep -qx '<wipe>duplex: job 3 failed: the worker exited with status 3: exit 3' "$work/err" ||
    fail "the sentence is not on a line of its own"
grep -qE '^<wipe>duplex: 8 jobs: 7 done, 1 failed; ' "$work/err" ||
    fail "the summary is not on a line of its own"

check "it is as long as the terminal is wide, and no longer"
! grep -E '^<wipe>duplex: [0-9]+ done' "$work/err" | sed 's/<wipe>//' | grep -qE '.{70}' ||
    fail "it is longer"

check "nothing is shown if that is asked for, or where no terminal is"
on_terminal "-q -j 1 --depth 1 -- '$worker'"
expect_status 1
expect_silence
on_terminal "-j 1 --depth 1 -- '$worker' 2>'$work/words'"
expect_silence
! grep -q 'left$' "$work/words" || fail "it was shown in a file"
grep -q '^duplex: 8 jobs: ' "$work/words" || fail "there is no summary"

finish
