/* SPDX-License-Identifier: MIT */
/*
 * What the other floors may ask of a channel beyond its public interface.
 */
#ifndef DUPLEX_CHANNEL_CHANNEL_H
#define DUPLEX_CHANNEL_CHANNEL_H

#include <duplex/channel.h>

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dxi_framing;

/* How the bytes of one direction travel. Each lacks something that the one before it has. */
enum dxi_medium {
    DXI_MEDIUM_UNIX,   /* a socket of AF_UNIX */
    DXI_MEDIUM_SOCKET, /* another connected stream socket: no descriptors */
    DXI_MEDIUM_PIPE,   /* a pipe, a terminal, a device: its end is said by closing it */
    DXI_MEDIUM_FILE    /* a regular file: nobody waits for it */
};

/* The descriptors of a channel. One socket is named twice. */
struct dxi_ends {
    int read_fd, write_fd;
    enum dxi_medium read_medium, write_medium;
    bool is_makers; /* of a socketpair that this side made: it offers the fast lane */
};

static inline struct dxi_ends dxi_ends_of_socket(int fd)
{
    return (struct dxi_ends){.read_fd = fd, .write_fd = fd};
}

/*
 * Make a channel of descriptors that are known to be good: close-on-exec, connected, of this type,
 * which is DX_STREAM for what is no socket. They are the channel's on success. Sends the greeting of
 * the native framing. options is never NULL, and was checked by dxi_channel_check_options().
 */
int dxi_channel_open(dx_channel **ret, const struct dxi_ends *ends,
                     const dx_channel_options *options);

/* Check options and explain in options->failure what is wrong with them. 0 or -EINVAL. */
int dxi_channel_check_options(const dx_channel_options *options);

/* How long a look for an answer may be before a sleep, in nanoseconds; 0: there is none. */
uint64_t dxi_channel_spin_limit(const dx_channel_options *options);

/* framings.c: a framing by its number, or NULL if there is none such. */
const struct dxi_framing *dxi_framing_of(dx_framing framing);

/* SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM. */
int dxi_channel_socket_type(dx_channel_type type);

/* Tell of the peer's death by this pidfd. It must outlive the channel, unless owned, which passes
 * it. */
void dxi_channel_watch(dx_channel *channel, int pidfd, bool owned);

/* It was seen by somebody else: what lies here is the last, whoever else may go on talking. */
void dxi_channel_peer_died(dx_channel *channel);

/* From now on only dxi_channel_destroy() closes it; dx_channel_close() does nothing. */
void dxi_channel_claim(dx_channel *channel);
dx_channel *dxi_channel_destroy(dx_channel *channel);

/*
 * For somebody who waits for something else and keeps the channel alive meanwhile: fill ret with
 * what to poll for (0, 1 or 2 entries; none when the backlog is full or the conversation is over),
 * then serve: send what is pending and take in what has come, up to the backlog, without waiting. If
 * it is not idle, serve without a wait: no event tells of what has come by the fast lane already.
 */
size_t dxi_channel_poll_set(dx_channel *channel, struct pollfd ret[2], bool *ret_idle);

/*
 * Whether something is to be sent that the kernel refused for another reason than room, for want of memory
 * most likely. No event tells when it takes it: serve again after DXI_RETRY_MS.
 */
bool dxi_channel_must_retry(const dx_channel *channel);
enum { DXI_RETRY_MS = 10 };

void dxi_channel_serve(dx_channel *channel);

/*
 * Say the end in this direction without waiting, if it can be said now: what was accepted before it
 * goes first. False if it is still to be said: a full buffer may keep it back, or the kernel, and who
 * wants it said asks again after DXI_RETRY_MS.
 */
bool dxi_channel_end_now(dx_channel *channel);

/* pool.c: what the pool asks of the channel to a worker, which no other thread uses. */

/*
 * It leads to a worker: the caller keeps the books of its requests, and gets each answer that may belong
 * to one; a last line that was not ended is no message, because its writer may have been killed; and
 * what comes behind a read is left to the next event.
 */
void dxi_channel_lead_to_worker(dx_channel *channel);

/*
 * Send a request without waiting, when so many are open, or collect it. As dx_call_start_message() with
 * DX_NOW, but that -EBUSY goes by what the caller says. The quick way does the same or nothing.
 */
int dxi_channel_post(dx_channel *channel, const dx_message *request, unsigned open,
                     uint64_t *ret_id);
bool dxi_channel_post_quick(dx_channel *channel, const void *data, size_t size, unsigned open,
                            uint64_t *ret_id);

/* Take the next message the quick way, if it is an answer like most. False: dx_recv() must be called. */
bool dxi_channel_take_reply(dx_channel *channel, dx_message *ret);

/* Whether the peer has greeted, or need not in this framing. */
bool dxi_channel_greeted(const dx_channel *channel);

/* Whether a message may be here that came by the ring, or was read before. Costs no system call. */
bool dxi_channel_stirs(const dx_channel *channel);

/* Whether more has come by the ring since it was last read. What is here and not whole does not count. */
bool dxi_channel_rings(const dx_channel *channel);

/* Whether a part of what was taken in at one time is left. */
bool dxi_channel_holds(const dx_channel *channel);

/* Whether the peer speaks by the ring; and then, what it is about. */
bool dxi_channel_hears_ring(const dx_channel *channel);

enum dxi_peer {
    DXI_PEER_ASLEEP, /* it waits for us */
    DXI_PEER_BESIDE, /* it is at work, or would be: its processor is ours */
    DXI_PEER_AWAKE   /* it is at work */
};
enum dxi_peer dxi_channel_peer(const dx_channel *channel);

/*
 * Whether the peer, which has ended, left something unread of what was sent. Of the ring it is known only
 * if the peer has let go of the channel itself: else false.
 */
bool dxi_channel_left_unread(const dx_channel *channel);

/*
 * Send what dx_cork() has collected, without waiting, and go on collecting. False if something that was
 * collected will never leave.
 */
bool dxi_channel_send_collected(dx_channel *channel);

/* Whether this end could send these bytes as a message: 0, -EMSGSIZE or -EINVAL, in failure's words. */
int dxi_channel_check_job(const dx_channel_options *options, const void *data, size_t size,
                          size_t descriptor_count, dx_failure *failure);

/* Fill a failure, if there is one to fill, and return error. */
int dxi_fail(dx_failure *failure, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
