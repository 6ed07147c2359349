/* SPDX-License-Identifier: MIT */
/*
 * The turn of a pool, and how it sleeps. What it does before a sleep is in spin.c.
 *
 * Workers that something may have come from are awake. Those that speak by the socket are told of by
 * the kernel; those of the fast lane must be looked at, or be asked for a wake-up before a sleep. So
 * before a sleep each worker that is awake is lulled, and a thousand that are silent cost nothing.
 */
#include "pool/pool.h"

#include "channel/channel.h"

#include <poll.h>
#include <string.h>

enum {
    /* Events taken from the kernel at once. */
    EVENTS_MAX = 64,
    /* Answers that are taken in a row from one worker. */
    TAKES_BLIND = 64,
};

void dxi_worker_wake(dx_pool *pool, struct dxi_worker *worker)
{
    if (worker->awake)
        return;
    worker->awake = true;
    worker->next_awake = NULL;
    worker->previous_awake = pool->last_awake;
    if (pool->last_awake)
        pool->last_awake->next_awake = worker;
    else
        pool->first_awake = worker;
    pool->last_awake = worker;
}

void dxi_worker_lull(dx_pool *pool, struct dxi_worker *worker)
{
    if (!worker->awake)
        return;
    worker->awake = false;
    if (worker->previous_awake)
        worker->previous_awake->next_awake = worker->next_awake;
    else
        pool->first_awake = worker->next_awake;
    if (worker->next_awake)
        worker->next_awake->previous_awake = worker->previous_awake;
    else
        pool->last_awake = worker->previous_awake;
}

void dxi_pool_tick(dx_pool *pool)
{
    pool->now_ns = dxi_os->now_ns();
    for (struct dxi_worker *worker = pool->first_awake; worker; worker = worker->next_awake) {
        if (worker->stage == DXI_STAGE_READY)
            dxi_worker_stamp(pool, worker);
    }
    if (pool->options.depth == DX_DEPTH_AUTO)
        dxi_pool_adapt(pool);
}

/* Which worker, who in its place, and what of it. */
static uint64_t key_of(const struct dxi_worker *worker, enum dxi_source source)
{
    return (uint64_t)worker->generation << 32 | (uint64_t)worker->place << 2 | (uint64_t)source;
}

int dxi_worker_watch(dx_pool *pool, struct dxi_worker *worker, enum dxi_source source,
                     unsigned events)
{
    int error;

    if (events == worker->watched[source])
        return 0;
    error = dxi_os->watch(pool->watch_fd, worker->fds[source], worker->watched[source], events,
                          key_of(worker, source));
    if (error == 0)
        worker->watched[source] = events;
    return error;
}

int dxi_worker_watch_channel(dx_pool *pool, struct dxi_worker *worker)
{
    int events = dx_channel_events(worker->channel);
    int error;

    if (events < 0)
        return events;
    if (dxi_worker_muted(pool, worker))
        events = worker->hung_up ? 0 : events & ~POLLIN;
    if (worker->pause_ns > 0)
        events &= ~POLLOUT;
    if (worker->fds[DXI_SOURCE_WRITE] < 0)
        return dxi_worker_watch(pool, worker, DXI_SOURCE_READ, (unsigned)events);
    error = dxi_worker_watch(pool, worker, DXI_SOURCE_READ, (unsigned)events & POLLIN);
    /* A pipe is closed to say the end. */
    if (dx_channel_write_fd(worker->channel) < 0) {
        worker->fds[DXI_SOURCE_WRITE] = -1;
        worker->watched[DXI_SOURCE_WRITE] = 0;
    } else if (error == 0) {
        error = dxi_worker_watch(pool, worker, DXI_SOURCE_WRITE, (unsigned)events & POLLOUT);
    }
    return error;
}

/* Before a sleep. False: something has come meanwhile. */
static bool lull(dx_pool *pool, struct dxi_worker *worker)
{
    bool muted = dxi_worker_muted(pool, worker);
    int error;

    if (!dxi_worker_is_heard(worker)) {
        for (int source = DXI_SOURCE_READ; source <= DXI_SOURCE_WRITE; source++) {
            if (worker->fds[source] >= 0)
                (void)dxi_worker_watch(pool, worker, (enum dxi_source)source, 0);
        }
        dxi_worker_lull(pool, worker);
        return true;
    }
    dxi_worker_flush(pool, worker);
    worker->kept_waiting = worker->kept_waiting || muted;
    if (muted && worker->noticed) {
        /* It is not listened to, but what it waits for may go on its way. */
        worker->noticed = false;
        (void)dxi_channel_send_collected(worker->channel);
    }
    if (!muted && (worker->noticed || dx_channel_timeout_ms(worker->channel) == 0)) {
        worker->noticed = true;
        return false;
    }
    if (worker->retry_ns == 0 && dxi_channel_must_retry(worker->channel)) {
        worker->retry_ns = pool->now_ns + DXI_RETRY_MS * DXI_NS_PER_MS;
        dxi_pool_due(pool, worker->retry_ns);
    }
    error = dxi_worker_watch_channel(pool, worker);
    if (error < 0)
        dxi_worker_kill(pool, worker, DXI_REASON_UNSEEN, "the worker cannot be watched any more");
    /* Who is muted is looked at again when there is room. */
    if (!muted)
        dxi_worker_lull(pool, worker);
    return true;
}

uint64_t dxi_pool_settle(dx_pool *pool)
{
    bool calm = true;

    dxi_pool_tick(pool);
    for (struct dxi_worker *worker = pool->first_awake, *next; worker; worker = next) {
        next = worker->next_awake;
        if (!lull(pool, worker))
            calm = false;
    }
    return calm ? pool->timer_ns : 0;
}

/* True if it is news. */
static bool note_event(dx_pool *pool, const struct dxi_event *event)
{
    struct dxi_worker *worker = &pool->workers[(event->key & UINT32_MAX) >> 2];
    enum dxi_source source = (enum dxi_source)(event->key & 3);

    /* Another may have taken the place since. */
    if (worker->generation != (uint32_t)(event->key >> 32) || worker->stage == DXI_STAGE_EMPTY)
        return false;
    if (source == DXI_SOURCE_DEATH) {
        dxi_worker_bury(pool, worker);
        return true;
    }
    if (source == DXI_SOURCE_STDERR) {
        dxi_worker_hear_stderr(pool, worker, false);
        return false;
    }
    bool news = !worker->noticed;

    if ((event->events & (POLLHUP | POLLERR)) != 0)
        worker->hung_up = true;
    worker->noticed = true;
    dxi_worker_wake(pool, worker);
    return news;
}

int dxi_pool_watch(dx_pool *pool, uint64_t deadline_ns)
{
    struct dxi_event events[EVENTS_MAX];
    int count = dxi_os->watched(pool->watch_fd, events, EVENTS_MAX, deadline_ns);

    if (count < 0)
        return dxi_fail(&pool->last, count, "cannot wait for the workers: %s",
                        dx_error_text(count));
    pool->watched_ns = pool->now_ns;
    if (count > 0 || deadline_ns != 0)
        dxi_pool_tick(pool);
    int news = 0;

    for (int i = 0; i < count; i++)
        news += note_event(pool, &events[i]) ? 1 : 0;
    return news;
}

/* A worker that always has something does not keep the others waiting. */
static void count_streak(dx_pool *pool, struct dxi_worker *worker)
{
    if (pool->first_awake == pool->last_awake || ++worker->streak < TAKES_BLIND)
        return;
    worker->streak = 0;
    dxi_worker_lull(pool, worker);
    dxi_worker_wake(pool, worker);
}

struct dxi_job *dxi_pool_take_quick(dx_pool *pool, dx_message *ret_answer)
{
    struct dxi_worker *worker = pool->first_awake;

    for (; worker; worker = worker->next_awake) {
        struct dxi_job *job;

        if (worker->noticed || worker->stage != DXI_STAGE_READY)
            return NULL;
        job = dxi_worker_take_quick(pool, worker, ret_answer);
        if (job) {
            count_streak(pool, worker);
            return job;
        }
        worker->streak = 0;
        dxi_worker_flush(pool, worker);
    }
    return NULL;
}

/* Take what is there of one worker. True if there is a result for the user. */
static bool take_from(dx_pool *pool, struct dxi_worker *worker, bool lend, unsigned *takes)
{
    for (unsigned blind = 0; !dxi_worker_muted(pool, worker); blind++) {
        enum dxi_take taken = dxi_worker_take(pool, worker, lend);

        if (taken == DXI_TAKE_NOTHING || blind >= TAKES_BLIND)
            break;
        ++*takes;
        if (taken != DXI_TAKE_RESULT)
            continue;
        if (lend && dxi_pool_has_news(pool)) {
            count_streak(pool, worker);
            return true;
        }
        if (dxi_pool_can_give(pool))
            dxi_pool_give(pool);
        /* A job may have failed because it could not be given. */
        if (lend && dxi_pool_has_news(pool))
            return true;
    }
    worker->streak = 0;
    dxi_worker_flush(pool, worker);
    return false;
}

/* Take what is there of all. */
static bool take_round(dx_pool *pool, bool lend, unsigned *takes)
{
    for (struct dxi_worker *worker = pool->first_awake, *next; worker; worker = next) {
        next = worker->next_awake;
        if (take_from(pool, worker, lend, takes))
            return true;
    }
    return false;
}

bool dxi_pool_take_at_once(dx_pool *pool)
{
    unsigned takes = 0;

    return take_round(pool, true, &takes);
}

/* Wait for something to happen, until then. As dxi_pool_watch(). */
static int rest(dx_pool *pool, uint64_t deadline_ns, bool lend)
{
    uint64_t until = deadline_ns;

    if (dxi_pool_spare(pool) || (lend && dxi_pool_has_news(pool)) ||
        (until != 0 && dxi_pool_spin(pool, until)))
        return 0;
    dxi_pool_nap(pool, until);
    uint64_t calm = dxi_pool_settle(pool);

    if (calm < until)
        until = calm;
    return dxi_pool_watch(pool, until);
}

int dxi_pool_turn(dx_pool *pool, uint64_t deadline_ns, bool lend)
{
    unsigned takes = 0;

    if (take_round(pool, lend, &takes))
        return 0;
    if (dxi_pool_can_give(pool))
        dxi_pool_give(pool);
    dxi_pool_tick(pool);
    if (pool->timer_ns <= pool->now_ns) {
        dxi_pool_tend(pool);
        if (dxi_pool_can_give(pool))
            dxi_pool_give(pool);
    }
    int news = takes > 0 || (lend && dxi_pool_has_news(pool)) ? dxi_pool_watch(pool, 0)
                                                              : rest(pool, deadline_ns, lend);

    return news < 0 ? news : 0;
}
