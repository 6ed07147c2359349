#!/bin/sh
# SPDX-License-Identifier: MIT
# The example mcp_client with a server of the npm registry.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"
# shellcheck source=tests/real/mcp.sh
. "$DUPLEX_SOURCE/tests/real/mcp.sh"

example=${DUPLEX_EXAMPLES:?}/mcp_client
[ -x "$example" ] || {
    echo "skipped: mcp_client: it was not built"
    exit 77
}
need_mcp mcp_client

check "it lists the tools and calls one"
run "$example" echo '{"message": "i am your father"}' node "$everything"
expect_status 0
for line in "the server is mcp-servers/everything" "tool echo" "tool get-sum" \
    "echo: Echo: i am your father"; do
    grep -qxF "$line" "$work/out" || fail "it did not print: $line"
done
expect_no_process

check "a tool that fails is told by the status"
run "$example" "no such tool" '{}' node "$everything"
expect_status 1
expect_error "the conversation failed"
expect_no_process

check "a server that does not leave is made to, with its child"
run "$example" anything '{}' node "$mcp/stubborn.mjs"
expect_status 0
grep -qx "anything: no" "$work/out" || fail "it did not answer"
expect_within 10000
expect_no_process

check "a server that is missing is named"
run "$example" echo '{}' "$work/missing"
expect_status 1
expect_error "cannot start '$work/missing': No such file or directory"

check "a program that is no server is found out"
run "$example" echo '{}' sh -c 'read -r line; echo "I am no server"'
expect_status 1
expect_error "this is no JSON: I am no server"

check "it says how it is used"
run "$example"
expect_status 2
expect_error "usage: "
run "$example" echo nonsense true
expect_status 2
expect_error "the arguments must be a JSON object, not 'nonsense'"

finish
