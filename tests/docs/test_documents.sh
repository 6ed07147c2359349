#!/bin/sh
# SPDX-License-Identifier: MIT
# The documents name only what exists: links, files, functions, tests, tasks of ./dev, options of the
# command. And they are as long as they promise.
set -eu

: "${DUPLEX_SOURCE:?the source tree}"
cd "$DUPLEX_SOURCE"
failed=0

complain() {
    echo "failed: $*"
    failed=1
}

documents="README.md README.zh-CN.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md docs/wire.md
    tests/vectors/README.md clients/README.md clients/bash/README.md docs/framings.md docs/handovers.md docs/lane.md docs/pool.md"

# Pieces of code are another language: what follows looks at the text alone.
prose() {
    awk '/^```/ { inside = !inside; next } !inside' "$1"
}

for document in $documents; do
    [ -f "$document" ] || {
        complain "$document is not there"
        continue
    }
    folder=$(dirname "$document")

    # Links to files, and to headings of the same file in the way that their addresses are made.
    for link in $(prose "$document" | grep -oE '\]\([^)]+\)' | sed 's/^](//; s/)$//' |
        grep -v '^[a-z]*://'); do
        case $link in
        '#'*)
            grep -E '^#+ ' "$document" | sed 's/^#* //' | tr 'A-Z ' 'a-z-' |
                grep -qxF -e "${link#?}" || complain "$document links to $link, which it has not"
            ;;
        *) [ -e "$folder/${link%%#*}" ] || complain "$document links to $link, which is not there" ;;
        esac
    done

    # Paths of this tree in backquotes; a path may be named without its folder's parents.
    for path in $(prose "$document" | grep -oE '`[A-Za-z_./*-]+`' | tr -d '`' |
        grep -E '^(include|src|cli|tests|examples|bench|man|docs|tools|cmake|\.ci)/'); do
        # shellcheck disable=SC2086 # a pattern is meant to match
        ls -d $path >/dev/null 2>&1 || complain "$document names $path, which is not there"
    done

    # Functions and constants of the library.
    for name in $(grep -oE '\b(dx|dxi)_[a-z0-9_]+\(' "$document" | tr -d '(' | sort -u); do
        grep -rqE "\b$name\b" include src || complain "$document names $name(), which is not there"
    done
    for name in $(grep -oE '\bDX_[A-Z_]+[A-Z]\b' "$document" | sort -u); do
        grep -rqE "\b$name\b" include || complain "$document names $name, which is not there"
    done

    # Tests by name.
    for name in $(grep -oE '\btest_[a-z0-9_]+' "$document" | sort -u); do
        grep -rqE "\b$name\b" tests --include='*.c' --include='*.h' ||
            [ -n "$(find tests -name "$name.*")" ] ||
            complain "$document names $name, which is no test"
    done

    # Tasks of ./dev.
    for name in $(grep -oE '\./dev [a-z]+' "$document" | sed 's/.* //' | sort -u); do
        grep -q "^task_$name() {" dev || complain "$document names ./dev $name, which is no task"
    done
done

# The pages in two languages have the same headings, code and rows.
shape() {
    awk '/^#/ { print $1 } /^```/ { print } /^\|/ { print "row", gsub(/\|/, "|") }' "$1"
}
[ "$(shape README.md)" = "$(shape README.zh-CN.md)" ] ||
    complain "README.md and README.zh-CN.md are of different shapes"

lines=$(wc -l <ARCHITECTURE.md)
[ "$lines" -le 200 ] || complain "ARCHITECTURE.md has $lines lines; it promises 200 at most"

# The table of violations has every name that the vectors have, and the sentences of the code.
for name in $(sed -n 's/^violation: \([a-z-]*\).*/\1/p' tests/vectors/native.txt tests/vectors/lane.txt | sort -u); do
    grep -q "^| \`$name\` |" docs/wire.md || complain "docs/wire.md has no violation $name"
done

version=$(sed -n 's/^#define DX_VERSION "\(.*\)"$/\1/p' include/duplex/error.h)
grep -qF "$version" CHANGELOG.md || complain "CHANGELOG.md does not know version $version"

[ $failed = 0 ] || exit 1
echo passed
