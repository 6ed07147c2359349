/* SPDX-License-Identifier: MIT */
/*
 * Results to the user, by a wait here or from an event loop.
 */
#include "pool/pool.h"

#include "channel/channel.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

enum {
    /* Results that are taken between two looks at the clock. */
    RESULTS_BLIND = 64,
    /* And as long at least between two looks at all workers, which cost as much as some jobs. */
    LOOK_NS = 50 * 1000,
    /* Turns of one dx_pool_process(): others have something to do, too. */
    TURNS_MAX = 64,
};

/* What was lent ends here. */
static void end_loan(dx_pool *pool)
{
    if (pool->lent)
        dxi_job_drop(pool, pool->lent);
    pool->lent = NULL;
}

/* All but the answer, and why there is none. */
static void fill_books(const struct dxi_job *job, dx_result *ret)
{
    ret->job = job->number;
    ret->context = job->at.context;
    ret->error = job->error;
    ret->tries = job->at.tries;
    ret->worker = job->at.worker;
    ret->pid = job->at.pid;
    ret->wait_us = ret->run_us = 0;
    if (job->at.given_ns > 0) {
        ret->wait_us = (job->at.given_ns - job->submitted_ns) / 1000;
        ret->run_us = (job->ended_ns - job->at.given_ns) / 1000;
    }
}

/* Who reads -EPIPE finds an exit, also when there was no memory to keep it. */
static const dx_exit *exit_of(const struct dxi_job *job)
{
    static const dx_exit unknown = {.text = "ended; how is not known any more"};
    const struct dxi_obituary *obituary = job->obituary;

    if (obituary && obituary->has_exit)
        return &obituary->exit;
    return job->error == -EPIPE ? &unknown : NULL;
}

static void fill(dx_pool *pool, struct dxi_job *job, dx_result *ret)
{
    const struct dxi_obituary *obituary = job->obituary;

    fill_books(job, ret);
    ret->message = job->answer;
    if (!ret->message.data)
        ret->message.data = "";
    ret->message.id = 0;
    ret->exit = exit_of(job);
    ret->text = obituary ? obituary->text : job->error < 0 ? dx_error_text(job->error) : "";
    pool->lent = job;
}

/* The way of most results: lent at once, and never in a list. */
static bool next_quick(dx_pool *pool, dx_result *ret)
{
    struct dxi_job *job = dxi_pool_take_quick(pool, &ret->message);

    if (!job)
        return false;
    fill_books(job, ret);
    ret->message.id = 0;
    ret->exit = NULL;
    ret->text = "";
    pool->lent = job;
    return true;
}

/* With results always at hand nobody would see the rest. */
static int look_around(dx_pool *pool)
{
    pool->results_blind = 0;
    dxi_pool_tick(pool);
    if (pool->timer_ns <= pool->now_ns)
        dxi_pool_tend(pool);
    return pool->now_ns - pool->watched_ns < LOOK_NS ? 0 : dxi_pool_watch(pool, 0);
}

/* Wait for a result. 1; 0 if none will come; or an error. */
static int wait_for_result(dx_pool *pool, struct dxi_job **ret, int timeout_ms)
{
    uint64_t deadline = dxi_deadline(timeout_ms);
    bool last = timeout_ms == DX_NOW;

    while (pool->unfinished > 0) {
        int error = dxi_pool_turn(pool, deadline, true);

        *ret = dxi_job_next_result(pool);
        if (*ret || error < 0)
            return *ret ? 1 : error;
        if (last) {
            /* What the last turn found by its wait is still to be taken. */
            error = dxi_pool_turn(pool, 0, true);
            *ret = dxi_job_next_result(pool);
            if (*ret || error < 0)
                return *ret ? 1 : error;
            return dxi_fail(&pool->last, -ETIMEDOUT, "no job has ended until the deadline");
        }
        last = deadline != UINT64_MAX && dxi_os->now_ns() >= deadline;
    }
    /* Those that are to leave are looked after once more. */
    if (pool->state != DXI_POOL_OPEN && pool->live > 0)
        (void)dxi_pool_turn(pool, 0, true);
    return pool->state == DXI_POOL_FAILED ? -ECONNABORTED : 0;
}

int dx_pool_next(dx_pool *pool, dx_result *ret, int timeout_ms)
{
    struct dxi_job *job = NULL;
    int status = dxi_pool_check(pool);

    if (status < 0)
        return status;
    if (!ret)
        return dxi_fail(&pool->last, -EINVAL, "dx_pool_next() needs a result to fill");
    end_loan(pool);
    if (++pool->results_blind >= RESULTS_BLIND && (status = look_around(pool)) < 0)
        return status;
    if (dxi_pool_can_give(pool))
        dxi_pool_give(pool);
    if (!pool->options.ordered && !pool->finished.first && next_quick(pool, ret))
        return 1;
    if (dxi_pool_has_news(pool) || dxi_pool_take_at_once(pool))
        job = dxi_job_next_result(pool);
    if (!job) {
        status = wait_for_result(pool, &job, timeout_ms);
        if (status != 1)
            return status;
    }
    fill(pool, job, ret);
    return 1;
}

int dx_pool_fd(const dx_pool *pool)
{
    int error = dxi_pool_check(pool);

    return error < 0 ? error : pool->watch_fd;
}

int dx_pool_events(const dx_pool *pool)
{
    int error = dxi_pool_check(pool);

    return error < 0 ? error : POLLIN;
}

int dx_pool_timeout_ms(dx_pool *pool)
{
    int error = dxi_pool_check(pool);
    uint64_t until;

    if (error < 0)
        return error;
    if (dxi_pool_has_news(pool))
        return 0;
    /* Who goes to sleep withholds nothing. */
    pool->prompt = 0;
    if (dxi_pool_can_give(pool))
        dxi_pool_give(pool);
    until = dxi_pool_settle(pool);
    if (until == UINT64_MAX)
        return DX_FOREVER;
    uint64_t left = until > pool->now_ns ? (until - pool->now_ns + 999999) / DXI_NS_PER_MS : 0;

    return left < INT_MAX ? (int)left : INT_MAX;
}

int dx_pool_process(dx_pool *pool)
{
    int error = dxi_pool_check(pool);

    if (error < 0)
        return error;
    end_loan(pool);
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        uint64_t taken = pool->counts.done + pool->counts.failed;

        if (dxi_pool_watch(pool, 0) < 0 || dxi_pool_turn(pool, 0, false) < 0)
            break;
        if (pool->counts.done + pool->counts.failed == taken)
            break;
    }
    return dxi_pool_has_news(pool) ? 1 : 0;
}
