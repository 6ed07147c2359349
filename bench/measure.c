/* SPDX-License-Identifier: MIT */
/*
 * Run the passes of a group of conversations: each pass takes every row once, so that a change of
 * the machine's mood meets all of them. A first pass, not reported, finds how many messages fill
 * the time.
 */
#include "bench.h"
#include "peers/peer.h"

#include <string.h>

enum { TIME_LIMIT_S = 20, COUNT_MIN = 16, COUNT_MAX = 1 << 27, FIRST_BYTES = 8 << 20 };

struct assignment {
    const struct peer *peer;
    struct task task;
};

/* Runs in a process of its own: be the parent of the pair. */
static int converse(void *shared, const void *argument)
{
    const struct assignment *assignment = argument;
    const struct task *task = &assignment->task;
    const struct peer *peer = assignment->peer;
    struct figures *figures = shared;
    struct trial trial = {.task = *task, .figures = figures};
    double started = 0;
    double cpu = 0;
    void *pair = NULL;
    int closed;
    int error = side_place(task->placement, false);

    if (error == 0)
        error = peer->open(peer, &trial, &pair);
    if (error != 0)
        return error;
    for (int timed = 0; timed < 2 && error == 0; timed++) {
        uint64_t count = timed ? task->count : task->warm_up;

        cpu = side_cpu();
        started = side_now();
        if (task->work == WORK_ROUND_TRIP)
            error = peer->round_trip(pair, task->size, count);
        else if (task->work == WORK_CALLS)
            error = peer->calls(pair, task->size, count, task->corked);
        else
            error = peer->one_way(pair, task->size, count, task->corked);
    }
    figures->elapsed = side_now() - started;
    figures->parent_cpu = side_cpu() - cpu;
    closed = peer->close(pair);
    return error < 0 ? error : closed;
}

static int run_row(const struct group *group, struct row *row, struct figures *ret)
{
    struct assignment assignment = {
        .peer = row->peer,
        .task = {.work = group->work,
                 .placement = group->placement,
                 .size = group->size,
                 .corked = row->corked,
                 .warm_up = row->warm_up,
                 .count = row->count},
    };
    struct alone alone = {
        .body = converse,
        .argument = &assignment,
        .shared_size = sizeof(*ret),
        .limit_s = TIME_LIMIT_S,
    };
    int error = alone_run(&alone, ret, row->skipped);

    if (error < 0)
        row->failed = true;
    return error;
}

/* Counts that need about so many seconds, from a first short run. */
static void calibrate(const struct group *group, struct row *row, double seconds)
{
    struct figures figures;
    double count;

    row->count = group->work == WORK_ROUND_TRIP ? 64 : FIRST_BYTES / group->size;
    if (row->count < COUNT_MIN)
        row->count = COUNT_MIN;
    row->warm_up = row->count / 4;
    if (run_row(group, row, &figures) < 0)
        return;
    count = seconds / (figures.elapsed / (double)row->count);
    if (count < COUNT_MIN)
        count = COUNT_MIN;
    if (count > COUNT_MAX)
        count = COUNT_MAX;
    row->count = (uint64_t)count;
    row->warm_up = row->count / 16 + 4;
}

static void note(struct row *row, const struct figures *figures)
{
    double count = (double)row->count;

    row->seconds[row->passes] = figures->elapsed / count;
    row->parent_cpu[row->passes] = figures->parent_cpu / count;
    row->child_cpu[row->passes] = figures->child_cpu / count;
    row->passes++;
}

static void ask_whether_available(const struct group *group, struct row *row)
{
    struct task task = {.work = group->work, .size = group->size, .corked = row->corked};
    const char *reason = row->peer->unavailable(row->peer, &task);
    struct machine machine;

    machine_describe(&machine);
    if (group->placement == PLACEMENT_PINNED && machine.cpus < 2)
        reason = "only one CPU is allowed";
    if (reason)
        snprintf(row->skipped, sizeof(row->skipped), "%s", reason);
}

void measure_group(struct group *group, const struct effort *effort)
{
    for (unsigned i = 0; i < group->row_count; i++) {
        ask_whether_available(group, &group->rows[i]);
        if (group->rows[i].skipped[0] == '\0')
            calibrate(group, &group->rows[i], effort->seconds);
    }
    for (unsigned pass = 0; pass < effort->passes; pass++) {
        for (unsigned i = 0; i < group->row_count; i++) {
            struct row *row = &group->rows[i];
            struct figures figures;

            if (row->skipped[0] == '\0' && run_row(group, row, &figures) == 0)
                note(row, &figures);
        }
    }
}
