// SPDX-License-Identifier: MIT
//
// A parent that knows child_process.fork() and nothing else: node_parent.mjs PROGRAM takes PROGRAM
// for another Node and converses with it. See program_node_child.c.
import assert from 'node:assert/strict';
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

const program = process.argv[2];

const forked = () => fork('unused', [], { execPath: program, execArgv: [] });
const spawned = () => spawn(program, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });

// The next messages of a child, each with its handle, in the order of their arrival.
function inbox(child) {
    const come = [];
    const wanted = [];
    child.on('message', (message, handle) => {
        if (wanted.length > 0) wanted.shift()([message, handle]);
        else come.push([message, handle]);
    });
    return () =>
        come.length > 0
            ? Promise.resolve(come.shift())
            : new Promise((resolve) => wanted.push(resolve));
}

async function read(socket) {
    let text = '';
    for await (const data of socket) text += data;
    return text;
}

async function listen(...where) {
    const server = net.createServer();
    server.listen(...where);
    await once(server, 'listening');
    return server;
}

async function expect(next, expected) {
    const [message, handle] = await next();
    assert.deepEqual(message, expected);
    return handle;
}

async function json(child, next) {
    const odd = 'grüße 🦀\n\u2028\ud800';
    const values = [null, true, 0, -1.5e-9, '', odd, [], {}, [[{ a: [] }]], { cmd: 'NODE_' }];
    for (const value of values) {
        child.send(value);
        await expect(next, value);
    }
    for (let number = 0; number < 1000; number++) child.send({ number });
    for (let number = 0; number < 1000; number++) await expect(next, { number });

    const large = { text: 'ü€🦀.'.repeat(500000) };
    child.send(large);
    child.send('after');
    await expect(next, large);
    await expect(next, 'after');
    child.send('deadly');
    await expect(next, 'refused');
}

async function takeHandles(child, next) {
    child.send('socket');
    await expect(next, { before: 'socket' });
    const socket = await expect(next, { handle: 'socket' });
    assert.ok(socket instanceof net.Socket);
    assert.equal(await read(socket), 'from duplex');
    await expect(next, { after: 'socket' });

    child.send('server');
    const server = await expect(next, { handle: 'server' });
    assert.ok(server instanceof net.Server);
    server.on('connection', (connection) => connection.end('served by node'));
    assert.equal(await read(net.connect(server.address().port, '127.0.0.1')), 'served by node');
    server.close();
    await once(server, 'close');
}

async function giveHandles(child, next) {
    // A server, of which this process lets go.
    const server = await listen(0, '127.0.0.1');
    const { port } = server.address();
    child.send('a server', server);
    await expect(next, { took: 'server' });
    server.close();
    assert.equal(await read(net.connect(port, '127.0.0.1')), 'served by duplex');

    // Connections that were accepted here, with messages between them: all keep their order.
    const acceptor = await listen(0, '127.0.0.1');
    const clients = [];
    for (let number = 0; number < 5; number++) {
        const accepted = once(acceptor, 'connection');
        clients.push(net.connect(acceptor.address().port, '127.0.0.1'));
        const [connection] = await accepted;
        child.send({ before: number });
        child.send({ connection: number }, connection);
        child.send({ after: number });
    }
    for (let number = 0; number < 5; number++) {
        await expect(next, { before: number });
        await expect(next, { took: 'socket' });
        await expect(next, { after: number });
    }
    for (const client of clients) assert.equal(await read(client), 'served by duplex');
    acceptor.close();
}

// Node disconnects: the child sees the end, and goes.
async function disconnect(child) {
    child.disconnect();
    assert.deepEqual(await once(child, 'exit'), [3, null]);
}

// The child goes first: what it said before arrives.
async function goAway(child, next) {
    child.send('disconnect');
    await expect(next, 'last words');
    await Promise.all([
        once(child, 'disconnect'),
        once(child, 'exit').then((how) => assert.deepEqual(how, [4, null])),
    ]);
}

for (const start of [forked, spawned]) {
    for (const end of [disconnect, goAway]) {
        const child = start();
        const next = inbox(child);
        await json(child, next);
        await takeHandles(child, next);
        await giveHandles(child, next);
        await end(child, next);
    }
}

// The other serialization is another protocol, and is refused with a sentence.
const child = fork('unused', [], {
    execPath: program,
    execArgv: [],
    serialization: 'advanced',
    silent: true,
});
const complaint = read(child.stderr);
assert.deepEqual(await once(child, 'exit'), [1, null]);
assert.match(await complaint, /'advanced' serialization of Node, and not json/);
