/* SPDX-License-Identifier: MIT */
/*
 * What there is to measure: the workloads by name, the places where each is run unless the user
 * asks for others, and the rows of each.
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
    const char *reference;
};

/* Nobody calls over a bare socket, or shares work so: there others are what people use. */
static const struct workload workloads[] = {
    {"rtt-64", WORK_ROUND_TRIP, 64, PINNED | SAME | FREE, false, "raw_stream"},
    {"rtt-1k", WORK_ROUND_TRIP, 1024, PINNED, false, "raw_stream"},
    {"rtt-64k", WORK_ROUND_TRIP, 64 << 10, PINNED, false, "raw_stream"},
    {"rtt-1m", WORK_ROUND_TRIP, 1 << 20, PINNED, false, "raw_stream"},
    {"rtt-busy", WORK_BUSY, 64, PINNED, false, "raw_stream"},
    {"oneway-64", WORK_ONE_WAY, 64, PINNED, true, "raw_stream"},
    {"oneway-1k", WORK_ONE_WAY, 1024, PINNED, true, "raw_stream"},
    {"oneway-64k", WORK_ONE_WAY, 64 << 10, PINNED, true, "raw_stream"},
    {"oneway-1m", WORK_ONE_WAY, 1 << 20, PINNED, true, "raw_stream"},
    {"calls-64", WORK_CALLS, 64, PINNED | SAME, true, "libuv"},
    {"spawn-10m", WORK_SPAWN, (size_t)10 << 20, FREE, false, "posix_spawn"},
    {"spawn-1g", WORK_SPAWN, (size_t)1 << 30, FREE, false, "posix_spawn"},
    {"spawn-4g", WORK_SPAWN, (size_t)4 << 30, FREE, false, "posix_spawn"},
    {"pool-100", WORK_POOL, 100, PINNED | FREE, false, "python_imap"},
    {"idle", WORK_IDLE, 64, PINNED, false, "raw_stream"},
};

enum { WORKLOAD_COUNT = sizeof(workloads) / sizeof(workloads[0]) };

const char *placement_name(enum placement placement)
{
    static const char *const names[PLACEMENT_COUNT] = {"pinned", "same", "free"};

    return names[placement];
}

unsigned placement_workers(enum placement placement)
{
    return placement == PLACEMENT_PINNED ? 1 : POOL_WORKERS;
}

/* A shell pattern, or the beginning of a name: "rtt" stands for all round trips. */
static bool matches(const char *name, const char *pattern)
{
    if (fnmatch(pattern, name, 0) == 0)
        return true;
    return strncmp(name, pattern, strlen(pattern)) == 0 && strchr(pattern, '-') == NULL;
}

static bool wanted(const char *name, const struct effort *effort)
{
    for (size_t i = 0; i < effort->pattern_count; i++) {
        if (matches(name, effort->patterns[i]))
            return true;
    }
    return effort->pattern_count == 0;
}

const char *plan_unknown(const struct effort *effort)
{
    for (size_t i = 0; i < effort->pattern_count; i++) {
        bool known = false;

        for (unsigned j = 0; j < WORKLOAD_COUNT && !known; j++)
            known = matches(workloads[j].name, effort->patterns[i]);
        if (!known)
            return effort->patterns[i];
    }
    return NULL;
}

/* Whether a name is in a list that commas separate. */
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

/* Whether a peer could do anything at all in a group like this. */
static bool has_part(const struct peer *peer, const struct group *group, bool corked)
{
    switch (group->work) {
    case WORK_CALLS:
        if (!peer->calls)
            return false;
        break;
    case WORK_POOL:
        if (!peer->jobs)
            return false;
        break;
    case WORK_IDLE:
        if (!peer->idle)
            return false;
        break;
    case WORK_ONE_WAY:
        if (peer->round_trips_only || !peer->one_way)
            return false;
        break;
    default:
        if (!peer->round_trip)
            return false;
        break;
    }
    return !peer->has_part || peer->has_part(group, corked);
}

static void add_rows(struct group *group, bool corked, const struct workload *workload,
                     const struct effort *effort)
{
    for (size_t i = 0; i < peer_count && group->row_count < ROWS_MAX; i++) {
        struct row *row = &group->rows[group->row_count];
        bool reference = strcmp(peers[i]->name, workload->reference) == 0;

        if (!has_part(peers[i], group, corked))
            continue;
        /* The reference and the limits always take part. */
        if (!reference && !peers[i]->limit && !peer_wanted(peers[i]->name, effort->peers))
            continue;
        row->peer = peers[i];
        row->name = peers[i]->name;
        row->corked = corked;
        row->reference = reference && !corked;
        row->limit = peers[i]->limit;
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
        return;
    }
    add_rows(group, false, workload, effort);
    if (workload->with_corked)
        add_rows(group, true, workload, effort);
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
        for (int placement = 0; placement < PLACEMENT_COUNT; placement++) {
            if (places & 1u << placement && count < GROUPS_MAX)
                fill(&groups[count++], workload, (enum placement)placement, effort);
        }
    }
    return count;
}

void plan_list(FILE *out)
{
    fprintf(out, "Workloads, and where each is run:\n");
    for (unsigned i = 0; i < WORKLOAD_COUNT; i++) {
        fprintf(out, "  %-12s", workloads[i].name);
        for (int placement = 0; placement < PLACEMENT_COUNT; placement++) {
            if (workloads[i].placements & 1u << placement)
                fprintf(out, " %s", placement_name((enum placement)placement));
        }
        fputc('\n', out);
    }
    fprintf(out, "Rows:\n");
    for (size_t i = 0; i < peer_count; i++)
        fprintf(out, "  %-30s %s\n", peers[i]->name, peers[i]->about);
}
