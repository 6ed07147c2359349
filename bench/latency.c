/* SPDX-License-Identifier: MIT */
/*
 * How long single round trips take. message_stamp(), which a peer calls as it begins each, tells the
 * time here while somebody listens; a round trip ends where the next one begins. The times are
 * counted in steps of 1/64 of a power of two of nanoseconds, so the answer is true to 2 % and the
 * memory is small and constant. Reading the clock is part of each time: about 25 ns.
 */
#include "bench.h"
#include "peers/peer.h"

#include <string.h>
#include <time.h>

enum { STEP_BITS = 6, STEPS = 1 << STEP_BITS, BUCKETS = STEPS * (64 - STEP_BITS) };

bool latency_wanted;

static uint64_t buckets[BUCKETS];
static uint64_t total;
static uint64_t last_ns;

static unsigned bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns < STEPS)
        return (unsigned)ns;
    shift = 63u - (unsigned)__builtin_clzll(ns) - STEP_BITS;
    return (shift + 1) * STEPS + (unsigned)(ns >> shift) - STEPS;
}

/* The middle of a bucket, in seconds. */
static double time_of(unsigned bucket)
{
    unsigned shift = bucket / STEPS;

    if (shift == 0)
        return bucket * 1e-9;
    shift--;
    return ((double)(STEPS + bucket % STEPS) + 0.5) * (double)(1ull << shift) * 1e-9;
}

void latency_note(void)
{
    struct timespec now;
    uint64_t now_ns;

    clock_gettime(CLOCK_MONOTONIC, &now);
    now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (last_ns != 0) {
        buckets[bucket_of(now_ns - last_ns)]++;
        total++;
    }
    last_ns = now_ns;
}

void latency_start(void)
{
    memset(buckets, 0, sizeof(buckets));
    total = 0;
    last_ns = 0;
    latency_wanted = true;
}

static double quantile(double share)
{
    uint64_t wanted = (uint64_t)((double)total * share);
    uint64_t seen = 0;

    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += buckets[i];
        if (seen > wanted)
            return time_of(i);
    }
    return 0;
}

void latency_stop(double *ret_p50, double *ret_p99)
{
    latency_wanted = false;
    *ret_p50 = quantile(0.50);
    *ret_p99 = quantile(0.99);
}
