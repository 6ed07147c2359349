/* SPDX-License-Identifier: MIT */
/*
 * Learning of a child's end: by waiting for it, or from an event loop.
 *
 * The pidfd tells of the end. While somebody waits here the channel is served, so that a child that
 * must first say what it has to say, or hear what was sent to it, gets to its end.
 */
#include "process/process.h"

#include "channel/channel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

/*
 * A child that is being traced is its tracer's to reap first, and seems ended and running
 * meanwhile.
 */
enum { TRACED_PAUSE_MS = 10 };

int dxi_process_check(const dx_process *process)
{
    if (process == NULL)
        return -EINVAL;
    return process->generation == dxi_generation() ? 0 : -ECHILD;
}

/*
 * What is to be done while a child that has ended still has its number, which may be somebody else's when
 * it has been reaped: to kill what is left of its group, which old kernels name by it, and to forget it
 * where it was noted. 0: the child still runs. It is not to be reaped then even if it has ended by now.
 */
static int use_number_last(dx_process *process)
{
    struct pollfd pidfd = {.fd = process->pidfd, .events = POLLIN};

    if (!process->leads_group && !process->noted_pid)
        return 1;
    int ended = dxi_os->poll(&pidfd, 1, 0);

    if (ended <= 0)
        return ended;
    if (process->leads_group)
        (void)dxi_os->signal_group(process->pidfd, process->pid, SIGKILL);
    dxi_process_forget_pid(process->noted_pid);
    return 1;
}

int dxi_process_notice_end(dx_process *process)
{
    struct dxi_ended ended;

    if (process->ended)
        return 1;
    int error = use_number_last(process);

    if (error <= 0)
        return error;
    error = dxi_os->reap(process->pidfd, &ended);

    if (error < 0)
        return error == -EAGAIN ? 0 : error;
    dxi_exit_fill(&process->exit, &ended);
    process->exit.stop_signal = process->stop_signal;
    process->exit.elapsed_us = (dxi_os->now_ns() - process->started_ns) / 1000;
    process->ended = true;
    return 1;
}

static bool passed(uint64_t deadline_ns)
{
    return deadline_ns != UINT64_MAX && dxi_os->now_ns() >= deadline_ns;
}

static bool any_event(const struct pollfd *sources, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (sources[i].revents != 0)
            return true;
    }
    return false;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void pause_until(uint64_t deadline_ns)
{
    dxi_os->poll(NULL, 0, sooner(dxi_deadline(TRACED_PAUSE_MS), deadline_ns));
}

int dxi_process_await(dx_process *process, uint64_t deadline_ns)
{
    for (;;) {
        int ended = dxi_process_notice_end(process);

        if (ended != 0)
            return ended < 0 ? ended : 0;
        /* A full buffer may keep the end from being said, and no event tells when it can be. */
        uint64_t until = deadline_ns;

        if (process->ending && !dxi_channel_end_now(process->channel))
            until = sooner(until, dxi_deadline(DXI_RETRY_MS));

        struct pollfd sources[3] = {{.fd = process->pidfd, .events = POLLIN}};
        bool idle;
        size_t count = dxi_channel_poll_set(process->channel, sources + 1, &idle);
        bool retries = dxi_channel_must_retry(process->channel);

        if (retries)
            until = sooner(until, dxi_deadline(DXI_RETRY_MS));
        if (!idle)
            until = 0;
        int ready = dxi_os->poll(sources, 1 + count, until);

        if (ready < 0)
            return ready;
        if (!idle || retries || any_event(sources + 1, count))
            dxi_channel_serve(process->channel);
        if (sources[0].revents != 0) {
            ended = dxi_process_notice_end(process);
            if (ended != 0)
                return ended < 0 ? ended : 0;
            pause_until(deadline_ns);
        }
        /* Looked at each time: a child that talks without pause must not keep us past it. */
        if (passed(deadline_ns))
            return -ETIMEDOUT;
    }
}

int dx_process_wait(dx_process *process, dx_exit *ret, int timeout_ms)
{
    int error = dxi_process_check(process);

    if (error < 0)
        return error;
    error = dxi_process_await(process, dxi_deadline(timeout_ms));
    if (error < 0)
        return dxi_fail(&process->last, error, "cannot wait for the child %d: %s",
                        (int)process->pid,
                        error == -ETIMEDOUT ? "it still runs" : dx_error_text(error));
    if (ret)
        *ret = process->exit;
    return 0;
}

dx_channel *dx_process_channel(dx_process *process)
{
    return process ? process->channel : NULL;
}

pid_t dx_process_pid(const dx_process *process)
{
    int error = dxi_process_check(process);

    return error < 0 ? error : process->pid;
}

int dx_process_take_stdio(dx_process *process, int number)
{
    int error = dxi_process_check(process);

    if (error < 0)
        return error;
    if (number < 0 || number > 2 || process->stdio[number] < 0)
        return dxi_fail(&process->last, -EINVAL,
                        "the child's descriptor %d is no pipe, or was taken before", number);
    int fd = process->stdio[number];

    process->stdio[number] = -1;
    return fd;
}

int dx_process_fd(const dx_process *process)
{
    int error = dxi_process_check(process);

    return error < 0 ? error : process->pidfd;
}

int dx_process_events(const dx_process *process)
{
    int error = dxi_process_check(process);

    if (error < 0)
        return error;
    return process->ended ? 0 : POLLIN;
}

int dx_process_timeout_ms(const dx_process *process)
{
    int error = dxi_process_check(process);

    return error < 0 ? error : DX_FOREVER;
}

int dx_process_process(dx_process *process)
{
    int error = dxi_process_check(process);

    if (error < 0)
        return error;
    int ended = dxi_process_notice_end(process);

    if (ended < 0)
        return dxi_fail(&process->last, ended, "cannot look after the child %d: %s",
                        (int)process->pid, dx_error_text(ended));
    /* A loop that always has something to receive would not learn it from the channel. */
    if (ended == 1)
        dxi_channel_peer_died(process->channel);
    return ended;
}

const char *dx_process_explain(const dx_process *process)
{
    int error = dxi_process_check(process);

    if (error < 0)
        return process ? dx_error_text(error) : "there is no process";
    return process->last.text;
}
