/* SPDX-License-Identifier: MIT */
/* The guard of a process group; see guard.h. */
#include "guard.h"

#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424 /* Linux 5.1; the same number everywhere */
#endif

#define SIGNAL_PROCESS_GROUP (1U << 2) /* PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9 */

enum {
    LEADER_PIDFD = 10, /* the leader's pidfd in the guard */
    DISMISS_MS = 1000
};

static int signal_by_pidfd(int signal, unsigned flags)
{
    return syscall(SYS_pidfd_send_signal, LEADER_PIDFD, signal, NULL, flags) < 0 ? -errno : 0;
}

/*
 * Kill what is left of the group, and no other. A pidfd names the group for good. A kernel before
 * 6.9 knows it by its number alone, which belongs to it while its leader is not reaped or a member
 * is left. So when the leader has been reaped and a process bears that number, it is a new one, and
 * the group is gone; when none bears it, the number is the group's, or nobody's.
 */
static void kill_group(const void *context)
{
    const pid_t group = *(const pid_t *)context;
    int error = signal_by_pidfd(SIGKILL, SIGNAL_PROCESS_GROUP);

    if (error != -EINVAL && error != -ENOSYS)
        return;
    if (signal_by_pidfd(0, 0) == -ESRCH && (kill(group, 0) == 0 || errno != ESRCH))
        return;
    kill(-group, SIGKILL);
}

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

int guard_start(dx_process **ret, guard_task task, const dx_descriptor *descriptor,
                dx_failure *ret_failure)
{
    const dx_process_options options = {
        .channel = {.spin_us = -1},
        .stdio = {{.mode = DX_STDIO_NULL}, {.mode = DX_STDIO_NULL}, {.mode = DX_STDIO_NULL}},
        .descriptors = descriptor,
        .descriptor_count = descriptor ? 1 : 0,
        .directory = "/",
        .group = DX_GROUP_SESSION,
        .failure = ret_failure,
    };

    return dx_fork(ret, guard_main, &task, &options);
}

int guard_open(dx_process **ret, dx_process *child, dx_failure *ret_failure)
{
    pid_t group = dx_process_pid(child);
    const dx_descriptor leader = {.fd = dx_process_fd(child), .target = LEADER_PIDFD};

    return guard_start(ret, (guard_task){kill_group, &group}, &leader, ret_failure);
}

void guard_dismiss(dx_process *guard)
{
    if (!guard)
        return;
    if (dx_send(dx_process_channel(guard), NULL, 0, DX_NOW) == 0)
        dx_process_wait(guard, NULL, DISMISS_MS);
    dx_process_close(guard);
}
