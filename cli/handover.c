/* SPDX-License-Identifier: MIT */
/* How a program gets its end of the channel, as options say it; see handover.h. */
#include "handover.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
static bool parse_numbers(const char *text, handover_choice *ret)
{
    text = parse_number(text, &ret->read_fd);
    if (text && *text == ',')
        text = parse_number(text + 1, &ret->write_fd);
    else
        text = NULL;
    return text && *text == '\0' && ret->read_fd != ret->write_fd;
}

static bool is_variable(const char *text)
{
    return *text != '\0' && (*text < '0' || *text > '9') &&
           text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] ==
               '\0';
}

void handover_parse(handover_choice *ret, const char *argument, struct argp_state *state)
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
    ret->given = true;
    ret->handover = (dx_handover)i;
    ret->text = NULL;
    ret->read_fd = ret->write_fd = 0;
    switch (i) {
    case DX_HANDOVER_ENV:
        if (text && !is_variable(text))
            argp_error(state, "'%s' cannot be the name of an environment variable", text);
        ret->text = text;
        return;
    case DX_HANDOVER_LISTEN:
        if (text && *text == '\0')
            argp_error(state, "the name after 'listen:' is missing");
        ret->text = text;
        return;
    case DX_HANDOVER_FDS:
        if (text && !parse_numbers(text, ret))
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

void handover_complete(handover_choice *choice, dx_framing framing, char *const argv[],
                       struct argp_state *state)
{
    bool found = false;
    size_t i;

    if (!choice->given && framing != DX_FRAMING_NATIVE && framing != DX_FRAMING_NODE)
        choice->handover = DX_HANDOVER_PIPES;
    for (i = 1; argv && argv[0] && argv[i]; i++)
        found = found || strstr(argv[i], "{fd}");
    if (choice->handover == DX_HANDOVER_ARGV && !found)
        argp_error(state, "the handover argv needs {fd} in an argument of the program");
}

bool handover_is_stdio(const handover_choice *choice)
{
    return choice->handover == DX_HANDOVER_STDIO || choice->handover == DX_HANDOVER_PIPES;
}

void handover_apply(const handover_choice *choice, dx_process_options *options,
                    const dx_descriptor *descriptors, size_t descriptor_count)
{
    options->handover = choice->handover;
    options->handover_variable = choice->text;
    options->channel_target = choice->read_fd;
    options->channel_write_target = choice->write_fd;
    if (handover_is_stdio(choice)) {
        options->descriptors = descriptors;
        options->descriptor_count = descriptor_count;
    } else {
        /* Our standard output is for messages alone: what else the program prints is for people. */
        options->stdio[STDIN_FILENO].mode = DX_STDIO_NULL;
        options->stdio[STDOUT_FILENO].mode = DX_STDIO_DESCRIPTOR;
        options->stdio[STDOUT_FILENO].fd = STDERR_FILENO;
    }
}
