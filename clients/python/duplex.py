# SPDX-License-Identifier: MIT
"""Converse with the parent that started this program with duplex: messages, calls, descriptors.

    import duplex

    with duplex.parent() as parent:
        parent.send(b"i am your child")
        answer = parent.call(b"who are you?", timeout=5).data
        for message in parent:
            print(message.data)

This one file is all of it: the protocol of docs/wire.md for Python 3.8 and later on Linux, with nothing
but the standard library. The fast lane is declined.

Both sides may call. Give `handler`, a function that takes a Request and returns the reply, and it is
called for each request of the peer whenever this end waits in recv(), call() or Call.result(); so a
handler may itself call, and be called meanwhile. Without a handler recv() brings the requests, to be
answered with their reply() or fail(), now or later, in any order.

Timeouts are in seconds; None waits for ever, and 0 does not wait. What did not happen in time is a
TimeoutError, and may be tried again. Other failures are an Error, and say in words what happened.

Threads: a channel belongs to one thread at a time. Nothing here starts a thread or a process.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import struct
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, List, NoReturn, Optional, Sequence, Tuple, Union

HEADER = struct.Struct("!IBBHQ")  # bytes of payload, kind, flags, descriptors, id
GREETING = struct.Struct("!HHIQI")  # version, descriptor limit, features, message limit, request limit
CODE = struct.Struct("!i")
HELLO, MESSAGE, REQUEST, REPLY, ERROR, CANCEL = 1, 2, 3, 4, 5, 6
MORE = 1

DESCRIPTORS_MAX = 253  # what Linux carries
REQUESTS_MIN = 16  # what everybody accepts who takes requests
ERROR_TEXT_MAX = 4096
PACKET_MAX = 256 << 10  # the largest packet on SEQPACKET and DGRAM
PIECE = 64 << 10  # what is always safe as the payload of a frame there
DEADLOCK = 0.1  # seconds in which nothing moves
PIPE_ATOMIC = 4096  # what a pipe that is ready takes without blocking

Data = Union[bytes, bytearray, memoryview]
Packet = Tuple[Data, Sequence[int]]  # its bytes, and the descriptors that leave with the first


class Error(Exception):
    """A failure of the conversation."""


class ProtocolError(Error):
    """The peer broke the protocol, which ends the conversation. `name` is the rule's in docs/wire.md."""

    def __init__(self, name: str, text: str):
        super().__init__("the peer " + text)
        self.name = name


class Gone(Error):
    """The peer has gone or has ended, and what was wanted of it will not come."""


class Refused(Error, ValueError):
    """The peer does not accept this, or the protocol cannot carry it. Nothing was sent."""


class Crowded(Error):
    """Too much is open or waits to be received: receive, then try again. Nothing was sent."""


class CallError(Error):
    """The peer answered a call with an error. Raised in a handler, it is the handler's answer."""

    def __init__(self, code: int, text: str = ""):
        super().__init__(text or f"the peer answered with the error {code}")
        self.code, self.text = code, text


class Message:
    """What arrived. Its descriptors are yours to close; they are close-on-exec.

    They are fewer than were sent if this process is at its limit of open files.
    """

    def __init__(self, data: bytes, descriptors: List[int]):
        self.data, self.descriptors = data, descriptors


class Request(Message):
    """A message that the peer wants answered, once."""

    def __init__(self, channel: Channel, number: int, data: bytes, descriptors: List[int]):
        super().__init__(data, descriptors)
        self.channel, self.id = channel, number

    @property
    def open(self) -> bool:
        """Whether it was neither answered nor cancelled by the peer."""
        return self.channel._requests.get(self.id) is self

    def reply(self, data: Data = b"", descriptors: Sequence[int] = (), timeout: Optional[float] = None) -> None:
        """Answer, as Channel.send(). Nothing happens if the request is open no longer."""
        if self.open:
            self.channel._send(REPLY, self.id, data, descriptors, timeout)
            self.channel._requests.pop(self.id, None)

    def fail(self, code: int, text: str = "", timeout: Optional[float] = None) -> None:
        """Answer with an error: a code of your own choice, and a text for people, of at most 4096 bytes."""
        payload = text.encode("utf-8", "replace")
        if len(payload) > ERROR_TEXT_MAX or not -(1 << 31) <= code < 1 << 31:
            raise Refused(f"an error has {ERROR_TEXT_MAX} bytes of text and 32 bits of code at most")
        if self.open:
            self.channel._send(ERROR, self.id, CODE.pack(code) + payload, (), timeout)
            self.channel._requests.pop(self.id, None)


class Call:
    """A request of ours, made by Channel.start()."""

    def __init__(self, channel: Channel, number: int):
        self.channel, self.id = channel, number
        self._answer: Union[Message, Error, None] = None

    @property
    def done(self) -> bool:
        """Whether it has ended, so that result() need not wait."""
        return self._answer is not None

    def result(self, timeout: Optional[float] = None) -> Message:
        """Wait for the answer. Raises CallError for an error. After a TimeoutError one may wait again."""
        deadline = _deadline(timeout)
        while self._answer is None:
            self.channel._pursue(deadline)
        if isinstance(self._answer, Error):
            raise self._answer
        return self._answer

    def cancel(self) -> None:
        """Stop waiting: the peer is told, and an answer that still comes is dropped."""
        if self.channel._calls.pop(self.id, None):
            self._answer = Error("the call was cancelled")
            self.channel._outbox.append((HEADER.pack(0, CANCEL, 0, 0, self.id), ()))
            self.channel._flush_now()


def parent(variable: str = "DUPLEX_FD", **options: Any) -> Channel:
    """Make the channel to the parent, once. Takes the options of Channel.

    The variable holds a number, or two as in "0,1": what to read and what to write. It is removed, and
    the descriptors are made close-on-exec, so that no child of ours takes them for its own.
    """
    value = os.environ.get(variable)
    if value is None:
        raise Error(f"there is no parent to talk to: {variable} is not set")
    words = value.split(",")
    if len(words) > 2 or not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise Error(f"{variable} holds '{value}', which is no number of a descriptor")
    numbers = [int(word) for word in words]
    for number in numbers:
        try:
            mode = os.fstat(number).st_mode
        except OSError as failure:
            raise Error(f"{variable} is {value}, and {number} is not open") from failure
        if not stat.S_ISSOCK(mode) and (len(numbers) == 1 or not stat.S_ISFIFO(mode)):
            raise Error(f"{variable} is {value}, and {number} is no socket")
    del os.environ[variable]
    channel = Channel(*(_moved_away(number) for number in numbers), **options)
    channel._watch(os.getppid())
    return channel


def _moved_away(number: int) -> int:
    """Give standard input or output another number, so that print() is no part of the conversation."""
    if number > 2:
        return number
    copy = os.dup(number)
    replacement = os.dup(2) if number == 1 else os.open(os.devnull, os.O_RDWR)
    os.dup2(replacement, number)
    os.close(replacement)
    return copy


def _deadline(timeout: Optional[float]) -> Optional[float]:
    return None if timeout is None else time.monotonic() + timeout


def _demand(holds: object, name: str, text: str, *values: int) -> None:
    if not holds:
        raise ProtocolError(name, text.format(*values))


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class Channel:
    """One end of a conversation, over a connected AF_UNIX socket of any type, or two pipes.

    The descriptors belong to it. The limits are what it accepts of the peer, which is told them: bytes
    of a message, descriptors with one, requests open at one time (0: none). `backlog` is how many bytes
    of messages it keeps for recv() while it waits for something else.
    """

    def __init__(self, read_fd: int, write_fd: Optional[int] = None, *,
                 handler: Optional[Callable[[Request], Optional[Data]]] = None, message_limit: int = 16 << 20,
                 descriptor_limit: int = 0, request_limit: int = 1024, backlog: int = 64 << 20):
        self.handler, self.message_limit, self.backlog = handler, message_limit, max(backlog, message_limit)
        self.descriptor_limit = min(descriptor_limit, DESCRIPTORS_MAX)
        self.request_limit = max(request_limit, REQUESTS_MIN) if request_limit else 0
        self.peer: Optional[Tuple[int, ...]] = None  # what its HELLO said, see GREETING

        if write_fd is not None and write_fd != read_fd and stat.S_ISSOCK(os.fstat(read_fd).st_mode) \
                and os.path.sameopenfile(read_fd, write_fd):
            os.close(write_fd)
            write_fd = None
        self._read_fd, self._write_fd = read_fd, read_fd if write_fd is None else write_fd
        self._reader = self._writer = self._adopt(read_fd)
        if self._write_fd != read_fd:
            self._writer = self._adopt(self._write_fd)
        self._type = self._reader.type if self._reader else socket.SOCK_STREAM
        self._parent_fd = -1

        self._unread = bytearray()  # bytes that are no whole frame yet
        self._position = 0  # of all bytes that were ever read, how many were before those
        self._parcels: Deque[Tuple[int, int, List[int], bool]] = deque()  # from, to, descriptors, truncated
        self._partial: Optional[Tuple[int, int, bytearray, List[int]]] = None  # kind, id, so far, descriptors
        self._inbox: Deque[Message] = deque()
        self._held = 0  # bytes in it
        self._ended = self._closed = False  # the peer has ended; we are closed
        self._failure: Optional[Error] = None  # why nothing more can be received
        self._room = memoryview(bytearray(PACKET_MAX))

        self._requests: Dict[int, Request] = {}  # those of the peer that are open
        self._calls: Dict[int, Call] = {}  # ours
        self._last_id = 0

        self._outbox: Deque[Packet] = deque()
        self._said_end = self._cannot_send = False
        hello = GREETING.pack(1, self.descriptor_limit, 0, message_limit, self.request_limit)
        self._outbox.append((HEADER.pack(len(hello), HELLO, 0, 0, 0) + hello, ()))
        self._flush_now()

    @staticmethod
    def _adopt(number: int) -> Optional[socket.socket]:
        os.set_inheritable(number, False)
        return socket.socket(fileno=number) if stat.S_ISSOCK(os.fstat(number).st_mode) else None

    def send(self, data: Data, descriptors: Sequence[int] = (), timeout: Optional[float] = None) -> None:
        """Send one message: all of it, or nothing if this raises. The descriptors stay yours.

        What the peer says meanwhile is taken in, up to the backlog, so that two sides that both send do
        not wait for each other. A message of which a part has left when the time is over leaves later.
        """
        self._send(MESSAGE, 0, data, descriptors, timeout)

    def recv(self, timeout: Optional[float] = None) -> Optional[Message]:
        """Return the next message, or None when the peer has ended the conversation or has died."""
        deadline = _deadline(timeout)
        while True:
            self._check_open()
            while self._inbox:
                message = self._inbox.popleft()
                self._held -= len(message.data)
                if not (self.handler and isinstance(message, Request)):
                    return message
                self._serve(message)
            if self._failure:
                raise self._failure
            if self._ended:
                return None
            self._wait(deadline)

    def __iter__(self) -> Iterator[Message]:
        """Each message until the end."""
        return iter(self.recv, None)  # type: ignore[arg-type]

    def start(self, data: Data = b"", descriptors: Sequence[int] = (), timeout: Optional[float] = None) -> Call:
        """Send a request, whose answer is the Call's result(). As many may be open as the peer allows."""
        self._check_open()
        if self.peer is None:
            self._take_in()
        limit = REQUESTS_MIN if self.peer is None else self.peer[4]
        if limit == 0:
            raise Refused("the peer takes no requests")
        if len(self._calls) >= limit:
            raise Crowded(f"{limit} requests are open, which is the peer's limit")
        self._last_id += 1
        call = self._calls[self._last_id] = Call(self, self._last_id)
        try:
            self._send(REQUEST, call.id, data, descriptors, timeout)
        except BaseException:
            self._calls.pop(call.id, None)
            raise
        return call

    def call(self, data: Data = b"", descriptors: Sequence[int] = (), timeout: Optional[float] = None) -> Message:
        """Send a request and wait for its answer. If the time is over before, the call is cancelled."""
        deadline = _deadline(timeout)
        call = self.start(data, descriptors, timeout)
        try:
            return call.result(None if deadline is None else deadline - time.monotonic())
        finally:
            call.cancel()

    def end(self, timeout: Optional[float] = None) -> None:
        """Say that nothing more will come from this side. Receiving goes on."""
        self._check_open()
        if self._said_end:
            return
        if self._type == socket.SOCK_DGRAM:
            self._enqueue([(b"", ())], _deadline(timeout))  # the kernel would tell the peer nothing
        else:
            self._flush(_deadline(timeout))
            self._close_writer() if self._write_fd != self._read_fd else self._shut(socket.SHUT_WR)
        self._said_end = True

    def close(self) -> None:
        """Let go of everything. What was not sent yet is lost: end() before, to be sure of it."""
        if self._closed:
            return
        if self._type == socket.SOCK_DGRAM and not self._said_end:
            self._outbox.append((b"", ()))
        self._flush_now()
        self._closed = True
        for message in self._inbox:
            _close_all(message.descriptors)
        self._drop_unfinished()
        if self._write_fd != self._read_fd:
            self._close_writer()
        self._reader.close() if self._reader else os.close(self._read_fd)
        if self._parent_fd >= 0:
            os.close(self._parent_fd)

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        try:
            if kind is None and not self._closed:
                self.end()
        except (Gone, ProtocolError):
            pass  # who receives is told
        finally:
            self.close()

    def fileno(self) -> int:
        """For select() and event loops: when it is readable, recv(timeout=0) until a TimeoutError."""
        return self._read_fd

    # Sending. The outbox holds packets; each begins a send of its own, as one with descriptors must.

    def _send(self, kind: int, number: int, data: Data, descriptors: Sequence[int],
              timeout: Optional[float]) -> None:
        deadline = _deadline(timeout)
        data = memoryview(data).cast("B")
        self._check_open()
        if self._said_end:
            raise Error("this side has ended the conversation already")
        while descriptors and self.peer is None and not (self._ended or self._failure):
            self._wait(deadline)  # only its greeting says how many it accepts
        limits = self.peer or (1, 0, 0, self.message_limit)
        if kind != ERROR and len(data) > (limits[3] or 1):
            raise Refused(f"the message has {len(data)} bytes; the peer accepts {limits[3] or 1}")
        if descriptors and (self._writer is None or self._writer is not self._reader):
            raise Refused("pipes carry no descriptors")
        if len(descriptors) > min(limits[1], DESCRIPTORS_MAX):
            raise Refused(f"the message has {len(descriptors)} descriptors; the peer accepts {limits[1]}")
        piece = PIECE if self._type != socket.SOCK_STREAM else max(len(data), 1)
        packets: List[Packet] = []
        for start in range(0, len(data) or 1, piece):
            part, more = data[start:start + piece], MORE if start + piece < len(data) else 0
            header = HEADER.pack(len(part), kind, more, 0 if start else len(descriptors), number)
            packets.append((b"".join((header, part)), () if start else tuple(descriptors)))
        self._enqueue(packets, deadline)

    def _enqueue(self, packets: List[Packet], deadline: Optional[float]) -> None:
        """Send packets, or none of them: those that have not begun at the deadline are taken back."""
        if self._type == socket.SOCK_DGRAM:
            self._take_in()  # to send to a peer that has gone makes the kernel forget what it said
        self._outbox.extend(packets)
        try:
            self._flush(deadline)
        except BaseException as failure:
            if any(packet is packets[0] for packet in self._outbox):
                for _ in packets:
                    self._outbox.pop()
            elif isinstance(failure, (TimeoutError, Crowded)):
                return
            raise

    def _flush(self, deadline: Optional[float]) -> None:
        while not self._flush_now():
            if self._failure and isinstance(self._failure, ProtocolError):
                raise self._failure
            if self._cannot_send:
                raise Gone("the peer has gone")
            self._wait(deadline)

    def _flush_now(self) -> bool:
        """Send what the kernel takes. False if something is left, or cannot leave."""
        while self._outbox and not self._cannot_send:
            packet, descriptors = self._outbox[0]
            try:
                sent = self._write(packet, descriptors)
            except BlockingIOError:
                return False
            except ConnectionError:
                self._cannot_send = True
                break
            self._outbox.popleft()
            if sent < len(packet):
                self._outbox.appendleft((memoryview(packet)[sent:], ()))
        return not self._cannot_send

    def _write(self, packet: Data, descriptors: Sequence[int]) -> int:
        if self._writer is None:
            if not select.select([], [self._write_fd], [], 0)[1]:
                raise BlockingIOError
            return os.write(self._write_fd, memoryview(packet)[:PIPE_ATOMIC])
        rights = struct.pack(f"{len(descriptors)}i", *descriptors)
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        return self._writer.sendmsg([packet], control, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    # Receiving. Bytes become frames, frames messages, and those are brought to whom they are for.

    def _take_in(self) -> None:
        """Read what has come, as far as there is room for it."""
        while not (self._ended or self._failure) and self._held <= self.backlog:
            try:
                size = self._read()
                if size == 0 and self._type == socket.SOCK_SEQPACKET:
                    size = self._read_again()
                if size == 0:
                    self._see_the_end()
                self._unread += self._room[:size]
                while self._take_frame():
                    pass
            except BlockingIOError:
                return
            except ConnectionResetError:
                pass  # said once by a peer that died with words unread; its own are still to come
            except ProtocolError as failure:
                self._break_off(failure)

    def _read(self) -> int:
        if self._reader is None:
            if not select.select([self._read_fd], [], [], 0)[0]:
                raise BlockingIOError
            return os.readv(self._read_fd, [self._room])
        space, flags = socket.CMSG_SPACE(4 * DESCRIPTORS_MAX), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        size, control, flags, _ = self._reader.recvmsg_into([self._room], space, flags)
        if control or flags & socket.MSG_CTRUNC:
            descriptors = [number for _, kind, block in control if kind == socket.SCM_RIGHTS
                           for number in struct.unpack(f"{len(block) // 4}i", block)]
            begin = self._position + len(self._unread)
            self._parcels.append((begin, begin + size, descriptors, bool(flags & socket.MSG_CTRUNC)))
        if flags & socket.MSG_TRUNC:
            raise ProtocolError("packet", f"sent a packet of more than {PACKET_MAX} bytes, which is the limit")
        return size

    def _read_again(self) -> int:
        """Linux tells the end too early when the last packets come along with it."""
        try:
            return self._read()
        except BlockingIOError:
            return 0  # after an empty packet

    def _see_the_end(self) -> None:
        self._ended = True
        if self._unread or self._partial:
            self._failure = Gone("the peer ended in the middle of a message")
        elif self.peer is None:
            self._failure = Gone("the peer ended before it had greeted")
        self._drop_unfinished()

    def _take_frame(self) -> bool:
        """Take the first frame of what was read, if it is there in whole."""
        if len(self._unread) < HEADER.size:
            return False
        size, kind, flags, announced, number = HEADER.unpack_from(self._unread)
        self._check_header(size, kind, flags, announced, number)
        if len(self._unread) < HEADER.size + size:
            return False
        payload = bytes(self._unread[HEADER.size:HEADER.size + size])
        if kind == HELLO:
            self._greet(payload)
        descriptors = self._claim(announced, self._position + HEADER.size + size)
        del self._unread[:HEADER.size + size]
        self._position += HEADER.size + size
        if not flags and self._partial is None:
            self._sort(kind, number, payload, descriptors)
            return True
        self._partial = self._partial or (kind, number, bytearray(), descriptors)
        self._partial[2].extend(payload)
        if not flags:
            whole, self._partial = self._partial, None
            self._sort(kind, number, bytes(whole[2]), whole[3])
        return True

    def _check_header(self, size: int, kind: int, flags: int, announced: int, number: int) -> None:
        """Judge a frame by its header, before anything of its payload has come."""
        partial, is_message = self._partial, kind in (MESSAGE, REQUEST, REPLY)
        whole = size + (len(partial[2]) if partial else 0)
        accepted = self.descriptor_limit if is_message else 0
        _demand(HELLO <= kind <= CANCEL, "kind", "sent a frame of the unknown kind {}", kind)
        _demand(number == 0 or kind > MESSAGE, "id", "sent the id {} in a frame that has none", number)
        _demand(number or kind <= MESSAGE, "no-id", "sent a frame of kind {} without an id", kind)
        _demand(kind == HELLO or self.peer, "no-hello", "began with a frame of kind {} instead of a greeting", kind)
        _demand(kind != HELLO or not self.peer, "second-hello", "greeted twice")
        _demand(kind != HELLO or 16 <= size <= 256, "hello-size", "sent a greeting of {} bytes", size)
        _demand(not partial or (kind, number) == partial[:2],
                "fragment-kind", "began another message in the middle of one")
        _demand(kind != CANCEL or not (size or flags or announced), "cancel", "sent a cancel with something in it")
        _demand(kind != ERROR or CODE.size <= size <= CODE.size + ERROR_TEXT_MAX,
                "error-size", "sent an error of {} bytes", size)
        _demand(flags == 0 or flags == MORE and is_message, "flags", "sent a frame with the unknown flags {}", flags)
        _demand(not is_message or whole <= self.message_limit,
                "length", "announced a message of {} bytes; the limit is {}", whole, self.message_limit)
        _demand(flags == 0 or size, "empty-fragment", "sent an empty piece of a message")
        _demand(announced <= accepted, "descriptor-limit",
                "announced {} descriptors with a message; this end accepts {}", announced, accepted)
        _demand(not (announced and partial), "fragment-descriptors",
                "announced {} descriptors in the middle of a message", announced)

    def _claim(self, announced: int, end: int) -> List[int]:
        """Return the descriptors of the frame that ends there: they came with the read of its first byte."""
        descriptors, truncated = [], False
        if announced and self._parcels and self._parcels[0][0] <= self._position < self._parcels[0][1]:
            _, _, descriptors, truncated = self._parcels.popleft()
        fits = len(descriptors) == announced or truncated
        if fits and not (self._parcels and self._parcels[0][1] <= end):
            return descriptors
        _close_all(descriptors)
        _demand(len(descriptors) >= announced or truncated, "descriptors-missing",
                "announced {} descriptors with a message and sent {}", announced, len(descriptors))
        raise ProtocolError("descriptors-surplus", "sent descriptors that it had not announced")

    def _greet(self, payload: bytes) -> None:
        known = payload[:GREETING.size] if len(payload) >= GREETING.size else payload[:16] + bytes(4)
        self.peer = GREETING.unpack(known)
        _demand(self.peer[0] == 1, "version", "speaks version {} of the protocol; this end speaks 1", self.peer[0])

    def _sort(self, kind: int, number: int, data: bytes, descriptors: List[int]) -> None:
        if kind == CANCEL:
            self._requests.pop(number, None)
        elif kind == ERROR or kind == REPLY:
            call = self._calls.pop(number, None)
            if call is None:
                _close_all(descriptors)  # it comes too late
                _demand(number <= self._last_id, "unknown-reply",
                        "answered a request with the id {}, which was never made", number)
            elif kind == REPLY:
                call._answer = Message(data, descriptors)
            else:
                call._answer = CallError(*CODE.unpack_from(data), data[CODE.size:].decode("utf-8", "replace"))
        elif kind != HELLO:
            message = Request(self, number, data, descriptors) if kind == REQUEST else Message(data, descriptors)
            self._inbox.append(message)
            self._held += len(data)
            if isinstance(message, Request):
                self._open_request(message)

    def _open_request(self, request: Request) -> None:
        try:
            _demand(request.id not in self._requests, "duplicate-request",
                    "used the id {} for two requests at once", request.id)
            _demand(len(self._requests) < self.request_limit, "request-limit",
                    "has more than {} requests open, which is the limit", self.request_limit)
        except ProtocolError:
            _close_all(self._inbox.pop().descriptors)
            raise
        self._requests[request.id] = request

    def _break_off(self, failure: ProtocolError) -> None:
        """Take and send nothing more. What came whole before is still delivered."""
        self._failure, self._cannot_send = failure, True
        self._drop_unfinished()
        self._shut(socket.SHUT_RDWR)

    def _drop_unfinished(self) -> None:
        for parcel in self._parcels:
            _close_all(parcel[2])
        self._parcels.clear()
        if self._partial:
            _close_all(self._partial[3])
        self._partial = None

    # Serving and waiting.

    def _pursue(self, deadline: Optional[float]) -> None:
        """Come a step nearer to an answer: serve a request of the peer, or wait for something to come."""
        self._check_open()
        request = next((m for m in self._inbox if isinstance(m, Request)), None) if self.handler else None
        if request:
            self._inbox.remove(request)
            self._held -= len(request.data)
            self._serve(request)
        elif self._failure:
            raise self._failure
        elif self._ended:
            raise Gone("the peer has ended the conversation without an answer")
        elif self._held > self.backlog:
            raise Crowded(f"more than {self.backlog} bytes wait to be received")
        else:
            self._wait(deadline)

    def _serve(self, request: Request) -> None:
        """Have the handler answer. It may also return None, and answer later."""
        if not request.open:
            return _close_all(request.descriptors)
        try:
            answer = self.handler(request)
            if answer is not None:
                request.reply(answer)
        except CallError as failure:
            request.fail(failure.code, failure.text)
        except (Gone, ProtocolError):
            raise
        except Exception as failure:
            text = f"{type(failure).__name__}: {failure}".encode("utf-8", "replace")[:ERROR_TEXT_MAX]
            request.fail(errno.EIO, text.decode("utf-8", "ignore"))

    def _wait(self, deadline: Optional[float]) -> None:
        """Wait until something can be read, or of the outbox written, and do so. Raises TimeoutError."""
        poll, events = select.poll(), {}
        crowded = self._held > self.backlog
        if not (self._ended or crowded):
            events[self._read_fd] = events[self._parent_fd] = select.POLLIN
        if self._outbox and not self._cannot_send:
            events[self._write_fd] = events.get(self._write_fd, 0) | select.POLLOUT
        for number, wanted in events.items():
            if number >= 0:
                poll.register(number, wanted)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        deadlock = crowded and not self._ended and (left is None or left > DEADLOCK)
        if deadlock:
            left = DEADLOCK
        ready = dict(poll.poll(None if left is None else left * 1000))
        if not ready and deadlock:
            raise Crowded(f"both sides send, and more than {self.backlog} bytes wait to be received here")
        if not ready:
            raise TimeoutError("the time is over")
        self._flush_now()
        self._take_in()
        if self._parent_fd in ready and not (self._ended or self._held > self.backlog):
            self._see_the_end()

    def _watch(self, parent_pid: int) -> None:
        """On DGRAM the kernel does not tell one end of the other's death; a pidfd does (Python 3.9)."""
        if self._type == socket.SOCK_DGRAM and hasattr(os, "pidfd_open"):
            try:
                self._parent_fd = os.pidfd_open(parent_pid)
            except OSError:
                pass  # it will be noticed by sending

    def _check_open(self) -> None:
        if self._closed:
            raise Error("the channel is closed")

    def _close_writer(self) -> None:
        if self._write_fd >= 0:
            self._writer.close() if self._writer else os.close(self._write_fd)
            self._write_fd, self._cannot_send = -1, True

    def _shut(self, how: int) -> None:
        try:
            if self._writer:
                self._writer.shutdown(how)
        except OSError:
            pass  # the peer was faster
