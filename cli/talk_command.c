/* SPDX-License-Identifier: MIT */
/* `duplex talk`: its options. The relay itself is in talk.c. */
#include "command.h"

#include "talk.h"

#include <string.h>

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    talk_options *talk = state->input;

    switch (key) {
    case 'f':
        if (strcmp(argument, "line") == 0)
            talk->framing = DX_FRAMING_LINE;
        else if (strcmp(argument, "native") == 0)
            talk->framing = DX_FRAMING_NATIVE;
        else
            argp_error(state, "the framing must be line or native, not '%s'", argument);
        return 0;
    case 't':
        talk->timeout_ms = command_parse_seconds(argument);
        if (talk->timeout_ms <= 0)
            argp_error(state, "the timeout must be a number of seconds above 0, not '%s'",
                       argument);
        return 0;
    case 'q':
        talk->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        /* The program, and all that follows is its own. argv ends with NULL. */
        talk->argv = &state->argv[state->next - 1];
        state->next = state->argc;
        return 0;
    case ARGP_KEY_END:
        if (!talk->argv)
            argp_error(state, "no program was given");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {.name = "framing",
     .key = 'f',
     .arg = "FRAMING",
     .doc = "How messages become bytes: line, for a filter that reads standard input and writes "
            "standard output; native, for a program that uses libduplex (default: line)"},
    {.name = "timeout",
     .key = 't',
     .arg = "SECONDS",
     .doc =
         "Give up, with status 124, when PROGRAM owes an answer or its end and neither takes nor "
         "says anything for SECONDS (default: never)"},
    COMMAND_OPTION_QUIET,
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .args_doc = "[--] PROGRAM [ARGUMENT...]",
    .doc =
        "Start PROGRAM and converse with it: each line of standard input is a message to it, each "
        "message from it a line of standard output, both ways at once. The end of input is passed "
        "on, and late answers are waited for."
        "\vThe exit status is PROGRAM's, or 128 plus the number of the signal that ended it; 124 "
        "when the timeout passed, 125 when duplex failed, 126 when PROGRAM cannot be executed, "
        "127 when it was not found.",
};

static int run(int argc, char **argv, bool quiet)
{
    talk_options talk = {
        .framing = DX_FRAMING_LINE,
        .timeout_ms = DX_FOREVER,
        .quiet = quiet,
    };

    command_parse(&argp, argc, argv, &talk);
    return talk_relay(&talk);
}

const command command_talk = {
    .name = "talk",
    .summary = "Converse with a program: lines in, replies out",
    .argp = &argp,
    .run = run,
};
