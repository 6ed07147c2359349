/* SPDX-License-Identifier: MIT */
/*
 * Which points there are: a run without a fault counts the calls of each scenario.
 */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SCENARIOS_MAX = 64,
    PROCESSES_MAX = 16,
};

struct counted {
    const struct scenario *scenario;
    long counts[FAULT_SIDES][FAULT_CALLS];
};

static const struct scenario *const lists[] = {
    scenarios_of_conversation, scenarios_of_channels, scenarios_of_calls,
    scenarios_of_processes,    scenarios_of_pools,
};

static const struct scenario *find(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
        for (const struct scenario *scenario = lists[i]; scenario->name; scenario++)
            if (strlen(scenario->name) == length && memcmp(scenario->name, name, length) == 0)
                return scenario;
    return NULL;
}

static void name_point(char ret[POINT_SIZE], const struct scenario *scenario,
                       const struct fault *fault, const char *error, int length)
{
    snprintf(ret, POINT_SIZE, "%s/%s%s/%ld/%.*s", scenario->name,
             fault->side == SIDE_CHILD ? "child:" : "", fault_kinds[fault->call].name, fault->at,
             length, error);
}

static void note_failure(struct summary *summary, const char *point)
{
    if (summary->failed++ == 0)
        snprintf(summary->first, sizeof(summary->first), "%s: %s", point, stage->complaint);
    printf("faults: FAILED %s: %s\n", point, stage->complaint);
    fflush(stdout);
}

/* Count the calls of a scenario without a fault. */
static void count_calls(struct counted *counted, int times, struct summary *summary)
{
    const struct fault none = {.call = -1};
    long ms;

    for (int i = 0; i < times; i++) {
        if (!run_point(counted->scenario, &none, &ms)) {
            note_failure(summary, counted->scenario->name);
            memset(counted->counts, 0, sizeof(counted->counts));
            return;
        }
        for (int side = 0; side < FAULT_SIDES; side++)
            for (int call = 0; call < FAULT_CALLS; call++)
                if (stage->faults.counts[side][call] > counted->counts[side][call])
                    counted->counts[side][call] = stage->faults.counts[side][call];
    }
}

/* How far one of the processes has come. */
struct progress {
    const struct choice *choice;
    struct summary *summary;
    unsigned process;
    unsigned long pass;
    unsigned long index; /* of the next point, of all there are */
    double end;          /* no point begins later */
};

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Whether the next point is one that was chosen, and is this process's. */
static bool is_ours(struct progress *progress)
{
    const struct choice *choice = progress->choice;
    unsigned long index = progress->index++;
    unsigned long stride = choice->stride * choice->passes;

    if (index % stride != (choice->start + progress->pass * choice->stride) % stride ||
        index / stride % choice->processes != progress->process)
        return false;
    if (progress->end > 0 && now_s() > progress->end)
        progress->summary->in_time = false;
    return progress->summary->in_time;
}

static void run_one(struct progress *progress, const struct scenario *scenario,
                    const struct fault *fault, const char *error, int length)
{
    struct summary *summary = progress->summary;
    char name[POINT_SIZE];
    long ms;

    name_point(name, scenario, fault, error, length);
    summary->points++;
    if (!run_point(scenario, fault, &ms))
        note_failure(summary, name);
    summary->met += stage->faults.met > 0;
    if (ms > summary->slowest_ms) {
        summary->slowest_ms = ms;
        snprintf(summary->slowest, sizeof(summary->slowest), "%s", name);
    }
    if (progress->choice->verbose)
        printf("%s %ld ms%s\n", name, ms, stage->faults.met > 0 ? "" : ", not met");
}

/* A function that no scenario calls never fails. */
static void tell_uncalled(const struct counted *counted, size_t count)
{
    for (int call = 0; call < FAULT_CALLS; call++) {
        long calls = 0;

        for (size_t i = 0; i < count; i++)
            calls += counted[i].counts[SIDE_OWN][call] + counted[i].counts[SIDE_CHILD][call];
        if (calls == 0)
            printf("faults: no scenario calls %s\n", fault_kinds[call].name);
    }
}

/* All points of one function of one scenario. */
static void run_call(struct progress *progress, const struct counted *counted, enum fault_side side,
                     int call)
{
    const char *only = counted->scenario->only;
    long places = counted->counts[side][call];

    if (only != NULL && strcmp(only, fault_kinds[call].name) != 0)
        return;
    if (progress->choice->places > 0 && places > progress->choice->places)
        places = progress->choice->places;

    for (long at = 1; at <= places; at++) {
        const char *error = fault_kinds[call].errors;

        for (size_t length; *error != '\0'; error += length + strspn(error + length, " ")) {
            length = strcspn(error, " ");
            struct fault fault = {
                .side = side,
                .call = call,
                .at = at,
                .error = fault_error_by_name(error, length),
                .onwards = error[length - 1] == '+',
            };

            if (is_ours(progress))
                run_one(progress, counted->scenario, &fault, error, (int)length);
        }
    }
}

static void run_share(struct progress *progress, const struct counted *counted, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (int side = 0; side < FAULT_SIDES; side++)
            for (int call = 0; call < FAULT_CALLS; call++)
                run_call(progress, &counted[i], (enum fault_side)side, call);
}

static void add(struct summary *sum, const struct summary *part)
{
    sum->points += part->points;
    sum->met += part->met;
    if (sum->failed == 0)
        memcpy(sum->first, part->first, sizeof(sum->first));
    sum->failed += part->failed;
    sum->in_time = sum->in_time && part->in_time;
    if (part->slowest_ms > sum->slowest_ms) {
        sum->slowest_ms = part->slowest_ms;
        memcpy(sum->slowest, part->slowest, sizeof(sum->slowest));
    }
}

/* Share the points among processes, and add up what they found. */
static void run_shares(const struct choice *choice, const struct counted *counted, size_t count,
                       double end, struct summary *sum)
{
    size_t size = sizeof(struct summary) * PROCESSES_MAX;
    struct summary *parts =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[PROCESSES_MAX];

    if (parts == MAP_FAILED)
        abort();
    fflush(stdout);
    for (unsigned i = 0; i < choice->processes; i++) {
        pids[i] = fork();
        if (pids[i] != 0)
            continue;
        struct progress progress = {choice, &parts[i], i, 0, 0, end};

        /* A stage of its own. */
        run_end();
        run_begin();
        parts[i].in_time = true;
        for (; progress.pass < choice->passes; progress.pass++, progress.index = 0)
            run_share(&progress, counted, count);
        fflush(stdout);
        _exit(0);
    }
    for (unsigned i = 0; i < choice->processes; i++) {
        int status = -1;

        if (pids[i] < 0 || waitpid(pids[i], &status, 0) < 0 || status != 0) {
            parts[i].failed++;
            snprintf(parts[i].first, sizeof(parts[i].first), "one of the processes has failed");
        }
        add(sum, &parts[i]);
    }
    munmap(parts, size);
}

struct summary run_faults(const struct choice *choice)
{
    static struct counted counted[SCENARIOS_MAX];
    struct summary sum = {.in_time = true};
    struct choice own = *choice;
    size_t count = 0;

    if (own.processes > PROCESSES_MAX)
        own.processes = PROCESSES_MAX;
    memset(counted, 0, sizeof(counted));
    run_begin();
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        for (const struct scenario *scenario = lists[i]; scenario->name; scenario++) {
            if (own.scenario != NULL && strcmp(own.scenario, scenario->name) != 0)
                continue;
            counted[count].scenario = scenario;
            count_calls(&counted[count++], own.counts, &sum);
        }
    }
    sum.scenarios = count;
    if (own.scenario == NULL)
        tell_uncalled(counted, count);
    double end = choice->seconds > 0 ? now_s() + choice->seconds : 0;

    run_shares(&own, counted, count, end, &sum);
    run_end();
    return sum;
}

/* The parts of SCENARIO/FUNCTION/N/ERROR. */
static bool read_name(const char *name, const struct scenario **ret_scenario, struct fault *ret)
{
    const char *function = strchr(name, '/');
    const char *at = function != NULL ? strchr(function + 1, '/') : NULL;
    const char *error = at != NULL ? strchr(at + 1, '/') : NULL;

    if (error == NULL)
        return false;
    *ret_scenario = find(name, (size_t)(function - name));
    function++;
    if (strncmp(function, "child:", 6) == 0) {
        function += 6;
        ret->side = SIDE_CHILD;
    }
    ret->call = fault_call_by_name(function, (size_t)(at - function));
    ret->at = atol(at + 1);
    ret->error = fault_error_by_name(error + 1, strlen(error + 1));
    ret->onwards = error[strlen(error) - 1] == '+';
    return *ret_scenario != NULL && ret->call >= 0 && ret->at > 0 && ret->error != 0;
}

int run_point_named(const char *name)
{
    const struct scenario *scenario;
    struct fault fault = {0};
    long ms;

    if (!read_name(name, &scenario, &fault)) {
        printf("faults: there is no point '%s'\n", name);
        return 1;
    }
    run_begin();
    bool is_well = run_point(scenario, &fault, &ms);

    printf("faults: %s: %s, %ld ms%s%s\n", name, is_well ? "passed" : "FAILED", ms,
           stage->faults.met > 0 ? "" : ", and nothing failed in it", is_well ? "" : ": ");
    if (!is_well)
        printf("%s\n", stage->complaint);
    run_end();
    return is_well ? 0 : 1;
}

long run_places(const char *scenario, const char *function, const char *error, long places)
{
    long met = 0;

    run_begin();
    for (long at = 1; at <= places && met >= 0; at++) {
        const struct scenario *found = NULL;
        struct fault fault = {0};
        char name[POINT_SIZE];
        long ms;

        snprintf(name, sizeof(name), "%s/%s/%ld/%s", scenario, function, at, error);
        if (!read_name(name, &found, &fault)) {
            printf("faults: there is no point '%s'\n", name);
            met = -1;
        } else if (!run_point(found, &fault, &ms)) {
            printf("faults: %s: %s\n", name, stage->complaint);
            met = -1;
        } else {
            met += stage->faults.met > 0;
        }
    }
    fflush(stdout);
    run_end();
    return met;
}
