#!/bin/sh
# SPDX-License-Identifier: MIT
# `duplex bench`: it measures what it says, tells it to people and to programs, says what is wrong with
# its options, and leaves nobody behind however it ends. How fast anything is, is no matter here.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

# One pass of 10 ms; on one place, because there may be only one CPU.
little="--passes 1 --seconds 0.01 --placement same"

check "the list names workloads and rows"
run "$DUPLEX" bench --list
expect_status 0
expect_silence
for name in rtt-64 rtt-1m rtt-busy oneway-64k calls-64 spawn-1g pool-100 idle raw_stream duplex_stream \
    duplex_stream_socket duplex_seqpacket duplex_dgram duplex_pool duplex_pool_16 limit_ping_pong; do
    grep -q "^  $name " "$work/out" || fail "$name is not in the list"
done

check "a table has a line for each row, with figures"
# shellcheck disable=SC2086 # a list of words
run "$DUPLEX" bench $little rtt-64 oneway-64
expect_status 0
expect_silence
for name in raw_stream duplex_stream duplex_stream_reserve duplex_stream_socket duplex_seqpacket \
    duplex_seqpacket_socket duplex_dgram; do
    grep -Eq "^  $name +[0-9]" "$work/out" || fail "there are no figures of $name"
    grep -Eq "^  $name, corked +[0-9]" "$work/out" || fail "there are no corked figures of $name"
done
grep -q '^rtt-64, same: round trip of 64 B' "$work/out" || fail "the table has no title"

check "the figures are one JSON object, alone on standard output"
# shellcheck disable=SC2086 # a list of words
run "$DUPLEX" bench --json $little rtt-64 'calls-*' oneway-1k rtt-busy pool
expect_status 0
expect_silence
if command -v python3 >/dev/null; then
    python3 - "$work/out" <<'PYTHON' || fail "the JSON is not as promised"
import datetime, json, sys
report = json.load(open(sys.argv[1]))
datetime.datetime.strptime(report["date"], "%Y-%m-%dT%H:%M:%SZ")
assert report["machine"]["cpus"] >= 1 and report["machine"]["kernel"].startswith("Linux"), report
assert report["passes"] == 1 and report["unit"] == "seconds per operation", report
assert [group["workload"] for group in report["groups"]] == [
    "rtt-64", "rtt-busy", "oneway-1k", "calls-64", "pool-100"], report
for group in report["groups"]:
    assert group["placement"] == "same", group
    names = [row["name"] for row in group["rows"]]
    if group["kind"] == "pool":
        assert names == ["duplex_pool", "duplex_pool_16", "duplex_pool_socket",
                         "duplex_pool_socket_16"], names
    else:
        assert "raw_stream" in names and "duplex_stream" in names, names
    for row in group["rows"]:
        assert "failed" not in row and "skipped" not in row, row
        assert row["operations"] >= 16, row
        assert 0 < row["min"] <= row["median"] <= row["max"] < 10, row
        assert row["passes"] == [row["median"]], row
        assert row["parent_cpu"] >= 0 and row["child_cpu"] >= 0, row
        if group["kind"].startswith("round_trip"):
            assert 0 < row["p50"] <= row["p99"], row
        if group["kind"] == "round_trip_busy":
            assert row["busy_loss"] < 1, row
references = [row for row in report["groups"][0]["rows"] if row["name"] == "raw_stream"]
assert references[0]["ratio"] == 1, references
PYTHON
fi

check "starting a child is measured, from a parent of a given size"
run "$DUPLEX" bench -p 1 --seconds 0.01 --json spawn-10m
expect_status 0
grep -q '"name": "dx_spawn"' "$work/out" || fail "dx_spawn was not measured"
grep -q '"kind": "spawn"' "$work/out" || fail "it is not of its kind"
if grep -q '"failed"' "$work/out"; then fail "something failed"; fi

check "silence costs less than 1 % of a processor"
run "$DUPLEX" bench --quick -c same --json idle
expect_status 0
[ "$(grep -c '"cpu_per_hour"' "$work/out")" -ge 4 ] || fail "fewer than 4 rows were measured"
awk -F': ' '/"cpu_per_hour"/ && $2 + 0 > 36 { exit 1 }' "$work/out" || fail "it costs more"

# refused SENTENCE ARGUMENT…
refused() {
    sentence=$1
    shift
    check "refused: $*"
    run "$DUPLEX" bench "$@"
    expect_status 125
    expect_error "$sentence"
    expect_output
}
refused "there is no workload 'nosuch'" nosuch
refused "there is no workload 'rtt-65'" oneway --json rtt-65
refused "a placement is pinned, same or free, not 'nowhere'" -c nowhere
refused "the number of passes must be a number from 1 to 25, not '0'" -p 0
refused "the number of passes must be a number from 1 to 25, not 'many'" -p many
refused "the time of a run must be a number" --seconds 0
refused "unrecognized option '--nosuch'" --nosuch

for signal in INT:130 TERM:143 HUP:129; do
    for workload in rtt-64 rtt-busy spawn-1g pool-100; do
        check "SIG${signal%:*} stops it in $workload, and no process is left"
        reach=--foreground interrupt "${signal%:*}" 0.6 "$DUPLEX" bench -p 25 --seconds 1 $workload
        expect_status "${signal#*:}"
        expect_silence
        expect_within 5000
        expect_no_process
    done
done

check "nor is one left when it is killed"
"$DUPLEX" bench -p 25 --seconds 1 rtt-busy >"$work/out" 2>"$work/err" &
killed=$!
wait_for_processes 4
kill -KILL $killed
wait $killed 2>/dev/null || true
expect_no_process

check "a reader who leaves ends it"
{
    run_status=0
    timeout -k 5 30 "$DUPLEX" bench -p 1 --seconds 0.05 -c same,free rtt 2>"$work/err" ||
        run_status=$?
    echo $run_status >"$work/status"
} | head -n 1 >"$work/out"
status=$(cat "$work/status")
expect_status 141
expect_silence
expect_no_process

check "a full disk is told"
status=0
timeout -k 5 30 "$DUPLEX" bench -p 1 --seconds 0.01 -c same rtt-64 >/dev/full 2>"$work/err" ||
    status=$?
expect_status 125
expect_error "duplex: cannot write to standard output: No space left on device"

finish
