// SPDX-License-Identifier: MIT
/**
 * Check clients/node/duplex.mjs against the test vectors.
 *
 * usage: socketpairs.py COUNT node check_vectors.mjs CLIENT VECTORS
 *
 * Each vector without descriptors is played to a channel; and a channel is made to say the good vectors that have
 * one kind of message, and what it sends is compared with the bytes.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { pathToFileURL } from 'node:url'

const duplex = await import(pathToFileURL(process.argv[2]).href)
const pairs = process.env.SOCKETS.split(' ').map((pair) => pair.split(',').map(Number))

function parseHex(words) {
    return Buffer.concat(words.map((word) => {
        const [run, times] = word.split('*')
        const bytes = Buffer.from(run, 'hex')
        return times ? Buffer.alloc(bytes.length * Number(times), bytes) : bytes
    }))
}

function parseSight(kind, words) {
    if (kind === 'message')
        return { kind, data: parseHex(words.slice(1)) }
    if (kind === 'cancel')
        return { kind, id: Number(words[0]) }
    if (kind === 'error')
        return { kind, id: Number(words[0]), code: Number(words[1]), data: parseHex(words.slice(2)) }
    return { kind, id: Number(words[0]), data: parseHex(words.slice(2)) }
}

function readVectors(path) {
    const vectors = []
    for (const line of readFileSync(path, 'utf8').split('\n')) {
        const colon = line.indexOf(':')
        if (line.startsWith('#') || colon < 0)
            continue
        const word = line.slice(0, colon), value = line.slice(colon + 1).trim()
        const words = value === '' ? [] : value.split(/ +/)
        const vector = vectors.at(-1)
        if (['good', 'bad', 'cut'].includes(word))
            vectors.push({ outcome: word, name: value, sends: [], seen: [], made: [] })
        else if (word === 'bytes')
            vector.sends.push(parseHex(words))
        else if (['message', 'request', 'reply', 'error', 'cancel'].includes(word))
            vector.seen.push(parseSight(word, words))
        else if (word === 'open' || word === 'closed')
            vector.made.push({ id: Number(value), closed: word === 'closed' })
        else if (word === 'hello')
            vector.hello = words.map(Number)
        else if (word === 'violation')
            vector.violation = words[0]
        else
            vector[word] = ['limit', 'requests', 'accepts', 'pieces', 'came'].includes(word) ? Number(value) : true
    }
    return vectors
}

/** What is seen of each kind, in its order. */
function byKind(sights) {
    const kinds = { message: [], request: [], reply: [], error: [], cancel: [] }
    for (const { kind, id, data, code } of sights) {
        // A handler is not told ids: the order and the bytes say which request it is.
        const number = kind === 'request' || kind === 'message' || kind === 'cancel' ? null : id
        kinds[kind].push([number, code ?? null, data?.toString('hex') ?? null])
    }
    kinds.reply.sort()
    kinds.error.sort()
    return kinds
}

/** Play a vector to a channel and compare what it sees. */
async function play(vector) {
    const [ours, theirs] = pairs.pop()
    const seen = []
    const handler = (data, { signal }) => {
        seen.push({ kind: 'request', data })
        if (signal.aborted)
            seen.push({ kind: 'cancel' })
        signal.addEventListener('abort', () => seen.push({ kind: 'cancel' }))
        return new Promise(() => {})
    }
    const channel = new duplex.Channel(theirs, {
        handler, messageLimit: vector.limit ?? 16 << 20, requestLimit: vector.requests ?? 1024,
    })
    const peer = new Socket({ fd: ours })
    peer.on('error', () => {})
    peer.resume()
    const controllers = []
    const calls = vector.made.map(async ({ id, closed }) => {
        const controller = new AbortController()
        const call = channel.call('', { signal: controller.signal })
        if (closed)
            controllers.push(controller)
        try {
            seen.push({ kind: 'reply', id, data: await call })
        } catch (failure) {
            if (failure instanceof duplex.CallError)
                seen.push({ kind: 'error', id, code: failure.code, data: Buffer.from(failure.text) })
            else
                assert(closed ? failure.message === 'given up' : failure instanceof duplex.DuplexError)
        }
    })
    const [greeting, ...others] = vector.sends
    peer.write(greeting)
    while (controllers.length > 0 && !channel.peer) // calls leave when the peer has greeted
        await new Promise(setImmediate)
    for (const controller of controllers)
        controller.abort(new Error('given up'))
    for (const bytes of others)
        peer.write(bytes)
    peer.end()
    let outcome = 'good', rule
    try {
        for await (const data of channel)
            seen.push({ kind: 'message', data })
    } catch (failure) {
        outcome = failure instanceof duplex.ProtocolError ? 'bad' : failure instanceof duplex.Gone ? 'cut' : failure
        rule = failure.rule
    }
    await Promise.all(calls)
    await new Promise(setImmediate) // handlers begin in a turn of their own
    assert.deepEqual([outcome, rule], [vector.outcome, vector.violation], vector.name)
    assert.deepEqual(byKind(seen), byKind(vector.seen), vector.name)
    if (vector.hello) {
        const { version, descriptorLimit, features, messageLimit, requestLimit } = channel.peer
        assert.deepEqual([version, descriptorLimit, features, messageLimit, requestLimit], vector.hello, vector.name)
    }
    channel.close()
    peer.destroy()
}

function frame(kind, id, payload) {
    const header = Buffer.alloc(16)
    header.writeUInt32BE(payload.length, 0)
    header[4] = kind
    header.writeBigUInt64BE(BigInt(id), 8)
    return Buffer.concat([header, payload])
}

/** Have a channel say a vector, and compare the bytes. */
async function compare(vector) {
    const [ours, theirs] = pairs.pop()
    const answers = vector.seen.filter(({ kind }) => kind === 'reply' || kind === 'error')
    let left = answers.length, answered
    const all = new Promise((resolve) => answered = resolve)
    const handler = (data) => {
        const { kind, code, data: bytes } = answers[answers.length - left]
        if (--left === 0)
            setImmediate(answered)
        if (kind === 'reply')
            return bytes
        throw new duplex.CallError(code, bytes.toString())
    }
    const peer = new Socket({ fd: ours, allowHalfOpen: true })
    const chunks = []
    peer.on('data', (chunk) => chunks.push(chunk))
    const ended = new Promise((resolve) => peer.on('end', resolve))
    const greeting = Buffer.alloc(20)
    greeting.writeUInt16BE(1, 0)
    greeting.writeBigUInt64BE(1n << 30n, 8)
    greeting.writeUInt32BE(1024, 16)
    peer.write(frame(1, 0, greeting))
    const [, , , messageLimit, requestLimit] = vector.hello
    const channel = new duplex.Channel(theirs, { handler: requestLimit ? handler : null, messageLimit, requestLimit })
    const controllers = {}
    while (!channel.peer)
        await new Promise(setImmediate)
    for (const { kind, id, data } of vector.seen) {
        if (kind === 'message')
            channel.send(data)
        else if (kind === 'cancel')
            controllers[id].abort(new Error('given up'))
        else if (kind === 'request')
            channel.call(data, { signal: (controllers[id] = new AbortController()).signal }).catch(() => {})
        else
            peer.write(frame(3, id, Buffer.alloc(0)))
    }
    if (answers.length > 0)
        await all
    await channel.end()
    await ended
    assert.equal(Buffer.concat(chunks).toString('hex'), Buffer.concat(vector.sends).toString('hex'), vector.name)
    channel.close()
    peer.destroy()
}

function canSay(vector) {
    if (vector.outcome !== 'good' || vector['decode-only'] || vector.dropped || vector.pieces)
        return false
    const [, descriptors, features, limit, requests] = vector.hello
    if (descriptors || features || limit > 2 ** 30 || (requests === 0 && vector.seen.length > 0))
        return false
    const asks = vector.seen.some(({ kind }) => kind === 'message' || kind === 'request')
    const answers = new Set(vector.seen.map(({ kind }) => kind).filter((kind) => kind === 'reply' || kind === 'error'))
    // Answers of two kinds may leave in either order. It counts its requests from 1, and 16 are sent at once.
    const ids = vector.seen.filter(({ kind }) => kind === 'request').map(({ id }) => id)
    return answers.size + asks <= 1 && ids.every((id, i) => id === i + 1) && ids.length <= 16
}

let played = 0, compared = 0
for (const vector of readVectors(process.argv[3])) {
    if (vector.accepts || vector.came)
        continue
    await play(vector)
    played++
    if (canSay(vector)) {
        await compare(vector)
        compared++
    }
}
assert(played > 120 && compared > 20, `${played} ${compared}`)
console.log(`played ${played} conversations, compared ${compared}`)
process.exit(0)
