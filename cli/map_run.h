/* SPDX-License-Identifier: MIT */
/*
 * A run of `duplex map`, of which map.c makes a whole: jobs out of standard input for the pool
 * (map_feed.c), and its results to standard output and the books (map_results.c).
 */
#ifndef CLI_MAP_RUN_H
#define CLI_MAP_RUN_H

#include "console.h"
#include "guard_groups.h"
#include "inherited.h"
#include "map.h"
#include "map_frame.h"
#include "map_log.h"
#include "map_report.h"

#include <duplex.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAP_OUTPUT_FULL ((size_t)256 << 10) /* no more results are taken while so much waits */
#define MAP_OUTPUT_MUCH ((size_t)32 << 10)  /* so much is worth a write */

/* What is known of a job while the pool has it. */
typedef struct map_job {
    struct map_job *next; /* of all that have not ended, which is for their memory alone */
    struct map_job *before;
    uint64_t seq;  /* its number in the input, from 1 */
    size_t size;   /* of its bytes */
    size_t kept;   /* so many of them follow: all that will be asked for */
    int64_t at_us; /* when it was submitted, by the real-time clock, if there is a joblog */
    char text[];
} map_job;

typedef struct map_run {
    const map_options *options;
    int interrupt_fd;
    inherited inherited;
    dx_pool *pool;
    guard_groups guard;
    map_report report;
    map_counts counts;

    dx_channel *input;
    dx_message message; /* the next job, as long as there is one in `job` */
    map_job *job;
    map_job *jobs;   /* the last one that was read */
    uint64_t seq;    /* of the last job read */
    uint64_t number; /* the pool's of the last job submitted */
    bool input_over; /* nothing more is read */

    console_sink sink;
    map_bytes output;
    uint64_t output_written; /* since the beginning; the rest of it is in `output` */
    int64_t output_from_ms;  /* since when something waits there */
    map_log log;
    int fail_fd; /* -1: none */

    bool pool_over; /* it has no job any more, and gets none */
    bool halting;   /* no more jobs are submitted: see --halt */
    bool stopping;  /* the run is given up, with `status` */
    int status;     /* 0 while nothing but jobs has failed */
} map_run;

/* End the run, what the workers have not answered included, with this exit status. */
void map_give_up(map_run *self, int status);

/*
 * Open standard input; close it and let go of all jobs. What goes wrong is said. Returns 0 or a
 * negative errno value.
 */
int map_open_input(map_run *self);
void map_close_input(map_run *self);

/* Let go of a job. NULL is fine. */
void map_forget_job(map_run *self, map_job *job);

/* Give the pool jobs, as many as it takes now and as there are. Returns true if there was one. */
bool map_feed(map_run *self);

/* True if the next job can only come by reading. */
bool map_wants_input(const map_run *self);

/* Submit no more jobs, and take back those that no worker has yet. */
void map_halt_soon(map_run *self);

/* A job has ended: put down what became of it, and forget it. */
void map_end_job(map_run *self, map_job *job, const dx_result *result);

/* Take results of the pool, as long as there is room for them. Returns true if there was one. */
bool map_take_results(map_run *self);

/* Write what waits for standard output; poll(2) must have said POLLOUT. */
void map_write_output(map_run *self);

/* Nobody reads standard output any more. */
void map_lose_output(map_run *self);

#endif
