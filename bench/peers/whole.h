/* SPDX-License-Identifier: MIT */
/*
 * Peers whose ends send and receive whole messages: the work is done here, in terms of a few
 * functions of theirs. Their end begins with a struct whole.
 */
#ifndef DUPLEX_BENCH_WHOLE_H
#define DUPLEX_BENCH_WHOLE_H

#include "peers/peer.h"

/* All return 0 or a negative errno. */
struct whole_functions {
    /* Send a message of this size that bears this number; it may be the one received last. */
    int (*send)(void *end, size_t size, uint64_t number);

    /* Receive a message of this size and check its number. It is kept until the next. */
    int (*receive)(void *end, size_t size, uint64_t number);

    /* Send the message that was received last, as it is. */
    int (*send_back)(void *end);

    /* Have everything leave that a corked end has collected. May be NULL. */
    int (*flush)(void *end);
};

struct whole {
    const struct whole_functions *functions;
    struct hand_made hand_made;
};

/* A side_phase, and what a struct peer asks for; `end` begins with a struct whole. */
int whole_phase(void *end, const struct task *task, uint64_t count);
int whole_round_trip(void *end, size_t size, uint64_t count);
int whole_one_way(void *end, size_t size, uint64_t count, bool corked);
int whole_calls(void *end, size_t size, uint64_t count, bool corked);

/*
 * For ends that find each other by a name: the child opens its end first, and says so over a
 * socketpair, which the parent waits for before it opens its own. The name is for the socket's
 * abstract namespace, so no file is left whatever happens.
 */
enum { WHOLE_NAME_SIZE = 64 };
struct whole_named {
    size_t end_size; /* of the end, zeroed before it is opened */
    const struct whole_functions *functions;
    int (*open)(void *end, const char *name, const struct task *task, bool child);
    void (*close)(void *end);
};

/*
 * How many messages of this size a queue shall hold: enough to keep both sides busy, few enough to
 * stay in the cache.
 */
static inline int whole_queue(size_t size)
{
    enum { QUEUE_BYTES = 1 << 20, QUEUE_MIN = 2, QUEUE_MAX = 1000 };
    size_t count = QUEUE_BYTES / size;

    return count < QUEUE_MIN ? QUEUE_MIN : count > QUEUE_MAX ? QUEUE_MAX : (int)count;
}

int whole_named_open(const struct whole_named *named, const struct trial *trial, void **ret);
int whole_named_close(const struct whole_named *named, void *end);

#endif
