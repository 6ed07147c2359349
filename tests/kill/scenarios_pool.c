/* SPDX-License-Identifier: MIT */
/*
 * Scenarios of pools: whatever worker is killed, each job has one result, and if it may be tried
 * again that is its answer.
 */
#include "kill.h"

#include "channel/lane.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int do_job(dx_channel *channel, const dx_message *job, void *context)
{
    struct play *play = context;
    unsigned number = 0;

    if (job->size >= sizeof(number))
        memcpy(&number, job->data, sizeof(number));
    /* In the third manner one job ends its worker, once: so there is one that has come later. */
    if (play->is.manner == 2 && number == 1 && !atomic_exchange(&play->board->crashed, true))
        _exit(3);
    return dx_reply(channel, job->id, job->data, job->size, WAIT_MS);
}

void pool_child(struct play *play, dx_channel *channel)
{
    int status = dx_work(channel, do_job, play);

    /* A pool that is closed may have jobs that nobody wants to know of any more. */
    if (status < 0 && status != -EPIPE)
        complain(play, "a worker ended with: %s", dx_error_text(status));
}

static int be_worker(dx_channel *channel, void *context)
{
    struct play *play = context;

    pool_child(play, channel);
    return 0;
}

static dx_pool *open_pool(struct play *play)
{
    const struct variation *is = &play->is;
    dx_failure failure = {0};
    char round[16];
    char *argv[] = {"/proc/self/exe", "--child", (char *)play->scenario->name, round, NULL, NULL};
    const dx_descriptor board = {.fd = play->board_fd, .target = BOARD_FD};
    dx_pool_options options = {
        .process = {.channel = channel_of(is),
                    .die_with_parent = is->die_with_parent,
                    .group = is->group},
        .workers = is->workers,
        .depth = is->depth,
        .retries = is->retries,
        .ordered = is->ordered,
        .backoff_ms = 1,
        .failure = &failure,
    };
    dx_pool *pool = NULL;
    int error;

    dxi_lane_worth = 0;
    snprintf(round, sizeof(round), "%u", is->round);
    if (is->spawned) {
        if (is->handover == DX_HANDOVER_ARGV)
            argv[4] = "{fd}";
        options.process.handover = is->handover;
        options.process.descriptors = &board;
        options.process.descriptor_count = 1;
        error = dx_pool_open(&pool, argv, &options);
    } else {
        error = dx_pool_open_function(&pool, be_worker, play, &options);
    }
    if (error < 0)
        complain(play, "the pool could not be opened: %s", failure.text);
    return pool;
}

struct tally {
    bool ended[JOBS_MAX];
    unsigned count, failed;
};

static bool note_result(struct play *play, const dx_result *result, struct tally *tally)
{
    uint64_t job = result->job;

    if (job < 1 || job > play->is.count || tally->ended[job - 1])
        return complain(play, "a result of job %llu came, which has none left",
                        (unsigned long long)job);
    if (play->is.ordered && job != tally->count + 1)
        return complain(play, "the result of job %llu is out of order", (unsigned long long)job);
    tally->ended[job - 1] = true;
    tally->count++;
    if (result->error == 0)
        return is_message(play, &result->message, (unsigned)job - 1);
    tally->failed++;
    if (result->error != -EPIPE || atomic_load(&play->board->killed) == 0)
        return complain(play, "job %llu failed: %s", (unsigned long long)job, result->text);
    if (!result->exit || result->exit->kind != DX_EXIT_SIGNAL || result->exit->signal != SIGKILL)
        return complain(play, "job %llu failed by a death that was another: %s",
                        (unsigned long long)job, result->text);
    return true;
}

static bool take_results(struct play *play, dx_pool *pool, unsigned up_to, struct tally *tally)
{
    while (tally->count < up_to) {
        dx_result result;
        int status = dx_pool_next(pool, &result, WAIT_MS);

        if (status != 1)
            return complain(play, "only %u of %u jobs have a result: %s: %s", tally->count, up_to,
                            dx_error_text(status), dx_pool_explain(pool));
        if (!note_result(play, &result, tally))
            return false;
    }
    return true;
}

static void check_pool(struct play *play, dx_pool *pool, const struct tally *tally)
{
    dx_pool_statistics end;
    dx_result result;

    if (dx_pool_next(pool, &result, DX_NOW) != 0)
        complain(play, "there are more results than jobs");
    dx_pool_statistics_get(pool, &end);
    if (end.done + end.failed != play->is.count || end.failed != tally->failed ||
        end.queued + end.running + end.waiting != 0)
        complain(play, "the pool counts %u done and %u failed of %u", (unsigned)end.done,
                 (unsigned)end.failed, play->is.count);
    /* One death costs one job at the most, and only if it may not be tried again. */
    if (tally->failed > (play->is.retries == 0))
        complain(play, "%u jobs failed of one death, with %u retries", tally->failed,
                 play->is.retries);
}

void pool_parent(struct play *play)
{
    dx_pool *pool = open_pool(play);
    struct tally tally = {0};
    uint8_t bytes[400000];
    unsigned submitted = 0;

    if (!pool)
        return;
    for (; submitted < play->is.count; submitted++) {
        write_message(play, submitted, bytes);
        int error = dx_pool_submit(pool, bytes, size_of(play, submitted), NULL, WAIT_MS);

        if (error < 0) {
            complain(play, "job %u was refused: %s: %s", submitted, dx_error_text(error),
                     dx_pool_explain(pool));
            break;
        }
        if (submitted + 1 - tally.count >= 2 * play->is.window &&
            !take_results(play, pool, tally.count + 1, &tally))
            break;
    }
    if (play->is.manner == 1)
        dx_pool_drain(pool);
    if (take_results(play, pool, submitted, &tally)) {
        check_pool(play, pool, &tally);
        atomic_store(&play->board->complete, true);
    }
    dx_pool_close(pool);
}
