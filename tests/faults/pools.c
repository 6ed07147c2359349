/* SPDX-License-Identifier: MIT */
/*
 * Scenarios: a pool does its jobs while workers die, whether they are functions or programs.
 */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { JOBS = 6, TURNS_MAX = 10000, TURNS_WITHOUT_MEMORY = 8, SLOW_MS = 250 };

/* What becomes of the jobs of one pool. */
struct jobs {
    uint64_t numbers[JOBS];
    char texts[JOBS][16];
    bool ended[JOBS], cancelled[JOBS];
    unsigned count, left;
    bool with_notes; /* a descriptor goes along with each */
};

/* A job that begins with 'k' kills its worker, the first time. */
static int work(dx_channel *parent, const dx_message *job, void *context)
{
    (void)context;
    if (*(const char *)job->data == 'k' && stage->flags[0]++ == 0)
        raise(SIGKILL);
    if (*(const char *)job->data == 'w')
        poll(NULL, 0, SLOW_MS);
    while (*(const char *)job->data == 'p')
        pause();
    if (*(const char *)job->data == 'e') {
        fault_mute();
        (void)!write(STDERR_FILENO, "a complaint\n", 12);
        fault_unmute();
    }
    for (size_t i = 0; i < job->descriptor_count; i++)
        if (!is_note(job->descriptors[i], 9))
            return -EBADMSG;
    int status = dx_reply(parent, job->id, job->data, job->size, stage->patience_ms);

    (void)went(status, "dx_reply()", dx_channel_explain(parent), 0);
    return is_passing(status) ? dx_reply(parent, job->id, job->data, job->size, stage->patience_ms)
                              : status;
}

static int be_worker(dx_channel *parent, void *context)
{
    int status = dx_work(parent, work, context);

    if (is_passing(status))
        status = dx_work(parent, work, context);
    (void)went(status, "dx_work()", dx_channel_explain(parent), 0);
    return status < 0 ? 1 : 0;
}

static void submit(dx_pool *pool, struct jobs *jobs, const char *text)
{
    int note = jobs->with_notes ? make_note(9) : -1;
    dx_job job = {
        .data = text,
        .size = strlen(text),
        .descriptors = &note,
        .descriptor_count = jobs->with_notes ? 1 : 0,
    };
    int status = -EAGAIN;

    for (int tries = 0; tries < 2 && status < 0; tries++) {
        status = dx_pool_submit_job(pool, &job, &jobs->numbers[jobs->count], stage->patience_ms);
        (void)went(status, "dx_pool_submit()", dx_pool_explain(pool), ECONNABORTED);
    }
    if (status == 0) {
        snprintf(jobs->texts[jobs->count], sizeof(jobs->texts[0]), "%s", text);
        jobs->count++;
        jobs->left++;
    }
    if (jobs->with_notes && (note == -1) != (status == 0))
        complain("dx_pool_submit_job() answered %d, and its descriptor is %d", status, note);
    fault_mute();
    if (note >= 0)
        close(note);
    fault_unmute();
}

static void check_result(const dx_pool *pool, struct jobs *jobs, const dx_result *result)
{
    const struct fault *fault = &stage->faults.fault;
    unsigned which = 0;

    while (which < jobs->count && jobs->numbers[which] != result->job)
        which++;
    if (which == jobs->count || jobs->ended[which]) {
        complain("job %u had %s", (unsigned)result->job,
                 which == jobs->count ? "not been accepted" : "two results");
        return;
    }
    jobs->ended[which] = true;
    jobs->left--;
    const char *text = jobs->texts[which];

    if (result->error == 0 && (result->message.size != strlen(text) ||
                               memcmp(result->message.data, text, strlen(text)) != 0))
        complain("job '%s' has another's answer", text);
    if ((result->error == -EPIPE) != (result->exit != NULL))
        complain("job '%s': the error is %d, and there is %s exit", text, result->error,
                 result->exit != NULL ? "an" : "no");
    if (jobs->cancelled[which] != (result->error == -ECANCELED))
        complain("job '%s' was %scancelled, and ended with %d", text,
                 jobs->cancelled[which] ? "" : "not ", result->error);
    if (result->error == 0 || result->error == -ECANCELED || stage->complained)
        return;
    if (result->text == NULL || result->text[0] == '\0')
        complain("job '%s' failed with %d, and nothing says why", text, result->error);
    bool may_fail = stage->faults.met > 0 && !fault_is_harmless(fault);

    if (!may_fail && text[0] != 'k')
        complain("job '%s' failed: %s; %s", text, result->text, dx_pool_explain(pool));
    if (result->error != -EPIPE && result->error != -ECONNABORTED && result->error != -EREMOTEIO &&
        result->error != -fault->error)
        complain("job '%s' failed with %d: %s", text, result->error, result->text);
}

static void take_all(dx_pool *pool, struct jobs *jobs)
{
    dx_result result;
    int errors = 0;

    while (jobs->left > 0 && errors < 3) {
        int status = dx_pool_next(pool, &result, stage->patience_ms);

        (void)went(status, "dx_pool_next()", dx_pool_explain(pool), ECONNABORTED);
        if (status == 1)
            check_result(pool, jobs, &result);
        else if (status == 0)
            complain("the pool is empty, and %u jobs have no result", jobs->left);
        errors += status < 0;
        if (stage->complained)
            return;
    }
    if (jobs->left > 0 && !stage->faults.fault.onwards)
        complain("%u jobs have no result: %s", jobs->left, dx_pool_explain(pool));
}

/* Cancel those that are with a worker, wait for one, or are no more; each has one result all the same. */
static void cancel_some(dx_pool *pool, struct jobs *jobs)
{
    for (unsigned i = 0; i < jobs->count; i++) {
        if (i % 2 == 1)
            continue;
        int status = dx_pool_cancel(pool, jobs->numbers[i]);

        if (!went(status, "dx_pool_cancel()", dx_pool_explain(pool), ENOENT) && status != -ENOENT)
            status = dx_pool_cancel(pool, jobs->numbers[i]);
        if (status == 0 && jobs->ended[i])
            complain("job '%s' has a result, and was cancelled then", jobs->texts[i]);
        jobs->cancelled[i] = status == 0;
    }
}

static void use_and_cancel(dx_pool *pool)
{
    /* 'p' pauses its worker for good. */
    static const char *const texts[JOBS] = {"pause", "two", "three", "four", "five", "six"};
    struct jobs jobs = {0};
    dx_result result;

    for (unsigned i = 0; i < JOBS; i++)
        submit(pool, &jobs, texts[i]);
    if (jobs.left > 0 && dx_pool_next(pool, &result, stage->patience_ms) == 1)
        check_result(pool, &jobs, &result);
    cancel_some(pool, &jobs);
    take_all(pool, &jobs);
    if (dx_pool_close(pool) != NULL)
        complain("dx_pool_close() answered something");
}

/* The way of an event loop. */
static void turn(dx_pool *pool, struct jobs *jobs)
{
    struct pollfd polled = {.fd = dx_pool_fd(pool), .events = (short)dx_pool_events(pool)};
    int timeout_ms = dx_pool_timeout_ms(pool);
    dx_result result;
    int status = 1;

    if (timeout_ms < 0 || timeout_ms > stage->patience_ms)
        timeout_ms = stage->patience_ms;
    fault_mute();
    int ready = poll(&polled, 1, timeout_ms);

    fault_unmute();
    if (ready == 0 && timeout_ms == stage->patience_ms && !stage->faults.fault.onwards)
        complain("nothing happens in the loop");
    if (dx_pool_process(pool) != 1)
        return;
    while (status == 1 && jobs->left > 0 && !stage->complained) {
        status = dx_pool_next(pool, &result, DX_NOW);
        (void)went(status, "dx_pool_next()", dx_pool_explain(pool), ETIMEDOUT);
        if (status == 1)
            check_result(pool, jobs, &result);
    }
}

static void use_in_a_loop(dx_pool *pool)
{
    static const char *const texts[JOBS] = {"one", "two", "kill", "error", "five", "six"};
    struct jobs jobs = {0};

    for (unsigned i = 0; i < JOBS; i++)
        submit(pool, &jobs, texts[i]);
    unsigned turns_left = stage->faults.fault.onwards ? TURNS_WITHOUT_MEMORY : TURNS_MAX;

    for (; jobs.left > 0 && turns_left > 0 && !stage->complained; turns_left--)
        turn(pool, &jobs);
    if (jobs.left > 0 && !stage->faults.fault.onwards)
        complain("after all turns of a loop %u jobs have no result: %s", jobs.left,
                 dx_pool_explain(pool));
    if (dx_pool_close(pool) != NULL)
        complain("dx_pool_close() answered something");
}

static void use(dx_pool *pool, bool with_notes)
{
    static const char *const texts[JOBS] = {"one", "two", "kill", "error", "five", "six"};
    struct jobs jobs = {.with_notes = with_notes};

    for (unsigned i = 0; i < JOBS; i++)
        submit(pool, &jobs, texts[i]);
    take_all(pool, &jobs);
    if (dx_pool_close(pool) != NULL)
        complain("dx_pool_close() answered something");
}

/* One works, the other has done so. */
static void use_slowly(dx_pool *pool)
{
    struct jobs jobs = {0};

    submit(pool, &jobs, "wait");
    submit(pool, &jobs, "two");
    take_all(pool, &jobs);
    if (dx_pool_close(pool) != NULL)
        complain("dx_pool_close() answered something");
}

static void hear_nothing(void *context, unsigned worker, const char *bytes, size_t size)
{
    (void)context;
    (void)worker;
    if (size == 0 || bytes == NULL)
        complain("a worker has said nothing on standard error");
}

/* What to do with a pool of these, instead of use(). */
static void play_pool_with(const dx_pool_options *options, char *const argv[],
                           void (*otherwise)(dx_pool *pool))
{
    dx_failure failure = {0};
    dx_pool_options own = *options;
    dx_pool *pool;

    if (stage->faults.fault.onwards)
        run_out();
    own.failure = &failure;
    own.workers = 2;
    own.retries = 1;
    own.backoff_ms = 1;
    own.process.channel.spin_us = -1;
    /* Who is not told to leave waits longer than a point may take. */
    own.process.stop_end_ms = stage->faults.fault.call == CALL_SHUTDOWN ? 120000 : 3000;
    own.process.stop_term_ms = 3000;
    int status = argv != NULL ? dx_pool_open(&pool, argv, &own)
                              : dx_pool_open_function(&pool, be_worker, NULL, &own);

    if (went(status, "dx_pool_open()", failure.text, 0) && otherwise != NULL)
        otherwise(pool);
    else if (status == 0)
        use(pool, own.process.channel.descriptor_limit > 0);
    else if (failure.error != status)
        complain("dx_pool_open() answered %d, and explains %d", status, failure.error);
}

static void play_pool_of(const dx_pool_options *options, char *const argv[])
{
    play_pool_with(options, argv, NULL);
}

static void play_cancel(void)
{
    play_pool_with(&(dx_pool_options){.on_stderr = hear_nothing, .cancel_grace_ms = 1}, NULL,
                   use_and_cancel);
}

static void play_loop(void)
{
    play_pool_with(&(dx_pool_options){.on_stderr = hear_nothing}, NULL, use_in_a_loop);
}

static void play_functions(void)
{
    play_pool_of(&(dx_pool_options){.on_stderr = hear_nothing}, NULL);
}

/* A worker is idle for so long that its size is looked at; it is not too large. */
static void play_growth(void)
{
    play_pool_with(&(dx_pool_options){.recycle_bytes = (size_t)1 << 40, .on_stderr = hear_nothing},
                   NULL, use_slowly);
}

static void play_programs(void)
{
    play_pool_of(&(dx_pool_options){.on_stderr = hear_nothing},
                 (char *[]){fault_partner, "work", NULL});
}

static void play_ordered(void)
{
    play_pool_of(&(dx_pool_options){.ordered = true,
                                    .depth = 3,
                                    .workers_min = 1,
                                    .recycle_jobs = 2,
                                    .on_stderr = hear_nothing},
                 NULL);
}

static void play_descriptors(void)
{
    play_pool_of(&(dx_pool_options){.process = {.channel = {.descriptor_limit = 1}},
                                    .on_stderr = hear_nothing},
                 NULL);
}

/* What the workers say on standard error is passed on. */
static void play_stderr(void)
{
    fault_mute();
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    int ends[2] = {-1, -1};

    (void)!pipe2(ends, O_CLOEXEC);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    fault_unmute();
    play_pool_of(&(dx_pool_options){0}, NULL);
    fault_mute();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[0]);
    fault_unmute();
}

const struct scenario scenarios_of_pools[] = {
    {"pool", play_functions, NULL},
    {"pool-programs", play_programs, NULL},
    {"pool-ordered", play_ordered, NULL},
    {"pool-descriptors", play_descriptors, NULL},
    {"pool-stderr", play_stderr, NULL},
    {"pool-cancel", play_cancel, NULL},
    {"pool-loop", play_loop, NULL},
    {"pool-growth", play_growth, "resident"},
    {NULL, NULL, NULL},
};
