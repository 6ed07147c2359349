#!/bin/sh
# SPDX-License-Identifier: MIT
# git with the example git_filter as its filter process: what is added and checked out again is the
# same, what is stored in between is the filter's, and one process serves all files.
# shellcheck source=tests/cli/common.sh
. "${DUPLEX_SOURCE:?}/tests/cli/common.sh"

command -v git >/dev/null || {
    echo "skipped: git with a filter process: git is not installed"
    exit 77
}
filter=${DUPLEX_EXAMPLES:?}/git_filter
HOME=$work
GIT_CONFIG_GLOBAL=/dev/null
GIT_CONFIG_NOSYSTEM=1
export HOME GIT_CONFIG_GLOBAL GIT_CONFIG_NOSYSTEM

rot13() {
    LC_ALL=C tr 'A-Za-z' 'N-ZA-Mn-za-m'
}

# make_repository COMMAND: in which this is the filter process; each start of it leaves a line.
make_repository() {
    rm -rf "$work/repository"
    : >"$work/starts"
    cat >"$work/filter" <<SCRIPT
#!/bin/sh
echo start >>'$work/starts'
exec $1
SCRIPT
    chmod +x "$work/filter"
    git init -q -b main "$work/repository"
    cd "$work/repository"
    git config user.name father
    git config user.email father@example.org
    git config core.autocrlf false
    git config core.safecrlf false
    git config gc.auto 0
    git config filter.rot13.process "'$work/filter'"
    git config filter.rot13.required true
    echo '* filter=rot13' >.git/info/attributes
}

make_files() {
    : >empty
    printf 'I am your father\n' >small.txt
    printf 'one\r\ntwo\r\n\r\nthree' >'a text with CRLF.txt'
    head -c 1048576 /dev/urandom >binary
    # Around the size of a packet, whose data is 65,516 bytes at most.
    for size in 65515 65516 65517 131032 131033; do
        head -c $size /dev/urandom >"size $size"
    done
    head -c 5000000 /dev/zero | tr '\0' x >large
    mkdir many
    for number in $(seq 300); do
        echo "Hello from number $number" >"many/файл $number"
    done
}

expect_starts() {
    starts=$(wc -l <"$work/starts")
    [ "$starts" = "$1" ] || fail "the filter was started $starts times, not $1"
    : >"$work/starts"
}

# What is stored is the filter's, and what is checked out again is what was there.
round_trip() {
    make_files
    cp -R . "$work/original"

    check "git add gives all files to one filter, by $1"
    run git add .
    expect_status 0
    expect_silence
    expect_starts 1

    check "what git stores is what the filter said, by $1"
    for file in *; do
        [ -f "$file" ] || continue
        rot13 <"$file" >"$work/expected"
        git cat-file blob ":$file" >"$work/out"
        cmp -s "$work/expected" "$work/out" || fail "the filter did not make '$file'"
    done
    [ "$(git cat-file blob ':many/файл 7')" = "Uryyb sebz ahzore 7" ] || fail "a name was mistaken"
    git commit -q -m "all of them"
    : >"$work/starts"

    check "git checkout gives back what was there, by $1"
    git ls-files -z | xargs -0 rm
    run git checkout -q -- .
    expect_status 0
    expect_silence
    expect_starts 1
    rm -rf "$work/original/.git"
    diff -r --exclude .git "$work/original" . >"$work/out" || fail "something is not as it was"
    rm -rf "$work/original"

    check "git sees that nothing has changed, by $1"
    git ls-files -z | xargs -0 touch
    run git status --porcelain
    expect_status 0
    expect_output
    expect_silence

    check "other branches are checked out through the filter, by $1"
    run git checkout -q -b other
    expect_status 0
    echo "the other" >small.txt
    git commit -q -a -m "another"
    git checkout -q main
    [ "$(cat small.txt)" = "I am your father" ] || fail "the file is not of the branch"
    cd "$work"
    expect_no_process
}

make_repository "'$filter'"
round_trip "the filter itself"

make_repository "'$DUPLEX' talk -- '$filter'"
round_trip "duplex talk"

check "git takes each packet for what it was meant to be"
make_repository "'$filter'"
printf 'abc' >file
: >empty
GIT_TRACE_PACKET=$work/trace git add empty file
sed -n 's/.* packet: *[a-z]*\([<>] .*\)/\1/p' "$work/trace" >"$work/out"
expect_output '> git-filter-client' '> version=2' '> 0000' '< git-filter-server' '< version=2' \
    '< 0000' '> capability=clean' '> capability=smudge' '> capability=delay' '> 0000' \
    '< capability=clean' '< capability=smudge' '< 0000' \
    '> command=clean' '> pathname=empty' '> 0000' '> 0000' \
    '< status=success' '< 0000' '< 0000' '< 0000' \
    '> command=clean' '> pathname=file' '> 0000' '> abc' '> 0000' \
    '< status=success' '< 0000' '< nop' '< 0000' '< 0000'
cd "$work"

check "a filter that is missing is git's failure, since it is required"
make_repository "'$work/missing'"
echo text >file
run git add file
expect_status 128
cd "$work"

check "who is not git is told so"
printf '0014git-other-cliet\n' >"$work/in"
run "$filter" <"$work/in"
expect_status 1
expect_output
expect_error "git_filter: git was not understood: these are not its words"

check "what is no packet is told so"
printf 'hello?' >"$work/in"
run "$filter" <"$work/in"
expect_status 1
expect_error "git_filter: git was not understood: the peer"

check "an end in the middle of a file is no end of the conversation"
printf '%b' '0016git-filter-client\n000eversion=2\n0000' '0015capability=clean\n0000' \
    '0012command=clean\n0000' '0007abc' >"$work/in"
run "$filter" <"$work/in"
expect_status 1
expect_error "git_filter: git was not understood: "

finish
