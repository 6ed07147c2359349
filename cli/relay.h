/* SPDX-License-Identifier: MIT */
/*
 * The relay of `duplex talk`: what comes on standard input goes to a program, what the program says
 * goes to standard output, both ways at once.
 */
#ifndef CLI_RELAY_H
#define CLI_RELAY_H

#include "talk.h"
#include "trace.h"

#include <duplex.h>

typedef enum relay_end {
    RELAY_CHILD_ENDED, /* it has ended, and all that it said was written */
    RELAY_GIVEN_UP,    /* it is to be stopped; the status says why */
    RELAY_NOBODY_LEFT  /* it is to be stopped: nobody speaks to it, and nobody hears it */
} relay_end;

typedef struct relay relay;

/* Make a relay to a program. Everything given is the caller's. Returns NULL when out of memory. */
relay *relay_open(const talk_options *options, dx_process *process, trace *record,
                  int interrupt_fd);

/* Converse. What went wrong has been said when it returns. */
relay_end relay_run(relay *self);

/*
 * The exit status for what went wrong outside the program, 0 if nothing did. It goes before the
 * program's own, unless that says as much.
 */
int relay_status(const relay *self);

/*
 * How much of the grace after the end of its input the program still has: less than all of it if
 * the end was passed on before.
 */
int relay_grace_left_ms(const relay *self, int grace_ms);

/* True if nobody reads standard output any more. */
bool relay_unheard(const relay *self);

/* The program was stopped: still write what it had said, for so long. */
void relay_last_words(relay *self, int timeout_ms);

relay *relay_close(relay *self);

#endif
