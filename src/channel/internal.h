/* SPDX-License-Identifier: MIT */
/*
 * A channel as its own folder sees it.
 *
 * Two locks, because one thread may send while another receives. The outbox's is held for the whole
 * of a send, its waits included; the inbox's never while anybody sleeps. A sender takes the
 * outbox's first and then, for a moment, the inbox's, to take in what arrives. A receiver lets go of
 * the inbox's before it flushes, and flushes only if nobody has the outbox's.
 */
#ifndef DUPLEX_CHANNEL_INTERNAL_H
#define DUPLEX_CHANNEL_INTERNAL_H

#include "channel/calls.h"
#include "channel/channel.h"
#include "channel/inbox.h"
#include "channel/lane.h"
#include "channel/node.h"
#include "channel/outbox.h"
#include "channel/spin.h"
#include "os/lock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { DXI_SPIN_US_MAX = 1000 };

/* What has become of the direction towards us. */
enum dxi_inbound {
    DXI_INBOUND_OPEN,
    DXI_INBOUND_LAST,   /* the kernel has nothing more; the inbox may */
    DXI_INBOUND_BROKEN, /* the protocol is broken; the inbox may have messages from before */
    DXI_INBOUND_OVER    /* inbound_result was reported, and stays: 0, -EPROTO or -EPIPE */
};

struct dx_channel {
    uint64_t generation; /* the process that made it */
    const _Atomic uint64_t *generation_mark;
    int read_fd;
    _Atomic int write_fd; /* -1 when it was closed to say the end; written under out_lock */
    enum dxi_medium read_medium, write_medium;
    int type; /* SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM */
    const struct dxi_framing *framing;
    size_t message_limit;
    size_t receive_backlog;
    unsigned descriptor_limit;
    unsigned request_limit;
    bool claimed;    /* by a process, which closes it */
    bool whole_only; /* what is not ended at the end is no message */
    bool is_watched; /* whoever polls is told once more of what was not read */

    int peer_pidfd; /* or -1 */
    bool peer_pidfd_owned;

    struct dxi_lock in_lock;
    struct dxi_inbox in;
    enum dxi_inbound inbound;
    int inbound_result;
    unsigned reads_blind; /* reads since the last look whether the peer lives */
    unsigned waits_first; /* so many receives to come wait before they read */
    bool drain_limited;   /* the peer is dead: only what lies in the kernel is its own */
    size_t drain_left;    /* bytes, or packets of DGRAM */
    bool read_short;      /* the last read brought less than it might have */
    bool reads_much;      /* and so much that more may lie there */
    bool was_reset;       /* the peer ended with our bytes unread, says the kernel */
    bool receiver_waits;
    bool made_here; /* the socketpair is of this process's making */
    struct dxi_spin spin;
    struct dxi_calls calls;
    struct dxi_node node;
    struct dxi_lane lane;

    struct dxi_lock out_lock;
    struct dxi_outbox out;
    _Atomic bool out_pending; /* something lies in the outbox */
    _Atomic bool out_refused; /* so, and the kernel did not take it for another reason than room */
    _Atomic bool out_wanted;  /* a send was refused for want of room, and will be made again */

    /* Written by one side and read by the other. */
    _Atomic bool peer_gone;            /* it takes nothing more */
    _Atomic bool peer_dead;            /* it is no more, and says nothing either */
    _Atomic bool broken;               /* the protocol is broken: -EPROTO both ways */
    _Atomic size_t peer_limit;         /* the largest message it accepts; 0: not known yet */
    _Atomic unsigned peer_descriptors; /* the most it accepts, once peer_limit is known */
    _Atomic unsigned peer_requests;    /* the most it lets be open, once peer_limit is known */

    struct dxi_lock text_lock;
    char text[DX_TEXT_SIZE];
};

/* A wait that begins when somebody first has to wait, so that a call that need not reads no clock.
 */
struct dxi_patience {
    int timeout_ms;
    bool started;
    bool for_calls; /* it ends early when a request of ours is over: -ETIME */
    uint64_t deadline_ns;
};

uint64_t dxi_patience_deadline(struct dxi_patience *patience);
bool dxi_patience_over(struct dxi_patience *patience);

/* Whether the handle may be used: 0, -EINVAL or -ECHILD. Costs no system call. */
static inline int dxi_channel_check(const dx_channel *channel)
{
    if (channel == NULL)
        return -EINVAL;
    return atomic_load_explicit(channel->generation_mark, memory_order_relaxed) ==
                   channel->generation
               ? 0
               : -ECHILD;
}

/* Explain, and return error. */
int dxi_channel_fail(dx_channel *channel, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int dxi_channel_fail_fault(dx_channel *channel, const struct dxi_fault *fault);

/* receive.c; the caller holds in_lock. */

/*
 * Read once, of a stream so many bytes at most. 1: something came; 0: nothing now, or the inbound
 * state changed, see there; or an error that leaves the channel as it was, -ENOMEM for one.
 */
int dxi_channel_fill(dx_channel *channel, size_t most);

/* A receive has brought 0: still 0 if that was the end, or an empty packet; else what came with it. */
ssize_t dxi_channel_confirm_end(dx_channel *channel, void *bytes, size_t size,
                                struct dxi_arrival *arrival);

/* The peer has died: what its kernel buffer holds now is the last. */
void dxi_channel_mourn(dx_channel *channel);

/*
 * Mourn the peer if it has died. For the receiver, now and then: a grandchild that talks without pause
 * keeps him from ever waiting, and so from seeing the death.
 */
void dxi_channel_look_for_death(dx_channel *channel);

/* The peer broke the protocol: end it for both directions, and explain. Returns -EPROTO. */
int dxi_channel_break(dx_channel *channel, const struct dxi_fault *fault);

/* The next message that has been taken in, without reading; -EAGAIN if there is none. As below. */
int dxi_channel_next(dx_channel *channel, dx_message *ret);

/* The deadline has passed: say what there is of a message. Returns -ETIMEDOUT. */
int dxi_channel_out_of_time(dx_channel *channel);

/*
 * Receive the next message that means something. 1; 0, -EPROTO or -EPIPE at the end; -ETIMEDOUT;
 * -ETIME, see dxi_patience; -EMFILE or -ENOMEM, and the message comes next.
 */
int dxi_channel_receive(dx_channel *channel, dx_message *ret, struct dxi_patience *patience);

/* A word of the channel's own came. The context is the channel. */
dxi_word_handler dxi_channel_hear;

/* What became of taking in. */
enum dxi_taking {
    DXI_TAKING,       /* there is room for more, and nothing has come */
    DXI_TAKING_FULL,  /* the backlog is full */
    DXI_TAKING_OTHER, /* another thread receives, and takes in what comes */
    DXI_TAKING_OVER   /* nothing more can come */
};

/* receive.c; these take in_lock. Take in what has come, up to the backlog, without waiting. */
enum dxi_taking dxi_channel_take_in(dx_channel *channel);

/* The same although another thread waits to receive; it looks up within 100 ms, and finds it. */
void dxi_channel_take_in_anyway(dx_channel *channel);

/* Read what the socket says besides the ring, although nothing may be taken in any more. */
void dxi_channel_attend(dx_channel *channel);

/* Whether a poll that comes now will tell of what comes next; false: it is here. */
bool dxi_channel_doze(dx_channel *channel);

/* wait.c. Bytes that were taken in and not received. */
size_t dxi_channel_backlog(dx_channel *channel);

/* What became of a flush. */
enum dxi_flush {
    DXI_FLUSHED,       /* the kernel has what it had room for */
    DXI_FLUSH_REFUSED, /* for another reason than a full buffer; only time helps */
    DXI_FLUSH_BUSY     /* another thread is sending */
};

/* wait.c */

/* The caller holds out_lock. 0 when a send may get on; -ETIMEDOUT, -EDEADLK, -EPIPE, -EPROTO. */
int dxi_wait_to_send(dx_channel *channel, struct dxi_patience *patience);

/*
 * Send what is pending, without waiting, before a look or a sleep. The caller holds in_lock, which is
 * released meanwhile, because a send may have to take in. True if something came in by that.
 */
bool dxi_channel_flush_between(dx_channel *channel, enum dxi_flush *ret);

/* The caller holds in_lock, which is released while it waits. 0, -ETIMEDOUT or -ETIME. */
int dxi_wait_to_receive(dx_channel *channel, struct dxi_patience *patience);

/* transmit.c; the caller holds out_lock. */

/*
 * Send the outbox and then the message, if there is one. 0 also for a message that has begun when the
 * deadline passes, or the kernel has no more memory: it goes to the outbox, and is as good as sent.
 */
int dxi_channel_transmit(dx_channel *channel, struct dxi_parting *parting, const int *descriptors,
                         size_t descriptor_count, struct dxi_patience *patience);

/*
 * Say the end by what the medium has for it, whoever else may hold a copy of a socket: no byte
 * follows. A pipe is closed, which is an end only if nobody else holds a copy.
 */
int dxi_channel_stop_writing(dx_channel *channel);

/* What the kernel answered to a send that moved nothing. 0 means: wait, then try again. */
int dxi_channel_refused(dx_channel *channel, ssize_t status);

/* Read what a datagram peer has said before something is sent to it. */
void dxi_channel_take_in_datagrams(dx_channel *channel);

/*
 * transmit.c: something is due besides messages: count it, then say that something is pending. Whoever
 * takes pending back looks at the counts afterwards, all in one order (seq_cst), so none is missed.
 */
void dxi_channel_note_due(dx_channel *channel, _Atomic unsigned *count);

/* transmit.c; the caller holds out_lock: send the outbox, without waiting. 0, or the refusal. */
int dxi_channel_push(dx_channel *channel);

/* An event loop must learn when it is worth trying again. */
void dxi_channel_note_wanted(dx_channel *channel, int error);

/* transmit.c: send what is pending if nobody else is sending, without waiting. */
enum dxi_flush dxi_channel_flush_now(dx_channel *channel);

/*
 * send.c; the caller holds out_lock: send a message as this kind of frame with this id.
 */
int dxi_channel_send(dx_channel *channel, const dx_message *message, enum dxi_kind kind,
                     uint64_t id, struct dxi_patience *patience);

/* reserve.c; the caller holds out_lock: what was reserved is no more. */
void dxi_channel_unreserve(dx_channel *channel);

/* send.c; the caller holds out_lock: whether messages are collected the quick way, and how many. */
void dxi_channel_note_plain(dx_channel *channel);

/* send.c: put a small frame without descriptors into the outbox, however full it is. */
int dxi_channel_leave(dx_channel *channel, const struct dxi_letter *letter);

/* send.c: 0, or the same as a send would answer. The caller holds out_lock. */
int dxi_channel_check_open(dx_channel *channel);

/* send.c: 0, or -EMSGSIZE and others for what one of the two sides does not take. */
int dxi_channel_check_limits(dx_channel *channel, const dx_message *message);

/* send.c: whether a message is one, or -EINVAL. */
int dxi_channel_check_message(dx_channel *channel, const dx_message *message);

/* send.c: a message was sent: its descriptors are the peer's now. */
void dxi_channel_hand_over(const dx_message *message);

/*
 * send.c: the last words before the descriptors are closed. A stream says its end by being closed,
 * and only then: shutdown(2) would end it for others who hold the same socket, too.
 */
void dxi_channel_say_goodbye(dx_channel *channel);

#endif
