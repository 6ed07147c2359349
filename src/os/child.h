/* SPDX-License-Identifier: MIT */
/*
 * What start.c and fork.c have in common: the child's own steps, and the parent's care around them.
 */
#ifndef DUPLEX_OS_CHILD_H
#define DUPLEX_OS_CHILD_H

#include "os/start.h"

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000 /* Linux 5.2 */
#endif

/*
 * For every function that runs in a child of clone(2): its stack and its memory are the parent's,
 * in ways that the bookkeeping of the sanitizers does not foresee.
 */
#if defined(__clang__)
#define DXI_IN_CHILD __attribute__((no_sanitize("address", "memory", "thread", "undefined")))
#else
#define DXI_IN_CHILD __attribute__((no_sanitize("address", "thread", "undefined")))
#endif

/* The kernel's own signal set: the C library's leaves out the signals that it uses itself. */
struct dxi_signal_set {
    unsigned long bits[_NSIG / 8 / sizeof(unsigned long)];
};

/* What a child has to say about its start. Small enough for a pipe to take it whole. */
struct dxi_report {
    int error; /* a negative errno value; 0: no step failed */
    enum dxi_step step;
    size_t index;
};

void dxi_block_signals(struct dxi_signal_set *ret_old);
void dxi_restore_signals(const struct dxi_signal_set *old);

/*
 * Reap a child that is ending, by its pidfd, or by its pid if pidfd is negative. Blocks for its
 * end.
 */
void dxi_collect(pid_t pid, int pidfd);

/*
 * In the child: take the steps from DXI_STEP_SIGNALS to DXI_STEP_PRIVILEGES. All signals are
 * blocked before and after. The descriptor *kept stays open beside the targets, close-on-exec and
 * under a number that may be new. Makes nothing but system calls. Returns 0 or the error that ret
 * reports.
 */
int dxi_child_become_clean(const struct dxi_start *start, pid_t parent, int *kept,
                           struct dxi_report *ret);

/* In the child: let signals in, as the last step before the program or the function runs. */
void dxi_child_unblock_signals(void);

/*
 * In the child: become the program. Returns only if that failed, with the error that ret reports.
 */
int dxi_child_execute(const struct dxi_start *start, struct dxi_report *ret);

_Noreturn void dxi_child_exit(int status);

#endif
