#!/bin/sh
# SPDX-License-Identifier: MIT
# What tools/prove analyzes has its place in src/wire, and it says so where something has not.
set -eu

python3 -c 'import tomllib' 2>/dev/null || {
    echo "skipped: tools_prove: python3 is older than 3.11"
    exit 77
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$DUPLEX_SOURCE/tools/prove" "$folder/all" --check || {
    echo "tests/static does not follow the code any more"
    exit 1
}

# A copy of the tree.
mkdir -p "$folder/tree/tools" "$folder/tree/tests" "$folder/tree/src"
cp -r "$DUPLEX_SOURCE/src/wire" "$folder/tree/src"
cp -r "$DUPLEX_SOURCE/tests/static" "$folder/tree/tests"
cp "$DUPLEX_SOURCE/tools/prove" "$folder/tree/tools"

# expect SENTENCE: the copy is refused so.
expect() {
    if "$folder/tree/tools/prove" "$folder/copy" --check >"$folder/said" 2>&1; then
        echo "this was not refused: $1"
        exit 1
    fi
    grep -qF "$1" "$folder/said" || {
        cat "$folder/said"
        echo "instead of: $1"
        exit 1
    }
}

: >"$folder/tree/src/wire/morse.c"
expect "no analysis has morse.c"
rm "$folder/tree/src/wire/morse.c"
sed -i 's/while (digits < size/while (size > digits/' "$folder/tree/src/wire/netstring.c"
expect "in netstring.c this does not stand once: while (digits < size"
cp "$DUPLEX_SOURCE/src/wire/netstring.c" "$folder/tree/src/wire"
sed -i 's/^static bool escape(/static bool unescape(/' "$folder/tree/src/wire/json.c"
expect "in json.c this does not stand once: static bool escape("
