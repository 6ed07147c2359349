/* SPDX-License-Identifier: MIT */
/*
 * A pool: many children, one queue of jobs, and exactly one result for each job, whatever dies.
 *
 *   1. dx_pool_open() starts workers that are a program, dx_pool_open_function() that are a function.
 *   2. dx_pool_submit() puts a job into the queue.
 *   3. dx_pool_next() brings a result: the answer, or why there is none.
 *   4. dx_pool_close() stops the workers and lets go.
 *
 * A job is a request: a native worker gets it as DX_REQUEST and answers with dx_reply() or
 * dx_reply_error(), in any order; dx_work() is such a worker's whole loop. A worker that speaks
 * another framing reads one message for each job and answers each with one, in order.
 *
 * A worker that ends, says what is no answer, or is killed because a job took too long is replaced.
 * What it had is tried again; a job that kills each worker it meets has failed, and the rest goes on.
 *
 * Threads: one at a time. Fork: in a forked child every function answers -ECHILD.
 */
#ifndef DUPLEX_POOL_H
#define DUPLEX_POOL_H

#include <duplex/call.h>
#include <duplex/error.h>
#include <duplex/message.h>
#include <duplex/process.h>
#include <duplex/workers.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dx_pool dx_pool;

/*
 * Open a pool of workers that run a program; argv as in dx_spawn().
 *
 * Ownership: argv and options are copied, all that they point to as well, but for what
 * options->process.stdio and .descriptors name: those descriptors must stay open as long as the
 * pool. Blocking: until the first worker runs; it is not waited for to be ready, and the others are
 * started by the functions below. Returns 0. Errors: as dx_spawn() for the first worker; -EINVAL.
 */
DX_API int dx_pool_open(dx_pool **ret, char *const argv[], const dx_pool_options *options);

/*
 * The same with workers that run a function, as dx_fork(): its context is the parent's as it was when
 * the worker was started, which may be long after this call.
 */
DX_API int dx_pool_open_function(dx_pool **ret, int (*worker)(dx_channel *parent, void *context),
                                 void *context, const dx_pool_options *options);

/* A job with all that can be said about it. All-zero is the empty job. */
typedef struct dx_job {
    const void *data;
    size_t size;

    /*
     * Descriptors that go along, as in dx_send_message(); native framing. With depth 1 and no retries
     * the worker gets the only copies. Else the pool keeps copies until the job has ended.
     */
    int *descriptors;
    size_t descriptor_count;

    int timeout_ms; /* instead of the pool's job_timeout_ms, if not 0. Negative: no limit */
    void *context;  /* for the caller's own use, in the result again */
} dx_job;

/* What became of a job. */
typedef struct dx_result {
    uint64_t job; /* as dx_pool_submit() numbered it */
    void *context;

    /*
     * 0: it was answered.
     * -EREMOTEIO: the worker answered with an error, which `message` is, with code and text.
     * -EPIPE: the worker ended without an answer, as often as it was tried; see `exit`.
     * -ETIMEDOUT: it took too long, as often as it was tried.
     * -EPROTO: the worker said what is no answer, as often as it was tried.
     * -ECANCELED: by dx_pool_cancel().
     * -ECONNABORTED: the pool has ended before it could be done; see dx_pool_explain().
     * Others: it could not be sent, because the worker takes less (-EMSGSIZE) or no descriptors
     * (-EPERM), or its answer not be kept (-ENOMEM).
     */
    int error;
    unsigned tries;  /* how many workers it was given to, by itself or with others */
    unsigned worker; /* the place of the last of them, from 0 */
    pid_t pid;       /* its pid; 0: none */

    dx_message message; /* the answer; as a received message, see dx_message_take() */
    /* How the last worker ended: with -EPIPE always, though perhaps as DX_EXIT_UNKNOWN; else NULL. */
    const dx_exit *exit;
    const char *text; /* why it failed, one sentence for people; "" */

    uint64_t wait_us; /* from its submission to when the last worker was given it */
    uint64_t run_us;  /* from then to its answer. Both are as exact as the pool has looked around */
} dx_result;

/*
 * Put a job into the queue. Jobs are numbered from 1 in the order of submission.
 *
 * Ownership: the bytes are copied. Blocking: up to timeout_ms while the queue is full; meanwhile
 * answers are taken in and jobs given out. Returns 0, and the job's number unless ret_job is NULL.
 * Errors: -ETIMEDOUT; -EDEADLK if so many results wait to be taken by dx_pool_next() that there is
 * no room for more; -EMSGSIZE for more than the channel's message_limit; -EINVAL for bytes that the
 * framing cannot carry; -ESHUTDOWN after dx_pool_drain(); -ECONNABORTED when the pool has ended;
 * -EOPNOTSUPP for descriptors that the framing does not carry; -EBADF; -ENOMEM. There will be no
 * result then.
 */
DX_API int dx_pool_submit(dx_pool *pool, const void *data, size_t size, uint64_t *ret_job,
                          int timeout_ms);

/* The same with all that a dx_job can say. Its descriptors move on success. */
DX_API int dx_pool_submit_job(dx_pool *pool, const dx_job *job, uint64_t *ret_job, int timeout_ms);

/*
 * Take the next result.
 *
 * Ownership: the answer, exit and text are borrowed until the next dx_pool_next(), dx_pool_submit(),
 * dx_pool_process() or dx_pool_close(). Blocking: up to timeout_ms.
 * Returns 1 and a result, or 0 when no job is in the pool. Errors: -ETIMEDOUT; -ECONNABORTED instead
 * of 0 when the pool has ended, see dx_pool_explain().
 */
DX_API int dx_pool_next(dx_pool *pool, dx_result *ret, int timeout_ms);

/*
 * Cancel a job. Its result will be -ECANCELED; if a worker has it already, what it answers is dropped.
 * Returns 0. Blocking: never. Errors: -ENOENT if there is no such job, or it has ended; -ENOMEM, and
 * the job goes on.
 */
DX_API int dx_pool_cancel(dx_pool *pool, uint64_t job);

/*
 * Accept no more jobs: those accepted are done, and workers that have no more to do leave, as far as the
 * functions below are called. Returns 0.
 */
DX_API int dx_pool_drain(dx_pool *pool);

/*
 * Stop the workers, all at the same time, and let go: who has no job is asked to leave, who has one
 * is sent SIGTERM at once; jobs that have not ended get no result. Blocking: as dx_process_close() for
 * one process. Returns NULL. NULL is fine. In a forked child it touches nothing.
 */
DX_API dx_pool *dx_pool_close(dx_pool *pool);

/*
 * For an event loop: a descriptor that is readable when something has happened; what to poll it for;
 * and how long at most, in milliseconds. They stay the pool's. Then call dx_pool_process().
 */
DX_API int dx_pool_fd(const dx_pool *pool);
DX_API int dx_pool_events(const dx_pool *pool);
DX_API int dx_pool_timeout_ms(dx_pool *pool);

/*
 * For an event loop: do what can be done without waiting: take in answers, give out jobs, look after
 * the workers. Returns 1 if dx_pool_next() has something to say, else 0. It starts workers, which
 * takes as long as dx_spawn().
 */
DX_API int dx_pool_process(dx_pool *pool);

typedef struct dx_pool_statistics {
    uint64_t submitted;
    uint64_t done;   /* answered */
    uint64_t failed; /* ended with an error, but for those that were cancelled */
    uint64_t cancelled;
    uint64_t repeated;               /* times that a job was given out once more */
    size_t queued;                   /* wait for a worker now */
    size_t running;                  /* are with a worker now */
    size_t waiting;                  /* have a result that was not taken yet */
    unsigned workers;                /* run now */
    unsigned ready;                  /* of these, may be given jobs */
    uint64_t starts;                 /* workers that were started */
    uint64_t deaths;                 /* of these, ended without having been asked to */
    uint64_t recycled;               /* left after recycle_jobs or at recycle_bytes */
    uint64_t p50_ns, p99_ns, max_ns; /* dx_result.run_us of those answered, within 4 % */
} dx_pool_statistics;

/* Returns 0. Blocking: never. */
DX_API int dx_pool_statistics_get(const dx_pool *pool, dx_pool_statistics *ret);

typedef struct dx_worker_statistics {
    pid_t pid; /* 0: the place is empty just now */
    bool ready;
    unsigned running;  /* jobs that it has */
    uint64_t jobs;     /* jobs that this place has answered */
    uint64_t starts;   /* workers that were started in this place */
    uint64_t lived_ms; /* since it was started */
    dx_exit last_exit; /* of the one before it */
} dx_worker_statistics;

/* Of the worker in a place, from 0. Returns 0. Errors: -ENOENT beyond the last. Blocking: never. */
DX_API int dx_pool_worker_get(const dx_pool *pool, unsigned worker, dx_worker_statistics *ret);

/* Explain the last failure of this pool or of a worker of it; see dx_channel_explain(). Never NULL. */
DX_API const char *dx_pool_explain(const dx_pool *pool);

/*
 * Be a worker: have the handler called for each job that the parent sends, until the conversation
 * ends. It answers with dx_reply(parent, job->id, …) or dx_reply_error(); what it returns negative is
 * sent as an error; a job that it neither answers nor refuses stays open. After jobs that took no more
 * than some microseconds, answers to those that came together leave together: where one of these then
 * takes long, those before it wait. Returns 0 at the end, or as dx_recv(). Blocking: until the end.
 */
DX_API int dx_work(dx_channel *parent, dx_request_handler *handler, void *context);

#ifdef __cplusplus
}
#endif
#endif
