#!/bin/sh
# SPDX-License-Identifier: MIT
# What the command says to a person who asks for help or errs: data on standard output, everything
# else on standard error, a sentence that helps, and the exit statuses of env(1) and the shells.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

expect_data() {
    grep -qF -e "$1" "$work/out" || fail "standard output does not say: $1"
}

check "the version is that of the headers"
version=$(sed -n 's/^#define DX_VERSION "\(.*\)"$/\1/p' "$DUPLEX_SOURCE/include/duplex/error.h")
run "$DUPLEX" --version
expect_status 0
expect_output "duplex $version"
expect_silence

for arguments in "--help" "help"; do
    check "'$arguments' lists the commands"
    # shellcheck disable=SC2086
    run "$DUPLEX" $arguments
    expect_status 0
    expect_data "Usage: duplex"
    expect_data "  demo "
    expect_data "  talk "
    expect_data "  map "
    expect_silence
done

for command in demo talk map; do
    for arguments in "$command --help" "help $command"; do
        check "'$arguments' explains the command"
        # shellcheck disable=SC2086
        run "$DUPLEX" $arguments
        expect_status 0
        expect_data "Usage: duplex $command"
        expect_data "--quiet"
        expect_data "exit status"
        expect_silence
    done
done

check "no command is an error that says how to go on"
run "$DUPLEX"
expect_status 125
expect_output
expect_error "duplex: no command was given"
expect_error "duplex --help"

for arguments in "dance" "help dance"; do
    check "'$arguments' is an error that names the command"
    # shellcheck disable=SC2086
    run "$DUPLEX" $arguments
    expect_status 125
    expect_output
    expect_error "duplex: there is no command 'dance'"
    expect_error "duplex --help"
done

for arguments in "--dance" "demo --dance" "talk --dance cat" "talk --framing morse cat" "talk" \
    "talk --" "talk --timeout 0 cat" "talk --timeout soon cat"; do
    check "'$arguments' is an error that says how to go on"
    # shellcheck disable=SC2086
    run "$DUPLEX" $arguments </dev/null
    expect_status 125
    expect_output
    expect_error "duplex"
    expect_error "--help"
done

# An option with a wrong value is told with what would be right: expect_refusal OPTIONS WORDS…
expect_refusal() {
    check "'$1' is refused with what would be right"
    # shellcheck disable=SC2086
    run "$DUPLEX" talk $1 cat </dev/null
    shift
    expect_status 125
    expect_output
    for words in "$@"; do
        expect_error "$words"
    done
}
expect_refusal "--framing morse" "the framing must be native, line, nul, netstring, u8, u16, u32, \
python, content-length, pkt-line, node or raw, not 'morse'"
for handover in pigeon stdio:3 pipes: argv:x "env:1=2" env: listen: fds: fds:3 fds:3,3 fds:1,2 \
    fds:3,4,5 fds:a,b; do
    expect_refusal "--handover $handover" "duplex talk: "
done
expect_refusal "--handover pigeon" "env, env:VARIABLE, stdio, pipes, fds, fds:READ,WRITE, listen, \
listen:NAME or argv, not 'pigeon'"
expect_refusal "--handover fds:3" "as in fds:3,4, not '3'"
expect_refusal "--handover env:1x" "'1x' cannot be the name of an environment variable"
expect_refusal "--handover argv" "needs {fd} in an argument"
expect_refusal "--timeout 0" "a number of seconds above 0, at most 2073600, not '0'"
expect_refusal "--grace -1" "a number of seconds from 0 to" "not '-1'"
expect_refusal "--grace soon" "not 'soon'"
expect_refusal "--trace=" "is empty"

check "the framings that the help names are those that there are"
for framing in native line nul netstring u8 u16 u32 python content-length pkt-line node raw; do
    run "$DUPLEX" talk --framing $framing -- nope </dev/null
    expect_status 127
    run "$DUPLEX" talk --help
    tr -s ' \n' ' ' <"$work/out" | grep -q "[ ,]${framing}[ ,]" || fail "the help lacks $framing"
done

check "help that cannot be written is told"
for arguments in "--help" "help" "--version" "talk --help"; do
    status=0
    # shellcheck disable=SC2086
    timeout 20 "$DUPLEX" $arguments >/dev/full 2>"$work/err" || status=$?
    expect_status 125
    expect_error "duplex: cannot write to standard output: No space left on device"
done

check "a program that does not exist is 127, by name"
run "$DUPLEX" talk -- nope </dev/null
expect_status 127
expect_output
[ "$(cat "$work/err")" = "duplex: cannot start 'nope': No such file or directory" ] ||
    fail "the sentence is another"

check "a path that does not exist is 127 too"
run "$DUPLEX" talk -- "$work/nope" </dev/null
expect_status 127
expect_error "duplex: cannot start '$work/nope': No such file or directory"

check "a file that is no program is 126"
echo "not a program" >"$work/text"
run "$DUPLEX" talk -- "$work/text" </dev/null
expect_status 126
expect_error "duplex: cannot start '$work/text': Permission denied"
chmod +x "$work/text"
run "$DUPLEX" talk -- "$work/text" </dev/null
expect_status 126
expect_error "duplex: cannot start '$work/text': Exec format error"

check "a folder is 126"
run "$DUPLEX" talk -- "$work" </dev/null
expect_status 126
expect_error "duplex: cannot start '$work': Permission denied"

check "running out of descriptors is duplex's own failure"
status=0
(ulimit -n 4 && exec timeout 20 "$DUPLEX" talk -- cat) </dev/null >"$work/out" 2>"$work/err" ||
    status=$?
expect_status 125
expect_error "duplex: "

check "options after the program are the program's"
run "$DUPLEX" talk -- printf '%s\n' --help --version -q
expect_status 0
expect_output "--help" "--version" "-q"
run "$DUPLEX" talk printf '%s\n' --help --version -q
expect_status 0
expect_output "--help" "--version" "-q"

check "--quiet may stand before the command"
run "$DUPLEX" --quiet demo -n 1 -i 0
expect_status 0
expect_silence

finish
