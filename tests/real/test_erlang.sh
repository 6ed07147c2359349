#!/bin/sh
# SPDX-License-Identifier: MIT
# A program with duplex as a port of Erlang.
set -eu
PATH=/usr/local/bin:/usr/bin:/bin

command -v escript >/dev/null || {
    echo "skipped: an Erlang port: escript is not installed"
    exit 77
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM HUP

# Nothing is looked for at home, and nothing left there.
status=0
env HOME="$folder" ERL_CRASH_DUMP_BYTES=0 ERL_AFLAGS="+S 1:1" timeout -k 5 100 \
    escript "$DUPLEX_SOURCE/tests/real/port.escript" "$DUPLEX_PROGRAMS/program_partner" \
    "$folder/record" || status=$?
exit "$status"
