#!/bin/sh
# SPDX-License-Identifier: MIT
# `duplex demo`: father and child really converse, in alternation, at the pace asked for, on all three
# types, and however it ends, nobody is left.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

child="child-->father:i am your child"
father="father-->child:i am your father"

for type in stream dgram seqpacket; do
    check "the two alternate on a $type"
    run "$DUPLEX" demo -n 4 -i 0 --type $type
    expect_status 0
    expect_output "$child" "$father" "$child" "$father" "$child" "$father" "$child" "$father"
    expect_silence
done

check "a thousand rounds alternate"
run "$DUPLEX" demo --rounds 1000 --interval 0
expect_status 0
i=0
while [ $i -lt 1000 ]; do
    printf '%s\n%s\n' "$child" "$father"
    i=$((i + 1))
done >"$work/thousand"
expect_output_of "$work/thousand"

check "a round begins each interval, in fractions of a second"
run "$DUPLEX" demo -n 4 -i 0.2
expect_status 0
[ "$elapsed_ms" -ge 600 ] || fail "4 rounds at 0.2 s took only $elapsed_ms ms"
expect_within 5000

check "without options it goes on, once a second, until it is stopped"
reach=--foreground interrupt INT 1.5 "$DUPLEX" demo
expect_status 130
expect_output "$child" "$father" "$child" "$father"

check "each line of JSON tells who said what, and when"
run "$DUPLEX" demo -n 2 -i 0 --json
expect_status 0
[ "$(wc -l <"$work/out")" = 4 ] || fail "there are not 4 lines"
if command -v python3 >/dev/null; then
    python3 - "$work/out" <<'PYTHON' || fail "the JSON is not as promised"
import datetime, json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert [line["direction"] for line in lines] == ["child-->father", "father-->child"] * 2, lines
assert [line["text"] for line in lines] == ["i am your child", "i am your father"] * 2, lines
assert [line["round"] for line in lines] == [1, 1, 2, 2], lines
times = [datetime.datetime.strptime(line["time"], "%Y-%m-%dT%H:%M:%S.%fZ") for line in lines]
assert times == sorted(times), times
PYTHON
fi

for reach in --foreground ""; do
    for signal in INT:130 TERM:143 HUP:129; do
        check "SIG${signal%:*} stops it${reach:+, sent to the father alone}"
        interrupt "${signal%:*}" 0.4 "$DUPLEX" demo -i 0.1
        expect_status "${signal#*:}"
        expect_silence
        grep -qxF -e "$father" "$work/out" || fail "there was no conversation"
        expect_within 5000
        expect_no_process
    done
done

check "an ignored signal stays ignored, as nohup wants"
reach=--foreground interrupt HUP 0.2 env --ignore-signal=HUP "$DUPLEX" demo -n 5 -i 0.1
expect_status 0
[ "$(wc -l <"$work/out")" = 10 ] || fail "SIGHUP stopped it"

check "lines come at once, and a reader who leaves ends it, though the next round is far"
started_ms=$(now_ms)
{
    run_status=0
    timeout -k 5 30 "$DUPLEX" demo -i 60 2>"$work/err" || run_status=$?
    echo $run_status >"$work/status"
} | head -n 2 >"$work/out"
elapsed_ms=$(($(now_ms) - started_ms))
expect_output "$child" "$father"
expect_within 5000
status=$(cat "$work/status")
expect_status 141
expect_silence
expect_no_process

check "a reader who leaves ends it at full speed too"
{
    run_status=0
    timeout -k 5 30 "$DUPLEX" demo -i 0 2>"$work/err" || run_status=$?
    echo $run_status >"$work/status"
} | head -n 101 >"$work/out"
[ "$(wc -l <"$work/out")" = 101 ] || fail "there are not 101 lines"
status=$(cat "$work/status")
expect_status 141
expect_silence
expect_no_process

check "a reader who does not read cannot keep it from stopping"
mkfifo "$work/stalled"
exec 3<>"$work/stalled"
timeout 0.5 cat /dev/zero >&3 || true # until the pipe is full
status=0
started_ms=$(now_ms)
# --foreground: else a SIGCONT follows, which undoes the stop by which the sanitizer of leaks looks around.
timeout --foreground --preserve-status -k 15 -s TERM 1 "$DUPLEX" demo -i 0 >&3 2>"$work/err" || status=$?
elapsed_ms=$(($(now_ms) - started_ms))
exec 3>&-
expect_status 143
expect_within 6000
expect_no_process

check "a full disk is told"
status=0
timeout -k 5 30 "$DUPLEX" demo -n 2 -i 0 >/dev/full 2>"$work/err" || status=$?
expect_status 125
expect_error "duplex: cannot write to standard output: No space left on device"

check "a closed standard output is told"
status=0
timeout -k 5 30 "$DUPLEX" demo -n 2 -i 0 >&- 2>"$work/err" || status=$?
expect_status 125
expect_error "duplex: cannot write to standard output: Bad file descriptor"

children_of() {
    cat "/proc/$1/task/$1/children" 2>/dev/null || true
}

check "a father who is killed takes the child with him, even one that cannot see it"
: >"$work/out"
"$DUPLEX" demo -i 0.1 >"$work/out" 2>"$work/err" &
father_pid=$!
wait_for "$work/out"
child_pid=$(children_of $father_pid)
[ -z "$child_pid" ] || kill -STOP "$child_pid"
kill -KILL $father_pid
wait $father_pid 2>/dev/null || true
expect_no_process

for type in stream dgram seqpacket; do
    check "a child that is killed is told of, by name of the signal, on a $type"
    : >"$work/out"
    "$DUPLEX" demo -i 0.1 --type $type >"$work/out" 2>"$work/err" &
    father_pid=$!
    wait_for "$work/out"
    child_pid=$(children_of $father_pid)
    if [ -n "$child_pid" ]; then
        kill -KILL "$child_pid"
        status=0
        wait $father_pid || status=$?
        expect_status 137
        expect_error "duplex: the child was killed by SIGKILL"
    else
        kill -TERM $father_pid
        wait $father_pid || true
    fi
    expect_no_process
done

check "a child that hangs does not keep the father from stopping"
: >"$work/out"
"$DUPLEX" demo -i 0.1 >"$work/out" 2>"$work/err" &
father_pid=$!
wait_for "$work/out"
child_pid=$(children_of $father_pid)
[ -z "$child_pid" ] || kill -STOP "$child_pid"
kill -TERM $father_pid
status=0
wait $father_pid || status=$?
expect_status 143
expect_no_process

for wrong in "-n 0" "-n x" "-n -1" "-n 1x" "-i -1" "-i x" "-i 1e9" "--type pipe" "word" "--wrong"; do
    check "it refuses: demo $wrong"
    # shellcheck disable=SC2086
    run "$DUPLEX" demo $wrong
    expect_status 125
    expect_output
    expect_error "duplex demo:"
    expect_error "--help"
done

finish
