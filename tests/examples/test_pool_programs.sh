#!/bin/sh
# SPDX-License-Identifier: MIT
# The example pool_programs gives the lines of its input to programs that know nothing of it.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

example=${DUPLEX_EXAMPLES:-${DUPLEX_BUILD:?}/examples}/pool_programs

check "the answers are in the order of the lines, the last without its end too"
{
    seq 5000
    printf 'last'
} >"$work/in"
run "$example" sed -u 's/^/line /' <"$work/in"
expect_status 0
expect_silence
{
    seq -f 'line %.0f' 5000
    echo 'line last'
} >"$work/expected"
expect_output_of "$work/expected"
expect_no_process

check "without arguments it has a program of its own"
printf 'i am your father\n\n' >"$work/in"
run "$example" <"$work/in"
expect_status 0
expect_output "I AM YOUR FATHER" ""

check "no line is no job"
run "$example" </dev/null
expect_status 0
expect_output
expect_silence

check "one line that ends its worker fails alone"
printf '1\n2\nquit\n4\n' >"$work/in"
# shellcheck disable=SC2016 # the worker's own variable
run "$example" sh -c 'while read -r line; do
    [ "$line" != quit ] || exit 3
    echo "$line"
done' <"$work/in"
expect_status 1
expect_output 1 2 4
expect_error "line 3: "

check "a program that is missing is named"
run "$example" "$work/missing" </dev/null
expect_status 1
expect_error "'$work/missing'"

finish
