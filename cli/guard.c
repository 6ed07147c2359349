/* SPDX-License-Identifier: MIT */
/* The guard of a process group; see guard.h. */
#include "guard.h"

#include "interrupt.h"

#include <signal.h>
#include <sys/prctl.h>

enum { DISMISS_MS = 1000 };

/* Wait for a word from the command, which means that all is well, or for its end without one. */
static int guard_main(dx_channel *command, void *context)
{
    const guard_task *task = context;
    dx_message word;

    /* A signal to all that is called duplex is for the command to act on. */
    interrupt_ignore(SIGINT);
    interrupt_ignore(SIGTERM);
    interrupt_ignore(SIGHUP);
    prctl(PR_SET_NAME, "duplex-guard", 0, 0, 0);
    if (dx_recv(command, &word, DX_FOREVER) != 1)
        task->kill(task->context);
    return 0;
}

int guard_start(dx_process **ret, guard_task task, dx_failure *ret_failure)
{
    const dx_process_options options = {
        .channel = {.spin_us = -1},
        .stdio = {{.mode = DX_STDIO_NULL}, {.mode = DX_STDIO_NULL}, {.mode = DX_STDIO_NULL}},
        .directory = "/",
        .group = DX_GROUP_SESSION,
        .failure = ret_failure,
    };

    return dx_fork(ret, guard_main, &task, &options);
}

void guard_dismiss(dx_process *guard)
{
    if (!guard)
        return;
    if (dx_send(dx_process_channel(guard), NULL, 0, DX_NOW) == 0)
        dx_process_wait(guard, NULL, DISMISS_MS);
    dx_process_close(guard);
}
