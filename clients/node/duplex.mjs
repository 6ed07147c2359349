// SPDX-License-Identifier: MIT
/**
 * Converse with the parent that started this program with duplex: messages and calls.
 *
 *     import { parent } from './duplex.mjs'
 *
 *     const channel = parent({ handler: (data) => `you asked ${data}` })
 *     await channel.send('i am your child')
 *     console.log(String(await channel.call('who are you?', { timeout: 5000 })))
 *     for await (const message of channel)
 *         console.log(String(message))
 *     await channel.end()
 *
 * This one file is all of it: the protocol of docs/wire.md for Node 18 and later, without dependencies.
 * The socket must be of the type STREAM. Node cannot pass descriptors here: none are accepted or sent. The
 * fast lane is declined.
 *
 * Messages are Buffers; what is sent is a string, a Buffer or a Uint8Array. An open channel keeps the
 * program running until both sides have ended, or close().
 */
import { fstatSync } from 'node:fs'
import { Socket } from 'node:net'

const HELLO = 1, MESSAGE = 2, REQUEST = 3, REPLY = 4, ERROR = 5, CANCEL = 6
const MORE = 1
const HEADER_SIZE = 16
const GREETING_SIZE = 20
const GREETING_SIZE_MIN = 16
const GREETING_SIZE_MAX = 256
const ERROR_TEXT_MAX = 4096
const REQUESTS_MIN = 16 // what everybody accepts who takes requests
const EIO = 5

const VIOLATIONS = {
    'length': (size, limit) => `announced a message of ${size} bytes; the limit is ${limit}`,
    'kind': (kind) => `sent a frame of the unknown kind ${kind}`,
    'flags': (flags) => `sent a frame with the unknown flags ${flags}`,
    'id': (id) => `sent the id ${id} in a frame that has none`,
    'no-id': (kind) => `sent a frame of kind ${kind} without an id`,
    'version': (version) => `speaks version ${version} of the protocol; this end speaks 1`,
    'no-hello': (kind) => `began with a frame of kind ${kind} instead of a greeting`,
    'second-hello': () => 'greeted twice',
    'hello-size': (size) => `sent a greeting of ${size} bytes`,
    'empty-fragment': () => 'sent an empty piece of a message',
    'fragment-kind': () => 'began another message in the middle of one',
    'descriptor-limit': (count) => `announced ${count} descriptors with a message; this end accepts 0`,
    'error-size': (size) => `sent an error of ${size} bytes`,
    'cancel': () => 'sent a cancel with something in it',
    'request-limit': (limit) => `has more than ${limit} requests open, which is the limit`,
    'duplicate-request': (id) => `used the id ${id} for two requests at once`,
    'unknown-reply': (id) => `answered a request with the id ${id}, which was never made`,
}

/** A failure of the conversation. The others are of this class. */
export class DuplexError extends Error {
    get name() { return this.constructor.name }
}

/** The peer broke the protocol, which ends the conversation. `rule` is its name in docs/wire.md. */
export class ProtocolError extends DuplexError {
    constructor(rule, ...values) {
        super(`the peer ${VIOLATIONS[rule](...values)}`)
        this.rule = rule
    }
}

/** The peer has gone or has ended, and what was wanted of it will not come. */
export class Gone extends DuplexError {}

/** The peer does not accept this, or the protocol cannot carry it. Nothing was sent. */
export class Refused extends DuplexError {}

/** The time is over. The call was cancelled. */
export class TimedOut extends DuplexError {}

/** The peer answered a call with an error. Thrown in a handler, it is the handler's answer. */
export class CallError extends DuplexError {
    constructor(code, text = '') {
        super(text || `the peer answered with the error ${code}`)
        this.code = code
        this.text = text
    }
}

/** Node destroys a socket when a write fails, and with it what the peer said before it went: not this one. */
class Wire extends Socket {
    constructor(fd) {
        super({ fd, allowHalfOpen: true })
        this.gone = false
    }

    #done(callback) {
        return (failure) => {
            this.gone ||= Boolean(failure)
            callback()
        }
    }

    _write(data, encoding, callback) { super._write(data, encoding, this.#done(callback)) }
    _writev(chunks, callback) { super._writev(chunks, this.#done(callback)) }
    _final(callback) { super._final(this.#done(callback)) }
}

/**
 * Make the channel to the parent, once: the variable, which holds the number of the descriptor, is removed, so
 * that no child of ours takes it for its own. Takes the options of Channel.
 */
export function parent({ variable = 'DUPLEX_FD', ...options } = {}) {
    const value = process.env[variable]
    if (value === undefined)
        throw new DuplexError(`there is no parent to talk to: ${variable} is not set`)
    if (!/^[0-9]{1,9}$/.test(value))
        throw new DuplexError(`${variable} holds '${value}', which is no number of a descriptor`)
    try {
        if (!fstatSync(Number(value)).isSocket())
            throw new DuplexError(`${variable} is ${value}, which is no socket`)
    } catch (failure) {
        if (failure instanceof DuplexError)
            throw failure
        throw new DuplexError(`${variable} is ${value}, which is not open`)
    }
    const channel = new Channel(Number(value), options)
    delete process.env[variable]
    return channel
}

/** One end of a conversation over a connected stream socket of AF_UNIX, which belongs to it. */
export class Channel {
    #wire
    #handler
    #limits
    #peer = null // what its greeting said
    #chunks = [] // bytes that are no whole frame yet
    #unread = 0 // how many
    #needed = HEADER_SIZE // how many it takes to go on
    #partial = null // a message whose last piece has not come
    #inbox = []
    #held = 0 // bytes in it
    #receivers = [] // who wait in recv()
    #ended = false // the peer has ended
    #failure = null // why nothing more can be received
    #calls = new Map() // ours that are open, by id
    #waiting = [] // ours for which the peer has no room yet
    #lastId = 0n
    #requests = new Map() // of the peer, by id: what aborts the handler

    /**
     * `handler(data, { signal })` answers requests of the peer: it returns the reply or a promise of it, or
     * throws; the signal is aborted when the peer no longer waits. Without a handler no requests are taken.
     * The limits are what is accepted of the peer: bytes of a message, requests open at one time. `backlog` is
     * how many bytes of messages are kept for recv().
     */
    constructor(fd, { handler = null, messageLimit = 16 << 20, requestLimit = 1024, backlog = 64 << 20 } = {}) {
        try {
            this.#wire = new Wire(fd)
        } catch {
            throw new DuplexError(`descriptor ${fd} is no stream socket, and Node can use no other: have the parent ` +
                'start this program with DX_STREAM')
        }
        this.#handler = handler
        this.#limits = {
            message: messageLimit,
            requests: handler ? Math.max(requestLimit, REQUESTS_MIN) : 0,
            backlog: Math.max(backlog, messageLimit),
        }
        this.#wire.on('data', (chunk) => this.#take(chunk))
        this.#wire.on('end', () => this.#end())
        this.#wire.on('error', () => this.#end()) // the peer died with words unread; its own came before
        this.#wire.on('close', () => this.#end())
        const greeting = Buffer.alloc(GREETING_SIZE)
        greeting.writeUInt16BE(1, 0) // version; no descriptors, no features
        greeting.writeBigUInt64BE(BigInt(messageLimit), 8)
        greeting.writeUInt32BE(this.#limits.requests, 16)
        this.#sendFrame(HELLO, 0n, greeting)
    }

    /** What the peer's greeting said: messageLimit, requestLimit and the rest. null before it has come. */
    get peer() { return this.#peer }

    /**
     * Send one message. Throws if the peer does not accept it. Resolves when the kernel has it: await it, so that
     * what is sent does not pile up. Rejects with Gone.
     */
    send(data, { descriptors = [] } = {}) {
        if (descriptors.length > 0)
            throw new Refused('Node cannot pass descriptors by this channel')
        return this.#sendFrame(MESSAGE, 0n, this.#check(data))
    }

    /** Resolves to the next message, a Buffer, or to null when the peer has ended the conversation or has died. */
    recv() {
        if (this.#inbox.length > 0) {
            const message = this.#inbox.shift()
            this.#held -= message.length
            if (this.#held <= this.#limits.backlog)
                this.#wire.resume()
            return Promise.resolve(message)
        }
        if (this.#failure)
            return Promise.reject(this.#failure)
        if (this.#ended)
            return Promise.resolve(null)
        return new Promise((resolve, reject) => this.#receivers.push({ resolve, reject }))
    }

    async *[Symbol.asyncIterator]() {
        for (let message; (message = await this.recv()) !== null;)
            yield message
    }

    /**
     * Send a request; resolves to its reply, a Buffer. Rejects with CallError, TimedOut (timeout in ms), the reason
     * of the signal, or Gone. A call that nobody waits for any more is cancelled. Any number may be made at one
     * time: those over the peer's limit wait until others have been answered.
     */
    async call(data, { timeout, signal } = {}) {
        const payload = this.#check(data)
        signal?.throwIfAborted()
        if (this.#failure || this.#ended)
            throw this.#failure ?? new Gone('the peer has ended the conversation without an answer')
        if (this.#peer?.requestLimit === 0)
            throw new Refused('the peer takes no requests')
        let timer, abort
        const call = { id: null, payload }
        const answer = new Promise((resolve, reject) => Object.assign(call, { resolve, reject }))
        const giveUp = (reason) => {
            this.#cancel(call)
            call.reject(reason)
        }
        if (timeout !== undefined)
            timer = setTimeout(() => giveUp(new TimedOut(`no answer came within ${timeout} ms`)), timeout)
        signal?.addEventListener('abort', abort = () => giveUp(signal.reason))
        this.#waiting.push(call)
        this.#sendRequests()
        try {
            return await answer
        } finally {
            clearTimeout(timer)
            signal?.removeEventListener('abort', abort)
        }
    }

    /** Say that nothing more will come from this side. Receiving goes on. Resolves when everything has left. */
    end() {
        for (const call of this.#waiting.splice(0))
            call.reject(new Gone('this side has ended, and the call was not made yet'))
        return new Promise((resolve) => this.#wire.writable ? this.#wire.end(resolve) : resolve())
    }

    /** Let go of everything. What was not sent yet is lost. */
    close() {
        this.#end()
        this.#wire.destroy()
    }

    // Sending.

    #check(data) {
        const payload = typeof data === 'string' ? Buffer.from(data) : data ?? Buffer.alloc(0)
        if (!(payload instanceof Uint8Array))
            throw new TypeError('a message is a string, a Buffer or a Uint8Array')
        const limit = this.#peer?.messageLimit ?? this.#limits.message
        if (payload.length > limit)
            throw new Refused(`the message has ${payload.length} bytes; the peer accepts ${limit}`)
        return payload
    }

    #sendFrame(kind, id, payload) {
        const header = Buffer.alloc(HEADER_SIZE)
        header.writeUInt32BE(payload.length, 0)
        header[4] = kind
        header.writeBigUInt64BE(id, 8)
        const sent = new Promise((resolve, reject) => {
            if (!this.#wire.writable || this.#wire.gone)
                return reject(this.#failure ?? new Gone('this side has ended, or the peer has gone'))
            this.#wire.cork()
            this.#wire.write(header)
            this.#wire.write(payload, () => this.#wire.gone ? reject(new Gone('the peer has gone')) : resolve())
            this.#wire.uncork()
        })
        sent.catch(() => {}) // who awaits it is told
        return sent
    }

    #sendRequests() {
        const limit = this.#peer?.requestLimit ?? 0 // its greeting is under way
        while (this.#waiting.length > 0 && this.#calls.size < limit) {
            const call = this.#waiting.shift()
            call.id = ++this.#lastId
            this.#calls.set(call.id, call)
            this.#sendFrame(REQUEST, call.id, call.payload).catch(call.reject)
            call.payload = null
        }
    }

    #cancel(call) {
        const place = this.#waiting.indexOf(call)
        if (place >= 0)
            this.#waiting.splice(place, 1)
        if (!this.#calls.delete(call.id))
            return
        this.#sendFrame(CANCEL, call.id, Buffer.alloc(0))
        this.#sendRequests()
    }

    // Receiving: bytes become frames, frames messages, and those are brought to whom they are for.

    #take(chunk) {
        this.#chunks.push(chunk)
        this.#unread += chunk.length
        try {
            while (!this.#failure && this.#unread >= this.#needed)
                this.#takeFrame()
        } catch (failure) {
            if (!(failure instanceof ProtocolError))
                throw failure
            this.#failure = failure
            this.#end()
            this.#wire.destroy()
        }
    }

    #takeFrame() {
        const bytes = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks)
        this.#chunks = [bytes]
        const size = bytes.readUInt32BE(0), kind = bytes[4], flags = bytes[5], id = bytes.readBigUInt64BE(8)
        this.#checkHeader(size, kind, flags, bytes.readUInt16BE(6), id)
        const end = HEADER_SIZE + size
        if (bytes.length < end) {
            this.#needed = end
            return
        }
        this.#chunks = [bytes.subarray(end)]
        this.#unread -= end
        this.#needed = HEADER_SIZE
        const payload = bytes.subarray(HEADER_SIZE, end)
        if (flags !== MORE && !this.#partial)
            return this.#sort(kind, id, payload)
        this.#partial ??= { kind, id, pieces: [], size: 0 }
        this.#partial.pieces.push(Buffer.from(payload))
        this.#partial.size += size
        if (flags !== MORE) {
            const { pieces } = this.#partial
            this.#partial = null
            this.#sort(kind, id, Buffer.concat(pieces))
        }
    }

    /** Judge a frame by its header, before anything of its payload has come. */
    #checkHeader(size, kind, flags, descriptors, id) {
        const demand = (rule, name, ...values) => {
            if (!rule)
                throw new ProtocolError(name, ...values)
        }
        const isMessage = kind === MESSAGE || kind === REQUEST || kind === REPLY
        const partial = this.#partial
        demand(kind >= HELLO && kind <= CANCEL, 'kind', kind)
        demand(id === 0n || kind > MESSAGE, 'id', id)
        demand(id !== 0n || kind <= MESSAGE, 'no-id', kind)
        demand(kind !== HELLO || !this.#peer, 'second-hello')
        demand(kind !== HELLO || (size >= GREETING_SIZE_MIN && size <= GREETING_SIZE_MAX), 'hello-size', size)
        demand(kind === HELLO || this.#peer, 'no-hello', kind)
        demand(!partial || (kind === partial.kind && id === partial.id), 'fragment-kind')
        demand(kind !== CANCEL || (size === 0 && flags === 0 && descriptors === 0), 'cancel')
        demand(kind !== ERROR || (size >= 4 && size <= 4 + ERROR_TEXT_MAX), 'error-size', size)
        demand(flags === 0 || (flags === MORE && isMessage), 'flags', flags)
        const whole = size + (partial?.size ?? 0)
        demand(!isMessage || whole <= this.#limits.message, 'length', whole, this.#limits.message)
        demand(flags === 0 || size > 0, 'empty-fragment')
        demand(descriptors === 0, 'descriptor-limit', descriptors)
    }

    #sort(kind, id, payload) {
        if (kind === HELLO)
            this.#greet(payload)
        else if (kind === MESSAGE)
            this.#bring(payload)
        else if (kind === REQUEST)
            this.#serve(id, payload)
        else if (kind === CANCEL)
            this.#cancelled(id)
        else
            this.#answer(kind, id, payload)
    }

    #greet(payload) {
        const version = payload.readUInt16BE(0)
        const requests = payload.length < GREETING_SIZE ? 0 : payload.readUInt32BE(16)
        if (version !== 1)
            throw new ProtocolError('version', version)
        this.#peer = {
            version,
            descriptorLimit: payload.readUInt16BE(2),
            features: payload.readUInt32BE(4),
            messageLimit: Number(payload.readBigUInt64BE(8)) || 1,
            requestLimit: requests,
        }
        if (requests === 0)
            for (const call of this.#waiting.splice(0))
                call.reject(new Refused('the peer takes no requests'))
        this.#sendRequests()
    }

    #bring(payload) {
        const message = Buffer.from(payload) // not a view of a chunk that may be much larger
        if (this.#receivers.length > 0)
            return this.#receivers.shift().resolve(message)
        this.#inbox.push(message)
        this.#held += message.length
        if (this.#held > this.#limits.backlog)
            this.#wire.pause()
    }

    #answer(kind, id, payload) {
        const call = this.#calls.get(id)
        if (!call && id > this.#lastId)
            throw new ProtocolError('unknown-reply', id)
        if (!call)
            return // it comes too late
        this.#calls.delete(id)
        if (kind === REPLY)
            call.resolve(Buffer.from(payload))
        else
            call.reject(new CallError(payload.readInt32BE(0), payload.toString('utf8', 4)))
        this.#sendRequests()
    }

    #serve(id, payload) {
        if (this.#requests.has(id))
            throw new ProtocolError('duplicate-request', id)
        if (this.#requests.size >= this.#limits.requests)
            throw new ProtocolError('request-limit', this.#limits.requests)
        const controller = new AbortController()
        const answer = (kind, reply) => {
            if (this.#requests.get(id) !== controller)
                return // cancelled
            this.#sendFrame(kind, id, kind === REPLY ? this.#check(reply) : reply)
            this.#requests.delete(id)
        }
        const fail = (failure) => answer(ERROR, errorPayload(failure))
        this.#requests.set(id, controller)
        Promise.resolve(Buffer.from(payload))
            .then((data) => this.#handler(data, { signal: controller.signal }))
            .then((reply) => answer(REPLY, reply))
            .catch(fail)
    }

    #cancelled(id) {
        const controller = this.#requests.get(id)
        this.#requests.delete(id)
        controller?.abort()
    }

    /** Tell everybody who waits that nothing more will come. */
    #end() {
        if (this.#ended)
            return
        this.#ended = true
        if (!this.#failure && (this.#unread > 0 || this.#partial))
            this.#failure = new Gone('the peer ended in the middle of a message')
        else if (!this.#failure && !this.#peer)
            this.#failure = new Gone('the peer ended before it had greeted')
        for (const { resolve, reject } of this.#receivers.splice(0))
            this.#failure ? reject(this.#failure) : resolve(null)
        for (const call of [...this.#calls.values(), ...this.#waiting.splice(0)])
            call.reject(this.#failure ?? new Gone('the peer has ended the conversation without an answer'))
        this.#calls.clear()
    }
}

/** The payload of the ERROR that tells of a handler's failure. */
function errorPayload(failure) {
    const isAnswer = failure instanceof CallError && Number.isInteger(failure.code)
    const text = Buffer.from(failure instanceof CallError ? failure.text : String(failure))
    const payload = Buffer.alloc(4 + Math.min(text.length, ERROR_TEXT_MAX))
    payload.writeInt32BE(isAnswer ? failure.code | 0 : EIO, 0)
    text.copy(payload, 4)
    return payload
}
