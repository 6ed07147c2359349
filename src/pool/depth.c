/* SPDX-License-Identifier: MIT */
/*
 * How many jobs a worker is given at a time where that is to be found out: as many as it does while one
 * is on its way. What a job takes is the time of all who are busy by the jobs that were answered in it.
 */
#include "pool/pool.h"

enum {
    /* The way to a worker and back: four of our longest naps, see spin.c. */
    WAY_NS = 800 * 1000,
    /* An estimate is made anew after so long and so many. */
    ADAPT_NS = 1000 * 1000,
    ADAPT_JOBS = 64,
};

void dxi_pool_note_busy(dx_pool *pool, int change)
{
    if (pool->now_ns > pool->busy_since_ns)
        pool->busy_ns += (pool->now_ns - pool->busy_since_ns) * pool->busy;
    pool->busy_since_ns = pool->now_ns;
    pool->busy = (unsigned)((int)pool->busy + change);
}

void dxi_pool_adapt(dx_pool *pool)
{
    uint64_t service;

    dxi_pool_note_busy(pool, 0);
    if (pool->busy_ns < ADAPT_NS && pool->busy_jobs < ADAPT_JOBS)
        return;
    service = pool->busy_ns / (pool->busy_jobs > 0 ? pool->busy_jobs : 1);
    if (pool->busy_jobs == 0) {
        /* It will be this at least, once there is an answer. */
        if (service <= pool->service_ns)
            return;
        pool->service_ns = service;
    } else {
        pool->service_ns = pool->service_ns == 0 ? service : (pool->service_ns + service) / 2;
        pool->busy_ns = pool->busy_jobs = 0;
    }
    uint64_t depth = 1 + WAY_NS / (pool->service_ns > 0 ? pool->service_ns : 1);

    pool->depth = depth < DXI_DEPTH_AUTO_MAX ? (unsigned)depth : DXI_DEPTH_AUTO_MAX;
}
