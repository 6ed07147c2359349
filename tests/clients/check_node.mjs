// SPDX-License-Identifier: MIT
/**
 * Check what clients/node/duplex.mjs promises beyond the vectors, with a channel at both ends.
 *
 * usage: socketpairs.py COUNT node check_node.mjs CLIENT
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { Socket } from 'node:net'
import { pathToFileURL } from 'node:url'

const url = pathToFileURL(process.argv[2]).href
const { CallError, Channel, Gone, Refused, TimedOut } = await import(url)
const pairs = process.env.SOCKETS.split(' ').map((pair) => pair.split(',').map(Number))
const tests = {}

function pair(ours = {}, theirs = {}) {
    const [a, b] = pairs.pop()
    return [new Channel(a, ours), new Channel(b, theirs)]
}

function closeAll(...channels) {
    channels.forEach((channel) => channel.close())
}

tests['messages of all sizes arrive, many before the first is received'] = async () => {
    const [a, b] = pair()
    const sizes = [0, 1, 15, 16, 65535, 65536, 65537, 3000001, 0, 5 << 20]
    const sent = sizes.map((size, i) => Buffer.alloc(size, String(i)))
    await Promise.all([...sent.map((data) => a.send(data)), ...sent.map((data) => b.send(data)), a.end(), b.end()])
    for (const channel of [a, b]) {
        const received = []
        for await (const message of channel)
            received.push(message)
        assert(received.length === sent.length && received.every((data, i) => data.equals(sent[i])))
    }
    closeAll(a, b)
}

tests['300 calls at a time, over the limit of the peer, in any order, both ways'] = async () => {
    const handler = (data) => new Promise((resolve) => setTimeout(() => resolve(`${data}!`), Math.random() * 20))
    const [a, b] = pair({ handler, requestLimit: 20 }, { handler, requestLimit: 50 })
    const calls = [a, b].flatMap((channel) =>
        Array.from({ length: 150 }, async (_, i) => assert.equal(String(await channel.call(`${i}`)), `${i}!`)))
    await Promise.all(calls)
    closeAll(a, b)
}

tests['a handler may call back'] = async () => {
    let a, b
    const depth = (channel) => async (data) => Number(data) === 0 ? 'leaf' : channel().call(`${Number(data) - 1}`)
    ;[a, b] = pair({ handler: depth(() => a) }, { handler: depth(() => b) })
    assert.equal(String(await a.call('9')), 'leaf')
    closeAll(a, b)
}

tests['an error has a code and a text'] = async () => {
    const answers = [new CallError(-7, 'größer'), new TypeError('x'.repeat(5000)), new CallError('none')]
    const [a, b] = pair({}, { handler: () => { throw answers.shift() } })
    await assert.rejects(a.call(''), (failure) => failure instanceof CallError && failure.code === -7 &&
        failure.text === 'größer' && failure.name === 'CallError')
    await assert.rejects(a.call(''), (failure) => failure.code === 5 && failure.text.length === 4096)
    await assert.rejects(a.call(''), { code: 5 })
    closeAll(a, b)
}

tests['a call that is given up is cancelled, and its late answer dropped'] = async () => {
    const signals = []
    let answer
    const handler = (data, { signal }) => {
        signals.push(signal)
        return new Promise((resolve) => answer = resolve)
    }
    const [a, b] = pair({}, { handler })
    const begun = Date.now()
    await assert.rejects(a.call('', { timeout: 50 }), TimedOut)
    assert(Date.now() - begun >= 45)
    const controller = new AbortController()
    const call = a.call('', { signal: controller.signal })
    setTimeout(() => controller.abort(new Error('enough')), 50)
    await assert.rejects(call, { message: 'enough' })
    await assert.rejects(a.call('', { signal: controller.signal }), { message: 'enough' })
    await a.send('next')
    assert.equal(String(await b.recv()), 'next')
    assert.deepEqual(signals.map(({ aborted }) => aborted), [true, true])
    answer('late')
    await b.send('fine')
    assert.equal(String(await a.recv()), 'fine')
    closeAll(a, b)
}

tests['a request that was cancelled gets no answer'] = async () => {
    const [a, b] = pairs.pop()
    let answer
    const channel = new Channel(b, { handler: () => new Promise((resolve) => answer = resolve) })
    const peer = new Socket({ fd: a })
    let heard = 0
    peer.on('data', (data) => heard += data.length)
    // HELLO, REQUEST 1, MESSAGE; then CANCEL 1.
    peer.write(Buffer.from('000000100100000000000000000000000001000000000000' + '0000000001000000' +
        '00000000030000000000000000000001' + '00000000020000000000000000000000', 'hex'))
    await channel.recv()
    peer.write(Buffer.from('00000000060000000000000000000001' + '00000000020000000000000000000000', 'hex'))
    await channel.recv()
    answer('late')
    await new Promise((resolve) => setTimeout(resolve, 20))
    await channel.send('')
    await new Promise((resolve) => setTimeout(resolve, 20))
    assert.equal(heard, 36 + 16)
    channel.close()
    peer.destroy()
}

tests['a call that was answered leaves no timer behind'] = async () => {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const [a, b] = pair({}, { handler: () => '' })
    const before = timers()
    await a.call('', { timeout: 60000 })
    assert.equal(timers(), before)
    closeAll(a, b)
}

tests['the peer that ends is told by what it did not do'] = async () => {
    const [a, b] = pair({}, { handler: () => new Promise(() => {}) })
    const call = a.call('')
    await b.send('last words')
    await b.end()
    await assert.rejects(call, Gone)
    await a.send('late')
    await a.end()
    await assert.rejects(a.send('more'), Gone)
    assert.equal(String(await a.recv()), 'last words')
    assert.equal(await a.recv(), null)
    assert.equal(await a.recv(), null)
    assert.equal(String(await b.recv()), 'late')
    assert.equal(await b.recv(), null)
    closeAll(a, b)
}

tests['a call that was not made yet at our end is told'] = async () => {
    const [a, b] = pair({}, { handler: () => '' })
    const call = a.call('')
    a.end()
    await assert.rejects(call, /not made/)
    assert.equal(await b.recv(), null)
    closeAll(a, b)
}

tests['what a peer said that has gone is received, though a send fails before'] = async () => {
    const [a, b] = pair()
    b.send('last words')
    b.close()
    const sent = Array.from({ length: 5 }, () => a.send(Buffer.alloc(100000)))
    assert((await Promise.allSettled(sent)).some(({ reason }) => reason instanceof Gone))
    assert.equal(String(await a.recv()), 'last words')
    assert.equal(await a.recv(), null)
    closeAll(a, b)
}

tests['limits of the peer are kept'] = async () => {
    const [a, b] = pair({}, { messageLimit: 10 })
    await assert.rejects(a.call(''), Refused) // it has no handler, and its greeting says so
    assert.deepEqual([a.peer.messageLimit, a.peer.requestLimit], [10, 0])
    await assert.rejects(a.call(''), Refused)
    assert.throws(() => a.send('0123456789a'), Refused)
    assert.throws(() => a.send('', { descriptors: [0] }), /cannot pass descriptors/)
    assert.throws(() => a.send(7), TypeError)
    await a.send('0123456789')
    assert.equal(String(await b.recv()), '0123456789')
    closeAll(a, b)
}

tests['what nobody receives is bounded, and stops the sender'] = async () => {
    const [a, b] = pair({}, { messageLimit: 1000, backlog: 5000 })
    let taken = 0
    for (let i = 0; i < 5000; i++)
        a.send(Buffer.alloc(1000)).then(() => taken++)
    await new Promise((resolve) => setTimeout(resolve, 200))
    assert(taken < 2500, `${taken}`)
    await Promise.all([a.end(), (async () => {
        let count = 0
        for await (const message of b)
            count += message.length === 1000
        assert.equal(count, 5000)
    })()])
    closeAll(a, b)
}

tests['a promise that is none is refused in words'] = async () => {
    const program = `import { parent } from '${url}'
        try { parent() } catch (failure) { console.log('DUPLEX_FD' in process.env, failure.message) }`
    for (const [value, words] of [['x', 'true .*no number'], ['', 'true .*no number'], ['3,4', 'true .*no number'],
        ['900', 'true .*not open'], ['0', 'true .*no socket'], [undefined, 'false .*not set']]) {
        const env = { ...process.env, DUPLEX_FD: value }
        if (value === undefined)
            delete env.DUPLEX_FD
        const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program],
            { env, stdio: ['ignore', 'pipe', 'inherit'] })
        assert.match(String(stdout), new RegExp(`^${words}`), `${value}`)
    }
}

for (const [name, test] of Object.entries(tests)) {
    const late = setTimeout(() => {
        console.log(`failed: ${name}: it does not end`)
        process.exit(1)
    }, 60000)
    await test()
    clearTimeout(late)
}
console.log(`${Object.keys(tests).length} promises are kept`)
process.exit(0)
