/* SPDX-License-Identifier: MIT */
/*
 * Giving out jobs: to the worker that has the fewest, so that nobody waits behind others while
 * somebody has nothing to do.
 *
 * Suspects are jobs that lay with a worker when it died, together with others. One worker is kept for
 * them, which gets one at a time: if that dies too, it is known of what.
 */
#include "pool/pool.h"

#include "channel/channel.h"

#include <errno.h>
#include <string.h>

enum {
    /* What there is no memory or descriptor for is tried again so often. */
    PAUSE_NS = 10 * 1000 * 1000,
};

static bool is_open(const dx_pool *pool, const struct dxi_worker *worker)
{
    return worker->stage == DXI_STAGE_READY && !worker->clogged && !worker->alone &&
           !worker->worn && worker->jobs.count < pool->depth_most &&
           worker->jobs.count < worker->most;
}

static void take_out(dx_pool *pool, struct dxi_worker *worker, size_t load)
{
    if (worker->previous)
        worker->previous->next = worker->next;
    else
        pool->loads[load] = worker->next;
    if (worker->next)
        worker->next->previous = worker->previous;
}

static void put_in(dx_pool *pool, struct dxi_worker *worker, size_t load)
{
    worker->previous = NULL;
    worker->next = pool->loads[load];
    if (worker->next)
        worker->next->previous = worker;
    pool->loads[load] = worker;
    if (load < pool->lowest)
        pool->lowest = (unsigned)load;
}

void dxi_worker_sort(dx_pool *pool, struct dxi_worker *worker)
{
    if (worker->open)
        take_out(pool, worker, worker->jobs.count);
    worker->open = is_open(pool, worker);
    if (worker->open)
        put_in(pool, worker, worker->jobs.count);
}

/* Whether it would have to be woken. */
static bool sleeps(const struct dxi_worker *worker)
{
    return !dxi_channel_hears_ring(worker->channel) ||
           dxi_channel_peer(worker->channel) == DXI_PEER_ASLEEP;
}

/* The first open worker that has so few jobs, or NULL. */
static struct dxi_worker *first_with(const dx_pool *pool, unsigned load)
{
    struct dxi_worker *worker = pool->loads[load];

    if (load > 0 || !dxi_pool_is_sparing(pool))
        return worker;
    while (worker && sleeps(worker))
        worker = worker->next;
    return worker;
}

/* The open worker with the fewest jobs, if it may have one more. */
static struct dxi_worker *choose(dx_pool *pool)
{
    while (pool->lowest < pool->depth && !pool->loads[pool->lowest])
        pool->lowest++;
    for (unsigned load = pool->lowest; load < pool->depth; load++) {
        struct dxi_worker *worker = first_with(pool, load);

        if (worker)
            return worker;
    }
    return NULL;
}

void dxi_worker_wear_out(dx_pool *pool, struct dxi_worker *worker)
{
    worker->worn = true;
    dxi_worker_sort(pool, worker);
    if (worker->jobs.count == 0)
        dxi_worker_leave(pool, worker, DXI_REASON_RECYCLE);
}

void dxi_worker_flush(dx_pool *pool, struct dxi_worker *worker)
{
    bool left = worker->unsent == 0 || dxi_channel_send_collected(worker->channel);

    worker->unsent = 0;
    if (left)
        return;
    worker->missed = true;
    /* Most have ended. One that only listens no more would keep its jobs for ever. */
    if (worker->stage == DXI_STAGE_READY)
        dxi_worker_leave(pool, worker, DXI_REASON_SILENT);
}

/* A job is with a worker now. */
static void entrust(dx_pool *pool, struct dxi_worker *worker, struct dxi_job *job)
{
    dxi_jobs_append(&worker->jobs, job);
    if (job->at.tries > 0)
        pool->counts.repeated++;
    job->at.tries++;
    job->at.state = DXI_JOB_GIVEN;
    job->at.worker = worker->place;
    job->at.pid = worker->pid;
    job->at.given_ns = pool->now_ns;
    worker->unsent++;
    /* Half of what it has it can always see. */
    if (worker->unsent > (worker->jobs.count - 1) / 2)
        dxi_worker_flush(pool, worker);
}

/* The same, and the books of a worker that has one more. */
static void enter(dx_pool *pool, struct dxi_worker *worker, struct dxi_job *job)
{
    size_t load = worker->jobs.count;

    if (worker->open)
        take_out(pool, worker, load);
    worker->open = false;
    if (load == 0) {
        worker->head_since_ns = 0;
        dxi_pool_note_busy(pool, 1);
    }
    if (pool->options.recycle_jobs > 0 && worker->answered + load + 1 >= pool->options.recycle_jobs)
        worker->worn = true;
    entrust(pool, worker, job);
    worker->open = is_open(pool, worker);
    if (worker->open)
        put_in(pool, worker, load + 1);
    if (!worker->awake)
        dxi_worker_wake(pool, worker);
}

void dxi_worker_release(dx_pool *pool, struct dxi_worker *worker)
{
    if (worker->open)
        take_out(pool, worker, worker->jobs.count + 1);
    worker->open = false;
    if (worker->jobs.count == 0) {
        worker->idle_since_ns = 0;
        worker->has_suspect = false;
        dxi_pool_note_busy(pool, -1);
        if (worker->alone && worker != pool->reserved)
            worker->alone = false;
        if (worker->worn && worker->stage == DXI_STAGE_READY)
            dxi_worker_leave(pool, worker, DXI_REASON_RECYCLE);
    }
    worker->open = is_open(pool, worker);
    if (worker->open)
        put_in(pool, worker, worker->jobs.count);
}

/* Send a job's descriptors along. 0, and they are gone; or an error, and they are still there. */
static int post_descriptors(struct dxi_worker *worker, struct dxi_job *job, int *descriptors)
{
    const dx_message request = {
        .data = job->data.bytes,
        .size = job->data.size,
        .descriptors = descriptors,
        .descriptor_count = job->descriptor_count,
    };

    return dxi_channel_post(worker->channel, &request, (unsigned)worker->jobs.count, &job->request);
}

/* The same with copies, because the job may have to go to somebody else later. */
static int post_copies(struct dxi_worker *worker, struct dxi_job *job)
{
    int copies[DX_DESCRIPTORS_MAX];
    size_t count = 0;
    int error = 0;

    for (; count < job->descriptor_count && error >= 0; count++) {
        error = dxi_os->duplicate(job->descriptors[count], 3);
        copies[count] = error;
    }
    if (error >= 0)
        error = post_descriptors(worker, job, copies);
    for (size_t i = 0; i < count && error < 0; i++) {
        if (copies[i] >= 0)
            dxi_os->close(copies[i]);
    }
    return error;
}

static int post(dx_pool *pool, struct dxi_worker *worker, struct dxi_job *job)
{
    unsigned open = (unsigned)worker->jobs.count;
    int error;

    if (!job->at.rare || job->descriptor_count == 0) {
        const dx_message request = {.data = job->data.bytes, .size = job->data.size};

        return dxi_channel_post_quick(worker->channel, request.data, request.size, open,
                                      &job->request)
                   ? 0
                   : dxi_channel_post(worker->channel, &request, open, &job->request);
    }
    if (pool->keeps_descriptors)
        return post_copies(worker, job);
    error = post_descriptors(worker, job, job->descriptors);
    job->at.gone = error == 0;
    return error;
}

bool dxi_worker_refill(dx_pool *pool, struct dxi_worker *worker)
{
    struct dxi_job *job = pool->queue.first;
    size_t load = worker->jobs.count;

    /* Only where nothing else has to be thought of, and nobody has fewer. */
    if (load == 0 || load + 1 != pool->depth || pool->lowest < load || pool->suspects.first ||
        worker->stage != DXI_STAGE_READY || worker->alone || worker->worn || worker->clogged ||
        pool->options.recycle_jobs > 0 || !pool->has_ids || job->at.rare ||
        !dxi_channel_post_quick(worker->channel, job->data.bytes, job->data.size, (unsigned)load,
                                &job->request))
        return false;
    dxi_jobs_remove(&pool->queue, job);
    /* It was submitted long ago as processors count, and so was the one behind it. */
    if (job->next) {
        __builtin_prefetch(job->next->next);
        __builtin_prefetch(job->next->data.bytes);
        __builtin_prefetch(job->next->data.bytes + 64);
    }
    entrust(pool, worker, job);
    return true;
}

/* The job could not be given, and is in no list. False: it is to be kept for another. */
static bool refuse(dx_pool *pool, struct dxi_worker *worker, struct dxi_job *job, int error)
{
    dx_failure story;

    switch (error) {
    case -EBUSY:
        /* It takes fewer at a time than we would give; or none, and then it is no worker. */
        if (worker->jobs.count > 0) {
            worker->most = (unsigned)worker->jobs.count;
            break;
        }
        worker->clogged = true;
        break;
    case -ETIMEDOUT:
    case -EDEADLK:
        worker->clogged = true;
        break;
    case -ETOOMANYREFS:
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -ENOBUFS:
        /* No event tells when there is enough again. */
        worker->clogged = true;
        worker->pause_ns = dxi_os->now_ns() + PAUSE_NS;
        dxi_pool_due(pool, worker->pause_ns);
        break;
    case -EMSGSIZE:
    case -EINVAL:
    case -EBADF:
    case -EPERM:
        job->at.worker = worker->place;
        dxi_fail(&story, error, "it cannot be sent: %s", dx_channel_explain(worker->channel));
        dxi_job_fail(pool, job, error, NULL, story.text);
        return true;
    case -EOPNOTSUPP:
        dxi_fail(&story, error, "the worker takes no jobs: %s",
                 dx_channel_explain(worker->channel));
        dxi_worker_kill(pool, worker, DXI_REASON_FAULT, story.text);
        return false;
    case -EPROTO:
        /* The next look at it tells. */
        worker->clogged = true;
        worker->noticed = true;
        break;
    default:
        /* It takes nothing more. */
        if (worker->stage == DXI_STAGE_READY)
            dxi_worker_leave(pool, worker, DXI_REASON_SILENT);
        break;
    }
    dxi_worker_sort(pool, worker);
    if (!worker->awake)
        dxi_worker_wake(pool, worker);
    return false;
}

/*
 * Without ids an answer too many would be taken for the answer to the next job: so one that has come
 * is looked for first. With more than one job at a time there is no such moment.
 */
static bool is_quiet(dx_pool *pool, struct dxi_worker *worker)
{
    if (worker->jobs.count > 0)
        return true;
    if (pool->depth_most == 1)
        worker->noticed = true;
    while (worker->stage == DXI_STAGE_READY &&
           dxi_worker_take(pool, worker, false) == DXI_TAKE_OTHER)
        continue;
    return worker->stage == DXI_STAGE_READY && !worker->clogged;
}

/* What became of giving a job, which is in no list. */
enum giving { GIVEN, FAILED, REFUSED };

static enum giving give(dx_pool *pool, struct dxi_worker *worker, struct dxi_job *job)
{
    int error;

    if (!pool->has_ids && !is_quiet(pool, worker))
        return REFUSED;
    error = post(pool, worker, job);
    if (error == 0) {
        enter(pool, worker, job);
        return GIVEN;
    }
    return refuse(pool, worker, job, error) ? FAILED : REFUSED;
}

/* Give the first of a list to a worker. False: that worker does not take it, so look for another. */
static bool give_first(dx_pool *pool, struct dxi_worker *worker, struct dxi_jobs *jobs)
{
    struct dxi_job *job = jobs->first;

    dxi_jobs_remove(jobs, job);
    if (give(pool, worker, job) != REFUSED)
        return true;
    dxi_jobs_prepend(jobs, job);
    return false;
}

bool dxi_pool_give_at_once(dx_pool *pool, struct dxi_job *job)
{
    struct dxi_worker *worker;

    if (pool->queue.first || pool->suspects.first)
        return false;
    worker = choose(pool);
    return worker && give(pool, worker, job) != REFUSED;
}

/* Keep a worker for the suspects: the one that will have nothing else to do first. */
static void reserve(dx_pool *pool)
{
    unsigned load = 0;

    if (pool->reserved)
        return;
    while (load < pool->depth_most && !pool->loads[load])
        load++;
    if (load == pool->depth_most)
        return;
    pool->reserved = pool->loads[load];
    pool->reserved->alone = true;
    dxi_worker_sort(pool, pool->reserved);
}

static void give_suspects(dx_pool *pool)
{
    struct dxi_worker *worker = pool->reserved;

    /* Nobody waits for one that is busy with something else while another has nothing to do. */
    if (worker && worker->jobs.count > 0 && !worker->has_suspect && pool->loads[0]) {
        pool->reserved = NULL;
        worker->alone = false;
        dxi_worker_sort(pool, worker);
    }
    reserve(pool);
    worker = pool->reserved;
    if (!worker || worker->jobs.count > 0 || worker->clogged)
        return;
    if (worker->stage == DXI_STAGE_READY && give_first(pool, worker, &pool->suspects))
        worker->has_suspect = worker->jobs.count > 0;
}

/* The last suspect was given: its worker is open again as soon as it has answered. */
static void end_reservation(dx_pool *pool)
{
    struct dxi_worker *worker = pool->reserved;

    if (!worker)
        return;
    pool->reserved = NULL;
    if (worker->jobs.count > 0)
        return;
    worker->alone = false;
    dxi_worker_sort(pool, worker);
}

void dxi_pool_give(dx_pool *pool)
{
    struct dxi_worker *worker;

    if (pool->suspects.first)
        give_suspects(pool);
    if (!pool->suspects.first && pool->reserved)
        end_reservation(pool);
    while (pool->queue.first && (worker = choose(pool)) != NULL) {
        if (!give_first(pool, worker, &pool->queue) && worker->open)
            return;
    }
}
