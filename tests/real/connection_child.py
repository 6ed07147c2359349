# SPDX-License-Identifier: MIT
"""A child that knows multiprocessing.connection and nothing else.

connection_child.py SCENE READ-FD [WRITE-FD]: with one descriptor it is a Connection for both
directions, as multiprocessing.Pipe() makes; with two, one for each, as Pipe(duplex=False).
"""
import sys
from multiprocessing.connection import Connection


class LengthAlone:
    """Two GiB and more, of which only the length is ever looked at."""

    def __len__(self):
        return 0x80000000


def long_header(connection):
    """What Python itself writes before that many bytes."""
    parts = []

    class Recorder(Connection):
        def _send(self, buf, write=None):
            parts.append(bytes(buf) if not isinstance(buf, LengthAlone) else b"")

        def __del__(self):
            pass

    Recorder(connection.fileno())._send_bytes(LengthAlone())
    return b"".join(parts)


scene, numbers = sys.argv[1], [int(text) for text in sys.argv[2:]]
if len(numbers) == 1:
    reader = writer = Connection(numbers[0])
else:
    reader = Connection(numbers[0], writable=False)
    writer = Connection(numbers[1], readable=False)

if scene == "reverse":
    try:
        while True:
            writer.send_bytes(reader.recv_bytes()[::-1])
    except EOFError:
        writer.send_bytes(b"late")
        sys.exit(3)
elif scene == "objects":
    thing = {"number": 2**70, "text": "grüße \U0001f980", "list": [None, 1.5], "big": b"x" * 200000}
    writer.send(thing)
    if reader.recv() != thing:
        sys.exit("another object came back")
elif scene == "large":
    try:
        writer.send_bytes(bytes(range(256)) * 4096 * 5)
    except BrokenPipeError:
        sys.exit(6)
elif scene == "limit":
    reader.recv_bytes(10)
    try:
        reader.recv_bytes(10)
    except OSError:
        sys.exit(5)
elif scene == "length":
    writer._send(long_header(writer))
    reader.poll(None)
else:
    sys.exit("no such scene: " + scene)
