/* SPDX-License-Identifier: MIT */
/* duplex: a pool whose workers know nothing of it: a filter of lines, programs/line_filter.c. */
#include "peers/pool.h"

#define LINE_FILTER BENCH_PROGRAMS "/bench_line_filter"

const struct peer peer_duplex_pool_lines = {
    .name = "duplex_pool_lines",
    .about = "dx_pool_open() of a filter of lines in C, depth 1",
    .argument = &(const struct pool_setting){.depth = 1, .program = LINE_FILTER},
    .unavailable = pool_unavailable,
    .open = pool_open,
    .jobs = pool_jobs,
    .close = pool_close,
};

const struct peer peer_duplex_pool_lines_deep = {
    .name = "duplex_pool_lines_16",
    .about = "the same with depth 16",
    .argument = &(const struct pool_setting){.depth = 16, .program = LINE_FILTER},
    .unavailable = pool_unavailable,
    .open = pool_open,
    .jobs = pool_jobs,
    .close = pool_close,
};
