/* SPDX-License-Identifier: MIT */
/*
 * The command `duplex`: find the subcommand and run it. What is common to all of them is here:
 * help, version, how options are parsed, and that no write error on standard output is lost.
 */
#include "command.h"

#include "console.h"
#include "interrupt.h"
#include "status.h"

#include <duplex.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const command *const commands[] = {&command_demo, &command_talk, &command_map,
                                          &command_bench};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

typedef struct main_options {
    bool quiet;
    int first; /* the index in argv of the subcommand; 0 if there is none */
} main_options;

static void print_version(FILE *stream, struct argp_state *state)
{
    (void)state;
    fprintf(stream, "duplex %s\n", dx_version());
}

/* Output that stdio collected, such as --help, may fail as late as here. */
static void close_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return;
    _exit(console_output_failed(errno ? -errno : -EIO));
}

int command_parse_seconds(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    int milliseconds;

    if (end == text || *end != '\0' || !(seconds >= 0))
        return -EINVAL;
    if (seconds > COMMAND_SECONDS_MAX)
        return -ERANGE;
    milliseconds = (int)(seconds * 1000 + 0.5);
    return milliseconds == 0 && seconds > 0 ? 1 : milliseconds;
}

char **command_take_program(struct argp_state *state)
{
    char **program = &state->argv[state->next - 1];

    state->next = state->argc;
    return program;
}

void command_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    /* In order: what follows PROGRAM belongs to PROGRAM. */
    error_t error = argp_parse(argp, argc, argv, ARGP_IN_ORDER, NULL, input);

    if (error) {
        complain("cannot read the options: %s", strerror(error));
        exit(STATUS_FAILURE);
    }
}

static const command *find_command(const char *name)
{
    size_t i;

    for (i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    main_options *options = state->input;

    (void)argument;
    switch (key) {
    case 'q':
        options->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        /* The rest is the subcommand's. */
        options->first = state->next - 1;
        state->next = state->argc;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The list of subcommands, at the end of the help text. */
static char *list_commands(int key, const char *text, void *input)
{
    char *list = NULL;
    size_t size;
    size_t i;
    FILE *stream;

    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)text;
    stream = open_memstream(&list, &size);
    if (!stream)
        return NULL;
    fputs("Commands:\n", stream);
    for (i = 0; i < COMMAND_COUNT; i++)
        fprintf(stream, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    fputs("  help     Explain a command\n\n'duplex COMMAND --help' tells more.", stream);
    return fclose(stream) == 0 ? list : NULL;
}

static const struct argp_option main_arguments[] = {COMMAND_OPTION_QUIET, {0}};

static const struct argp main_argp = {
    .options = main_arguments,
    .parser = parse_option,
    .args_doc = "COMMAND [ARGUMENT...]",
    .doc = "A parent process and its children converse, in whole messages, both ways at once, over "
           "one socketpair.\v",
    .help_filter = list_commands,
};

static int unknown_command(const char *name)
{
    complain("there is no command '%s'; 'duplex --help' lists the commands", name);
    return STATUS_FAILURE;
}

static int help(int argc, char **argv)
{
    char name[] = "duplex";
    char command_name[64];
    const command *found;

    if (argc < 2) {
        argp_help(&main_argp, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK, name);
        return 0;
    }
    found = find_command(argv[1]);
    if (!found)
        return unknown_command(argv[1]);
    snprintf(command_name, sizeof(command_name), "duplex %s", found->name);
    argp_help(found->argp, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK, command_name);
    return 0;
}

int main(int argc, char **argv)
{
    char name[] = "duplex";
    char command_name[64];
    main_options options = {0};
    const command *found;

    console_secure_descriptors();
    /* Writing to a reader that has gone answers EPIPE instead. */
    interrupt_ignore(SIGPIPE);
    atexit(close_output);
    argp_program_version_hook = print_version;
    argp_err_exit_status = STATUS_FAILURE;
    if (argc > 0)
        argv[0] = name; /* messages begin with "duplex:", whatever path it was started by */
    command_parse(&main_argp, argc, argv, &options);
    if (options.first == 0) {
        complain("no command was given; 'duplex --help' lists the commands");
        return STATUS_FAILURE;
    }
    argc -= options.first;
    argv += options.first;
    if (strcmp(argv[0], "help") == 0)
        return help(argc, argv);
    found = find_command(argv[0]);
    if (!found)
        return unknown_command(argv[0]);
    snprintf(command_name, sizeof(command_name), "duplex %s", found->name);
    argv[0] = command_name;
    return found->run(argc, argv, options.quiet);
}
