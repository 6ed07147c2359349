# SPDX-License-Identifier: MIT
"""Both sides of the benchmark's peer python: a parent that is asked by script.c, and its child.

A count, or None for the end, opens each run; the messages that follow are bare bytes.
"""

import multiprocessing
import sys

CALLS_OPEN = 64


def check(message, size, number):
    """Raise unless this is the message with this number."""
    if len(message) != size or message[0] != number & 255 or message[-1] != number & 255:
        raise ValueError("another message came than was sent")


def serve(connection, other_end, work, size):
    """Be the child."""
    other_end.close()
    while (count := connection.recv()) is not None:
        for number in range(count):
            message = connection.recv_bytes()
            check(message, size, number)
            if work != "one_way":
                connection.send_bytes(message)
        if work == "one_way":
            connection.send_bytes(b"received")


def send(connection, message, number):
    """Send the message with a number."""
    message[0] = message[-1] = number & 255
    connection.send_bytes(message)


def converse(connection, message, count):
    """Send and receive in turn."""
    size = len(message)
    for number in range(count):
        send(connection, message, number)
        check(connection.recv_bytes(), size, number)


def pour(connection, message, count):
    """Send everything, then wait for the word that it has come."""
    for number in range(count):
        send(connection, message, number)
    if connection.recv_bytes() != b"received":
        raise ValueError("messages are missing")


def call(connection, message, count):
    """Have many requests open at one time."""
    size = len(message)
    asked = 0
    for number in range(count):
        while asked < count and asked < number + CALLS_OPEN:
            send(connection, message, asked)
            asked += 1
        check(connection.recv_bytes(), size, number)


def lead(work, size):
    """Be the parent."""
    works = {"round_trip": converse, "one_way": pour, "calls": call}
    connection, other_end = multiprocessing.Pipe()
    child = multiprocessing.Process(
        target=serve, args=(other_end, connection, work, size), daemon=True
    )
    child.start()
    other_end.close()
    print("ready", child.pid, flush=True)
    message = bytearray(size)
    for line in sys.stdin:
        count = int(line)
        connection.send(count)
        works[work](connection, message, count)
        print("ok", flush=True)
    connection.send(None)
    child.join()
    return child.exitcode


if __name__ == "__main__":
    try:
        sys.exit(lead(sys.argv[1], int(sys.argv[2])))
    except (OSError, EOFError, ValueError) as error:
        print(error, flush=True)
        sys.exit(1)
