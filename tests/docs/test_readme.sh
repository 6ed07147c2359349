#!/bin/sh
# SPDX-License-Identifier: MIT
# The examples of both READMEs are the same, compile without a warning, and print what they say. And what
# the first screen shows is true.
set -eu

: "${DUPLEX_SOURCE:?the source tree}" "${DUPLEX_BUILD:?the build tree}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

fail() {
    echo "failed: $*"
    exit 1
}

# block LANGUAGE FILE [HEADING]: the first piece of a page in this language, of a section if it is named.
block() {
    awk -v begin="^\`\`\`$1\$" -v heading="## ${3:-}" '
        $0 == heading || heading == "## " { under = 1 }
        $0 ~ begin && under && !done { inside = 1; next }
        /^```$/ && inside { inside = 0; done = 1 }
        inside' "$2"
}

# printed FILE HEADING: what the page says that the example prints: the first piece behind it that has
# no language.
printed() {
    awk -v heading="## $2" '
        $0 == heading { under = 1 }
        /^```c$/ && under { seen = 1 }
        /^```/ { fences += seen }
        fences == 3 && !/^```/' "$1"
}

# example NAME HEADING CHINESE-HEADING
example() {
    for page in README.md README.zh-CN.md; do
        heading=$2
        [ $page = README.md ] || heading=$3
        block c "$DUPLEX_SOURCE/$page" "$heading" >"$work/$page.c"
        grep -q 'int main' "$work/$page.c" || fail "$page has no example $1"
        printed "$DUPLEX_SOURCE/$page" "$heading" >"$work/$page.out"
        [ -s "$work/$page.out" ] || fail "$page does not say what its example $1 prints"
    done
    cmp "$work/README.md.c" "$work/README.zh-CN.md.c" || fail "the examples $1 differ"

    # shellcheck disable=SC2086 # the sanitizer is a word or none
    "${DUPLEX_CC:-cc}" -std=gnu11 -Wall -Wextra -Werror \
        ${DUPLEX_SANITIZE:+-fsanitize=$DUPLEX_SANITIZE} -I "$DUPLEX_SOURCE/include" \
        "$work/README.md.c" "$DUPLEX_BUILD/libduplex.a" -lpthread -o "$work/example"
    timeout -k 5 60 "$work/example" >"$work/out" || fail "the example $1 ended with status $?"
    for page in README.md README.zh-CN.md; do
        cmp "$work/$page.out" "$work/out" ||
            fail "$page says something else than the example $1 prints"
    done
}

example conversation "An example" "示例"
example pool Pools "进程池"

# The first screen: the command, and the worker, whose model is this.
if [ -x "${DUPLEX:-}" ] && command -v python3 >/dev/null; then
    cd "$work"
    block python "$DUPLEX_SOURCE/README.md" >worker.py
    block python "$DUPLEX_SOURCE/README.zh-CN.md" | cmp worker.py || fail "the workers differ"
    printf 'def answer(text):\n    return "<" + text + ">"\n' >model.py
    seq 1000 >jobs.txt
    sed 's/.*/<&>/' jobs.txt >expected.txt
    mkdir bin
    ln -s "$DUPLEX" bin/duplex
    for page in README.md README.zh-CN.md; do
        block sh "$DUPLEX_SOURCE/$page" >command.sh
        grep -q '^duplex map ' command.sh || fail "the first screen of $page is without duplex map"
        PATH=$work/bin:$PATH timeout -k 5 60 sh command.sh 2>said || {
            cat said
            fail "the first screen of $page ended with a failure"
        }
        cmp expected.txt answers.txt || fail "what the first screen of $page shows is not so"
        rm answers.txt
    done
else
    echo "skipped: docs_readme: the first screen needs the command and python3"
fi
echo passed
