#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check clients/python/duplex.py against the test vectors.

usage: check_vectors.py FOLDER VECTORS

FOLDER holds duplex.py, VECTORS is native.txt. Each vector is played to a channel over a socket of each
type; and a channel is made to say each good vector, and what it sends is compared with the bytes.
"""

import array
import os
import socket
import sys
import threading

TYPES = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM)
PATIENCE = 20
SEEN = ("message", "request", "reply", "error", "cancel")


def parse_hex(words):
    """Turn "61", "62*3" into bytes."""
    data = b""
    for word in words:
        run, _, times = word.partition("*")
        data += bytes.fromhex(run) * int(times or 1)
    return data


def parse_sight(kind, words):
    """What is seen, as a tuple: kind, id, descriptors or code, bytes."""
    if kind == "message":
        return (kind, 0, int(words[0]), parse_hex(words[1:]))
    if kind == "cancel":
        return (kind, int(words[0]), 0, b"")
    return (kind, int(words[0]), int(words[1]), parse_hex(words[2:]))


def read_vectors(path):
    """Yield each vector as a dict."""
    vector = None
    with open(path, encoding="utf-8") as file:
        for line in file:
            word, colon, value = line.rstrip("\n").partition(":")
            value = value.strip()
            if not colon or word.startswith("#"):
                continue
            if word in ("good", "bad", "cut"):
                if vector:
                    yield vector
                vector = {"outcome": word, "name": value, "sends": [], "seen": [], "made": []}
            elif word == "bytes":
                vector["sends"].append([parse_hex(value.split()), 0])
            elif word == "came":
                vector["sends"][-1][1] = int(value)
            elif word in SEEN:
                vector["seen"].append(parse_sight(word, value.split()))
            elif word == "dropped":
                vector["dropped"] = True
            elif word in ("open", "closed"):
                vector["made"].append((int(value), word == "closed"))
            elif word == "hello":
                vector["hello"] = tuple(int(number) for number in value.split())
            elif word == "decode-only":
                vector[word] = True
            elif word == "violation":
                vector[word] = value.split()[0]
            else:
                vector[word] = int(value)
    yield vector


def send_with(peer, data, count, end=False):
    """One send with this many descriptors."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * count))] if count else []
    sent = peer.sendmsg([data], rights)
    while sent < len(data):
        sent += peer.send(data[sent:])


def say_end(peer, kind):
    if kind == socket.SOCK_DGRAM:
        peer.send(b"")
    else:
        peer.shutdown(socket.SHUT_WR)


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


def options_of(vector):
    return {
        "message_limit": vector.get("limit", 16 << 20),
        "descriptor_limit": vector.get("accepts", 0),
        "request_limit": vector.get("requests", 1024),
    }


def close_all(descriptors):
    for descriptor in descriptors:
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)
    return len(descriptors)


def hear(duplex, channel, calls):
    """Receive until nothing more comes; return what was seen, how it ended, and why."""
    seen, requests, outcome, name = [], [], "good", None
    try:
        for message in iter(lambda: channel.recv(timeout=PATIENCE), None):
            count = close_all(message.descriptors)
            if isinstance(message, duplex.Request):
                requests.append(message)
                seen.append(("request", message.id, count, message.data))
            else:
                seen.append(("message", 0, count, message.data))
    except duplex.ProtocolError as failure:
        outcome, name = "bad", failure.name
        assert str(failure)
    except duplex.Gone:
        outcome = "cut"
    for call in calls:
        try:
            answer = call.result(timeout=PATIENCE)
            seen.append(("reply", call.id, close_all(answer.descriptors), answer.data))
        except duplex.CallError as failure:
            seen.append(("error", call.id, failure.code, failure.text.encode()))
        except (duplex.ProtocolError, duplex.Gone):
            pass
    seen += [("cancel", request.id, 0, b"") for request in requests if not request.open]
    return seen, outcome, name


def play(duplex, vector, kind):
    """Play a vector to a channel and compare what it sees."""
    before = open_descriptors()
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    channel = duplex.Channel(theirs.detach(), **options_of(vector))
    calls = []
    for number, closed in vector["made"]:
        call = channel.start()
        assert call.id == number
        if closed:
            call.cancel()
            assert call.done
        else:
            calls.append(call)

    def send():
        try:
            for data, count in vector["sends"]:
                send_with(ours, data, count)
            say_end(ours, kind)
        except (BrokenPipeError, ConnectionError):
            assert vector["outcome"] == "bad"

    sender = threading.Thread(target=send)
    sender.start()
    seen, outcome, name = hear(duplex, channel, calls)
    sender.join()
    where = (vector["name"], kind.name, seen, outcome, name)
    assert outcome == vector["outcome"] and name == vector.get("violation"), where
    # Calls are looked at when everything has come: the order is that of the words, then of the ids.
    by_kind = [[s for s in sights if s[0] in ("message", "request")] +
               sorted(s for s in sights if s[0] not in ("message", "request"))
               for sights in (seen, vector["seen"])]
    assert by_kind[0] == by_kind[1], where
    if "hello" in vector:
        assert channel.peer == vector["hello"], (where, channel.peer)
    channel.close()
    ours.close()
    assert open_descriptors() == before, where


def ask(duplex, peer, sight):
    """Send the request that a reply or an error of the vector answers."""
    peer.send(duplex.HEADER.pack(0, duplex.REQUEST, 0, 0, sight[1]))


def say(duplex, channel, sight):
    """Have the channel send what is to be seen."""
    kind, number, count, data = sight
    descriptors = [0] * count if kind in ("message", "request", "reply") else []
    if kind == "message":
        channel.send(data, descriptors)
    elif kind == "request":
        channel._last_id = number - 1
        channel.calls[number] = channel.start(data, descriptors)
    elif kind == "cancel":
        channel.calls[number].cancel()
    else:
        request = channel.recv(timeout=PATIENCE)
        assert request.id == number
        if kind == "reply":
            request.reply(data, descriptors)
        else:
            request.fail(count, data.decode())
        assert not request.open


def compare(duplex, vector):
    """Have a channel say a vector, and compare each packet; in pieces if the vector is."""
    version, descriptors, features, limit, requests = vector["hello"]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    duplex.PIECE = vector.get("pieces", 1 << 20)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    ours.send(duplex.HEADER.pack(20, duplex.HELLO, 0, 0, 0) + duplex.GREETING.pack(1, 253, 0, 1 << 30, 1024))
    channel = duplex.Channel(theirs.detach(), message_limit=limit, descriptor_limit=descriptors,
                             request_limit=requests)
    channel.calls = {}
    sent = []

    def receive():
        while True:
            data, rights, _, _ = ours.recvmsg(1 << 20, 4096)
            if not data:
                return
            count = sum(len(array.array("i", block)) for _, _, block in rights)
            for _, _, block in rights:
                for descriptor in array.array("i", block):
                    os.close(descriptor)
            sent.append([data, count])

    receiver = threading.Thread(target=receive)
    receiver.start()
    for sight in vector["seen"]:
        if sight[0] in ("reply", "error"):
            ask(duplex, ours, sight)
        say(duplex, channel, sight)
    channel.end()
    receiver.join()
    channel.close()
    ours.close()
    assert sent == vector["sends"], (vector["name"], sent, vector["sends"])


def can_say(vector):
    version, _, features, limit, _ = vector.get("hello", (0, 0, 0, 0, 0))
    return (vector["outcome"] == "good" and not vector.get("decode-only") and "dropped" not in vector
            and features == 0 and limit <= 1 << 30)


def main():
    sys.path.insert(0, sys.argv[1])
    import duplex  # pylint: disable=import-outside-toplevel

    usual_piece = duplex.PIECE
    played = compared = 0
    for vector in read_vectors(sys.argv[2]):
        duplex.PIECE = usual_piece
        for kind in TYPES:
            play(duplex, vector, kind)
            played += 1
        if can_say(vector):
            compare(duplex, vector)
            compared += 1
    assert played > 450 and compared > 45, (played, compared)
    print(f"played {played} conversations, compared {compared}")


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
