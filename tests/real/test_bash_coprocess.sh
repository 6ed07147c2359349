#!/bin/sh
# SPDX-License-Identifier: MIT
# `duplex talk` as a coprocess of bash, of which bash has two pipes.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

for program in bash sed; do
    command -v $program >/dev/null || {
        echo "skipped: a coprocess of bash: $program is not installed"
        exit 77
    }
done

# bash_says ARGUMENT…: run the script in $work/script, which is followed by its own checks.
bash_says() {
    run bash -eu "$work/script" "$DUPLEX" "$@"
}

cat >"$work/script" <<'BASH'
duplex=$1
shift
coproc talk { exec "$duplex" talk "$@"; }
pid=$talk_PID
for number in {1..500}; do
    question="  i am your\\father $number"
    printf '%s\n' "$question" >&"${talk[1]}"
    IFS= read -r -t 20 answer <&"${talk[0]}"
    [[ $answer == "${question/father/child}" ]] || { echo "to $question it said $answer"; exit 1; }
done
# Bash forgets the descriptors when the coprocess ends, which may be before its last answer is read.
exec {output}<&"${talk[0]}" {input}>&"${talk[1]}"
eval "exec ${talk[0]}<&- ${talk[1]}>&-"
printf 'the last father' >&"$input"
exec {input}>&-
IFS= read -r -t 20 answer <&"$output" || true
echo "$answer"
wait "$pid" || echo "status $?"
BASH

check "each line of a coprocess is answered at once, and the last that has no end"
bash_says -- sh -c 'sed -u s/father/child/; exit 7'
expect_status 0
expect_output "the last child" "status 7"
expect_silence
expect_no_process

check "the same with --framing line"
bash_says --framing line -- sed -u 's/father/child/'
expect_status 0
expect_output "the last child"
expect_silence
expect_no_process

check "a coprocess whose bash is killed leaves nobody"
cat >"$work/script" <<'BASH'
coproc "$1" talk -- sh -c 'trap "" HUP INT TERM; echo ready; while :; do sleep 1; done'
IFS= read -r -t 20 answer <&"${COPROC[0]}"
echo "$answer"
exec >&-
sleep 300 &
wait $!
BASH
: >"$work/ready"
bash "$work/script" "$DUPLEX" >"$work/ready" 2>"$work/err" &
bash_pid=$!
wait_for "$work/ready"
kill -KILL $bash_pid
wait $bash_pid 2>/dev/null || true
started_ms=$(now_ms)
# What bash itself left behind is not duplex's to end.
left() {
    for process in $(marked_processes); do
        grep -qx sleep "/proc/$process/comm" 2>/dev/null &&
            tr '\0' ' ' <"/proc/$process/cmdline" | grep -qx 'sleep 300 ' || echo "$process"
    done
}
limit_ms=1000
[ -z "${DUPLEX_SANITIZE:-}" ] || limit_ms=10000
while [ -n "$(left)" ]; do
    elapsed_ms=$(($(now_ms) - started_ms))
    [ $elapsed_ms -le $limit_ms ] || fail "after $elapsed_ms ms there are still $(left)"
    sleep 0.02
done
for process in $(marked_processes); do
    kill "$process"
done

check "bash has whole names of find, with newlines in them"
mkdir "$work/folder"
touch "$work/folder/plain" "$work/folder/two
lines"
cat >"$work/script" <<'BASH'
cd "$2"
# It waits for a word, since bash forgets the descriptors of a coprocess that has ended.
coproc talk { exec "$1" talk --framing nul -- sh -c 'head -c 3 >/dev/null; exec find . -type f -print0'; }
exec {output}<&"${talk[0]}"
printf 'go\0' >&"${talk[1]}"
while IFS= read -r -d '' -t 20 name; do
    printf '%q\n' "$name"
done <&"$output" | LC_ALL=C sort
BASH
bash_says "$work/folder"
expect_status 0
expect_output "\$'./two\\nlines'" ./plain

finish
