/* SPDX-License-Identifier: MIT */
/* `duplex map`: its options. The run itself is in map.c. */
#include "command.h"

#include "map.h"
#include "map_frame.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAMINGS                                                                                   \
    "native, line, nul, netstring, u8, u16, u32, python, content-length, pkt-line or node"
#define FILE_FRAMINGS "line, nul, netstring, u8, u16, u32, python, content-length or pkt-line"
#define HALTS "never, or soon or now, a comma, and fail=N, fail=N%, success=N, success=N% or done=N"

enum {
    KEY_INPUT = 256,
    KEY_OUTPUT,
    KEY_DEPTH,
    KEY_READY,
    KEY_READY_TIMEOUT,
    KEY_RETRIES,
    KEY_RECYCLE,
    KEY_RECYCLE_MEMORY,
    KEY_HALT,
    KEY_TAG,
    KEY_JOBLOG,
    KEY_RESUME,
    KEY_RESUME_FAILED,
    KEY_FAIL_FILE,
    KEY_JSON
};

typedef struct map_arguments {
    map_options map;
    bool input_given;
    bool output_given;
    bool ready_given;
} map_arguments;

static unsigned long count_processors(void)
{
    cpu_set_t set;
    long count;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return (unsigned long)CPU_COUNT(&set);
    count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned long)count : 1;
}

/* Read a whole number from least to most, behind which `*ret_end` remains. */
static bool parse_number(const char *text, unsigned long long least, unsigned long long most,
                         unsigned long long *ret, const char **ret_end)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    *ret = strtoull(text, &end, 10);
    *ret_end = end;
    return *ret >= least && *ret <= most;
}

/* The number of an option that is nothing but that. */
static unsigned long long number_of(const char *name, const char *text, unsigned long long least,
                                    unsigned long long most, struct argp_state *state)
{
    unsigned long long number = 0;
    const char *end = "";

    if (!parse_number(text, least, most, &number, &end) || *end != '\0')
        argp_error(state, "%s must be a number from %llu to %llu, not '%s'", name, least, most,
                   text);
    return number;
}

static unsigned parse_workers(const char *text, struct argp_state *state)
{
    unsigned long long number = 0;
    const char *end = "";

    if (parse_number(text, 1, 1000000, &number, &end)) {
        if (strcmp(end, "%") == 0) {
            number = (number * count_processors() + 50) / 100;
            number = number < 1 ? 1 : number;
            end = "";
        }
        if (*end == '\0' && number <= DX_WORKERS_MAX)
            return (unsigned)number;
    }
    argp_error(state,
               "the number of workers must be from 1 to %d, or a percentage of the processors, as "
               "in 50%%, not '%s'",
               DX_WORKERS_MAX, text);
    return 1;
}

/* Read a size such as 500M. */
static size_t parse_size(const char *text, struct argp_state *state)
{
    static const char units[] = "KMGT";
    unsigned long long number = 0;
    const char *end = "";
    const char *unit;
    int shift = 0;

    if (parse_number(text, 1, SIZE_MAX, &number, &end)) {
        unit = *end != '\0' ? strchr(units, *end) : NULL;
        if (unit) {
            shift = 10 * (int)(unit - units + 1);
            end++;
        }
        if (*end == '\0' && number <= SIZE_MAX >> shift)
            return (size_t)number << shift;
    }
    argp_error(state, "the size must be a number of bytes, or one with K, M, G or T, not '%s'",
               text);
    return 0;
}

/* Seconds, above 0 unless zero is given a meaning. */
static int parse_time(const char *name, const char *text, struct argp_state *state)
{
    int time_ms = command_parse_seconds(text);

    if (time_ms <= 0)
        argp_error(state, "%s must be a number of seconds above 0, at most %d, not '%s'", name,
                   COMMAND_SECONDS_MAX, text);
    return time_ms;
}

static dx_framing parse_framing(const char *name, const char *text, bool in_file,
                                struct argp_state *state)
{
    dx_framing framing = DX_FRAMING_RAW;

    if (dx_framing_by_name(&framing, text) < 0 || framing == DX_FRAMING_RAW ||
        (in_file && !map_frame_fits(framing)))
        argp_error(state, "%s must be %s, not '%s'", name, in_file ? FILE_FRAMINGS : FRAMINGS,
                   text);
    return framing;
}

static const char *parse_file(const char *name, const char *text, struct argp_state *state)
{
    if (*text == '\0')
        argp_error(state, "the name of the file for %s is empty", name);
    return text;
}

static dx_ready parse_ready(const char *text, struct argp_state *state)
{
    if (strcmp(text, "at-once") == 0)
        return DX_READY_AT_ONCE;
    if (strcmp(text, "message") == 0)
        return DX_READY_MESSAGE;
    if (strcmp(text, "greeting") != 0)
        argp_error(state,
                   "a worker can be ready at-once, or with a message or a greeting, not '%s'",
                   text);
    return DX_READY_DEFAULT;
}

/* How the workers are started and spoken to. */
static error_t parse_worker_option(int key, char *argument, struct argp_state *state)
{
    map_arguments *arguments = state->input;
    map_options *map = &arguments->map;

    switch (key) {
    case 'j':
        map->workers = parse_workers(argument, state);
        return 0;
    case 'f':
        map->framing = parse_framing("the framing", argument, false, state);
        return 0;
    case 'H':
        handover_parse(&map->handover, argument, state);
        return 0;
    case KEY_DEPTH:
        map->depth = strcmp(argument, "auto") == 0
                         ? DX_DEPTH_AUTO
                         : (unsigned)number_of("the depth, if it is not auto,", argument, 1,
                                               DX_DEPTH_MAX, state);
        return 0;
    case KEY_READY:
        map->ready = parse_ready(argument, state);
        arguments->ready_given = true;
        return 0;
    case KEY_READY_TIMEOUT:
        map->ready_timeout_ms = parse_time("the time to get ready", argument, state);
        return 0;
    case KEY_RETRIES:
        map->retries = (unsigned)number_of("the number of retries", argument, 0, 1000000, state);
        return 0;
    case 't':
        map->timeout_ms = parse_time("the timeout", argument, state);
        return 0;
    case KEY_RECYCLE:
        map->recycle_jobs =
            number_of("the number of jobs of a worker", argument, 1, INT64_MAX, state);
        return 0;
    case KEY_RECYCLE_MEMORY:
        map->recycle_bytes = parse_size(argument, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What can only be said when all options are known. */
static void complete(map_arguments *arguments, struct argp_state *state)
{
    map_options *map = &arguments->map;
    dx_framing ours = map_frame_fits(map->framing) ? map->framing : DX_FRAMING_LINE;

    if (!map->argv)
        argp_error(state, "no program was given");
    if (!arguments->input_given)
        map->input = ours;
    if (!arguments->output_given)
        map->output = ours;
    if (map->workers == 0)
        map->workers = parse_workers("100%", state);
    handover_complete(&map->handover, map->framing, map->argv, state);
    if (arguments->ready_given && map->ready == DX_READY_DEFAULT &&
        map->framing != DX_FRAMING_NATIVE)
        argp_error(state, "only workers of the native framing greet");
    if (map->tag && map->output != DX_FRAMING_LINE && map->output != DX_FRAMING_NUL)
        argp_error(state, "--tag needs an output of the framing line or nul");
    if (map->resume && !map->joblog)
        argp_error(state, "--resume and --resume-failed need the joblog to resume by");
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    map_arguments *arguments = state->input;
    map_options *map = &arguments->map;

    switch (key) {
    case KEY_INPUT:
        map->input = parse_framing("the framing of the input", argument, true, state);
        arguments->input_given = true;
        return 0;
    case KEY_OUTPUT:
        map->output = parse_framing("the framing of the output", argument, true, state);
        arguments->output_given = true;
        return 0;
    case 'k':
    case 'u':
        map->unordered = key == 'u';
        return 0;
    case KEY_TAG:
        map->tag = true;
        return 0;
    case KEY_HALT:
        if (!map_halt_parse(&map->halt, argument))
            argp_error(state, "--halt must be %s, as in soon,fail=1, not '%s'", HALTS, argument);
        return 0;
    case KEY_JOBLOG:
        map->joblog = parse_file("the joblog", argument, state);
        return 0;
    case KEY_FAIL_FILE:
        map->fail_file = parse_file("the failed jobs", argument, state);
        return 0;
    case KEY_RESUME:
    case KEY_RESUME_FAILED:
        map->resume = true;
        map->resume_failed = map->resume_failed || key == KEY_RESUME_FAILED;
        return 0;
    case KEY_JSON:
        map->json = true;
        return 0;
    case 'q':
        map->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        map->argv = command_take_program(state);
        return 0;
    case ARGP_KEY_END:
        complete(arguments, state);
        return 0;
    default:
        return parse_worker_option(key, argument, state);
    }
}

static const struct argp_option options[] = {
    {.name = "jobs",
     .key = 'j',
     .arg = "N",
     .doc = "How many workers: a number, or N% of the processors (default: 100%)"},
    {.name = "framing",
     .key = 'f',
     .arg = "FRAMING",
     .doc = "What a job and an answer look like to PROGRAM: " FRAMINGS " (default: line)"},
    {.name = "handover",
     .key = 'H',
     .arg = "HANDOVER",
     .doc = "How PROGRAM gets its end: pipes or stdio, its standard input and output; "
            "env[:VARIABLE], fds[:READ,WRITE], listen[:NAME], or argv, in place of {fd} (default: "
            "env for native and node, else pipes)"},
    {.name = "input",
     .key = KEY_INPUT,
     .arg = "FRAMING",
     .doc = "What a job looks like on standard input: " FILE_FRAMINGS
            " (default: as --framing; line for native and node)"},
    {.name = "output",
     .key = KEY_OUTPUT,
     .arg = "FRAMING",
     .doc = "What an answer looks like on standard output (default: as --framing; line for "
            "native and node)"},
    {.name = "depth",
     .key = KEY_DEPTH,
     .arg = "D",
     .doc = "How many jobs a worker has at a time: 1 to 1024, or auto, by how long jobs take "
            "(default: auto)"},
    {.name = "keep-order",
     .key = 'k',
     .doc = "Write answers in the order of the jobs: the default"},
    {.name = "unordered", .key = 'u', .doc = "Write answers as they come"},
    {.name = "tag", .key = KEY_TAG, .doc = "Before each answer, write its job and a tab"},
    {.name = "retries",
     .key = KEY_RETRIES,
     .arg = "R",
     .doc = "Try a job R times more if its worker dies of it or it takes too long (default: 0)"},
    {.name = "timeout",
     .key = 't',
     .arg = "SECONDS",
     .doc = "Kill a worker that has not answered its job for SECONDS (default: never)"},
    {.name = "recycle",
     .key = KEY_RECYCLE,
     .arg = "N",
     .doc = "Replace a worker by a new one after N jobs"},
    {.name = "recycle-memory",
     .key = KEY_RECYCLE_MEMORY,
     .arg = "SIZE",
     .doc = "Replace a worker whose memory is over SIZE after a job: bytes, or with K, M, G or T"},
    {.name = "ready",
     .key = KEY_READY,
     .arg = "WHEN",
     .doc = "When a worker may get a first job: at-once, or after a first message of its own, or "
            "its greeting (default: greeting for native, else at-once)"},
    {.name = "ready-timeout",
     .key = KEY_READY_TIMEOUT,
     .arg = "SECONDS",
     .doc = "Kill a worker that is not ready after SECONDS (default: 60)"},
    {.name = "halt",
     .key = KEY_HALT,
     .arg = "WHEN",
     .doc = "Give up early: " HALTS " (default: never)"},
    {.name = "joblog",
     .key = KEY_JOBLOG,
     .arg = "FILE",
     .doc = "Write a row for each job that has ended, as GNU parallel does"},
    {.name = "resume", .key = KEY_RESUME, .doc = "Do not do again the jobs that are in the joblog"},
    {.name = "resume-failed",
     .key = KEY_RESUME_FAILED,
     .doc = "The same, but do those again that have failed"},
    {.name = "fail-file",
     .key = KEY_FAIL_FILE,
     .arg = "FILE",
     .doc = "Write the jobs that failed to FILE, as they were in the input"},
    {.name = "json", .key = KEY_JSON, .doc = "Tell how it was as a JSON object"},
    COMMAND_OPTION_QUIET,
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .args_doc = "[--] PROGRAM [ARGUMENT...]",
    .doc = "Do jobs by workers that start once. Each line of standard input is a job, and is given "
           "to one of several PROGRAMs that run side by side and read such lines; the line with "
           "which it answers goes to standard output. A worker that dies is replaced, and its jobs "
           "are done all the same."
           "\vPROGRAM must write exactly one answer for each job, and at once: see the options "
           "against buffering of sed -u, jq --unbuffered, python3 -u, stdbuf -oL.\n"
           "The exit status is 0 when all jobs were done, 1 when some have failed, 125 when duplex "
           "failed or the workers crash too often, 126 when PROGRAM cannot be executed, 127 when "
           "it was not found, and 128 plus the number of the signal that stopped duplex.",
};

static int run(int argc, char **argv, bool quiet)
{
    map_arguments arguments = {
        .map = {.framing = DX_FRAMING_LINE, .depth = DX_DEPTH_AUTO, .quiet = quiet}};

    command_parse(&argp, argc, argv, &arguments);
    return map(&arguments.map);
}

const command command_map = {
    .name = "map",
    .summary = "Do many jobs by programs that start once",
    .argp = &argp,
    .run = run,
};
