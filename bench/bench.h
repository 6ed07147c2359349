/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the benchmark share: the task that a pair of processes is given, the figures
 * that come back, and the groups of rows that are printed. How a peer takes part is in
 * peers/peer.h.
 */
#ifndef DUPLEX_BENCH_BENCH_H
#define DUPLEX_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* VALUES_MAX: the most that stats_median() takes. */
enum { VALUES_MAX = 200, PASSES_MAX = 99, ROWS_MAX = 24, GROUPS_MAX = 64, REASON_SIZE = 160 };

enum work { WORK_ROUND_TRIP, WORK_ONE_WAY, WORK_CALLS, WORK_SPAWN };

/* How many requests are open at one time in WORK_CALLS. */
enum { CALLS_OPEN = 64 };

/* Where the two processes of a pair run. */
enum placement {
    PLACEMENT_PINNED, /* the parent on the first allowed CPU, the child on the second */
    PLACEMENT_SAME,   /* both on the first allowed CPU */
    PLACEMENT_FREE,   /* wherever the scheduler puts them */
    PLACEMENT_COUNT
};

/* What a pair of processes is to do: a few messages to get warm, then those that are timed. */
struct task {
    enum work work;
    enum placement placement;
    size_t size; /* bytes of a message */
    bool corked; /* not in round trips: a sender may collect messages before it sends them */
    uint64_t warm_up;
    uint64_t count;
};

/* What one timed run of a task took. Seconds; the processor time is that of the whole process. */
struct figures {
    double elapsed;
    double parent_cpu;
    double child_cpu;
};

/* One line of a table: a peer and its figures per operation, one for each pass. */
struct row {
    const struct peer *peer; /* NULL in a group of WORK_SPAWN */
    const char *name;
    bool corked;
    bool reference;
    uint64_t warm_up, count;   /* of each pass, once calibrated */
    char skipped[REASON_SIZE]; /* why there are no figures; "" if there are */
    bool failed;               /* skipped because something went wrong */
    unsigned passes;
    double seconds[PASSES_MAX];    /* elapsed per operation; spawn: blocked in the start call */
    double whole[PASSES_MAX];      /* spawn: from the start call until the child is reaped */
    double parent_cpu[PASSES_MAX]; /* per operation */
    double child_cpu[PASSES_MAX];
    double target; /* bound on the ratio to the reference; 0: none */
};

/* One table: a workload at one placement, with a row for each peer. */
struct group {
    char name[32]; /* as the user asks for it: rtt-64 */
    enum work work;
    enum placement placement;
    size_t size; /* bytes of a message; spawn: of touched memory of the parent */
    unsigned row_count;
    struct row rows[ROWS_MAX];
};

/* How much is run. */
struct effort {
    unsigned passes;
    double seconds;        /* that one timed run shall take */
    bool full;             /* include what needs 4 GB of memory */
    unsigned placements;   /* a bit for each; 0: those that each workload names */
    char *const *patterns; /* workloads asked for, as shell patterns or beginnings of names */
    size_t pattern_count;  /* 0: all */
    const char *peers;     /* peers asked for, separated by commas; NULL: all */
};

/* plan.c: fill in the groups that the effort asks for. Returns how many. */
size_t plan_make(struct group groups[GROUPS_MAX], const struct effort *effort);
void plan_list(FILE *out);
const char *placement_name(enum placement placement);

/* alone.c: see there. */
struct alone {
    int (*body)(void *shared, const void *argument); /* runs in the child; 0 or a negative errno */
    const void *argument;
    size_t shared_size; /* of the zeroed memory that the body shares with the caller */
    unsigned limit_s;
};
int alone_run(const struct alone *alone, void *ret_shared, char reason[REASON_SIZE]);

/* measure.c: run all passes of a group. Failures are noted in the rows. */
void measure_group(struct group *group, const struct effort *effort);

/* spawn.c: the same for a group of WORK_SPAWN. */
void spawn_measure_group(struct group *group, const struct effort *effort);
unsigned spawn_add_rows(struct group *group);

/* stats.c */
double stats_median(const double *values, unsigned count);
double stats_min(const double *values, unsigned count);
double stats_max(const double *values, unsigned count);
const struct row *group_reference(const struct group *group);
/* Whether the figures of a group are shown as rates, of which more is better. */
static inline bool group_is_rate(const struct group *group)
{
    return group->work == WORK_ONE_WAY || group->work == WORK_CALLS;
}

/* The median over the passes of this row's figure against the reference's of the same pass; 0:
 * none. */
double row_ratio(const struct group *group, const struct row *row);
/* Time per operation against the same row of the first group of the kind; 0: there is none. */
double row_growth(const struct group *first, const struct row *row);
bool row_target_met(const struct group *group, const struct row *row);

/* report.c and json.c */
void report_heading(FILE *out, const struct effort *effort);
void report_group(FILE *out, const struct group *group, const struct group *first_spawn);
int json_write(const char *path, const struct effort *effort, const struct group *groups,
               size_t group_count);

struct machine {
    char kernel[128];
    char processor[128];
    unsigned cpus; /* that this process may use */
    double load;   /* of the last minute */
};
void machine_describe(struct machine *ret);

#endif
