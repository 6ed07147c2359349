/* SPDX-License-Identifier: MIT */
/*
 * What a pool is asked to be: its workers, its queue, and what it does when they fail.
 */
#ifndef DUPLEX_WORKERS_H
#define DUPLEX_WORKERS_H

#include <duplex/error.h>
#include <duplex/start.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most workers of a pool, and the most jobs that one may have at a time. */
#define DX_WORKERS_MAX 4096
#define DX_DEPTH_MAX 1024

/* As many jobs as hide the way to the worker and back, by how long jobs take: 1 to 64. */
#define DX_DEPTH_AUTO (DX_DEPTH_MAX + 1)

/* When a worker may be given its first job. */
typedef enum dx_ready {
    DX_READY_DEFAULT = 0, /* native framing: when it has greeted. Others: as soon as it runs */
    DX_READY_MESSAGE,     /* when it has said a first message, whatever that is; it is dropped */
    DX_READY_AT_ONCE      /* as soon as it runs */
} dx_ready;

/*
 * Hears what a worker writes on standard error; `worker` is its place, from 0. The bytes are borrowed
 * during the call, cut anywhere. It is called by any function of the pool, and must not use the pool.
 */
typedef void dx_worker_stderr(void *context, unsigned worker, const char *bytes, size_t size);

/* All-zero means the defaults, and so does NULL in place of the struct. */
typedef struct dx_pool_options {
    /*
     * How each worker is started: its channel, framing, handover, limits, identity. None of stdio
     * may be DX_STDIO_PIPE. `failure` is unused here; see the one below. A worker that does not
     * leave when it is asked to is given stop_end_ms, then SIGTERM and stop_term_ms, then SIGKILL,
     * while the others go on.
     */
    dx_process_options process;

    unsigned workers; /* the most at a time, up to DX_WORKERS_MAX. 0: as sched_getaffinity(2) */

    /*
     * So many are kept even if there is nothing to do. 0: all of them. If it is less than `workers`,
     * another is started when a job finds all of them busy, and one that had nothing to do for
     * idle_ms (0: 10 s) leaves.
     */
    unsigned workers_min;
    int idle_ms;

    /*
     * The most jobs that a worker has at a time, up to DX_DEPTH_MAX, or DX_DEPTH_AUTO. 0: 1. More
     * hide the way to the worker and back. If a worker ends with several, nobody knows which one it
     * was: each is then tried again by itself, which `retries` does not count. So only with depth 1
     * a job is run no more than 1 + retries times.
     */
    unsigned depth;

    bool ordered; /* results in the order of submission, instead of as they end */

    /*
     * The most jobs that are queued or with workers, and as many results may wait to be taken. 0:
     * 1024, or twice what all workers can have. And the most bytes, of jobs and of answers that wait
     * each. 0: 64 MiB. When there is no job, one is accepted however large it is.
     */
    size_t queue_limit;
    size_t queue_bytes;

    /*
     * How long a worker may have a job, counted from when it is the oldest of its jobs. When it has
     * passed the worker is killed, and the job has failed, or is tried again. 0: no limit.
     */
    int job_timeout_ms;

    /* So many times more is a job tried whose worker died of it, or that took too long. */
    unsigned retries;

    dx_ready ready;
    int ready_timeout_ms; /* a worker that is not ready by then is killed. 0: 60 s. Negative: never */

    /*
     * A worker leaves, and is replaced, after so many jobs; or when its resident size is over so many
     * bytes after a job, which is looked at ten times a second at most, in /proc. 0: never.
     */
    uint64_t recycle_jobs;
    size_t recycle_bytes;

    /*
     * A place whose worker ended without having answered a job is filled again after backoff_ms (0:
     * 10), twice as long after the next, up to backoff_max_ms (0: 1000); others at once.
     */
    int backoff_ms;
    int backoff_max_ms;

    /*
     * The pool ends when more than so many workers, one after the other, ended or could not be
     * started while no job was answered, each within restart_window_ms (0: 60 s) of the one before.
     * 0: 10 and the number of workers; ten times that once a job has been answered, because then
     * it may be the jobs. As long as others are ready it does not end because one cannot be started.
     */
    unsigned restart_limit;
    int restart_window_ms;

    /*
     * How long a worker may still work at a job that was cancelled, before it is killed and what
     * else it had is given to others. 0: 1000 ms. Negative: as long as it likes.
     */
    int cancel_grace_ms;

    /*
     * Hears the workers' standard error, if process.stdio[2] is DX_STDIO_INHERIT. NULL: it is passed
     * on to this process's own. Its first lines are quoted where a worker could not get ready. With
     * another stdio[2] it is not read.
     */
    dx_worker_stderr *on_stderr;
    void *stderr_context;

    /* Where a failure to open the pool is explained; may be NULL. */
    dx_failure *failure;
} dx_pool_options;

#ifdef __cplusplus
}
#endif
#endif
