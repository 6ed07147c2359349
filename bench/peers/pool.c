/* SPDX-License-Identifier: MIT */
/*
 * duplex: a pool of workers by dx_pool_open_function(), each in dx_work(), or by dx_pool_open()
 * of a filter of lines. The parent submits until its window is full, and takes results until half of
 * it is free again; all else is at its defaults. Nothing is counted before all workers are ready, and
 * have begun the fast lane where there is one.
 */
#include "peers/pool.h"

#include <duplex.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 512, SETTLE_JOBS = 64, SETTLE_S = 3, LOOK_EVERY = 256 };

/* In memory that the parent shares with its workers. */
struct board {
    atomic_uint fast; /* workers that are on the fast lane */
};

struct pool {
    const struct pool_setting *setting;
    const struct trial *trial;
    dx_pool *pool;
    struct board *board;
    char *job;
    uint64_t submitted, taken;
    uint64_t numbers; /* of the jobs that are open, added up */
    clockid_t clocks[POOL_WORKERS];
};

/* A worker's own. */
struct worker {
    struct board *board;
    bool fast;
    unsigned until_look;
};

static void look_at_lane(struct worker *worker, dx_channel *parent)
{
    bool fast = dx_channel_is_fast(parent) == 1;

    if (fast != worker->fast)
        atomic_fetch_add(&worker->board->fast, fast ? 1u : -1u);
    worker->fast = fast;
    worker->until_look = fast ? LOOK_EVERY : 1;
}

static int echo(dx_channel *parent, const dx_message *job, void *context)
{
    struct worker *worker = context;
    const char *bytes = job->data;

    if (--worker->until_look == 0)
        look_at_lane(worker, parent);
    if (bytes[0] != bytes[job->size - 1])
        return -EBADMSG;
    return dx_reply(parent, job->id, job->data, job->size, DX_FOREVER);
}

static int work(dx_channel *parent, void *context)
{
    struct worker worker = {.board = context, .until_look = 1};

    return dx_work(parent, echo, &worker);
}

const char *pool_unavailable(const struct peer *peer, const struct task *task)
{
    const struct pool_setting *setting = peer->argument;

    (void)task;
    if (setting->program && access(setting->program, X_OK) < 0)
        return "its worker is not where the benchmark was built";
    return NULL;
}

static int open_workers(struct pool *pool)
{
    const struct pool_setting *setting = pool->setting;
    char *const argv[] = {(char *)setting->program, NULL};
    dx_pool_options options = {
        .process = {.channel = {.socket_only = setting->socket_only}, .die_with_parent = true},
        .workers = placement_workers(pool->trial->task.placement),
        .depth = setting->depth,
    };

    if (!setting->program)
        return dx_pool_open_function(&pool->pool, work, pool->board, &options);
    options.process.channel.framing = DX_FRAMING_LINE;
    options.process.handover = DX_HANDOVER_STDIO;
    return dx_pool_open(&pool->pool, argv, &options);
}

static int submit(struct pool *pool, size_t size)
{
    int error;

    job_stamp(pool->job, size, pool->submitted + 1);
    error = dx_pool_submit(pool->pool, pool->job, size, NULL, DX_FOREVER);
    if (error == 0)
        pool->numbers += ++pool->submitted;
    return error;
}

static int take(struct pool *pool, size_t size)
{
    dx_result result;
    int got = dx_pool_next(pool->pool, &result, DX_FOREVER);

    if (got <= 0)
        return got < 0 ? got : -EPIPE;
    if (result.error < 0) {
        trial_fails(pool->trial, "a job failed: %s", result.text);
        return result.error;
    }
    pool->taken++;
    pool->numbers -= result.job;
    return result.message.size == size && job_check(result.message.data, size, result.job)
               ? 0
               : -EBADMSG;
}

static int run(struct pool *pool, size_t size, uint64_t count)
{
    uint64_t last = pool->submitted + count;
    int error = 0;

    while (pool->taken < last && error == 0) {
        while (pool->submitted < last && pool->submitted - pool->taken < WINDOW && error == 0)
            error = submit(pool, size);
        while (pool->taken < last && error == 0 &&
               (pool->submitted == last || pool->submitted - pool->taken > WINDOW / 2))
            error = take(pool, size);
    }
    /* Each was answered once, or one twice and another never. */
    return error < 0 ? error : pool->numbers == 0 ? 0 : -EBADMSG;
}

static bool is_settled(const struct pool *pool)
{
    bool by_fast_lane = !pool->setting->program && !pool->setting->socket_only;
    unsigned workers = placement_workers(pool->trial->task.placement);
    dx_pool_statistics statistics;

    dx_pool_statistics_get(pool->pool, &statistics);
    return statistics.ready == workers &&
           (!by_fast_lane || atomic_load(&pool->board->fast) == workers);
}

/* They were started where their parent runs. */
static int place_workers(struct pool *pool)
{
    enum placement placement = pool->trial->task.placement;
    int error = 0;

    for (unsigned i = 0; i < placement_workers(placement) && error == 0; i++) {
        dx_worker_statistics worker;

        error = dx_pool_worker_get(pool->pool, i, &worker);
        if (error < 0 || worker.pid == 0)
            continue;
        if (clock_getcpuclockid(worker.pid, &pool->clocks[i]) != 0)
            return -ESRCH;
        error = side_place_process(placement, worker.pid);
    }
    return error;
}

static int settle(struct pool *pool)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    double stop = side_now() + SETTLE_S;
    int error;

    while ((error = place_workers(pool)) == 0 && !is_settled(pool) && side_now() < stop) {
        error = run(pool, pool->trial->task.size, SETTLE_JOBS);
        if (error < 0)
            break;
        nanosleep(&pause, NULL);
    }
    if (error == 0 && !is_settled(pool)) {
        trial_fails(pool->trial, "the workers have not got ready, %u are on the fast lane",
                    atomic_load(&pool->board->fast));
        error = -EOPNOTSUPP;
    }
    return error;
}

/* After a failure the process ends, and all that is open here with it. */
int pool_open(const struct peer *peer, const struct trial *trial, void **ret)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    int error;

    if (!pool)
        return -ENOMEM;
    *ret = pool;
    pool->setting = peer->argument;
    pool->trial = trial;
    pool->job = malloc(trial->task.size);
    pool->board =
        mmap(NULL, sizeof(*pool->board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!pool->job || pool->board == MAP_FAILED)
        return -ENOMEM;
    memset(pool->job, 'x', trial->task.size);
    error = open_workers(pool);
    return error < 0 ? error : settle(pool);
}

static double seconds_of_workers(const struct pool *pool)
{
    double seconds = 0;

    for (unsigned i = 0; i < placement_workers(pool->trial->task.placement); i++) {
        struct timespec now = {0};

        clock_gettime(pool->clocks[i], &now);
        seconds += (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    }
    return seconds;
}

int pool_jobs(void *context, size_t size, uint64_t count)
{
    struct pool *pool = context;
    double before = seconds_of_workers(pool);
    int error = run(pool, size, count);

    pool->trial->figures->child_cpu = seconds_of_workers(pool) - before;
    return error;
}

int pool_close(void *context)
{
    struct pool *pool = context;
    dx_pool_statistics statistics;
    int error = 0;

    dx_pool_statistics_get(pool->pool, &statistics);
    if (statistics.deaths > 0 || !is_settled(pool)) {
        trial_fails(pool->trial, statistics.deaths > 0 ? "a worker has died"
                                                       : "a worker has left the fast lane");
        error = -EIO;
    }
    dx_pool_close(pool->pool);
    munmap(pool->board, sizeof(*pool->board));
    free(pool->job);
    free(pool);
    return error;
}

const struct peer peer_duplex_pool = {
    .name = "duplex_pool",
    .about = "dx_pool_open_function(), dx_work(), depth 1 (the default): by the fast lane",
    .argument = &(const struct pool_setting){.depth = 1},
    .unavailable = pool_unavailable,
    .open = pool_open,
    .jobs = pool_jobs,
    .close = pool_close,
};

const struct peer peer_duplex_pool_deep = {
    .name = "duplex_pool_16",
    .about = "the same with depth 16",
    .argument = &(const struct pool_setting){.depth = 16},
    .unavailable = pool_unavailable,
    .open = pool_open,
    .jobs = pool_jobs,
    .close = pool_close,
};

const struct peer peer_duplex_pool_socket = {
    .name = "duplex_pool_socket",
    .about = "the same as duplex_pool, with socket_only",
    .argument = &(const struct pool_setting){.depth = 1, .socket_only = true},
    .unavailable = pool_unavailable,
    .open = pool_open,
    .jobs = pool_jobs,
    .close = pool_close,
};

const struct peer peer_duplex_pool_socket_deep = {
    .name = "duplex_pool_socket_16",
    .about = "the same with depth 16",
    .argument = &(const struct pool_setting){.depth = 16, .socket_only = true},
    .unavailable = pool_unavailable,
    .open = pool_open,
    .jobs = pool_jobs,
    .close = pool_close,
};
