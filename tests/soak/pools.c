/* SPDX-License-Identifier: MIT */
/*
 * A pool of the soak: jobs that are answered, refused, or kill their workers; workers that are killed
 * from outside; jobs that are cancelled. Each job that was accepted must have one result.
 */
#include "soak.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    JOBS_MAX = 64, /* in the pool at a time */
    JOB_SIZE_MAX = 64 << 10,
    RESTARTS_MAX = 1000 * 1000, /* that a pool gives up is not what is looked for here */
};

struct awaited_job {
    uint64_t number; /* 0: the place is free */
    uint32_t offset, size;
    char task; /* the job's first letter; 'e' for one without bytes */
    bool cancelled;
};

struct soak_pool {
    dx_pool *pool;
    unsigned workers;
    bool ordered;
    bool deadly; /* workers may have been killed: any job may have been with them */
    uint64_t last;
    struct awaited_job jobs[JOBS_MAX];
    unsigned count;
};

struct soak_pool *soak_pool_open(struct soak *soak)
{
    static const unsigned depths[] = {1, 3, DX_DEPTH_AUTO};
    char *argv[] = {(char *)soak_program, (char *)"work", NULL};
    struct soak_pool *pool = calloc(1, sizeof(*pool));
    dx_failure failure = {0};
    dx_pool_options options = {
        .process.channel = {.message_limit = JOB_SIZE_MAX, .socket_only = soak_one_in(soak, 3)},
        .process.group = DX_GROUP_NEW,
        .process.stop_end_ms = 50,
        .process.stop_term_ms = 50,
        .workers = 1 + soak_random(soak, SOAK_WORKERS_MAX),
        .depth = depths[soak_random(soak, 3)],
        .ordered = soak_one_in(soak, 2),
        .queue_limit = JOBS_MAX,
        .retries = 2,
        .recycle_jobs = soak_one_in(soak, 2) ? 20 : 0,
        .backoff_ms = 1,
        .backoff_max_ms = 2,
        .restart_limit = RESTARTS_MAX,
        .cancel_grace_ms = 50,
        .failure = &failure,
    };
    int status;

    if (!pool)
        return NULL;
    if (soak_one_in(soak, 2))
        status = dx_pool_open(&pool->pool, argv, &options);
    else
        status = dx_pool_open_function(&pool->pool, soak_work, NULL, &options);
    if (status < 0) {
        soak_fail(soak, "a pool cannot be opened: %s", failure.text);
        free(pool);
        return NULL;
    }
    pool->workers = options.workers;
    pool->ordered = options.ordered;
    soak->pools++;
    return pool;
}

static char choose_task(struct soak *soak)
{
    if (soak_one_in(soak, 60))
        return 'D';
    if (soak_one_in(soak, 60))
        return 'X';
    if (soak_one_in(soak, 20))
        return 'R';
    return soak_one_in(soak, 10) ? 'S' : 'e';
}

static struct awaited_job *find(struct soak_pool *pool, uint64_t number)
{
    for (unsigned i = 0; i < JOBS_MAX; i++) {
        if (pool->jobs[i].number == number)
            return &pool->jobs[i];
    }
    return NULL;
}

static void submit(struct soak *soak, struct soak_pool *pool)
{
    static char bytes[JOB_SIZE_MAX];
    struct awaited_job *job = find(pool, 0);

    if (!job)
        return;
    job->offset = soak_random(soak, SOAK_OFFSETS);
    job->size = (uint32_t)soak_size(soak, JOB_SIZE_MAX);
    job->task = job->size > 0 ? choose_task(soak) : 'e';
    job->cancelled = false;
    memcpy(bytes, soak_letters() + job->offset, job->size);
    bytes[0] = job->task;
    int status = dx_pool_submit(pool->pool, bytes, job->size, &job->number, soak_patience_ms);

    if (status == 0) {
        soak->messages++;
        pool->count++;
        return;
    }
    job->number = 0;
    if (status != -EDEADLK)
        soak_fail(soak, "a job was not accepted: %s (%s)", dx_error_text(status),
                  dx_pool_explain(pool->pool));
}

/* Whether a job may have ended so. */
static bool may_end(const struct soak_pool *pool, const struct awaited_job *job, int error)
{
    switch (error) {
    case 0:
        return job->task == 'e' || job->task == 'S';
    case -EREMOTEIO:
        return job->task == 'R';
    case -EPIPE:
        return job->task == 'D' || job->task == 'X' || pool->deadly;
    case -ECANCELED:
        return job->cancelled;
    default:
        return false;
    }
}

static void check_result(struct soak *soak, struct soak_pool *pool, const dx_result *result)
{
    struct awaited_job *job = result->job > 0 ? find(pool, result->job) : NULL;
    const char *bytes = result->message.data;

    if (!job) {
        soak_fail(soak, "job %llu has a result too many", (unsigned long long)result->job);
        return;
    }
    if (pool->ordered && result->job <= pool->last)
        soak_fail(soak, "job %llu is out of its order", (unsigned long long)result->job);
    if (job->cancelled != (result->error == -ECANCELED) || !may_end(pool, job, result->error))
        soak_fail(soak, "job %llu, of '%c', ended with: %s (%s)", (unsigned long long)result->job,
                  job->task, dx_error_text(result->error), result->text);
    if (result->error == 0 &&
        (result->message.size != job->size ||
         (job->size > 0 &&
          (bytes[0] != job->task ||
           memcmp(bytes + 1, soak_letters() + job->offset + 1, job->size - 1) != 0))))
        soak_fail(soak, "the answer to job %llu is another's", (unsigned long long)result->job);
    pool->last = result->job;
    job->number = 0;
    pool->count--;
}

static void take(struct soak *soak, struct soak_pool *pool, int timeout_ms)
{
    dx_result result;
    int status = dx_pool_next(pool->pool, &result, timeout_ms);

    if (status == 1)
        check_result(soak, pool, &result);
    else if (status == 0 ? pool->count > 0 : status != -ETIMEDOUT || timeout_ms != DX_NOW)
        soak_fail(soak, "%u jobs have no result, and instead: %s (%s)", pool->count,
                  dx_error_text(status), dx_pool_explain(pool->pool));
}

static void cancel(struct soak *soak, struct soak_pool *pool)
{
    struct awaited_job *job = &pool->jobs[soak_random(soak, JOBS_MAX)];

    if (job->number == 0 || job->cancelled)
        return;
    int status = dx_pool_cancel(pool->pool, job->number);

    if (status == 0)
        job->cancelled = true;
    /* It may have ended, and its result not have been taken. */
    else if (status != -ENOENT)
        soak_fail(soak, "a job cannot be cancelled: %s", dx_pool_explain(pool->pool));
}

/* As long as the pool is not called it reaps nobody, so the pid is the worker's own. */
static void kill_worker(struct soak *soak, struct soak_pool *pool)
{
    dx_worker_statistics worker;

    if (dx_pool_worker_get(pool->pool, soak_random(soak, pool->workers), &worker) < 0 ||
        worker.pid <= 0)
        return;
    pool->deadly = true;
    kill(worker.pid, soak_one_in(soak, 4) ? SIGSTOP : SIGKILL);
    /* One that is stopped would have its job for ever, and is killed by and by. */
    kill(worker.pid, SIGKILL);
}

void soak_pool_step(struct soak *soak, struct soak_pool *pool)
{
    unsigned choice = soak_random(soak, 40);

    soak->about = "a pool";
    if (choice == 0)
        kill_worker(soak, pool);
    else if (choice < 3)
        cancel(soak, pool);
    else if (choice < 25)
        submit(soak, pool);
    else
        take(soak, pool, DX_NOW);
}

void soak_pool_end(struct soak *soak, struct soak_pool *pool, bool orderly)
{
    dx_pool_statistics statistics;

    soak->about = "a pool";
    if (orderly && dx_pool_drain(pool->pool) < 0)
        soak_fail(soak, "a pool cannot be drained");
    while (orderly && pool->count > 0 && soak->failures == 0)
        take(soak, pool, soak_patience_ms);
    if (dx_pool_statistics_get(pool->pool, &statistics) == 0)
        soak->started += statistics.starts;
    dx_pool_close(pool->pool);
    free(pool);
}
