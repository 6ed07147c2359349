#!/bin/sh
# SPDX-License-Identifier: MIT
# `duplex talk` relays bytes both ways at once and loses none, passes the end of input and the exit
# status on, and leaves no process, however either side behaves.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

# An input that never ends and never says anything: descriptor 3.
mkfifo "$work/idle"
exec 3<>"$work/idle"

input() {
    printf '%b' "$1" >"$work/in"
}

check "bytes come back as they went"
for text in 'one\n\ntwo\n\n\nthree' 'caf\0303\0251 \0001\0002\t\r\n\0377\0376 nul:\0000.\n' '\0000' '\n' 'x'; do
    input "$text"
    run "$DUPLEX" talk -- cat <"$work/in"
    expect_status 0
    expect_output_of "$work/in"
    expect_silence
done

check "no input is nothing"
run "$DUPLEX" talk -- cat </dev/null
expect_status 0
expect_output
run "$DUPLEX" talk -- cat <&-
expect_status 0
expect_output

check "a reply without a newline at the end is left without one"
run "$DUPLEX" talk -- printf 'a\n\nb' </dev/null
expect_status 0
printf 'a\n\nb' >"$work/expected"
expect_output_of "$work/expected"

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
expect_output 2
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
expect_error "'sh' took what it was sent, and then was silent for 0.5 s"
expect_error "--unbuffer"
expect_no_process

check "a program that has read nothing is not said to hold back its answer"
mkfifo "$work/not_taken"
exec 4<>"$work/not_taken"
echo question >&4
run "$DUPLEX" talk --timeout 0.5 -- sleep 60 <&4
exec 4>&-
expect_status 124
expect_error "'sleep' has not taken all that it was sent"
! grep -q unbuffer "$work/err" || fail "the hint is wrong here"

check "questions that keep coming do not put the deadline of the first answer off"
status=0
{ for i in 1 2 3 4 5 6 7 8 9; do
    echo "$i" || break
    sleep 0.2
done; } 2>/dev/null | timeout -k 5 30 "$DUPLEX" talk --timeout 0.7 -- tail -n 1 \
    >"$work/out" 2>"$work/err" || status=$?
expect_status 124
expect_error "--unbuffer"

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
seq 1 100000 >"$work/many"
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

exec 3>&-
finish
