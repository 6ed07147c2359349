#!/bin/sh
# SPDX-License-Identifier: MIT
# The harness fails a test that leaves something behind, and says what.
set -eu

program=$DUPLEX_PROGRAMS/program_leaks

# expect TEST STATUS SENTENCE: this test, run alone, ends so and says so.
expect() {
    status=0
    said=$(DUPLEX_TEST=$1 "$program" </dev/null 2>&1) || status=$?
    case $status:$said in
    "$2:"*"$3"*) ;;
    *)
        echo "$1: expected status $2 and '$3', got $status and:"
        echo "$said"
        exit 1
        ;;
    esac
}

expect test_leaves_a_descriptor 1 'left descriptor '
expect test_leaves_a_descriptor 1 'open: /dev/null'
expect test_closes_a_descriptor 1 'closed descriptor 0, which it found open: /dev/null'
expect test_replaces_a_descriptor 1 'replaced descriptor 0: it was /dev/null and is /dev/zero'
expect test_leaves_a_child_running 1 'left a child running: '
expect test_leaves_a_zombie 1 'ended and not reaped'
expect test_leaves_a_thread 1 'left 2 more threads running than it found'
expect test_takes_too_long 1 'Test timeout expired'
expect test_leaves_nothing 0 "in a child: '1 + 1 == 3' does not hold"
expect test_leaves_nothing 0 '100%: Checks: 1, Failures: 0, Errors: 0'
expect test_is_skipped 0 'skipped: test_is_skipped: it is only an example'
expect test_that_is_not_there 1 "no test is called 'test_that_is_not_there'"
