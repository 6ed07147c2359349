#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check the Python client of docs/wire.md against the test vectors.

usage: check_client.py CLIENT VECTORS

CLIENT is a file that defines Channel, VECTORS is native.txt. Each vector without descriptors and without
calls is played over a socket of each type, and what the client sends is compared with the good vectors,
too.
"""

import importlib.util
import socket
import sys
import threading

TYPES = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM)
DEFAULT_LIMIT = 16 << 20
ELSEWHERE = {"accepts", "came", "request", "reply", "error", "cancel", "dropped", "open", "closed"}
GREETING = bytes.fromhex("00000010 01 00 0000 0000000000000000 0001 0000 00000000 0000000001000000")


def load(path):
    """Import the client from its file."""
    specification = importlib.util.spec_from_file_location("client", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def parse_hex(text):
    """Turn "61 62*3" into bytes."""
    data = b""
    for word in text.split():
        run, _, times = word.partition("*")
        data += bytes.fromhex(run) * int(times or 1)
    return data


def read_vectors(path):
    """Yield each vector as a dict of lists, and its outcome and name."""
    vector = None
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            word, _, value = line.partition(": ")
            if word in ("good", "bad", "cut"):
                if vector:
                    yield vector
                vector = {"outcome": word, "name": value, "bytes": [], "message": [], "words": set()}
            elif word == "bytes":
                vector["bytes"].append(parse_hex(value))
            elif word == "message":
                vector["message"].append(parse_hex(value.partition(" ")[2]))
            elif word == "limit":
                vector["limit"] = int(value)
            else:
                vector["words"].add(word)
    yield vector


def write_end(peer, kind):
    if kind == socket.SOCK_DGRAM:
        peer.send(b"")
    else:
        peer.shutdown(socket.SHUT_WR)


def hear(channel):
    """Receive until something else than a message comes; return the messages and what it was."""
    messages = []
    while True:
        try:
            message = channel.recv()
        except ValueError:
            return messages, "bad"
        except EOFError:
            return messages, "cut"
        if message is None:
            return messages, "good"
        messages.append(message)


def play(client, vector, kind):
    """Send the vector's bytes to a client and compare what it receives."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    client.LIMIT = vector.get("limit", DEFAULT_LIMIT)
    channel = client.Channel(theirs.detach())

    def send():
        for data in vector["bytes"]:
            ours.send(data)
        write_end(ours, kind)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        heard = hear(channel)
    finally:
        sender.join()
        channel.socket.close()
        ours.close()
    assert heard == (vector["message"], vector["outcome"]), (vector["name"], kind, heard)


def compare_sending(client, vector):
    """Compare what the client sends with the vector's bytes."""
    ours, theirs = socket.socketpair()
    client.LIMIT = DEFAULT_LIMIT
    channel = client.Channel(theirs.detach())
    data = b""

    def receive():
        nonlocal data
        while True:
            arrived = ours.recv(65536)
            if not arrived:
                return
            data += arrived

    receiver = threading.Thread(target=receive)
    receiver.start()
    for message in vector["message"]:
        channel.send(message)
    channel.end()
    receiver.join()
    channel.socket.close()
    ours.close()
    assert data == GREETING + b"".join(vector["bytes"][1:]), (vector["name"], data)


def main():
    client = load(sys.argv[1])
    played = compared = 0
    for vector in read_vectors(sys.argv[2]):
        calls = any(len(data) >= 16 and 3 <= data[4] <= 6 for data in vector["bytes"])
        if vector["words"] & ELSEWHERE or (calls and vector["outcome"] == "cut"):
            continue
        for kind in TYPES:
            play(client, vector, kind)
            played += 1
        whole = vector["outcome"] == "good" and not vector["words"] & {"pieces", "decode-only"}
        if whole and all(len(message) <= client.PIECE for message in vector["message"]):
            compare_sending(client, vector)
            compared += 1
    assert played > 150 and compared > 5, (played, compared)
    print(f"played {played} conversations, compared {compared}")


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
