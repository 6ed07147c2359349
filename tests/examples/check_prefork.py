#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Be the clients of the example prefork, good ones and others.

usage: check_prefork.py clients PORT
       check_prefork.py leave PORT PID
       check_prefork.py hurry PORT PID
"""

import os
import re
import signal
import socket
import sys
import time

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"

# What a client says, and the statuses of the answers. None of these waits for a deadline.
WORDS = [
    (GET + CLOSE, [200, 200]),
    (b"HEAD / HTTP/1.1\r\n\r\n" + CLOSE, [200, 200]),
    (b"GET / HTTP/1.0\r\n\r\n" + GET, [200]),
    (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + CLOSE, [200, 200]),
    (b"POST / HTTP/1.1\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20000 + CLOSE, [405, 200]),
    (b"\0\1\2\3" * 100, [400]),
    (b"\r\n\r\n", [400]),
    (b"hello\r\n\r\n" + GET, [400]),
    (b"GET / HTTP/1.1\r\nno field\r\n\r\n" + GET, [400]),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505]),
    (b"GET / HTTP/1.1\r\nA: " + b"x" * 20000 + b"\r\n\r\n", [431]),
    (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", [413]),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [501]),
]
# These say no more, and still hear the answer.
LAST_WORDS = [(GET, [200]), (GET + GET, [200, 200]), (b"GET / HT", [400]), (b"", [])]


def connect(port):
    """Open a connection on which nothing takes longer than a test may."""
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def hear(connection):
    """Receive until the end. Return the statuses of the answers."""
    heard = b""
    while piece := connection.recv(65536):
        heard += piece
    return [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d+) ", heard, re.MULTILINE)]


def ask(connection):
    """Ask once. Return the pid of the worker that answers."""
    connection.sendall(GET)
    heard = b""
    while not heard.endswith(b"\n") or b"\r\n\r\n" not in heard or heard.endswith(b"\r\n\r\n"):
        piece = connection.recv(65536)
        assert piece, f"the connection ended after {heard!r}"
        heard += piece
    return int(re.search(rb"served by (\d+)", heard)[1])


def check_words(port):
    """Every client is answered as it deserves."""
    for words, statuses in WORDS + LAST_WORDS:
        for size in (len(words), 7):
            with connect(port) as connection:
                for start in range(0, min(len(words), 700), size or 1):
                    connection.sendall(words[start : start + size])
                connection.sendall(words[700:] if size == 7 else b"")
                if (words, statuses) in LAST_WORDS:
                    connection.shutdown(socket.SHUT_WR)
                heard = hear(connection)
                assert heard == statuses, f"{words[:60]!r}: {heard}, not {statuses}"


def check_crowd(port):
    """Clients that keep their connections are served by a worker each, and more are started."""
    connections = [connect(port) for _ in range(20)]
    workers = {ask(connection) for connection in connections}
    assert len(workers) == 20, f"{len(workers)} workers for 20 connections"
    for connection in connections:
        connection.close()


def check_rude(port):
    """Clients that go without a word are no trouble."""
    for words in (b"", b"GET", GET * 1000):
        connection = connect(port)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(words)
        connection.close()
    with connect(port) as connection:
        ask(connection)


def check_leave(port, pid):
    """A server that leaves finishes what has begun, and waits for nothing else."""
    with connect(port) as idle, connect(port) as busy:
        ask(idle)
        ask(busy)
        busy.sendall(GET[:10])
        time.sleep(0.2)
        os.kill(pid, signal.SIGTERM)
        assert idle.recv(1) == b"", "an idle connection is not ended"
        busy.sendall(GET[10:])
        assert hear(busy) == [200], "a request that had begun is not answered"


def check_hurry(port, pid):
    """The second signal waits for nobody."""
    with connect(port) as busy:
        ask(busy)
        busy.sendall(GET[:10])
        time.sleep(0.2)
        begin = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.2)
        os.kill(pid, signal.SIGTERM)
        try:
            busy.recv(1)
        except ConnectionResetError:
            pass
        assert time.monotonic() - begin < 4, "the server waited for a request"


def main():
    what, port = sys.argv[1], int(sys.argv[2])
    if what == "clients":
        check_words(port)
        check_crowd(port)
        check_rude(port)
    elif what == "leave":
        check_leave(port, int(sys.argv[3]))
    else:
        check_hurry(port, int(sys.argv[3]))


if __name__ == "__main__":
    main()
