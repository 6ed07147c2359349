#!/bin/sh
# SPDX-License-Identifier: MIT
# An MCP server behind `duplex talk`: the client of the protocol's own SDK sees what it sees without,
# and when it is killed the server is gone, whatever that thinks of it.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"
# shellcheck source=tests/real/mcp.sh
. "$DUPLEX_SOURCE/tests/real/mcp.sh"
need_mcp "an MCP server behind duplex talk"

client=$mcp/client.mjs
stubborn=$mcp/stubborn.mjs

check "the client and the server without duplex"
run node "$client" record node "$everything"
expect_status 0
expect_silence
cp "$work/out" "$work/alone"
for sign in '"name": "trigger-sampling-request"' '"text": "Echo: i am your father"' '"long": true' \
    '"text": "The sum of 2 and 3 is 5."' 'you said: ' '"progress": 3' '"closedInTime": true' \
    '"closed": true' '"errors": \[\]' 'DUPLEX_TEST_MARK'; do
    grep -q -e "$sign" "$work/alone" || fail "the client did not see $sign"
done
expect_no_process

check "the client sees the same through duplex talk"
run node "$client" record "$DUPLEX" talk -- node "$everything"
expect_status 0
expect_silence
expect_output_of "$work/alone"
expect_no_process

check "the same on a socket, with a trace"
run node "$client" record "$DUPLEX" talk --handover stdio --trace="$work/trace" -- node "$everything"
expect_status 0
expect_output_of "$work/alone"
[ -s "$work/trace" ] || fail "there is no trace"
expect_no_process

check "the same in messages"
run node "$client" record "$DUPLEX" talk --framing line -- node "$everything"
expect_status 0
expect_output_of "$work/alone"
expect_no_process

# start_client WORDS…: a client that stays, and has spoken with its server. $client_pid is node itself.
start_client() {
    : >"$work/ready"
    node "$client" wait "$@" >"$work/ready" 2>"$work/err" &
    client_pid=$!
    wait_for "$work/ready"
}

kill_client() {
    kill -KILL $client_pid
    started_ms=$(now_ms)
    wait $client_pid 2>/dev/null || true
}

expect_gone_within() {
    limit_ms=$1
    [ -z "${DUPLEX_SANITIZE:-}" ] || limit_ms=$((limit_ms * 10))
    while [ -n "$(marked_processes)" ]; do
        elapsed_ms=$(($(now_ms) - started_ms))
        [ $elapsed_ms -le "$limit_ms" ] || fail "after $elapsed_ms ms there are still $(marked_processes)"
        sleep 0.02
    done
}

check "without duplex a stubborn server outlives its client that was killed"
start_client node "$stubborn"
kill_client
sleep 1
[ -n "$(marked_processes)" ] || fail "it is not stubborn"
for process in $(marked_processes); do
    kill -KILL "$process" 2>/dev/null || true
done

check "with duplex it is gone within a second, and its child too"
start_client "$DUPLEX" talk -- node "$stubborn"
[ "$(marked_processes | wc -l)" -ge 4 ] || fail "there was nothing to take"
kill_client
expect_gone_within 1000

check "so is a server that would leave by itself"
start_client "$DUPLEX" talk -- node "$everything"
kill_client
expect_gone_within 1000

check "a client that closes is rid of a stubborn server before it would kill it"
run node "$client" close "$DUPLEX" talk -- node "$stubborn"
expect_status 0
expect_output closed
# The SDK ends the input, waits 2 seconds, sends SIGTERM, waits 2 seconds, and sends SIGKILL.
expect_within 4500
expect_no_process

finish
