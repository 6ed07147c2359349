// SPDX-License-Identifier: MIT
//
// A child that takes and gives handles with process.send(), as the messages ask for.
import dgram from 'node:dgram';
import fs from 'node:fs';
import net from 'node:net';

const kept = [];

// What came with a message, in Node's own words.
function kind(handle) {
    if (handle instanceof net.Server) return 'server';
    if (handle instanceof net.Socket) return 'socket';
    if (handle instanceof dgram.Socket) return 'dgram';
    return handle === undefined ? 'nothing' : typeof handle;
}

const todo = {
    // Answer in capitals by the socket itself, until its end.
    shout: (message, socket) => {
        process.send({ got: kind(socket), number: message.number });
        socket.setEncoding('utf8');
        socket.on('data', (text) => socket.write(text.toUpperCase()));
        socket.on('end', () => socket.end());
    },
    // Say by the channel what comes by the handle, until its end.
    listen: (message, socket) => {
        let text = '';
        process.send({ got: kind(socket) });
        socket.on('data', (data) => (text += data));
        socket.on('end', () => process.send({ text }));
        socket.resume();
    },
    // Write by the handle. A pipe has no half to end: only destroy() closes it.
    speak: (message, socket) => {
        process.send({ got: kind(socket) });
        socket.end('spoken by node', () => socket.destroy());
    },
    // Write more than the kernel takes.
    flood: ({ size }, socket) => {
        process.send({ got: kind(socket) });
        socket.on('error', () => {});
        socket.write(Buffer.alloc(size));
    },
    // Accept connections, and greet each.
    serve: (message, server) => {
        process.send({ got: kind(server) });
        server.on('connection', (socket) => socket.end('served by node'));
        kept.push(server);
    },
    // Answer each datagram with its bytes in capitals.
    datagrams: (message, socket) => {
        process.send({ got: kind(socket) });
        socket.on('message', (data, from) => {
            socket.send(data.toString().toUpperCase(), from.port, from.address);
        });
        kept.push(socket);
    },
    // Open files until no more can be: what descriptors come now are lost, so many times.
    exhaust: ({ times }) => {
        const files = [];
        try {
            for (;;) files.push(fs.openSync('/dev/null'));
        } catch {
            process.send('exhausted');
        }
        const count = ({ cmd }) => {
            if (cmd !== 'NODE_HANDLE' || --times > 0) return;
            process.off('internalMessage', count);
            files.forEach((file) => fs.closeSync(file));
        };
        process.on('internalMessage', count);
    },
    number: (message, handle) => {
        process.send({ number: message.number, got: kind(handle) });
        handle?.destroy();
    },

    // Connect, and pass the connection on, with messages before and after it.
    give: ({ port, count }) => {
        let connected = 0;
        const sockets = Array.from({ length: count }, () => net.connect(port, '127.0.0.1'));
        const all = () => {
            if (++connected < count) return;
            sockets.forEach((socket, number) => {
                process.send({ before: number });
                process.send({ socket: number, port: socket.localPort }, socket);
                process.send({ after: number });
            });
        };
        sockets.forEach((socket) => socket.on('connect', all));
    },
    // Pass on a server that listens.
    giveServer: () => {
        const server = net.createServer();
        server.listen(0, '127.0.0.1', () => {
            process.send({ server: server.address().port }, server, (error) => {
                server.close();
                process.send({ sent: error === null });
            });
        });
    },
    // Accept one connection and pass it on.
    giveAccepted: () => {
        const server = net.createServer((socket) => {
            process.send('accepted', socket);
            server.close();
        });
        server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
    },
    echo: ({ value }) => process.send({ value }),
};

process.on('message', (message, handle) => todo[message.do](message, handle));
process.on('warning', (warning) => process.send({ warning: warning.name }));
process.on('disconnect', () => process.exit(5));
process.send('ready');
