/* SPDX-License-Identifier: MIT */
/*
 * What becomes of the jobs of a worker that has ended.
 *
 * A job that was alone with it is to blame, and has used up a try; unless the worker had answered
 * others and did not even read this one. Of several nobody knows: they are suspects. If it was we who
 * ended it for another's sake, they are innocent.
 */
#include "pool/pool.h"

#include "channel/channel.h"

#include <errno.h>

/* A worker that lies about what it has read keeps a job from its end no longer than so often. */
enum { SPARED_MAX = 64 };

static void put_back(dx_pool *pool, struct dxi_job *job, const dx_exit *exit, bool suspect)
{
    if (job->at.gone) {
        dxi_job_fail(pool, job, -EPIPE, exit,
                     "its worker ended, and its descriptors were gone with it");
        return;
    }
    job->at.state = suspect ? DXI_JOB_SUSPECT : DXI_JOB_QUEUED;
    if (suspect)
        dxi_jobs_append(&pool->suspects, job);
    else
        dxi_jobs_prepend(&pool->queue, job);
}

static void fail(dx_pool *pool, const struct dxi_worker *worker, struct dxi_job *job,
                 const dx_exit *exit)
{
    dx_failure story;

    switch (worker->reason) {
    case DXI_REASON_LATE:
        dxi_job_fail(pool, job, -ETIMEDOUT, NULL, worker->fault);
        break;
    case DXI_REASON_FAULT:
        dxi_job_fail(pool, job, -EPROTO, NULL, worker->fault);
        break;
    case DXI_REASON_SILENT:
    case DXI_REASON_UNSEEN:
        dxi_job_fail(pool, job, -EPIPE, exit, worker->fault);
        break;
    default:
        dxi_fail(&story, -EPIPE, "the worker %s%s", exit->kind == DX_EXIT_SIGNAL ? "was " : "",
                 exit->text);
        dxi_job_fail(pool, job, -EPIPE, exit, story.text);
        break;
    }
}

static void blame(dx_pool *pool, const struct dxi_worker *worker, struct dxi_job *job,
                  const dx_exit *exit)
{
    job->at.blamed++;
    if (job->at.blamed > pool->options.retries || job->at.gone)
        fail(pool, worker, job, exit);
    else
        put_back(pool, job, exit, true);
}

static struct dxi_job *take_last(dx_pool *pool, struct dxi_worker *worker)
{
    struct dxi_job *job = worker->jobs.last;

    dxi_jobs_remove(&worker->jobs, job);
    dxi_worker_release(pool, worker);
    return job;
}

void dxi_worker_judge(dx_pool *pool, struct dxi_worker *worker, const dx_exit *exit)
{
    bool several = worker->jobs.count > 1;
    bool innocent = worker->reason == DXI_REASON_CANCEL || worker->reason == DXI_REASON_LEAVE ||
                    worker->reason == DXI_REASON_RECYCLE || worker->reason == DXI_REASON_CLOSE;

    if (worker->jobs.count == 1 && worker->reason == DXI_REASON_NONE && worker->answered > 0 &&
        worker->jobs.first->at.spared < SPARED_MAX &&
        (worker->missed || worker->unsent > 0 || dxi_channel_left_unread(worker->channel))) {
        worker->jobs.first->at.spared++;
        innocent = true;
    }
    struct dxi_jobs suspects = {0};

    while (worker->jobs.last) {
        struct dxi_job *job = take_last(pool, worker);

        if (job->at.dropped)
            dxi_job_drop_standing(pool, job);
        else if (innocent)
            put_back(pool, job, exit, false);
        else if (several)
            dxi_jobs_prepend(&suspects, job);
        else
            blame(pool, worker, job, exit);
    }
    /* In the order in which they were submitted. */
    while (suspects.first) {
        struct dxi_job *job = suspects.first;

        dxi_jobs_remove(&suspects, job);
        put_back(pool, job, exit, true);
    }
}
