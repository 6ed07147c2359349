/* SPDX-License-Identifier: MIT */
/* `duplex demo`: its options, and its output as JSON. The conversation itself is in demo.c. */
#include "command.h"

#include "console.h"
#include "demo.h"
#include "interrupt.h"
#include "status.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct demo_arguments {
    demo_options demo;
    bool quiet;
} demo_arguments;

/* The time of day in UTC, as RFC 3339 writes it, with microseconds. */
static void format_time(char *text, size_t size)
{
    struct timespec now;
    struct tm parts;
    size_t used;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    used = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + used, size - used, ".%06ldZ", now.tv_nsec / 1000);
}

/* For demo_options.print: one JSON object a line. */
static int print_json(const demo_sentence *sentence, int interrupt_fd)
{
    char now[40];
    char line[512];
    json_t *object;
    size_t size;

    format_time(now, sizeof(now));
    object =
        json_pack("{s:I, s:s, s:s%, s:s}", "round", (json_int_t)sentence->round, "direction",
                  demo_direction(sentence), "text", sentence->text, sentence->size, "time", now);
    if (!object)
        return -EILSEQ; /* the text is no UTF-8 */
    size = json_dumpb(object, line, sizeof(line) - 1, JSON_COMPACT);
    json_decref(object);
    if (size == 0 || size >= sizeof(line))
        return -EMSGSIZE;
    line[size++] = '\n';
    return console_write(line, size, interrupt_fd, -1);
}

static void parse_rounds(const char *text, demo_options *options, struct argp_state *state)
{
    char *end;

    errno = 0;
    options->rounds = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || options->rounds == 0 ||
        options->rounds > INT64_MAX)
        argp_error(state, "the number of rounds must be from 1 to %lld, not '%s'",
                   (long long)INT64_MAX, text);
}

static void parse_type(const char *text, demo_options *options, struct argp_state *state)
{
    if (strcmp(text, "stream") == 0)
        options->type = DX_STREAM;
    else if (strcmp(text, "seqpacket") == 0)
        options->type = DX_SEQPACKET;
    else if (strcmp(text, "dgram") == 0)
        options->type = DX_DGRAM;
    else
        argp_error(state, "the type must be stream, dgram or seqpacket, not '%s'", text);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    demo_arguments *arguments = state->input;

    switch (key) {
    case 'n':
        parse_rounds(argument, &arguments->demo, state);
        return 0;
    case 'i':
        arguments->demo.interval_ms = command_parse_seconds(argument);
        if (arguments->demo.interval_ms < 0)
            argp_error(state, "the interval must be a number of seconds from 0 to %d, not '%s'",
                       COMMAND_SECONDS_MAX, argument);
        return 0;
    case 't':
        parse_type(argument, &arguments->demo, state);
        return 0;
    case 'j':
        arguments->demo.print = print_json;
        return 0;
    case 'q':
        arguments->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {.name = "rounds", .key = 'n', .arg = "ROUNDS", .doc = "Stop after ROUNDS (default: never)"},
    {.name = "interval",
     .key = 'i',
     .arg = "SECONDS",
     .doc = "Begin a round every SECONDS, fractions allowed (default: 1)"},
    {.name = "type",
     .key = 't',
     .arg = "TYPE",
     .doc = "Converse over a socketpair of TYPE stream, dgram or seqpacket (default: stream)"},
    {.name = "json", .key = 'j', .doc = "Print a JSON object for each sentence"},
    COMMAND_OPTION_QUIET,
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .doc =
        "A father starts a child, and the two tell each other who they are, once a second, until "
        "stopped. Each line is printed by the one who heard it."
        "\vCtrl-C stops it; no process is left. The exit status is 0 after the rounds of --rounds, "
        "or 128 plus the number of the signal that stopped it: 130 for Ctrl-C, 141 when nobody "
        "reads its output any more; 125 when duplex failed.",
};

static int run(int argc, char **argv, bool quiet)
{
    demo_arguments arguments = {
        .demo = {.interval_ms = 1000, .print = demo_print_line},
        .quiet = quiet,
    };
    int interrupt_fd;
    int status;

    command_parse(&argp, argc, argv, &arguments);
    interrupt_fd = interrupt_open();
    if (interrupt_fd < 0) {
        complain("cannot watch for signals: %s", strerror(-interrupt_fd));
        return STATUS_FAILURE;
    }
    if (!arguments.quiet && arguments.demo.rounds == 0 && isatty(STDOUT_FILENO) &&
        isatty(STDERR_FILENO))
        complain("Ctrl-C stops the conversation");
    status = demo_converse(&arguments.demo, interrupt_fd);
    close(interrupt_fd);
    return status;
}

const command command_demo = {
    .name = "demo",
    .summary = "A father and his child converse, for all to see",
    .argp = &argp,
    .run = run,
};
