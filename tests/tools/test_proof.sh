#!/bin/sh
# SPDX-License-Identifier: MIT
# tools/proof knows its parts, runs what it is told to, ends what hangs, and keeps only whole runs.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/tree/tools" "$folder/tree/docs"
cp "$DUPLEX_SOURCE/docs/reliability.md" "$folder/tree/docs"

# Each part is a task of ./dev, and has its row in the page.
"$DUPLEX_SOURCE/tools/proof" "$folder" --list >"$folder/parts"
while read -r part rest; do
    task=$(echo "$rest" | sed -n 's/.*\.\/dev \([a-z]*\).*/\1/p')
    grep -q "^task_$task() {" "$DUPLEX_SOURCE/dev" || {
        echo "the part '$part' wants a task '$task', which ./dev does not have"
        exit 1
    }
    grep -q "^| .*\*\*$part\*\*" "$DUPLEX_SOURCE/docs/reliability.md" || {
        echo "docs/reliability.md does not say what the part '$part' does"
        exit 1
    }
done <"$folder/parts"

# A copy whose parts are these four, so that each way to end is met.
python3 - "$DUPLEX_SOURCE/tools/proof" "$folder/tree/tools/proof" <<'END'
import re
import sys

text = open(sys.argv[1], encoding="utf-8").read()
parts = '''PARTS = [
    Part("good", "does well", "echo 'good: 7 things'", r"good: .*", 1),
    Part("bad", "fails", "echo 'bad: 1 of 7 failed'; false", r"bad: .*", 1),
    Part("mute", "says nothing", "true", r"mute: .*", 1),
    Part("slow", "hangs", "echo 'slow: well'; sleep 300", r"slow: .*", 1 / 120),
]
'''
text, count = re.subn(r"^PARTS = \[\n.*?^\]\n", lambda _: parts, text, flags=re.M | re.S)
assert count == 1
open(sys.argv[2], "w", encoding="utf-8").write(text)
END
proof="python3 $folder/tree/tools/proof $folder/out"

# expect STATUS SENTENCE OPTION...
expect() {
    status=0
    sentence=$2
    wanted=$1
    shift 2
    $proof "$@" >"$folder/said" 2>&1 || status=$?
    [ "$status" = "$wanted" ] && grep -qF "$sentence" "$folder/said" || {
        echo "proof $*: ended with $status; '$sentence' was to be among this:"
        cat "$folder/said"
        exit 1
    }
}

expect 0 "proof: 1 parts in 0 minutes, 0 failed" good
expect 0 "| good | does well | passed | 0.0 | 7 things |" good
expect 1 "1 of 7 failed; see" bad
expect 1 "ended with the status 0 and without its closing line" mute
expect 1 "did not end within" slow
expect 1 "proof: 4 parts in 0 minutes, 3 failed: bad mute slow"
expect 1 "there is no part 'nothing'" nothing
expect 1 "knows itself which parts" --again bad
expect 1 "only the figures of a whole run are kept" --keep good
cmp "$DUPLEX_SOURCE/docs/reliability.md" "$folder/tree/docs/reliability.md"
expect 1 "3 failed" --keep
cmp "$DUPLEX_SOURCE/docs/reliability.md" "$folder/tree/docs/reliability.md"

# What failed is repeated alone, and the table says so; kept, when all of a whole run did well in the end.
sed -i "s/; false//; s/\"true\"/\"echo mute: no more\"/; s/; sleep 300//" "$folder/tree/tools/proof"
expect 0 "proof: 4 parts in 0 minutes, 0 failed" --again --keep
grep -q "proof: good:" "$folder/said" && { echo "a part that passed was run again"; exit 1; }
grep -q ", again: bad mute slow\.$" "$folder/tree/docs/reliability.md"
grep -qF "| good | does well | passed | 0.0 | 7 things |" "$folder/tree/docs/reliability.md"
expect 1 "nothing failed in the run before" --again
sed -i "s/^| mute /| deaf /" "$folder/out/table.md"
expect 1 "there was a part 'deaf'" --again
rm "$folder/out/table.md"
expect 1 "there is no run to go on with" --again
expect 0 "1 parts in 0 minutes" good
expect 1 "only the figures of a whole run are kept" --again --keep

# When all went well the table is in the page, once.
sed -i '/^    Part("\(bad\|mute\|slow\)"/d' "$folder/tree/tools/proof"
expect 0 "0 failed" --keep
expect 0 "0 failed" --keep
[ "$(grep -cF '| good | does well | passed |' "$folder/tree/docs/reliability.md")" = 1 ]
