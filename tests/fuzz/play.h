/* SPDX-License-Identifier: MIT */
/*
 * A conversation by a script, in the world of world.h: what the peer does (peer.c) and what the user
 * does (user.c), in any order and one within the other, and a book of what was sent, which is compared
 * with what has left (book.c).
 */
#ifndef DUPLEX_TESTS_FUZZ_PLAY_H
#define DUPLEX_TESTS_FUZZ_PLAY_H

#include "world.h"

#include <duplex.h>

enum {
    PLAY_SIZE_MAX = 72 << 10,
    PLAY_SENDS_MAX = 256,
    PLAY_IDS = 8,
    /* A byte of the script from here on is the peer's or the kernel's. */
    PLAY_PEERS = 128,
};

/* What became of a message that the user has sent. */
enum play_sent { PLAY_SENDING, PLAY_SENT, PLAY_REFUSED };

struct play_send {
    uint8_t kind; /* an enum dxi_kind */
    enum play_sent became;
    size_t size;
    unsigned seed;
    unsigned descriptors;
};

/* A message that came, or was to come. */
struct play_got {
    uint64_t sum;
    size_t size;
};

struct play {
    dx_channel *channel;
    dx_channel_options options;
    const struct dxi_framing *framing;
    bool maker;
    bool worker;   /* as a pool leads it */
    unsigned ends; /* its own descriptors, a bit for each as in world.closed_ends */

    /* The user. */
    dx_message message; /* received last, while it is lent */
    bool has_message;
    uint64_t theirs[PLAY_IDS]; /* requests of the peer, the latest first */
    uint64_t ours[PLAY_IDS];
    void *reserved;
    size_t reserved_size;
    bool over; /* dx_recv() has told the end, which stays */
    int over_status;
    bool failed;  /* a fault was put into a call: any error may come of it */
    bool handled; /* a handler was called in this call */
    unsigned depth;

    /* The book. */
    struct play_send sends[PLAY_SENDS_MAX];
    size_t send_count;
    struct play_got got[PLAY_SENDS_MAX];
    size_t got_count;
    bool unheard;  /* what came by the socket is not all */
    bool unbooked; /* it is not compared: too many, or what the channel wrote was scribbled over */

    /* The peer. */
    uint64_t last_id;
    uint64_t descriptors_said;
    struct dxi_ring_out out;
    struct dxi_ring_in in;
    bool in_lane;
};

extern struct play play;

/* What can be done. With DUPLEX_FUZZ_TELL in the environment it is said what is done. */
struct play_act {
    const char *name;
    void (*act)(void);
};

#define ACT(name)                                                                                  \
    {                                                                                              \
#name, name                                                                                \
    }

void play_do(const char *who, const struct play_act *act);

/* peer.c: do the next thing in the script, if it is the peer's or the kernel's. For world.act. */
bool peer_act(void);
/* Both greet, and the peer does its part of the way into the lane, as far as it goes. */
void peer_begin_lane(bool large);
void peer_greet(uint32_t features);
/* Take from the ring what the channel has written. */
void peer_take(size_t most);

/* user.c: do the next thing in the script, which is the user's. */
void user_act(void);
void user_receive(int timeout_ms);

/* book.c: a message is about to be sent; it was, or was not. */
struct play_send *book_begin(enum dxi_kind kind, size_t size, unsigned descriptors);
int book_end(struct play_send *send, int status);
const uint8_t *book_bytes(const struct play_send *send);
/* A message was received. */
void book_receive(const dx_message *message);
/* What was received by the socket is what was said, in order, and nothing else. */
void book_compare_received(void);
/* What has left is what was sent, in order, and nothing else. */
void book_compare(void);

#endif
