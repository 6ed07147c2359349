#!/bin/sh
# SPDX-License-Identifier: MIT
# clients/python/duplex.py understands and makes the test vectors, keeps its promises, and converses with
# a parent in C on each type of socket, to the end of either.
set -eu

: "${DUPLEX_SOURCE:?the source tree}" "${DUPLEX_PROGRAMS:?the programs of this folder}"
here=$DUPLEX_SOURCE/tests/clients
client=$DUPLEX_SOURCE/clients/python

if ! command -v python3 >/dev/null || ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))'
then
    echo "skipped: python3: version 3.8 or later is not here"
    exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

python3 "$here/check_vectors.py" "$client" "$DUPLEX_SOURCE/tests/vectors/native.txt" </dev/null
timeout -k 5 120 python3 -W error "$here/check_python.py" "$client" </dev/null

for type in stream seqpacket dgram; do
    echo "a parent in C and a child in Python converse: $type"
    timeout -k 5 120 "$DUPLEX_PROGRAMS/program_parent" all "$type" \
        python3 -W error "$here/child.py" "$client"
done

echo "the example of clients/README.md runs"
awk '/^```python$/ { inside = 1; next } /^```$/ { inside = 0 } inside' \
    "$DUPLEX_SOURCE/clients/README.md" >"$work/example.py"
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$client timeout -k 5 60 "$DUPLEX_PROGRAMS/program_parent" \
    example stream python3 "$work/example.py" >"$work/said"
printf "the parent is called b'anna'\nthe parent says b'well done'\n" | cmp - "$work/said"

for type in stream seqpacket dgram; do
    # On datagrams a death is told by a pidfd, which Python knows from 3.9 on.
    [ "$type" != dgram ] || python3 -c 'import os; os.pidfd_open' 2>/dev/null || continue
    echo "a child in Python sees the death of its parent: $type"
    rm -f "$work/end"
    timeout -k 5 60 "$DUPLEX_PROGRAMS/program_parent" die "$type" \
        python3 "$here/child.py" "$client" "$work/end" || true
    tries=0
    until [ -s "$work/end" ]; do
        tries=$((tries + 1))
        if [ $tries = 300 ]; then
            echo "failed: the child did not see it within 30 s"
            exit 1
        fi
        sleep 0.1
    done
done
echo passed
