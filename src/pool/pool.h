/* SPDX-License-Identifier: MIT */
/*
 * A pool as its own folder sees it.
 *
 * A job is in one place at a time: the queue, the suspects, with a worker, among the finished, or lent
 * to the user as a result. A worker's place is filled, emptied and filled again; what is counted over
 * all who were in it stays with the place.
 *
 * One thread does everything, within the functions that the user calls. Each of them goes a few steps
 * of the same turn: take answers (answer.c), give out jobs (give.c), look after workers (tend.c), and
 * wait for something to happen (look.c).
 */
#ifndef DUPLEX_POOL_POOL_H
#define DUPLEX_POOL_POOL_H

#include <duplex/pool.h>

#include "channel/spin.h"
#include "os/os.h"
#include "pool/job.h"
#include "pool/latency.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* What is quoted of a worker's standard error. */
    DXI_SAID_MAX = 512,
    /* Of its standard error, read at once. */
    DXI_STDERR_SIZE = 4096,
    /* The most jobs of a worker at a time, where that is found out. */
    DXI_DEPTH_AUTO_MAX = 64,
};

#define DXI_NS_PER_MS ((uint64_t)1000000)

enum dxi_stage {
    DXI_STAGE_EMPTY,    /* nobody; see start_ns */
    DXI_STAGE_STARTING, /* it runs, and is not ready */
    DXI_STAGE_READY,
    DXI_STAGE_ENDING,      /* the conversation was ended, so that it leaves */
    DXI_STAGE_TERMINATING, /* it did not, and was sent SIGTERM */
    DXI_STAGE_KILLED
};

/* Why we have a worker end. */
enum dxi_reason {
    DXI_REASON_NONE,
    DXI_REASON_LEAVE,   /* there is nothing to do for it */
    DXI_REASON_RECYCLE, /* it has done enough */
    DXI_REASON_LATE,    /* its oldest job took too long */
    DXI_REASON_CANCEL,  /* the same, and had been cancelled */
    DXI_REASON_SILENT,  /* it ended the conversation, and not itself */
    DXI_REASON_FAULT,   /* it said what is no answer */
    DXI_REASON_UNREADY, /* it did not get ready */
    DXI_REASON_UNSEEN,  /* the kernel refused to watch it any more */
    DXI_REASON_CLOSE    /* the pool ends */
};

struct dxi_worker {
    struct dxi_worker *next, *previous; /* among those with as many jobs, while `open` */
    struct dxi_worker *next_awake, *previous_awake;
    bool open;         /* may be given jobs */
    bool awake;        /* is looked at before the next sleep */
    bool noticed;      /* its channel has an event that was not looked at */
    bool clogged;      /* it takes no more just now */
    bool kept_waiting; /* it was muted since its deadline was last looked at */
    bool alone;        /* it has a suspect, or is kept for one */
    bool has_suspect;
    bool missed;   /* what was sent last never left: it takes nothing more */
    bool hopeless; /* the kernel does not end it */
    bool hung_up;  /* the kernel says so, and goes on saying it */
    bool worn;     /* it leaves when it has done what it has */
    enum dxi_stage stage;
    enum dxi_reason reason;
    dx_process *process;
    dx_channel *channel;
    pid_t pid;
    struct dxi_jobs jobs;   /* that it has, the oldest first */
    unsigned unsent;        /* of these, collected and not sent */
    unsigned streak;        /* results of it in a row that were lent */
    unsigned most;          /* that it takes at a time, as far as we know */
    uint64_t answered;      /* by the one that is there now */
    uint64_t head_since_ns; /* its oldest job is that since; 0: since the last look at the clock */
    uint64_t idle_since_ns; /* the same */

    unsigned place;
    unsigned generation; /* of whoever is in the place: part of the key of its events */
    int fds[4];          /* by enum dxi_source; -1: none */
    unsigned watched[4]; /* and what each is watched for */
    uint64_t started_ns;
    uint64_t until_ns; /* when the present stage has lasted long enough */
    uint64_t start_ns; /* EMPTY: not to be filled before */
    uint64_t backoff_ns;
    uint64_t pause_ns; /* clogged for want of something of ours: until then; 0: not */
    uint64_t retry_ns; /* its channel has something to send that was refused: until then; 0: not */
    uint64_t end_ns;   /* ENDING: the end is not said before */
    uint64_t size_looked_ns;

    char said[DXI_SAID_MAX]; /* its first lines on standard error */
    size_t said_size;
    char *held; /* what could not be passed on yet */
    size_t held_size, held_capacity;
    char fault[DX_TEXT_SIZE]; /* why we have it end, for people */

    uint64_t answered_before, starts; /* of the place: by those who were there before */
    dx_exit last_exit;
};

/* What of a worker is watched. */
enum dxi_source { DXI_SOURCE_READ, DXI_SOURCE_WRITE, DXI_SOURCE_DEATH, DXI_SOURCE_STDERR };

enum dxi_pool_state { DXI_POOL_OPEN, DXI_POOL_DRAINING, DXI_POOL_FAILED, DXI_POOL_CLOSING };

struct dx_pool {
    uint64_t generation; /* the process that made it */
    const _Atomic uint64_t *generation_mark;
    dx_pool_options options;
    struct dxi_kept *kept; /* what the options point to */
    char **argv;           /* or NULL */
    int (*function)(dx_channel *parent, void *context);
    void *context;
    bool has_ids;           /* answers name their job */
    bool keeps_descriptors; /* of jobs, to give them to another worker */
    bool reads_stderr;
    bool proven;        /* a job was answered */
    size_t plain_limit; /* a job of so many bytes needs no further check; 0: each does */

    struct dxi_worker *workers;
    struct dxi_worker **loads; /* by how many jobs they have: the first of those that are open */
    unsigned lowest;           /* no open worker has fewer */
    unsigned depth_most;
    unsigned depth; /* as much is given now */
    struct dxi_worker *first_awake, *last_awake;
    struct dxi_worker *reserved; /* for the suspects */

    struct dxi_jobs queue, suspects, finished;
    struct dxi_job *free;
    struct dxi_job *first_in_order, *last_in_order; /* of all, if results are ordered */
    struct dxi_job *lent;
    uint64_t last_number;
    size_t unfinished;   /* queued, or with a worker */
    size_t waiting;      /* finished, and the result not taken */
    size_t dropped;      /* cancelled, and still with a worker */
    size_t bytes;        /* of those that are unfinished */
    size_t answer_bytes; /* of answers that wait */

    enum dxi_pool_state state;
    int watch_fd;
    uint64_t now_ns;     /* as of the last look at the clock */
    uint64_t watched_ns; /* of the last look at all workers, or a moment before */
    uint64_t timer_ns;   /* nothing is due before */
    uint64_t start_ns;   /* no place may be filled before */
    unsigned live;       /* workers that run, in whatever stage */
    unsigned ready;
    unsigned hopeless;  /* of those that run, those that the kernel does not end */
    unsigned leaving;   /* of those that run, those that are to end */
    unsigned fruitless; /* ends in a row while no job was answered */
    uint64_t fruitless_ns;
    uint64_t apart_ns, apart_pause_ns; /* when to set apart next, and how long after that: spin.c */
    unsigned prompt;        /* answers in a row that nobody had to wait for long: see spin.c */
    unsigned results_blind; /* taken since the last look at the clock */
    struct dxi_spin spin;   /* looks for an answer before a sleep */

    /* How long jobs take, for the depth. */
    unsigned busy;
    uint64_t busy_since_ns, busy_ns, busy_jobs, service_ns;

    struct dxi_latency latency;
    dx_pool_statistics counts;
    dx_failure last;
};

/* Whether the handle may be used: 0, -EINVAL or -ECHILD. Costs no system call. */
static inline int dxi_pool_check(const dx_pool *pool)
{
    if (pool == NULL)
        return -EINVAL;
    return atomic_load_explicit(pool->generation_mark, memory_order_relaxed) == pool->generation
               ? 0
               : -ECHILD;
}

/* options.c: check and copy what the user asked for; explained in options->failure. */
int dxi_pool_take_options(dx_pool *pool, char *const argv[], const dx_pool_options *options);
void dxi_pool_drop_options(dx_pool *pool);

/* look.c */

/* Look at the clock. */
void dxi_pool_tick(dx_pool *pool);

/* Whether dx_pool_next() has something to say. */
static inline bool dxi_pool_has_news(const dx_pool *pool)
{
    if (pool->options.ordered)
        return pool->first_in_order && pool->first_in_order->at.state == DXI_JOB_FINISHED;
    return pool->finished.first != NULL;
}

/* Have the timer run out by then. */
static inline void dxi_pool_due(dx_pool *pool, uint64_t at_ns)
{
    if (at_ns < pool->timer_ns)
        pool->timer_ns = at_ns;
}

/*
 * One turn: take answers, tend the workers, give out jobs, and if nothing came of it wait until
 * deadline_ns; 0: not at all. If `lend`, return as soon as there is a result, which may lie in a
 * channel. 0, or an error of the wait.
 */
int dxi_pool_turn(dx_pool *pool, uint64_t deadline_ns, bool lend);

/* The first part of a turn: take what is there of workers that are awake. True if there is a result. */
bool dxi_pool_take_at_once(dx_pool *pool);

/* The same for an answer like most, and where it lies: its job, which is in no list; or NULL. */
struct dxi_job *dxi_pool_take_quick(dx_pool *pool, dx_message *ret_answer);

/* Send what is collected, and say how long nothing will happen by itself: 0, or the timer. */
uint64_t dxi_pool_settle(dx_pool *pool);

/* Take note of what happens, until deadline_ns. How much of it is news, or an error. */
int dxi_pool_watch(dx_pool *pool, uint64_t deadline_ns);

/* Begin or end to watch a descriptor of a worker. */
int dxi_worker_watch(dx_pool *pool, struct dxi_worker *worker, enum dxi_source source,
                     unsigned events);

/* Have a worker's channel watched for what it wants now. */
int dxi_worker_watch_channel(dx_pool *pool, struct dxi_worker *worker);

void dxi_worker_wake(dx_pool *pool, struct dxi_worker *worker);
void dxi_worker_lull(dx_pool *pool, struct dxi_worker *worker);

/* spin.c: before a sleep. True if something has come, and there is no need to. */

/* What was withheld from those that sleep is given to them if the others do not get on with it. */
bool dxi_pool_spare(dx_pool *pool);

/* Look for an answer for a while. */
bool dxi_pool_spin(dx_pool *pool, uint64_t deadline_ns);

/* Leave workers that have plenty to do at it for a moment. */
void dxi_pool_nap(dx_pool *pool, uint64_t until);

/* give.c */

/*
 * While answers come so promptly that we are never without one, workers that sleep are left asleep: to
 * wake them costs more than their jobs, and they would take the processor of those that are at work.
 */
enum { DXI_PROMPT = 64 };

static inline bool dxi_pool_is_sparing(const dx_pool *pool)
{
    return pool->prompt >= DXI_PROMPT && pool->busy > 0;
}

/* Give out jobs to workers that can take some. */
void dxi_pool_give(dx_pool *pool);

/* Whether that may be of use. */
static inline bool dxi_pool_can_give(const dx_pool *pool)
{
    return (pool->queue.first && pool->lowest < pool->depth) || pool->suspects.first ||
           pool->reserved;
}

/* Give a job that is in no list at once, if nobody comes before it and somebody can take it. */
bool dxi_pool_give_at_once(dx_pool *pool, struct dxi_job *job);

/* Put a worker where it belongs among those that are open, or take it out. */
void dxi_worker_sort(dx_pool *pool, struct dxi_worker *worker);

/*
 * A worker that had as many jobs as it may have one less of now, taken out of its list: give it the next of
 * the queue in its place. False: nothing was done, and dxi_worker_release() is to be called.
 */
bool dxi_worker_refill(dx_pool *pool, struct dxi_worker *worker);

/* Send what is collected for it. */
void dxi_worker_flush(dx_pool *pool, struct dxi_worker *worker);

/* A job is no longer with the worker. It is in no list then. */
void dxi_worker_release(dx_pool *pool, struct dxi_worker *worker);

/* depth.c */

/* One worker more, or less, has something to do. */
void dxi_pool_note_busy(dx_pool *pool, int change);

/* Estimate anew how many jobs hide the way to a worker and back. The clock was looked at. */
void dxi_pool_adapt(dx_pool *pool);

/* answer.c */

enum dxi_take {
    DXI_TAKE_NOTHING, /* nothing is there now */
    DXI_TAKE_RESULT,  /* a job has its result */
    DXI_TAKE_OTHER    /* something else came, or has become of the worker */
};

/* Whether somebody is there who is believed: not what one says behind what is no answer. */
static inline bool dxi_worker_is_heard(const struct dxi_worker *worker)
{
    return worker->stage != DXI_STAGE_EMPTY && worker->reason != DXI_REASON_FAULT;
}

/* Take one message of a worker. With `lend` the answer stays in its channel. */
enum dxi_take dxi_worker_take(dx_pool *pool, struct dxi_worker *worker, bool lend);

/*
 * The same the quick way: the job, whose answer it is and which has ended. NULL if there is none, or what was
 * taken is no result.
 */
struct dxi_job *dxi_worker_take_quick(dx_pool *pool, struct dxi_worker *worker,
                                      dx_message *ret_answer);

/* Whether nothing may be taken from it, because results that wait have no more room. */
bool dxi_worker_muted(const dx_pool *pool, const struct dxi_worker *worker);

/* worker.c */

/* Fill an empty place. 0 or an error, which was explained in the pool's last failure. */
int dxi_worker_start(dx_pool *pool, struct dxi_worker *worker);

/* It may be given jobs from now on. */
void dxi_worker_ready(dx_pool *pool, struct dxi_worker *worker);

/* Say the end of the conversation to one that leaves; if that cannot be done now, it is due again. */
void dxi_worker_say_end(dx_pool *pool, struct dxi_worker *worker);

/* Ask it to leave. */
void dxi_worker_leave(dx_pool *pool, struct dxi_worker *worker, enum dxi_reason reason);

/* It gets no more jobs, and leaves when it has done those that it has. */
void dxi_worker_wear_out(dx_pool *pool, struct dxi_worker *worker);

/* The next means, if it has not left until now. */
void dxi_worker_press(dx_pool *pool, struct dxi_worker *worker);

/* End it at once, and say why. */
void dxi_worker_kill(dx_pool *pool, struct dxi_worker *worker, enum dxi_reason reason,
                     const char *text);

/* It has ended: take what it still said, judge its jobs, and empty the place. */
void dxi_worker_bury(dx_pool *pool, struct dxi_worker *worker);

/* judge.c: what becomes of the jobs of a worker that has ended. */
void dxi_worker_judge(dx_pool *pool, struct dxi_worker *worker, const dx_exit *exit);

/* tend.c */

/* A worker may have another oldest job, or none any more: it has so since now, and for so long. */
void dxi_worker_stamp(dx_pool *pool, struct dxi_worker *worker);

/* Look after all workers, if something is due. */
void dxi_pool_tend(dx_pool *pool);

/*
 * A worker ended and has answered nothing, or could not be started: it may have been one too many. While
 * others are ready, a shortage that keeps a place from being filled is no reason to end.
 */
void dxi_pool_note_fruitless(dx_pool *pool, struct dxi_worker *worker, bool started,
                             const char *text);

/* The pool ends: no job can be done any more. */
void dxi_pool_fail(dx_pool *pool, const char *text);

/* Another worker may be needed for the jobs that are there. */
void dxi_pool_consider_growth(dx_pool *pool);

/* stderr.c: read what a worker writes there, and pass it on. At its end all of it. */
void dxi_worker_hear_stderr(dx_pool *pool, struct dxi_worker *worker, bool last);

/* Try again to pass on what could not be, also of one that has ended since. */
void dxi_worker_pass_held(dx_pool *pool, struct dxi_worker *worker);

/* Its first lines as part of a sentence: "; it said: …", or "". */
const char *dxi_worker_quote(const struct dxi_worker *worker, char *buffer, size_t size);

#endif
