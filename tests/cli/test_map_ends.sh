#!/bin/sh
# SPDX-License-Identifier: MIT
# However a `duplex map` ends, its exit status says so, a sentence says why, and nothing is left.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

worker=${DUPLEX_PROGRAMS:?}/program_worker
mkfifo "$work/idle"
exec 3<>"$work/idle"

# Options.

for arguments in "" "--" "--dance cat" "-j 0 cat" "-j x cat" "-j 5000 cat" "-j 10%% cat" \
    "--framing raw cat" "--input node cat" "--output native cat" "--depth 0 cat" \
    "--depth 1025 cat" "--retries -1 cat" "--timeout 0 cat" "--recycle 0 cat" \
    "--recycle-memory 1X cat" "--halt soon cat" "--halt soon,fail=0 cat" "--halt now,done=5% cat" \
    "--ready soon cat" "--ready greeting cat" "--ready-timeout 0 cat" "--joblog= cat" \
    "--fail-file= cat" "--resume cat" "--resume-failed cat" "--tag --output netstring cat" \
    "--handover pigeon cat" "--handover argv cat"; do
    check "'map $arguments' is an error that says how to go on"
    # shellcheck disable=SC2086
    run "$DUPLEX" map $arguments </dev/null
    expect_status 125
    expect_output
    expect_error "duplex map: "
    expect_error "--help"
done

check "what would be right is told"
expect_refusal() {
    # shellcheck disable=SC2086
    run "$DUPLEX" map $1 cat </dev/null
    expect_status 125
    expect_error "$2"
}
expect_refusal "-j 0" "from 1 to 4096, or a percentage of the processors, as in 50%, not '0'"
expect_refusal "--framing raw" "pkt-line or node, not 'raw'"
expect_refusal "--input node" "content-length or pkt-line, not 'node'"
expect_refusal "--halt soon" "as in soon,fail=1, not 'soon'"
expect_refusal "--resume" "need the joblog"
expect_refusal "--depth 0" "a number from 1 to 1024, not '0'"

for arguments in "map --help" "help map"; do
    check "'$arguments' explains the command"
    # shellcheck disable=SC2086
    run "$DUPLEX" $arguments
    expect_status 0
    grep -qF "Usage: duplex map" "$work/out" || fail "it does not"
    grep -qF "exit status" "$work/out" || fail "it does not tell the exit status"
    expect_silence
done

for number in 1 2 50% 1000%; do
    check "-j $number is a number of workers"
    echo job >"$work/in"
    run "$DUPLEX" map -q -j $number -- cat <"$work/in"
    expect_status 0
    expect_output job
done

# A program that does not start.

check "a program that is not found, or cannot be executed"
run "$DUPLEX" map -- duplex-no-such-program <&3
expect_status 127
expect_output
expect_error "duplex: cannot start 'duplex-no-such-program': No such file or directory"
: >"$work/plain"
run "$DUPLEX" map -- "$work/plain" <&3
expect_status 126
expect_output
expect_error "Permission denied"

# The input.

check "input that ends in the middle of a message: what came before is done"
printf '3:one,3:two,5:th' >"$work/in"
run "$DUPLEX" map --input netstring --output line -- "$worker" <"$work/in"
expect_status 125
expect_output one two
expect_error "duplex: cannot read standard input after job 2: "
expect_error "in the middle of a message"

check "input that is not in its framing"
printf '3:one,x:two,' >"$work/in"
run "$DUPLEX" map --input netstring --output line -- "$worker" <"$work/in"
expect_status 125
expect_output one
expect_error "duplex: cannot read standard input after job 1: "

check "a line over the limit"
{
    echo one
    head -c 16777217 /dev/zero | tr '\0' x
    echo
    echo three
} >"$work/in"
run "$DUPLEX" map -- cat <"$work/in"
expect_status 125
expect_output one
expect_error "16777216 bytes"

check "input that cannot be read"
run "$DUPLEX" map -- cat <"$work"
expect_status 125
expect_error "duplex: cannot read standard input: "
run sh -c 'exec "$@" <&-' sh "$DUPLEX" map -q -- cat
expect_status 0
expect_output

# The output.

check "a standard output that is closed is an error before any job is done"
seq 1 10 >"$work/in"
run sh -c 'exec "$@" >&-' sh "$DUPLEX" map -- "$worker" -s "$work/seen" <"$work/in"
expect_status 125
expect_error "duplex: cannot write to standard output: it is closed"
[ ! -e "$work/seen" ] || fail "jobs were done"

check "a reader that leaves ends the run, even while all are busy, and is told of"
{
    status=0
    {
        echo one
        yes hang
    } | timeout -k 5 30 "$DUPLEX" map -j 2 --depth 1 -- "$worker" \
        2>"$work/err" 3<&- || status=$?
    echo $status >"$work/status"
} | head -n 1 >"$work/out"
expect_output one
status=$(cat "$work/status")
expect_status 141
expect_error "duplex: nobody reads standard output any more"
expect_no_process

# --halt.

{
    echo "exit 1"
    for i in 1 2 3 4 5 6 7 8 9; do echo $i; done
    echo "exit 1"
    echo last
} >"$work/in"

check "never halted, all that can be done is done"
run "$DUPLEX" map -j 1 --halt never -- "$worker" <"$work/in"
expect_status 1
expect_output 1 2 3 4 5 6 7 8 9 last

check "halted now after a failure, nothing more is done"
run "$DUPLEX" map -j 1 --depth 1 --halt now,fail=1 -- "$worker" <"$work/in"
expect_status 1
expect_output
expect_error "duplex: halted after 1 failure"
run "$DUPLEX" map -j 1 --depth 1 --halt now,fail=2 -- "$worker" <"$work/in"
expect_status 1
expect_output 1 2 3 4 5 6 7 8 9
expect_no_process

check "halted soon, what has begun is finished, and the rest is not begun"
printf '%s\n' 'exit 1' 'wait 300' 'wait 301' 'wait 302' 'wait 303' >"$work/in"
run "$DUPLEX" map -j 2 --depth 1 --halt soon,fail=1 -- "$worker" <"$work/in"
expect_status 1
grep -qx 'wait 300' "$work/out" || fail "what had begun was not finished"
! grep -q 'wait 303' "$work/out" || fail "the rest was begun"
expect_error "duplex: halted after 1 failure; jobs that have begun are finished"

check "halted after successes, the status is that of the jobs that ended"
seq 1 1000 >"$work/in"
run "$DUPLEX" map -j 1 --depth 1 --halt now,success=3 -- "$worker" <"$work/in"
expect_status 0
expect_output 1 2 3
run "$DUPLEX" map -j 1 --depth 1 --halt now,done=4 -- "$worker" <"$work/in"
expect_status 0
expect_output 1 2 3 4

check "halted at a share of failures"
printf '%s\n' 1 2 3 'exit 1' 'exit 1' 'exit 1' 7 8 >"$work/in"
run "$DUPLEX" map -j 1 --depth 1 --halt now,fail=50% -- "$worker" <"$work/in"
expect_status 1
expect_output 1 2 3
expect_error "halted after 3 failures"

check "halted, a joblog lets another run do the rest"
seq 1 20 >"$work/in"
run "$DUPLEX" map -q -j 1 --depth 1 --halt now,done=5 --joblog "$work/log" -- "$worker" \
    <"$work/in"
expect_output 1 2 3 4 5
run "$DUPLEX" map -q -j 1 --resume --joblog "$work/log" -- "$worker" <"$work/in"
seq 6 20 >"$work/expected"
expect_output_of "$work/expected"

# Signals.

for signal in INT TERM HUP; do
    check "SIG$signal ends all workers and what they have started, and the summary is told"
    {
        echo one
        yes hang | head -n 100
    } >"$work/in"
    # shellcheck disable=SC2016
    interrupt $signal 0.5 "$DUPLEX" map -j 3 -u --depth 1 -- \
        sh -c 'trap "" HUP INT; sleep 300 & exec "$0"' "$worker" <"$work/in" 3<&-
    case $signal in
    INT) expect_status 130 ;;
    TERM) expect_status 143 ;;
    *) expect_status 129 ;;
    esac
    expect_output one
    expect_error "1 job: 1 done, 0 failed"
    expect_no_process
done

check "workers that ignore SIGTERM are killed"
yes hang | head -n 100 >"$work/in"
# shellcheck disable=SC2016
interrupt INT 0.3 "$DUPLEX" map -q -j 2 -- sh -c 'trap "" INT TERM; exec "$0"' "$worker" \
    <"$work/in" 3<&-
expect_status 130
expect_within 8000
expect_no_process

check "a signal is heard while nobody takes the output"
mkfifo "$work/unread"
exec 4<>"$work/unread"
status=0
yes | timeout --foreground -k 10 -s TERM 1 "$DUPLEX" map -q -j 2 -- "$worker" >&4 2>"$work/err" 3<&- ||
    status=$?
exec 4>&-
expect_status 124
expect_no_process

check "if duplex is killed, its workers are, and all that is in their groups"
# shellcheck disable=SC2016
"$DUPLEX" map -q -j 3 -- sh -c 'trap "" HUP INT TERM; sleep 300 & (sleep 300 & wait) & exec "$0"' \
    "$worker" <"$work/in" >"$work/out" 2>"$work/err" 3<&- &
running=$!
wait_for_processes 14
kill -KILL $running
wait $running 2>/dev/null || true
expect_no_process

exec 3<&-
finish
