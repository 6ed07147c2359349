#!/bin/sh
# SPDX-License-Identifier: MIT
# The shared library exports what the public headers mark DX_API: all of it, and nothing else.
set -eu

work=$(mktemp -d "$DUPLEX_BUILD/symbols.XXXXXX")
trap 'rm -rf "$work"' EXIT

nm -D --defined-only "$DUPLEX_BUILD/libduplex.so" | awk '{ print $3 }' | sort >"$work/exported"
cat "$DUPLEX_SOURCE"/include/duplex/*.h | tr '\n' ' ' |
    grep -oE 'DX_API[^;(]*\(' | sed -E 's/ *\($//; s/.*[ *]//' | grep -vx __attribute__ | sort >"$work/declared"
diff -u "$work/declared" "$work/exported" || {
    echo "what the headers declare (-) and what the library exports (+) differ"
    exit 1
}
