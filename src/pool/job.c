/* SPDX-License-Identifier: MIT */
/*
 * Jobs: their memory, which is used again, and their results, which are in order if that was asked.
 */
#include "pool/pool.h"

#include "channel/channel.h"
#include "wire/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What is kept of a job's memory for the next, and at the least. */
enum { KEPT_MAX = 64 << 10, CAPACITY_MIN = 128 };

static __attribute__((noinline)) int bytes_grow(struct dxi_bytes *bytes, size_t size)
{
    size_t capacity = size > CAPACITY_MIN ? size : CAPACITY_MIN;
    void *memory = dxi_os->allocate(capacity);

    if (!memory)
        return -ENOMEM;
    dxi_os->release(bytes->bytes);
    bytes->bytes = memory;
    bytes->capacity = capacity;
    return 0;
}

static inline int bytes_set(struct dxi_bytes *bytes, const void *data, size_t size)
{
    if (size > bytes->capacity && bytes_grow(bytes, size) < 0)
        return -ENOMEM;
    dxi_copy(bytes->bytes, data, size);
    bytes->size = size;
    return 0;
}

static void bytes_free(struct dxi_bytes *bytes)
{
    dxi_os->release(bytes->bytes);
    *bytes = (struct dxi_bytes){0};
}

static void close_descriptors(int *descriptors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (descriptors[i] < 0)
            continue;
        dxi_os->close(descriptors[i]);
        /* One may have been given twice. */
        for (size_t j = i + 1; j < count; j++) {
            if (descriptors[j] == descriptors[i])
                descriptors[j] = -1;
        }
    }
}

/* They are needed no more when the job has ended: who waits for the end of a pipe must see it. */
static void drop_descriptors(struct dxi_job *job)
{
    close_descriptors(job->descriptors, job->descriptor_count);
    dxi_os->release(job->descriptors);
    job->descriptors = NULL;
    job->descriptor_count = 0;
}

static void free_job(struct dxi_job *job)
{
    bytes_free(&job->data);
    bytes_free(&job->answer_data);
    dxi_os->release(job);
}

struct dxi_job *dxi_job_make(dx_pool *pool, const void *data, size_t size)
{
    struct dxi_job *job = pool->free;

    if (job) {
        pool->free = job->next;
    } else {
        job = dxi_os->allocate(sizeof(*job));
        if (!job)
            return NULL;
        memset(job, 0, sizeof(*job));
    }
    if (bytes_set(&job->data, data, size) < 0) {
        free_job(job);
        return NULL;
    }
    job->at.rare = job->data.capacity > KEPT_MAX;
    return job;
}

/* The answer's own descriptors: those of an answer in a channel are that channel's. */
static void drop_answer(struct dxi_job *job)
{
    if (job->answer.data == job->answer_data.bytes && job->answer.descriptor_count > 0) {
        for (size_t i = 0; i < job->answer.descriptor_count; i++) {
            if (job->answer.descriptors[i] >= 0)
                dxi_os->discard(job->answer.descriptors[i]);
        }
        dxi_os->release(job->answer.descriptors);
    }
}

/* What only few jobs have. */
static void drop_rarities(struct dxi_job *job)
{
    drop_answer(job);
    if (job->descriptors)
        drop_descriptors(job);
    if (job->obituary)
        dxi_os->release(job->obituary);
    if (job->data.capacity > KEPT_MAX)
        bytes_free(&job->data);
    if (job->answer_data.capacity > KEPT_MAX)
        bytes_free(&job->answer_data);
    job->obituary = NULL;
    job->answer = (dx_message){0};
}

void dxi_job_drop(dx_pool *pool, struct dxi_job *job)
{
    if (job->at.rare)
        drop_rarities(job);
    job->at = (struct dxi_standing){0};
    job->next = pool->free;
    pool->free = job;
}

void dxi_job_drop_standing(dx_pool *pool, struct dxi_job *job)
{
    pool->dropped--;
    dxi_job_drop(pool, job);
}

void dxi_jobs_free(dx_pool *pool)
{
    while (pool->free) {
        struct dxi_job *job = pool->free;

        pool->free = job->next;
        free_job(job);
    }
}

void dxi_job_enter(dx_pool *pool, struct dxi_job *job)
{
    job->number = ++pool->last_number;
    job->submitted_ns = pool->now_ns;
    pool->unfinished++;
    pool->bytes += job->data.size;
    pool->counts.submitted++;
    if (!pool->options.ordered)
        return;
    if (pool->last_in_order)
        pool->last_in_order->at.later = job;
    else
        pool->first_in_order = job;
    pool->last_in_order = job;
}

/* It is no longer among the unfinished, and needs less. */
static void leave_books(dx_pool *pool, struct dxi_job *job)
{
    pool->unfinished--;
    pool->bytes -= job->data.size;
    if (job->at.rare && job->descriptors)
        drop_descriptors(job);
    if (job->at.rare && job->data.capacity > KEPT_MAX)
        bytes_free(&job->data);
}

void dxi_job_finish_lent(dx_pool *pool, struct dxi_job *job)
{
    job->at.state = DXI_JOB_FINISHED;
    job->error = 0;
    job->ended_ns = pool->now_ns;
    leave_books(pool, job);
    pool->counts.done++;
    dxi_latency_add(&pool->latency, job->ended_ns - job->at.given_ns);
}

void dxi_job_finish(dx_pool *pool, struct dxi_job *job, int error)
{
    job->at.state = DXI_JOB_FINISHED;
    job->error = error;
    job->ended_ns = pool->now_ns;
    leave_books(pool, job);
    pool->waiting++;
    if (error == 0) {
        pool->counts.done++;
        dxi_latency_add(&pool->latency, job->ended_ns - job->at.given_ns);
    } else if (error == -ECANCELED) {
        pool->counts.cancelled++;
    } else {
        pool->counts.failed++;
    }
    if (!pool->options.ordered)
        dxi_jobs_append(&pool->finished, job);
}

void dxi_job_fail(dx_pool *pool, struct dxi_job *job, int error, const dx_exit *exit,
                  const char *text)
{
    struct dxi_obituary *obituary = dxi_os->allocate(sizeof(*obituary));

    /* Without memory the error must do. */
    if (obituary) {
        obituary->has_exit = exit != NULL;
        if (exit)
            obituary->exit = *exit;
        snprintf(obituary->text, sizeof(obituary->text), "%s", text);
        job->obituary = obituary;
        job->at.rare = true;
    }
    dxi_job_finish(pool, job, error);
}

/* Take the descriptors out of a message into a list of our own. */
static int keep_descriptors(dx_message *answer, int **ret)
{
    int *kept = dxi_os->allocate(answer->descriptor_count * sizeof(*kept));

    if (!kept)
        return -ENOMEM;
    for (size_t i = 0; i < answer->descriptor_count; i++)
        kept[i] = dx_message_take(answer, i);
    *ret = kept;
    return 0;
}

int dxi_job_keep_answer(dx_pool *pool, struct dxi_job *job, dx_message *answer)
{
    int *descriptors = NULL;
    /* Never without memory: it tells that the answer is a copy. */
    int error = answer->size == 0 && job->answer_data.capacity == 0
                    ? bytes_set(&job->answer_data, "", 1)
                    : bytes_set(&job->answer_data, answer->data, answer->size);

    if (error == 0 && answer->descriptor_count > 0)
        error = keep_descriptors(answer, &descriptors);
    if (error < 0)
        return error;
    job->answer = *answer;
    job->at.rare = true;
    job->answer.data = job->answer_data.bytes;
    job->answer.descriptors = descriptors;
    job->answer_data.size = answer->size;
    pool->answer_bytes += answer->size;
    return 0;
}

struct dxi_job *dxi_job_next_result(dx_pool *pool)
{
    struct dxi_job *job = pool->options.ordered ? pool->first_in_order : pool->finished.first;

    if (!job || job->at.state != DXI_JOB_FINISHED)
        return NULL;
    if (pool->options.ordered) {
        pool->first_in_order = job->at.later;
        if (!pool->first_in_order)
            pool->last_in_order = NULL;
    } else {
        dxi_jobs_remove(&pool->finished, job);
    }
    pool->waiting--;
    if (job->answer.data && job->answer.data == job->answer_data.bytes)
        pool->answer_bytes -= job->answer.size;
    return job;
}
