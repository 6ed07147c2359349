/* SPDX-License-Identifier: MIT */
/*
 * A child in the making: what its options ask for, checked, and everything acquired that it takes.
 */
#ifndef DUPLEX_PROCESS_RECIPE_H
#define DUPLEX_PROCESS_RECIPE_H

#include <duplex/process.h>

#include "channel/channel.h"
#include "os/start.h"

struct dxi_recipe {
    const dx_process_options *options; /* never NULL */
    char subject[160];                 /* who it is that cannot be started: "'cat'", "the child" */
    dx_channel_options channel;        /* the parent's end; its failure is the options' */
    dx_handover handover;              /* DX_HANDOVER_ENV for a function */
    int channel_number;                /* what the child reads */
    int channel_write_number;          /* what it writes; the same if it is one socket */

    struct dxi_start start;

    /* Acquired; -1 and NULL where not, or no longer. */
    struct dxi_ends parent_ends;
    int child_ends[2];   /* what the child reads and writes; a socket is the first alone */
    int parent_stdio[3]; /* the parent's ends of pipes */
    int child_stdio[3];  /* the child's ends of pipes */
    int null;            /* /dev/null */
    struct dxi_descriptor_move *moves;
    struct dxi_resource_limit *limits;
    char *handed[4]; /* variables of the handover, and NULL */
    char *handed_text;
    char **environment;
    char **arguments; /* with the number in its place */
    char *path_buffer;
};

/*
 * Make the recipe of a child: of a program if arguments are given, else of a function. The options
 * may be NULL. On failure it is explained in options->failure. To be closed in either case.
 */
int dxi_recipe_open(struct dxi_recipe *ret, const dx_process_options *options,
                    char *const *arguments);
void dxi_recipe_close(struct dxi_recipe *recipe);

/* Explain in options->failure why this child cannot be started, and return error. */
int dxi_recipe_refuse(const struct dxi_recipe *recipe, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* explain.c: the same for a start that failed. */
int dxi_explain_start(const struct dxi_recipe *recipe, int error,
                      const struct dxi_started *started);

#endif
