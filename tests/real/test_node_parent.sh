#!/bin/sh
# SPDX-License-Identifier: MIT
# A program with duplex as the child of child_process.fork().
set -eu
PATH=/usr/local/bin:/usr/bin:/bin

command -v node >/dev/null || {
    echo "skipped: node as a parent: node is not installed"
    exit 77
}
timeout -k 5 120 node "$DUPLEX_SOURCE/tests/real/node_parent.mjs" \
    "$DUPLEX_PROGRAMS/program_node_child"
