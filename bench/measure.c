/* SPDX-License-Identifier: MIT */
/*
 * Run the passes of a group of conversations: each pass takes every row once, so that a change of
 * the machine's mood meets all of them. Some runs before, not reported, find how many messages fill
 * the time. One more run of round trips, after the passes, takes the time of each; beside busy
 * processes all do, because there a mean says little.
 */
#include "bench.h"
#include "peers/peer.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum {
    TIME_LIMIT_S = 20,
    COUNT_MIN = 16,
    COUNT_MAX = 1 << 27,
    FIRST_BYTES = 8 << 20,
    FIRST_COUNT = 2048,
    FIRST_ROUND_TRIPS = 64,
    CALIBRATIONS_MAX = 6,
    GROWTH_MAX = 32,
    BUSY_SETTLE_MS = 100,
    BUSY_ALONE_MS = 200,
    IDLE_WARM_UP = 4096, /* messages before the silence: a fast lane has begun by then */
};

/* Beside busy processes: many turns of the scheduler, however short the other runs are. */
static const double busy_seconds = 0.3;

struct assignment {
    const struct peer *peer;
    struct task task;
    bool one_by_one;
    bool busy;
    bool compare;        /* busy processes with themselves while there is no pair */
    double idle_seconds; /* 0: none */
};

static int run_phase(const struct assignment *assignment, void *pair, uint64_t count)
{
    const struct task *task = &assignment->task;
    const struct peer *peer = assignment->peer;

    if (task->work == WORK_ROUND_TRIP)
        return peer->round_trip(pair, task->size, count);
    if (task->work == WORK_CALLS)
        return peer->calls(pair, task->size, count, task->corked);
    if (task->work == WORK_POOL)
        return peer->jobs(pair, task->size, count);
    return peer->one_way(pair, task->size, count, task->corked);
}

/* What the busy processes do in a second while there is no pair. */
static double work_alone(const struct busy *busy)
{
    const struct timespec settle = {.tv_nsec = BUSY_SETTLE_MS * 1000000L};
    const struct timespec pause = {.tv_nsec = BUSY_ALONE_MS * 1000000L};
    double started;
    uint64_t before;

    nanosleep(&settle, NULL); /* until they all run, and the scheduler has made up its mind */
    started = side_now();
    before = busy_work(busy);
    nanosleep(&pause, NULL);
    return (double)(busy_work(busy) - before) / (side_now() - started);
}

/* The messages that are timed. */
static int run_timed(const struct assignment *assignment, void *pair, const struct busy *busy,
                     double alone, struct figures *figures)
{
    uint64_t work = busy ? busy_work(busy) : 0;
    double cpu = side_cpu();
    double started = side_now();
    int error = 0;

    if (assignment->one_by_one)
        latency_start();
    if (assignment->idle_seconds > 0)
        error = idle_measure(assignment->peer, pair, assignment->idle_seconds, figures);
    if (error == 0)
        error = run_phase(assignment, pair, assignment->task.count);
    figures->elapsed = side_now() - started;
    figures->parent_cpu += side_cpu() - cpu;
    if (assignment->one_by_one)
        latency_stop(&figures->p50, &figures->p99);
    if (busy)
        figures->busy_loss = 1 - (double)(busy_work(busy) - work) / figures->elapsed / alone;
    return error;
}

/* Runs in a process of its own: be the parent of the pair. */
static int converse(void *shared, const void *argument)
{
    const struct assignment *assignment = argument;
    struct figures *figures = shared;
    struct trial trial = {.task = assignment->task, .figures = figures};
    struct busy *busy = NULL;
    double alone = 0;
    void *pair = NULL;
    int closed;
    int error = side_place(trial.task.placement, false);

    if (error == 0 && assignment->busy)
        error = busy_start(&busy, trial.task.placement);
    if (busy && assignment->compare)
        alone = work_alone(busy);
    if (error == 0)
        error = assignment->peer->open(assignment->peer, &trial, &pair);
    if (error == 0) {
        if (trial.task.warm_up > 0)
            error = run_phase(assignment, pair, trial.task.warm_up);
        if (error == 0)
            error = run_timed(assignment, pair, busy, alone, figures);
        closed = assignment->peer->close(pair);
        error = error < 0 ? error : closed;
    }
    if (busy)
        busy_stop(busy);
    return error;
}

static struct task task_of(const struct group *group, const struct row *row)
{
    bool round_trips = group->work == WORK_BUSY || group->work == WORK_IDLE;

    return (struct task){
        .work = round_trips ? WORK_ROUND_TRIP : group->work,
        .placement = group->placement,
        .size = group->size,
        .corked = row->corked,
        .warm_up = row->warm_up,
        .count = row->count,
    };
}

enum purpose { TO_CALIBRATE, TO_TIME_ALL, TO_TIME_EACH };

static int run_row(const struct group *group, struct row *row, const struct effort *effort,
                   enum purpose purpose, struct figures *ret)
{
    struct assignment assignment = {
        .peer = row->peer,
        .task = task_of(group, row),
        .one_by_one = purpose == TO_TIME_EACH || group->work == WORK_BUSY,
        .busy = group->work == WORK_BUSY,
        .compare = purpose != TO_CALIBRATE,
        .idle_seconds = group->work == WORK_IDLE ? effort->idle_seconds : 0,
    };
    struct alone alone = {
        .body = converse,
        .argument = &assignment,
        .shared_size = sizeof(*ret),
        .limit_s = TIME_LIMIT_S,
        .interrupt_fd = effort->interrupt_fd,
    };
    int error = alone_run(&alone, ret, row->skipped);

    if (error < 0) {
        row->failed = true;
        if (ret->failure[0])
            snprintf(row->skipped, sizeof(row->skipped), "%s", ret->failure);
    }
    return error;
}

static uint64_t first_count(const struct group *group, const struct row *row)
{
    uint64_t count = FIRST_BYTES / group->size;

    if (row->peer->first_count > 0)
        return row->peer->first_count;
    if (!group_is_rate(group))
        return FIRST_ROUND_TRIPS;
    return count < FIRST_COUNT ? count : FIRST_COUNT;
}

static uint64_t warm_up_of(const struct row *row)
{
    return row->peer->run_seconds > 0 ? 0 : row->count / 16 + 4;
}

/*
 * Counts that need about so many seconds. Each run is a better guess than the one before: the first
 * messages of a conversation may be far slower than those that follow.
 */
static int calibrate(const struct group *group, struct row *row, const struct effort *effort)
{
    double seconds = effort->seconds;

    if (group->work == WORK_BUSY && seconds < busy_seconds)
        seconds = busy_seconds;
    if (seconds < row->peer->run_seconds)
        seconds = row->peer->run_seconds;
    row->count = first_count(group, row);
    for (int i = 0; i < CALIBRATIONS_MAX; i++) {
        struct figures figures;
        double count;
        int error;

        if (row->count < COUNT_MIN)
            row->count = COUNT_MIN;
        row->warm_up = warm_up_of(row);
        error = run_row(group, row, effort, TO_CALIBRATE, &figures);
        if (error < 0)
            return error;
        count = seconds / (figures.elapsed / (double)row->count);
        if (count > (double)row->count * GROWTH_MAX)
            count = (double)row->count * GROWTH_MAX;
        if (count < COUNT_MIN)
            count = COUNT_MIN;
        if (count > COUNT_MAX)
            count = COUNT_MAX;
        row->count = (uint64_t)count;
        row->warm_up = warm_up_of(row);
        if (figures.elapsed > seconds / 4)
            break;
    }
    return 0;
}

static void note(const struct group *group, struct row *row, const struct figures *figures)
{
    double count = (double)row->count;
    bool idle = group->work == WORK_IDLE;

    row->seconds[row->passes] = figures->elapsed / count;
    row->parent_cpu[row->passes] = idle ? figures->idle_parent : figures->parent_cpu / count;
    row->child_cpu[row->passes] = idle ? figures->idle_child : figures->child_cpu / count;
    row->busy_loss[row->passes] = figures->busy_loss;
    row->passes++;
}

static void note_one_by_one(struct row *row, const struct figures *figures)
{
    /* A peer whose parent is a program of its own has no such times. */
    if (figures->p50 <= 0)
        return;
    row->p50[row->noted] = figures->p50;
    row->p99[row->noted] = figures->p99;
    row->noted++;
}

static void ask_whether_available(const struct group *group, struct row *row)
{
    struct task task = task_of(group, row);
    const char *reason = row->peer->unavailable(row->peer, &task);
    struct machine machine;

    machine_describe(&machine);
    if (group->placement == PLACEMENT_PINNED && machine.cpus < 2)
        reason = "only one CPU is allowed";
    if (reason)
        snprintf(row->skipped, sizeof(row->skipped), "%s", reason);
}

/* Run each row once. Only an interrupt stops it. */
static int run_pass(struct group *group, const struct effort *effort, enum purpose purpose)
{
    for (unsigned i = 0; i < group->row_count; i++) {
        struct row *row = &group->rows[i];
        struct figures figures;
        int error;

        if (row->skipped[0] != '\0')
            continue;
        error = run_row(group, row, effort, purpose, &figures);
        if (error == -EINTR)
            return error;
        if (error < 0)
            continue;
        if (purpose == TO_TIME_ALL)
            note(group, row, &figures);
        if (purpose == TO_TIME_EACH || group->work == WORK_BUSY)
            note_one_by_one(row, &figures);
    }
    return 0;
}

int measure_group(struct group *group, const struct effort *effort)
{
    unsigned passes = group->work == WORK_IDLE ? 1 : effort->passes;
    int error = 0;

    for (unsigned i = 0; i < group->row_count && error != -EINTR; i++) {
        struct row *row = &group->rows[i];

        ask_whether_available(group, row);
        row->count = 4;
        row->warm_up = IDLE_WARM_UP;
        if (row->skipped[0] == '\0' && group->work != WORK_IDLE)
            error = calibrate(group, row, effort);
    }
    if (error == -EINTR)
        return error;
    error = 0;
    for (unsigned pass = 0; pass < passes && error == 0; pass++)
        error = run_pass(group, effort, TO_TIME_ALL);
    if (error == 0 && group->work == WORK_ROUND_TRIP)
        error = run_pass(group, effort, TO_TIME_EACH);
    return error;
}
