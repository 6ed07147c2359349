/* SPDX-License-Identifier: MIT */
/*
 * The benchmark: duplex and its peers side by side, in one run on one machine. It reports and does
 * not judge: the exit status is 0 however slow anything was, and 1 if something went wrong.
 */
#include "bench.h"
#include "peers/peer.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum {
    OPTION_QUICK = 256,
    OPTION_FULL,
    OPTION_JSON,
    OPTION_LIST,
};

struct arguments {
    struct effort effort;
    const char *json;
    bool list;
};

static const struct argp_option options[] = {
    {"passes", 'p', "N", 0, "Interleaved passes of each workload (5; 3 with --quick)", 0},
    {"seconds", 's', "S", 0, "Seconds of each timed run (0.3; 0.06 with --quick)", 0},
    {"quick", OPTION_QUICK, NULL, 0, "Be done within a minute", 0},
    {"full", OPTION_FULL, NULL, 0, "Include what needs 4 GB of memory", 0},
    {"placement", 'c', "LIST", 0, "Places: pinned, same, free, separated by commas", 0},
    {"peers", 'P', "LIST", 0, "Only peers whose names begin so, besides the reference", 0},
    {"json", OPTION_JSON, "FILE", 0, "Write all figures to FILE as well", 0},
    {"list", OPTION_LIST, NULL, 0, "List the workloads and the peers, and do nothing", 0},
    {0},
};

static unsigned parse_placements(struct argp_state *state, const char *list)
{
    unsigned placements = 0;

    while (*list) {
        size_t length = strcspn(list, ",");
        int found = -1;

        for (int i = 0; i < PLACEMENT_COUNT; i++) {
            const char *name = placement_name((enum placement)i);

            if (strlen(name) == length && strncmp(list, name, length) == 0)
                found = i;
        }
        if (found < 0) {
            argp_error(state, "no such placement: '%.*s'", (int)length, list);
            return 0;
        }
        placements |= 1u << found;
        list += length + (list[length] == ',');
    }
    return placements;
}

static double parse_number(struct argp_state *state, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= least && value <= most))
        argp_error(state, "'%s' is not a number from %g to %g", text, least, most);
    return value;
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    struct effort *effort = &arguments->effort;

    switch (key) {
    case 'p':
        effort->passes = (unsigned)parse_number(state, value, 1, PASSES_MAX);
        return 0;
    case 's':
        effort->seconds = parse_number(state, value, 0.001, 10);
        return 0;
    case OPTION_QUICK:
        effort->passes = effort->passes ? effort->passes : 3;
        effort->seconds = effort->seconds > 0 ? effort->seconds : 0.06;
        return 0;
    case OPTION_FULL:
        effort->full = true;
        return 0;
    case 'c':
        effort->placements |= parse_placements(state, value);
        return 0;
    case 'P':
        effort->peers = value;
        return 0;
    case OPTION_JSON:
        arguments->json = value;
        return 0;
    case OPTION_LIST:
        arguments->list = true;
        return 0;
    case ARGP_KEY_ARGS:
        effort->patterns = state->argv + state->next;
        effort->pattern_count = (size_t)(state->argc - state->next);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = options,
    .parser = parse,
    .args_doc = "[WORKLOAD...]",
    .doc = "Measure duplex and its peers side by side."
           "\vA WORKLOAD is a name of --list, a shell pattern, or the first word of a name: 'rtt'.",
};

/* The smallest parent at the same placement, which the others are held against. */
static const struct group *first_spawn(const struct group *groups, const struct group *group)
{
    while (groups->work != WORK_SPAWN || groups->placement != group->placement)
        groups++;
    return groups;
}

/* Returns how many rows went wrong. */
static unsigned run_all(struct group *groups, size_t count, const struct effort *effort)
{
    unsigned failed = 0;

    report_heading(stdout, effort);
    for (size_t i = 0; i < count; i++) {
        struct group *group = &groups[i];

        if (group->work == WORK_SPAWN) {
            spawn_measure_group(group, effort);
            report_group(stdout, group, first_spawn(groups, group));
        } else {
            measure_group(group, effort);
            report_group(stdout, group, NULL);
        }
        for (unsigned row = 0; row < group->row_count; row++)
            failed += group->rows[row].failed;
    }
    return failed;
}

int main(int argc, char **argv)
{
    static struct group groups[GROUPS_MAX];
    struct arguments arguments = {0};
    struct effort *effort = &arguments.effort;
    size_t count;
    unsigned failed;
    int error;

    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    if (arguments.list) {
        plan_list(stdout);
        return 0;
    }
    effort->passes = effort->passes ? effort->passes : 5;
    effort->seconds = effort->seconds > 0 ? effort->seconds : 0.3;
    count = plan_make(groups, effort);
    if (count == 0) {
        fprintf(stderr, "bench: no such workload; --list names them\n");
        return 1;
    }
    /* What a measurement leaves behind becomes a child of this process, which ends it. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    failed = run_all(groups, count, effort);
    if (arguments.json) {
        error = json_write(arguments.json, effort, groups, count);
        if (error < 0) {
            fprintf(stderr, "bench: cannot write '%s': %s\n", arguments.json, strerror(-error));
            return 1;
        }
    }
    if (failed > 0)
        fprintf(stderr, "bench: %u row%s failed\n", failed, failed > 1 ? "s" : "");
    return failed > 0;
}
