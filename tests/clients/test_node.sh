#!/bin/sh
# SPDX-License-Identifier: MIT
# clients/node/duplex.mjs understands and makes the test vectors, keeps its promises, and converses with
# a parent in C, to the end of either.
set -eu

: "${DUPLEX_SOURCE:?the source tree}" "${DUPLEX_PROGRAMS:?the programs of this folder}"
here=$DUPLEX_SOURCE/tests/clients
client=$DUPLEX_SOURCE/clients/node/duplex.mjs

if ! command -v node >/dev/null ||
    ! node -e 'process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)'; then
    echo "skipped: node: version 18 or later is not here"
    exit 77
fi
if ! command -v python3 >/dev/null; then
    echo "skipped: python3: it makes the sockets of this test, and is not here"
    exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

timeout -k 5 120 python3 "$here/socketpairs.py" 250 node "$here/check_vectors.mjs" "$client" \
    "$DUPLEX_SOURCE/tests/vectors/native.txt"
timeout -k 5 120 python3 "$here/socketpairs.py" 40 node "$here/check_node.mjs" "$client"

echo "a parent in C and a child in Node converse"
timeout -k 5 120 "$DUPLEX_PROGRAMS/program_parent" plain stream node "$here/child.mjs" "$client"

echo "the example of clients/README.md runs"
cp "$client" "$work"
awk '/^```js$/ { inside = 1; next } /^```$/ { inside = 0 } inside' \
    "$DUPLEX_SOURCE/clients/README.md" >"$work/example.mjs"
timeout -k 5 60 "$DUPLEX_PROGRAMS/program_parent" example stream node "$work/example.mjs" \
    >"$work/said"
printf 'the parent is called anna\nthe parent says well done\n' | cmp - "$work/said"

for type in seqpacket dgram; do
    echo "a child in Node refuses a socket that it cannot use: $type"
    if timeout -k 5 60 "$DUPLEX_PROGRAMS/program_parent" plain "$type" \
        node "$here/child.mjs" "$client" 2>"$work/complaint"; then
        echo "failed: it did not"
        exit 1
    fi
    grep -q 'no stream socket' "$work/complaint"
done

echo "a child in Node sees the death of its parent"
timeout -k 5 60 "$DUPLEX_PROGRAMS/program_parent" die stream \
    node "$here/child.mjs" "$client" "$work/end" || true
tries=0
until [ -s "$work/end" ]; do
    tries=$((tries + 1))
    if [ $tries = 300 ]; then
        echo "failed: the child did not see it within 30 s"
        exit 1
    fi
    sleep 0.1
done
echo passed
