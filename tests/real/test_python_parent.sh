#!/bin/sh
# SPDX-License-Identifier: MIT
# A program with duplex as the child of a parent that speaks by multiprocessing.connection.
set -eu
PATH=/usr/local/bin:/usr/bin:/bin

command -v python3 >/dev/null || {
    echo "skipped: python as a parent: python3 is not installed"
    exit 77
}
timeout -k 5 55 python3 "$DUPLEX_SOURCE/tests/real/connection_parent.py" \
    "$DUPLEX_PROGRAMS/program_partner"
