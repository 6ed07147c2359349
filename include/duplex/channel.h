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

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dx_channel dx_channel;

/*
 * The kind of socketpair(2) underneath. All keep the same promises: messages whole, in order, of
 * any size up to the limit.
 */
typedef enum dx_channel_type {
    DX_STREAM = 0, /* SOCK_STREAM: every language can take part. The default */
    DX_SEQPACKET,  /* SOCK_SEQPACKET: the kernel keeps packets whole; two writers never mix bytes */

    /*
     * SOCK_DGRAM. The kernel does not tell one end that the other has gone. An end says goodbye
     * when it is closed, and between a parent and its child the pidfd tells of a death; any other
     * peer that vanishes is noticed by sending to it. The kernel then throws away what that peer
     * had said: each send takes it in first, and loses only what is said between the two calls.
     */
    DX_DGRAM
} dx_channel_type;

/* How bytes become messages. */
typedef enum dx_framing {
    DX_FRAMING_NATIVE = 0, /* 16-byte header; any bytes, descriptors. docs/wire.md. The default */

    /*
     * Each message is a line: the '\n' is added on sending and removed on receiving. A message that
     * holds '\n' is refused (-EINVAL); a last line without '\n' counts. No descriptors; STREAM only.
     */
    DX_FRAMING_LINE
} dx_framing;

#define DX_MESSAGE_LIMIT_DEFAULT ((size_t)16 << 20)
#define DX_MESSAGE_LIMIT_MAX ((size_t)1 << 30)

/* All-zero means the defaults, and so does NULL in place of the struct. */
typedef struct dx_channel_options {
    /* Ignored by dx_channel_attach() and dx_channel_to_parent(), which ask the descriptor. */
    dx_channel_type type;

    dx_framing framing;

    /*
     * The largest message in bytes that this end sends or accepts, at most DX_MESSAGE_LIMIT_MAX.
     * 0: 16 MiB. A native peer learns it in the greeting and is then refused by its own dx_send().
     */
    size_t message_limit;

    /*
     * How many bytes this end takes in, beyond what its user has received, while it waits to send.
     * 0, or less than one message of the greatest size: room for one such message.
     */
    size_t receive_backlog;

    /*
     * The most descriptors accepted with one message, at most DX_DESCRIPTORS_MAX. 0: none; a peer
     * that sends one breaks the protocol. Descriptors in messages not yet received are bounded by
     * four times this number.
     */
    unsigned descriptor_limit;

    /*
     * Ask the kernel for this many bytes of send buffer (SO_SNDBUF; the kernel doubles it and
     * bounds it by net.core.wmem_max). 0: the system's default. It bounds the bytes in flight.
     */
    size_t socket_buffer;

    /*
     * How long dx_recv() may look for an answer by itself before it sleeps, in microseconds: an
     * answer that comes soon then costs no wake-up. It does so only where it has paid lately, and
     * never with one processor. 0: 50. Negative: never. At most 1000.
     */
    int spin_us;

    /* Where a failure to make the channel is explained; may be NULL. */
    dx_failure *failure;
} dx_channel_options;

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
 * Make a channel of a connected AF_UNIX socket: give it as read_fd and write_fd both, or two
 * sockets of which one is read and the other written.
 *
 * Ownership: the descriptors are the channel's on success (and close-on-exec), the caller's on
 * failure. Blocking: never. O_NONBLOCK is neither needed nor changed.
 * Returns 0. Errors: -EBADF, -ENOTSOCK, -EINVAL (not AF_UNIX, not connected, a framing or two types
 * that do not go together), -ENOMEM.
 */
DX_API int dx_channel_attach(dx_channel **ret, int read_fd, int write_fd,
                             const dx_channel_options *options);

/*
 * Make the channel to the parent that started this program with dx_spawn().
 *
 * The descriptor's number comes from the environment variable DUPLEX_FD. It is claimed once:
 * checked, made close-on-exec, and the variable is removed so that grandchildren do not believe it
 * too.
 *
 * Blocking: never. Threads: it changes the environment, so call it before starting threads.
 * Returns 0. Errors: -ENOENT (this program was not started by duplex, or the channel was claimed
 * before), -EINVAL (the variable holds no descriptor number), else as dx_channel_attach().
 */
DX_API int dx_channel_to_parent(dx_channel **ret, const dx_channel_options *options);

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
 * buffer is waited for; if the deadline passes in its middle, the channel keeps a copy of the rest,
 * sends it before anything else in later calls, and the answer is 0 all the same.
 * Never loses or repeats a message: any error means that the peer will see nothing of it, except
 * after -EPIPE, -EPROTO and -ENOMEM in the middle of a message, which end the channel.
 *
 * Ownership: the bytes are copied, or sent, before it returns. data may be NULL if size is 0.
 * Blocking: up to timeout_ms, while the kernel's buffer is full. Meanwhile it takes in what the
 * peer sends, up to receive_backlog, so that two sides that both send do not wait for each other.
 * Errors: -ETIMEDOUT, -EPIPE, -EPROTO, -EMSGSIZE; -EDEADLK when nothing moved for 100 ms with the
 * backlog full; -EINVAL for bytes that the framing cannot carry; -ESHUTDOWN after dx_channel_end().
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
 * comes next. -EPROTO and -EPIPE stay. Whatever arrived whole before is delivered first.
 */
DX_API int dx_recv(dx_channel *channel, dx_message *ret, int timeout_ms);

/*
 * Collect the messages that follow instead of sending each at once: many small ones then leave in
 * one system call. They leave when 64 KiB have come together, at dx_flush(), before a message with
 * descriptors, and before this channel waits for anything. Returns 0. Blocking: never.
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
 * For an event loop: the descriptor to poll for reading (and for writing, if there is but one).
 * It stays the channel's. Returns a descriptor or a negative errno value.
 */
DX_API int dx_channel_fd(const dx_channel *channel);

/* For an event loop: the descriptor to poll for writing, which may be the same. As dx_channel_fd().
 */
DX_API int dx_channel_write_fd(const dx_channel *channel);

/*
 * For an event loop: the events to poll for now, POLLIN and POLLOUT of poll(2). Ask again after
 * each call on the channel. 0 when nothing more can come: take it out of the loop then, because
 * poll(2) reports POLLHUP even so. Returns a set of events or a negative errno value.
 */
DX_API int dx_channel_events(dx_channel *channel);

/*
 * For an event loop: how long to poll at most. 0 if dx_recv() would return at once because a
 * message has been taken in already, else DX_FOREVER.
 */
DX_API int dx_channel_timeout_ms(dx_channel *channel);

/*
 * For an event loop: do what can be done without waiting: send what is still to be sent, take in
 * what has come. Call it when an event came, then dx_recv(…, DX_NOW) until it has no more. Returns
 * 1 if dx_recv() has something to say (a message, the end, an error), else 0. What cannot be sent
 * any more is an error of the next send, not of this call.
 */
DX_API int dx_channel_process(dx_channel *channel);

#ifdef __cplusplus
}
#endif
#endif
