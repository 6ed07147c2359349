/* SPDX-License-Identifier: MIT */
/*
 * From the user into the queue, and out of it again before its time.
 */
#include "pool/pool.h"

#include "channel/channel.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Whether one more would be too many. */
static bool is_full(const dx_pool *pool, size_t size)
{
    if (pool->waiting >= pool->options.queue_limit ||
        pool->answer_bytes > pool->options.queue_bytes)
        return true;
    return pool->unfinished > 0 && (pool->unfinished >= pool->options.queue_limit ||
                                    pool->bytes > pool->options.queue_bytes ||
                                    size > pool->options.queue_bytes - pool->bytes);
}

static int check_state(dx_pool *pool)
{
    switch (pool->state) {
    case DXI_POOL_OPEN:
        return 0;
    case DXI_POOL_FAILED:
        return -ECONNABORTED;
    default:
        return dxi_fail(&pool->last, -ESHUTDOWN, "the pool is drained, and accepts no more jobs");
    }
}

/* Whether nothing makes room but the user, who takes results. */
static bool is_stuck(const dx_pool *pool)
{
    return dxi_pool_has_news(pool) && (pool->waiting >= pool->options.queue_limit ||
                                       pool->answer_bytes > pool->options.queue_bytes);
}

/* Wait until there is room. Results are kept meanwhile. */
static int wait_for_room(dx_pool *pool, size_t size, int timeout_ms)
{
    uint64_t deadline = dxi_deadline(timeout_ms);
    bool last = timeout_ms == DX_NOW;

    while (is_full(pool, size)) {
        int error;

        if (is_stuck(pool))
            return dxi_fail(&pool->last, -EDEADLK,
                            "%zu results wait to be taken, and there is no room for another job",
                            pool->waiting);
        error = dxi_pool_turn(pool, last ? 0 : deadline, false);
        if (error == 0)
            error = check_state(pool);
        if (error < 0)
            return error;
        if (last && is_full(pool, size) && !is_stuck(pool))
            return dxi_fail(&pool->last, -ETIMEDOUT, "the queue is full: %zu jobs",
                            pool->unfinished);
        last = deadline != UINT64_MAX && dxi_os->now_ns() >= deadline;
    }
    return 0;
}

/* The descriptors become the pool's. */
static int take_descriptors(struct dxi_job *made, const dx_job *job)
{
    size_t size = job->descriptor_count * sizeof(*made->descriptors);

    if (job->descriptor_count == 0)
        return 0;
    for (size_t i = 0; i < job->descriptor_count; i++) {
        struct dxi_nature nature;
        int error = dxi_os->examine(job->descriptors[i], &nature);

        if (error < 0)
            return error;
    }
    made->descriptors = dxi_os->allocate(size);
    if (!made->descriptors)
        return -ENOMEM;
    memcpy(made->descriptors, job->descriptors, size);
    made->descriptor_count = job->descriptor_count;
    made->at.rare = true;
    return 0;
}

static int check_job(dx_pool *pool, const dx_job *job)
{
    if (!job || (!job->data && job->size > 0) || (!job->descriptors && job->descriptor_count > 0))
        return dxi_fail(&pool->last, -EINVAL, "a job without its bytes or descriptors");
    if (job->size <= pool->plain_limit && job->descriptor_count == 0)
        return 0;
    return dxi_channel_check_job(&pool->options.process.channel, job->data, job->size,
                                 job->descriptor_count, &pool->last);
}

/* There is room for it, and it is the pool's now. */
static void accept_job(dx_pool *pool, struct dxi_job *made)
{
    /* Who has been doing something else meanwhile has not looked at the clock. */
    if (pool->unfinished == 0)
        dxi_pool_tick(pool);
    dxi_job_enter(pool, made);
    if (pool->live < pool->options.workers)
        dxi_pool_consider_growth(pool);
    if (dxi_pool_give_at_once(pool, made))
        return;
    made->at.state = DXI_JOB_QUEUED;
    dxi_jobs_append(&pool->queue, made);
    if (dxi_pool_can_give(pool))
        dxi_pool_give(pool);
}

/* The long way, with all that can be said about a job. */
static int submit(dx_pool *pool, const dx_job *job, uint64_t *ret_job, int timeout_ms)
{
    struct dxi_job *made;
    int error = check_state(pool);

    if (error == 0)
        error = check_job(pool, job);
    if (error < 0)
        return error;
    /* Copied first: what is submitted may be the last answer, which ends when another is taken. */
    made = dxi_job_make(pool, job->data, job->size);
    if (!made)
        return dxi_fail(&pool->last, -ENOMEM, "no memory for a job of %zu bytes", job->size);
    error = take_descriptors(made, job);
    if (error < 0)
        dxi_fail(&pool->last, error, "cannot take the job's descriptors: %s", dx_error_text(error));
    else if (is_full(pool, job->size))
        error = wait_for_room(pool, job->size, timeout_ms);
    if (error < 0) {
        made->descriptor_count = 0;
        dxi_job_drop(pool, made);
        return error;
    }
    made->at.timeout_ms = job->timeout_ms;
    made->at.context = job->context;
    for (size_t i = 0; i < job->descriptor_count; i++) {
        (void)dxi_os->set_cloexec(made->descriptors[i], true);
        job->descriptors[i] = -1;
    }
    accept_job(pool, made);
    if (ret_job)
        *ret_job = pool->last_number;
    return 0;
}

int dx_pool_submit_job(dx_pool *pool, const dx_job *job, uint64_t *ret_job, int timeout_ms)
{
    int error = dxi_pool_check(pool);

    return error < 0 ? error : submit(pool, job, ret_job, timeout_ms);
}

int dx_pool_submit(dx_pool *pool, const void *data, size_t size, uint64_t *ret_job, int timeout_ms)
{
    int error = dxi_pool_check(pool);

    if (error < 0)
        return error;
    /* As most are. */
    if (pool->state == DXI_POOL_OPEN && size <= pool->plain_limit && (data || size == 0) &&
        !is_full(pool, size)) {
        struct dxi_job *made = dxi_job_make(pool, data, size);

        if (made) {
            accept_job(pool, made);
            if (ret_job)
                *ret_job = pool->last_number;
            return 0;
        }
    }
    dx_job job = {.data = data, .size = size};

    return submit(pool, &job, ret_job, timeout_ms);
}

static struct dxi_job *find(const struct dxi_jobs *jobs, uint64_t number)
{
    struct dxi_job *job = jobs->first;

    while (job && (job->at.dropped || job->number != number))
        job = job->next;
    return job;
}

/* With a worker: another takes its place there, so that the books stay right. */
static int replace(dx_pool *pool, struct dxi_worker *worker, struct dxi_job *job)
{
    struct dxi_job *standing = dxi_job_make(pool, NULL, 0);

    if (!standing)
        return -ENOMEM;
    standing->at.dropped = true;
    standing->at.state = DXI_JOB_GIVEN;
    standing->request = job->request;
    standing->at.worker = worker->place;
    standing->previous = job->previous;
    standing->next = job->next;
    if (job->previous)
        job->previous->next = standing;
    else
        worker->jobs.first = standing;
    if (job->next)
        job->next->previous = standing;
    else
        worker->jobs.last = standing;
    pool->dropped++;
    /* From now on it has the grace of one that was cancelled. */
    if (!job->previous)
        worker->head_since_ns = 0;
    dxi_worker_wake(pool, worker);
    return 0;
}

int dx_pool_cancel(dx_pool *pool, uint64_t number)
{
    int error = dxi_pool_check(pool);
    struct dxi_job *job = NULL;

    if (error < 0)
        return error;
    struct dxi_jobs *lists[] = {&pool->queue, &pool->suspects};

    for (int i = 0; i < 2 && !job; i++) {
        job = find(lists[i], number);
        if (job)
            dxi_jobs_remove(lists[i], job);
    }
    for (unsigned i = 0; i < pool->options.workers && !job; i++) {
        job = find(&pool->workers[i].jobs, number);
        if (job)
            error = replace(pool, &pool->workers[i], job);
    }
    if (!job)
        return dxi_fail(&pool->last, -ENOENT, "no job %" PRIu64 " is queued or with a worker",
                        number);
    if (error < 0)
        return dxi_fail(&pool->last, error, "no memory to cancel a job");
    dxi_job_fail(pool, job, -ECANCELED, NULL, "the job was cancelled");
    return 0;
}
