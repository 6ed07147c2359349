/* SPDX-License-Identifier: MIT */
/*
 * A guard of process groups, that of one program or those of many workers, which come and go: if the command
 * is killed, the kernel kills the programs themselves, and the guard what else is in their groups. Their numbers
 * lie in memory that all see.
 */
#ifndef CLI_GUARD_GROUPS_H
#define CLI_GUARD_GROUPS_H

#include <duplex.h>

#include <stddef.h>
#include <sys/types.h>

/* All-zero guards nothing. */
typedef struct guard_groups {
    dx_process *guard;
    volatile pid_t *groups;
    size_t count;
} guard_groups;

/* Begin, with room for so many. Returns 0 or a negative errno value, which is explained. */
int guard_groups_open(guard_groups *self, size_t count, dx_failure *ret_failure);

/* Where the group's number is to stand, which children write themselves: dx_process_options.noted_pid. */
pid_t *guard_groups_places(guard_groups *self);

/* Nothing is left to guard. */
void guard_groups_dismiss(guard_groups *self);

#endif
