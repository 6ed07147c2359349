#!/bin/sh
# SPDX-License-Identifier: MIT
# The example prefork serves good clients and others, under load too, and one worker's death costs one
# connection.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

examples=${DUPLEX_EXAMPLES:-${DUPLEX_BUILD:?}/examples}

# Start a server; its pid is in $server then, and where it listens in $port.
start_server() {
    : >"$work/said"
    env --default-signal=INT,TERM "$examples/prefork" >"$work/said" 2>"$work/complaints" &
    server=$!
    wait_for "$work/said"
    port=$(sed -n 's|^http://127.0.0.1:\([0-9]*\)/$|\1|p' "$work/said")
    [ -n "$port" ] || fail "it does not say where it listens"
}

# It ends by itself, well, and nobody is left: expect_end COMPLAINTS.
expect_end() {
    status=0
    wait "$server" || status=$?
    cat "$work/said"
    cp "$work/complaints" "$work/err"
    expect_status 0
    [ "$(grep -c . "$work/complaints")" = "$1" ] || fail "it complains"
    expect_no_process
}

be_clients() {
    run python3 "$DUPLEX_SOURCE/tests/examples/check_prefork.py" "$@"
    expect_status 0
}

# Workers that have a connection: a socket besides their channel.
busy_workers() {
    for process in $(marked_processes); do
        [ "$process" != "$server" ] || continue
        [ "$(cat "/proc/$process/comm" 2>/dev/null)" = prefork ] || continue
        sockets=$(find "/proc/$process/fd" -lname 'socket:*' 2>/dev/null | wc -l)
        [ "$sockets" -lt 2 ] || echo "$process"
    done
}

# Load it; $work/out says how it went.
load() {
    run wrk -t1 -c8 -d2s "http://127.0.0.1:$port/"
    expect_status 0
    ! grep -q 'Non-2xx' "$work/out" || fail "answers are wrong"
    sed -n 's|^Requests/sec: *|requests per second: |p' "$work/out"
}

check "prefork says that it cannot listen"
if [ "$(id -u)" != 0 ]; then
    run "$examples/prefork" 1
    expect_status 1
    expect_error "prefork: cannot listen: "
fi

start_server
check "clients of every kind get what they deserve"
be_clients clients "$port"

if command -v wrk >/dev/null; then
    check "no request fails under load"
    load
    ! grep -q 'Socket errors' "$work/out" || fail "connections failed"
    [ ! -s "$work/complaints" ] || fail "the server complains: $(cat "$work/complaints")"

    check "a worker that is killed under load takes one connection with it"
    (
        sleep 1
        busy_workers | head -n 1 | tee "$work/victim" | xargs kill -KILL
    ) &
    load
    wait $!
    [ -s "$work/victim" ] || fail "no worker was busy"
    errors=$(sed -n 's/.*Socket errors: connect \(.*\), read \(.*\), write \(.*\), timeout /\1 + \2 + \3 + /p' "$work/out")
    # shellcheck disable=SC2004 # a sum, which is worked out here
    errors=$((${errors:-0}))
    [ $errors -le 1 ] || fail "$errors connections failed"
    grep -q SIGKILL "$work/complaints" || fail "the server does not say what happened"
    complaints=1
else
    echo "skipped: the load of examples_prefork: wrk is not installed"
    complaints=0
fi

check "SIGTERM lets requests be finished"
be_clients leave "$port" "$server"
expect_end $complaints
grep -q " $complaints lost, " "$work/said" || fail "it counts wrongly"

check "a second SIGTERM does not"
start_server
be_clients hurry "$port" "$server"
expect_end 0

finish
