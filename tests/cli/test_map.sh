#!/bin/sh
# SPDX-License-Identifier: MIT
# `duplex map` gives each message of its input to a worker and writes what it answers, in order or as
# it comes, in every framing.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

worker=${DUPLEX_PROGRAMS:?}/program_worker

check "each line is a job, and the answers are in the order of the jobs"
seq 1 5000 >"$work/in"
run "$DUPLEX" map -q -j 3 -- "$worker" <"$work/in"
expect_status 0
expect_silence
expect_output_of "$work/in"
expect_no_process

check "a slow job holds back the answers behind it"
printf '%s\n' 'wait 300' 2 3 >"$work/in"
run "$DUPLEX" map -q -j 2 --depth 1 -- "$worker" <"$work/in"
expect_status 0
expect_output_of "$work/in"

check "unordered, the answers are written as they come"
run "$DUPLEX" map -q -u -j 2 --depth 1 -- "$worker" <"$work/in"
expect_status 0
expect_output 2 3 'wait 300'

check "the last of two options counts"
run "$DUPLEX" map -q -u -k -j 2 --depth 1 -- "$worker" <"$work/in"
expect_output_of "$work/in"

check "the workers share the jobs, and each does many"
seq 1 8 >"$work/in"
# shellcheck disable=SC2016
run "$DUPLEX" map -q -j 4 --depth 1 -- sh -c 'while read -r job; do sleep 0.2; echo $$; done' \
    <"$work/in"
expect_status 0
[ "$(sort -u "$work/out" | wc -l)" = 4 ] || fail "not four workers did it"
[ "$(wc -l <"$work/out")" = 8 ] || fail "not each job has an answer"

check "no input is no job"
run "$DUPLEX" map -- "$worker" </dev/null
expect_status 0
expect_output
expect_error "0 jobs: 0 done, 0 failed"

check "empty lines, and a last one without a newline, are jobs like any other"
printf 'one\n\nthree' >"$work/in"
run "$DUPLEX" map -q -- "$worker" <"$work/in"
expect_status 0
expect_output one "" three

check "jobs come one by one from a pipe, and their answers leave at once"
mkfifo "$work/slowly"
: >"$work/out"
(
    echo one
    wait_for "$work/out"
    echo two
) >"$work/slowly" &
run "$DUPLEX" map -q -- "$worker" <"$work/slowly"
expect_status 0
expect_output one two
wait

check "an answer is preceded by its job and a tab if that is asked for"
printf '%s\n' one 'a	b' "" >"$work/in"
run "$DUPLEX" map -q --tag -- sed -u 's/^/re: /' <"$work/in"
expect_status 0
expect_output 'one	re: one' 'a	b	re: a	b' '	re: '
run "$DUPLEX" map -q --tag --framing nul -- cat <"$work/in"
expect_status 0

check "large jobs and large answers go through"
{
    head -c 3000000 /dev/zero | tr '\0' x
    echo
    echo long
} >"$work/in"
run "$DUPLEX" map -q -j 2 -- "$worker" <"$work/in"
expect_status 0
[ "$(wc -c <"$work/out")" = $((3000001 + 65 * 4096 + 1)) ] || fail "the sizes differ"

# Framings.

for framing in nul netstring u8 u16 u32 python content-length; do
    check "jobs and answers in the form of $framing"
    seq 1 500 >"$work/lines"
    # A map makes the input, too.
    run "$DUPLEX" map -q -j 1 --framing line --output $framing -- cat <"$work/lines"
    expect_status 0
    expect_silence
    cp "$work/out" "$work/in"
    run "$DUPLEX" map -q -j 2 --framing $framing -- "$worker" -f $framing <"$work/in"
    expect_status 0
    expect_silence
    expect_output_of "$work/in"
    run "$DUPLEX" map -q -j 1 --framing line --input $framing -- cat <"$work/in"
    expect_status 0
    expect_output_of "$work/lines"
done

check "the forms are those that other programs know"
expect_form() {
    echo hello >"$work/in"
    # shellcheck disable=SC2059
    printf "$2" >"$work/form"
    run "$DUPLEX" map -q --output "$1" -- cat <"$work/in"
    expect_status 0
    expect_output_of "$work/form"
}
expect_form nul 'hello\0'
expect_form netstring '5:hello,'
expect_form u8 '\005hello'
expect_form u16 '\000\005hello'
expect_form u32 '\000\000\000\005hello'
expect_form python '\000\000\000\005hello'
expect_form content-length 'Content-Length: 5\r\n\r\nhello'
expect_form pkt-line '0009hello'

check "file names with newlines are jobs, between NULs"
printf 'a\nb\0c\0' >"$work/in"
run "$DUPLEX" map -q --framing nul -- "$worker" -f nul <"$work/in"
expect_status 0
expect_output_of "$work/in"

check "native workers get their jobs as calls, and lines are the jobs"
seq 1 5000 >"$work/in"
run "$DUPLEX" map -q -j 2 --framing native -- "$worker" -f native <"$work/in"
expect_status 0
expect_silence
expect_output_of "$work/in"

check "what a native worker refuses has failed, with the worker's own words"
printf '%s\n' one refuse three >"$work/in"
run "$DUPLEX" map -j 1 --framing native -- "$worker" -f native <"$work/in"
expect_status 1
expect_output one three
expect_error "duplex: job 2 failed: "
expect_error 'it has\nno taste'
expect_error ": refuse"
expect_error "3 jobs: 2 done, 1 failed"

check "a job that the framing of the workers cannot carry has failed, and the others are done"
{
    echo one
    head -c 300 /dev/zero | tr '\0' x
    echo
    echo three
} >"$work/in"
run "$DUPLEX" map --framing u8 --input line --output line -- "$worker" -f u8 <"$work/in"
expect_status 1
expect_output one three
expect_error "duplex: job 2 failed: "
expect_error ": xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."

check "an answer that the framing of the output cannot carry is a failure, too"
printf '%s\n' one long three >"$work/in"
run "$DUPLEX" map --output u16 -- "$worker" <"$work/in"
expect_status 1
expect_error "duplex: job 2 failed: the framing of the output cannot carry the reply: long"
printf '\000\003one\000\005three' >"$work/form"
expect_output_of "$work/form"

check "an answer that holds a newline is written as it is"
echo newline >"$work/in"
run "$DUPLEX" map -q --framing netstring --input line --output line -- "$worker" -f netstring \
    <"$work/in"
expect_output two lines

# The summary.

check "the summary counts"
printf '%s\n' one 'exit 3' three >"$work/in"
run "$DUPLEX" map -j 1 -- "$worker" <"$work/in"
expect_status 1
expect_output one three
expect_error "3 jobs: 2 done, 1 failed"
expect_error "jobs/s; p50 "

if command -v python3 >"$work/ignored"; then
    check "the summary is JSON if that is asked for, and adds up"
    run "$DUPLEX" map -q --json -j 1 --depth 1 --retries 1 -- "$worker" <"$work/in"
    expect_status 1
    python3 - "$work/err" <<'END' || fail "the JSON object is not as it should be"
import json, sys
[line] = open(sys.argv[1]).read().splitlines()
it = json.loads(line)
assert it["jobs"] == 3 and it["done"] == 2 and it["failed"] == 1 and it["skipped"] == 0, it
assert it["retried"] == 1 and it["deaths"] == 2 and it["restarts"] == 2 and it["starts"] == 3, it
assert it["seconds"] > 0 and it["jobs_per_second"] > 0 and it["status"] == 1, it
assert 0 < it["latency_seconds"]["p50"] <= it["latency_seconds"]["max"], it
END
fi

check "with --quiet only errors are said"
run "$DUPLEX" map -q -j 1 -- "$worker" <"$work/in"
expect_status 1
expect_silence

finish
