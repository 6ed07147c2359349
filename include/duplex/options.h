/* SPDX-License-Identifier: MIT */
/*
 * What a channel is asked to be: its kind of socket, how bytes become messages, and its bounds.
 */
#ifndef DUPLEX_OPTIONS_H
#define DUPLEX_OPTIONS_H

#include <duplex/error.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

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

/*
 * How bytes become messages. Only the native framing knows ids and any number of descriptors; the
 * others are those of programs that do not know duplex, need STREAM or pipes, and refuse to send
 * what they cannot carry (-EINVAL, or -EMSGSIZE for its size) before a byte has left.
 */
typedef enum dx_framing {
    DX_FRAMING_NATIVE = 0, /* 16-byte header; any bytes, descriptors. docs/wire.md. The default */

    /*
     * Each message is a line: the '\n' is added on sending and removed on receiving. A message that
     * holds '\n' is refused; a last line without '\n' counts. See also strip_cr.
     */
    DX_FRAMING_LINE,
    DX_FRAMING_NUL,       /* data, then a NUL byte: find -print0, xargs -0, varlink. As LINE else */
    DX_FRAMING_NETSTRING, /* "5:hello,": netstrings, SCGI */
    DX_FRAMING_U8,        /* length in 1 byte, data: Erlang {packet,1} */
    DX_FRAMING_U16,       /* length in 2 bytes, big-endian: Erlang {packet,2} */
    DX_FRAMING_U32,       /* length in 4 bytes, big-endian: Erlang {packet,4} */
    DX_FRAMING_PYTHON,    /* send_bytes() and recv_bytes() of Python's multiprocessing.connection */

    /* "Content-Length: 5\r\n\r\nhello": language servers (LSP) and debug adapters (DAP). */
    DX_FRAMING_CONTENT_LENGTH,

    /*
     * "0009hello": git. At most 65,516 bytes. A flush, delimiter or response-end packet is a
     * message of its own kind, see dx_message.
     */
    DX_FRAMING_PKT_LINE,

    /*
     * One JSON text in UTF-8, then '\n': the 'ipc' channel of Node's child_process. What is no JSON
     * text is refused, as it would kill the other side; so is {"cmd":"NODE_…"}, which is Node's
     * own. A message may bear one descriptor, a socket or a pipe. It becomes non-blocking, and a
     * copy of it stays open here until the peer has answered it: see docs/framings.md.
     */
    DX_FRAMING_NODE,

    /* No messages: dx_send() sends the bytes as they are, dx_recv() gives what has arrived. */
    DX_FRAMING_RAW
} dx_framing;

/* The name of a framing as the command knows it ("content-length"); NULL if there is none such. */
DX_API const char *dx_framing_name(dx_framing framing);

/* Find the framing of this name. Returns 0, or -EINVAL and leaves ret alone. */
DX_API int dx_framing_by_name(dx_framing *ret, const char *name);

#define DX_MESSAGE_LIMIT_DEFAULT ((size_t)16 << 20)
#define DX_MESSAGE_LIMIT_MAX ((size_t)1 << 30)
#define DX_REQUEST_LIMIT_MAX 65536
#define DX_RING_SIZE_MIN ((size_t)64 << 10)
#define DX_RING_SIZE_MAX ((size_t)64 << 20)

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
     * DX_FRAMING_LINE only: remove a '\r' that stands before the '\n', if there is one. Nothing is
     * added on sending.
     */
    bool strip_cr;

    /*
     * The most requests that may be open at one time in each direction, at most
     * DX_REQUEST_LIMIT_MAX. 0: 1024. A native peer learns it in the greeting, and is then refused
     * by its own dx_call(). See <duplex/call.h>.
     */
    unsigned request_limit;

    /*
     * How many bytes this end takes in, beyond what its user has received, while it waits to send.
     * 0, or less than one message of the greatest size: room for one such message. As much again
     * is kept of what comes while a dx_call() waits for its answer.
     */
    size_t receive_backlog;

    /*
     * The most descriptors accepted with one message, at most DX_DESCRIPTORS_MAX. 0: none; a peer
     * that sends one breaks the protocol. Descriptors in messages not yet received are bounded by
     * four times this number, and by as many again in those that came while a dx_call() waited.
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

    /*
     * Stay on the socket: neither offer the peer a fast lane nor take part in one. A fast lane is
     * memory that both ends share; it needs DX_STREAM or DX_SEQPACKET, the native framing, and
     * duplex at both ends of a dx_fork(), dx_spawn() or dx_channel_pair(). It begins by itself when
     * a conversation has shown to be worth it, and changes nothing but the speed. Set this in a
     * child whose sandbox forbids mmap(2), fcntl(2) or setsockopt(2).
     */
    bool socket_only;

    /*
     * The bytes of shared memory that the fast lane has for each direction: a power of two from
     * DX_RING_SIZE_MIN to DX_RING_SIZE_MAX. 0: 256 KiB. Larger messages go through in pieces. The
     * parent's counts.
     */
    size_t ring_size;

    /*
     * Receive from the fast lane without a copy: a message lies in memory that the peer can write
     * to, and may change while it is read. Only for a peer that is trusted like this process. While
     * it is lent its room is not given back, so a send to a peer that sends, too, may be -EDEADLK;
     * and in a forked child it is not there.
     */
    bool trust_peer;

    /* Where a failure to make the channel is explained; may be NULL. */
    dx_failure *failure;
} dx_channel_options;

#ifdef __cplusplus
}
#endif
#endif
