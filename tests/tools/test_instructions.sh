#!/bin/sh
# SPDX-License-Identifier: MIT
# The guard of instructions keeps counts, and fails for growth beyond its bound and for that alone.
# A program and a valgrind that say what they are told stand in for those that count.
set -eu

if ! command -v python3 >/dev/null; then
    echo "skipped: tools_instructions: python3 is missing"
    exit 77
fi

work=$(mktemp -d "$DUPLEX_BUILD/instructions.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tools" "$work/tests/instructions" "$work/bin"
cp "$DUPLEX_SOURCE/tools/instructions" "$work/tools/instructions"
counts=$work/tests/instructions/counts.txt

# Before the rounds something else is counted, too.
cat >"$work/bin/valgrind" <<'END'
#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
if [ "$2 $3" = "fast call" ]; then each=$CALL; else each=100; fi
echo "==1== Collected : $((5000 + each * $4))" >&2
END
cat >"$work/bin/program" <<'END'
#!/bin/sh
echo "$KEY"
END
chmod +x "$work/bin/valgrind" "$work/bin/program"
PATH=$work/bin:$PATH
export PATH

# expect STATUS TEXT KEY CALL [OPTION]: the guard ends so and says so, for this key and this cost of
# a call.
expect() {
    status=0
    wanted=$1
    text=$2
    KEY=$3
    CALL=$4
    export KEY CALL
    shift 4
    said=$("$work/tools/instructions" "$work/bin/program" "$@" 2>&1) || status=$?
    case $status:$said in
    "$wanted:"*"$text"*) ;;
    *)
        echo "expected $wanted and '$text', got $status: $said"
        exit 1
        ;;
    esac
}

one="gcc-1.0.0 libc-1 machine"
other="clang-1.0.0 libc-1 machine"

expect 0 "skipped: instructions: no counts are kept for $one" "$one" 1000
[ ! -e "$counts" ]
expect 0 "10 counts, 0 grown" "$one" 1000 --update
grep -qx "$one fast call 1000.0" "$counts"
grep -qx "$one socket send 100.0" "$counts"
expect 0 "0 grown by more than 5 % ($one)" "$one" 1000
expect 0 "fast call: 1050.0 +5.0 %" "$one" 1050
expect 0 "fast call: 500.0 -50.0 %" "$one" 500
expect 1 "fast call: 1051.0 +5.1 %, too much: 1000.0 are kept" "$one" 1051
expect 0 "skipped: instructions: no counts are kept for $other" "$other" 9000
expect 0 "10 counts" "$other" 9000 --update
expect 1 "1 grown" "$one" 9000
expect 0 "0 grown" "$other" 9000
expect 0 "0 grown" "$one" 1000

printf '#!/bin/sh\necho "%s" >&2\nexit 1\n' "the conversation is not on the fast lane" \
    >"$work/bin/valgrind"
expect 1 "the conversation is not on the fast lane" "$one" 1000
