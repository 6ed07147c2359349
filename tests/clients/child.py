#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The child that program_parent.c converses with, by clients/python/duplex.py.

usage: child.py FOLDER [FILE]

FOLDER holds duplex.py. FILE is written when the conversation has ended.
"""

import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import duplex  # pylint: disable=wrong-import-position

PATIENCE = 30
held = []


def exchange_pipes(request):
    """Write through the descriptor that came, and send one back."""
    os.write(request.descriptors[0], b"through the pipe")
    os.close(request.descriptors[0])
    reading, writing = os.pipe()
    os.write(writing, b"and back")
    os.close(writing)
    request.reply(b"a pipe", [reading])
    os.close(reading)


def serve(request):
    word, _, rest = request.data.partition(b" ")
    if word == b"echo":
        return rest
    if word == b"fail":
        code, _, text = rest.partition(b" ")
        raise duplex.CallError(int(code), text.decode())
    if word == b"break":
        raise KeyError("broken")
    if word == b"nest":
        depth = int(rest)
        return b"leaf" if depth == 0 else b"(%s)" % request.channel.call(b"nest %d" % (depth - 1)).data
    if word == b"hold":
        held.append(request)
    if word == b"pipes":
        exchange_pipes(request)
    return None


def ask(parent, count):
    """Many calls at a time, looked at from the last to the first."""
    calls = [parent.start(b"slot %d" % i, timeout=PATIENCE) for i in range(count)]
    for i in reversed(range(count)):
        assert calls[i].result(PATIENCE).data == b"slot %d" % i
    return b"asked %d" % count


def give_up(parent):
    try:
        parent.call(b"never", timeout=0.05)
    except TimeoutError:
        return b"gave up"


def meet_an_error(parent):
    try:
        parent.call(b"fail 7 no", timeout=PATIENCE)
    except duplex.CallError as failure:
        return b"failed %d %s" % (failure.code, failure.text.encode())


def say_too_much(parent):
    try:
        parent.send(bytes(parent.peer[3] + 1))
    except duplex.Refused:
        return b"refused"


def converse(parent):
    """Do what each message asks for."""
    for message in parent:
        word, _, rest = message.data.partition(b" ")
        if word == b"echo":
            try:
                parent.send(message.data, message.descriptors, PATIENCE)
            except duplex.Gone:
                pass
        elif word == b"release":
            waiting = [request for request in held if request.open]
            random.shuffle(waiting)
            for request in waiting:
                request.reply(request.data)
            held.clear()
            parent.send(b"released %d" % len(waiting))
        else:
            scenes = {b"ask": lambda: ask(parent, int(rest)), b"give-up": lambda: give_up(parent),
                      b"error": lambda: meet_an_error(parent), b"large": lambda: say_too_much(parent)}
            parent.send(scenes[word]())
        for descriptor in message.descriptors:
            os.close(descriptor)


def main():
    with duplex.parent(handler=serve, descriptor_limit=4) as parent:
        assert "DUPLEX_FD" not in os.environ
        assert not os.get_inheritable(parent.fileno())
        converse(parent)
        try:
            parent.send(b"bye", timeout=PATIENCE)
        except duplex.Gone:
            pass
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w", encoding="utf-8") as file:
            file.write("the end was seen\n")


main()
