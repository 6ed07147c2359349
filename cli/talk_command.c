/* SPDX-License-Identifier: MIT */
/* `duplex talk`: its options. The conversation itself is in talk.c. */
#include "command.h"

#include "talk.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRACE_MS 500
#define FRAMINGS                                                                                   \
    "native, line, nul, netstring, u8, u16, u32, python, content-length, pkt-line, node or raw"

enum { KEY_TRACE = 256, KEY_UNBUFFER, KEY_GRACE };

typedef struct talk_arguments {
    talk_options talk;
    bool handover_given;
} talk_arguments;

/* Read a descriptor's number. Returns where it ends, or NULL if it is none for a channel. */
static const char *parse_number(const char *text, int *ret)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (*text < '0' || *text > '9' || number <= STDERR_FILENO || number > INT_MAX)
        return NULL;
    *ret = (int)number;
    return end;
}

/* "3,4": what the program reads and what it writes. */
static bool parse_numbers(const char *text, talk_options *talk)
{
    text = parse_number(text, &talk->read_fd);
    if (text && *text == ',')
        text = parse_number(text + 1, &talk->write_fd);
    else
        text = NULL;
    return text && *text == '\0' && talk->read_fd != talk->write_fd;
}

static bool is_variable(const char *text)
{
    return *text != '\0' && (*text < '0' || *text > '9') &&
           text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] ==
               '\0';
}

static void parse_handover(const char *argument, talk_options *talk, struct argp_state *state)
{
    static const char *const names[] = {
        [DX_HANDOVER_ENV] = "env", [DX_HANDOVER_STDIO] = "stdio",   [DX_HANDOVER_PIPES] = "pipes",
        [DX_HANDOVER_FDS] = "fds", [DX_HANDOVER_LISTEN] = "listen", [DX_HANDOVER_ARGV] = "argv"};
    size_t size = strcspn(argument, ":");
    const char *text = argument[size] == ':' ? argument + size + 1 : NULL;
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i]) == size && memcmp(names[i], argument, size) == 0)
            break;
    }
    talk->handover = (dx_handover)i;
    talk->handover_text = NULL;
    talk->read_fd = talk->write_fd = 0;
    switch (i) {
    case DX_HANDOVER_ENV:
        if (text && !is_variable(text))
            argp_error(state, "'%s' cannot be the name of an environment variable", text);
        talk->handover_text = text;
        return;
    case DX_HANDOVER_LISTEN:
        if (text && *text == '\0')
            argp_error(state, "the name after 'listen:' is missing");
        talk->handover_text = text;
        return;
    case DX_HANDOVER_FDS:
        if (text && !parse_numbers(text, talk))
            argp_error(state,
                       "the descriptors must be two different numbers above 2, as in fds:3,4, "
                       "not '%s'",
                       text);
        return;
    case DX_HANDOVER_STDIO:
    case DX_HANDOVER_PIPES:
    case DX_HANDOVER_ARGV:
        if (!text)
            return;
        break;
    default:
        break;
    }
    argp_error(state,
               "the handover must be env, env:VARIABLE, stdio, pipes, fds, fds:READ,WRITE, listen, "
               "listen:NAME or argv, not '%s'",
               argument);
}

/* What an option that takes a value says. */
static void parse_value(int key, char *argument, talk_arguments *arguments,
                        struct argp_state *state)
{
    talk_options *talk = &arguments->talk;

    switch (key) {
    case 'f':
        if (dx_framing_by_name(&talk->framing, argument) < 0)
            argp_error(state, "the framing must be " FRAMINGS ", not '%s'", argument);
        return;
    case 'H':
        arguments->handover_given = true;
        parse_handover(argument, talk, state);
        return;
    case 't':
        talk->timeout_ms = command_parse_seconds(argument);
        if (talk->timeout_ms <= 0)
            argp_error(state,
                       "the timeout must be a number of seconds above 0, at most %d, not '%s'",
                       COMMAND_SECONDS_MAX, argument);
        return;
    case KEY_GRACE:
        talk->grace_ms = command_parse_seconds(argument);
        if (talk->grace_ms < 0)
            argp_error(state, "the grace must be a number of seconds from 0 to %d, not '%s'",
                       COMMAND_SECONDS_MAX, argument);
        return;
    case KEY_TRACE:
    default:
        if (*argument == '\0')
            argp_error(state, "the name of the file for the trace is empty");
        talk->trace = argument;
        return;
    }
}

/* What can only be said when all options are known. */
static void complete(talk_arguments *arguments, struct argp_state *state)
{
    talk_options *talk = &arguments->talk;
    bool found = false;
    size_t i;

    if (!talk->argv)
        argp_error(state, "no program was given");
    if (!arguments->handover_given && talk->framing != DX_FRAMING_NATIVE &&
        talk->framing != DX_FRAMING_NODE)
        talk->handover = DX_HANDOVER_PIPES;
    for (i = 1; talk->argv && talk->argv[i]; i++)
        found = found || strstr(talk->argv[i], "{fd}");
    if (talk->handover == DX_HANDOVER_ARGV && !found)
        argp_error(state, "the handover argv needs {fd} in an argument of the program");
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    talk_arguments *arguments = state->input;

    switch (key) {
    case 'f':
    case 'H':
    case 't':
    case KEY_GRACE:
    case KEY_TRACE:
        parse_value(key, argument, arguments, state);
        return 0;
    case KEY_UNBUFFER:
        arguments->talk.unbuffer = true;
        return 0;
    case 'q':
        arguments->talk.quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        /* The program, and all that follows is its own. argv ends with NULL. */
        arguments->talk.argv = &state->argv[state->next - 1];
        state->next = state->argc;
        return 0;
    case ARGP_KEY_END:
        complete(arguments, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {.name = "framing",
     .key = 'f',
     .arg = "FRAMING",
     .doc = "Converse in messages, which are lines on this side and for PROGRAM have the form "
            "FRAMING: " FRAMINGS " (default: raw, bytes as they are)"},
    {.name = "handover",
     .key = 'H',
     .arg = "HANDOVER",
     .doc = "How PROGRAM gets its end: pipes or stdio, its standard input and output; "
            "env[:VARIABLE], fds[:READ,WRITE], listen[:NAME], or argv, in place of {fd} (default: "
            "env for native and node, else pipes)"},
    {.name = "timeout",
     .key = 't',
     .arg = "SECONDS",
     .doc = "Give up, with status 124, when PROGRAM has owed an answer, or its end, for SECONDS "
            "(default: never)"},
    {.name = "grace",
     .key = KEY_GRACE,
     .arg = "SECONDS",
     .doc = "To stop PROGRAM, wait SECONDS after the end of its input, and again after SIGTERM "
            "(default: 0.5)"},
    {.name = "trace",
     .key = KEY_TRACE,
     .arg = "FILE",
     .doc = "Add to FILE a line for each message, both ways: arrow, time, size and text; - is "
            "standard error"},
    {.name = "unbuffer",
     .key = KEY_UNBUFFER,
     .doc = "Start PROGRAM by 'stdbuf -oL', so that it does not hold its answers back"},
    COMMAND_OPTION_QUIET,
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .args_doc = "[--] PROGRAM [ARGUMENT...]",
    .doc =
        "Start PROGRAM and converse with it: what comes on standard input goes to it, what it says "
        "goes to standard output, both ways at once. The end of input is passed on, and late "
        "answers are waited for. However it ends, or is killed, nothing of PROGRAM's process "
        "group is left."
        "\vThe exit status is PROGRAM's, or 128 plus the number of the signal that ended it; 124 "
        "when the timeout passed, 125 when duplex failed, 126 when PROGRAM cannot be executed, "
        "127 when it was not found.",
};

static int run(int argc, char **argv, bool quiet)
{
    talk_arguments arguments = {
        .talk = {.framing = DX_FRAMING_RAW,
                 .timeout_ms = DX_FOREVER,
                 .grace_ms = GRACE_MS,
                 .quiet = quiet},
    };

    command_parse(&argp, argc, argv, &arguments);
    return talk(&arguments.talk);
}

const command command_talk = {
    .name = "talk",
    .summary = "Converse with a program, of which nothing is left behind",
    .argp = &argp,
    .run = run,
};
