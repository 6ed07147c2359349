/* SPDX-License-Identifier: MIT */
/*
 * `duplex bench`: its options, and where its tables go. What is measured, and how, is the driver of
 * the project's own benchmark in bench/, with duplex's rows alone.
 */
#include "command.h"

#include "console.h"
#include "interrupt.h"
#include "status.h"

#include <bench.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_QUICK = 256, KEY_SECONDS, KEY_LIST };

typedef struct bench_arguments {
    struct effort effort;
    double passes; /* 0: as the effort says; so is the next */
    double seconds;
    bool quick;
    bool json;
    bool list;
    bool quiet;
    char **workloads; /* room for each argument */
} bench_arguments;

/* Where the run is while it goes on. */
typedef struct bench_run {
    const bench_arguments *arguments;
    const struct group *groups;
    size_t count;
    bool show_progress;
    int error; /* of standard output */
} bench_run;

/* Print what somebody writes to a stream of memory. Returns 0, -EINTR or a negative errno. */
static int print(FILE *stream, char **text, const size_t *size, int interrupt_fd)
{
    int error = fclose(stream) == 0 ? 0 : -ENOMEM;

    if (error == 0)
        error = console_write(*text, *size, interrupt_fd, -1);
    free(*text);
    return error;
}

static int print_heading(const bench_arguments *arguments)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (!stream)
        return -errno;
    report_heading(stream, &arguments->effort);
    return print(stream, &text, &size, arguments->effort.interrupt_fd);
}

/* For run_groups(). */
static int print_group(const struct group *group, void *context)
{
    bench_run *run = context;
    const bench_arguments *arguments = run->arguments;
    char *text = NULL;
    size_t size = 0;
    FILE *stream;

    if (run->show_progress)
        fprintf(stderr, "\rduplex: %zu of %zu workloads measured%s",
                (size_t)(group - run->groups) + 1, run->count,
                group + 1 == run->groups + run->count ? "\n" : "");
    if (arguments->json)
        return 0;
    stream = open_memstream(&text, &size);
    if (!stream)
        return -errno;
    report_group(stream, group, report_first_spawn(run->groups, group));
    run->error = print(stream, &text, &size, arguments->effort.interrupt_fd);
    return run->error;
}

static int print_json(const bench_arguments *arguments, const struct group *groups, size_t count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (!stream)
        return -errno;
    figures_write_json(stream, &arguments->effort, groups, count);
    return print(stream, &text, &size, arguments->effort.interrupt_fd);
}

/* Say which rows have no figures because something went wrong. */
static void complain_of_failures(const struct group *groups, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (unsigned j = 0; j < groups[i].row_count; j++) {
            const struct row *row = &groups[i].rows[j];

            if (row->failed)
                complain("%s, %s: %s: %s", groups[i].name, placement_name(groups[i].placement),
                         row->name, row->skipped);
        }
    }
}

/* Returns the exit status. */
static int measure(const bench_arguments *arguments, struct group *groups, size_t count)
{
    const struct effort *effort = &arguments->effort;
    bench_run run = {
        .arguments = arguments,
        .groups = groups,
        .count = count,
        .show_progress = !arguments->quiet && isatty(STDERR_FILENO) &&
                         (arguments->json || !isatty(STDOUT_FILENO)),
    };
    int error = 0;

    if (!arguments->json)
        run.error = print_heading(arguments);
    if (run.error == 0)
        error = run_groups(groups, count, effort, print_group, &run);
    if (error == 0 && run.error == 0 && arguments->json)
        run.error = print_json(arguments, groups, count);
    if (error == -EINTR || run.error == -EINTR)
        return STATUS_SIGNAL + interrupt_take(effort->interrupt_fd);
    if (run.error < 0)
        return console_output_failed(run.error);
    if (error < 0) {
        complain("cannot measure: %s", strerror(-error));
        return STATUS_FAILURE;
    }
    complain_of_failures(groups, count);
    return run_failures(groups, count) > 0 ? STATUS_FAILURE : 0;
}

static void parse_number(const char *name, const char *text, double least, double most, double *ret,
                         struct argp_state *state)
{
    if (!effort_parse_number(text, least, most, ret))
        argp_error(state, "%s must be a number from %g to %g, not '%s'", name, least, most, text);
}

static void parse_placements(const char *text, struct effort *effort, struct argp_state *state)
{
    unsigned placements = effort_parse_placements(text);

    if (placements == 0)
        argp_error(state, "a placement is pinned, same or free, not '%s'", text);
    effort->placements |= placements;
}

static void check_workloads(const struct effort *effort, struct argp_state *state)
{
    const char *unknown = plan_unknown(effort);

    if (unknown)
        argp_error(state, "there is no workload '%s'; --list names them", unknown);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    bench_arguments *arguments = state->input;

    switch (key) {
    case 'p':
        parse_number("the number of passes", argument, 1, PASSES_MAX, &arguments->passes, state);
        return 0;
    case KEY_SECONDS:
        parse_number("the time of a run", argument, 0.001, 10, &arguments->seconds, state);
        return 0;
    case KEY_QUICK:
        arguments->quick = true;
        return 0;
    case 'c':
        parse_placements(argument, &arguments->effort, state);
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case KEY_LIST:
        arguments->list = true;
        return 0;
    case 'q':
        arguments->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        arguments->workloads[arguments->effort.pattern_count++] = argument;
        return 0;
    case ARGP_KEY_END:
        check_workloads(&arguments->effort, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {.name = "passes",
     .key = 'p',
     .arg = "N",
     .doc = "Run each workload N times, by turns (default: 5; 3 with --quick)"},
    {.name = "seconds",
     .key = KEY_SECONDS,
     .arg = "SECONDS",
     .doc = "Measure for SECONDS each time, fractions allowed (default: 0.15; 0.05 with --quick)"},
    {.name = "quick", .key = KEY_QUICK, .doc = "Measure less, and be done in one or two minutes"},
    {.name = "placement",
     .key = 'c',
     .arg = "LIST",
     .doc = "Run parent and child pinned to a CPU each, on the same one, or free to move; several "
            "are separated by commas (default: what suits the workload)"},
    {.name = "json", .key = 'j', .doc = "Print one JSON object with all figures, in seconds"},
    {.name = "list", .key = KEY_LIST, .doc = "List the workloads and the rows, and do nothing"},
    COMMAND_OPTION_QUIET,
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .args_doc = "[WORKLOAD...]",
    .doc = "Measure what conversations cost on this machine: round trips, messages one way, calls, "
           "starting a child, and silence. Beside duplex's rows stand a bare socketpair and what "
           "the machine itself can do."
           "\vA WORKLOAD is a name of --list, a shell pattern, or the first word of a name: 'rtt'. "
           "The exit status is 0 however slow anything was, 125 when something could not be "
           "measured, or 128 plus the number of the signal that stopped it. No process is left.",
};

static int print_list(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    int error = stream ? 0 : -errno;

    if (stream) {
        plan_list(stream);
        error = print(stream, &text, &size, -1);
    }
    return error < 0 ? console_output_failed(error) : 0;
}

/* Returns the exit status. */
static int run_with(bench_arguments *arguments)
{
    static struct group groups[GROUPS_MAX];
    struct effort *effort = &arguments->effort;
    int status;

    if (arguments->list)
        return print_list();
    if (arguments->quick)
        effort_be_quick(effort);
    if (arguments->passes > 0)
        effort->passes = (unsigned)arguments->passes;
    if (arguments->seconds > 0)
        effort->seconds = arguments->seconds;
    effort->interrupt_fd = interrupt_open();
    if (effort->interrupt_fd < 0) {
        complain("cannot watch for signals: %s", strerror(-effort->interrupt_fd));
        return STATUS_FAILURE;
    }
    status = measure(arguments, groups, plan_make(groups, effort));
    close(effort->interrupt_fd);
    return status;
}

static int run(int argc, char **argv, bool quiet)
{
    bench_arguments arguments = {
        .effort = effort_default(),
        .quiet = quiet,
        .workloads = calloc((size_t)argc, sizeof(*argv)),
    };
    int status;

    if (!arguments.workloads) {
        complain("out of memory");
        return STATUS_FAILURE;
    }
    arguments.effort.patterns = arguments.workloads;
    command_parse(&argp, argc, argv, &arguments);
    status = run_with(&arguments);
    free(arguments.workloads);
    return status;
}

const command command_bench = {
    .name = "bench",
    .summary = "Measure what conversations cost on this machine",
    .argp = &argp,
    .run = run,
};
