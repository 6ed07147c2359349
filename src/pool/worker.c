/* SPDX-License-Identifier: MIT */
/*
 * The life of a worker: started, ready, asked to leave or killed, buried. None of it waits but the
 * start.
 */
#include "pool/pool.h"

#include "channel/channel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* How long the kernel may take to kill before that is looked at again, and a tracer to let go. */
enum { KILL_MS = 10000, STOP_MS_DEFAULT = 1000, TRACED_MS = 10 };

/* Who has ended the conversation himself is told of our end so much later. */
enum { SILENCE_MS = 100 };

static void empty(struct dxi_worker *worker)
{
    worker->process = NULL;
    worker->channel = NULL;
    worker->stage = DXI_STAGE_EMPTY;
    worker->reason = DXI_REASON_NONE;
    worker->unsent = 0;
    worker->answered_before += worker->answered;
    worker->answered = 0;
    worker->clogged = worker->alone = worker->noticed = worker->worn = false;
    worker->kept_waiting = false;
    worker->missed = worker->hung_up = worker->has_suspect = worker->hopeless = false;
    worker->pause_ns = worker->retry_ns = worker->end_ns = 0;
    worker->said_size = 0;
    worker->fault[0] = '\0';
    worker->generation++;
    for (int i = 0; i < 4; i++) {
        worker->fds[i] = -1;
        worker->watched[i] = 0;
    }
}

/* Start the child. 0 or an error, explained. */
static int launch(dx_pool *pool, struct dxi_worker *worker)
{
    dx_process_options options = pool->options.process;
    dx_failure failure = {0};
    int error;

    options.failure = &failure;
    if (options.noted_pid)
        options.noted_pid += worker->place;
    if (pool->reads_stderr)
        options.stdio[2].mode = DX_STDIO_PIPE;
    error = pool->argv ? dx_spawn(&worker->process, pool->argv, &options)
                       : dx_fork(&worker->process, pool->function, pool->context, &options);
    if (error < 0)
        return dxi_fail(&pool->last, error, "%s", failure.text);
    worker->channel = dx_process_channel(worker->process);
    return 0;
}

/* Have the worker's descriptors watched. What cannot be watched is no error of the worker's. */
static int watch(dx_pool *pool, struct dxi_worker *worker)
{
    int error;

    worker->fds[DXI_SOURCE_READ] = dx_channel_fd(worker->channel);
    worker->fds[DXI_SOURCE_WRITE] = dx_channel_write_fd(worker->channel);
    if (worker->fds[DXI_SOURCE_WRITE] == worker->fds[DXI_SOURCE_READ])
        worker->fds[DXI_SOURCE_WRITE] = -1;
    worker->fds[DXI_SOURCE_DEATH] = dx_process_fd(worker->process);
    if (pool->reads_stderr)
        worker->fds[DXI_SOURCE_STDERR] = dx_process_take_stdio(worker->process, 2);
    error = dxi_worker_watch(pool, worker, DXI_SOURCE_DEATH, POLLIN);
    /* What the one before it has left to be said goes first. */
    if (error == 0 && worker->fds[DXI_SOURCE_STDERR] >= 0 && worker->held_size == 0)
        error = dxi_worker_watch(pool, worker, DXI_SOURCE_STDERR, POLLIN);
    if (error == 0)
        error = dxi_worker_watch(pool, worker, DXI_SOURCE_READ, POLLIN);
    return error;
}

static void let_go(dx_pool *pool, struct dxi_worker *worker)
{
    for (int i = 0; i < 4; i++) {
        if (worker->fds[i] >= 0)
            (void)dxi_worker_watch(pool, worker, (enum dxi_source)i, 0);
    }
    if (worker->fds[DXI_SOURCE_STDERR] >= 0)
        dxi_os->close(worker->fds[DXI_SOURCE_STDERR]);
    dx_process_close(worker->process);
    dxi_worker_lull(pool, worker);
    empty(worker);
}

int dxi_worker_start(dx_pool *pool, struct dxi_worker *worker)
{
    int error = launch(pool, worker);

    if (error < 0)
        return error;
    error = watch(pool, worker);
    if (error < 0) {
        (void)dx_process_signal(worker->process, SIGKILL);
        let_go(pool, worker);
        return dxi_fail(&pool->last, error, "cannot watch a worker: %s", dx_error_text(error));
    }
    (void)dx_cork(worker->channel);
    dxi_channel_lead_to_worker(worker->channel);
    worker->pid = dx_process_pid(worker->process);
    worker->stage = DXI_STAGE_STARTING;
    worker->most = DX_DEPTH_MAX;
    worker->started_ns = dxi_os->now_ns();
    worker->head_since_ns = worker->idle_since_ns = 0;
    worker->size_looked_ns = worker->started_ns;
    worker->until_ns = UINT64_MAX;
    worker->starts++;
    pool->live++;
    pool->counts.starts++;
    if (pool->options.ready == DX_READY_AT_ONCE) {
        dxi_worker_ready(pool, worker);
    } else if (pool->options.ready_timeout_ms > 0) {
        worker->until_ns =
            worker->started_ns + (uint64_t)pool->options.ready_timeout_ms * DXI_NS_PER_MS;
        dxi_pool_due(pool, worker->until_ns);
    }
    dxi_worker_wake(pool, worker);
    return 0;
}

void dxi_worker_ready(dx_pool *pool, struct dxi_worker *worker)
{
    worker->stage = DXI_STAGE_READY;
    worker->until_ns = UINT64_MAX;
    pool->ready++;
    if (pool->options.recycle_bytes > 0)
        dxi_pool_due(pool, 0);
    dxi_worker_sort(pool, worker);
}

/* It goes from the ready or the starting to those that end. */
static void retire(dx_pool *pool, struct dxi_worker *worker, enum dxi_stage stage,
                   enum dxi_reason reason)
{
    if (worker->stage == DXI_STAGE_READY)
        pool->ready--;
    if (worker->stage <= DXI_STAGE_READY)
        pool->leaving++;
    if (pool->reserved == worker)
        pool->reserved = NULL;
    if (worker->reason == DXI_REASON_NONE)
        worker->reason = reason;
    worker->stage = stage;
    dxi_worker_sort(pool, worker);
}

static void give_time(dx_pool *pool, struct dxi_worker *worker, uint64_t milliseconds)
{
    worker->until_ns = dxi_os->now_ns() + milliseconds * DXI_NS_PER_MS;
    dxi_pool_due(pool, worker->until_ns);
}

static int time_of(int chosen_ms)
{
    return chosen_ms == 0 ? STOP_MS_DEFAULT : chosen_ms;
}

void dxi_worker_say_end(dx_pool *pool, struct dxi_worker *worker)
{
    if (worker->end_ns > pool->now_ns)
        dxi_pool_due(pool, worker->end_ns);
    else if (!dxi_channel_end_now(worker->channel))
        dxi_pool_due(pool, dxi_os->now_ns() + DXI_RETRY_MS * DXI_NS_PER_MS);
}

/*
 * Most of those who end the conversation have ended, and what they left unread in a pipe can be seen until
 * it is closed: so they are told the end a little later.
 */
static void put_off_end(dx_pool *pool, struct dxi_worker *worker, int wait_ms)
{
    int ms = wait_ms < 2 * SILENCE_MS ? wait_ms / 2 : (int)SILENCE_MS;

    if (worker->fds[DXI_SOURCE_WRITE] >= 0 && ms > 0)
        worker->end_ns = pool->now_ns + (uint64_t)ms * DXI_NS_PER_MS;
}

void dxi_worker_leave(dx_pool *pool, struct dxi_worker *worker, enum dxi_reason reason)
{
    int wait_ms = time_of(pool->options.process.stop_end_ms);

    retire(pool, worker, DXI_STAGE_ENDING, reason);
    if (reason == DXI_REASON_SILENT)
        put_off_end(pool, worker, wait_ms);
    dxi_worker_say_end(pool, worker);
    if (wait_ms < 0)
        dxi_worker_press(pool, worker);
    else
        give_time(pool, worker, (uint64_t)wait_ms);
}

/* Whoever waits for its jobs, or for its end, waits no longer. The place stays taken. */
static void despair(dx_pool *pool, struct dxi_worker *worker)
{
    static const dx_exit unknown = {.text = "has not ended, though it was killed"};

    worker->until_ns = UINT64_MAX;
    if (!worker->hopeless)
        pool->hopeless++;
    worker->hopeless = true;
    dxi_worker_judge(pool, worker, &unknown);
}

static void kill_now(dx_pool *pool, struct dxi_worker *worker)
{
    if (dx_process_signal(worker->process, SIGKILL) == -EPERM)
        despair(pool, worker);
    else
        give_time(pool, worker, KILL_MS);
}

void dxi_worker_press(dx_pool *pool, struct dxi_worker *worker)
{
    int wait_ms = time_of(pool->options.process.stop_term_ms);

    if (worker->stage == DXI_STAGE_KILLED) {
        despair(pool, worker);
        return;
    }
    if (worker->stage < DXI_STAGE_TERMINATING && wait_ms >= 0) {
        retire(pool, worker, DXI_STAGE_TERMINATING, DXI_REASON_CLOSE);
        (void)dx_process_signal(worker->process, SIGTERM);
        /* A stopped worker keeps SIGTERM for later, so it is told to go on. */
        (void)dx_process_signal(worker->process, SIGCONT);
        give_time(pool, worker, (uint64_t)wait_ms);
        return;
    }
    retire(pool, worker, DXI_STAGE_KILLED, DXI_REASON_CLOSE);
    kill_now(pool, worker);
}

void dxi_worker_kill(dx_pool *pool, struct dxi_worker *worker, enum dxi_reason reason,
                     const char *text)
{
    if (worker->stage == DXI_STAGE_KILLED)
        return;
    snprintf(worker->fault, sizeof(worker->fault), "%s", text);
    /* What was wrong comes before what had been asked of it. */
    worker->reason = reason;
    retire(pool, worker, DXI_STAGE_KILLED, reason);
    kill_now(pool, worker);
}

/* Whether it ended because it was to. */
static bool was_asked(const struct dxi_worker *worker)
{
    return worker->reason == DXI_REASON_LEAVE || worker->reason == DXI_REASON_RECYCLE ||
           worker->reason == DXI_REASON_CLOSE || worker->reason == DXI_REASON_CANCEL;
}

/* How it ended, as part of a sentence. */
static void describe(const struct dxi_worker *worker, const dx_exit *exit, dx_failure *ret)
{
    char quote[DXI_SAID_MAX + 32];

    (void)dxi_worker_quote(worker, quote, sizeof(quote));
    if (worker->fault[0] != '\0')
        dxi_fail(ret, 0, "%s%s", worker->fault, quote);
    else
        dxi_fail(ret, 0, "it %s%s%s", exit->kind == DX_EXIT_SIGNAL ? "was " : "", exit->text,
                 quote);
}

void dxi_worker_bury(dx_pool *pool, struct dxi_worker *worker)
{
    dx_failure story;
    dx_exit exit;

    if (dx_process_wait(worker->process, &exit, DX_NOW) < 0) {
        /* A tracer has it first. The pidfd would say the same again and again. */
        (void)dxi_worker_watch(pool, worker, DXI_SOURCE_DEATH, 0);
        if (worker->reason == DXI_REASON_SILENT && worker->stage < DXI_STAGE_TERMINATING)
            worker->reason = DXI_REASON_NONE;
        if (worker->stage < DXI_STAGE_KILLED) {
            retire(pool, worker, DXI_STAGE_KILLED, DXI_REASON_NONE);
            give_time(pool, worker, KILL_MS);
        }
        dxi_pool_due(pool, dxi_os->now_ns() + TRACED_MS * DXI_NS_PER_MS);
        return;
    }
    if (worker->reason == DXI_REASON_SILENT && worker->stage >= DXI_STAGE_TERMINATING)
        snprintf(worker->fault, sizeof(worker->fault),
                 "the worker ended the conversation, and did not end itself");
    else if (worker->reason == DXI_REASON_SILENT)
        worker->reason = DXI_REASON_NONE;
    /* From here on it is given nothing. */
    if (worker->stage < DXI_STAGE_KILLED)
        retire(pool, worker, DXI_STAGE_KILLED, DXI_REASON_NONE);
    /* What it had said before counts, to the end. */
    do
        worker->noticed = true;
    while (dxi_worker_take(pool, worker, false) != DXI_TAKE_NOTHING);
    if (worker->fds[DXI_SOURCE_STDERR] >= 0)
        dxi_worker_hear_stderr(pool, worker, true);
    describe(worker, &exit, &story);

    /* That a job took too long says nothing against the worker. */
    bool fruitless =
        worker->answered == 0 && !was_asked(worker) && worker->reason != DXI_REASON_LATE;

    if (!was_asked(worker))
        pool->counts.deaths++;
    if (worker->reason == DXI_REASON_RECYCLE)
        pool->counts.recycled++;
    worker->last_exit = exit;
    dxi_worker_judge(pool, worker, &exit);
    if (pool->reserved == worker)
        pool->reserved = NULL;
    pool->hopeless -= worker->hopeless ? 1 : 0;
    let_go(pool, worker);
    pool->live--;
    pool->leaving--;
    worker->start_ns = 0;
    if (fruitless)
        dxi_pool_note_fruitless(pool, worker, true, story.text);
    else
        worker->backoff_ns = 0;
    if (worker->start_ns < pool->start_ns)
        pool->start_ns = worker->start_ns;
    dxi_pool_consider_growth(pool);
}
