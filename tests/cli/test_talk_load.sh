#!/bin/sh
# SPDX-License-Identifier: MIT
# `duplex talk` loses nothing of much, takes no more memory for it, and no time while it waits.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

# An input that never ends and never says anything: descriptor 3.
mkfifo "$work/idle"
exec 3<>"$work/idle"

seq 1 760000 | head -c 5000000 >"$work/many"
echo >>"$work/many"

check "5 MB of lines go there and back at once"
run "$DUPLEX" talk -- cat <"$work/many"
expect_status 0
expect_output_of "$work/many"

check "long lines go there and back"
# Lines of 1 byte, 10 bytes, … 10 MB.
for size in 1 10 100 1000 10000 100000 1000000 10000000; do
    head -c $size /dev/zero | tr '\0' x
    echo
done >"$work/long"
run "$DUPLEX" talk -- cat <"$work/long"
expect_status 0
expect_output_of "$work/long"

check "a slow reader loses nothing"
timeout -k 5 30 "$DUPLEX" talk -- cat <"$work/many" 2>"$work/err" | {
    sleep 1
    cat
} >"$work/out"
expect_output_of "$work/many"

# An endless flow in memory that could not hold it. A sanitizer reserves more than that by itself.
if [ -z "${DUPLEX_SANITIZE:-}" ]; then
    check "input that the program does not take stays where it is"
    run sh -c 'ulimit -v 150000; yes | "$1" talk -- sleep 2' sh "$DUPLEX"
    expect_status 0
    expect_silence

    check "output that nobody takes stays where it is"
    run sh -c 'ulimit -v 150000; yes | "$1" talk -- yes | { sleep 2; head -n 2; }' sh "$DUPLEX"
    expect_output y y
    expect_silence

    # A second of processor time in two seconds of waiting would be a loop that never sleeps.
    check "waiting takes no processor time, whoever is waited for"
    for program in "sleep 2" "exec <&- >&-; sleep 2" "exec >&-; cat >/dev/null; sleep 2" \
        "yes | head -c 1000000; sleep 2"; do
        run sh -c 'ulimit -t 1; exec "$1" talk -- sh -c "$2" >"$3"' \
            sh "$DUPLEX" "$program" "$work/ignored" </dev/null
        expect_status 0
    done
    # shellcheck disable=SC2016
    run sh -c 'ulimit -t 1; yes | head -c 1000000 | "$1" talk -- sleep 2' sh "$DUPLEX"
    expect_status 0
    # shellcheck disable=SC2016
    run sh -c 'ulimit -t 1; { "$1" talk -- sleep 2; echo $? >"$2"; } | true' \
        sh "$DUPLEX" "$work/status" <&3
    status=$(cat "$work/status")
    expect_status 0
    mkfifo "$work/unread"
    exec 4<>"$work/unread"
    reach=--foreground interrupt TERM 2 \
        sh -c 'ulimit -t 1; exec "$1" talk -- sh -c "yes | head -c 1000000" >&4' sh "$DUPLEX" <&3
    exec 4>&-
    expect_status 143
fi
expect_no_process

exec 3>&-
finish
