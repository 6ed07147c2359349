# SPDX-License-Identifier: MIT
"""A client of a language server, which keeps each byte that the server says.

    language_client.py FRAMING RECORD SERVER [ARGUMENT...]

It holds the same conversation with any server. FRAMING is content-length, as servers speak, or line:
one JSON text a line, for a wrapper that does the headers. RECORD gets what the server said: its
bytes, or its lines. Prints the diagnostics and the server's exit status.
"""

import json
import subprocess
import sys

ERROR = "int answer = question;\nint main(void) { return nothing_known; }\n"
# More than a pipe or a socket holds, both ways: the symbols of this are some megabytes.
LONG = "".join(f"int a_name_of_some_length_{number} = {number};\n" for number in range(12000))
PIECE = 7


class Server:
    def __init__(self, framing, record, argv):
        self.framing = framing
        self.record = record
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.last_id = 0

    def say(self, method, params=None, id=None, in_pieces=False):
        message = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        if id is not None:
            message["id"] = id
        text = json.dumps(message).encode()
        if self.framing == "line":
            text += b"\n"
        else:
            text = b"Content-Length: %d\r\n\r\n%s" % (len(text), text)
        for start in range(0, len(text), PIECE if in_pieces else len(text)):
            self.process.stdin.write(text[start : start + PIECE] if in_pieces else text)
            self.process.stdin.flush()

    def take(self, count=None):
        """Some bytes, or a line."""
        output = self.process.stdout
        data = output.readline() if count is None else output.read(count)
        if count is not None and len(data) < count or not data:
            raise EOFError("the server ended in the middle of a message")
        self.record.write(data)
        return data

    def hear(self):
        if self.framing == "line":
            return json.loads(self.take())
        size = None
        while (header := self.take()) != b"\r\n":
            name, value = header.split(b":")
            if name.lower() == b"content-length":
                size = int(value)
        return json.loads(self.take(size))

    def call(self, method, params=None, **how):
        self.last_id += 1
        self.say(method, params, self.last_id, **how)
        while (message := self.hear()).get("id") != self.last_id:
            pass
        return message["result"]

    def await_diagnostics(self):
        while (message := self.hear()).get("method") != "textDocument/publishDiagnostics":
            pass
        return message["params"]


def open_document(server, uri, text, **how):
    document = {"uri": uri, "languageId": "c", "version": 1, "text": text}
    server.say("textDocument/didOpen", {"textDocument": document}, **how)


def converse(server):
    server.call("initialize", {"processId": None, "rootUri": None, "capabilities": {}}, in_pieces=True)
    server.say("initialized", {})
    open_document(server, "file:///error.c", ERROR, in_pieces=True)
    for diagnostic in server.await_diagnostics()["diagnostics"]:
        print(f"{diagnostic['range']['start']['line']}: {diagnostic['message']}")
    open_document(server, "file:///long.c", LONG)
    print(f"{len(server.await_diagnostics()['diagnostics'])} in the long file")
    symbols = server.call(
        "textDocument/documentSymbol", {"textDocument": {"uri": "file:///long.c"}}
    )
    print(f"{len(symbols)} symbols")
    server.call("shutdown")
    server.say("exit")


def main():
    framing, record_path, *argv = sys.argv[1:]
    with open(record_path, "wb") as record:
        server = Server(framing, record, argv)
        converse(server)
        # What the server says after that is on record too.
        rest = server.process.stdout.read()
        record.write(rest)
        server.process.stdin.close()
        print(f"status {server.process.wait(20)}")


main()
