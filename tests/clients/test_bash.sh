#!/bin/sh
# SPDX-License-Identifier: MIT
# clients/bash/child.bash converses in lines with a parent in C.
set -eu

: "${DUPLEX_SOURCE:?the source tree}" "${DUPLEX_PROGRAMS:?the programs of this folder}"

if ! command -v bash >/dev/null; then
    echo "skipped: bash: it is not here"
    exit 77
fi
timeout -k 5 120 "$DUPLEX_PROGRAMS/program_line_parent" \
    bash "$DUPLEX_SOURCE/clients/bash/child.bash" 2>&1
echo passed
