/* SPDX-License-Identifier: MIT */
/*
 * How long jobs took, as a histogram: 32 steps for each doubling, so that a value is known within 4 %.
 */
#ifndef DUPLEX_POOL_LATENCY_H
#define DUPLEX_POOL_LATENCY_H

#include <stdint.h>

enum {
    DXI_LATENCY_BITS = 5,
    DXI_LATENCY_STEPS = (64 - DXI_LATENCY_BITS + 1) << DXI_LATENCY_BITS,
};

struct dxi_latency {
    uint64_t steps[DXI_LATENCY_STEPS];
    uint64_t count, most;
};

static inline unsigned dxi_latency_step(uint64_t value)
{
    unsigned power = 63U - (unsigned)__builtin_clzll(value | 1);

    if (power < DXI_LATENCY_BITS)
        return (unsigned)value;
    unsigned shift = power - DXI_LATENCY_BITS;

    return ((shift + 1) << DXI_LATENCY_BITS) + (unsigned)((value >> shift) & 31);
}

static inline void dxi_latency_add(struct dxi_latency *latency, uint64_t value)
{
    latency->steps[dxi_latency_step(value)]++;
    latency->count++;
    if (value > latency->most)
        latency->most = value;
}

/* What `permille` of the values are below, or equal to. 0 if there are none. */
uint64_t dxi_latency_at(const struct dxi_latency *latency, unsigned permille);

#endif
