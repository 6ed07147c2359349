#!/bin/sh
# SPDX-License-Identifier: MIT
# The joblog of `duplex map` has the columns of GNU parallel, says of no job that it is done that is
# not, and is what a run that was killed is resumed by. The file of failed jobs can be fed again.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

worker=${DUPLEX_PROGRAMS:?}/program_worker
log=$work/log
header='Seq	Host	Starttime	JobRuntime	Send	Receive	Exitval	Signal	Command'

# The numbers of the jobs in the joblog, in order.
logged() {
    sed 1d "$log" | cut -f 1 | sort -n
}

# Each line of the joblog is whole and has the right form.
expect_rows() {
    [ "$(head -n 1 "$log")" = "$header" ] || fail "the joblog does not begin with its header"
    sed 1d "$log" >"$work/rows"
    ! grep -qvE '^[0-9]+	:	[0-9]{10}\.[0-9]{3}	 *[0-9]+\.[0-9]{3}	[0-9]+	[0-9]+	-?[0-9]+	[0-9]+	' \
        "$work/rows" || fail "a row has another form: $(cat "$work/rows")"
}

check "each job has a row: its number, when, how long, how many bytes, how it ended, what it was"
printf '%s\n' one 'kill 9' 'exit 3' 'wait 200' hang 'a	b' >"$work/in"
now=$(date +%s)
run "$DUPLEX" map -q -j 1 --depth 1 --timeout 1 --joblog "$log" -- "$worker" <"$work/in"
expect_status 1
expect_rows
cut -f 1,5- "$log" | sed 1d >"$work/rows"
printf '%s\n' '1	3	3	0	0	one' '2	6	0	0	9	kill 9' '3	6	0	3	0	exit 3' \
    '4	8	8	0	0	wait 200' '5	4	0	-1	0	hang' '6	3	3	0	0	a\tb' >"$work/expected"
cmp -s "$work/rows" "$work/expected" || fail "the rows are others: $(cat "$work/rows")"
sed 1d "$log" | cut -f 3 | while read -r time; do
    [ $((${time%.*} - now)) -ge 0 ] || fail "the time is $time"
    [ $((${time%.*} - now)) -le 20 ] || fail "the time is $time"
done
milliseconds=$(sed -n 5p "$log" | cut -f 4 | tr -d ' .')
[ "$((1$milliseconds - 10000))" -ge 200 ] || fail "waiting took $milliseconds ms"

check "a job that is long is cut in the joblog, one with odd bytes escaped"
{
    head -c 5000 /dev/zero | tr '\0' x
    printf '\n\033[31m\\\n'
} >"$work/in"
run "$DUPLEX" map -q -j 1 --joblog "$log" -- "$worker" <"$work/in"
expect_status 0
expect_rows
[ "$(sed -n 2p "$log" | cut -f 9 | wc -c)" = 1004 ] || fail "it was not cut"
# shellcheck disable=SC1003
printf '%s\n' '\x1b[31m\\' >"$work/expected"
sed -n 3p "$log" | cut -f 9 | cmp -s - "$work/expected" || fail "it was not escaped"

check "a joblog that is there is begun anew"
echo one >"$work/in"
run "$DUPLEX" map -q --joblog "$log" -- "$worker" <"$work/in"
expect_status 0
[ "$(logged)" = 1 ] || fail "there is more in it"

# Resuming.

check "a run that is resumed does what is not in the joblog, and adds it there"
seq 1 20 >"$work/in"
printf '%s\n' "$header" '3	:	1	1	0	0	0	0	3' '4	:	1	1	0	0	1	0	4' '9	:	1	1	0	0	0	9	9' >"$log"
run "$DUPLEX" map -j 2 --resume --joblog "$log" -- "$worker" <"$work/in"
expect_status 0
sed '3d;4d;9d' "$work/in" >"$work/expected"
expect_output_of "$work/expected"
expect_error "17 done, 0 failed, 3 done before"
[ "$(logged | tr '\n' ' ')" = "$(seq 1 20 | tr '\n' ' ')" ] || fail "the joblog is not complete"

check "--resume-failed does those again that failed, whose last row counts"
printf '%s\n' "$header" '3	:	1	1	0	0	0	0	3' '4	:	1	1	0	0	1	0	4' '9	:	1	1	0	0	0	9	9' \
    '10	:	1	1	0	0	-1	0	10' '10	:	1	1	0	0	0	0	10' >"$log"
run "$DUPLEX" map -q -j 2 --resume-failed --joblog "$log" -- "$worker" <"$work/in"
expect_status 0
sed '3d;10d' "$work/in" >"$work/expected"
expect_output_of "$work/expected"
run "$DUPLEX" map -q -j 2 --resume-failed --joblog "$log" -- "$worker" <"$work/in"
expect_status 0
expect_output

check "a joblog that is not there, is empty, or ends in its header, is as good as none"
for content in "" "Seq	Host	St"; do
    printf '%s' "$content" >"$log"
    run "$DUPLEX" map -q --resume --joblog "$log" -- "$worker" <"$work/in"
    expect_status 0
    expect_output_of "$work/in"
    expect_rows
done
rm "$log"
run "$DUPLEX" map -q --resume --joblog "$log" -- "$worker" <"$work/in"
expect_status 0
expect_output_of "$work/in"

check "a last row that was not written to its end is cut off, and its job done"
head -n 10 "$log" >"$work/short"
printf '10	:	17' >>"$work/short"
cp "$work/short" "$log"
run "$DUPLEX" map -q --resume --joblog "$log" -- "$worker" <"$work/in"
expect_status 0
seq 10 20 >"$work/expected"
expect_output_of "$work/expected"
expect_rows
[ "$(logged | tr '\n' ' ')" = "$(seq 1 20 | tr '\n' ' ')" ] || fail "the joblog is not complete"

check "what is no joblog is not touched"
for content in 'some\nnotes\n' 'some notes' 'Seq\tHost\n' "$header\\n1\\t:\\t17\\n" \
    "$header\\nx\\t:\\t1\\t1\\t0\\t0\\t0\\t0\\tx\\n" "$header\\n0\\t:\\t1\\t1\\t0\\t0\\t0\\t0\\tx\\n" \
    "$header\\n\\n"; do
    # shellcheck disable=SC2059
    printf "$content" >"$log"
    cp "$log" "$work/before"
    run "$DUPLEX" map --resume --joblog "$log" -- "$worker" <"$work/in"
    expect_status 125
    expect_output
    expect_error "is no joblog: "
    cmp -s "$log" "$work/before" || fail "it was touched"
done

check "two runs do not write one joblog"
rm -f "$log"
mkfifo "$work/idle"
exec 3<>"$work/idle"
"$DUPLEX" map -q --joblog "$log" -- "$worker" <"$work/idle" 3<&- &
first=$!
wait_for "$log"
run "$DUPLEX" map --joblog "$log" -- "$worker" <"$work/in" 3<&-
expect_status 125
expect_error "another run is writing the joblog '$log'"
kill -TERM $first
wait $first || true
exec 3<&-

check "a run that is killed leaves what is done in its joblog, and is completed by another"
rm -f "$log"
: >"$work/all"
: >"$work/rows_before"
seq 1 2000 | sed 's/^/wait 1 /' >"$work/in"
for round in 1 2 3; do
    : >"$work/seen"
    "$DUPLEX" map -q -u -j 2 --resume --joblog "$log" -- "$worker" -s "$work/seen" <"$work/in" \
        >>"$work/all" 2>"$work/err" &
    running=$!
    lines=$(wc -l <"$work/all")
    while [ "$(wc -l <"$work/all")" -lt $((lines + 100)) ] && kill -0 $running 2>/dev/null; do
        sleep 0.01
    done
    kill -KILL $running 2>/dev/null || true
    wait $running 2>/dev/null || true
    what="a run that is killed, round $round"
    expect_no_process
    # All that has a row was written.
    sed '1d;$d' "$log" | cut -f 9 | sort >"$work/rows"
    sort -u "$work/all" >"$work/written"
    comm -23 "$work/rows" "$work/written" >"$work/lost"
    [ ! -s "$work/lost" ] || fail "a row tells of what was not done: $(head -n 5 "$work/lost")"
    [ "$(wc -l <"$work/rows")" -gt "$(wc -l <"$work/rows_before")" ] || fail "nothing was logged"
    # And is not done again.
    sort "$work/seen" | comm -12 "$work/rows_before" - >"$work/repeated"
    [ ! -s "$work/repeated" ] || fail "jobs were repeated: $(head -n 5 "$work/repeated")"
    cp "$work/rows" "$work/rows_before"
done
run "$DUPLEX" map -q -u -j 2 --resume --joblog "$log" -- "$worker" <"$work/in"
expect_status 0
cat "$work/out" >>"$work/all"
sort "$work/in" >"$work/expected"
sort -u "$work/all" | cmp -s - "$work/expected" || fail "the results are not complete"
[ "$(logged | tr '\n' ' ')" = "$(seq 1 2000 | tr '\n' ' ')" ] || fail "the joblog is not complete"

check "Ctrl-C leaves a joblog of all that was written"
rm -f "$log"
yes "wait 20" | head -n 3000 >"$work/in"
interrupt INT 0.5 "$DUPLEX" map -j 2 --joblog "$log" -- "$worker" <"$work/in"
expect_status 130
expect_rows
[ "$(logged | wc -l)" = "$(wc -l <"$work/out")" ] || fail "they differ in number"
[ "$(wc -l <"$work/out")" -gt 2 ] || fail "nothing was done"
expect_error "jobs/s"
expect_no_process

# Disks that are full.

check "a joblog that cannot be written is an error, and nothing is done then"
seq 1 10 >"$work/in"
run "$DUPLEX" map --joblog /dev/full -- "$worker" <"$work/in"
expect_status 125
expect_output
expect_error "duplex: cannot write the joblog '/dev/full': No space left on device"
run "$DUPLEX" map --joblog "$work/no/log" -- "$worker" <"$work/in"
expect_status 125
expect_error "duplex: cannot open the joblog '$work/no/log': No such file or directory"

check "a disk that gets full ends the run; the joblog has whole rows, of jobs that are done"
seq 1 100000 >"$work/in"
# shellcheck disable=SC2016
run sh -c 'ulimit -f 16; shift; "$@" | cat' sh sh "$DUPLEX" map -j 2 --joblog "$log" -- \
    "$worker" <"$work/in"
expect_error "duplex: cannot write the joblog '$log': File too large"
expect_rows
[ "$(tail -c 1 "$log" | od -An -tx1 | tr -d ' ')" = 0a ] || fail "the last row is cut"
[ "$(logged | wc -l)" -gt 10 ] || fail "nothing was logged"
logged | sort >"$work/rows"
sort "$work/out" >"$work/written"
comm -23 "$work/rows" "$work/written" >"$work/lost"
[ ! -s "$work/lost" ] || fail "a row tells of what was not done"
expect_no_process
run sh -c 'ulimit -f 16; exec "$@"' sh "$DUPLEX" map -q -j 2 --joblog "$log" -- "$worker" \
    </dev/null
expect_status 0

check "a standard output that cannot be written is an error, and no row tells of what was lost"
for options in "" -u; do
    status=0
    # shellcheck disable=SC2086
    seq 1 100 | timeout -k 5 30 "$DUPLEX" map $options --joblog "$log" -- "$worker" >/dev/full \
        2>"$work/err" || status=$?
    expect_status 125
    expect_error "duplex: cannot write to standard output: No space left on device"
    [ -z "$(logged)" ] || fail "there are rows"
    expect_no_process
done

# Failed jobs.

check "the jobs that failed are kept, and can be fed again"
printf '%s\n' one 'exit 1' three 'kill 9' five >"$work/in"
run "$DUPLEX" map -q -u -j 1 --depth 1 --fail-file "$work/failed" -- "$worker" <"$work/in"
expect_status 1
printf '%s\n' 'exit 1' 'kill 9' >"$work/expected"
cmp -s "$work/expected" "$work/failed" || fail "others were kept: $(cat "$work/failed")"
run "$DUPLEX" map -q --fail-file "$work/failed2" -- cat <"$work/failed"
expect_status 0
expect_output_of "$work/expected"
cmp -s "$work/failed2" /dev/null || fail "there is a failure"

check "they are kept in the framing of the input"
printf '3:one,6:kill 9,4:four,' >"$work/in"
run "$DUPLEX" map -q --input netstring --output line --fail-file "$work/failed" -- "$worker" \
    <"$work/in"
expect_status 1
expect_output one four
[ "$(cat "$work/failed")" = "6:kill 9," ] || fail "something else was kept"

check "a run that is resumed adds to them"
printf '%s\n' one 'exit 1' 'exit 2' >"$work/in"
run "$DUPLEX" map -q -j 1 --depth 1 --joblog "$log" --halt now,fail=1 --fail-file "$work/failed" \
    -- "$worker" <"$work/in"
run "$DUPLEX" map -q -j 1 --resume --joblog "$log" --fail-file "$work/failed" -- "$worker" \
    <"$work/in"
expect_status 1
printf '%s\n' 'exit 1' 'exit 2' | cmp -s - "$work/failed" || fail "others were kept"

check "a file of failed jobs that cannot be written is an error, and so is the input itself"
printf '%s\n' one 'exit 1' three >"$work/in"
run "$DUPLEX" map --fail-file /dev/full -- "$worker" <"$work/in"
expect_status 125
expect_error "cannot write the failed jobs to '/dev/full'"
cp "$work/in" "$work/copy"
# shellcheck disable=SC2094
run "$DUPLEX" map --fail-file "$work/in" -- "$worker" <"$work/in"
expect_status 125
expect_error "is standard input"
cmp -s "$work/in" "$work/copy" || fail "it was emptied"

finish
