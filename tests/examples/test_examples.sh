#!/bin/sh
# SPDX-License-Identifier: MIT
# Each example says exactly what it is meant to say, and leaves nobody behind.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

examples=${DUPLEX_EXAMPLES:-${DUPLEX_BUILD:?}/examples}

# Run an example and compare: its name, then the lines that it prints.
expect_example() {
    check "the example $1"
    run "$examples/$1" </dev/null
    shift
    expect_status 0
    expect_silence
    expect_output "$@"
    expect_no_process
}

expect_example father_and_child "child-->father:i am your child" "father-->child:i am your father"

for loop in poll_loop libuv_loop glib_loop; do
    if [ ! -x "$examples/$loop" ]; then
        echo "skipped: $loop, whose library is missing"
        continue
    fi
    expect_example $loop \
        "child 1: 5 answers, sum 15, said goodbye, exit status 0" \
        "child 2: 5 answers, sum 55, said goodbye, exit status 0" \
        "child 3: 5 answers, sum 225, said goodbye, exit status 0"
done

expect_example spawn_program "'good morning' --> 'GOOD MORNING'" \
    "'i am your father' --> 'I AM YOUR FATHER'" "'' --> ''" "'good night' --> 'GOOD NIGHT'" \
    "the child: exited with status 0"

expect_example pass_descriptor "child: letter: read dear child, all is well" \
    "child: diary: not for you"

expect_example calls "parent: 7 --> 49" "parent: seven is refused: that is no number" \
    "parent: 12 --> 144" "parent: the child asks for the number" "parent: twice that is 42"

expect_example in_place "100 pictures, light 316800000"

check "the example pool"
run "$examples/pool" </dev/null
sed 's/ (core dumped)//' "$work/out" >"$work/without" # whether it is, is the machine's affair
mv "$work/without" "$work/out"
expect_status 0
expect_silence
expect_output "11 * 11 = 121" "12 * 12 = 144" \
    "13 * 13: tried 2 times, the last worker was killed by SIGABRT" "14 * 14 = 196" "15 * 15 = 225"
expect_no_process

expect_example line_filter "i am your child" "(nothing)" "you are my child!"

check "spawn_program tells, by name, that its program is missing"
run "$examples/spawn_program" "$work/missing"
expect_status 1
expect_error "cannot start '$work/missing': No such file or directory"

check "duplex talk converses with an example"
printf 'hello\n\nworld' >"$work/in"
run "$DUPLEX" talk --framing native -- "$examples/child_program" <"$work/in"
expect_status 0
expect_output HELLO "" WORLD
expect_silence

finish
