/* SPDX-License-Identifier: MIT */
/*
 * The benchmark: duplex and its peers side by side, in one run on one machine. It reports and does
 * not judge: the exit status is 0 however slow anything was, and 1 if something went wrong.
 */
#include "bench.h"
#include "results.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_QUICK = 256,
    OPTION_JSON,
    OPTION_RESULTS,
    OPTION_LIST,
};

struct arguments {
    struct effort effort;
    const char *json;
    const char *results;
    double passes; /* 0: as the effort says */
    double seconds;
    bool quick;
    bool list;
};

static const struct argp_option options[] = {
    {"passes", 'p', "N", 0, "Interleaved passes of each workload (5; 3 with --quick)", 0},
    {"seconds", 's', "S", 0, "Seconds of each timed run (0.15; 0.05 with --quick)", 0},
    {"quick", OPTION_QUICK, NULL, 0, "Be done in about three minutes", 0},
    {"placement", 'c', "LIST", 0, "Places: pinned, same, free, separated by commas", 0},
    {"peers", 'P', "LIST", 0,
     "Only peers whose names begin so, besides the reference and the limits", 0},
    {"json", OPTION_JSON, "FILE", 0, "Write all figures to FILE as well", 0},
    {"results", OPTION_RESULTS, "DIR", 0, "Write figures, tables and plots to the folder DIR", 0},
    {"list", OPTION_LIST, NULL, 0, "List the workloads and the rows, and do nothing", 0},
    {0},
};

static void parse_number(struct argp_state *state, const char *text, double least, double most,
                         double *ret)
{
    if (!effort_parse_number(text, least, most, ret))
        argp_error(state, "'%s' is not a number from %g to %g", text, least, most);
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    struct effort *effort = &arguments->effort;
    unsigned placements;

    switch (key) {
    case 'p':
        parse_number(state, value, 1, PASSES_MAX, &arguments->passes);
        return 0;
    case 's':
        parse_number(state, value, 0.001, 10, &arguments->seconds);
        return 0;
    case OPTION_QUICK:
        arguments->quick = true;
        return 0;
    case 'c':
        placements = effort_parse_placements(value);
        if (placements == 0)
            argp_error(state, "a placement is pinned, same or free, not '%s'", value);
        effort->placements |= placements;
        return 0;
    case 'P':
        effort->peers = value;
        return 0;
    case OPTION_JSON:
        arguments->json = value;
        return 0;
    case OPTION_RESULTS:
        arguments->results = value;
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

static void settle(struct arguments *arguments)
{
    if (arguments->quick)
        effort_be_quick(&arguments->effort);
    if (arguments->passes > 0)
        arguments->effort.passes = (unsigned)arguments->passes;
    if (arguments->seconds > 0)
        arguments->effort.seconds = arguments->seconds;
}

/* For run_groups(); the context is the first of all groups. */
static int print_group(const struct group *group, void *context)
{
    report_group(stdout, group, report_first_spawn(context, group));
    return ferror(stdout) ? -EIO : 0;
}

static int write_json(const char *path, const struct effort *effort, const struct group *groups,
                      size_t count)
{
    FILE *file = fopen(path, "we");
    int error = 0;

    if (!file)
        error = -errno;
    if (file) {
        figures_write_json(file, effort, groups, count);
        if (ferror(file))
            error = -EIO;
        if (fclose(file) != 0 && error == 0)
            error = -errno;
    }
    if (error < 0)
        fprintf(stderr, "bench: cannot write '%s': %s\n", path, strerror(-error));
    return error;
}

static int run(const struct arguments *arguments, struct group *groups, size_t count)
{
    static struct verdict verdicts[VERDICTS_MAX];
    const struct effort *effort = &arguments->effort;
    unsigned failed;
    int error;

    report_heading(stdout, effort);
    error = run_groups(groups, count, effort, print_group, groups);
    if (error < 0) {
        fprintf(stderr, "bench: stopped: %s\n", strerror(-error));
        return error;
    }
    report_targets(stdout, verdicts, targets_judge(groups, count, verdicts));
    if (arguments->json)
        error = write_json(arguments->json, effort, groups, count);
    if (arguments->results && error == 0)
        error = results_write(arguments->results, effort, groups, count);
    failed = run_failures(groups, count);
    if (failed > 0)
        fprintf(stderr, "bench: %u row%s failed\n", failed, failed > 1 ? "s" : "");
    return failed > 0 ? -EIO : error;
}

int main(int argc, char **argv)
{
    static struct group groups[GROUPS_MAX];
    struct arguments arguments = {.effort = effort_default()};
    const char *unknown;

    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    if (arguments.list) {
        plan_list(stdout);
        return 0;
    }
    settle(&arguments);
    unknown = plan_unknown(&arguments.effort);
    if (unknown) {
        fprintf(stderr, "bench: there is no workload '%s'; --list names them\n", unknown);
        return 1;
    }
    if (arguments.results && results_prepare(arguments.results) < 0)
        return 1;
    return run(&arguments, groups, plan_make(groups, &arguments.effort)) < 0;
}
