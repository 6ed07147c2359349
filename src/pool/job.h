/* SPDX-License-Identifier: MIT */
/*
 * A job: its bytes, where it stands, and in the end its result.
 */
#ifndef DUPLEX_POOL_JOB_H
#define DUPLEX_POOL_JOB_H

#include <duplex/pool.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dxi_job_state {
    DXI_JOB_QUEUED,
    DXI_JOB_SUSPECT, /* it was with a worker that died, among others: it goes alone next */
    DXI_JOB_GIVEN,
    DXI_JOB_FINISHED
};

/* Memory that is used again. */
struct dxi_bytes {
    uint8_t *bytes;
    size_t size, capacity;
};

/* Why a job failed. */
struct dxi_obituary {
    bool has_exit;
    dx_exit exit;
    char text[DX_TEXT_SIZE];
};

/* Where a job stands; all-zero for each that is made. */
struct dxi_standing {
    enum dxi_job_state state;
    bool dropped; /* nobody wants the answer: it only keeps the worker's books */
    bool rare;    /* it has more than its bytes */
    bool gone;    /* its descriptors went with a worker: it cannot be given to another */
    int timeout_ms;
    unsigned tries, blamed, spared;
    unsigned worker;
    pid_t pid;
    void *context;
    struct dxi_job *later; /* submitted next, if results are ordered */
    uint64_t given_ns;
};

/* What each job needs comes first, so that few cache lines are fetched for it. */
struct dxi_job {
    struct dxi_job *next, *previous; /* in the list that it stands in */
    uint64_t request;                /* the id of its request, while it is with a worker */
    struct dxi_bytes data;
    uint64_t number;
    uint64_t submitted_ns, ended_ns;
    struct dxi_standing at;
    int error;

    /* Only if at.rare. */
    int *descriptors;
    size_t descriptor_count;
    dx_message answer; /* what it points to lies below, or in a channel */
    struct dxi_obituary *obituary;
    struct dxi_bytes answer_data; /* a copy, or memory for one */
};

/* A list of jobs. */
struct dxi_jobs {
    struct dxi_job *first, *last;
    size_t count;
};

static inline void dxi_jobs_append(struct dxi_jobs *jobs, struct dxi_job *job)
{
    job->next = NULL;
    job->previous = jobs->last;
    if (jobs->last)
        jobs->last->next = job;
    else
        jobs->first = job;
    jobs->last = job;
    jobs->count++;
}

static inline void dxi_jobs_prepend(struct dxi_jobs *jobs, struct dxi_job *job)
{
    job->previous = NULL;
    job->next = jobs->first;
    if (jobs->first)
        jobs->first->previous = job;
    else
        jobs->last = job;
    jobs->first = job;
    jobs->count++;
}

static inline void dxi_jobs_remove(struct dxi_jobs *jobs, struct dxi_job *job)
{
    if (job->previous)
        job->previous->next = job->next;
    else
        jobs->first = job->next;
    if (job->next)
        job->next->previous = job->previous;
    else
        jobs->last = job->previous;
    jobs->count--;
}

/* A job with these bytes, in no list; NULL if there is no memory. */
struct dxi_job *dxi_job_make(dx_pool *pool, const void *data, size_t size);

/* Let go of a job and of all that it has. */
void dxi_job_drop(dx_pool *pool, struct dxi_job *job);

/* The same for one that stood for a job that was cancelled. */
void dxi_job_drop_standing(dx_pool *pool, struct dxi_job *job);

/* Free those that wait to be used again. */
void dxi_jobs_free(dx_pool *pool);

/* A job is accepted: it has a number, and its place in the order. */
void dxi_job_enter(dx_pool *pool, struct dxi_job *job);

/* It has its result, and is in no list. */
void dxi_job_finish(dx_pool *pool, struct dxi_job *job, int error);

/* The same for one that was answered and is lent at once: it is not counted among those that wait. */
void dxi_job_finish_lent(dx_pool *pool, struct dxi_job *job);

/* The same, and why, for people; exit may be NULL. */
void dxi_job_fail(dx_pool *pool, struct dxi_job *job, int error, const dx_exit *exit,
                  const char *text);

/* Keep an answer, and the descriptors that it bears. 0 or -ENOMEM. */
int dxi_job_keep_answer(dx_pool *pool, struct dxi_job *job, dx_message *answer);

/* The next result, or NULL. It is the caller's. */
struct dxi_job *dxi_job_next_result(dx_pool *pool);

#endif
