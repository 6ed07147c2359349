#!/bin/sh
# SPDX-License-Identifier: MIT
# Each public header stands alone, in strict C11 and, where there is a compiler for it, in C++.
set -eu

include=$DUPLEX_SOURCE/include
cd "$include"
for header in duplex.h duplex/*.h; do
    echo "#include <$header>" | "$DUPLEX_CC" -std=c11 -Wall -Wextra -Wstrict-prototypes -Wshadow \
        -Wundef -pedantic -Werror -fsyntax-only -I "$include" -x c -
    if command -v c++ >/dev/null; then
        echo "#include <$header>" | c++ -std=c++11 -Wall -Wextra -pedantic -Werror -fsyntax-only \
            -I "$include" -x c++ -
    fi
done
