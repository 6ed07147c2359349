/* SPDX-License-Identifier: MIT */
/*
 * As the guard of guard.h, for the process groups of many workers, which come and go: if the command
 * is killed, the kernel kills the workers themselves, and the guard what else is in their groups.
 * Their numbers lie in memory that both see.
 */
#ifndef CLI_GUARD_GROUPS_H
#define CLI_GUARD_GROUPS_H

#include <duplex.h>

#include <stddef.h>
#include <sys/types.h>

/* All-zero guards nothing. */
typedef struct guard_groups {
    dx_process *guard;
    _Atomic pid_t *groups;
    size_t count;
} guard_groups;

/* Begin, with room for so many. Returns 0 or a negative errno value, which is explained. */
int guard_groups_open(guard_groups *self, size_t count, dx_failure *ret_failure);

/* The group in this place is now this one; 0: there is none. */
void guard_groups_set(guard_groups *self, size_t place, pid_t group);

/* Nothing is left to guard. */
void guard_groups_dismiss(guard_groups *self);

#endif
