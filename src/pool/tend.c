/* SPDX-License-Identifier: MIT */
/*
 * Looking after the workers: how many there are to be, who is late, who has been there long enough,
 * and when it is better to give up.
 */
#include "pool/pool.h"

#include "channel/channel.h"

#include <errno.h>
#include <stdio.h>

enum {
    SIZE_LOOK_MS = 100,
    /* The default of restart_limit: so many, and the workers; and how much more once one answered. */
    RESTARTS_MIN = 10,
    RESTARTS_PROVEN = 10,
};

static uint64_t milliseconds(int value)
{
    return (uint64_t)value * DXI_NS_PER_MS;
}

/* Whether each job that is left is with a worker, and no other will come. */
static bool has_given_all(const dx_pool *pool)
{
    return pool->state == DXI_POOL_DRAINING && !pool->queue.first && !pool->suspects.first;
}

/* How many workers there are to be. */
static size_t wanted(const dx_pool *pool)
{
    size_t count = pool->unfinished;

    if (pool->state > DXI_POOL_DRAINING)
        return 0;
    /* A cancelled job keeps its worker from others, if there will be any. */
    if (!has_given_all(pool))
        count += pool->dropped;
    if (pool->state == DXI_POOL_OPEN && count < pool->options.workers_min)
        count = pool->options.workers_min;
    return count < pool->options.workers ? count : pool->options.workers;
}

/* How many there are that stay. */
static unsigned staying(const dx_pool *pool)
{
    return pool->live - pool->leaving;
}

void dxi_pool_consider_growth(dx_pool *pool)
{
    if (staying(pool) < wanted(pool))
        dxi_pool_due(pool, pool->start_ns);
}

void dxi_pool_fail(dx_pool *pool, const char *text)
{
    dxi_fail(&pool->last, -ECONNABORTED, "%s", text);
    pool->state = DXI_POOL_FAILED;
    for (unsigned i = 0; i < pool->options.workers; i++) {
        struct dxi_worker *worker = &pool->workers[i];

        if (worker->stage != DXI_STAGE_EMPTY)
            dxi_worker_kill(pool, worker, DXI_REASON_CLOSE, "the pool has ended");
        while (worker->jobs.first) {
            struct dxi_job *job = worker->jobs.first;

            dxi_jobs_remove(&worker->jobs, job);
            dxi_worker_release(pool, worker);
            if (job->at.dropped)
                dxi_job_drop_standing(pool, job);
            else
                dxi_job_fail(pool, job, -ECONNABORTED, NULL, text);
        }
    }
    struct dxi_jobs *lists[] = {&pool->suspects, &pool->queue};

    for (int i = 0; i < 2; i++) {
        while (lists[i]->first) {
            struct dxi_job *job = lists[i]->first;

            dxi_jobs_remove(lists[i], job);
            dxi_job_fail(pool, job, -ECONNABORTED, NULL, text);
        }
    }
}

/* How many may end in a row. */
static unsigned limit(const dx_pool *pool)
{
    if (pool->options.restart_limit > 0)
        return pool->options.restart_limit;
    return (RESTARTS_MIN + pool->options.workers) * (pool->proven ? RESTARTS_PROVEN : 1);
}

static void give_up(dx_pool *pool, const char *text)
{
    dx_failure story;

    dxi_fail(&story, -ECONNABORTED,
             "%u workers in a row ended without having answered anything; of the last: %s",
             pool->fruitless, text);
    dxi_pool_fail(pool, story.text);
}

void dxi_pool_note_fruitless(dx_pool *pool, struct dxi_worker *worker, bool started,
                             const char *text)
{
    uint64_t now = dxi_os->now_ns();
    uint64_t most = milliseconds(pool->options.backoff_max_ms);

    worker->backoff_ns =
        worker->backoff_ns == 0 ? milliseconds(pool->options.backoff_ms) : worker->backoff_ns * 2;
    if (worker->backoff_ns > most)
        worker->backoff_ns = most;
    worker->start_ns = now + worker->backoff_ns;
    if (now - pool->fruitless_ns > milliseconds(pool->options.restart_window_ms))
        pool->fruitless = 0;
    pool->fruitless_ns = now;
    pool->fruitless++;
    if (pool->state > DXI_POOL_DRAINING)
        return;
    if (started)
        dxi_fail(&pool->last, -EPIPE, "a worker ended without having answered anything: %s", text);
    if (pool->fruitless > limit(pool) && (started || pool->ready == 0))
        give_up(pool, text);
}

/* Fill a place. One at a time: it takes long enough to look for answers in between. */
static void start(dx_pool *pool, struct dxi_worker *worker)
{
    int error = dxi_worker_start(pool, worker);

    if (error < 0) {
        char text[DX_TEXT_SIZE];

        snprintf(text, sizeof(text), "%s", pool->last.text);
        dxi_pool_note_fruitless(pool, worker, false, text);
    }
}

/* How long the oldest job of a worker may take; 0: as long as it likes. */
static uint64_t time_of_head(const dx_pool *pool, const struct dxi_worker *worker)
{
    const struct dxi_job *job = worker->jobs.first;
    int timeout_ms = job->at.timeout_ms != 0 ? job->at.timeout_ms : pool->options.job_timeout_ms;

    if (job->at.dropped)
        timeout_ms = pool->options.cancel_grace_ms;
    return timeout_ms > 0 ? milliseconds(timeout_ms) : 0;
}

void dxi_worker_stamp(dx_pool *pool, struct dxi_worker *worker)
{
    if (!worker->jobs.first) {
        if (worker->idle_since_ns != 0)
            return;
        worker->idle_since_ns = pool->now_ns;
        if (pool->state == DXI_POOL_DRAINING)
            dxi_pool_due(pool, pool->now_ns);
        else if (staying(pool) > pool->options.workers_min)
            dxi_pool_due(pool, pool->now_ns + milliseconds(pool->options.idle_ms));
        return;
    }
    if (worker->head_since_ns != 0)
        return;
    worker->head_since_ns = pool->now_ns;
    uint64_t time = time_of_head(pool, worker);

    if (time > 0)
        dxi_pool_due(pool, pool->now_ns + time);
}

/* The sentence has a place for the milliseconds. */
__attribute__((format(printf, 4, 0))) static void kill_late(dx_pool *pool,
                                                            struct dxi_worker *worker,
                                                            enum dxi_reason reason,
                                                            const char *sentence, unsigned time_ms)
{
    dx_failure story;

    dxi_fail(&story, -ETIMEDOUT, sentence, time_ms);
    dxi_worker_kill(pool, worker, reason, story.text);
}

static void tend_head(dx_pool *pool, struct dxi_worker *worker)
{
    uint64_t time = time_of_head(pool, worker);
    bool muted = dxi_worker_muted(pool, worker);

    dxi_worker_stamp(pool, worker);
    if (time == 0)
        return;
    /* It may have answered, and nobody listens, or has only just begun to. */
    if (muted || worker->kept_waiting)
        worker->head_since_ns = pool->now_ns;
    worker->kept_waiting = muted;
    if (worker->head_since_ns + time > pool->now_ns)
        dxi_pool_due(pool, worker->head_since_ns + time);
    else if (worker->jobs.first->at.dropped)
        dxi_worker_kill(pool, worker, DXI_REASON_CANCEL, "its job was cancelled");
    else
        kill_late(pool, worker, DXI_REASON_LATE, "the job took longer than %u ms",
                  (unsigned)(time / DXI_NS_PER_MS));
}

static bool is_too_large(dx_pool *pool, struct dxi_worker *worker)
{
    uint64_t size;

    if (pool->options.recycle_bytes == 0 || worker->answered == 0 ||
        pool->now_ns - worker->size_looked_ns < milliseconds(SIZE_LOOK_MS))
        return false;
    worker->size_looked_ns = pool->now_ns;
    return dxi_os->resident(dx_process_pid(worker->process), &size) == 0 &&
           size > pool->options.recycle_bytes;
}

/* A worker without a job. */
static void tend_idle(dx_pool *pool, struct dxi_worker *worker)
{
    dxi_worker_stamp(pool, worker);
    if (has_given_all(pool) && staying(pool) > wanted(pool)) {
        dxi_worker_leave(pool, worker, DXI_REASON_LEAVE);
        return;
    }
    if (staying(pool) <= pool->options.workers_min || staying(pool) <= wanted(pool))
        return;
    uint64_t end = worker->idle_since_ns + milliseconds(pool->options.idle_ms);

    if (end > pool->now_ns)
        dxi_pool_due(pool, end);
    else
        dxi_worker_leave(pool, worker, DXI_REASON_LEAVE);
}

static void tend_ready(dx_pool *pool, struct dxi_worker *worker)
{
    if (worker->pause_ns > 0) {
        if (worker->pause_ns > pool->now_ns) {
            dxi_pool_due(pool, worker->pause_ns);
        } else {
            worker->pause_ns = 0;
            worker->clogged = false;
            dxi_worker_sort(pool, worker);
            /* The rest of a job may wait to leave, and its room was not to be told of. */
            if (!worker->awake)
                dxi_worker_wake(pool, worker);
        }
    }
    if (worker->jobs.first)
        tend_head(pool, worker);
    else
        tend_idle(pool, worker);
    if (worker->stage != DXI_STAGE_READY || worker->worn || pool->options.recycle_bytes == 0)
        return;
    if (is_too_large(pool, worker))
        dxi_worker_wear_out(pool, worker);
    else
        dxi_pool_due(pool, pool->now_ns + milliseconds(SIZE_LOOK_MS));
}

/* What could not be sent to it is tried again, as if it had asked for that. */
static void tend_refused(dx_pool *pool, struct dxi_worker *worker)
{
    if (worker->retry_ns > pool->now_ns) {
        dxi_pool_due(pool, worker->retry_ns);
        return;
    }
    worker->retry_ns = 0;
    worker->noticed = true;
    dxi_worker_wake(pool, worker);
}

static void tend(dx_pool *pool, struct dxi_worker *worker)
{
    dxi_worker_pass_held(pool, worker);
    if (worker->stage != DXI_STAGE_EMPTY && worker->watched[DXI_SOURCE_DEATH] == 0)
        dxi_worker_bury(pool, worker);
    if (worker->retry_ns > 0)
        tend_refused(pool, worker);
    switch (worker->stage) {
    case DXI_STAGE_EMPTY:
        break;
    case DXI_STAGE_STARTING:
        if (worker->until_ns > pool->now_ns)
            dxi_pool_due(pool, worker->until_ns);
        else
            kill_late(pool, worker, DXI_REASON_UNREADY, "the worker was not ready within %u ms",
                      (unsigned)pool->options.ready_timeout_ms);
        break;
    case DXI_STAGE_READY:
        tend_ready(pool, worker);
        break;
    case DXI_STAGE_ENDING:
        dxi_worker_say_end(pool, worker);
        /* fall through */
    default:
        if (worker->until_ns > pool->now_ns)
            dxi_pool_due(pool, worker->until_ns);
        else
            dxi_worker_press(pool, worker);
        break;
    }
}

/* Fill one place that may be filled, if another worker is wanted; and note when the next may be. */
static void fill_places(dx_pool *pool)
{
    bool started = false;

    pool->start_ns = UINT64_MAX;
    for (unsigned i = 0; i < pool->options.workers; i++) {
        struct dxi_worker *worker = &pool->workers[i];

        if (worker->stage != DXI_STAGE_EMPTY)
            continue;
        if (!started && worker->start_ns <= pool->now_ns && staying(pool) < wanted(pool)) {
            started = true;
            start(pool, worker);
        }
        if (worker->stage == DXI_STAGE_EMPTY && worker->start_ns < pool->start_ns)
            pool->start_ns = worker->start_ns;
    }
    dxi_pool_consider_growth(pool);
}

void dxi_pool_tend(dx_pool *pool)
{
    if (pool->timer_ns > pool->now_ns)
        return;
    pool->timer_ns = UINT64_MAX;
    for (unsigned i = 0; i < pool->options.workers; i++)
        tend(pool, &pool->workers[i]);
    fill_places(pool);
}
