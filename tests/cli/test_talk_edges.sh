#!/bin/sh
# SPDX-License-Identifier: MIT
# Where `duplex talk` was once not what it should be: each check failed before it was mended.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

check "an input that cannot be read is an end, as nohup(1) makes it"
run "$DUPLEX" talk -- sh -c 'sleep 0.3; echo on' 0>/dev/null
expect_status 0
expect_output on
expect_silence

check "a program that closes its input has the whole timeout for its end"
sleep 2 | run "$DUPLEX" talk --timeout 1 -- sh -c 'sleep 1.3; exec <&-; sleep 0.4; echo ok'
# The pipeline runs in a subshell of which only the files are left.
expect_output ok
[ ! -s "$work/err" ] || fail "it was stopped"

# Start talk, send it SIGTERM twice, and wait.
mkfifo "$work/never"
exec 3<>"$work/never"
check "a second signal does not take the last words away"
: >"$work/out"
env --default-signal=INT,TERM,HUP,PIPE "$DUPLEX" talk --grace 3 -- \
    sh -c 'trap "sleep 1; echo goodbye; exit" TERM; echo hello; while :; do sleep 0.1; done' \
    <&3 >"$work/out" 2>"$work/err" &
talk_pid=$!
wait_for "$work/out"
kill -TERM $talk_pid
sleep 0.1
kill -TERM $talk_pid || fail "it did not wait for the last words"
status=0
wait $talk_pid || status=$?
expect_status 143
expect_output hello goodbye

check "after the end of its input SIGTERM reaches a program at once"
printf 'x' >"$work/in"
interrupt TERM 1.5 "$DUPLEX" talk --grace 1 -- \
    sh -c 'cat >/dev/null; trap "echo asked; exit" TERM; while :; do sleep 0.05; done' <"$work/in"
expect_status 143
expect_output asked
expect_within 2300
expect_no_process

check "stdbuf(1) does not take the program's name for an option of its own"
mkdir "$work/bin"
printf '#!/bin/sh\necho by name\n' >"$work/bin/-i"
chmod +x "$work/bin/-i"
PATH=$work/bin:$PATH run "$DUPLEX" talk --unbuffer -- -i </dev/null
expect_status 0
expect_output "by name"

check "a descriptor number beyond the limit of open files is named"
run "$DUPLEX" talk --handover fds:1000000,4 -- cat </dev/null
expect_status 125
expect_error "number 1000000"

exec 3>&-

check "in the background of a terminal it does not ask for input, and is not stopped"
if command -v python3 >/dev/null; then
    run python3 - "$DUPLEX" <<'PYTHON'
import os, pty, sys, time, signal

child, terminal = pty.fork()
if child == 0:
    # A shell with job control: the command gets a group of its own, which is not the foreground's.
    worker = os.fork()
    if worker == 0:
        os.setpgid(0, 0)
        os.execv(sys.argv[1], ["duplex", "talk", "--", "sleep", "1"])
    try:
        os.setpgid(worker, worker)
    except PermissionError:
        pass # it is the command already, and has done so itself
    print("ready", flush=True)
    _, status = os.waitpid(worker, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        os.killpg(worker, signal.SIGKILL)
    print("stopped" if os.WIFSTOPPED(status) else "ended %d" % os.WEXITSTATUS(status), flush=True)
    os._exit(0)
time.sleep(0.3)
os.write(terminal, b"typed\n")
said = b""
try:
    while True:
        said += os.read(terminal, 1000)
except OSError:
    pass
os.waitpid(child, 0)
sys.exit(0 if b"ended 0" in said else "it said %r" % said)
PYTHON
    expect_status 0
    expect_no_process
else
    echo "skipped: the background of a terminal: python3 was not found"
fi

finish
