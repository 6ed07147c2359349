#!/bin/sh
# SPDX-License-Identifier: MIT
# The example of both READMEs is the same, compiles without a warning, and prints what they say.
set -eu

: "${DUPLEX_SOURCE:?the source tree}" "${DUPLEX_BUILD:?the build tree}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

fail() {
    echo "failed: $*"
    exit 1
}

# block LANGUAGE FILE: the first piece of a page in this language.
block() {
    awk -v begin="^\`\`\`$1\$" '
        $0 ~ begin && !done { inside = 1; next }
        /^```$/ && inside { inside = 0; done = 1 }
        inside' "$2"
}

# What the page says that the example prints: the first piece behind it that has no language.
printed() {
    awk '/^```c$/ { seen = 1 }
        /^```/ { fences += seen }
        fences == 3 && !/^```/' "$1"
}

for page in README.md README.zh-CN.md; do
    block c "$DUPLEX_SOURCE/$page" >"$work/$page.c"
    grep -q 'int main' "$work/$page.c" || fail "$page has no example"
    printed "$DUPLEX_SOURCE/$page" >"$work/$page.out"
    [ -s "$work/$page.out" ] || fail "$page does not say what its example prints"
done
cmp "$work/README.md.c" "$work/README.zh-CN.md.c" || fail "the examples differ"

sanitize=${DUPLEX_SANITIZE:+-fsanitize=$DUPLEX_SANITIZE}
# shellcheck disable=SC2086 # the sanitizer is a word or none
"${DUPLEX_CC:-cc}" -std=gnu11 -Wall -Wextra -Werror $sanitize -I "$DUPLEX_SOURCE/include" \
    "$work/README.md.c" "$DUPLEX_BUILD/libduplex.a" -lpthread -o "$work/example"
timeout -k 5 60 "$work/example" >"$work/out" || fail "the example ended with status $?"
for page in README.md README.zh-CN.md; do
    cmp "$work/$page.out" "$work/out" || fail "$page says something else than the example prints"
done
echo passed
