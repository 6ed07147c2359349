#!/bin/sh
# SPDX-License-Identifier: MIT
# The example child_program has no parent to talk with when it is run by hand, and says so.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

check "child_program without a parent"
run env -u DUPLEX_FD "${DUPLEX_EXAMPLES:-${DUPLEX_BUILD:?}/examples}/child_program" </dev/null
expect_status 1
expect_output
expect_error "child_program: "

finish
