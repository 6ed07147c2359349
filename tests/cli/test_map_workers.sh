#!/bin/sh
# SPDX-License-Identifier: MIT
# Whatever the workers of `duplex map` do, each job has one answer or has failed, with the reason.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

worker=${DUPLEX_PROGRAMS:?}/program_worker

# expect_one_failure JOB REASON OPTIONS…: of three jobs the one in the middle fails, with that reason.
expect_one_failure() {
    bad=$1
    reason=$2
    shift 2
    printf '%s\n' before "$bad" after >"$work/in"
    run "$DUPLEX" map -j 1 "$@" <"$work/in"
    expect_status 1
    expect_output before after
    expect_error "duplex: job 2 failed: "
    expect_error "$reason"
    expect_error ": $bad"
    expect_no_process
}

check "a job that kills its worker has failed, with the signal"
expect_one_failure "kill 11" SIGSEGV -- "$worker"
expect_one_failure "kill 9" SIGKILL --retries 2 -- "$worker"

check "a job whose worker exits has failed, with the status"
expect_one_failure "exit 3" "status 3" -- "$worker"

check "a job that takes too long has failed, and its worker is replaced"
expect_one_failure hang "" --timeout 0.2 -- "$worker"
expect_one_failure stop "" --timeout 0.2 --depth 1 -- "$worker"

check "an answer that begins and does not end is none"
printf '%s\n' before half after >"$work/in"
run "$DUPLEX" map -j 1 --framing netstring --input line --output line -- "$worker" -f netstring \
    <"$work/in"
expect_status 1
expect_output before after
expect_error "duplex: job 2 failed: "

check "what is no message of the framing is no answer"
expect_one_failure garbage "" --framing netstring --input line --output line -- "$worker" \
    -f netstring

check "a worker that answers twice loses nobody's answer"
seq 1 200 | sed 's/^100$/twice/' >"$work/in"
run "$DUPLEX" map -j 2 --framing native -- "$worker" -f native <"$work/in"
[ "$(wc -l <"$work/out")" -ge 199 ] || fail "answers are missing"
sort "$work/out" | uniq -d >"$work/twice"
[ ! -s "$work/twice" ] || fail "there are two answers to one job: $(cat "$work/twice")"

check "a job whose first worker dies is done by the next, if it may be tried again"
printf '%s\n' one "once $work/mark" three >"$work/in"
run "$DUPLEX" map -j 2 --retries 1 -- "$worker" <"$work/in"
expect_status 0
expect_output_of "$work/in"
expect_error "3 done, 0 failed"

check "jobs that were with a worker that died of another are done all the same"
seq 1 300 | sed 's/^150$/kill 9/' >"$work/in"
run "$DUPLEX" map -j 2 --depth 32 -- "$worker" <"$work/in"
expect_status 1
grep -v kill "$work/in" >"$work/expected"
expect_output_of "$work/expected"
[ "$(grep -c failed: "$work/err")" = 1 ] || fail "not one failure is told"

# A worker that leaves by itself may have been given another job by then.
check "workers that exit after each job are replaced"
seq 1 30 >"$work/in"
run "$DUPLEX" map -j 2 --depth 1 --retries 30 -- "$worker" -e 1 <"$work/in"
expect_status 0
expect_output_of "$work/in"
run "$DUPLEX" map -j 2 --recycle 1 -- "$worker" -e 1 <"$work/in"
expect_status 0
expect_output_of "$work/in"

check "workers are replaced after so many jobs if that is asked for"
for i in 1 2 3 4 5 6; do echo pid; done >"$work/in"
run "$DUPLEX" map -q -j 1 --depth 1 --recycle 2 -- "$worker" <"$work/in"
expect_status 0
[ "$(sort -u "$work/out" | wc -l)" = 3 ] || fail "not three workers did six jobs"

if [ -z "${DUPLEX_SANITIZE:-}" ]; then
    check "workers are replaced at a size of memory if that is asked for"
    printf '%s\n' pid grow 'wait 300' pid 'wait 300' pid >"$work/in"
    run "$DUPLEX" map -q -j 1 --depth 1 --recycle-memory 32M -- "$worker" <"$work/in"
    expect_status 0
    [ "$(sed -n 1p "$work/out")" != "$(sed -n '$p' "$work/out")" ] || fail "it is the same worker"
fi

check "workers that cannot get ready end the run, with what they said"
seq 1 100 >"$work/in"
run "$DUPLEX" map -j 2 --ready message -- "$worker" -c <"$work/in"
expect_status 125
expect_output
expect_error "duplex: the workers have ended before all jobs were done: "
expect_error "no model was found"
expect_no_process

check "workers that crash at their start end the run, and not each job has to fail first"
run "$DUPLEX" map -j 2 -- "$worker" -c <"$work/in"
expect_status 125
expect_output
expect_error "duplex: the workers have ended before all jobs were done: "
[ "$(grep -c 'failed:' "$work/err")" -lt 50 ] || fail "it went on for too long"
expect_no_process

check "a worker that says a first message when it is ready is waited for, and it is no answer"
seq 1 20 >"$work/in"
run "$DUPLEX" map -q -j 2 --ready message -- "$worker" -m <"$work/in"
expect_status 0
expect_output_of "$work/in"

check "a worker that does not get ready is a failure"
run "$DUPLEX" map -j 8 --ready message --ready-timeout 0.1 -- "$worker" <"$work/in"
expect_status 125
expect_no_process

check "what workers say on standard error is heard there"
# shellcheck disable=SC2016
run "$DUPLEX" map -q -j 1 -- sh -c 'echo starting >&2; exec cat' <"$work/in"
expect_status 0
expect_error starting
expect_output_of "$work/in"

check "handovers other than standard input and output leave these to people"
# shellcheck disable=SC2016
run "$DUPLEX" map -q -j 2 --handover fds -- \
    sh -c 'echo printed; while read -r job <&3; do echo "re: $job" >&4; done' <"$work/in"
expect_status 0
sed 's/^/re: /' "$work/in" >"$work/expected"
expect_output_of "$work/expected"
expect_error printed
for handover in pipes stdio; do
    # shellcheck disable=SC2016
    run "$DUPLEX" map -q -j 1 --handover $handover -- \
        sh -c '[ -p /dev/fd/0 ] && echo pipe || echo socket; exec cat >/dev/null' </dev/null
    expect_status 0
done
# shellcheck disable=SC2016
kind='read -r job; [ -p /proc/self/fd/0 ] && echo pipe || echo other'
echo job >"$work/in"
run "$DUPLEX" map -q -j 1 --handover pipes -- sh -c "$kind" <"$work/in"
expect_output pipe
run "$DUPLEX" map -q -j 1 --handover stdio -- sh -c "$kind" <"$work/in"
expect_output other

check "workers have the limit of open descriptors that duplex was started with"
for i in 1 2 3; do echo $i; done >"$work/in"
# shellcheck disable=SC2016
run sh -c 'ulimit -Sn 40; exec "$@"' sh "$DUPLEX" map -q -j 20 -- \
    sh -c 'while read -r job; do ulimit -Sn; done' <"$work/in"
expect_status 0
expect_output 40 40 40
# shellcheck disable=SC2016
run sh -c 'ulimit -Sn 40; ulimit -Hn 80; exec "$@"' sh "$DUPLEX" map -j 100 -- cat <"$work/in"
expect_status 125
expect_error "100 workers need"

finish
