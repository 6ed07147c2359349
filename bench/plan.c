/* SPDX-License-Identifier: MIT */
/*
 * What there is to measure: the workloads by name, the places where each is run unless the user
 * asks for others, the rows of each, and the targets that the project has set itself.
 */
#include "bench.h"
#include "peers/peer.h"

#include <fnmatch.h>
#include <string.h>

enum {
    PINNED = 1 << PLACEMENT_PINNED,
    SAME = 1 << PLACEMENT_SAME,
    FREE = 1 << PLACEMENT_FREE,
};

struct workload {
    const char *name;
    enum work work;
    size_t size;
    unsigned placements; /* unless the user chooses */
    bool with_corked;    /* rows for corked senders too */
    bool only_full;
};

static const struct workload workloads[] = {
    {"rtt-64", WORK_ROUND_TRIP, 64, PINNED | SAME | FREE, false, false},
    {"rtt-1k", WORK_ROUND_TRIP, 1024, PINNED, false, false},
    {"rtt-64k", WORK_ROUND_TRIP, 64 << 10, PINNED, false, false},
    {"rtt-1m", WORK_ROUND_TRIP, 1 << 20, PINNED, false, false},
    {"oneway-64", WORK_ONE_WAY, 64, PINNED, true, false},
    {"oneway-64k", WORK_ONE_WAY, 64 << 10, PINNED, false, false},
    {"oneway-1m", WORK_ONE_WAY, 1 << 20, PINNED, false, false},
    {"calls-64", WORK_CALLS, 64, PINNED | SAME, true, false},
    {"spawn-10m", WORK_SPAWN, (size_t)10 << 20, FREE, false, false},
    {"spawn-1g", WORK_SPAWN, (size_t)1 << 30, FREE, false, false},
    {"spawn-4g", WORK_SPAWN, (size_t)4 << 30, FREE, false, true},
};

enum { WORKLOAD_COUNT = sizeof(workloads) / sizeof(workloads[0]) };

/* Bounds on the ratio to the reference: at most for times, at least for rates. */
struct target {
    const char *workload;
    const char *peer;
    bool corked;
    double ratio;
};

static const struct target targets[] = {
    {"rtt-64", "duplex_stream", false, 1.1},     {"rtt-64", "duplex_seqpacket", false, 1.1},
    {"rtt-64", "duplex_dgram", false, 1.1},      {"oneway-64", "duplex_stream", true, 30},
    {"oneway-64", "duplex_seqpacket", true, 30}, {"oneway-64", "duplex_dgram", true, 30},
    {"calls-64", "duplex_stream", true, 3},      {"spawn-10m", "dx_spawn", false, 1.2},
    {"spawn-1g", "dx_spawn", false, 1.2},        {"spawn-4g", "dx_spawn", false, 1.2},
};

const char *placement_name(enum placement placement)
{
    static const char *const names[PLACEMENT_COUNT] = {"pinned", "same", "free"};

    return names[placement];
}

/* A shell pattern, or the beginning of a name: "rtt" stands for all round trips. */
static bool wanted(const char *name, const struct effort *effort)
{
    if (effort->pattern_count == 0)
        return true;
    for (size_t i = 0; i < effort->pattern_count; i++) {
        const char *pattern = effort->patterns[i];

        if (fnmatch(pattern, name, 0) == 0)
            return true;
        if (strncmp(name, pattern, strlen(pattern)) == 0 && strchr(pattern, '-') == NULL)
            return true;
    }
    return false;
}

/* Whether a name is in a list that commas separate. The reference always takes part. */
static bool peer_wanted(const char *name, const char *list)
{
    size_t length = strlen(name);

    for (const char *place = list; place && *place;) {
        const char *end = strchrnul(place, ',');

        if ((size_t)(end - place) <= length && strncmp(place, name, (size_t)(end - place)) == 0)
            return true;
        place = *end ? end + 1 : end;
    }
    return list == NULL;
}

static double target_of(const char *workload, const char *peer, bool corked)
{
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        if (strcmp(targets[i].workload, workload) == 0 && strcmp(targets[i].peer, peer) == 0 &&
            targets[i].corked == corked)
            return targets[i].ratio;
    }
    return 0;
}

static void add_rows(struct group *group, bool corked, const struct effort *effort)
{
    for (size_t i = 0; i < peer_count && group->row_count < ROWS_MAX; i++) {
        struct row *row = &group->rows[group->row_count];

        /* Nobody calls over a bare socket: there libuv is what people use. */
        bool reference = group->work == WORK_CALLS ? peers[i] == &peer_libuv : i == 0;

        if (!reference && !peer_wanted(peers[i]->name, effort->peers))
            continue;
        if (peers[i]->round_trips_only && group->work != WORK_ROUND_TRIP)
            continue;
        if (!peers[i]->calls && group->work == WORK_CALLS)
            continue;
        row->peer = peers[i];
        row->name = peers[i]->name;
        row->corked = corked;
        row->reference = reference && !corked;
        group->row_count++;
    }
}

static void fill(struct group *group, const struct workload *workload, enum placement placement,
                 const struct effort *effort)
{
    memset(group, 0, sizeof(*group));
    snprintf(group->name, sizeof(group->name), "%s", workload->name);
    group->work = workload->work;
    group->placement = placement;
    group->size = workload->size;
    if (workload->work == WORK_SPAWN) {
        group->row_count = spawn_add_rows(group);
    } else {
        add_rows(group, false, effort);
        if (workload->with_corked)
            add_rows(group, true, effort);
    }
    for (unsigned i = 0; i < group->row_count; i++) {
        struct row *row = &group->rows[i];

        row->target = target_of(workload->name, row->name, row->corked);
    }
}

size_t plan_make(struct group groups[GROUPS_MAX], const struct effort *effort)
{
    size_t count = 0;

    for (unsigned i = 0; i < WORKLOAD_COUNT; i++) {
        const struct workload *workload = &workloads[i];
        unsigned places = effort->placements ? effort->placements : workload->placements;

        /* A child that is started inherits the CPU of its parent: there is no pair to pin. */
        if (workload->work == WORK_SPAWN)
            places &= SAME | FREE;
        if (!wanted(workload->name, effort))
            continue;
        if (workload->only_full && !effort->full)
            continue;
        for (int placement = 0; placement < PLACEMENT_COUNT; placement++) {
            if (places & 1u << placement && count < GROUPS_MAX)
                fill(&groups[count++], workload, (enum placement)placement, effort);
        }
    }
    return count;
}

void plan_list(FILE *out)
{
    fprintf(out, "Workloads:\n");
    for (unsigned i = 0; i < WORKLOAD_COUNT; i++)
        fprintf(out, "  %-12s%s\n", workloads[i].name,
                workloads[i].only_full ? " with --full only" : "");
    fprintf(out, "Peers:\n");
    for (size_t i = 0; i < peer_count; i++)
        fprintf(out, "  %-18s %s\n", peers[i]->name, peers[i]->about);
}
