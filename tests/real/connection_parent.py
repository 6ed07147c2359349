# SPDX-License-Identifier: MIT
"""A parent that knows multiprocessing.connection and nothing of duplex.

connection_parent.py PROGRAM converses with PROGRAM over all that multiprocessing.Pipe() makes.
"""
import os
import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection

program = sys.argv[1]
SIZES = [0, 1, 4, 16384, 16385, 65535, 65536, 65537, 102400, 1 << 20, 5 << 20]


def data(size):
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def demand(holds, what):
    if not holds:
        sys.exit("connection_parent.py: " + what)


def converse(name, reader, writer, child):
    for size in SIZES:
        writer.send_bytes(data(size))
        demand(reader.poll(30), f"{name}: no answer to {size} bytes")
        demand(reader.recv_bytes() == data(size)[::-1], f"{name}: {size} bytes came back otherwise")
    for number in range(100):
        writer.send_bytes(b"twice %d." % number)
    for number in range(100):
        demand(reader.recv_bytes() == b"%d.%d." % (number, number), f"{name}: out of order")
    if not name.startswith("standard"):
        writer.send_bytes(b"claim")
        second = reader.recv_bytes()
        demand(second == b"No such file or directory", f"{name}: a second claim: {second!r}")
    writer.close()
    try:
        reader.recv_bytes()
        demand(False, f"{name}: a message after the end")
    except (EOFError, OSError):
        pass
    demand(child.wait(30) == 0, f"{name}: exit status {child.returncode}")
    reader.close()


def start(arguments, descriptors, **changes):
    return subprocess.Popen([program, "python", *arguments], pass_fds=descriptors,
                            env={**os.environ, **changes})


# One socket, by a variable and by an argument.
ours, theirs = Pipe()
child = start(["env"], [theirs.fileno()], DUPLEX_FD=str(theirs.fileno()))
theirs.close()
converse("variable", ours, ours, child)

ours, theirs = Pipe()
child = start(["argv", str(theirs.fileno())], [theirs.fileno()])
theirs.close()
converse("argument", ours, ours, child)

# Two one-way pipes, by a variable.
their_reader, our_writer = Pipe(duplex=False)
our_reader, their_writer = Pipe(duplex=False)
numbers = [their_reader.fileno(), their_writer.fileno()]
child = start(["env", "PIPES"], numbers, PIPES="%d,%d" % tuple(numbers))
their_reader.close()
their_writer.close()
converse("two pipes", our_reader, our_writer, child)

# Standard input and output of a Popen.
child = subprocess.Popen([program, "python", "pipes"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
reader = Connection(os.dup(child.stdout.fileno()), writable=False)
writer = Connection(os.dup(child.stdin.fileno()), readable=False)
child.stdin.close()
child.stdout.close()
converse("standard input and output", reader, writer, child)

# A child that goes away is the end, with its exit status.
ours, theirs = Pipe()
child = start(["env"], [theirs.fileno()], DUPLEX_FD=str(theirs.fileno()))
theirs.close()
ours.send_bytes(b"exit 9")
try:
    ours.recv_bytes()
    demand(False, "a message of a child that exited")
except EOFError:
    pass
demand(child.wait(30) == 9, "another exit status than 9")
