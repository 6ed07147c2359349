#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A child that converses in lines: standard input is what the parent says, standard output what this
# child says. Everything for people goes to standard error. README.md here shows its parent.
set -u

say() {
    printf '%s\n' "$*" || exit # the parent has gone
}

# A reply for each line, in their order, so that the parent may also use it as a call.
answer() {
    local word=$1
    shift
    case $word in
    add) say "$(($1 + $2))" ;;
    upper) say "${*^^}" ;;
    pid) say "$$" ;;
    *) say "what is $word?" ;;
    esac
}

say "i am your child"
# -r and the empty IFS keep a line as it is; the last line may lack its newline.
while IFS= read -r line || [[ -n $line ]]; do
    read -ra words <<<"${line:-nothing}"
    # What runs here must not read standard input, or it would take the parent's lines.
    answer "${words[@]}" </dev/null
done
echo "the parent has said everything" >&2
say "goodbye"
