#!/bin/sh
# SPDX-License-Identifier: MIT
# The library, the demo and the smallest example build against musl without a warning, and run.
set -eu

if [ -n "${DUPLEX_SANITIZE:-}" ]; then
    echo "skipped: musl: the sanitizers need glibc"
    exit 77
fi
if ! command -v musl-gcc >/dev/null; then
    echo "skipped: musl: musl-gcc is missing"
    exit 77
fi

build=$DUPLEX_BUILD/musl
cd "$DUPLEX_SOURCE"
cmake --preset musl -B "$build"
cmake --build "$build"

heard=$("$build/demo" -n 2 -i 0.01)
for sentence in "child-->father:i am your child" "father-->child:i am your father"; do
    count=$(printf '%s\n' "$heard" | grep -cxF -e "$sentence" || true)
    if [ "$count" != 2 ]; then
        echo "the demo said '$sentence' $count times in 2 rounds; all it said:" "$heard"
        exit 1
    fi
done
"$build/examples/father_and_child"
