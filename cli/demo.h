/* SPDX-License-Identifier: MIT */
/*
 * The conversation of `duplex demo`: a father and his child tell each other who they are, and
 * whoever hears a sentence prints it. Knows nothing of options or JSON and needs libc and duplex
 * only, because tests/musl builds it too, with console.c and interrupt.c.
 */
#ifndef CLI_DEMO_H
#define CLI_DEMO_H

#include <duplex.h>

#include <stdbool.h>
#include <stddef.h>

/* A sentence that was received. */
typedef struct demo_sentence {
    bool by_child; /* the child said it and the father heard it; else the other way round */
    unsigned long long round;
    const char *text; /* not NUL-terminated */
    size_t size;
} demo_sentence;

typedef struct demo_options {
    dx_channel_type type;
    unsigned long long rounds; /* 0: until stopped */
    int interval_ms;           /* from the start of one round to that of the next */

    /*
     * Print what was heard: in the father for the child's sentences, in the child for the father's.
     * interrupt_fd is to be given to console_write(). Returns what that returns.
     */
    int (*print)(const demo_sentence *sentence, int interrupt_fd);
} demo_options;

/* The names of a direction: "child-->father" or "father-->child". */
const char *demo_direction(const demo_sentence *sentence);

/* Print as plain text: "child-->father:i am your child". For demo_options.print. */
int demo_print_line(const demo_sentence *sentence, int interrupt_fd);

/*
 * Converse for the given rounds, or until a signal comes by interrupt_fd, see interrupt_open().
 * Returns the exit status of the command; no child is left. What failed has been said by then.
 */
int demo_converse(const demo_options *options, int interrupt_fd);

#endif
