/* SPDX-License-Identifier: MIT */
/*
 * The kill matrix as a test, and by options more of it:
 *
 *   test_kill [--points N] [--jobs N] [--round N] [--scenario NAME]
 *   test_kill --point POINT [--times N]     one point again, as a failure was printed
 *   test_kill --list ROUND                  the points of a round
 */
#include "kill.h"

#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

const char kill_command[] = DUPLEX_TEST_COMMAND;

enum { POINTS_IN_A_TEST = 500, POINTS_IN_A_SLOW_TEST = 100 };

static unsigned number_of(const char *text)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || number == 0 || number > 1000000000) {
        if (strcmp(text, "0") == 0)
            return 0;
        fprintf(stderr, "kill: '%s' is no number\n", text);
        exit(2);
    }
    return (unsigned)number;
}

static int run_matrix(const struct ask *ask, bool listing)
{
    struct totals *totals =
        mmap(NULL, sizeof(*totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    time_t begin = time(NULL);

    if (totals == MAP_FAILED)
        return 2;
    if (listing) {
        matrix_list(ask, totals);
        return totals->failed == 0 ? 0 : 1;
    }
    matrix_run(ask, totals);
    if (totals->late > 0)
        printf("kill: %zu points took more than %u ms, and not when they were run again\n",
               totals->late, PROMPT_MS * slowness);
    if (totals->blind)
        printf("kill: nobody could look whether files were left in /tmp and /dev/shm: it takes a "
               "mount namespace, which this system refuses\n");
    printf("kill: %zu points, %zu failed: %zu killed the child and %zu the parent, %zu before and "
           "%zu after a system call, %zu in between, %zu at birth, %zu by time; %zu not reached; "
           "slowest %u ms, in %ld s\n",
           totals->run, totals->failed, totals->by_victim[CHILD], totals->by_victim[PARENT],
           totals->by_stop[AT_ENTRY], totals->by_stop[AT_EXIT], totals->by_stop[AT_STEP],
           totals->by_stop[AT_BIRTH], totals->by_stop[AT_TIME], totals->missed,
           (unsigned)totals->slowest_ms, (long)(time(NULL) - begin));
    if (totals->failed == 0 && totals->run < ask->points)
        printf("kill: FAILED: there are no points of a scenario '%s'\n", ask->scenario);
    return totals->failed == 0 && totals->run >= ask->points ? 0 : 1;
}

int main(int argc, char *argv[])
{
    struct ask ask = {.points = POINTS_IN_A_TEST, .jobs = 1};
    const char *point_text = NULL;
    bool listing = false;
    unsigned times = 1;
    struct point point;

    if (argc > 1 && strcmp(argv[1], "--child") == 0)
        _exit(be_program(argv + 2)); /* what sanitizers do at the end takes no tracer */
    if (harness_valgrind() || HARNESS_TSAN) {
        printf("skipped: kill: a process of valgrind or the thread sanitizer makes system calls of "
               "its own\n");
        return 0;
    }
    if (HARNESS_SANITIZED) {
        slowness = 3;
        ask.points = POINTS_IN_A_SLOW_TEST;
    }
    if (argc % 2 == 0)
        return fprintf(stderr, "kill: each option has a value\n"), 2;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--points") == 0)
            ask.points = number_of(argv[i + 1]);
        else if (strcmp(argv[i], "--jobs") == 0)
            ask.jobs = number_of(argv[i + 1]);
        else if (strcmp(argv[i], "--round") == 0)
            ask.first_round = number_of(argv[i + 1]);
        else if (strcmp(argv[i], "--list") == 0) {
            ask.first_round = number_of(argv[i + 1]);
            listing = true;
        } else if (strcmp(argv[i], "--times") == 0)
            times = number_of(argv[i + 1]);
        else if (strcmp(argv[i], "--scenario") == 0)
            ask.scenario = argv[i + 1];
        else if (strcmp(argv[i], "--point") == 0)
            point_text = argv[i + 1];
        else
            return fprintf(stderr, "kill: there is no option '%s'\n", argv[i]), 2;
    }
    if (ask.jobs == 0)
        ask.jobs = 1;
    const char *reason = tracing_forbidden();

    if (reason) {
        printf("skipped: kill: %s\n", reason);
        return 0;
    }
    if (!has_command())
        printf("skipped: kill: the command is not built, and is not killed\n");
    if (!point_text)
        return run_matrix(&ask, listing);
    if (!point_parse(&point, point_text))
        return fprintf(stderr, "kill: '%s' is no point\n", point_text), 2;
    return matrix_repeat(&point, times) ? 0 : 1;
}
