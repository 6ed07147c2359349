/* SPDX-License-Identifier: MIT */
/*
 * Scenarios: a child is stopped, by mild means and by the last; or let go of, without a word.
 */
#include "stage.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

enum { GRACE_MS = 2 };

static int leave_at_the_end(dx_channel *parent, void *context)
{
    (void)context;
    return hear_out(parent, &stage->talks[0]) == 0 ? 0 : 1;
}

/* Says that it is there and can be terminated, or not. */
static int stay(dx_channel *parent, void *context)
{
    if (context != NULL)
        signal(SIGTERM, SIG_IGN);
    if (tell(parent, &stage->talks[1], 8) < 0)
        return 1;
    for (;;)
        pause();
}

static dx_process *start(int (*child)(dx_channel *, void *), void *context, dx_group group)
{
    dx_failure failure = {0};
    const dx_process_options options = {
        .channel = {.spin_us = -1},
        .group = group,
        .stop_end_ms = 3000,
        .stop_term_ms = 3000,
        .stdio = {{DX_STDIO_PIPE, 0}, {0}, {0}},
        .failure = &failure,
    };
    dx_process *process;
    int status = dx_fork(&process, child, context, &options);

    return went(status, "dx_fork()", failure.text, 0) ? process : NULL;
}

/* Stop it, and again if that failed. */
static void stop(dx_process *process, int grace_ms, int by)
{
    dx_exit exit = {0};
    int status = -EAGAIN;
    int tries = 0;

    for (; tries < 2 && status < 0; tries++) {
        status = dx_process_stop(process, grace_ms, &exit);
        (void)went(status, "dx_process_stop()", dx_process_explain(process), 0);
    }
    if (status < 0)
        complain("dx_process_stop() answered %d twice", status);
    else if (exit.kind == DX_EXIT_UNKNOWN || exit.text[0] == '\0')
        complain("nothing tells how the child ended");
    else if (tries == 1 && by >= 0 && exit.stop_signal != by)
        complain("the child was stopped by signal %d, not %d", exit.stop_signal, by);
    if (dx_process_close(process) != NULL)
        complain("dx_process_close() answered something");
}

static void play_stop(void)
{
    dx_process *process = start(leave_at_the_end, NULL, DX_GROUP_INHERIT);

    if (process != NULL) {
        (void)tell(dx_process_channel(process), &stage->talks[0], 100);
        stop(process, stage->patience_ms, 0);
    }
}

static void play_stop_group(void)
{
    dx_process *process = start(leave_at_the_end, NULL, DX_GROUP_NEW);

    if (process != NULL)
        stop(process, stage->patience_ms, 0);
}

/* Who does not leave by itself: the child must have come so far that it shows. */
static dx_process *start_staying(void *context, dx_group group)
{
    dx_process *process = start(stay, context, group);
    dx_message message;

    if (process == NULL || hear(dx_process_channel(process), &stage->talks[1], &message) == 1)
        return process;
    (void)dx_process_signal(process, SIGKILL);
    (void)dx_process_close(process);
    return NULL;
}

static void play_terminate(void)
{
    dx_process *process = start_staying(NULL, DX_GROUP_INHERIT);

    if (process != NULL) {
        dx_exit exit = {0};
        int status = dx_process_stop(process, 2 * GRACE_MS, &exit);

        (void)went(status, "dx_process_stop()", dx_process_explain(process), 0);
        (void)dx_process_close(process);
    }
}

static void play_kill(void)
{
    dx_process *process = start_staying(&stage, DX_GROUP_INHERIT);

    if (process != NULL)
        stop(process, GRACE_MS, SIGKILL);
}

static void play_kill_group(void)
{
    dx_process *process = start_staying(&stage, DX_GROUP_NEW);

    if (process != NULL)
        stop(process, GRACE_MS, SIGKILL);
}

/* A signal, and the wait for what it does. */
static void play_signal(void)
{
    dx_process *process = start_staying(NULL, DX_GROUP_INHERIT);

    if (process == NULL)
        return;
    for (int tries = 0; tries < 2; tries++) {
        int status = dx_process_signal(process, SIGTERM);

        if (went(status, "dx_process_signal()", dx_process_explain(process), 0))
            break;
    }
    stop(process, stage->patience_ms, -1);
}

/* Let go of without having been stopped: what nobody else has an eye on, close must. */
static void play_close(void)
{
    dx_process *process = start(leave_at_the_end, NULL, DX_GROUP_INHERIT);

    if (process != NULL && dx_process_close(process) != NULL)
        complain("dx_process_close() answered something");
}

/* The same for a child that must be killed. */
static void play_close_by_force(void)
{
    dx_failure failure = {0};
    const dx_process_options options = {.stop_end_ms = -1, .stop_term_ms = -1, .failure = &failure};
    dx_process *process;
    dx_message message;
    int status = dx_fork(&process, stay, &stage, &options);

    if (!went(status, "dx_fork()", failure.text, 0))
        return;
    (void)hear(dx_process_channel(process), &stage->talks[1], &message);
    if (dx_process_close(process) != NULL)
        complain("dx_process_close() answered something");
}

const struct scenario scenarios_of_processes[] = {
    {"stop", play_stop, NULL},
    {"stop-group", play_stop_group, NULL},
    {"terminate", play_terminate, NULL},
    {"kill", play_kill, NULL},
    {"kill-group", play_kill_group, NULL},
    {"signal", play_signal, NULL},
    {"close", play_close, NULL},
    {"close-by-force", play_close_by_force, NULL},
    {NULL, NULL, NULL},
};
