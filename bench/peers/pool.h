/* SPDX-License-Identifier: MIT */
/*
 * Jobs for pools: how each bears its number, whoever carries it, and the rows of duplex. A job begins
 * and ends with a digit of its number, so that it fits into a line and survives a filter that changes
 * letters. Results may come in any order: what they say together is looked at too.
 */
#ifndef DUPLEX_BENCH_POOL_H
#define DUPLEX_BENCH_POOL_H

#include "peers/peer.h"

static inline void job_stamp(char *bytes, size_t size, uint64_t number)
{
    bytes[0] = bytes[size - 1] = (char)('0' + number % 10);
}

static inline bool job_check(const char *bytes, size_t size, uint64_t number)
{
    return bytes[0] == (char)('0' + number % 10) && bytes[size - 1] == bytes[0];
}

/* What peer->argument points to. */
struct pool_setting {
    unsigned depth;
    bool socket_only;
    const char *program; /* a filter of lines; NULL: workers are a function, and messages native */
};

/* As struct peer has them. */
const char *pool_unavailable(const struct peer *peer, const struct task *task);
int pool_open(const struct peer *peer, const struct trial *trial, void **ret);
int pool_jobs(void *pool, size_t size, uint64_t count);
int pool_close(void *pool);

#endif
