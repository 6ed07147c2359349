/* SPDX-License-Identifier: MIT */
/*
 * How a program gets its end of the channel, as the options of the subcommands say it.
 */
#ifndef CLI_HANDOVER_H
#define CLI_HANDOVER_H

#include <duplex.h>

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

/* All-zero is what handover_complete() makes of it. */
typedef struct handover_choice {
    bool given;
    dx_handover handover;
    const char *text;      /* of ENV and LISTEN, as dx_process_options.handover_variable */
    int read_fd, write_fd; /* of FDS, in the program; 0: the default */
} handover_choice;

/* Read "pipes", "env:NAME", "fds:3,4" and so on; on anything else it says so and exits. */
void handover_parse(handover_choice *ret, const char *argument, struct argp_state *state);

/*
 * When all options are known: the default if none was given, which is env for the framings of
 * programs that look for it and pipes for others; and exit if {fd} is missing in argv.
 */
void handover_complete(handover_choice *choice, dx_framing framing, char *const argv[],
                       struct argp_state *state);

/* True if the conversation is by standard input and output. */
bool handover_is_stdio(const handover_choice *choice);

/*
 * Have a program started so. These further descriptors, which are borrowed, go to one that converses
 * by standard input and output alone.
 */
void handover_apply(const handover_choice *choice, dx_process_options *options,
                    const dx_descriptor *descriptors, size_t descriptor_count);

#endif
