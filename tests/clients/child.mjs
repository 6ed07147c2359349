// SPDX-License-Identifier: MIT
/**
 * The child that program_parent.c converses with, by clients/node/duplex.mjs; child.py in JavaScript.
 *
 * usage: child.mjs CLIENT [FILE]
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const duplex = await import(pathToFileURL(process.argv[2]).href)
const PATIENCE = 30000
let held = []

function split(data) {
    const place = data.indexOf(' ')
    return place < 0 ? [String(data), Buffer.alloc(0)] : [data.toString('utf8', 0, place), data.subarray(place + 1)]
}

async function serve(data, { signal }) {
    const [word, rest] = split(data)
    if (word === 'echo')
        return rest
    if (word === 'fail') {
        const [code, text] = split(rest)
        throw new duplex.CallError(Number(code), String(text))
    }
    if (word === 'break')
        throw new TypeError('broken')
    if (word === 'nest')
        return Number(rest) === 0 ? 'leaf' : `(${await channel.call(`nest ${Number(rest) - 1}`)})`
    assert.equal(word, 'hold')
    return new Promise((resolve) => held.push({ data, signal, resolve }))
}

async function ask(count) {
    const calls = Array.from({ length: count }, (_, i) => channel.call(`slot ${i}`, { timeout: PATIENCE }))
    const replies = (await Promise.all(calls)).map(String)
    replies.forEach((reply, i) => assert.equal(reply, `slot ${i}`))
    return `asked ${count}`
}

async function giveUp() {
    await assert.rejects(channel.call('never', { timeout: 50 }), duplex.TimedOut)
    return 'gave up'
}

async function meetAnError() {
    try {
        await channel.call('fail 7 no', { timeout: PATIENCE })
    } catch (failure) {
        assert(failure instanceof duplex.CallError)
        return `failed ${failure.code} ${failure.text}`
    }
}

function sayTooMuch() {
    assert.throws(() => channel.send(Buffer.alloc(channel.peer.messageLimit + 1)), duplex.Refused)
    assert.throws(() => channel.send('', { descriptors: [1] }), duplex.Refused)
    return 'refused'
}

function release() {
    const waiting = held.filter(({ signal }) => !signal.aborted).sort(() => Math.random() - 0.5)
    held = []
    for (const { data, resolve } of waiting)
        resolve(data)
    return `released ${waiting.length}`
}

const channel = duplex.parent({ handler: serve })
assert.equal(process.env.DUPLEX_FD, undefined)
const scenes = {
    ask: (rest) => ask(Number(rest)), 'give-up': giveUp, error: meetAnError, large: sayTooMuch, release,
}
for await (const message of channel) {
    const [word, rest] = split(message)
    await channel.send(word === 'echo' ? message : await scenes[word](rest)).catch(() => {})
}
await channel.send('bye').catch(() => {})
await channel.end()
if (process.argv[3])
    writeFileSync(process.argv[3], 'the end was seen\n')
