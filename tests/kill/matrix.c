/* SPDX-License-Identifier: MIT */
/*
 * Lists the points of a round and runs them, in several processes side by side. The order is always
 * the same; what a process does may differ a little from run to run, so some points are not reached:
 * these are counted, and not as points.
 */
#include "kill.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LATE_TIMES = 2,  /* so often a point is run that took too long */
    FAILED_MAX = 10, /* failures after which no more are looked for */
    STEP_STRIDE = 4, /* of the instructions after a mark each round takes every fourth */
    TIMES = 24,      /* deaths by the clock for each round of a scenario */
    TIME_MAX_US = 3000,
    SPREAD = 4, /* a small number of points is drawn from so many rounds */
};

struct points {
    struct point *items;
    size_t count, room;
};

struct bench {
    struct board *board;
    int fd;
};

static struct bench open_board(void)
{
    struct bench bench = {.fd = memfd_create("board", MFD_CLOEXEC)};

    if (bench.fd < 0 || ftruncate(bench.fd, sizeof(struct board)) < 0)
        abort();
    bench.board = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, bench.fd, 0);
    if (bench.board == MAP_FAILED)
        abort();
    return bench;
}

static void close_board(struct bench *bench)
{
    munmap(bench->board, sizeof(struct board));
    close(bench->fd);
}

static void add(struct points *points, const struct point *point)
{
    if (points->count == points->room) {
        points->room = points->room * 2 + 1024;
        points->items = realloc(points->items, points->room * sizeof(*points->items));
        if (!points->items)
            abort();
    }
    points->items[points->count++] = *point;
}

static void report(const struct point *point, const char *text)
{
    char name[128];

    point_print(point, name, sizeof(name));
    printf("kill: FAILED %s: %s%s\n    again: ./dev kill --point %s\n", name, text,
           point->nth == 0 ? ", and nobody was killed" : "", name);
    fflush(stdout);
}

/* What one process does when nobody is killed. That run has to be without fault, too, or is all. */
static bool look_at(const struct point *point, struct bench *bench, struct sightings *ret,
                    struct totals *totals)
{
    struct outcome outcome;
    char text[512];

    ret->count = 0;
    run_point(point, bench->board, bench->fd, ret, &outcome);
    judge(point, bench->board, &outcome, text, sizeof(text));
    if (text[0] == '\0')
        return true;
    atomic_fetch_add(&totals->failed, 1);
    report(point, text);
    return false;
}

static void add_sighted(struct points *points, struct point point, const struct sighting *sighting)
{
    int other = point.watched == PARENT ? CHILD : PARENT;

    point.stop = sighting->stop;
    point.call = sighting->call;
    point.nth = sighting->nth;
    if (point.stop == AT_STEP && (point.nth + point.round) % STEP_STRIDE != 0)
        return;
    point.victim = point.watched;
    add(points, &point);
    if (point.stop == AT_BIRTH)
        other = (int)point.nth;
    else if (!sighting->other_lives || point.stop == AT_STEP)
        return;
    point.victim = other;
    add(points, &point);
}

static void add_times(struct points *points, const struct scenario *scenario, unsigned round)
{
    uint32_t state = round * 2654435761u + 12345;

    for (unsigned i = 0; i < TIMES; i++) {
        struct point point = {scenario, round, CHILD, i % 2 ? CHILD : PARENT, AT_TIME, 0, 0};

        state = state * 1664525u + 1013904223u;
        point.nth = state / 65536 * TIME_MAX_US / 65536 + 1;
        add(points, &point);
    }
}

static void list_scenario(struct points *points, const struct scenario *scenario, unsigned round,
                          struct totals *totals)
{
    struct sightings seen = {0};
    struct bench bench = open_board();
    bool good = true;

    for (int who = PARENT; who <= (int)scenario->children; who++) {
        for (enum stop stop = AT_ENTRY; stop <= AT_STEP && good; stop += AT_STEP - AT_ENTRY) {
            struct point point = {.scenario = scenario, round, who, who, stop, 0, 0};

            if (stop == AT_STEP && !scenario->marked)
                continue;
            good = look_at(&point, &bench, &seen, totals);
            for (size_t i = 0; i < seen.count && good; i++)
                add_sighted(points, point, &seen.items[i]);
        }
    }
    if (good)
        add_times(points, scenario, round);
    free(seen.items);
    close_board(&bench);
}

static void run_one(const struct point *point, struct bench *bench, bool private,
                    struct totals *totals)
{
    struct outcome outcome;
    char text[512];

    for (unsigned times = 0; times < LATE_TIMES; times++) {
        run_point(point, bench->board, bench->fd, NULL, &outcome);
        judge(point, bench->board, &outcome, text, sizeof(text));
        if (text[0] != '\0' || outcome.took_ms <= (uint64_t)PROMPT_MS * slowness)
            break;
        /* On a crowded machine that proves nothing; twice it does. */
        if (times > 0)
            snprintf(text, sizeof(text), "%u ms passed from the death to the end of all",
                     (unsigned)outcome.took_ms);
        else
            atomic_fetch_add(&totals->late, 1);
    }
    if (text[0] == '\0' && private)
        folders_look(text, sizeof(text));
    if (text[0] != '\0') {
        atomic_fetch_add(&totals->failed, 1);
        report(point, text);
    }
    if (!outcome.reached) {
        atomic_fetch_add(&totals->missed, 1);
        return;
    }
    atomic_fetch_add(&totals->run, 1);
    atomic_fetch_add(&totals->by_victim[point->victim == PARENT ? PARENT : CHILD], 1);
    atomic_fetch_add(&totals->by_stop[point->stop], 1);
    for (uint64_t slowest = atomic_load(&totals->slowest_ms); outcome.took_ms > slowest;) {
        if (atomic_compare_exchange_weak(&totals->slowest_ms, &slowest, outcome.took_ms))
            break;
    }
}

static _Noreturn void work(const struct points *points, size_t wanted, struct totals *totals)
{
    struct bench bench = open_board();
    bool private = folders_make_private();

    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (!private)
        atomic_store(&totals->blind, true);
    for (;;) {
        size_t turn = atomic_fetch_add(&totals->next, 1);

        if (turn >= wanted || atomic_load(&totals->failed) >= FAILED_MAX)
            _exit(0);
        /* Evenly from all of them, if not all are wanted. */
        run_one(&points->items[turn * points->count / wanted], &bench, private, totals);
    }
}

static void run_points(const struct points *points, size_t wanted, unsigned jobs,
                       struct totals *totals)
{
    fflush(stdout);
    atomic_store(&totals->next, 0);
    for (unsigned i = 0; i < jobs; i++) {
        pid_t pid = fork();

        if (pid == 0)
            work(points, wanted, totals);
        if (pid < 0)
            abort();
    }
    for (unsigned i = 0; i < jobs; i++) {
        int status;

        while (wait(&status) < 0 && errno == EINTR)
            continue;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            printf("kill: FAILED: a runner ended with the status 0x%x\n", (unsigned)status);
            atomic_fetch_add(&totals->failed, 1);
        }
    }
}

static void list_round(struct points *points, const struct ask *ask, unsigned round,
                       struct totals *totals)
{
    points->count = 0;
    for (size_t i = 0; i < scenario_count && atomic_load(&totals->failed) < FAILED_MAX; i++) {
        bool wanted = !ask->scenario || strcmp(ask->scenario, scenarios[i].name) == 0;

        if (wanted && (scenarios[i].parent != command_parent || has_command()))
            list_scenario(points, &scenarios[i], round, totals);
    }
}

void matrix_list(const struct ask *ask, struct totals *totals)
{
    struct points points = {0};
    char name[128];

    list_round(&points, ask, ask->first_round, totals);
    for (size_t i = 0; i < points.count; i++) {
        point_print(&points.items[i], name, sizeof(name));
        printf("%s\n", name);
    }
    free(points.items);
}

/* Keep those before and after system calls of the victim itself. */
static void keep_own(struct points *points)
{
    size_t kept = 0;

    for (size_t i = 0; i < points->count; i++) {
        const struct point *point = &points->items[i];

        if (point->watched == point->victim && point->stop <= AT_EXIT)
            points->items[kept++] = *point;
    }
    points->count = kept;
}

/*
 * All points of one round after the other, if so many are asked for. If fewer are: of the first round
 * those before and after each system call of the victim itself, at most half of what is asked for;
 * the rest is drawn from all points of several rounds.
 */
void matrix_run(const struct ask *ask, struct totals *totals)
{
    struct points points = {0};
    unsigned round = ask->first_round;
    size_t share = ask->points;

    list_round(&points, ask, round, totals);
    if (ask->points < 2 * points.count) {
        keep_own(&points);
        share = ask->points / 2 < points.count ? ask->points / 2 : points.count;
        run_points(&points, share, ask->jobs, totals);
        share = (ask->points - share) / SPREAD + 1;
        list_round(&points, ask, ++round, totals);
    }
    while (points.count > 0 && atomic_load(&totals->run) < ask->points &&
           atomic_load(&totals->failed) < FAILED_MAX) {
        size_t left = ask->points - atomic_load(&totals->run);
        size_t wanted = share < left ? share : left;

        run_points(&points, wanted < points.count ? wanted : points.count, ask->jobs, totals);
        if (atomic_load(&totals->run) < ask->points)
            list_round(&points, ask, ++round, totals);
    }
    free(points.items);
}

bool matrix_repeat(const struct point *point, unsigned times)
{
    struct bench bench = open_board();
    bool private = folders_make_private(), good = true;
    static struct totals totals;

    for (unsigned i = 0; i < times; i++)
        run_one(point, &bench, private, &totals);
    good = atomic_load(&totals.failed) == 0;
    printf("kill: %u times, %zu reached, %zu failed\n", times, atomic_load(&totals.run),
           atomic_load(&totals.failed));
    close_board(&bench);
    return good;
}
