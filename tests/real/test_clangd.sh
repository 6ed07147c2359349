#!/bin/sh
# SPDX-License-Identifier: MIT
# clangd behind `duplex talk`: who asks it for diagnostics sees the same bytes and the same end as
# without, and with --framing it is a conversation in lines.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

for program in clangd python3; do
    command -v $program >/dev/null || {
        echo "skipped: clangd behind duplex talk: $program is not installed"
        exit 77
    }
done
# Nothing of this machine's configuration counts, and nothing is left at home.
export HOME="$work" XDG_CACHE_HOME="$work" XDG_CONFIG_HOME="$work"
client=$DUPLEX_SOURCE/tests/real/language_client.py

# converse NAME FRAMING [WRAPPER...]: the client with clangd.
converse() {
    name=$1
    framing=$2
    shift 2
    run python3 "$client" "$framing" "$work/$name" "$@" clangd --log=error --background-index=0
    expect_status 0
    expect_output "0: Use of undeclared identifier 'question'" \
        "1: Use of undeclared identifier 'nothing_known'" "0 in the long file" "12000 symbols" "status 0"
    cp "$work/err" "$work/$name.err"
    expect_no_process
}

check "clangd by itself"
converse alone content-length
[ "$(wc -c <"$work/alone")" -gt 1000000 ] || fail "the conversation was too short to show anything"

check "duplex talk changes no byte of what clangd says"
converse wrapped content-length "$DUPLEX" talk --
cmp "$work/alone" "$work/wrapped" || fail "clangd said something else"
cmp "$work/alone.err" "$work/wrapped.err" || fail "clangd complained of something else"

check "nor on one socket"
converse socket content-length "$DUPLEX" talk --handover stdio --
cmp "$work/alone" "$work/socket" || fail "clangd said something else"

check "nor with a trace of it"
converse traced content-length "$DUPLEX" talk --trace="$work/trace" --
cmp "$work/alone" "$work/traced" || fail "clangd said something else"
[ -s "$work/trace" ] || fail "there is no trace"

check "with --framing each message of clangd is a line"
converse lines line "$DUPLEX" talk --framing content-length --
# The same without headers: they end with \r\n, and JSON of clangd holds no other.
python3 - "$work/alone" "$work/lines" <<'PYTHON'
import sys

framed = open(sys.argv[1], "rb").read()
lines = open(sys.argv[2], "rb").read().splitlines(keepends=True)
assert b"".join(b"Content-Length: %d\r\n\r\n%s" % (len(line) - 1, line[:-1]) for line in lines) == framed
PYTHON

check "the shell speaks with clangd in lines"
cat >"$work/in" <<'JSON'
{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}
{"jsonrpc":"2.0","id":2,"method":"shutdown"}
{"jsonrpc":"2.0","method":"exit"}
JSON
run "$DUPLEX" talk --framing content-length --timeout 20 -- clangd --log=error <"$work/in"
expect_status 0
expect_silence
[ "$(wc -l <"$work/out")" = 2 ] || fail "there are not two answers"
grep -q '^{"id":1,.*"capabilities"' "$work/out" || fail "the first is not to initialize"
grep -qx '{"id":2,"jsonrpc":"2.0","result":null}' "$work/out" || fail "nor the second to shutdown"

check "an end without exit is told by the status, as without duplex"
run clangd --log=error </dev/null
expect_status 1
run "$DUPLEX" talk -- clangd --log=error </dev/null
expect_status 1
run "$DUPLEX" talk --framing content-length -- clangd --log=error </dev/null
expect_status 1

finish
