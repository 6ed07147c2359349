# SPDX-License-Identifier: MIT
# What the test scripts of the command have in common. A script sources it, checks its promises with
# the words below, and ends with `finish`. Whatever a script starts carries a mark in its environment,
# by which a process that was left behind is found wherever it went.
# shellcheck shell=sh
set -eu

: "${DUPLEX:?the path of the command}"
work=$(mktemp -d)
checks=0
mark=$$-${work##*.}
export DUPLEX_TEST_MARK="$mark"

# The processes that carry the mark. The script itself does not: it had none when it was started.
marked_processes() {
    (
        unset DUPLEX_TEST_MARK
        grep -lsz "^DUPLEX_TEST_MARK=$mark\$" /proc/[0-9]*/environ | sed 's|[^0-9]||g' || true
    )
}

clean_up() {
    for process in $(marked_processes); do
        kill -KILL "$process" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

fail() {
    echo "failed: $what: $*"
    for file in out err; do
        [ -s "$work/$file" ] && { echo "--- std$file:"; head -c 2000 "$work/$file"; }
    done
    exit 1
}

# Name what is checked next.
check() {
    what=$*
    checks=$((checks + 1))
}

now_ms() {
    echo $(($(date +%s%N) / 1000000))
}

# Run a command with a time limit; keep its output in $work/out and $work/err, its status in $status
# and its time in $elapsed_ms. Signals have their default dispositions, however the test was started.
run() {
    status=0
    started_ms=$(now_ms)
    env --default-signal=INT,TERM,HUP,PIPE timeout -k 5 30 "$@" >"$work/out" 2>"$work/err" ||
        status=$?
    elapsed_ms=$(($(now_ms) - started_ms))
}

# Run a command that is sent a signal after a time: interrupt SIGNAL SECONDS COMMAND… The signal goes
# to the command alone, as from kill(1), or to its children too, as from a terminal, by $reach.
interrupt() {
    interrupt_signal=$1
    interrupt_after=$2
    shift 2
    # timeout(1) sends SIGCONT after its signal. That cancels the SIGSTOP by which the leak sanitizer
    # halts a process that ends, and it would wait for ever.
    run env ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" \
        timeout ${reach:+"$reach"} --preserve-status -k 15 -s "$interrupt_signal" \
        "$interrupt_after" "$@"
}

expect_status() {
    [ "$status" = "$1" ] || fail "the exit status is $status, not $1"
}

# Standard output is exactly this file.
expect_output_of() {
    cmp -s "$1" "$work/out" || {
        echo "--- expected:"
        head -c 2000 "$1"
        fail "the output differs"
    }
}

# Standard output is exactly these lines.
expect_output() {
    if [ $# = 0 ]; then : >"$work/expected"; else printf '%s\n' "$@" >"$work/expected"; fi
    expect_output_of "$work/expected"
}

expect_error() {
    grep -qF -e "$1" "$work/err" || fail "standard error does not say: $1"
}

expect_silence() {
    [ ! -s "$work/err" ] || fail "something was said on standard error"
}

# It took less than so many milliseconds. Under a sanitizer or valgrind time is another matter.
expect_within() {
    [ -n "${DUPLEX_SANITIZE:-}" ] || [ "$elapsed_ms" -lt "$1" ] ||
        fail "it took $elapsed_ms ms, not less than $1"
}

# Within a second nothing is left of what the script started.
expect_no_process() {
    tries=0
    while [ -n "$(marked_processes)" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 20 ]; then
            for process in $(marked_processes); do
                echo "$process: $(tr '\0' ' ' <"/proc/$process/cmdline")"
            done
            fail "a process was left behind"
        fi
        sleep 0.05
    done
}

# Wait until so many processes run that the script has started.
wait_for_processes() {
    tries=0
    until [ "$(marked_processes | wc -l)" -ge "$1" ]; do
        tries=$((tries + 1))
        [ $tries -le 200 ] || fail "there were fewer than $1 processes for 10 seconds"
        sleep 0.05
    done
}

# Wait until a file has some content: wait_for FILE. Whoever has a program in the background write it
# empties it before: the shell opens it only after it has forked, and what an earlier check left
# there would be taken for what is waited for.
wait_for() {
    tries=0
    until [ -s "$1" ]; do
        tries=$((tries + 1))
        [ $tries -le 200 ] || fail "nothing came in 10 seconds"
        sleep 0.05
    done
}

finish() {
    check "the end of the test"
    expect_no_process
    echo "passed: $checks checks"
}
