/* SPDX-License-Identifier: MIT */
/*
 * The fast lane: a conversation that has shown to be worth it moves into shared memory.
 *
 *   1. Both greetings say that they can (DXI_FEATURE_LANE).
 *   2. The maker, the side that made the socketpair, sends OFFER with a region of memory.
 *   3. The acceptor maps it and answers ACCEPT, its last frame by the socket: what it says from then on
 *      goes through the ring. Or DECLINE, and nothing changes.
 *   4. The maker, having read ACCEPT, sends SWITCH, its last frame by the socket.
 *
 * The same frames go through the ring as before through the socket, so everything above this is the
 * same; their bytes are copied into the inbox and only then looked at. The socket stays what users
 * poll: WAKE comes by it when this side has announced that it sleeps, DESCRIPTORS before the frame in
 * the ring that they belong to, and the end when the peer lets go of it. The end of one direction is
 * END in the ring, because who has shut his socket down could send no WAKE. A maker that reads from the
 * ring and has not sent SWITCH yet owes its WAKE until then: it could stand in the middle of a frame.
 *
 * Refused memory, a full table of descriptors, an old kernel: the conversation stays on the socket.
 */
#ifndef DUPLEX_CHANNEL_LANE_H
#define DUPLEX_CHANNEL_LANE_H

#include "os/region.h"
#include "wire/framing.h"
#include "wire/ring.h"

#include <duplex/channel.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct dxi_arrival;
struct dxi_patience;

enum dxi_lane_part { DXI_LANE_NONE, DXI_LANE_MAKER, DXI_LANE_ACCEPTOR };

/* By which way this side's frames leave. */
enum dxi_course {
    DXI_COURSE_SOCKET,
    DXI_COURSE_LEAVING, /* the last ones for the socket lie in the outbox: socket_left bytes of it */
    DXI_COURSE_RING
};

/* What is due: one word at the most, in this order. */
enum dxi_lane_due { DXI_DUE_NONE, DXI_DUE_OFFER, DXI_DUE_ACCEPT, DXI_DUE_DECLINE, DXI_DUE_SWITCH };

struct dxi_lane {
    enum dxi_lane_part part;
    bool trusting;
    size_t ring_size;
    struct dxi_region region;
    int offer_fd; /* of an offer that is due, or -1 */

    _Atomic unsigned due;     /* 1 while a word is due, for dxi_channel_note_due() */
    _Atomic unsigned word;    /* an enum dxi_lane_due, written before `due` */
    _Atomic bool settled;     /* there is a lane, or there will be none */
    _Atomic bool peer_takes;  /* its greeting said so */
    _Atomic bool considered;  /* an offer is due, or was */
    _Atomic unsigned moves;   /* reads and sends of the socket so far; need not be exact */
    _Atomic bool out_is_fast; /* the course is DXI_COURSE_RING */
    _Atomic bool in_is_fast;  /* the inbox reads from the ring */
    _Atomic bool wake_owed; /* to the peer, once the last frame for the socket has left, or again */

    /* Belongs to out_lock. */
    struct dxi_ring_out out;
    struct dxi_ring_pace pace;
    enum dxi_course course;
    size_t socket_left;
    bool quick;         /* nothing but room stands against dxi_lane_send_plain() */
    size_t quick_limit; /* payload bytes */
    size_t wanted;      /* so much room is waited for; 0: any */
    bool wants_socket;  /* descriptors found the socket full */
    bool unfed;         /* `starved` is announced */
    uint64_t descriptors_sent;
    unsigned publications; /* since the last look whether the peer lives */

    /* Belongs to in_lock. */
    struct dxi_ring_in in;
    bool dozing;      /* `asleep` is announced, or was */
    bool socket_over; /* the peer has let go of the socket */
    uint64_t descriptors_heard;
    unsigned parcels_unheard; /* descriptors have come, and their word not wholly */
    uint8_t partial_word[16];
    size_t word_size; /* bytes of it */
    uint64_t
        looked_to; /* the first position where no switch was looked for; a frame begins there */
    bool lent;     /* the user's message lies in the ring: no room is given back */
};

/* lane.c: coming to be. */

/* Reads and sends of the socket after which a lane is worth its memory. Tests want it earlier. */
extern unsigned dxi_lane_worth;

/* Whether there may be a lane, before the greeting is sent. */
void dxi_lane_open(dx_channel *channel, const dx_channel_options *options, bool is_makers);
void dxi_lane_close(dx_channel *channel);

/* The caller holds in_lock: the peer's greeting has come, with these features. */
void dxi_lane_greeted(dx_channel *channel, uint32_t features);

/* The caller holds in_lock: a word of the lane has come. As dxi_word_handler. */
int dxi_lane_hear(dx_channel *channel, const struct dxi_frame *frame, const uint8_t *payload);

/*
 * The caller holds in_lock: a read of the socket has come into the inbox, with descriptors or without.
 * If the peer's last frame by the socket is there, the inbox is filled from the ring from now on, however
 * much lies before that frame: who sends by the ring must be taken in. 0, or -EPROTO and the fault.
 */
int dxi_lane_look_for_switch(dx_channel *channel, bool bears);

/*
 * The caller holds in_lock: a read of the socket has brought words after the switch, with descriptors or
 * without. 0 or -EPROTO.
 */
int dxi_lane_hear_socket(dx_channel *channel, const uint8_t *bytes, size_t size, bool bears);

/* One more read or send by the socket. A maker may find that the lane is worth it. */
void dxi_lane_note_move(dx_channel *channel);

/* The caller holds out_lock, and no message is half sent: say what is due, if it can be said now. */
void dxi_lane_write_due(dx_channel *channel);

/* The caller holds out_lock: so many bytes of the outbox have left by the socket. */
void dxi_lane_left(dx_channel *channel, size_t size);

/* The caller holds out_lock: whether quick is true. To be called when anything changes that counts. */
void dxi_lane_note_quick(dx_channel *channel);

/* lane_send.c; the caller holds out_lock, and the course is DXI_COURSE_RING. */

/* As send(2): bytes that went into the ring, -EAGAIN, or another refusal. They are published. */
ssize_t dxi_lane_send(dx_channel *channel, const struct iovec *parts, size_t count,
                      const int *descriptors, size_t descriptor_count);

/* Let the peer see what was written, and wake it if it waits for that. */
void dxi_lane_publish(dx_channel *channel);

/* A frame the quick way. False: it must go the long one. */
bool dxi_lane_send_plain(dx_channel *channel, const void *data, size_t size, uint8_t kind,
                         uint64_t id);

/*
 * For dxi_wait_to_send(), which may take in what comes, or may not; for the first time or not. 1: there is
 * room; 2: take in again; 0: sleep, and the socket will tell; -EPROTO. dxi_lane_feed() afterwards.
 */
int dxi_lane_expect_room(dx_channel *channel, bool taking, bool first);
void dxi_lane_feed(dx_channel *channel);

/* When it is worth trying to send. */
enum dxi_prospect {
    DXI_PROSPECT_NOW,
    DXI_PROSPECT_WAKE,  /* when the socket can be read: the peer was asked for a wake-up */
    DXI_PROSPECT_SOCKET /* when the socket can be written: descriptors found it full */
};

/* The caller holds no lock, or in_lock, and sends by the ring. For one who polls. */
enum dxi_prospect dxi_lane_prospect(dx_channel *channel);

/* lane_receive.c; the caller holds in_lock, and in_is_fast. */

/* From the ring into the inbox. 1: something; 0: nothing is there; -EPROTO; -ENOMEM. No system call. */
int dxi_lane_fill(dx_channel *channel, size_t most);

/* What became of a reading of the socket. */
enum {
    DXI_ATTEND_DONE = 0,
    DXI_ATTEND_FULL = 1, /* there is more; the descriptors that came wait here to be received */
    DXI_ATTEND_AGAIN = 2 /* there may be more: a peer that talks without end must not keep us */
};

/* Read what the socket says: one of the above, or an error. */
int dxi_lane_attend(dx_channel *channel);

/* Look for something without sleeping, if that has paid lately. As dxi_lane_fill(). */
int dxi_lane_look(dx_channel *channel, struct dxi_patience *patience);

/* Before a sleep: give back what room there is, and announce it. False: something has come. */
bool dxi_lane_doze(dx_channel *channel);

/* The peer is dead: what it has published is the last. */
void dxi_lane_mourn(dx_channel *channel);

/* Give back room, and wake the peer if it waits for that. */
void dxi_lane_give_back(dx_channel *channel);

/* The quick way into the inbox, or to the message itself if the peer is trusted: true if the next
 * message may be there. */
bool dxi_lane_take_plain(dx_channel *channel, dx_message *ret, int timeout_ms, bool *ret_taken);

/* The user's message, which may have lain in the ring, ends here. */
void dxi_lane_release(dx_channel *channel);

/*
 * The caller holds either lock, or both: have the peer look up. Never waits. What the kernel refuses is
 * pending, and leaves with what is sent next or before the next wait.
 */
void dxi_lane_wake(dx_channel *channel);

/* Whether a wake-up was refused. And try it again: false if it is refused again. */
bool dxi_lane_owes_wake(const dx_channel *channel);
bool dxi_lane_pay_wake(dx_channel *channel);

#endif
