#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check what clients/python/duplex.py promises beyond the vectors.

usage: check_python.py FOLDER

FOLDER holds duplex.py. Both ends are often in one process: what does not fit into the kernel's buffers
waits in the sender's outbox or backlog meanwhile.
"""

import errno
import os
import resource
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import duplex  # pylint: disable=wrong-import-position

TYPES = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM)
PATIENCE = 20


def pair(kind=socket.SOCK_STREAM, ours=None, theirs=None):
    ends = socket.socketpair(socket.AF_UNIX, kind)
    return duplex.Channel(ends[0].detach(), **(ours or {})), duplex.Channel(ends[1].detach(), **(theirs or {}))


class Case(unittest.TestCase):
    def setUp(self):
        self.before = sorted(os.listdir("/proc/self/fd"))

    def tearDown(self):
        self.assertEqual(sorted(os.listdir("/proc/self/fd")), self.before)


class Conversations(Case):
    def test_packets_that_come_with_the_end_are_heard(self):
        ours, theirs = pair(socket.SOCK_SEQPACKET)
        read, ends = ours._read, [0]

        def read_as_linux_may():  # which looks for a packet, and then for the end
            return ends.pop() if ends else read()

        theirs.send(b"last", timeout=PATIENCE)
        theirs.end(PATIENCE)
        ours._read = read_as_linux_may
        self.assertEqual([message.data for message in ours], [b"last"])
        ours.close()
        theirs.close()

    def test_two_sides_that_send_everything_first_do_not_deadlock(self):
        for kind in TYPES:
            ours, theirs = pair(kind)
            data = [bytes([i]) * 100000 for i in range(20)]

            heard = {}

            def shout_then_listen(channel):
                for message in data:
                    channel.send(message, timeout=PATIENCE)
                channel.end(PATIENCE)
                heard[channel] = [message.data for message in channel]
                channel.close()

            threads = [threading.Thread(target=shout_then_listen, args=(end,)) for end in (ours, theirs)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(heard, {ours: data, theirs: data})

    def test_a_deadline_passes_without_a_word(self):
        ours, theirs = pair()
        begun = time.monotonic()
        for timeout in (0, 0.05):
            with self.assertRaises(TimeoutError):
                ours.recv(timeout)
        with self.assertRaises(TimeoutError):
            ours.call(b"", timeout=0.05)
        self.assertLess(0.1, time.monotonic() - begun)
        self.assertLess(time.monotonic() - begun, 5)
        request = theirs.recv(PATIENCE)
        ours.send(b"next")
        self.assertEqual(theirs.recv(PATIENCE).data, b"next")
        self.assertFalse(request.open)  # the call was cancelled
        ours.close()
        theirs.close()

    def test_what_has_not_begun_at_the_deadline_never_arrives(self):
        for kind in TYPES:
            ours, theirs = pair(kind)
            sent = 0
            with self.assertRaises(TimeoutError):
                while True:
                    ours.send(b"%07d" % sent * 1000, timeout=0.02)
                    sent += 1
            # One that was begun leaves in whole, later: here it has begun if the stream took a part.
            theirs_seen = [theirs.recv(PATIENCE).data for _ in range(1)]
            ender = threading.Thread(target=ours.end, args=(PATIENCE,))
            ender.start()
            theirs_seen += [message.data for message in theirs]
            ender.join()
            self.assertEqual(theirs_seen, [b"%07d" % i * 1000 for i in range(sent)])
            ours.close()
            theirs.close()

    def test_a_message_that_is_begun_at_the_deadline_leaves_later(self):
        ours, theirs = pair()
        data = os.urandom(3000000)
        ours.send(data, timeout=0.02)
        with self.assertRaises(TimeoutError):
            ours.send(b"next", timeout=0)
        ender = threading.Thread(target=ours.end, args=(PATIENCE,))
        ender.start()
        self.assertEqual([message.data for message in theirs], [data])
        ender.join()
        ours.close()
        theirs.close()

    def test_an_end_is_half(self):
        for kind in TYPES:
            ours, theirs = pair(kind)
            ours.end()
            ours.end()
            with self.assertRaises(duplex.Error):
                ours.send(b"more")
            self.assertIsNone(theirs.recv(PATIENCE))
            theirs.send(b"late")
            theirs.end()
            self.assertEqual([message.data for message in ours], [b"late"])
            ours.close()
            theirs.close()

    def test_a_peer_that_has_gone_is_told_by_what_it_did_not_do(self):
        for kind in TYPES:
            ours, theirs = pair(kind)
            ours.send(b"unread")
            call = ours.start(b"unanswered")
            theirs.send(b"last words")
            theirs.close()
            with self.assertRaises(duplex.Gone):
                call.result(PATIENCE)
            with self.assertRaises(duplex.Gone):
                ours.send(b"more")
            self.assertEqual(ours.recv(PATIENCE).data, b"last words")
            self.assertIsNone(ours.recv(PATIENCE))
            ours.close()

    def test_to_send_to_a_peer_that_has_gone_does_not_lose_what_it_said(self):
        for kind in TYPES:
            ours, theirs = pair(kind)
            theirs.send(b"last words")
            theirs.close()
            with self.assertRaises(duplex.Gone):
                ours.send(b"more")
            self.assertEqual(ours.recv(PATIENCE).data, b"last words")
            self.assertIsNone(ours.recv(PATIENCE))
            ours.close()

    def test_a_packet_over_the_limit_breaks_the_protocol(self):
        for kind in TYPES[1:]:
            ends = socket.socketpair(socket.AF_UNIX, kind)
            ends[1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            ours = duplex.Channel(ends[0].detach())
            try:
                ends[1].send(bytes(duplex.PACKET_MAX + 1))
            except OSError as failure:
                self.assertEqual(failure.errno, errno.EMSGSIZE)  # net.core.wmem_max is too small
            else:
                with self.assertRaises(duplex.ProtocolError) as caught:
                    ours.recv(PATIENCE)
                self.assertEqual(caught.exception.name, "packet")
            ours.close()
            ends[1].close()

    def test_descriptors_for_which_there_is_no_room_are_lost_and_nothing_else(self):
        for kind in TYPES:
            ours, theirs = pair(kind, theirs={"descriptor_limit": 3})
            ours.send(b"some", [0, 1, 2])
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest_free = os.dup(0)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 1, limits[1]))
            try:
                message = theirs.recv(PATIENCE)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            self.assertEqual(message.data, b"some")
            self.assertLess(len(message.descriptors), 3)
            for descriptor in message.descriptors:
                os.close(descriptor)
            ours.send(b"next", [0])
            message = theirs.recv(PATIENCE)
            self.assertEqual((message.data, len(message.descriptors)), (b"next", 1))
            os.close(message.descriptors[0])
            ours.close()
            theirs.close()

    def test_a_closed_channel_says_so(self):
        ours, theirs = pair()
        ours.close()
        ours.close()
        for use in (ours.recv, ours.end, lambda: ours.send(b""), ours.call):
            with self.assertRaisesRegex(duplex.Error, "closed"):
                use()
        theirs.close()

    def test_descriptors_that_nobody_received_are_closed(self):
        ours, theirs = pair(theirs={"descriptor_limit": 3})
        ours.send(b"", [0, 1, 2])
        ours.start(b"", [0, 1, 2])
        with self.assertRaises(TimeoutError):
            theirs.call(timeout=0.05)
        theirs.close()
        ours.close()

    def test_limits_of_the_peer_are_kept(self):
        ours, theirs = pair(theirs={"message_limit": 10, "request_limit": 0})
        self.assertRaises(TimeoutError, ours.recv, 0)  # takes the greeting in
        ours.send(b"0123456789")
        for use in (lambda: ours.send(b"0123456789a"), lambda: ours.send(b"", [0]), ours.start):
            with self.assertRaises(duplex.Refused):
                use()
        self.assertEqual(theirs.recv(PATIENCE).data, b"0123456789")
        ours.close()
        theirs.close()
        ours, theirs = pair(theirs={"request_limit": 20})
        calls = [ours.start() for _ in range(20)]
        with self.assertRaisesRegex(duplex.Crowded, "20"):
            ours.start()
        calls[3].cancel()
        calls.append(ours.start())
        requests = [theirs.recv(PATIENCE) for _ in range(21)]
        self.assertEqual([request.open for request in requests], [i != 3 for i in range(21)])
        ours.close()
        theirs.close()

    def test_a_backlog_is_bounded(self):
        ours, theirs = pair(ours={"message_limit": 1000, "backlog": 5000})
        count = 3000

        def shout():
            for _ in range(count):
                theirs.send(bytes(1000), timeout=PATIENCE)

        shouter = threading.Thread(target=shout)
        shouter.start()
        with self.assertRaises(duplex.Crowded):
            ours.call(timeout=PATIENCE)
        for _ in range(20):
            time.sleep(0.005)
            ours._take_in()
        self.assertLess(ours._held, 5000 + duplex.PACKET_MAX)  # one read of the socket may go over it
        for _ in range(count):
            self.assertEqual(len(ours.recv(PATIENCE).data), 1000)
        shouter.join()
        ours.close()
        theirs.close()


    def test_a_deadlock_is_told(self):
        ends = socket.socketpair()
        ours = duplex.Channel(ends[0].detach(), message_limit=1000, backlog=5000)
        ends[1].send(duplex.HEADER.pack(16, 1, 0, 0, 0) + duplex.GREETING.pack(1, 0, 0, 1 << 20, 0)[:16])
        with self.assertRaises(BlockingIOError):
            while True:
                ends[1].send(duplex.HEADER.pack(1000, 2, 0, 0, 0) + bytes(1000), socket.MSG_DONTWAIT)
        with self.assertRaises(duplex.Crowded):
            while True:
                ours.send(bytes(1000))
        ours.close()
        ends[1].close()


class Calls(Case):
    def serve(self, handler, kind=socket.SOCK_STREAM):
        """A channel to a thread that serves with this handler."""
        ours, theirs = pair(kind, theirs={"handler": handler})

        def run():
            with theirs:
                for _ in theirs:
                    pass

        thread = threading.Thread(target=run)
        thread.start()

        def stop():
            ours.end()
            thread.join()
            ours.close()

        return ours, stop

    def test_an_answer_is_a_reply_or_an_error(self):
        def handler(request):
            if request.data == b"refuse":
                raise duplex.CallError(-7, "größer")
            if request.data == b"break":
                raise ValueError("x" * 5000)
            if request.data == b"large":
                return bytes((16 << 20) + 1)
            return request.data * 2

        for kind in TYPES:
            ours, stop = self.serve(handler, kind)
            self.assertEqual(ours.call(b"ab", timeout=PATIENCE).data, b"abab")
            self.assertEqual(ours.call(timeout=PATIENCE).data, b"")
            with self.assertRaises(duplex.CallError) as caught:
                ours.call(b"refuse", timeout=PATIENCE)
            self.assertEqual((caught.exception.code, caught.exception.text), (-7, "größer"))
            with self.assertRaises(duplex.CallError) as caught:
                ours.call(b"break", timeout=PATIENCE)
            self.assertEqual(caught.exception.code, errno.EIO)
            self.assertEqual(len(caught.exception.text), 4096)
            with self.assertRaisesRegex(duplex.CallError, "Refused: .* accepts 16777216"):
                ours.call(b"large", timeout=PATIENCE)
            stop()

    def test_messages_wait_while_a_call_is_answered(self):
        def handler(request):
            request.channel.send(b"first")
            request.channel.send(b"second")
            return b"reply"

        ours, stop = self.serve(handler)
        self.assertEqual(ours.call(timeout=PATIENCE).data, b"reply")
        self.assertEqual([ours.recv(PATIENCE).data for _ in range(2)], [b"first", b"second"])
        stop()

    def test_a_late_answer_is_dropped(self):
        ours, theirs = pair()
        with self.assertRaises(TimeoutError):
            ours.call(b"slow", timeout=0.02)
        request = theirs._take_in() or theirs._inbox[0]
        theirs._requests[request.id] = request  # as if the cancel had not come yet
        request.reply(b"late")
        theirs.send(b"next")
        self.assertEqual(ours.recv(PATIENCE).data, b"next")
        ours.close()
        theirs.close()

    def test_a_handler_is_not_called_for_a_request_that_was_cancelled(self):
        called = []
        ours, theirs = pair(theirs={"handler": called.append, "descriptor_limit": 1})
        ours.start(b"first", [0]).cancel()
        ours.start(b"second")
        ours.send(b"next")
        self.assertEqual(theirs.recv(PATIENCE).data, b"next")
        self.assertEqual([request.data for request in called], [b"second"])
        ours.close()
        theirs.close()

    def test_an_answer_to_a_cancelled_request_is_not_sent(self):
        ours, theirs = pair()
        call = ours.start(b"slow")
        request = theirs.recv(PATIENCE)
        self.assertTrue(request.open)
        call.cancel()
        ours.send(b"next")
        self.assertEqual(theirs.recv(PATIENCE).data, b"next")
        self.assertFalse(request.open)
        request.reply(b"late")
        request.fail(1)
        with self.assertRaises(TimeoutError):
            ours.recv(0.02)
        with self.assertRaisesRegex(duplex.Error, "cancelled"):
            call.result()
        ours.close()
        theirs.close()


class Claims(Case):
    def child(self, code, value, **options):
        program = f"import sys; sys.dont_write_bytecode = True; sys.path.insert(0, {sys.argv[1]!r})\n" + code
        environment = {**os.environ, "DUPLEX_FD": value}
        return subprocess.Popen([sys.executable, "-c", program], env=environment, **options)

    def test_a_promise_that_is_none_is_refused_in_words(self):
        for value, word in (("", "no number"), ("x", "no number"), ("3,4,5", "no number"), ("-1", "no number"),
                            ("900", "not open"), ("0", "no socket"), ("٣", "no number")):
            code = ("import duplex, os\ntry:\n    duplex.parent()\nexcept duplex.Error as failure:\n"
                    "    assert 'DUPLEX_FD' in os.environ\n    print(failure)")
            with self.child(code, value, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
                self.assertIn(word, child.communicate()[0].decode(), value)
        os.environ.pop("DUPLEX_FD", None)
        with self.assertRaisesRegex(duplex.Error, "not set"):
            duplex.parent()

    def test_two_pipes_are_standard_input_and_output(self):
        code = ("import duplex\nwith duplex.parent(handler=lambda request: request.data.upper()) as parent:\n"
                "    print('this is for people')\n    for message in parent: parent.send(message.data)")
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with self.child(code, "0,1", **options) as child:
            parent = duplex.Channel(os.dup(child.stdout.fileno()), os.dup(child.stdin.fileno()))
            child.stdin.close()
            data = os.urandom(1000000)
            parent.send(data, timeout=PATIENCE)
            self.assertEqual(parent.recv(PATIENCE).data, data)
            self.assertEqual(parent.call(b"loud", timeout=PATIENCE).data, b"LOUD")
            with self.assertRaises(duplex.Refused):
                parent.send(b"", [0])
            parent.end()
            self.assertIsNone(parent.recv(PATIENCE))
            parent.close()
            self.assertEqual(child.stderr.read(), b"this is for people\n")

    def test_one_socket_may_be_two_numbers(self):
        ours, theirs = socket.socketpair()
        code = ("import duplex, os\nwith duplex.parent() as parent:\n"
                "    assert not os.path.sameopenfile(0, parent.fileno())\n"
                "    for message in parent: parent.send(message.data)")
        with theirs, self.child(code, "0,1", stdin=theirs, stdout=theirs):
            theirs.close()
            with duplex.Channel(ours.detach()) as parent:
                parent.send(b"hi")
                self.assertEqual(parent.recv(PATIENCE).data, b"hi")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
