#!/bin/sh
# SPDX-License-Identifier: MIT
# Each fault of tests/mutations can still be planted, and tools/mutate says so where one cannot.
set -eu

python3 -c 'import tomllib' 2>/dev/null || {
    echo "skipped: tools_mutate: python3 is older than 3.11"
    exit 77
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$DUPLEX_SOURCE/tools/mutate" "$folder" --check || {
    echo "a fault of tests/mutations cannot be planted any more: it must follow the code"
    exit 1
}

# A copy of the tree, in which the text of one fault is gone and another does not compile.
mkdir -p "$folder/tree/tools" "$folder/tree/tests"
cp -r "$DUPLEX_SOURCE/src" "$DUPLEX_SOURCE/include" "$folder/tree"
cp -r "$DUPLEX_SOURCE/tests/mutations" "$folder/tree/tests"
cp "$DUPLEX_SOURCE/tools/mutate" "$folder/tree/tools"
sed -i 's/if (sent == -EPIPE && !stays) {/if (!stays \&\& sent == -EPIPE) {/' \
    "$folder/tree/src/os/file.c"
sed -i 's/^put = "if (digit > 9)"/put = "if (digit >)"/' "$folder/tree/tests/mutations/wire.toml"

# expect NAME SENTENCE: this fault is refused so.
expect() {
    if "$folder/tree/tools/mutate" "$folder" --check "$1" >"$folder/said"; then
        echo "the fault '$1' was not refused:"
        cat "$folder/said"
        exit 1
    fi
    grep -q "$1: $2" "$folder/said"
}

expect pending-broken-pipe-eaten "its text occurs 0 times"
expect content-length-wraps "it does not compile"
