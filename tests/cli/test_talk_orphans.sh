#!/bin/sh
# SPDX-License-Identifier: MIT
# Of what `duplex talk` started nothing outlives the conversation: not when its client is killed, not
# when it is killed itself, and not if the program and its children ignore all that can be ignored.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

# A server that ignores the end of its input, SIGHUP, SIGINT and SIGTERM, with children that do too.
# It says its own pid first.
stubborn='trap "" HUP INT TERM; sleep 300 & (sleep 300 & wait) & echo $$; while :; do wait; done'

mkfifo "$work/to" "$work/from" "$work/idle"
exec 3<>"$work/idle"

# Start a conversation with an own client, who hears the first line: start_with_client PROGRAM…
# The descriptors of the client are its own, as those of a program that started a server.
start_with_client() {
    "$DUPLEX" talk -- "$@" <"$work/to" >"$work/from" 2>"$work/err" 3<&- &
    talk_pid=$!
    # shellcheck disable=SC2016
    sh -c 'exec 8>"$1/to" 9<"$1/from" 3<&-; read -r line <&9; echo "$line" >"$1/ready"
        exec sleep 300' sh "$work" &
    client_pid=$!
    wait_for "$work/ready"
    rm "$work/ready"
}

# Processes that are left besides those given.
others() {
    for process in $(marked_processes); do
        case " $* " in *" $process "*) ;; *) echo "$process" ;; esac
    done
}

# Nothing may be left a second later: expect_gone_within MILLISECONDS PID…, the pids being what stays.
expect_gone_within() {
    limit_ms=$1
    shift
    [ -z "${DUPLEX_SANITIZE:-}" ] || limit_ms=$((limit_ms * 10))
    while [ -n "$(others "$@")" ]; do
        elapsed_ms=$(($(now_ms) - started_ms))
        [ $elapsed_ms -le "$limit_ms" ] || fail "after $elapsed_ms ms there are still $(others "$@")"
        sleep 0.02
    done
}

check "a client that is killed takes the whole group with it within a second"
start_with_client sh -c "$stubborn"
[ "$(marked_processes | wc -l)" -ge 6 ] || fail "there was nothing to take"
started_ms=$(now_ms)
kill -KILL $client_pid
expect_gone_within 1000
status=0
wait $talk_pid || status=$?
expect_status 141
wait $client_pid 2>/dev/null || true

check "the same when it has not read its input, of which there is more than a pipe holds"
start_with_client sh -c "$stubborn"
seq 1 100000 >"$work/to" &
feeder_pid=$!
sleep 0.3
started_ms=$(now_ms)
kill -KILL $client_pid $feeder_pid
expect_gone_within 1000
wait $talk_pid $client_pid $feeder_pid 2>/dev/null || true

check "the same when the answers of the server fill all pipes"
# shellcheck disable=SC2016
start_with_client sh -c 'trap "" HUP INT TERM PIPE; echo $$; while :; do yes | head -c 65536; done 2>/dev/null'
sleep 0.3
started_ms=$(now_ms)
kill -KILL $client_pid
expect_gone_within 1000
wait $talk_pid $client_pid 2>/dev/null || true

check "a client that ends well leaves a server that leaves by itself its time and its status"
# shellcheck disable=SC2016
start_with_client sh -c 'echo $$; cat >/dev/null; exit 7'
kill -KILL $client_pid
status=0
wait $talk_pid || status=$?
expect_status 7
wait $client_pid 2>/dev/null || true

check "a duplex that is killed takes the whole group with it, and its guard"
start_with_client sh -c "$stubborn"
started_ms=$(now_ms)
kill -KILL $talk_pid
wait $talk_pid 2>/dev/null || true
expect_gone_within 1000 $client_pid
kill $client_pid
wait $client_pid 2>/dev/null || true

check "a guard that is killed is no loss to the conversation"
mkfifo "$work/question"
: >"$work/out"
"$DUPLEX" talk -- cat <"$work/question" >"$work/out" 2>"$work/err" 3<&- &
talk_pid=$!
exec 4>"$work/question"
echo one >&4
wait_for "$work/out"
guard_pid=$(grep -lx duplex-guard /proc/[0-9]*/comm 2>/dev/null | while IFS=/ read -r _ _ process _; do
    marked_processes | grep -x "$process" || true
done)
[ -n "$guard_pid" ] || fail "there is no guard"
kill -TERM "$guard_pid"
kill -KILL "$guard_pid"
echo two >&4
exec 4>&-
status=0
wait $talk_pid || status=$?
expect_status 0
expect_output one two
expect_silence

check "the guard holds nothing of the conversation, and is nobody's foreground"
start_with_client sh -c "$stubborn"
for process in $(others $client_pid $talk_pid); do
    [ "$(cat "/proc/$process/comm")" = duplex-guard ] || continue
    guard_pid=$process
done
for fd in 0 1 2; do
    [ "$(readlink "/proc/$guard_pid/fd/$fd")" = /dev/null ] || fail "the guard holds descriptor $fd"
done
# shellcheck disable=SC2012
count=$(ls "/proc/$guard_pid/fd" | wc -l)
# The two others: its channel and the pidfd; a sanitizer may hold more.
[ -n "${DUPLEX_SANITIZE:-}" ] || [ "$count" -le 6 ] || fail "the guard has $count descriptors open"
[ "$(readlink "/proc/$guard_pid/cwd")" = / ] || fail "the guard holds the working directory"
# Field 6 of stat, after the name: the session.
[ "$(sed 's/.*) //' "/proc/$guard_pid/stat" | cut -d ' ' -f 4)" = "$guard_pid" ] ||
    fail "the guard has no session of its own"

check "SIGTERM ends even the stubborn, well before a client that asked so would kill us"
started_ms=$(now_ms)
kill -TERM $talk_pid
expect_gone_within 1800 $client_pid
status=0
wait $talk_pid || status=$?
expect_status 143
kill $client_pid
wait $client_pid 2>/dev/null || true

check "--grace is how long each step of stopping may take"
started_ms=$(now_ms)
reach=--foreground interrupt TERM 0.3 "$DUPLEX" talk --grace 0 -- sh -c "$stubborn" <&3
expect_status 143
expect_within 1000
reach=--foreground interrupt TERM 0.3 "$DUPLEX" talk --grace 1.5 -- \
    sh -c 'cat >/dev/null; sleep 1; echo after a second' <&3
expect_status 143
expect_output "after a second"

check "what is left of the group when the program ends is killed, whatever it ignores"
run "$DUPLEX" talk -- sh -c 'trap "" HUP INT TERM; sleep 300 & sleep 300 & exit 5' <&3
expect_status 5
expect_within 5000
expect_no_process

check "an answer that takes its time is waited for when only the input is at its end"
run sh -c 'printf x | "$1" talk -- sh -c "cat; sleep 1; echo y"' sh "$DUPLEX"
expect_status 0
expect_output xy

check "a server that has closed its output goes on until the end"
run "$DUPLEX" talk -- sh -c 'exec >&-; cat >/dev/null; sleep 0.7; exit 6' </dev/null
expect_status 6

# Clients of the kinds that start servers: by pipes, and by sockets as Node does.
if command -v python3 >/dev/null; then
    cat >"$work/client.py" <<'PYTHON'
import os, signal, socket, subprocess, sys
duplex, kind, server = sys.argv[1:]
if kind == "pipes":
    talk = subprocess.Popen([duplex, "talk", "--", "sh", "-c", server],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    line = talk.stdout.readline()
else:
    ours, theirs = zip(socket.socketpair(), socket.socketpair())
    if kind == "socket":
        ours, theirs = (ours[0], ours[0]), (theirs[0], theirs[0])
    talk = subprocess.Popen([duplex, "talk", "--", "sh", "-c", server],
                            stdin=theirs[0], stdout=theirs[1])
    for end in theirs:
        end.close()
    line = ours[1].recv(100)
print("ready", line, file=sys.stderr, flush=True)
signal.pause()
PYTHON
    for kind in pipes sockets socket; do
        check "a client that talks by $kind and is killed takes everything with it"
        : >"$work/err"
        python3 "$work/client.py" "$DUPLEX" "$kind" "$stubborn" 2>"$work/err" 3<&- &
        client_pid=$!
        wait_for "$work/err"
        started_ms=$(now_ms)
        kill -KILL $client_pid
        expect_gone_within 1000
        wait $client_pid 2>/dev/null || true
    done
fi

exec 3>&-
finish
