#!/bin/sh
# SPDX-License-Identifier: MIT
# The check of the floors passes this tree, and catches one planted violation of each kind.
set -eu

if ! command -v python3 >/dev/null; then
    echo "skipped: tools_check_floors: python3 is missing"
    exit 77
fi
check=$DUPLEX_SOURCE/tools/check_floors
"$check" "$DUPLEX_SOURCE"

work=$(mktemp -d "$DUPLEX_BUILD/floors.XXXXXX")
trap 'rm -rf "$work"' EXIT

# A tree with nothing to find.
clean_tree() {
    rm -rf "$work/tree"
    mkdir -p "$work/tree/src/os" "$work/tree/src/wire" "$work/tree/src/channel" \
        "$work/tree/src/process" "$work/tree/include/duplex" "$work/tree/cli"
    cd "$work/tree"
    echo '#include <stddef.h>' >include/duplex.h
    echo '#include <sys/socket.h>' >src/os/os.h
    echo 'int open_it(void) { return close(3); }' >src/os/os.c
    echo '#include <string.h>' >src/wire/bytes.h
    echo '#include <duplex.h>' >src/channel/channel.h
    echo '#include "os/os.h"' >src/channel/internal.h
    echo '#include "channel/channel.h"' >src/process/process.h
    echo '#include <duplex.h>' >cli/main.c
    {
        echo '/* It does not call close(fd) or printf(). */'
        echo 'static const char *text = "abort()";'
        echo 'int end(int fd) { return dxi_os->close(fd); }'
    } >src/channel/channel.c
}

clean_tree
"$check" .

# plant FILE LINE SENTENCE: a tree with this line in this file gets this one sentence.
plant() {
    clean_tree
    echo "$2" >>"$1"
    if said=$("$check" .); then
        echo "not caught in $1: $2"
        exit 1
    fi
    case $said in
    "$1:"*": $3
floors: "*" files, 1 violations") ;;
    *)
        echo "for '$2' in $1 expected '$3', got: $said"
        exit 1
        ;;
    esac
}

plant src/os/os.c '#include "channel/channel.h"' 'src/os may not include src/channel/channel.h'
plant src/os/os.c '#include <wire/bytes.h>' 'src/os may not include src/wire/bytes.h'
plant src/wire/bytes.h '#include "../os/os.h"' 'src/wire may not include src/os/os.h'
plant src/wire/bytes.h '#include <unistd.h>' 'src/wire does no I/O and does not include <unistd.h>'
plant src/channel/channel.c '#include "process/process.h"' \
    'src/channel may not include src/process/process.h'
plant src/process/process.h '#include "channel/internal.h"' \
    'src/process may not include src/channel/internal.h'
plant src/channel/channel.c '#include "nowhere.h"' '"nowhere.h" is nowhere in this tree'
plant src/channel/channel.c 'int f(void) { return close (3); }' 'close() is called in src/os only'
plant src/channel/channel.c 'void *f(void) { return malloc(3); }' 'malloc() is called in src/os only'
plant src/os/os.c 'void f(void) { abort(); }' 'the library never calls abort()'
plant src/stray.c 'int stray;' 'stray.c lies on no floor; they are in tools/check_floors'
plant cli/main.c '#include "os/os.h"' 'cli/ may not include src/os/os.h'
plant include/duplex.h '#include "../src/os/os.h"' 'include/ may not include src/os/os.h'
