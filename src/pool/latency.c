/* SPDX-License-Identifier: MIT */
/* Reading the histogram; see latency.h. */
#include "pool/latency.h"

/* The largest value of a step. */
static uint64_t step_end(unsigned step)
{
    unsigned row = step >> DXI_LATENCY_BITS;

    if (row == 0)
        return step;
    uint64_t first = (uint64_t)(32 + (step & 31)) << (row - 1);

    return first + (((uint64_t)1 << (row - 1)) - 1);
}

uint64_t dxi_latency_at(const struct dxi_latency *latency, unsigned permille)
{
    /* Split, because the count times a thousand may not fit. */
    uint64_t rank =
        latency->count / 1000 * permille + (latency->count % 1000 * permille + 999) / 1000;
    uint64_t seen = 0;

    if (latency->count == 0)
        return 0;
    for (unsigned step = 0; step < DXI_LATENCY_STEPS; step++) {
        seen += latency->steps[step];
        if (seen >= rank && seen > 0)
            return step_end(step) < latency->most ? step_end(step) : latency->most;
    }
    return latency->most;
}
