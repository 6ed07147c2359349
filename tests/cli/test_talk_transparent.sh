#!/bin/sh
# SPDX-License-Identifier: MIT
# `duplex talk -- PROGRAM` changes nothing that PROGRAM or whoever started it could see: neither of
# the bytes, nor of how the ends of both directions and their failures reach the other side.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

mkfifo "$work/idle"
exec 3<>"$work/idle"

check "5 MB of any bytes go there and back"
head -c 5000000 /dev/urandom >"$work/random"
run "$DUPLEX" talk -- cat <"$work/random"
expect_status 0
expect_output_of "$work/random"
expect_silence

check "each direction by itself takes any bytes"
run "$DUPLEX" talk -- cat "$work/random" </dev/null
expect_status 0
expect_output_of "$work/random"
# shellcheck disable=SC2016
run "$DUPLEX" talk -- sh -c 'cat >"$1"' sh "$work/taken" <"$work/random"
expect_status 0
expect_output
cmp -s "$work/random" "$work/taken" || fail "the program got something else"

check "bytes between pipes, which give and take as they like"
run sh -c 'cat "$2" | "$1" talk -- cat | cat' sh "$DUPLEX" "$work/random"
expect_status 0
expect_output_of "$work/random"

check "half a line is there at once, both ways"
mkfifo "$work/questions" "$work/answers"
timeout -k 5 30 "$DUPLEX" talk -- sh -c 'printf "name? "; head -c 3; printf "!"; exec cat' \
    <"$work/questions" >"$work/answers" 2>"$work/err" 3<&- &
talk_pid=$!
exec 4>"$work/questions" 5<"$work/answers"
[ "$(head -c 6 <&5)" = "name? " ] || fail "the question did not come"
printf eve >&4
[ "$(head -c 4 <&5)" = "eve!" ] || fail "the answer did not come"
exec 4>&-
wait $talk_pid || fail "it ended with $?"
exec 5<&-

check "the standard descriptors can be opened by name"
echo hello >"$work/in"
# shellcheck disable=SC2016
run "$DUPLEX" talk -- sh -c 'cat /dev/stdin >/dev/stdout; cat /proc/self/fd/0' <"$work/in"
expect_status 0
expect_output hello

check "they are pipes, as most programs that start servers give them"
run "$DUPLEX" talk -- sh -c '[ -p /dev/stdin ] && [ -p /dev/stdout ]' </dev/null
expect_status 0

check "standard error is the very same"
status=0
# shellcheck disable=SC2016
timeout 20 "$DUPLEX" talk -- sh -c 'readlink /proc/$$/fd/2' </dev/null >"$work/out" 2>"$work/err" ||
    status=$?
expect_status 0
expect_output "$(readlink -f "$work/err")"

check "the environment is the same"
env | grep -v '^_=' | sort >"$work/expected"
run "$DUPLEX" talk -- env </dev/null
grep -v '^_=' "$work/out" | sort >"$work/sorted"
cmp -s "$work/expected" "$work/sorted" || fail "it is not: $(diff "$work/expected" "$work/sorted")"

check "further descriptors are passed on, and no others"
echo inherited >"$work/five"
# shellcheck disable=SC2016
run sh -c 'exec "$1" talk -- sh -c "cat <&5; cat /dev/fd/7" 5<"$2" 7<"$2"' sh "$DUPLEX" "$work/five" \
    </dev/null
expect_status 0
expect_output inherited inherited
# shellcheck disable=SC2016
descriptors='for fd in /proc/self/fd/*; do [ -e "$fd" ] && echo "$fd"; done'
sh -c "$descriptors" sh </dev/null >"$work/expected" 3<&- 5<"$work/five"
run "$DUPLEX" talk -- sh -c "$descriptors" sh </dev/null 3<&- 5<"$work/five"
expect_output_of "$work/expected"

check "a descriptor that was passed on is the program's alone"
mkfifo "$work/passed"
# The reader sees the end when the program, not when duplex ends.
"$DUPLEX" talk -- sh -c 'echo x >&6; exec 6>&-; cat >/dev/null' <&3 3<&- 6>"$work/passed" \
    >"$work/out" 2>"$work/err" &
talk_pid=$!
run timeout 10 cat "$work/passed" 3<&-
expect_status 0
expect_output x
kill $talk_pid
wait $talk_pid || true

check "a program that takes no more input is noticed by who feeds it, while it lives"
# shellcheck disable=SC2016
run sh -c '{ (trap "" PIPE; yes 2>/dev/null); date +%s%N >"$2/fed"; } |
    "$1" talk -- sh -c "exec <&-; sleep 1; date +%s%N >$2/ended"' sh "$DUPLEX" "$work"
expect_status 0
[ "$(cat "$work/fed")" -lt "$(cat "$work/ended")" ] || fail "it was fed to its end"

check "even if nothing is being sent to it"
# shellcheck disable=SC2016
run sh -c '{ sleep 0.3; (trap "" PIPE; sleep 0.3; echo x) 2>/dev/null || echo refused >"$2/refused"; } |
    "$1" talk -- sh -c "exec <&-; sleep 1.5"' sh "$DUPLEX" "$work"
expect_status 0
[ -s "$work/refused" ] || fail "its input was still taken"

check "a program that says no more is noticed by who hears it, while it lives"
# shellcheck disable=SC2016
run sh -c '"$1" talk -- sh -c "echo all; exec >&-; sleep 1; date +%s%N >$2/ended" |
    { cat; date +%s%N >"$2/heard"; }' sh "$DUPLEX" "$work" <&3
expect_output all
[ "$(cat "$work/heard")" -lt "$(cat "$work/ended")" ] || fail "the end came with the program's own"

check "a reader that leaves is noticed by the program when it says something, and not before"
# shellcheck disable=SC2016
run sh -c '{ "$1" talk -- sh -c "trap \"\" PIPE; echo one; sleep 0.5; echo \$(date +%s%N) >$2/alive
    echo two || echo refused >$2/unread; exit 9"; echo $? >"$2/status"; } | head -n 1' \
    sh "$DUPLEX" "$work" <&3 2>/dev/null
expect_output one
[ -s "$work/alive" ] || fail "the program was not left to go on"
[ -s "$work/unread" ] || fail "the program could still write"
status=$(cat "$work/status")
expect_status 9

check "a program that is ended by SIGPIPE then is, without a word"
# shellcheck disable=SC2016
run sh -c '{ "$1" talk -- yes; echo $? >"$2/status"; } | head -n 1' sh "$DUPLEX" "$work" <&3
expect_output y
expect_silence
status=$(cat "$work/status")
expect_status 141

check "a closed standard output is told only if something is said"
status=0
timeout 20 "$DUPLEX" talk -- cat </dev/null >&- 2>"$work/err" || status=$?
expect_status 0
expect_silence
status=0
timeout 20 "$DUPLEX" talk -- echo x </dev/null >&- 2>"$work/err" || status=$?
expect_status 125
expect_error "duplex: cannot write to standard output: Bad file descriptor"

check "descriptors that do not block, and that others made so, are no trouble"
if command -v python3 >/dev/null; then
    cat >"$work/nonblocking.py" <<'PYTHON'
import os, subprocess, sys, threading
data = open(sys.argv[2], "rb").read()
read_in, write_in = os.pipe()
read_out, write_out = os.pipe()
for end in read_in, write_out:
    os.set_blocking(end, False)
talk = subprocess.Popen([sys.argv[1], "talk", "--", "cat"], stdin=read_in, stdout=write_out)
os.close(read_in)
os.close(write_out)
def feed():
    with open(write_in, "wb") as file:
        file.write(data)
threading.Thread(target=feed).start()
with open(read_out, "rb") as file:
    heard = file.read()
sys.exit(talk.wait() or heard != data)
PYTHON
    run python3 "$work/nonblocking.py" "$DUPLEX" "$work/random"
    expect_status 0
    expect_silence

    check "on a terminal it works line by line, and Ctrl-D and Ctrl-C do what they should"
    cat >"$work/terminal.py" <<'PYTHON'
import os, pty, sys
def start():
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(sys.argv[1], [sys.argv[1], "talk", "--", "sed", "-u", "s/^/re: /"])
    return pid, fd
def ask(fd):
    os.write(fd, b"one\n")
    seen = b""
    while b"re: one" not in seen:
        seen += os.read(fd, 1000)
for key, status in (b"\x04", 0), (b"\x03", 130):
    pid, fd = start()
    ask(fd)
    os.write(fd, key)
    try:
        while os.read(fd, 1000):
            pass
    except OSError:
        pass
    end = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(fd)
    assert end == status, (key, end)
PYTHON
    run python3 "$work/terminal.py" "$DUPLEX"
    expect_status 0
fi

exec 3>&-
finish
