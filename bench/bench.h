/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the benchmark share: the task that a pair of processes is given, the figures
 * that come back, and the groups of rows that are printed. How a peer takes part is in
 * peers/peer.h. The driver serves two programs: `bench`, which measures every peer, and the command
 * `duplex bench`, which measures duplex alone; each has its own list of peers.
 */
#ifndef DUPLEX_BENCH_BENCH_H
#define DUPLEX_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* VALUES_MAX: the most that stats_median() takes. ROWS_MAX: twice the peers, for corked rows. */
enum { VALUES_MAX = 200, PASSES_MAX = 25, ROWS_MAX = 64, GROUPS_MAX = 64, REASON_SIZE = 160 };

/*
 * What a group measures. A peer sees the first three only: beside busy processes, and around an idle
 * time, its messages are those of WORK_ROUND_TRIP.
 */
struct peer;

enum work {
    WORK_ROUND_TRIP,
    WORK_ONE_WAY,
    WORK_CALLS,
    WORK_SPAWN,
    WORK_BUSY,
    WORK_IDLE,
    WORK_POOL
};

/* How many requests are open at one time in WORK_CALLS. */
enum { CALLS_OPEN = 64 };

/* Where the two processes of a pair run. */
enum placement {
    PLACEMENT_PINNED, /* the parent on the first allowed CPU, the child on the second */
    PLACEMENT_SAME,   /* both on the first allowed CPU */
    PLACEMENT_FREE,   /* wherever the scheduler puts them */
    PLACEMENT_COUNT
};

/*
 * How many workers share the jobs of WORK_POOL: one on the CPU that is not their parent's, where there
 * is one; else POOL_WORKERS.
 */
enum { POOL_WORKERS = 2 };
unsigned placement_workers(enum placement placement);

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
    double child_cpu; /* WORK_POOL: of all workers */
    double p50, p99;  /* of single round trips, where they were timed one by one; else 0 */
    double busy_loss; /* WORK_BUSY: the share of their work that the busy processes did not do */
    double idle_parent, idle_child; /* WORK_IDLE: processor time per second of silence */
    char failure[REASON_SIZE]; /* why it failed, where the peer can say more than an errno value */
};

/* One line of a table: a peer and its figures per operation, one for each pass. */
struct row {
    const struct peer *peer; /* NULL in a group of WORK_SPAWN */
    const char *name;
    bool corked;
    bool reference;
    bool limit;                /* no peer, but what the machine itself can do */
    uint64_t warm_up, count;   /* of each pass, once calibrated */
    char skipped[REASON_SIZE]; /* why there are no figures; "" if there are */
    bool failed;               /* skipped because something went wrong */
    unsigned passes;
    unsigned noted;                /* passes in which single round trips were timed */
    double seconds[PASSES_MAX];    /* elapsed per operation; spawn: blocked in the start call */
    double whole[PASSES_MAX];      /* spawn: from the start call until the child is reaped */
    double parent_cpu[PASSES_MAX]; /* per operation; idle: per second */
    double child_cpu[PASSES_MAX];
    double p50[PASSES_MAX], p99[PASSES_MAX];
    double busy_loss[PASSES_MAX];
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
    double idle_seconds;   /* the same for WORK_IDLE */
    unsigned placements;   /* a bit for each; 0: those that each workload names */
    char *const *patterns; /* workloads asked for, as shell patterns or beginnings of names */
    size_t pattern_count;  /* 0: all */
    const char *peers;     /* peers asked for, separated by commas; NULL: all */
    int interrupt_fd;      /* readable when the run is to be broken off; -1: none */
};

/* effort.c: what is run unless the user says otherwise, and how he does. */
struct effort effort_default(void);
void effort_be_quick(struct effort *effort);
/* A bit for each place in a list that commas separate; 0 if there is one that is none. */
unsigned effort_parse_placements(const char *list);
/* Returns false unless the text is a number in these bounds. */
bool effort_parse_number(const char *text, double least, double most, double *ret);

/* plan.c: fill in the groups that the effort asks for. Returns how many. */
size_t plan_make(struct group groups[GROUPS_MAX], const struct effort *effort);
/* The first of the patterns that names no workload; NULL: none. */
const char *plan_unknown(const struct effort *effort);
void plan_list(FILE *out);
const char *placement_name(enum placement placement);

/*
 * run.c: measure group by group and hand each that is complete to done(), which returns 0 or a
 * negative errno to stop. Returns 0, -EINTR after an interrupt, or what done() said; in any case no
 * process is left. What a measurement leaves behind becomes a child of the caller's process, which
 * kills it: a caller has no children of its own meanwhile.
 */
int run_groups(struct group *groups, size_t count, const struct effort *effort,
               int (*done)(const struct group *group, void *context), void *context);
/* How many rows went wrong. */
unsigned run_failures(const struct group *groups, size_t count);

/* alone.c: see there. */
struct alone {
    int (*body)(void *shared, const void *argument); /* runs in the child; 0 or a negative errno */
    const void *argument;
    size_t shared_size; /* of the zeroed memory that the body shares with the caller */
    unsigned limit_s;
    int interrupt_fd; /* as in struct effort */
};
int alone_run(const struct alone *alone, void *ret_shared, char reason[REASON_SIZE]);

/* measure.c: run all passes of a group. Failures are noted in the rows. 0, or -EINTR. */
int measure_group(struct group *group, const struct effort *effort);

/* spawn.c: the same for a group of WORK_SPAWN. */
int spawn_measure_group(struct group *group, const struct effort *effort);
unsigned spawn_add_rows(struct group *group);

/* latency.c: the times of single round trips, in the process that makes them. */
void latency_start(void);
void latency_stop(double *ret_p50, double *ret_p99);

/* busy.c: processes that do nothing but count, two on each CPU of the pair. */
enum { BUSY_COUNT = 4 };
struct busy;
int busy_start(struct busy **ret, enum placement placement);
uint64_t busy_work(const struct busy *busy); /* that all of them have done so far */
void busy_stop(struct busy *busy);

/* idle.c: what a pair costs while nobody speaks. It is the first thing that is timed. */
int idle_measure(const struct peer *peer, void *pair, double seconds, struct figures *ret);

/* stats.c */
double stats_median(const double *values, unsigned count);
double stats_min(const double *values, unsigned count);
double stats_max(const double *values, unsigned count);
/* What the rows of a group are held against; NULL if it has no figures. */
const struct row *group_reference(const struct group *group);
/* The row of a group that shows what the machine can do; NULL if there is none. */
const struct row *group_limit(const struct group *group);
/* Whether the figures of a group are shown as rates, of which more is better. */
static inline bool group_is_rate(const struct group *group)
{
    return group->work == WORK_ONE_WAY || group->work == WORK_CALLS || group->work == WORK_POOL;
}
/* Whether a row takes part in a group's ratios at all: time at rest is no operation. */
static inline bool group_has_ratios(const struct group *group)
{
    return group->work != WORK_IDLE;
}

/* The median over the passes of this row's figure against another's of the same pass; 0: none. */
double row_ratio(const struct group *group, const struct row *row, const struct row *other);
/* Time per operation against the same row of the first group of the kind; 0: there is none. */
double row_growth(const struct group *first, const struct row *row);

/*
 * targets.c: what the project has set itself. They are told, never enforced. Bounds are on ratios
 * within one run, but for those on a latency or a share.
 */
enum { VERDICTS_MAX = 64 };
struct verdict {
    char what[96];    /* "rtt-64 pinned, duplex_stream" */
    char against[80]; /* "times limit_ping_pong"; a unit if nothing is compared */
    bool at_least;
    double bound;
    bool measured; /* both rows have figures */
    double value;
    bool met;
};
/* Judge the targets whose workloads were run. Returns how many. */
size_t targets_judge(const struct group *groups, size_t count, struct verdict ret[VERDICTS_MAX]);

/* report.c: the tables for people. */
void report_heading(FILE *out, const struct effort *effort);
/* first: the smallest parent of a group of WORK_SPAWN; else NULL. */
void report_group(FILE *out, const struct group *group, const struct group *first);
void report_targets(FILE *out, const struct verdict *verdicts, size_t count);
const struct group *report_first_spawn(const struct group *groups, const struct group *group);

/* text.c: how figures are written, wherever they are shown. */
void text_of_size(char ret[16], size_t size);
void text_of_figure(char ret[24], double value); /* three significant digits */
void text_of_title(char *ret, size_t size, const struct group *group);
void text_of_row(char *ret, size_t size, const struct row *row);
/* What is shown for so many seconds an operation: microseconds, or a rate. */
double text_shown(const struct group *group, double seconds);

/* figures.c: all figures as one JSON document. Errors are those of the stream. */
void figures_write_json(FILE *out, const struct effort *effort, const struct group *groups,
                        size_t group_count);

/* machine.c */
struct machine {
    char kernel[128];
    char processor[128];
    unsigned cpus; /* that this process may use */
    double load;   /* of the last minute */
    char date[32]; /* UTC */
};
void machine_describe(struct machine *ret);

#endif
