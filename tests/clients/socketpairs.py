#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run a program with pairs of connected sockets, which Node cannot make by itself.

usage: socketpairs.py COUNT PROGRAM [ARGUMENT...]

SOCKETS holds the numbers: "3,4 5,6".
"""

import os
import socket
import sys


def main():
    pairs = []
    for _ in range(int(sys.argv[1])):
        numbers = [end.detach() for end in socket.socketpair()]
        for number in numbers:
            os.set_inheritable(number, True)
        pairs.append(",".join(str(number) for number in numbers))
    os.environ["SOCKETS"] = " ".join(pairs)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
