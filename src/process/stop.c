/* SPDX-License-Identifier: MIT */
/*
 * Bringing about a child's end, from the mildest means to the last: the end of the conversation,
 * SIGTERM, SIGKILL.
 */
#include "process/process.h"

#include "channel/channel.h"

#include <errno.h>
#include <signal.h>

/* How long the kernel may take to kill, and when it is asked again after it refused to wait. */
enum { KILL_MS = 10000, AGAIN_MS = 1 };

/* Send to the group if there is one. A leader that has left its own group is sent it by itself. */
static int send_signal(dx_process *process, int signal)
{
    int error = -ESRCH;

    if (process->leads_group)
        error = dxi_os->signal_group(process->pidfd, process->pid, signal);
    if (error == -ESRCH || signal == SIGKILL) {
        int own = dxi_os->signal(process->pidfd, process->pid, signal);

        /* What its group was sent it has, too. */
        error = error == 0 ? 0 : own;
    }
    return error;
}

int dx_process_signal(dx_process *process, int signal)
{
    int error = dxi_process_check(process);

    if (error < 0)
        return error;
    int ended = dxi_process_notice_end(process);

    if (ended > 0)
        error = -ESRCH;
    else
        error = send_signal(process, signal);
    if (error < 0)
        return dxi_fail(&process->last, error, "cannot signal the child %d: %s", (int)process->pid,
                        error == -ESRCH ? "it has ended" : dx_error_text(error));
    return 0;
}

static void close_stdio(dx_process *process, int number)
{
    if (process->stdio[number] >= 0)
        dxi_os->close(process->stdio[number]);
    process->stdio[number] = -1;
}

/*
 * Wait so long for the end. A wait that the system refuses for a moment is no reason to press a child that
 * is leaving: it is made again.
 */
static int await_for(dx_process *process, int wait_ms)
{
    uint64_t deadline = dxi_deadline(wait_ms);

    for (;;) {
        int error = dxi_process_await(process, deadline);

        if (error == 0 || error == -ETIMEDOUT || dxi_os->now_ns() >= deadline)
            return error;
        dxi_os->poll(NULL, 0, dxi_deadline(AGAIN_MS));
    }
}

/* A child that reads its standard input to the end must see one, if that is ours to give. */
static int end_conversation(dx_process *process, int wait_ms)
{
    if (wait_ms < 0)
        return -ETIMEDOUT;
    process->ending = true;
    close_stdio(process, 0);
    return await_for(process, wait_ms);
}

/* A stopped child keeps SIGTERM for later, so it is told to go on. */
static int terminate(dx_process *process, int wait_ms)
{
    if (wait_ms < 0)
        return -ETIMEDOUT;
    process->stop_signal = SIGTERM;
    (void)send_signal(process, SIGTERM);
    (void)send_signal(process, SIGCONT);
    return await_for(process, wait_ms);
}

static int kill_now(dx_process *process)
{
    int error;

    process->stop_signal = SIGKILL;
    error = send_signal(process, SIGKILL);
    if (error == -EPERM)
        return dxi_fail(&process->last, error,
                        "cannot stop the child %d: it runs as a user whom this program may not "
                        "signal",
                        (int)process->pid);
    /* ESRCH: it has ended by now. */
    if (error == 0 || error == -ESRCH)
        error = await_for(process, KILL_MS);
    if (error == -ETIMEDOUT)
        return dxi_fail(&process->last, error,
                        "cannot stop the child %d: the kernel has not killed it within %d seconds",
                        (int)process->pid, KILL_MS / 1000);
    if (error < 0)
        return dxi_fail(&process->last, error, "cannot stop the child %d: %s", (int)process->pid,
                        dx_error_text(error));
    return 0;
}

int dx_process_stop(dx_process *process, int grace_ms, dx_exit *ret)
{
    int error = dxi_process_check(process);

    if (error < 0)
        return error;
    if (grace_ms < DX_GRACE_DEFAULT)
        return dxi_fail(&process->last, -EINVAL, "a grace of %d ms makes no sense", grace_ms);
    bool as_made = grace_ms == DX_GRACE_DEFAULT;

    if (!process->ended) {
        error = end_conversation(process, as_made ? process->stop_end_ms : grace_ms);
        if (error < 0)
            error = terminate(process, as_made ? process->stop_term_ms : grace_ms);
        if (error < 0)
            error = kill_now(process);
    }
    if (error == 0 && ret)
        *ret = process->exit;
    return error;
}

void dxi_process_abandon(dx_process *process)
{
    /* The channel watches the pidfd, so it goes first. */
    dxi_channel_destroy(process->channel);
    for (int i = 0; i < 3; i++)
        close_stdio(process, i);
    dxi_os->close(process->pidfd);
    dxi_os->release(process);
}

dx_process *dx_process_close(dx_process *process)
{
    if (dxi_process_check(process) < 0)
        return NULL;
    int error = dx_process_stop(process, DX_GRACE_DEFAULT, NULL);

    /* There is no later: what failed for another reason than the child is tried again. */
    if (error < 0 && error != -EPERM && error != -ETIMEDOUT)
        (void)dx_process_stop(process, DX_GRACE_DEFAULT, NULL);
    dxi_process_abandon(process);
    return NULL;
}
