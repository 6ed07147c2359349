#!/bin/sh
# SPDX-License-Identifier: MIT
# valgrind.sh PROGRAM LAUNCHER: what a child leaves open or reads uninitialised fails the test under
# valgrind, and what it leaves open by leaving at once does not.
set -eu

program=$1
launcher=$2

# expect TEST STATUS SENTENCE: this test, run alone, ends so and says so.
expect() {
    status=0
    said=$(DUPLEX_TEST=$1 "$launcher" "$program" </dev/null 2>&1) || status=$?
    case $status:$said in
    "$2:"*"$3"*) ;;
    *)
        echo "$1: expected status $2 and '$3', got $status and:"
        echo "$said"
        exit 1
        ;;
    esac
}

expect test_a_function_leaves_a_descriptor_open 98 'Open AF_UNIX socket '
expect test_a_function_leaves_a_descriptor_open 98 'dxi_linux_socketpair (src/os/'
expect test_a_function_leaves_at_once 0 '100%'
expect test_a_function_reads_what_nobody_wrote 1 'uninitialised'
