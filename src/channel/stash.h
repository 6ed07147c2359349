/* SPDX-License-Identifier: MIT */
/*
 * Messages that were taken out of the inbox while somebody looked for another, each with its bytes and
 * descriptors. Whoever looks for one finds it at once, however many are kept.
 */
#ifndef DUPLEX_CHANNEL_STASH_H
#define DUPLEX_CHANNEL_STASH_H

#include <duplex/message.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dxi_kept;

/* For whom a message is kept: each sort has a queue. */
enum dxi_keeping {
    DXI_KEEP_MESSAGE, /* for dx_recv() */
    DXI_KEEP_REQUEST, /* for the handler, or dx_recv() if there is none */
    DXI_KEEP_ANSWER,  /* for the dx_call() under way that waits for it */
    DXI_KEEPINGS
};

struct dxi_stash {
    struct {
        struct dxi_kept *first, *last;
    } queues[DXI_KEEPINGS];
    uint64_t kept;           /* messages, ever */
    size_t size;             /* bytes of memory */
    size_t descriptor_count; /* in all of them */
    struct dxi_kept *lent;   /* the one that the user has now */
};

/* Free everything, and close what descriptors nobody took. */
void dxi_stash_close(struct dxi_stash *stash);

/* Keep a copy of a message; its descriptors are the stash's then. 0 or -ENOMEM. */
int dxi_stash_keep(struct dxi_stash *stash, const dx_message *message, enum dxi_keeping keeping);

/* Whether there is a message of this sort. */
static inline bool dxi_stash_has(const struct dxi_stash *stash, enum dxi_keeping keeping)
{
    return stash->queues[keeping].first != NULL;
}

/* Lend the first message or request, whichever came first. false if there is none. */
bool dxi_stash_next(struct dxi_stash *stash, dx_message *ret);

/* Lend the first of one sort. false if there is none. */
bool dxi_stash_first(struct dxi_stash *stash, enum dxi_keeping keeping, dx_message *ret);

/* Lend the answer with this id. false if it is not there. */
bool dxi_stash_answer(struct dxi_stash *stash, uint64_t id, dx_message *ret);

/* End the loan: close the descriptors that were not taken. */
void dxi_stash_release(struct dxi_stash *stash);

#endif
