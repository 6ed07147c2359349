#!/bin/sh
# SPDX-License-Identifier: MIT
# The Python client of docs/wire.md, taken out of the page, converses with a C parent on each type of
# socket, and understands the test vectors. So the page is proven, and not only read.
set -eu

: "${DUPLEX_SOURCE:?the source tree}" "${DUPLEX_PROGRAMS:?the programs of this folder}"
document=$DUPLEX_SOURCE/docs/wire.md

if ! command -v python3 >/dev/null || ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))'
then
    echo "skipped: there is no python3 of version 3.8 or later"
    exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# block N: the Nth piece of Python in the page.
block() {
    awk -v wanted="$1" '
        /^```python$/ { count++; inside = count == wanted; next }
        /^```$/ { inside = 0 }
        inside' "$document"
}

block 1 >"$work/client.py"
{
    block 1
    block 2
} >"$work/child.py"
grep -q '^class Channel' "$work/client.py"
grep -q 'DUPLEX_FD' "$work/child.py"

echo "the client understands the test vectors"
python3 "$DUPLEX_SOURCE/tests/wire/check_client.py" "$work/client.py" \
    "$DUPLEX_SOURCE/tests/vectors/native.txt"

# The page's child answers in capitals; what it is to say here is the same again.
sed 's/message\.upper()/message/' "$work/child.py" >"$work/echo.py"
if cmp -s "$work/child.py" "$work/echo.py"; then
    echo "failed: the page's example does not answer in capitals"
    exit 1
fi
for type in stream seqpacket dgram; do
    echo "a parent in C and a child in Python converse: $type"
    timeout -k 5 120 "$DUPLEX_PROGRAMS/program_python_parent" "$type" python3 "$work/echo.py"
done

# As the page says, with the command; which need not have been built.
if [ -x "${DUPLEX:-}" ]; then
    echo "the command and a child in Python converse"
    printf 'i am your father\n\nlast' |
        timeout -k 5 60 "$DUPLEX" talk --framing native -- python3 "$work/child.py" >"$work/out"
    printf 'I AM YOUR FATHER\n\nLAST\n' | cmp - "$work/out"
fi
echo passed
