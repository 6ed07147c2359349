#!/bin/sh
# SPDX-License-Identifier: MIT
# The programs of both READMEs that drive a language server and an MCP server: the same in both, each
# of fewer than 25 lines without those of the preprocessor, and they do what the pages say.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"
# shellcheck source=tests/real/mcp.sh
. "$DUPLEX_SOURCE/tests/real/mcp.sh"

# block HEADING FILE: the first piece of C under a heading that matches.
block() {
    awk -v heading="^## .*$1" '
        /^## / { under = $0 ~ heading }
        /^```c$/ && under { inside = 1; under = 0; next }
        /^```$/ { inside = 0 }
        inside' "$2"
}

# build NAME HEADING CHINESE-HEADING: the program of a section, as $work/NAME.
build() {
    check "README has a short program: $1"
    block "$2" "$DUPLEX_SOURCE/README.md" >"$work/$1.c"
    block "$3" "$DUPLEX_SOURCE/README.zh-CN.md" >"$work/chinese.c"
    grep -q 'int main' "$work/$1.c" || fail "README.md has none"
    cmp "$work/$1.c" "$work/chinese.c" || fail "that of README.zh-CN.md is another"
    lines=$(grep -cvE '^($|#)' "$work/$1.c")
    [ "$lines" -lt 25 ] || fail "it has $lines lines"

    check "it compiles without a warning: $1"
    # shellcheck disable=SC2086 # the sanitizer is a word or none
    run "${DUPLEX_CC:-cc}" -std=gnu11 -Wall -Wextra -Werror \
        ${DUPLEX_SANITIZE:+-fsanitize=$DUPLEX_SANITIZE} -I "$DUPLEX_SOURCE/include" \
        "$work/$1.c" "${DUPLEX_BUILD:?}/libduplex.a" -lpthread -o "$work/$1"
    expect_status 0
}

build language_server "Drive a language server" "驱动语言服务器"
build mcp_client "Drive an MCP server" "驱动 MCP 服务器"

if command -v clangd >/dev/null; then
    check "the first gets its diagnostics of clangd"
    run env HOME="$work" XDG_CACHE_HOME="$work" XDG_CONFIG_HOME="$work" "$work/language_server"
    expect_status 0
    [ "$(wc -l <"$work/out")" = 3 ] || fail "there are not three messages"
    grep -q "Use of undeclared identifier 'question'" "$work/out" || fail "there is no diagnostic"
    grep -q "exiting with status 0" "$work/err" || fail "clangd was not content"
    expect_no_process
else
    echo "skipped: the language server of README: clangd is not installed"
fi

need_mcp "the MCP server of README"
check "the second calls a tool"
run env PATH="$mcp/node_modules/.bin:$PATH" "$work/mcp_client"
expect_status 0
grep -q '"name":"get-sum"' "$work/out" || fail "there is no list of tools"
grep -q "The sum of 2 and 3 is 5." "$work/out" || fail "there is no sum"
expect_no_process

finish
