#!/bin/sh
# SPDX-License-Identifier: MIT
# `duplex talk --trace` shows the conversation and never holds it up; `--unbuffer` gets answers out of
# programs that hold them back.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

mkfifo "$work/idle"
exec 3<>"$work/idle"

time='[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z'

# The trace in this file has exactly these lines, but for the times: expect_trace FILE LINE…
expect_trace() {
    traced=$1
    shift
    printf '%s\n' "$@" >"$work/expected"
    sed -E "s/^(-->|<--|---) $time/\1/; s/pid [0-9]+/pid N/" "$traced" >"$work/traced"
    ! grep -vqE "^(-->|<--|---) $time " "$traced" || fail "there is a line without a time"
    cmp -s "$work/expected" "$work/traced" || {
        cat "$work/traced"
        fail "the trace is another"
    }
}

# One question, and one answer a moment later, so that the order is certain.
# shellcheck disable=SC2016
answer='read -r line; sleep 0.2; echo "re: $line"; printf "\\001\\\\\\tcaf\\303\\251 \\377\\033[2J"; cat'
printf 'hello\n' >"$work/in"

check "--trace - shows each line of the conversation on standard error"
run "$DUPLEX" talk --trace - -- sh -c "$answer" <"$work/in"
expect_status 0
expect_trace "$work/err" "--- start sh, pid N" '--> 6 hello\n' '--> end' '<-- 10 re: hello\n' \
    '<-- 14 \x01\\\tcafé \xff\x1b[2J' '<-- end' '--- sh: exited with status 0'

check "--trace=FILE adds to a file, for its owner alone"
run "$DUPLEX" talk --trace="$work/trace" -- sort <"$work/in"
expect_status 0
expect_silence
expect_output hello
run "$DUPLEX" talk --trace="$work/trace" -- false <&3
expect_trace "$work/trace" "--- start sort, pid N" '--> 6 hello\n' '--> end' '<-- 6 hello\n' \
    '<-- end' '--- sort: exited with status 0' "--- start false, pid N" '<-- end' \
    '--- false: exited with status 1'
[ "$(stat -c %a "$work/trace")" = 600 ] || fail "others may read it"

check "a question without a newline is shown when nothing follows it"
mkfifo "$work/answers"
: >"$work/err"
timeout -k 5 30 "$DUPLEX" talk --trace - -- sh -c 'printf "name? "; exec cat' <"$work/answers" \
    >"$work/out" 2>"$work/err" 3<&- &
talk_pid=$!
exec 4>"$work/answers"
tries=0
until grep -qE "^<-- $time 6 name\? $" "$work/err"; do
    tries=$((tries + 1))
    [ $tries -le 200 ] || fail "it is not shown"
    sleep 0.05
done
exec 4>&-
wait $talk_pid || fail "it ended with $?"

check "messages are shown as such, in whatever form they travel"
printf '{"id":1}\n' >"$work/in"
run "$DUPLEX" talk --trace - --framing content-length -- \
    sh -c 'head -c 30 >/dev/null; printf "Content-Length: 4\r\n\r\na\nb\n"' <"$work/in"
expect_status 0
grep -qE "^--> $time 8 \{\"id\":1\}\$" "$work/err" || fail "the question is not shown"
grep -qE "^<-- $time 4 a\\\\nb\\\\n\$" "$work/err" || fail "the answer is not shown"

check "a long message is cut, and its size told"
head -c 100000 /dev/zero | tr '\0' x >"$work/in"
echo >>"$work/in"
run "$DUPLEX" talk --trace - -- cat <"$work/in"
expect_status 0
expect_output_of "$work/in"
grep -qE "^--> $time [0-9]+ x{800}\.\.\. \([0-9]+ bytes more\)\$" "$work/err" ||
    fail "it is not cut as promised"
# A line this long may come in pieces, each of which is told.
[ "$(awk '$1 == "-->" && $3 != "end" {
    size += $3
    told += gsub(/x/, "", $4)
    if (sub(/^\(/, "", $5)) told += $5
} END { print size, told }' "$work/err")" = "100001 100001" ] || fail "its size is not told"

check "each line of a trace is one that a pipe keeps whole"
head -c 50000 /dev/urandom >"$work/random"
run "$DUPLEX" talk --trace - -- cat <"$work/random"
expect_output_of "$work/random"
[ "$(wc -L <"$work/err")" -lt 4096 ] || fail "a line is too long"
! grep -qP '[\x00-\x09\x0b-\x1f\x7f]' "$work/err" || fail "a control character is shown as it is"

seq 1 300000 >"$work/many"

check "a trace that nobody reads holds nothing up, and what it leaves out is counted"
mkfifo "$work/unread"
exec 4<>"$work/unread"
status=0
timeout -k 5 30 "$DUPLEX" talk --trace - -- cat <"$work/many" >"$work/out" 2>&4 || status=$?
expect_status 0
expect_output_of "$work/many"
exec 4>&-
{
    # shellcheck disable=SC2016
    timeout -k 5 30 "$DUPLEX" talk --trace - -- sh -c 'cat "$1"; sleep 1; echo last' sh "$work/many" \
        3>&1 >"$work/out" 2>&3 3>&- </dev/null
} | {
    sleep 0.7
    cat
} >"$work/err"
grep -qE "^--- $time lines left out because nobody took them: [1-9][0-9]*\$" "$work/err" ||
    fail "it is not told what was left out"
grep -qE "^<-- $time 5 last\\\\n\$" "$work/err" || fail "it does not go on"
! grep -vE "^(-->|<--|---) $time " "$work/err" || fail "a line is broken"

check "a disk that is full is told once, and holds nothing up"
run "$DUPLEX" talk --trace=/dev/full -- cat <"$work/many"
expect_status 0
expect_output_of "$work/many"
[ "$(cat "$work/err")" = \
    "duplex: cannot write the trace, and goes on without: No space left on device" ] ||
    fail "the sentence is another"

check "a reader of the trace that leaves is no reason to stop"
{
    timeout -k 5 30 "$DUPLEX" talk --trace - -- cat <"$work/many" 3>&1 >"$work/out" 2>&3 3>&-
    echo $? >"$work/status"
} | head -n 1 >"$work/err"
status=$(cat "$work/status")
expect_status 0
expect_output_of "$work/many"

check "a trace that cannot be written is an error at once"
for file in "$work/no/such" "$work"; do
    run "$DUPLEX" talk --trace="$file" -- cat </dev/null
    expect_status 125
    expect_error "duplex: cannot write the trace to '$file': "
done

# Programs that hold their output back.

check "--unbuffer has each line answered at once by a program that collects its output by the block"
mkfifo "$work/questions" "$work/replies"
timeout -k 5 30 "$DUPLEX" talk --unbuffer -- tr '[:lower:]' '[:upper:]' <"$work/questions" >"$work/replies" \
    2>"$work/err" 3<&- &
talk_pid=$!
exec 4>"$work/questions" 5<"$work/replies"
for question in one two; do
    echo $question >&4
    read -r reply <&5
    [ "$reply" = "$(echo $question | tr '[:lower:]' '[:upper:]')" ] || fail "'$question' was answered '$reply'"
done
exec 4>&-
wait $talk_pid || fail "it ended with $?"
exec 5<&-

check "without it the same program is silent until the deadline, and the remedy is named"
mkfifo "$work/one_line"
exec 4<>"$work/one_line"
echo question >&4
run "$DUPLEX" talk --timeout 0.7 -- tr '[:lower:]' '[:upper:]' <&4
expect_status 124
expect_error "duplex: 'tr' took what it was sent, and then was silent for 0.7 s"
expect_error "--unbuffer"

check "whoever has used it is not told of it"
echo question >&4
run "$DUPLEX" talk --timeout 0.7 --unbuffer -- sh -c 'read -r line; sleep 60' <&4
exec 4>&-
expect_status 124
! grep -q -e --unbuffer "$work/err" || fail "the remedy was tried already"

check "--unbuffer changes nothing else"
run "$DUPLEX" talk --unbuffer -- sh -c 'cat; exit 3' <"$work/random"
expect_status 3
expect_output_of "$work/random"
run "$DUPLEX" talk --unbuffer -- "$work/nope" </dev/null
expect_status 127

check "a stdbuf that is missing is told by name"
mkdir "$work/empty"
run env PATH="$work/empty" "$DUPLEX" talk --unbuffer -- cat </dev/null
expect_status 125
expect_error "duplex: cannot start 'cat' unbuffered: stdbuf(1), which --unbuffer needs, was not found"

exec 3>&-
finish
