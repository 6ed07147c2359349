/* SPDX-License-Identifier: MIT */
/*
 * A pool at random: jobs of all kinds, workers that die of them, and one result for each job.
 */
#include "jobs.h"

#include "talk.h"

#include "channel/lane.h"
#include "os/os.h"

#include <errno.h>
#include <string.h>

struct jobs jobs;

enum { STOP_MS = 20, POOL_SLACK_NS = 1000000 };

static void plan_pool(void)
{
    static const unsigned depths[] = {0, 1, 2, 5, DX_DEPTH_AUTO};
    dx_pool_options *options = &jobs.options;
    bool short_of_time;

    jobs.wild = random_one_in(&world_plan, 2);
    short_of_time = jobs.wild || random_one_in(&world_plan, 4);
    options->process.channel.type = random_one_in(&world_plan, 2)   ? DX_STREAM
                                    : random_one_in(&world_plan, 2) ? DX_SEQPACKET
                                                                    : DX_DGRAM;
    options->process.channel.socket_only = random_one_in(&world_plan, 3);
    options->process.channel.ring_size = DX_RING_SIZE_MIN;
    options->process.channel.spin_us = random_one_in(&world_plan, 2) ? -1 : 0;
    options->process.channel.message_limit = 1 << 20;
    options->process.stop_end_ms = options->process.stop_term_ms = STOP_MS;
    options->process.group = random_one_in(&world_plan, 4) ? DX_GROUP_NEW : DX_GROUP_INHERIT;
    options->process.die_with_parent = random_one_in(&world_plan, 4);
    options->workers = (unsigned)random_from(&world_plan, 1, 4);
    options->workers_min = (unsigned)random_below(&world_plan, options->workers + 1);
    options->idle_ms = (int)random_from(&world_plan, 1, 30);
    options->depth = depths[random_below(&world_plan, 5)];
    options->ordered = random_one_in(&world_plan, 2);
    options->queue_limit = random_one_in(&world_plan, 2) ? 0 : random_from(&world_plan, 1, 8);
    options->job_timeout_ms = short_of_time ? (int)random_from(&world_plan, 5, 40) : 0;
    options->retries = (unsigned)random_below(&world_plan, 3);
    options->ready = random_one_in(&world_plan, 4) ? DX_READY_AT_ONCE : DX_READY_DEFAULT;
    options->recycle_jobs = random_one_in(&world_plan, 4) ? random_from(&world_plan, 1, 5) : 0;
    options->backoff_ms = (int)random_from(&world_plan, 1, 3);
    options->backoff_max_ms = 10;
    options->cancel_grace_ms = (int)random_from(&world_plan, 1, 20);
    options->restart_limit = random_one_in(&world_plan, 4) ? 3 : 1000;
    dxi_lane_worth =
        random_one_in(&world_plan, 3) ? 1000000 : (unsigned)random_below(&world_plan, 6);
}

static enum deed_of_job choose_deed(void)
{
    if (!jobs.wild || random_one_in(&world_plan, 2))
        return (enum deed_of_job)random_below(&world_plan, JOB_ANSWER_AND_EXIT);
    return (enum deed_of_job)random_below(&world_plan, JOB_DEEDS);
}

static void submit(dx_pool *pool)
{
    static uint8_t bytes[JOB_HEAD + 70000];
    struct job_note *note = &jobs.notes[jobs.count];
    uint32_t place = jobs.count;
    int timeout_ms = (int)random_below(&world_plan, 20);

    if (jobs.count == JOBS_MAX)
        return;
    *note = (struct job_note){.deed = choose_deed()};
    jobs.quitters |= note->deed == JOB_ANSWER_AND_EXIT;
    note->size = JOB_HEAD + random_size(&world_plan, random_one_in(&world_plan, 8) ? 70000 : 500);
    note->answer_size = random_size(&world_plan, random_one_in(&world_plan, 8) ? 70000 : 500);
    memcpy(bytes, &place, sizeof(place));
    memcpy(bytes + JOB_HEAD, talk_pattern(place + 4000, note->size), note->size - JOB_HEAD);
    jobs.count++;
    const dx_job job = {.data = bytes, .size = note->size, .context = note};

    world_promise(timeout_ms, POOL_SLACK_NS);
    int status = dx_pool_submit_job(pool, &job, &note->number, timeout_ms);

    world_kept();
    world_say("submits job %u, deed %d, %zu bytes: %d", place, (int)note->deed, note->size, status);
    if (status == 0) {
        note->accepted = true;
        jobs.accepted++;
        world_check(note->number == jobs.accepted, "job %u has another number", place);
        return;
    }
    if (status == -ECONNABORTED)
        jobs.aborted = true;
    world_check(note->runs == 0, "job %u was not accepted (%d), and is run", place, status);
    world_check(status == -ETIMEDOUT || status == -EDEADLK || status == -ECONNABORTED,
                "a job is not accepted: %d: %s", status, dx_pool_explain(pool));
}

/* Whether a job that did no harm may end without an answer. */
static bool is_excused(const dx_result *result, const struct job_note *note)
{
    switch (result->error) {
    case -ECANCELED:
        return note->cancelled;
    case -ETIMEDOUT:
        return jobs.options.job_timeout_ms > 0;
    case -ECONNABORTED:
        return true;
    case -EPIPE:
        /* A worker that answers one and leaves by itself: nobody knows what it had read. */
        return note->deed == JOB_DIE_ONCE || world_had_death() || world_had_refusal() ||
               (jobs.quitters &&
                (jobs.options.process.channel.type == DX_DGRAM ||
                 !jobs.options.process.channel.socket_only || jobs.options.depth > 1));
    default:
        return false;
    }
}

static void check_result(const dx_result *result)
{
    struct job_note *note = result->context;
    unsigned place = (unsigned)(note - jobs.notes);

    world_say("job %u ends: %d, tries %u: %s", place, result->error, result->tries, result->text);
    world_check(place < jobs.count && note->accepted, "a result of job %u, which there is not",
                place);
    world_check(note->number == result->job, "job %u has another number", place);
    world_check(note->results++ == 0, "job %u has two results", place);
    if (jobs.options.ordered)
        world_check(result->job == jobs.last + 1, "job %u comes out of order", place);
    jobs.last = result->job;
    jobs.ended++;
    if (result->error == 0) {
        world_check(note->deed < JOB_DIE && note->deed != JOB_REFUSE && note->runs > 0,
                    "job %u was answered by nobody", place);
        world_check(result->message.size == note->answer_size &&
                        memcmp(result->message.data, talk_pattern(place + 5000, note->answer_size),
                               note->answer_size) == 0,
                    "the answer to job %u is another", place);
    } else if (result->error == -EREMOTEIO) {
        world_check(note->deed == JOB_REFUSE, "job %u was refused: %s", place, result->text);
    } else if (note->deed < JOB_DIE) {
        world_check(is_excused(result, note), "job %u ends with %d: %s", place, result->error,
                    result->text);
    } else {
        world_check(result->error == -EPIPE || result->error == -ETIMEDOUT ||
                        result->error == -EPROTO || is_excused(result, note),
                    "job %u, which does harm, ends with %d: %s", place, result->error,
                    result->text);
    }
}

static int take(dx_pool *pool, int timeout_ms)
{
    dx_result result;

    world_promise(timeout_ms, POOL_SLACK_NS);
    int status = dx_pool_next(pool, &result, timeout_ms);

    world_kept();
    if (status == 1)
        check_result(&result);
    else
        world_say("takes a result with %d ms: %d", timeout_ms, status);
    if (status == 0)
        world_check(jobs.ended == jobs.accepted, "no job is left, and %u of %u have ended",
                    jobs.ended, jobs.accepted);
    if (status == -ECONNABORTED)
        jobs.aborted = true;
    world_check(status >= 0 || status == -ECONNABORTED ||
                    (status == -ETIMEDOUT && timeout_ms != DX_FOREVER),
                "a result says %d: %s", status, dx_pool_explain(pool));
    return status;
}

static void cancel(dx_pool *pool)
{
    if (jobs.count == 0)
        return;
    struct job_note *note = &jobs.notes[random_below(&world_plan, jobs.count)];

    if (!note->accepted)
        return;
    int status = dx_pool_cancel(pool, note->number);

    world_say("cancels job %u: %d", (unsigned)(note - jobs.notes), status);
    world_check(status == 0 || status == -ENOENT, "a cancel says %d", status);
    if (status == 0)
        note->cancelled = true;
}

static void loop(dx_pool *pool)
{
    int wait_ms = dx_pool_timeout_ms(pool);
    struct pollfd polled = {.fd = dx_pool_fd(pool), .events = (short)dx_pool_events(pool)};

    if (wait_ms < 0 || wait_ms > 20)
        wait_ms = 20;
    dxi_os->poll(&polled, 1, dxi_deadline(wait_ms));
    world_promise(DX_NOW, POOL_SLACK_NS);
    int more = dx_pool_process(pool);

    world_kept();
    world_say("a turn of a loop: %d", more);
    world_check(more >= 0 || more == -ECONNABORTED, "a turn of a loop says %d", more);
}

static void step(dx_pool *pool)
{
    switch (random_below(&world_plan, 10)) {
    case 0:
    case 1:
    case 2:
    case 3:
        submit(pool);
        break;
    case 4:
    case 5:
        take(pool, (int)random_below(&world_plan, 10));
        break;
    case 6:
        take(pool, DX_NOW);
        break;
    case 7:
        loop(pool);
        break;
    case 8:
        if (random_one_in(&world_plan, 2))
            cancel(pool);
        break;
    default:
        world_sleep(random_below(&world_plan, 5000000));
        break;
    }
}

static int open_pool(dx_pool **ret)
{
    static char *const arguments[] = {"/bin/worker", NULL};

    /* As of a conversation. */
    bool tells = jobs.options.process.channel.type != DX_DGRAM || !world_is_old();

    if (random_one_in(&world_plan, 2) && tells)
        return dx_pool_open(ret, arguments, &jobs.options);
    return dx_pool_open_function(ret, work_as_function, NULL, &jobs.options);
}

void pools(void *context)
{
    dx_pool *pool;

    (void)context;
    memset(&jobs, 0, sizeof(jobs));
    plan_pool();
    unsigned steps = (unsigned)random_from(&world_plan, 1, 60);
    bool leaves_early = random_one_in(&world_plan, 6);
    int status = open_pool(&pool);

    world_check(status == 0, "the pool is not opened: %d", status);
    for (unsigned i = 0; i < steps; i++)
        step(pool);
    if (!leaves_early) {
        if (random_one_in(&world_plan, 2))
            world_check(dx_pool_drain(pool) == 0, "a drain fails");
        while (take(pool, DX_FOREVER) == 1)
            continue;
    }
    world_promise(2 * STOP_MS, (uint64_t)10 * POOL_SLACK_NS);
    dx_pool_close(pool);
    world_kept();
}

static const struct world_program programs[] = {{"/bin/worker", work_as_program}, {NULL, NULL}};

const struct world_program *pools_programs(void)
{
    return programs;
}
