/* SPDX-License-Identifier: MIT */
/*
 * Whether to look for an answer a while before sleeping.
 *
 * Each look in vain doubles the number of waits that are then slept through at once, and each that pays
 * halves it: who shares our processor, or takes his time, is soon waited for asleep.
 */
#ifndef DUPLEX_CHANNEL_SPIN_H
#define DUPLEX_CHANNEL_SPIN_H

#include <stdbool.h>
#include <stdint.h>

enum {
    /*
     * A wake-up across processors takes about as long; to look for longer than that cannot pay. The
     * bound on the penalty makes looking in vain cost a thousandth of it, yet finds a change.
     */
    DXI_SPIN_NS = 50 * 1000,
    DXI_SPIN_PENALTY_MAX = 1024,
};

struct dxi_spin {
    uint64_t limit_ns; /* how long a look may be; 0: there is none. Its owner's */
    unsigned penalty;  /* waits to sleep through at once, after the last look that was in vain */
    unsigned skip;     /* of these, still to come */
};

/* Whether this wait is one to sleep through. */
static inline bool dxi_spin_skips(struct dxi_spin *spin)
{
    if (spin->skip == 0)
        return false;
    spin->skip--;
    return true;
}

static inline void dxi_spin_paid(struct dxi_spin *spin)
{
    spin->penalty /= 2;
}

static inline void dxi_spin_was_in_vain(struct dxi_spin *spin)
{
    spin->penalty = spin->penalty * 2 + 1;
    if (spin->penalty > DXI_SPIN_PENALTY_MAX)
        spin->penalty = DXI_SPIN_PENALTY_MAX;
    spin->skip = spin->penalty;
}

#endif
