/* SPDX-License-Identifier: MIT */
/*
 * A run under way: run.c makes the processes and hears of their ends, tracer.c of their stops.
 */
#ifndef DUPLEX_TESTS_KILL_RUN_H
#define DUPLEX_TESTS_KILL_RUN_H

#include "kill.h"

enum { CALLS_MAX = 512, THREADS_MAX = 4 };

struct run {
    const struct point *point;
    struct board *board;
    struct sightings *list; /* or NULL */
    struct outcome *outcome;

    pid_t pids[CHILDREN_MAX + 1]; /* the parent, and the children as they were born */
    int pidfds[CHILDREN_MAX + 1];
    bool met[CHILDREN_MAX + 1];  /* its first stop has been seen */
    bool held[CHILDREN_MAX + 1]; /* it is traced */
    int births;
    pid_t threads[THREADS_MAX]; /* of the parent, which end as processes do for a tracer */
    int thread_count;

    bool open; /* points may lie here: between the parent's marks, or in a child's life */
    bool over; /* everybody is to run free */
    bool parent_ended;
    bool stepping;
    unsigned steps, last_mark;
    unsigned call; /* that the watched one is in */
    unsigned times[2][CALLS_MAX];
    uint64_t begun_ns, died_ns;
    uint64_t time_ns; /* AT_TIME: when; 0: not yet known */
};

uint64_t run_now_ns(void);
/* ptrace(2) without the library's idea of its types. */
long run_trace(int request, pid_t pid, uintptr_t address, uintptr_t data);
int run_place(const struct run *run, pid_t pid); /* -1: a stranger */
bool run_has_ended(const struct run *run, int who);
/* Note what the verdict needs to know of the victim. It is to be killed at once. */
void run_condemn(struct run *run);
/* waitpid(2) says that a traced process has stopped. */
void tracer_stopped(struct run *run, pid_t pid, int status);

#endif
