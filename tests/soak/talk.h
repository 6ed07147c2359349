/* SPDX-License-Identifier: MIT */
/*
 * A conversation of the soak, and what is awaited of it: whoever is at the other end sends back what
 * comes, in order.
 */
#ifndef DUPLEX_TESTS_SOAK_TALK_H
#define DUPLEX_TESTS_SOAK_TALK_H

#include "soak.h"

enum {
    SOAK_AWAITED_MAX = 64,
    SOAK_BYTES_MAX = 256 << 10, /* awaited at a time; one message alone may have more */
    SOAK_PAIR_BYTES_MAX = 16 << 10,
    SOAK_BEARING_MAX =
        8, /* of those awaited, bear a descriptor: half of what a call may pass over */
};

struct soak_awaited {
    uint32_t offset, size; /* of the letters */
    uint64_t id;           /* of a request, else 0 */
    bool bears;            /* a descriptor, from which `offset` can be read */
};

struct soak_talk {
    char what[128]; /* for people */
    dx_process *process;
    dx_channel *mine;
    dx_channel *other; /* of this process, too; else NULL */
    dx_message owed;   /* what the other could not send back yet */
    bool owes;

    dx_framing framing;
    bool calls;      /* of a framing without ids: calls only, or none */
    bool is_partner; /* it answers some requests with an error */
    bool trusting;   /* see trust_peer */
    bool carries;    /* descriptors */
    enum soak_manner manner;
    size_t least, most; /* of a message's bytes */
    uint64_t latest;    /* our last request by dx_call_start(), 0: none */

    struct soak_awaited awaited[SOAK_AWAITED_MAX];
    unsigned first, count, bearing;
    size_t bytes;
    size_t part; /* raw: how much of the first has come */
    bool doomed; /* its end may come at any time, and messages be lost with it */
    bool gone;   /* nothing can be sent any more */
    bool over;   /* the end has come */
};

/* How long to wait for it: one that may have stopped is not waited for. */
int soak_talk_patience(const struct soak_talk *talk);

/* Receive one message, if one is awaited or the end is. False: none came. */
bool soak_talk_receive(struct soak *soak, struct soak_talk *talk);

/* Let the other end of a pair do its part. */
void soak_talk_serve(struct soak_talk *talk);

#endif
