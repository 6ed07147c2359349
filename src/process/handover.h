/* SPDX-License-Identifier: MIT */
/*
 * How a program learns where its end of the channel is: what lies under which numbers, and where
 * that is written.
 */
#ifndef DUPLEX_PROCESS_HANDOVER_H
#define DUPLEX_PROCESS_HANDOVER_H

#include "process/recipe.h"

/*
 * Choose the handover and its numbers, and check that the options go together with it. A function
 * needs none: it has one under a number. 0 or -EINVAL or -EOPNOTSUPP, explained.
 */
int dxi_handover_check(struct dxi_recipe *recipe, bool is_program);

/* Make both ends. 0 or an error, explained. */
int dxi_handover_make(struct dxi_recipe *recipe);

/* The variables that tell of it, into recipe->handed. 0 or -ENOMEM. */
int dxi_handover_name(struct dxi_recipe *recipe);

/* The arguments with the number in them, into recipe->arguments. 0; -EINVAL if none has a place. */
int dxi_handover_fill_in(struct dxi_recipe *recipe, char *const *arguments);

#endif
