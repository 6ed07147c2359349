/* SPDX-License-Identifier: MIT */
/* `duplex talk`: its options. The conversation itself is in talk.c. */
#include "command.h"

#include "talk.h"

#include <stdlib.h>
#include <string.h>

#define GRACE_MS 500
#define FRAMINGS                                                                                   \
    "native, line, nul, netstring, u8, u16, u32, python, content-length, pkt-line, node or raw"

enum { KEY_TRACE = 256, KEY_UNBUFFER, KEY_GRACE };

/* What an option that takes a value says. */
static void parse_value(int key, char *argument, talk_options *talk, struct argp_state *state)
{
    switch (key) {
    case 'f':
        if (dx_framing_by_name(&talk->framing, argument) < 0)
            argp_error(state, "the framing must be " FRAMINGS ", not '%s'", argument);
        return;
    case 'H':
        handover_parse(&talk->handover, argument, state);
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
static void complete(talk_options *talk, struct argp_state *state)
{
    if (!talk->argv)
        argp_error(state, "no program was given");
    handover_complete(&talk->handover, talk->framing, talk->argv, state);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    talk_options *talk = state->input;

    switch (key) {
    case 'f':
    case 'H':
    case 't':
    case KEY_GRACE:
    case KEY_TRACE:
        parse_value(key, argument, talk, state);
        return 0;
    case KEY_UNBUFFER:
        talk->unbuffer = true;
        return 0;
    case 'q':
        talk->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        talk->argv = command_take_program(state);
        return 0;
    case ARGP_KEY_END:
        complete(talk, state);
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
    talk_options talk_as = {
        .framing = DX_FRAMING_RAW,
        .timeout_ms = DX_FOREVER,
        .grace_ms = GRACE_MS,
        .quiet = quiet,
    };

    command_parse(&argp, argc, argv, &talk_as);
    return talk(&talk_as);
}

const command command_talk = {
    .name = "talk",
    .summary = "Converse with a program, of which nothing is left behind",
    .argp = &argp,
    .run = run,
};
