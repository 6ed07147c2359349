/* SPDX-License-Identifier: MIT */
/*
 * A process as its own folder sees it.
 *
 * It lives through three states: running, ended (its report is made, it is reaped), closed. A
 * process that cannot be killed is closed while it runs.
 */
#ifndef DUPLEX_PROCESS_PROCESS_H
#define DUPLEX_PROCESS_PROCESS_H

#include <duplex/process.h>

#include "os/os.h"

#include <stdbool.h>
#include <stdint.h>

struct dx_process {
    uint64_t generation; /* the process that made it */
    pid_t pid;
    int pidfd;
    dx_channel *channel;
    int stdio[3]; /* our ends of pipes, or -1 */
    bool leads_group;
    volatile pid_t *noted_pid; /* see dx_process_options, or NULL */
    int stop_end_ms;           /* negative: skip the step, and so the next */
    int stop_term_ms;
    uint64_t started_ns;

    bool ending; /* the conversation is to end as soon as nothing is pending */
    bool ended;
    int stop_signal; /* the last that dx_process_stop() sent */
    dx_exit exit;    /* once ended */

    dx_failure last;
};

/* Whether the handle may be used: 0, -EINVAL or -ECHILD. Costs no system call. */
int dxi_process_check(const dx_process *process);

/* The place that was given for the pid, if any, bears none from now on. */
static inline void dxi_process_forget_pid(volatile pid_t *noted_pid)
{
    if (noted_pid)
        *noted_pid = 0;
}

/* Reap the child if it has ended, and what is left of its group with it. 1, 0 while it runs, <0. */
int dxi_process_notice_end(dx_process *process);

/* Let go of a child whatever has become of it, without a wait: for those that cannot be ended. */
void dxi_process_abandon(dx_process *process);

/* Wait for the end of the child, serving the channel. 0 or -ETIMEDOUT; nothing is explained. */
int dxi_process_await(dx_process *process, uint64_t deadline_ns);

/* report.c: what the kernel told, as a report. */
void dxi_exit_fill(dx_exit *ret, const struct dxi_ended *ended);

/* report.c: "SIGTERM", "SIGRTMIN+3", "signal 77". */
const char *dxi_signal_name(int signal, char *buffer, size_t size);

#endif
