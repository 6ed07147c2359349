/* SPDX-License-Identifier: MIT */
/*
 * A pool opened, drained, closed.
 */
#include "pool/pool.h"

#include "channel/channel.h"
#include "process/process.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static void release_pool(dx_pool *pool)
{
    if (pool->workers) {
        for (unsigned i = 0; i < pool->options.workers; i++)
            dxi_os->release(pool->workers[i].held);
    }
    dxi_pool_drop_options(pool);
    dxi_jobs_free(pool);
    dxi_os->release(pool->workers);
    dxi_os->release(pool->loads);
    if (pool->watch_fd >= 0)
        dxi_os->close(pool->watch_fd);
    dxi_os->release(pool);
}

static void *allocate_zero(size_t size)
{
    void *memory = dxi_os->allocate(size);

    if (memory)
        memset(memory, 0, size);
    return memory;
}

static int make_places(dx_pool *pool)
{
    size_t workers_size = pool->options.workers * sizeof(*pool->workers);

    pool->workers = allocate_zero(workers_size);
    pool->loads = allocate_zero((pool->depth_most + 1) * sizeof(struct dxi_worker *));
    if (!pool->workers || !pool->loads)
        return -ENOMEM;
    for (unsigned i = 0; i < pool->options.workers; i++) {
        pool->workers[i].place = i;
        for (int source = 0; source < 4; source++)
            pool->workers[i].fds[source] = -1;
    }
    pool->watch_fd = dxi_os->watch_open();
    return pool->watch_fd < 0 ? pool->watch_fd : 0;
}

/* The first worker is started here, so that a program that cannot run is told at once. */
static int open_pool(dx_pool **ret, dx_pool *pool, char *const argv[],
                     const dx_pool_options *options)
{
    dx_failure *failure = options ? options->failure : NULL;
    int error;

    pool->watch_fd = -1;
    pool->generation = dxi_generation();
    pool->generation_mark = dxi_generation_mark();
    error = dxi_pool_take_options(pool, argv, options);
    if (error < 0)
        return error;
    error = make_places(pool);
    if (error < 0)
        return dxi_fail(failure, error, "cannot make a pool of %u workers: %s",
                        pool->options.workers, dx_error_text(error));
    dxi_pool_tick(pool);
    pool->timer_ns = 0;
    error = dxi_worker_start(pool, &pool->workers[0]);
    if (error < 0)
        return dxi_fail(failure, error, "%s", pool->last.text);
    *ret = pool;
    return 0;
}

static int open_checked(dx_pool **ret, char *const argv[],
                        int (*worker)(dx_channel *parent, void *context), void *context,
                        const dx_pool_options *options)
{
    dx_pool *pool = allocate_zero(sizeof(*pool));
    int error;

    if (!pool)
        return dxi_fail(options ? options->failure : NULL, -ENOMEM, "%s", dx_error_text(-ENOMEM));
    pool->function = worker;
    pool->context = context;
    error = open_pool(ret, pool, argv, options);
    if (error < 0)
        release_pool(pool);
    return error;
}

int dx_pool_open(dx_pool **ret, char *const argv[], const dx_pool_options *options)
{
    if (!ret || !argv || !argv[0])
        return dxi_fail(options ? options->failure : NULL, -EINVAL,
                        "dx_pool_open() needs a program and a place for the pool");
    return open_checked(ret, argv, NULL, NULL, options);
}

int dx_pool_open_function(dx_pool **ret, int (*worker)(dx_channel *parent, void *context),
                          void *context, const dx_pool_options *options)
{
    if (!ret || !worker)
        return dxi_fail(options ? options->failure : NULL, -EINVAL,
                        "dx_pool_open_function() needs a function and a place for the pool");
    return open_checked(ret, NULL, worker, context, options);
}

int dx_pool_drain(dx_pool *pool)
{
    int error = dxi_pool_check(pool);

    if (error < 0)
        return error;
    if (pool->state == DXI_POOL_OPEN)
        pool->state = DXI_POOL_DRAINING;
    dxi_pool_due(pool, 0);
    return 0;
}

/* Ask each worker to leave by what it understands soonest. */
static void send_away(dx_pool *pool, struct dxi_worker *worker)
{
    switch (worker->stage) {
    case DXI_STAGE_EMPTY:
        break;
    case DXI_STAGE_STARTING:
    case DXI_STAGE_READY:
        if (worker->jobs.count == 0) {
            dxi_worker_leave(pool, worker, DXI_REASON_CLOSE);
            break;
        }
        (void)dxi_channel_end_now(worker->channel);
        dxi_worker_press(pool, worker);
        break;
    default:
        break;
    }
}

static void stop_listening(dx_pool *pool, struct dxi_worker *worker)
{
    if (worker->stage == DXI_STAGE_EMPTY)
        return;
    (void)dxi_worker_watch(pool, worker, DXI_SOURCE_READ, 0);
    if (worker->fds[DXI_SOURCE_WRITE] >= 0)
        (void)dxi_worker_watch(pool, worker, DXI_SOURCE_WRITE, 0);
}

/* When the system has refused to wait for the workers' ends, it is asked again after this. */
enum { WATCH_AGAIN_MS = 1 };

static void stop_workers(dx_pool *pool)
{
    for (unsigned i = 0; i < pool->options.workers; i++)
        send_away(pool, &pool->workers[i]);
    for (;;) {
        dxi_pool_tick(pool);
        dxi_pool_tend(pool);
        if (pool->live <= pool->hopeless)
            break;
        /* Nobody listens any more, so only the ends are waited for. */
        for (unsigned i = 0; i < pool->options.workers; i++)
            stop_listening(pool, &pool->workers[i]);
        /* Refused for a moment; if for good, each worker's time runs out all the same. */
        if (dxi_pool_watch(pool, pool->timer_ns) < 0)
            dxi_os->poll(NULL, 0, dxi_deadline(WATCH_AGAIN_MS));
    }
}

static void drop_list(dx_pool *pool, struct dxi_jobs *jobs)
{
    while (jobs->first) {
        struct dxi_job *job = jobs->first;

        dxi_jobs_remove(jobs, job);
        dxi_job_drop(pool, job);
    }
}

/* Results in order stand in no other list. */
static void drop_in_order(dx_pool *pool)
{
    while (pool->first_in_order) {
        struct dxi_job *job = pool->first_in_order;

        pool->first_in_order = job->at.later;
        if (job->at.state == DXI_JOB_FINISHED)
            dxi_job_drop(pool, job);
    }
}

dx_pool *dx_pool_close(dx_pool *pool)
{
    if (dxi_pool_check(pool) < 0)
        return NULL;
    pool->state = DXI_POOL_CLOSING;
    stop_workers(pool);
    drop_in_order(pool);
    /* Those that were not buried are beyond help: the kernel does not end them. */
    for (unsigned i = 0; i < pool->options.workers; i++) {
        struct dxi_worker *worker = &pool->workers[i];

        drop_list(pool, &worker->jobs);
        if (!worker->process)
            continue;
        if (worker->fds[DXI_SOURCE_STDERR] >= 0)
            dxi_os->close(worker->fds[DXI_SOURCE_STDERR]);
        dxi_process_abandon(worker->process);
    }
    if (pool->lent)
        dxi_job_drop(pool, pool->lent);
    drop_list(pool, &pool->queue);
    drop_list(pool, &pool->suspects);
    drop_list(pool, &pool->finished);
    release_pool(pool);
    return NULL;
}

const char *dx_pool_explain(const dx_pool *pool)
{
    int error = dxi_pool_check(pool);

    if (error < 0)
        return pool ? dx_error_text(error) : "there is no pool";
    return pool->last.text;
}
