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
    /* Results that are taken between two looks at all workers. */
    RESULTS_BLIND = 64,
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

static void fill(dx_pool *pool, struct dxi_job *job, dx_result *ret)
{
    const struct dxi_obituary *obituary = job->obituary;

    pool->lent = job;
    ret->job = job->number;
    ret->context = job->context;
    ret->error = job->error;
    ret->tries = job->tries;
    ret->worker = job->worker;
    ret->pid = job->pid;
    ret->message = job->answer;
    if (!ret->message.data)
        ret->message.data = "";
    ret->message.id = 0;
    ret->exit = obituary && obituary->has_exit ? &obituary->exit : NULL;
    ret->text = obituary ? obituary->text : job->error < 0 ? dx_error_text(job->error) : "";
    ret->wait_us = ret->run_us = 0;
    if (job->given_ns > 0) {
        ret->wait_us = (job->given_ns - job->submitted_ns) / 1000;
        ret->run_us = (job->ended_ns - job->given_ns) / 1000;
    }
}

/* With results always at hand nobody would see the rest. */
static int look_around(dx_pool *pool)
{
    pool->results_blind = 0;
    dxi_pool_tick(pool);
    if (pool->timer_ns <= pool->now_ns)
        dxi_pool_tend(pool);
    return dxi_pool_watch(pool, 0);
}

int dx_pool_next(dx_pool *pool, dx_result *ret, int timeout_ms)
{
    uint64_t deadline = UINT64_MAX;
    bool started = timeout_ms < 0;
    int error = dxi_pool_check(pool);

    if (error < 0)
        return error;
    if (!ret)
        return dxi_fail(&pool->last, -EINVAL, "dx_pool_next() needs a result to fill");
    end_loan(pool);
    if (++pool->results_blind >= RESULTS_BLIND && (error = look_around(pool)) < 0)
        return error;
    if (dxi_pool_can_give(pool))
        dxi_pool_give(pool);
    for (;;) {
        struct dxi_job *job = dxi_job_next_result(pool);

        if (job) {
            fill(pool, job, ret);
            return 1;
        }
        if (pool->unfinished == 0)
            return pool->state == DXI_POOL_FAILED ? -ECONNABORTED : 0;
        if (!started) {
            deadline = dxi_deadline(timeout_ms);
        } else if (deadline != UINT64_MAX && dxi_os->now_ns() >= deadline) {
            return dxi_fail(&pool->last, -ETIMEDOUT, "no job has ended until the deadline");
        }
        started = true;
        error = dxi_pool_turn(pool, deadline, true);
        if (error < 0)
            return error;
    }
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
