/* SPDX-License-Identifier: MIT */
/*
 * The flows of a relay, of which relay.c makes a conversation: from standard input to the child,
 * and from the child to standard output. What happens to one end of a flow is passed on to the
 * other: the end of input, a child that takes no more input or says no more, a reader that has
 * gone.
 */
#ifndef CLI_FLOWS_H
#define CLI_FLOWS_H

#include "console.h"
#include "lines.h"
#include "relay.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_CHUNK ((size_t)64 << 10) /* read, and received, at most at a time */

struct relay {
    const talk_options *options;
    dx_process *process;
    dx_channel *channel;
    trace *trace;
    int interrupt_fd;
    console_sink output;
    bool raw;

    line_reader input;
    bool input_is_terminal;
    bool input_over; /* nothing more is sent: its end was passed on, or the child takes nothing */
    int64_t input_over_from; /* since when */
    bool input_gone;         /* nobody writes to standard input any more */
    bool blocked;            /* what was read, or the end, waits for room in the channel */

    char *replies; /* what was received and not yet written */
    size_t replies_capacity;
    size_t replies_start;
    size_t replies_end;
    bool replies_over;
    bool output_gone;   /* nobody reads standard output any more */
    bool output_closed; /* the end of the replies was passed on */

    bool child_over;
    bool owed;           /* the child was sent something since it last spoke */
    int64_t silent_from; /* since when it could have done what is awaited */

    bool stopping; /* the conversation is given up, with `status` */
    int status;
};

/* End the conversation from our side, with this exit status. */
void relay_give_up(relay *self, int status);

/* The program's name for a sentence. */
const char *relay_name(const relay *self);

/* Read standard input, which blocks if nothing is there. */
void relay_read(relay *self);

/* Send what was read, as far as the child takes it; after the last of it, the end. */
void relay_send(relay *self);

/* The child takes nothing more: whoever feeds us is to notice, as without us. */
void relay_stop_input(relay *self);

/* Receive what has come, until there is enough to write. */
void relay_receive(relay *self);

/* Write what was received; poll(2) must have said POLLOUT. */
void relay_write(relay *self);

/* Nobody reads standard output any more. */
void relay_lose_output(relay *self);

/* The child says nothing more: whoever hears us is to notice, as without us. */
void relay_close_output(relay *self);

/* True while something that was received is not written. */
bool relay_has_replies(const relay *self);

#endif
