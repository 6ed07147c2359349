// SPDX-License-Identifier: MIT
//
// A child that knows process.send() and nothing else: does what each message asks for.

process.on('disconnect', () => {
    process.exitCode = 5;
});

const todo = {
    echo: ({ value }) => process.send({ value }),
    // 16-bit units, and the last of them: was every character understood?
    measure: ({ value }) => process.send({ length: value.length, last: value.slice(-3) }),
    // What is two, three and four bytes in UTF-8, with an escape and an end of line.
    large: ({ count }) => process.send('ü€🦀\u0007\n'.repeat(count)),
    burst: ({ count }) => {
        for (let number = 0; number < count; number++)
            process.send({ number });
    },
    // What was said before is said, and nothing is heard after.
    disconnect: () => {
        process.send('last words');
        process.disconnect();
    },
    late: () => process.send('late', () => process.exit(6)),
    exit: ({ code }) => process.exit(code),
    throw: () => {
        throw new Error('on purpose');
    },
};

process.on('message', (message) => {
    if (message !== null && typeof message === 'object' && Object.hasOwn(message, 'do'))
        todo[message.do](message);
    else
        process.send(message);
});

process.send(process.env.NODE_CHANNEL_FD === undefined ? 'ready' : 'the variable is still there');
