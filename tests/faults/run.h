/* SPDX-License-Identifier: MIT */
/*
 * Runs scenarios, each point in a process of its own. A point is one call of one function that fails in
 * one way: SCENARIO/FUNCTION/N/ERROR, with "child:" before the function if it is a child's.
 */
#ifndef DUPLEX_TESTS_FAULTS_RUN_H
#define DUPLEX_TESTS_FAULTS_RUN_H

#include "stage.h"

enum { POINT_SIZE = 128 };

struct choice {
    const char *scenario; /* or NULL: all */
    unsigned long stride; /* every so many of all points */
    unsigned long start;
    unsigned long passes; /* each goes through all scenarios, for when the time runs out */
    long places;          /* so many calls of a function fail, one at a time; 0: each */
    unsigned processes;
    double seconds; /* after the counting, no point begins later; 0: no limit */
    int counts;     /* what depends on who comes first is counted so often */
    bool verbose;
};

struct summary {
    unsigned long scenarios, points, met, failed;
    bool in_time;
    long slowest_ms;
    char slowest[POINT_SIZE];
    char first[POINT_SIZE + COMPLAINT_SIZE]; /* of those that failed */
};

/* Every point that is chosen; failures are printed as they are found. */
struct summary run_faults(const struct choice *choice);

/* One point by name: 0, or 1 if it failed or there is none such. Prints what happened. */
int run_point_named(const char *name);

/*
 * The points SCENARIO/FUNCTION/1/ERROR to SCENARIO/FUNCTION/places/ERROR; of one that fails the name and
 * the complaint are printed. Returns in how many something failed, or -1 if one did not go well.
 */
long run_places(const char *scenario, const char *function, const char *error, long places);

/* Play a scenario with a fault, and see what is left. Returns whether all is well; *ret_ms: how long. */
bool run_point(const struct scenario *scenario, const struct fault *fault, long *ret_ms);

/*
 * Run tests as harness_main(), but not under valgrind: it starts children in another way, and takes a
 * second for each point.
 */
#define FAULT_MAIN(suite, tests)                                                                   \
    (harness_valgrind()                                                                            \
         ? (puts("skipped: " suite ": valgrind starts children in another way"), EXIT_SUCCESS)     \
         : harness_main(suite, tests, sizeof(tests) / sizeof(*(tests))))

/* In memory that children share; to be called before the others. */
void run_begin(void);
void run_end(void);

/* What each program that links this has to define: where its children are. */
#define FAULT_PROGRAMS                                                                             \
    char fault_partner[] = DUPLEX_TEST_PROGRAMS "/child_partner";                                  \
    char fault_path[] = "PATH=/nowhere:" DUPLEX_TEST_PROGRAMS;

#endif
