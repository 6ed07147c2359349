#!/bin/sh
# SPDX-License-Identifier: MIT
# `duplex talk --framing` converses in messages that are lines on its own side, each framing with the
# bytes that its programs expect, and `--handover` gives the program its end in the way it expects.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

native=${DUPLEX_PROGRAMS:?}/program_native
mkfifo "$work/idle"
exec 3<>"$work/idle"

# A line becomes these bytes, and these bytes become that line: expect_form FRAMING LINE BYTES.
expect_form() {
    check "$1 is what its programs speak"
    # shellcheck disable=SC2059
    printf "$3" >"$work/form"
    printf '%s\n' "$2" >"$work/in"
    # shellcheck disable=SC2016
    run "$DUPLEX" talk --framing "$1" -- sh -c 'cat >"$1"' sh "$work/taken" <"$work/in"
    expect_status 0
    expect_silence
    cmp -s "$work/form" "$work/taken" ||
        fail "the program got something else: $(od -An -c "$work/taken" | head -n 3)"
    run "$DUPLEX" talk --framing "$1" -- cat "$work/form" </dev/null
    expect_status 0
    expect_silence
    expect_output "$2"
}

expect_form line hello 'hello\n'
expect_form netstring hello '5:hello,'
expect_form netstring '' '0:,'
expect_form u8 hello '\005hello'
expect_form u16 hello '\000\005hello'
expect_form u32 hello '\000\000\000\005hello'
expect_form python hello '\000\000\000\005hello'
expect_form content-length '{"id":1}' 'Content-Length: 8\r\n\r\n{"id":1}'
expect_form pkt-line hello '000ahello\n'
expect_form raw hello 'hello\n'

check "nul is NULs on both sides"
printf 'one\0two\nlines\0\0' >"$work/in"
run "$DUPLEX" talk --framing nul -- cat <"$work/in"
expect_status 0
expect_output_of "$work/in"

check "git's packets without data are the four digits that they are on the wire"
printf '%s\n' 'command=ls-refs' 0001 peel 0000 0002 >"$work/in"
# shellcheck disable=SC2016
run "$DUPLEX" talk --framing pkt-line -- sh -c 'tee "$1"' sh "$work/taken" <"$work/in"
expect_status 0
expect_output_of "$work/in"
printf '0014command=ls-refs\n00010009peel\n00000002' >"$work/form"
cmp -s "$work/form" "$work/taken" || fail "the program got something else"

for framing in line netstring u16 u32 python content-length pkt-line; do
    check "many messages of $framing go there and back at once"
    [ -s "$work/many" ] || seq 1 20000 >"$work/many"
    run "$DUPLEX" talk --framing $framing -- cat <"$work/many"
    expect_status 0
    expect_output_of "$work/many"
done

check "a message that the framing cannot carry is refused by name, and nothing of it leaves"
head -c 300 /dev/zero | tr '\0' x >"$work/in"
# shellcheck disable=SC2016
run "$DUPLEX" talk --framing u8 -- sh -c 'cat >"$1"' sh "$work/taken" <"$work/in"
expect_status 125
expect_error "duplex: cannot send to 'sh': "
[ ! -s "$work/taken" ] || fail "something left"
expect_no_process

check "a program that breaks the framing is told of, and stopped"
run "$DUPLEX" talk --framing netstring -- sh -c 'echo nonsense; exec sleep 60' <&3
expect_status 125
expect_error "duplex: cannot understand 'sh': "
expect_within 8000
expect_no_process

check "a program that ends in the middle of a message is told of"
run "$DUPLEX" talk --framing u32 -- printf '\0\0\0\5hel' <&3
expect_status 125
expect_error "duplex: cannot understand 'printf': "

check "a line over the limit is refused with a sentence"
head -c 16777217 /dev/zero | tr '\0' x >"$work/in"
run "$DUPLEX" talk --framing line -- cat <"$work/in"
expect_status 125
expect_error "16777216 bytes"
expect_no_process

check "a last line without a newline counts, both ways"
printf 'one\n\nthree' >"$work/in"
run "$DUPLEX" talk --framing line -- cat <"$work/in"
expect_status 0
expect_output one "" three

check "a reader that leaves ends a conversation in messages at once, without a word"
{
    run_status=0
    timeout -k 5 30 "$DUPLEX" talk --framing line -- sh -c 'echo a; echo b; exec sleep 60' <&3 \
        2>"$work/err" || run_status=$?
    echo $run_status >"$work/status"
} | head -n 2 >"$work/out"
expect_output a b
expect_silence
status=$(cat "$work/status")
expect_status 141
expect_no_process

# Handovers.

# A program that answers one line on the descriptors $r and $w.
# shellcheck disable=SC2016
answer='read -r line <&$r; echo "re: $line" >&$w'
echo hello >"$work/in"

# expect_handover HANDOVER PROGRAM…
expect_handover() {
    handover=$1
    shift
    check "the handover $handover"
    run "$DUPLEX" talk --framing line --handover "$handover" -- "$@" <"$work/in"
    expect_status 0
    expect_output "re: hello"
}

expect_handover stdio sh -c "[ -S /dev/stdin ] && r=0 w=1; $answer"
expect_silence
expect_handover pipes sh -c "[ -p /dev/stdin ] && r=0 w=1; $answer"
expect_silence
expect_handover env sh -c "r=\$DUPLEX_FD w=\$r; $answer; echo aside; cat"
expect_error aside
expect_handover env:MY_FD sh -c "r=\$MY_FD w=\$r; $answer; echo \"\${DUPLEX_FD-unset}\""
expect_error unset
expect_handover fds sh -c "r=3 w=4; $answer; echo aside"
expect_error aside
expect_handover fds:6,5 sh -c "r=6 w=5; $answer"
# shellcheck disable=SC2016
listen='[ $LISTEN_FDS = 1 ] && [ $LISTEN_PID = $$ ] && r=3 w=3; echo "$LISTEN_FDNAMES" >&2'
expect_handover listen sh -c "$listen; $answer"
expect_error duplex
expect_handover listen:talk sh -c "$listen; $answer"
expect_error talk
expect_handover argv sh -c "r=\$1 w=\$1; $answer" sh '{fd}'

check "bytes can be handed over in each way too"
head -c 300000 /dev/urandom >"$work/random"
for handover in stdio pipes; do
    run "$DUPLEX" talk --handover $handover -- cat <"$work/random"
    expect_status 0
    expect_output_of "$work/random"
done
run "$DUPLEX" talk --handover fds -- sh -c 'cat <&3 >&4' <"$work/random"
expect_status 0
expect_output_of "$work/random"

if command -v python3 >/dev/null; then
    check "a Python program with a Connection, by argv"
    cat >"$work/connection.py" <<'PYTHON'
import sys
from multiprocessing.connection import Connection
with Connection(int(sys.argv[1])) as parent:
    try:
        while True:
            parent.send_bytes(parent.recv_bytes().upper())
    except EOFError:
        print("over")
PYTHON
    run "$DUPLEX" talk --framing python --handover argv -- python3 "$work/connection.py" '{fd}' \
        <"$work/many"
    expect_status 0
    expect_output_of "$work/many"
    expect_error over

    check "a server with a header for each message"
    cat >"$work/server.py" <<'PYTHON'
import json, sys
while header := sys.stdin.buffer.readline():
    size = int(header.split(b":")[1])
    sys.stdin.buffer.readline()
    request = json.loads(sys.stdin.buffer.read(size))
    answer = json.dumps({"id": request["id"], "result": request["method"].upper()}).encode()
    sys.stdout.buffer.write(b"Content-Type: text\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
    sys.stdout.buffer.flush()
PYTHON
    printf '%s\n' '{"id": 1, "method": "one"}' '{"id": 2, "method": "two"}' >"$work/in"
    run "$DUPLEX" talk --framing content-length -- python3 "$work/server.py" <"$work/in"
    expect_status 0
    expect_output '{"id": 1, "result": "ONE"}' '{"id": 2, "result": "TWO"}'
    expect_silence
fi

if command -v node >/dev/null && [ -z "${DUPLEX_SANITIZE:-}" ]; then
    check "a program for Node's fork()"
    echo 'process.on("message", (m) => { process.send({got: m}); console.log("aside"); })' \
        >"$work/child.mjs"
    printf '%s\n' '{"a":[1,2]}' '"text"' >"$work/in"
    mkfifo "$work/node_in" "$work/node_out"
    timeout -k 5 30 "$DUPLEX" talk --framing node -- node "$work/child.mjs" <"$work/node_in" \
        >"$work/node_out" 2>"$work/err" 3<&- &
    talk_pid=$!
    exec 4>"$work/node_in" 5<"$work/node_out"
    # Node takes the end of input for the end of all, so it comes after the answers.
    for message in '{"a":[1,2]}' '"text"'; do
        echo "$message" >&4
        read -r answer <&5
        [ "$answer" = "{\"got\":$message}" ] || fail "'$message' was answered '$answer'"
    done
    exec 4>&-
    wait $talk_pid || fail "it ended with $?"
    exec 5<&-
    expect_error aside
fi

# Children that speak the native frames.

check "native messages come out as lines, and what the program prints stays apart"
printf 'one\n\nthree' >"$work/in"
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

check "many native messages go there and back at once"
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
