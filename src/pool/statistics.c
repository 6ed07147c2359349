/* SPDX-License-Identifier: MIT */
/*
 * What a pool and its workers have done so far.
 */
#include "pool/pool.h"

#include <errno.h>
#include <string.h>

int dx_pool_statistics_get(const dx_pool *pool, dx_pool_statistics *ret)
{
    int error = dxi_pool_check(pool);

    if (error < 0 || !ret)
        return error < 0 ? error : -EINVAL;
    *ret = pool->counts;
    ret->queued = pool->queue.count + pool->suspects.count;
    ret->running = pool->unfinished - ret->queued;
    ret->waiting = pool->waiting;
    ret->workers = pool->live;
    ret->ready = pool->ready;
    ret->p50_ns = dxi_latency_at(&pool->latency, 500);
    ret->p99_ns = dxi_latency_at(&pool->latency, 990);
    ret->max_ns = pool->latency.most;
    return 0;
}

int dx_pool_worker_get(const dx_pool *pool, unsigned place, dx_worker_statistics *ret)
{
    int error = dxi_pool_check(pool);
    const struct dxi_worker *worker;

    if (error < 0 || !ret)
        return error < 0 ? error : -EINVAL;
    if (place >= pool->options.workers)
        return -ENOENT;
    worker = &pool->workers[place];
    memset(ret, 0, sizeof(*ret));
    if (worker->stage != DXI_STAGE_EMPTY) {
        ret->pid = dx_process_pid(worker->process);
        ret->lived_ms = (dxi_os->now_ns() - worker->started_ns) / DXI_NS_PER_MS;
    }
    ret->ready = worker->stage == DXI_STAGE_READY;
    ret->running = (unsigned)worker->jobs.count;
    ret->jobs = worker->answered_before + worker->answered;
    ret->starts = worker->starts;
    ret->last_exit = worker->last_exit;
    return 0;
}
