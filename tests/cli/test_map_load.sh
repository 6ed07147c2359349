#!/bin/sh
# SPDX-License-Identifier: MIT
# `duplex map` loses nothing of much, takes no more memory for it, no time while it waits, and has as
# many workers as are asked for.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

worker=${DUPLEX_PROGRAMS:?}/program_worker
mkfifo "$work/idle"
exec 3<>"$work/idle"

many=200000
few_workers=300
if [ -n "${DUPLEX_SANITIZE:-}" ]; then
    many=10000
    few_workers=20
fi

check "$many lines go through in order"
seq 1 $many >"$work/many"
run "$DUPLEX" map -q -j 2 -- cat <"$work/many"
expect_status 0
expect_output_of "$work/many"

check "unordered, each is there once"
run "$DUPLEX" map -q -u -j 3 -- cat <"$work/many"
expect_status 0
sort -n "$work/out" | cmp -s - "$work/many" || fail "it is not so"

check "a slow reader loses nothing"
timeout -k 5 30 "$DUPLEX" map -q -j 2 --joblog "$work/log" -- cat <"$work/many" 2>"$work/err" | {
    sleep 0.5
    cat
} >"$work/out"
expect_output_of "$work/many"
[ "$(wc -l <"$work/log")" = $((many + 1)) ] || fail "the joblog is not complete"

check "killing workers all the time loses nothing"
"$DUPLEX" map -q -j 3 --retries 1000000 -- "$worker" <"$work/many" >"$work/out" 2>"$work/err" &
running=$!
while kill -0 $running 2>/dev/null; do
    sleep 0.02
    process=
    { read -r process _ <"/proc/$running/task/$running/children"; } 2>/dev/null || continue
    kill -KILL "$process" 2>/dev/null || true
done
status=0
wait $running || status=$?
expect_status 0
expect_output_of "$work/many"

check "$few_workers workers are started, and all work at a time"
for _ in $(seq 1 $few_workers); do echo "wait 500"; done >"$work/in"
# shellcheck disable=SC2016
run sh -c 'ulimit -Sn 100; exec "$@"' sh "$DUPLEX" map -q -j $few_workers --depth 1 -- \
    "$worker" <"$work/in"
expect_status 0
expect_output_of "$work/in"
expect_within 6000
expect_no_process

# What a run takes at most, in KiB: peak_of LINES OPTIONS…
peak_of() {
    lines=$1
    shift
    seq 1 "$lines" | /usr/bin/env time -f %M -o "$work/peak" "$DUPLEX" map -q -j 2 "$@" -- cat \
        >"$work/ignored"
    cat "$work/peak"
}

# A sanitizer has memory and time of its own.
if [ -z "${DUPLEX_SANITIZE:-}" ]; then
    if command -v time >"$work/ignored"; then
        check "memory does not grow with the input"
        for options in "" "--joblog $work/log"; do
            # shellcheck disable=SC2086
            small=$(peak_of 30000 $options)
            # shellcheck disable=SC2086
            large=$(peak_of 600000 $options)
            [ "$large" -lt $((small + 1024)) ] || fail "$small KiB became $large KiB"
        done
        check "nor with a joblog that is resumed"
        small=$(peak_of 30000 --resume --joblog "$work/log")
        large=$(peak_of 600000 --resume --joblog "$work/log")
        [ "$large" -lt $((small + 1024)) ] || fail "$small KiB became $large KiB"
    fi

    # A second of processor time in two seconds of waiting would be a loop that never sleeps. All wait
    # at the same time: wait_as NAME SCRIPT
    wait_as() {
        (
            waited=0
            sh -c "ulimit -t 1; $2" sh "$DUPLEX" "$worker" 3<&- 2>"$work/err_$1" || waited=$?
            echo "$waited" >"$work/status_$1"
        ) &
    }
    mkfifo "$work/unread" "$work/unread2"
    exec 4<>"$work/unread" 5<>"$work/unread2"
    yes | head -n 100000 >"$work/in"
    # shellcheck disable=SC2016
    {
        wait_as output 'ulimit -v 400000; yes | timeout 2 "$1" map -q -j 2 -- cat >&4'
        wait_as file 'timeout 2 "$1" map -q -j 2 -- cat >&5 <'"$work/in"
        wait_as answer 'echo "wait 2000" | "$1" map -q -j 2 -- "$2" >/dev/null'
        wait_as input 'sleep 2 | "$1" map -q -j 2 -- cat'
    }
    wait
    for waiting in output file answer input; do
        check "waiting takes neither processor time nor memory: $waiting"
        status=$(cat "$work/status_$waiting")
        cp "$work/err_$waiting" "$work/err"
        case $waiting in output | file) expect_status 124 ;; *) expect_status 0 ;; esac
        expect_silence
    done
    exec 4>&- 5>&-
fi
expect_no_process

exec 3<&-
finish
