/* SPDX-License-Identifier: MIT */
/*
 * A channel: one end of a conversation. Both ends send and receive whole messages at the same time.
 *
 *   1. dx_channel_pair() makes both ends, dx_channel_attach() and dx_channel_to_parent() one, of
 *      descriptors that exist; dx_fork() and dx_spawn() give the parent an end of its own.
 *   2. dx_send() and dx_recv() converse.
 *   3. dx_channel_end() says "I have said everything"; the other direction goes on.
 *   4. dx_recv() returns 0 when the peer has said everything, or has died and everything that it
 *      said before was received.
 *   5. dx_channel_close() lets go.
 */
#ifndef DUPLEX_CHANNEL_H
#define DUPLEX_CHANNEL_H

#include <duplex/error.h>
#include <duplex/message.h>
#include <duplex/options.h>
#include <duplex/start.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dx_channel dx_channel;

/*
 * Make two channels that are each other's peers.
 *
 * Ownership: both are the caller's, to be closed one by one. Blocking: never. Threads and fork: the
 * ends are independent handles. To give one to a child, use dx_fork() or dx_spawn() instead: a
 * handle does not survive a fork.
 * Returns 0. Errors: -EINVAL, -EMFILE, -ENFILE, -ENOMEM; ret_ends is untouched then.
 */
DX_API int dx_channel_pair(dx_channel *ret_ends[2], const dx_channel_options *options);

/*
 * Make a channel of descriptors that exist: of a connected socket, given as read_fd and write_fd
 * both, or of two descriptors of which one is read and the other written: sockets, pipes, or what
 * else a program may have as standard input and output. Descriptors travel only over sockets of
 * AF_UNIX: a descriptor_limit without one is -EOPNOTSUPP.
 *
 * Ownership: the descriptors are the channel's on success (and close-on-exec), the caller's on
 * failure. Blocking: never. O_NONBLOCK is neither needed nor changed. A pipe's writing end is closed
 * by dx_channel_end(), which has no other way to say it.
 * Returns 0. Errors: -EBADF, -EINVAL (not connected, a framing or two types that do not go
 * together, a descriptor that is not open for reading or writing), -EOPNOTSUPP, -ENOMEM.
 */
DX_API int dx_channel_attach(dx_channel **ret, int read_fd, int write_fd,
                             const dx_channel_options *options);

/*
 * Make the channel to the parent that started this program with dx_spawn(). As dx_channel_claim()
 * without a claim: by DUPLEX_FD.
 */
DX_API int dx_channel_to_parent(dx_channel **ret, const dx_channel_options *options);

/* How this program was told where its channel is. All-zero, and NULL: by DUPLEX_FD. */
typedef struct dx_claim {
    dx_handover handover;

    /*
     * ENV: the variable, NULL for DUPLEX_FD or, with DX_FRAMING_NODE, NODE_CHANNEL_FD; it holds a
     * number, or two as in "0,1", to read and to write. LISTEN: the name in LISTEN_FDNAMES, or NULL
     * for the first. ARGV: the argument that holds the number.
     */
    const char *text;

    int read_fd, write_fd; /* FDS; both 0: 3 and 4. STDIO and PIPES: always 0 and 1 */
} dx_claim;

/*
 * Make the channel to the parent that started this program, be it duplex or not.
 *
 * The handover is claimed once: each descriptor is checked and made close-on-exec, and variables
 * are removed, so that grandchildren do not believe them too. Descriptors below 3 are moved away:
 * standard input is then /dev/null and standard output a copy of standard error, so that what a
 * library prints does not become part of the conversation. docs/handovers.md has the details.
 *
 * Blocking: never. Threads: it changes the environment, so call it before starting threads.
 * Returns 0. Errors: -ENOENT (no such promise was made to this program, or it was claimed before),
 * -EINVAL (it names no descriptor), -ENOTSOCK (it names what is no socket), else as
 * dx_channel_attach(), and nothing has changed then.
 */
DX_API int dx_channel_claim(dx_channel **ret, const dx_claim *claim,
                            const dx_channel_options *options);

/*
 * Close a channel. What dx_cork() collected or a deadline interrupted is offered to the kernel
 * once, without waiting; call dx_flush() before to be sure of it. Descriptors in messages that
 * nobody received are closed. A channel that belongs to a dx_process is closed with that process;
 * closing it here does nothing. Blocking: never, except as close(2) of a received descriptor may.
 * Returns NULL. NULL is fine.
 */
DX_API dx_channel *dx_channel_close(dx_channel *channel);

/*
 * Explain the last failure on this channel in one sentence without a final full stop, for people;
 * "" if nothing failed. The text is the calling thread's, and lasts until its next call of this
 * function. Never NULL.
 */
DX_API const char *dx_channel_explain(const dx_channel *channel);

/*
 * Send one message: all of it, or nothing.
 *
 * Returns 0 when the channel has the whole message. A message that does not fit into the kernel's
 * buffer is waited for; if the deadline passes in its middle, or the kernel has no memory for more of
 * it, the channel keeps a copy of the rest, sends it before anything else in later calls, and the answer
 * is 0 all the same.
 * Never loses or repeats a message: any error means that the peer will see nothing of it, except
 * after -EPIPE, -EPROTO and -ENOMEM in the middle of a message, which end the channel.
 *
 * Ownership: the bytes are copied, or sent, before it returns. data may be NULL if size is 0.
 * Blocking: up to timeout_ms, while the kernel's buffer is full. Meanwhile it takes in what the
 * peer sends, up to receive_backlog, so that two sides that both send do not wait for each other.
 * Errors: -ETIMEDOUT, -EPIPE, -EPROTO, -EMSGSIZE; -EDEADLK when nothing moved for 100 ms with the
 * backlog full; -ENOBUFS and -ENOMEM when the kernel has no memory for it; -EINVAL for bytes that the
 * framing cannot carry; -ESHUTDOWN after dx_channel_end(); -ECOMM, once, when a Node process refused
 * the descriptor of a message before this one: nothing was sent.
 */
DX_API int dx_send(dx_channel *channel, const void *data, size_t size, int timeout_ms);

/*
 * Send one message with descriptors. As dx_send(), and:
 *
 * Ownership: on success the descriptors are gone from the caller: the library has closed them, the
 * peer has them, and their places hold -1. On any error they are still the caller's.
 * Errors: -EMSGSIZE for more than DX_DESCRIPTORS_MAX or more than the peer accepts, -EBADF for one
 * that is not open, -EPERM if the peer accepts none, -ETOOMANYREFS if too many descriptors of this
 * user are in flight, -EOPNOTSUPP if the framing carries none.
 */
DX_API int dx_send_message(dx_channel *channel, const dx_message *message, int timeout_ms);

/*
 * Receive one message.
 *
 * Ownership: see dx_message. The previous message of this channel ends with this call, whatever it
 * returns. Blocking: up to timeout_ms; before it waits it sends what is still to be sent.
 * Returns 1 and a message, or 0 at the end of the conversation: the peer has ended it, or has died.
 * Errors: -ETIMEDOUT; -EPROTO; -EPIPE when the peer ended in the middle of a message, or before it
 * had greeted; -EMFILE when descriptors of the next message were lost, once: the message itself
 * comes next; -ENOMEM; in a handler of requests also -EDEADLK, when what came during a dx_call() could
 * not be kept. -EPROTO and -EPIPE stay. Whatever arrived whole before is delivered first.
 */
DX_API int dx_recv(dx_channel *channel, dx_message *ret, int timeout_ms);

/*
 * Collect the messages that follow instead of sending each at once: many small ones then leave in
 * one system call. They leave when 64 KiB have come together, 4 KiB in the fast lane, at dx_flush(),
 * before a message with descriptors, and before this channel waits for anything. Returns 0. Blocking:
 * never.
 */
DX_API int dx_cork(dx_channel *channel);

/*
 * Send all that is still to be sent, and stop collecting.
 *
 * Returns 0 when the kernel has everything. Blocking and errors: as dx_send(); after -ETIMEDOUT and
 * -EDEADLK the rest is kept and leaves later.
 */
DX_API int dx_flush(dx_channel *channel, int timeout_ms);

/*
 * End this direction: flush, then tell the peer that nothing more will come. Receiving goes on.
 * Returns 0, also when it was ended before. Errors: as dx_flush(); the direction is then still
 * open.
 */
DX_API int dx_channel_end(dx_channel *channel, int timeout_ms);

/*
 * Make room for a message of this size and say where to write it, in the fast lane's memory itself if
 * there is one: the message is then never copied on this side. dx_commit() sends it.
 *
 * Ownership: the memory is the channel's, and the caller's to write until dx_commit(); bytes that were
 * written there may be seen by the peer at once. Nothing is sent of a reservation that is made anew,
 * or whose channel is closed. Until dx_commit(), sending on this channel is -EBUSY.
 * Blocking, returns and errors: as dx_send().
 */
DX_API int dx_reserve(dx_channel *channel, size_t size, void **ret, int timeout_ms);

/*
 * Send the first bytes of what dx_reserve() gave: all of it, or less. Blocking: never; what the
 * kernel does not take at once is kept, and leaves before anything else. Returns 0. Errors: -EINVAL
 * without a reservation, or for more than was reserved; -EPIPE; -EPROTO.
 */
DX_API int dx_commit(dx_channel *channel, size_t size);

/*
 * Ask whether this conversation has moved into shared memory: 1 if both directions have, else 0, or a
 * negative errno value. It is for curiosity and for tests: nothing else depends on it.
 */
DX_API int dx_channel_is_fast(const dx_channel *channel);

/*
 * For an event loop: the descriptor to poll for reading (and for writing, if there is but one).
 * It stays the channel's. Returns a descriptor or a negative errno value.
 */
DX_API int dx_channel_fd(const dx_channel *channel);

/*
 * For an event loop: the descriptor to poll for writing, which may be the same. As dx_channel_fd().
 * -ESHUTDOWN when it is no more: a pipe that was closed to say the end, or that nobody reads.
 */
DX_API int dx_channel_write_fd(const dx_channel *channel);

/*
 * For an event loop: the events to poll for now, POLLIN and POLLOUT of poll(2). Ask again after
 * each call on the channel. 0 when nothing is to be polled for, because poll(2) reports POLLHUP even
 * so; and when dx_channel_timeout_ms() is DX_FOREVER then, nothing more can come: take it out of the
 * loop. Returns a set of events or a negative errno value.
 */
DX_API int dx_channel_events(dx_channel *channel);

/*
 * For an event loop: how long to poll at most, in milliseconds. 0 if dx_recv() would return at once
 * because a message has been taken in already; until the first deadline of a request that was started
 * with dx_call_start(); a few where no event tells when something can be sent, as when the kernel had no
 * memory for it; or DX_FOREVER. Call dx_channel_process() when the time has passed.
 */
DX_API int dx_channel_timeout_ms(dx_channel *channel);

/*
 * For an event loop: do what can be done without waiting: send what is still to be sent, take in
 * what has come. Call it when an event came, then dx_recv(…, DX_NOW) until it has no more. Returns
 * 1 if dx_recv() may have something to say (a message, the end, an error; what has come may also be
 * an answer that is too late), else 0. What cannot be sent any more is an error of the next send, not of this call.
 */
DX_API int dx_channel_process(dx_channel *channel);

#ifdef __cplusplus
}
#endif
#endif
