/* SPDX-License-Identifier: MIT */
/*
 * A process that outlives the command by a moment, if the command is killed: the kernel kills the
 * program itself then, and the guard what else is in the program's process group. It waits asleep,
 * in a session of its own, with no descriptor but its end of a socketpair.
 */
#ifndef CLI_GUARD_H
#define CLI_GUARD_H

#include <duplex.h>

/* What a guard does when the command was killed; the context is as it was when the guard started. */
typedef struct guard_task {
    void (*kill)(const void *context);
    const void *context;
} guard_task;

/*
 * Have that done then.
 *
 * Ownership: the guard is the caller's, to dismiss. Returns 0 or a negative errno value, which is
 * explained in ret_failure.
 */
int guard_start(dx_process **ret, guard_task task, dx_failure *ret_failure);

/* Tell the guard that there is nothing left to guard, and see it go. NULL is fine. */
void guard_dismiss(dx_process *guard);

#endif
