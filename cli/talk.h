/* SPDX-License-Identifier: MIT */
/*
 * The relay of `duplex talk`: lines of standard input go to a program as messages, its messages
 * come out as lines of standard output, both ways at once.
 */
#ifndef CLI_TALK_H
#define CLI_TALK_H

#include <duplex.h>

#include <stdbool.h>

typedef struct talk_options {
    char *const *argv; /* the program and its arguments, ending with NULL */
    dx_framing framing;
    int timeout_ms; /* how long the program may owe something and be silent; DX_FOREVER: any time */
    bool quiet;     /* do not tell how the program ended */
} talk_options;

/* Relay until the program has ended. Returns the exit status; no process of the child's group is
 * left. */
int talk_relay(const talk_options *options);

#endif
