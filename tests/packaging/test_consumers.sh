#!/bin/sh
# SPDX-License-Identifier: MIT
# What is installed is complete, and a user can build on it: by pkg-config and by find_package(),
# against the shared library and the static one.
set -eu

if [ -n "${DUPLEX_SANITIZE:-}" ]; then
    echo "skipped: packaging_consumers: a library with a sanitizer is not for users"
    exit 77
fi

work=$(mktemp -d "$DUPLEX_BUILD/consumers.XXXXXX")
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
cmake --install "$DUPLEX_BUILD" --prefix "$prefix" >"$work/log" || { cat "$work/log"; exit 1; }

fail() {
    echo "packaging: $*"
    find "$prefix" | sort
    exit 1
}

# Say where the one file of this name lies below the prefix.
installed() {
    found=$(find "$prefix" -path "$prefix/$1")
    [ -e "$found" ] || fail "$1 was not installed, once"
    printf '%s\n' "$found"
}

for header in "$DUPLEX_SOURCE"/include/duplex.h "$DUPLEX_SOURCE"/include/duplex/*.h; do
    cmp "$header" "$prefix/include/${header#"$DUPLEX_SOURCE"/include/}"
done
library=$(installed 'lib*/libduplex.so')
libdir=${library%/*}
for name in libduplex.so.0 libduplex.a pkgconfig/duplex.pc cmake/duplex/duplexConfig.cmake \
    cmake/duplex/duplexConfigVersion.cmake cmake/duplex/duplexTargets.cmake; do
    [ -e "$libdir/$name" ] || fail "$name was not installed"
done
version=$(sed -n 's/^#define DX_VERSION "\(.*\)"$/\1/p' "$DUPLEX_SOURCE/include/duplex/error.h")
if [ -x "$DUPLEX" ]; then
    "$prefix/bin/duplex" --version | grep -F "$version"
    if command -v scdoc >/dev/null; then
        for page in "$DUPLEX_SOURCE"/man/*.scd; do
            [ -e "$page" ] || continue
            page=${page##*/}
            page=${page%.scd}
            installed "share/man/man${page##*.}/$page"
        done
    fi
fi

# Run a consumer, which says the version, and see whether it depends on the shared library.
consume() {
    how=$1 program=$2
    said=$(LD_LIBRARY_PATH=$libdir "$program") || fail "the consumer by $how failed"
    [ "$said" = "$version" ] || fail "the consumer by $how says '$said'; the header $version"
    needed=no
    if LD_LIBRARY_PATH=$libdir ldd "$program" 2>&1 | grep -q 'libduplex\.so\.0'; then
        needed=yes
    fi
    case $how in
    *shared) [ $needed = yes ] || fail "the consumer by $how does not use libduplex.so.0" ;;
    *static) [ $needed = no ] || fail "the consumer by $how uses libduplex.so.0" ;;
    esac
    echo "consumer by $how: $said"
}

cmake -S "$DUPLEX_SOURCE/tests/packaging/consumer" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$DUPLEX_CC" >"$work/log" || { cat "$work/log"; exit 1; }
cmake --build "$work/cmake" >"$work/log" || { cat "$work/log"; exit 1; }
consume "find_package shared" "$work/cmake/consumer_shared"
consume "find_package static" "$work/cmake/consumer_static"

if ! command -v pkg-config >/dev/null; then
    echo "skipped: packaging_consumers: pkg-config is missing; find_package() was tested"
    exit 0
fi
source=$DUPLEX_SOURCE/tests/packaging/consumer/consumer.c
export PKG_CONFIG_PATH="$libdir/pkgconfig"
[ "$(pkg-config --modversion duplex)" = "$version" ] || fail "duplex.pc has another version"
# The flags are words: they are meant to be split.
# shellcheck disable=SC2046
"$DUPLEX_CC" -o "$work/shared" "$source" $(pkg-config --cflags --libs duplex)
consume "pkg-config shared" "$work/shared"
# shellcheck disable=SC2046
"$DUPLEX_CC" -static -o "$work/static" "$source" $(pkg-config --static --cflags --libs duplex)
consume "pkg-config static" "$work/static"
