/* SPDX-License-Identifier: MIT */
/*
 * What workers say: answers, and what is none.
 */
#include "pool/pool.h"

#include "channel/channel.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>

/* Of what a worker said unasked, and of its refusal, as they are quoted. */
enum { QUOTED_MAX = 60, REFUSAL_MAX = 200 };

bool dxi_worker_muted(const dx_pool *pool, const struct dxi_worker *worker)
{
    const struct dxi_job *first = pool->first_in_order;

    if (pool->answer_bytes <= pool->options.queue_bytes)
        return false;
    if (!first || first->at.state == DXI_JOB_FINISHED)
        return true;
    /* Only the first in order makes room. If it is still to be given, whoever gets free may get it. */
    return first->at.state == DXI_JOB_GIVEN && first->at.worker != worker->place;
}

/* The job of a request: the oldest, if the worker answers in order. */
static struct dxi_job *find_job(const struct dxi_worker *worker, uint64_t request)
{
    struct dxi_job *job = worker->jobs.first;

    while (job && job->request != request)
        job = job->next;
    return job;
}

/* A job was answered, and its worker has it no more. */
static void leave_worker(dx_pool *pool, struct dxi_worker *worker, struct dxi_job *job)
{
    if (job == worker->jobs.first)
        worker->head_since_ns = 0;
    dxi_jobs_remove(&worker->jobs, job);
    worker->answered++;
    pool->fruitless = 0;
    pool->proven = true;
    pool->busy_jobs++;
    pool->prompt++;
    if (!worker->open && pool->queue.first && dxi_worker_refill(pool, worker))
        return;
    dxi_worker_release(pool, worker);
}

static void take_answer(dx_pool *pool, struct dxi_worker *worker, struct dxi_job *job,
                        dx_message *answer, bool lend)
{
    leave_worker(pool, worker, job);
    if (job->at.dropped) {
        dxi_job_drop_standing(pool, job);
        return;
    }
    /* Only what is next: the channel keeps an answer no longer than until it is looked at again. */
    bool is_next = pool->options.ordered ? job == pool->first_in_order : !pool->finished.first;

    if (lend && is_next) {
        job->answer = *answer;
        job->at.rare = true;
    } else if (dxi_job_keep_answer(pool, job, answer) < 0) {
        dxi_job_fail(pool, job, -ENOMEM, NULL, "there is no memory to keep its answer");
        return;
    }
    if (answer->kind != DX_ERROR) {
        dxi_job_finish(pool, job, 0);
        return;
    }
    dx_failure refusal;

    dxi_fail(&refusal, -EREMOTEIO, "the worker refused it with code %d: %.*s", answer->code,
             (int)(answer->size < REFUSAL_MAX ? answer->size : REFUSAL_MAX),
             (const char *)answer->data);
    dxi_job_fail(pool, job, -EREMOTEIO, NULL, refusal.text);
}

struct dxi_job *dxi_worker_take_quick(dx_pool *pool, struct dxi_worker *worker,
                                      dx_message *ret_answer)
{
    struct dxi_job *job;

    if (!dxi_channel_take_reply(worker->channel, ret_answer))
        return NULL;
    job = worker->jobs.first;
    if (!job || job->request != ret_answer->id)
        job = find_job(worker, ret_answer->id);
    if (!job)
        return NULL;
    if (job->at.dropped) {
        take_answer(pool, worker, job, ret_answer, false);
        return NULL;
    }
    leave_worker(pool, worker, job);
    dxi_job_finish_lent(pool, job);
    return job;
}

/* Said to nobody's question: as the beginning of it, as far as it can be printed. */
static void fault_unasked(dx_pool *pool, struct dxi_worker *worker, const dx_message *message)
{
    char text[QUOTED_MAX + 1];
    const char *bytes = message->data;

    /* Once is enough. */
    if (worker->stage > DXI_STAGE_READY)
        return;
    size_t size = message->size < QUOTED_MAX ? message->size : QUOTED_MAX;

    for (size_t i = 0; i < size; i++)
        text[i] = isprint((unsigned char)bytes[i]) ? bytes[i] : '?';
    text[size] = '\0';
    dx_failure fault;

    dxi_fail(&fault, -EPROTO,
             message->kind == DX_REQUEST
                 ? "the worker asked something, and a pool answers nothing: \"%s\""
                 : "the worker said something that is no answer to a job: \"%s\"",
             text);
    dxi_worker_kill(pool, worker, DXI_REASON_FAULT, fault.text);
}

static enum dxi_take take_message(dx_pool *pool, struct dxi_worker *worker, dx_message *message,
                                  bool lend)
{
    struct dxi_job *job;

    switch (message->kind) {
    case DX_REPLY:
    case DX_ERROR:
        job = find_job(worker, message->id);
        if (!job)
            return DXI_TAKE_OTHER;
        take_answer(pool, worker, job, message, lend);
        return DXI_TAKE_RESULT;
    case DX_MESSAGE:
        if (worker->stage == DXI_STAGE_STARTING && pool->options.ready == DX_READY_MESSAGE) {
            dxi_worker_ready(pool, worker);
            return DXI_TAKE_OTHER;
        }
        fault_unasked(pool, worker, message);
        return DXI_TAKE_OTHER;
    case DX_REQUEST:
        fault_unasked(pool, worker, message);
        return DXI_TAKE_OTHER;
    default:
        /* Failed requests are judged when the worker has ended; pkt-line has words of its own. */
        return DXI_TAKE_OTHER;
    }
}

/* The conversation is over, and the worker may not be. */
static enum dxi_take take_end(dx_pool *pool, struct dxi_worker *worker, int status)
{
    /* Else the kernel goes on telling of it, and a look for the answers of others is never in vain. */
    (void)dxi_worker_watch_channel(pool, worker);
    if (worker->stage == DXI_STAGE_KILLED)
        return DXI_TAKE_NOTHING;
    if (status == -EPROTO) {
        dx_failure fault;

        dxi_fail(&fault, status, "the worker broke the protocol: %s",
                 dx_channel_explain(worker->channel));
        dxi_worker_kill(pool, worker, DXI_REASON_FAULT, fault.text);
    } else if (worker->stage <= DXI_STAGE_READY) {
        /* Most have ended, and the kernel will say how. */
        dxi_worker_leave(pool, worker, DXI_REASON_SILENT);
    }
    return DXI_TAKE_NOTHING;
}

/* Its greeting is heard with whatever else is taken in. */
static void look_for_greeting(dx_pool *pool, struct dxi_worker *worker)
{
    if (worker->stage == DXI_STAGE_STARTING && pool->options.ready == DX_READY_DEFAULT &&
        dxi_channel_greeted(worker->channel))
        dxi_worker_ready(pool, worker);
}

/* The channel has an event. Whether a message may be there. */
static bool take_event(dx_pool *pool, struct dxi_worker *worker)
{
    worker->noticed = false;
    if (worker->clogged && worker->pause_ns == 0) {
        worker->clogged = false;
        dxi_worker_sort(pool, worker);
    }
    bool news = dx_channel_process(worker->channel) != 0;

    /* Else the kernel goes on telling that there is room. */
    if (((worker->watched[DXI_SOURCE_READ] | worker->watched[DXI_SOURCE_WRITE]) & POLLOUT) != 0)
        (void)dxi_worker_watch_channel(pool, worker);
    look_for_greeting(pool, worker);
    return news || dxi_channel_stirs(worker->channel);
}

enum dxi_take dxi_worker_take(dx_pool *pool, struct dxi_worker *worker, bool lend)
{
    dx_message message;

    if (!dxi_worker_is_heard(worker))
        return DXI_TAKE_NOTHING;
    if (worker->noticed ? !take_event(pool, worker) : !dxi_channel_stirs(worker->channel))
        return DXI_TAKE_NOTHING;
    int status = dx_recv(worker->channel, &message, DX_NOW);

    if (status == 1)
        return take_message(pool, worker, &message, lend);
    look_for_greeting(pool, worker);
    if (status == 0 || status == -EPIPE || status == -EPROTO)
        return take_end(pool, worker, status);
    /* -EMFILE: its descriptors were lost, and the message comes next. */
    return status == -EMFILE ? DXI_TAKE_OTHER : DXI_TAKE_NOTHING;
}
