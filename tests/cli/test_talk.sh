#!/bin/sh
# SPDX-License-Identifier: MIT
# `duplex talk` relays lines both ways at once and loses none, passes the end of input and the exit
# status on, bounds its memory, and leaves no process, however either side behaves.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

native=${DUPLEX_PROGRAMS:?}/program_native

# An input that never ends and never says anything: descriptor 3.
mkfifo "$work/idle"
exec 3<>"$work/idle"

input() {
    printf '%b' "$1" >"$work/in"
}

check "lines come back, empty ones and a last one without newline too"
input 'one\n\ntwo\n\n\nthree'
run "$DUPLEX" talk -- cat <"$work/in"
expect_status 0
expect_output one "" two "" "" three
expect_silence

check "no input is no line"
run "$DUPLEX" talk -- cat </dev/null
expect_status 0
expect_output
run "$DUPLEX" talk -- cat <&-
expect_status 0
expect_output

check "a reply without a newline at the end is a line"
run "$DUPLEX" talk -- printf 'a\n\nb' </dev/null
expect_status 0
expect_output a "" b

check "bytes are left as they are"
input 'caf\0303\0251 \0001\0002\t\r\n\0377\0376 nul:\0000.\n'
run "$DUPLEX" talk -- cat <"$work/in"
expect_status 0
expect_output_of "$work/in"

check "standard error of the program stays apart"
run "$DUPLEX" talk -- sh -c 'echo data; echo remark >&2' </dev/null
expect_status 0
expect_output data
expect_error remark

check "each line is answered before the next is asked"
mkfifo "$work/questions" "$work/answers"
timeout -k 5 30 "$DUPLEX" talk -- sed -u 's/^/re: /' <"$work/questions" >"$work/answers" 3<&- &
talk_pid=$!
exec 4>"$work/questions" 5<"$work/answers"
for question in one two three; do
    echo $question >&4
    read -r answer <&5
    [ "$answer" = "re: $question" ] || fail "'$question' was answered '$answer'"
done
exec 4>&-
! read -r answer <&5 || fail "there was one answer too many: '$answer'"
exec 5<&-
status=0
wait $talk_pid || status=$?
expect_status 0

check "the program may speak first"
run "$DUPLEX" talk --timeout 10 -- sh -c 'echo ready; read -r line; echo "got $line"' <<LINES
go
LINES
expect_status 0
expect_output ready "got go"

# The end of input.

check "a program that answers only at the end of input is waited for"
input 'pear\napple\nfig'
run "$DUPLEX" talk -- sort <"$work/in"
expect_status 0
expect_output apple fig pear
run "$DUPLEX" talk -- wc -l <"$work/in"
expect_output 3
run "$DUPLEX" talk -- sh -c 'cat >/dev/null; sleep 0.4; echo late; sleep 0.2; echo later' <"$work/in"
expect_status 0
expect_output late later

check "a program that ends while input stays open ends it all"
run "$DUPLEX" talk -- sh -c 'echo bye; exit 3' <&3
expect_status 3
expect_output bye
expect_silence
expect_within 3000

check "a program that takes no input does not make the rest an error"
run sh -c 'yes | "$1" talk -- head -n 1; exit $?' sh "$DUPLEX"
expect_status 0
expect_output y
expect_silence
run sh -c 'yes | "$1" talk -- true' sh "$DUPLEX"
expect_status 0
expect_output

check "a program that closes its end and lives on is waited for"
run "$DUPLEX" talk -- sh -c 'echo over; exec <&- >&-; sleep 0.5; exit 4' </dev/null
expect_status 4
expect_output over
[ "$elapsed_ms" -ge 500 ] || fail "it was not waited for"

check "what a program says just before it dies is not lost"
i=0
while [ $i -lt 20 ]; do
    # shellcheck disable=SC2016
    run "$DUPLEX" --quiet talk -- sh -c 'seq 1 2000; kill -KILL $$' <&3
    expect_status 137
    [ "$(tail -n 1 "$work/out")" = 2000 ] || fail "the last line was lost"
    i=$((i + 1))
done

# The exit status.

check "the exit status is the program's"
for code in 0 1 3 124 255; do
    run "$DUPLEX" talk -- sh -c "exit $code" </dev/null
    expect_status $code
    expect_silence
done

check "a program that a signal ended is 128 and the signal, with a sentence"
# shellcheck disable=SC2016
run "$DUPLEX" talk -- sh -c 'kill -KILL $$' </dev/null
expect_status 137
expect_error "duplex: 'sh' was killed by SIGKILL"
# shellcheck disable=SC2016
run "$DUPLEX" talk -- sh -c 'kill -TERM $$' </dev/null
expect_status 143
expect_error "duplex: 'sh' was killed by SIGTERM"

check "--quiet keeps that sentence back"
# shellcheck disable=SC2016
run "$DUPLEX" talk --quiet -- sh -c 'kill -KILL $$' </dev/null
expect_status 137
expect_silence

check "a deadline that passes is 124, with a sentence"
input 'anybody there?'
run "$DUPLEX" talk --timeout 0.5 -- sleep 60 <"$work/in"
expect_status 124
expect_error "duplex: 'sleep'"
expect_within 8000
[ "$elapsed_ms" -ge 500 ] || fail "the deadline came early"
expect_no_process

check "a program that holds back its answer is named with the remedy"
mkfifo "$work/one_line"
exec 4<>"$work/one_line"
echo question >&4
run "$DUPLEX" talk --timeout 0.5 -- sh -c 'read -r line; sleep 60' <&4
exec 4>&-
expect_status 124
expect_error "stdbuf -oL"
expect_no_process

check "only a silence in which something is owed counts for the deadline"
mkfifo "$work/slow_questions"
timeout -k 5 30 "$DUPLEX" talk --timeout 0.5 -- cat <"$work/slow_questions" >"$work/out" \
    2>"$work/err" 3<&- &
talk_pid=$!
exec 4>"$work/slow_questions"
for question in one two; do
    sleep 0.9
    echo $question >&4
done
exec 4>&-
status=0
wait $talk_pid || status=$?
expect_status 0
expect_output one two

check "progress puts the deadline off"
run "$DUPLEX" talk --timeout 0.6 -- sh -c 'for i in 1 2 3 4; do sleep 0.3; echo $i; done' </dev/null
expect_status 0
expect_output 1 2 3 4

# Much of everything.

seq 1 760000 | head -c 5000000 >"$work/many"
echo >>"$work/many"

check "5 MB of lines go there and back at once"
run "$DUPLEX" talk -- cat <"$work/many"
expect_status 0
expect_output_of "$work/many"

check "long lines go there and back"
# Lines of 1 byte, 10 bytes, … 10 MB.
for size in 1 10 100 1000 10000 100000 1000000 10000000; do
    head -c $size /dev/zero | tr '\0' x
    echo
done >"$work/long"
run "$DUPLEX" talk -- cat <"$work/long"
expect_status 0
expect_output_of "$work/long"

check "a line over the limit is refused with a sentence"
head -c 16777217 /dev/zero | tr '\0' x >"$work/in"
run "$DUPLEX" talk -- cat <"$work/in"
expect_status 125
expect_error "16777216 bytes"
expect_no_process

check "a slow reader loses nothing"
started_ms=$(now_ms)
timeout -k 5 30 "$DUPLEX" talk -- cat <"$work/many" 2>"$work/err" | {
    sleep 1
    cat
} >"$work/out"
expect_output_of "$work/many"

# An endless flow in memory that could not hold it. A sanitizer reserves more than that by itself.
if [ -z "${DUPLEX_SANITIZE:-}" ]; then
    check "input that the program does not take stays where it is"
    run sh -c 'ulimit -v 150000; yes | "$1" talk -- sleep 2' sh "$DUPLEX"
    expect_status 0
    expect_silence

    check "output that nobody takes stays where it is"
    run sh -c 'ulimit -v 150000; yes | "$1" talk -- yes | { sleep 2; head -n 2; }' sh "$DUPLEX"
    expect_output y y
    expect_silence

    # A second of processor time in two seconds of waiting would be a loop that never sleeps.
    check "waiting takes no processor time, whoever is waited for"
    for program in "sleep 2" "exec <&- >&-; sleep 2" "exec >&-; cat >/dev/null; sleep 2" \
        "yes | head -c 1000000; sleep 2"; do
        run sh -c 'ulimit -t 1; exec "$1" talk -- sh -c "$2" >"$3"' \
            sh "$DUPLEX" "$program" "$work/ignored" </dev/null
        expect_status 0
    done
    mkfifo "$work/unread"
    exec 4<>"$work/unread"
    reach=--foreground interrupt TERM 2 \
        sh -c 'ulimit -t 1; exec "$1" talk -- sh -c "yes | head -c 1000000" >&4' sh "$DUPLEX" <&3
    exec 4>&-
    expect_status 143
fi
expect_no_process

# Standard input and output that fail.

check "a reader that leaves ends it, without a word"
{
    run_status=0
    timeout -k 5 30 "$DUPLEX" talk -- sh -c 'sleep 60 & exec yes' <&3 2>"$work/err" || run_status=$?
    echo $run_status >"$work/status"
} | head -n 3 >"$work/out"
expect_output y y y
expect_silence
status=$(cat "$work/status")
expect_status 141
expect_no_process

check "a full disk is told"
status=0
timeout -k 5 30 "$DUPLEX" talk -- cat <"$work/many" >/dev/full 2>"$work/err" || status=$?
expect_status 125
expect_error "duplex: cannot write to standard output: No space left on device"

check "an input that cannot be read is told"
run "$DUPLEX" talk -- cat <"$work"
expect_status 125
expect_error "duplex: cannot read standard input: Is a directory"

# Signals, and children that will not go.

for reach in --foreground ""; do
    for signal in INT:130 TERM:143 HUP:129; do
        check "SIG${signal%:*} stops it${reach:+, sent to duplex alone}"
        interrupt "${signal%:*}" 0.3 "$DUPLEX" talk -- cat <&3
        expect_status "${signal#*:}"
        expect_silence
        expect_within 5000
        expect_no_process
    done
done

check "what the program still says when it is stopped is not lost"
reach=--foreground interrupt TERM 0.3 "$DUPLEX" talk -- sh -c 'cat >/dev/null; echo last words' <&3
expect_status 143
expect_output "last words"

check "a program that ignores SIGTERM is stopped too"
reach=--foreground interrupt TERM 0.3 "$DUPLEX" talk -- \
    sh -c 'trap "" TERM; while :; do sleep 0.1; done' <&3
expect_status 143
expect_within 10000
expect_no_process

check "a program that ignores everything, and its children, are stopped too"
reach=--foreground interrupt INT 0.3 "$DUPLEX" talk -- \
    sh -c 'trap "" TERM INT HUP; sleep 60 & sleep 60 & while :; do wait; done' <&3
expect_status 130
expect_within 10000
expect_no_process

check "a program that has stopped itself is stopped for good"
# shellcheck disable=SC2016
reach=--foreground interrupt TERM 0.3 "$DUPLEX" talk -- sh -c 'kill -STOP $$' <&3
expect_status 143
expect_within 10000
expect_no_process

check "a reader that does not read cannot keep it from stopping"
mkfifo "$work/stalled"
exec 4<>"$work/stalled"
status=0
started_ms=$(now_ms)
timeout --foreground --preserve-status -k 15 -s TERM 1 "$DUPLEX" talk -- yes <&3 >&4 \
    2>"$work/err" || status=$?
elapsed_ms=$(($(now_ms) - started_ms))
exec 4>&-
expect_status 143
expect_within 8000
expect_no_process

check "a grandchild that holds the conversation open cannot hide the end, and goes too"
run "$DUPLEX" talk -- sh -c 'sleep 60 & echo hi; exit 5' <&3
expect_status 5
expect_output hi
expect_within 5000
expect_no_process

check "a duplex that is killed takes the program with it"
"$DUPLEX" talk -- sleep 60 <&3 >"$work/out" 2>"$work/err" &
talk_pid=$!
sleep 0.3
[ "$(marked_processes | wc -l)" -ge 2 ] || fail "there was nothing to take"
kill -KILL $talk_pid
wait $talk_pid 2>/dev/null || true
expect_no_process

# Children that speak the native frames.

check "native messages come out as lines, and what the program prints stays apart"
input 'one\n\nthree'
run "$DUPLEX" talk --framing native -- "$native" loud <"$work/in"
expect_status 0
expect_output one "" three
[ "$(grep -c seen "$work/err")" = 3 ] || fail "what it printed did not come on standard error"

check "a native message with a newline in it is printed as it is"
run "$DUPLEX" talk --framing native -- "$native" newline </dev/null
expect_status 0
expect_output two lines ""

check "a native program that answers at the end is waited for"
run "$DUPLEX" talk --framing native -- "$native" late <"$work/many"
expect_status 0
expect_output "$(wc -l <"$work/many")"

check "a native program that has said everything still hears"
run "$DUPLEX" talk --framing native -- "$native" first <"$work/many"
expect_status 7
expect_output

check "5 MB of native messages go there and back at once"
run "$DUPLEX" talk --framing native -- "$native" echo <"$work/many"
expect_status 0
expect_output_of "$work/many"

check "a program that breaks the protocol is told of, and stopped"
run "$DUPLEX" talk --framing native -- "$native" garbage <&3
expect_status 125
expect_error "duplex: cannot understand '$native': "
expect_within 8000
expect_no_process

check "a program that ends in the middle of a message is told of"
run "$DUPLEX" talk --framing native -- "$native" cut <&3
expect_status 125
expect_error "duplex: cannot understand '$native': "

exec 3>&-
finish
