/* SPDX-License-Identifier: MIT */
/*
 * A pool at random, and the book of its jobs: what each does to its worker, how often it was run, how it
 * ended. The book is memory outside the world, which the parent and all workers write.
 */
#ifndef DUPLEX_TESTS_SIMULATION_JOBS_H
#define DUPLEX_TESTS_SIMULATION_JOBS_H

#include "world.h"

#include <duplex.h>

enum { JOBS_MAX = 64, JOB_HEAD = 8 };

/* What a job has its worker do. */
enum deed_of_job {
    JOB_ANSWER,
    JOB_ANSWER_LATE,
    JOB_ANSWER_TWICE,
    JOB_ANSWER_AND_EXIT,
    JOB_REFUSE,
    JOB_COMPLAIN, /* on standard error, and answer */
    JOB_DIE_ONCE,
    JOB_HANG_ONCE,
    /* From here on it is never answered. */
    JOB_DIE,
    JOB_EXIT,
    JOB_TALK_NONSENSE,
    JOB_SHUT, /* the socket, and hang */
    JOB_HANG,
    JOB_STOP,
    JOB_IGNORE, /* the job, and go on */
    JOB_DEEDS,
};

struct job_note {
    enum deed_of_job deed;
    size_t size, answer_size;
    unsigned runs;
    unsigned results;
    bool accepted, cancelled;
    uint64_t number;
};

struct jobs {
    struct job_note notes[JOBS_MAX];
    unsigned count;
    dx_pool_options options;
    unsigned accepted, ended;
    uint64_t last; /* the number of the last result */
    bool wild;     /* some of them do harm */
    bool quitters; /* workers leave by themselves */
    bool aborted;  /* the pool has ended by itself */
};

extern struct jobs jobs;

/* work.c: a worker, as a function and as a program. */
int work_as_function(dx_channel *parent, void *context);
int work_as_program(void);

/* pools.c: the whole scenario, as a root function of a world. */
void pools(void *context);
const struct world_program *pools_programs(void);

#endif
