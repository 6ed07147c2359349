/* SPDX-License-Identifier: MIT */
/*
 * What main.c and the files of the subcommands have in common. A subcommand is a row in the table
 * of main.c and a file of its own that parses its options and hands them on.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <argp.h>
#include <stdbool.h>

typedef struct command {
    const char *name;
    const char *summary; /* for `duplex --help` */
    const struct argp *argp;

    /* argv[0] is "duplex NAME". Returns the exit status. */
    int (*run)(int argc, char **argv, bool quiet);
} command;

extern const command command_bench;
extern const command command_demo;
extern const command command_map;
extern const command command_talk;

/* The longest time that can be asked for: 24 days fit into an int of milliseconds. */
#define COMMAND_SECONDS_MAX (24 * 24 * 3600)

/* The options that every subcommand has. */
#define COMMAND_OPTION_QUIET                                                                       \
    {                                                                                              \
        .name = "quiet", .key = 'q', .doc = "Say nothing on standard error but errors"             \
    }

/*
 * Read a time such as "2" or "0.25". Returns milliseconds, at least 1 if the time is not zero, or
 * -EINVAL, or -ERANGE for more than 24 days.
 */
int command_parse_seconds(const char *text);

/*
 * For ARGP_KEY_ARG where a program is run: the rest of the arguments, which ends with NULL, is the
 * program and its own, and is not parsed.
 */
char **command_take_program(struct argp_state *state);

/* Parse with argp; on a wrong option it says so and exits with STATUS_FAILURE. */
void command_parse(const struct argp *argp, int argc, char **argv, void *input);

#endif
