/* SPDX-License-Identifier: MIT */
/*
 * Messages that were taken out of the inbox while somebody looked for another, in the order in which
 * they came, each with its bytes and descriptors.
 */
#ifndef DUPLEX_CHANNEL_STASH_H
#define DUPLEX_CHANNEL_STASH_H

#include <duplex/message.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dxi_kept;

struct dxi_stash {
    struct dxi_kept *first, **last;
    size_t size;             /* bytes of memory */
    size_t descriptor_count; /* in all of them */
    struct dxi_kept *lent;   /* the one that the user has now */
};

void dxi_stash_open(struct dxi_stash *stash);

/* Free everything, and close what descriptors nobody took. */
void dxi_stash_close(struct dxi_stash *stash);

/*
 * Keep a copy of a message; its descriptors are the stash's then. waited: it is the answer that a
 * dx_call() under way waits for. 0 or -ENOMEM.
 */
int dxi_stash_keep(struct dxi_stash *stash, const dx_message *message, bool waited);

/* Lend the first that nobody waits for. false if there is none. */
bool dxi_stash_next(struct dxi_stash *stash, dx_message *ret);

/* Lend the answer with this id, which somebody waits for. false if it is not there. */
bool dxi_stash_answer(struct dxi_stash *stash, uint64_t id, dx_message *ret);

/* Whether dxi_stash_next() has one. */
bool dxi_stash_ready(const struct dxi_stash *stash);

/* End the loan: close the descriptors that were not taken. */
void dxi_stash_release(struct dxi_stash *stash);

#endif
