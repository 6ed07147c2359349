/* SPDX-License-Identifier: MIT */
/*
 * What the project has set itself, as bounds on what one run shows: mostly ratios of a row to
 * another row of the same table, or of another table, because times drift with the machine.
 */
#include "bench.h"

#include <string.h>

enum metric {
    METRIC_COST, /* time per operation; at least so many times as fast, at most so many as slow */
    METRIC_P50,  /* seconds */
    METRIC_LOSS, /* a share */
    METRIC_RATE, /* operations per second */
};

struct target {
    const char *workload;
    enum placement placement;
    const char *row;
    bool corked;
    const char *other; /* the row it is held against; NULL: the bound is absolute */
    bool other_corked;
    const char *other_workload; /* NULL: the same */
    bool at_least;
    double bound;
    enum metric metric;
};

#define FAST(...) .row = "duplex_stream", __VA_ARGS__
#define SOCKET(...) .row = "duplex_stream_socket", __VA_ARGS__
#define AT_MOST(times, name) .other = (name), .bound = (times)
#define AT_LEAST(times, name) .other = (name), .bound = (times), .at_least = true

static const struct target targets[] = {
    {"rtt-64", FAST(AT_MOST(1.3, "limit_ping_pong"))},
    {"rtt-64", FAST(AT_LEAST(200, "libuv"))},
    {"rtt-64", .row = "duplex_stream_asleep", AT_MOST(1.1, "raw_stream")},
    {"rtt-64", PLACEMENT_SAME, FAST(AT_MOST(1.1, "raw_stream"))},
    {"rtt-64", SOCKET(AT_MOST(1.1, "raw_stream"))},
    {"rtt-64", .row = "duplex_stream_socket_asleep", AT_MOST(1.1, "raw_stream")},
    {"rtt-64", PLACEMENT_SAME, SOCKET(AT_MOST(1.1, "raw_stream"))},
    {"rtt-64", .row = "duplex_seqpacket_socket", AT_MOST(1.1, "raw_stream")},
    {"oneway-64", FAST(AT_LEAST(100, "raw_stream")), .corked = true},
    {"oneway-64", FAST(AT_LEAST(25, "raw_stream"))},
    {"oneway-64", SOCKET(AT_LEAST(40, "raw_stream")), .corked = true},
    {"oneway-64k", FAST(AT_LEAST(8, "raw_stream"))},
    {"oneway-1m", FAST(AT_LEAST(5, "raw_stream"))},
    {"oneway-64k", FAST(AT_LEAST(0.45, "limit_memcpy"))},
    {"oneway-1m", FAST(AT_LEAST(0.85, "limit_memcpy"))},
    {"calls-64", FAST(AT_LEAST(0.4, "duplex_stream")), .corked = true, .other_corked = true,
     .other_workload = "oneway-64"},
    {"calls-64", FAST(AT_LEAST(100, "libuv")), .corked = true},
    {"spawn-10m", PLACEMENT_FREE, "dx_spawn", AT_MOST(1.2, "posix_spawn")},
    {"spawn-1g", PLACEMENT_FREE, "dx_spawn", AT_MOST(1.2, "posix_spawn")},
    {"spawn-4g", PLACEMENT_FREE, "dx_spawn", AT_MOST(1.2, "posix_spawn")},
    {"spawn-4g", PLACEMENT_FREE, "dx_spawn", AT_MOST(1.2, "dx_spawn"),
     .other_workload = "spawn-10m"},
    {"rtt-busy", FAST(.bound = 2e-6), .metric = METRIC_P50},
    {"rtt-busy", FAST(.bound = 0.2), .metric = METRIC_LOSS},
    {"pool-100", PLACEMENT_FREE, "duplex_pool", AT_LEAST(25, "python_imap")},
    {"pool-100", .row = "duplex_pool_16", .bound = 10e6, .at_least = true, .metric = METRIC_RATE},
};

static const struct group *find_group(const struct group *groups, size_t count, const char *name,
                                      enum placement placement)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(groups[i].name, name) == 0 && groups[i].placement == placement)
            return &groups[i];
    }
    return NULL;
}

static const struct row *find_row(const struct group *group, const char *name, bool corked)
{
    for (unsigned i = 0; group && i < group->row_count; i++) {
        const struct row *row = &group->rows[i];

        if (strcmp(row->name, name) == 0 && row->corked == corked && row->passes > 0)
            return row;
    }
    return NULL;
}

/* The median over the passes of the times as slow, or as fast; passes of one table are pairs. */
static double compare(const struct target *target, const struct row *row, const struct row *other)
{
    unsigned passes = row->passes < other->passes ? row->passes : other->passes;
    double ratios[PASSES_MAX];

    for (unsigned i = 0; i < passes; i++) {
        ratios[i] = target->at_least ? other->seconds[i] / row->seconds[i]
                                     : row->seconds[i] / other->seconds[i];
    }
    return stats_median(ratios, passes);
}

static void measure(const struct target *target, const struct row *row, const struct row *other,
                    struct verdict *ret)
{
    ret->measured =
        row && (other || !target->other) && (target->metric != METRIC_P50 || row->noted);
    if (!ret->measured)
        return;
    if (target->metric == METRIC_P50)
        ret->value = stats_median(row->p50, row->noted);
    else if (target->metric == METRIC_LOSS)
        ret->value = stats_median(row->busy_loss, row->passes);
    else if (target->metric == METRIC_RATE)
        ret->value = 1 / stats_median(row->seconds, row->passes);
    else
        ret->value = compare(target, row, other);
    ret->met = target->at_least ? ret->value >= target->bound : ret->value <= target->bound;
}

static void describe(const struct target *target, struct verdict *ret)
{
    /* What is shown for one second, one share, one operation per second. */
    static const double scales[] = {1, 1e6, 1, 1e-6};
    static const char *const units[] = {
        [METRIC_P50] = "us, median of single round trips",
        [METRIC_LOSS] = "of the work of the busy processes lost",
        [METRIC_RATE] = "million jobs/s",
    };

    snprintf(ret->what, sizeof(ret->what), "%s %s, %s%s", target->workload,
             placement_name(target->placement), target->row, target->corked ? " corked" : "");
    if (!target->other)
        snprintf(ret->against, sizeof(ret->against), "%s", units[target->metric]);
    else
        snprintf(ret->against, sizeof(ret->against), "x %s of %s%s%s%s",
                 target->at_least ? "the speed" : "the time", target->other,
                 target->other_corked ? " corked" : "", target->other_workload ? ", " : "",
                 target->other_workload ? target->other_workload : "");
    ret->at_least = target->at_least;
    ret->value *= scales[target->metric];
    ret->bound = target->bound * scales[target->metric];
}

size_t targets_judge(const struct group *groups, size_t count, struct verdict ret[VERDICTS_MAX])
{
    size_t verdicts = 0;

    _Static_assert(sizeof(targets) / sizeof(targets[0]) <= VERDICTS_MAX, "room for each target");
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        const struct target *target = &targets[i];
        const char *other_workload =
            target->other_workload ? target->other_workload : target->workload;
        const struct group *group = find_group(groups, count, target->workload, target->placement);
        const struct group *other_group =
            find_group(groups, count, other_workload, target->placement);
        struct verdict *verdict = &ret[verdicts];

        if (!group)
            continue;
        memset(verdict, 0, sizeof(*verdict));
        measure(target, find_row(group, target->row, target->corked),
                target->other ? find_row(other_group, target->other, target->other_corked) : NULL,
                verdict);
        describe(target, verdict);
        verdicts++;
    }
    return verdicts;
}
