#!/bin/sh
# SPDX-License-Identifier: MIT
# The example language_server with clangd.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

example=${DUPLEX_EXAMPLES:?}/language_server
[ -x "$example" ] || {
    echo "skipped: language_server: it was not built"
    exit 77
}
command -v clangd >/dev/null || {
    echo "skipped: language_server: clangd is not installed"
    exit 77
}
export HOME="$work" XDG_CACHE_HOME="$work" XDG_CONFIG_HOME="$work"

check "without a file it is a line with a fault"
run "$example"
expect_status 0
expect_output "/example.c:1:14: Use of undeclared identifier 'question'" \
    "the server: exited with status 0"
expect_no_process

check "every fault of a file is told, by line and column"
cat >"$work/two faults.c" <<'C'
int answer(void)
{
    return question;
}

int length = width;
C
run "$example" "$work/two faults.c"
expect_status 0
expect_output "$work/two faults.c:3:12: Use of undeclared identifier 'question'" \
    "$work/two faults.c:6:14: Use of undeclared identifier 'width'" \
    "the server: exited with status 0"

check "a file without faults has none"
echo 'int answer = 42;' >"$work/good.c"
run "$example" "$work/good.c"
expect_status 0
expect_output "the server: exited with status 0"

check "a server that is missing is named"
run env PATH="$work" "$example"
expect_status 1
expect_output
expect_error "cannot start 'clangd': No such file or directory"

check "a server that is none is found out"
cat >"$work/clangd" <<'SCRIPT'
#!/bin/sh
echo "I am no server"
SCRIPT
chmod +x "$work/clangd"
run env PATH="$work:$PATH" "$example"
expect_status 1
expect_error "the conversation failed: "

finish
