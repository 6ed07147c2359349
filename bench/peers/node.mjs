// SPDX-License-Identifier: MIT
//
// Both sides of the benchmark's peer node: a parent that is asked by script.c, and the child that
// it forks. Messages are strings of the given size, which travel as JSON. As bytes above 127 would
// become two, a message bears its number modulo 64 as a letter. What is no string opens a run, or
// closes it.
import { fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const CALLS_OPEN = 64;
const IN_FLIGHT_BYTES = 1 << 20; // of a batch one way
const IN_FLIGHT_MESSAGES = 64;

const [work, sizeText, side] = process.argv.slice(2);
const size = Number(sizeText);

const messages = Array.from(LETTERS, (letter) => letter + 'x'.repeat(size - 2) + letter);

function make(number) {
    return messages[number % 64];
}

function isRight(message, number) {
    const code = LETTERS.charCodeAt(number % 64);
    return message.length === size && message.charCodeAt(0) === code &&
        message.charCodeAt(size - 1) === code;
}

function serve() {
    let number = 0;
    let count = 0;

    process.on('message', (message) => {
        if (typeof message !== 'string') {
            number = 0;
            count = message.count;
            return;
        }
        if (!isRight(message, number++)) {
            process.exit(1);
        }
        if (work !== 'one_way') {
            process.send(message);
        } else if (number === count) {
            process.send({ received: number });
        }
    });
    process.send({ ready: true });
}

// How many strings are sent before the first answer, and one more for each answer.
function converse(child, count, open, state) {
    return new Promise((resolve, reject) => {
        let asked = 0;
        let answered = 0;

        state.onMessage = (message) => {
            if (!isRight(message, answered++)) {
                reject(new Error('another message came than was sent'));
            } else if (answered === count) {
                resolve();
            } else if (asked < count) {
                child.send(make(asked++));
            }
        };
        while (asked < count && asked < open) {
            child.send(make(asked++));
        }
    });
}

// Two batches are under way; when the last message of one has left, another follows.
function pour(child, count, state) {
    return new Promise((resolve, reject) => {
        const batch = Math.max(1, Math.min(IN_FLIGHT_MESSAGES, Math.floor(IN_FLIGHT_BYTES / size)));
        let sent = 0;

        function sendBatch(error) {
            if (error) {
                reject(error);
                return;
            }
            const end = Math.min(sent + batch, count);
            while (sent < end - 1) {
                child.send(make(sent++));
            }
            if (sent < end) {
                child.send(make(sent++), sendBatch);
            }
        }
        state.onMessage = (message) => {
            if (message.received === count) {
                resolve();
            } else {
                reject(new Error('messages are missing'));
            }
        };
        sendBatch();
        sendBatch();
    });
}

async function lead() {
    const child = fork(fileURLToPath(import.meta.url), [work, sizeText, 'child'], {
        serialization: 'json',
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const state = {};
    const ended = new Promise((resolve) => child.on('exit', resolve));
    let closing = false;

    child.on('exit', () => closing || process.exit(1));
    await new Promise((resolve) => {
        state.onMessage = resolve;
        child.on('message', (message) => state.onMessage(message));
    });
    process.stdout.write(`ready ${child.pid}\n`);
    for await (const line of createInterface({ input: process.stdin })) {
        const count = Number(line);

        child.send({ count });
        if (work === 'one_way') {
            await pour(child, count, state);
        } else {
            await converse(child, count, work === 'calls' ? CALLS_OPEN : 1, state);
        }
        process.stdout.write('ok\n');
    }
    closing = true;
    child.disconnect();
    process.exitCode = await ended;
}

if (side === 'child') {
    serve();
} else {
    lead().catch((error) => {
        process.stdout.write(`${error.message}\n`, () => process.exit(1));
    });
}
