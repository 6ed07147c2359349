/* SPDX-License-Identifier: MIT */
/*
 * `duplex talk`: a program, started and conversed with until it has ended, of which nothing is left
 * behind.
 */
#ifndef CLI_TALK_H
#define CLI_TALK_H

#include "handover.h"

#include <duplex.h>

#include <stdbool.h>

typedef struct talk_options {
    char *const *argv; /* the program and its arguments, ending with NULL */

    /* DX_FRAMING_RAW: bytes go through as they are. Else messages, which are lines on our side. */
    dx_framing framing;

    handover_choice handover;

    int timeout_ms; /* how long the program may owe something and be silent; DX_FOREVER: any time */
    int grace_ms;   /* how long it may take to stop after each of the steps */
    const char *trace; /* a file, "-" for standard error, NULL for none */
    bool unbuffer;     /* start it by stdbuf -oL */
    bool quiet;        /* do not tell how the program ended */
} talk_options;

/* Converse until the program has ended. Returns the exit status; nothing of its group is left. */
int talk(const talk_options *options);

#endif
