/* SPDX-License-Identifier: MIT */
/*
 * `duplex talk`: the program is started, guarded, conversed with and brought to its end.
 *
 * It has a process group of its own, of which nothing outlives the conversation. While the command
 * lives it ends the group itself, in bounded time. If the command is killed, the kernel kills the
 * program, and the guard what else is in the group.
 */
#include "talk.h"

#include "console.h"
#include "guard_groups.h"
#include "inherited.h"
#include "interrupt.h"
#include "relay.h"
#include "status.h"
#include "trace.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    /* Of what is left of a killed client's conversation nothing may be seen a second later. */
    GRACE_ALONE_MS = 250,
    LAST_WORDS_MS = 500 /* how long a stopped conversation waits for a reader of the rest */
};

typedef struct talk_run {
    const talk_options *options;
    int interrupt_fd;
    trace trace;
    inherited inherited;
    dx_process *process;
    guard_groups guard;
} talk_run;

static const char *name_of(const talk_run *self)
{
    return self->options->argv[0];
}

static int start(talk_run *self, char *const argv[])
{
    const talk_options *options = self->options;
    dx_failure failure = {0};
    dx_process_options process_options = {
        .channel = {.framing = options->framing},
        .group = DX_GROUP_NEW,
        .die_with_parent = true,
        .noted_pid = guard_groups_places(&self->guard),
        .failure = &failure,
    };
    int result;

    handover_apply(&options->handover, &process_options, self->inherited.list,
                   self->inherited.count);
    result = dx_spawn(&self->process, argv, &process_options);
    if (result == 0)
        return 0;
    if (result == -ENOENT && options->unbuffer) {
        complain("cannot start '%s' unbuffered: stdbuf(1), which --unbuffer needs, was not found",
                 name_of(self));
        return STATUS_FAILURE;
    }
    complain("%s", failure.text[0] ? failure.text : dx_error_text(result));
    return status_of_start(result);
}

/* The program itself, or stdbuf(1) with the program. Returns an exit status for a failure, or 0. */
static int start_by_stdbuf(talk_run *self)
{
    static char stdbuf[] = "stdbuf";
    static char by_the_line[] = "-oL";
    static char end_of_options[] = "--";
    size_t count = 0;
    char **argv;
    int status;

    while (self->options->argv[count])
        count++;
    argv = calloc(count + 4, sizeof(*argv));
    if (!argv) {
        complain("out of memory");
        return STATUS_FAILURE;
    }
    argv[0] = stdbuf;
    argv[1] = by_the_line;
    argv[2] = end_of_options;
    memcpy(argv + 3, self->options->argv, count * sizeof(*argv));
    status = start(self, argv);
    free(argv);
    return status;
}

static int guard(talk_run *self)
{
    dx_failure failure = {0};
    int result = guard_groups_open(&self->guard, 1, &failure);

    if (result == 0)
        return 0;
    complain("cannot guard '%s': %s", name_of(self),
             failure.text[0] ? failure.text : dx_error_text(result));
    return STATUS_FAILURE;
}

static int status_of_child(const talk_run *self, const dx_exit *end, bool unheard)
{
    switch (end->kind) {
    case DX_EXIT_CODE:
        return end->code;
    case DX_EXIT_SIGNAL:
        if (!self->options->quiet && !(unheard && end->signal == SIGPIPE))
            complain("'%s' was %s", name_of(self), end->text);
        return STATUS_SIGNAL + end->signal;
    case DX_EXIT_UNKNOWN:
    default:
        complain("'%s' has ended, and nobody knows how: %s", name_of(self), end->text);
        return STATUS_FAILURE;
    }
}

/*
 * Stop the program. One whose input has ended before has had its time for that: it is sent SIGTERM
 * when the rest of it is over. *ret_forced: it did not end by itself.
 */
static int stop(talk_run *self, const relay *conversation, int grace_ms, dx_exit *ret,
                bool *ret_forced)
{
    int left_ms = relay_grace_left_ms(conversation, grace_ms);
    int result;

    if (left_ms < grace_ms) {
        *ret_forced = false;
        result = dx_process_wait(self->process, ret, left_ms);
        if (result != -ETIMEDOUT)
            return result;
        *ret_forced = true;
        dx_process_signal(self->process, SIGTERM);
        dx_process_signal(self->process, SIGCONT); /* a stopped one keeps SIGTERM for later */
        result = dx_process_wait(self->process, ret, grace_ms);
        if (result != -ETIMEDOUT)
            return result;
        grace_ms = 0;
    }
    result = dx_process_stop(self->process, grace_ms, ret);
    *ret_forced = ret->stop_signal != 0;
    return result;
}

/* See the program to its end; if it has ended by itself, this only gets the report. */
static int finish(talk_run *self, relay *conversation, relay_end how)
{
    int grace_ms = self->options->grace_ms;
    int status = relay_status(conversation);
    dx_exit end = {0};
    bool forced = false;

    if (how == RELAY_NOBODY_LEFT && grace_ms > GRACE_ALONE_MS)
        grace_ms = GRACE_ALONE_MS;
    if (how != RELAY_CHILD_ENDED)
        trace_remark(&self->trace, "stop");
    if (stop(self, conversation, grace_ms, &end, &forced) < 0) {
        complain("cannot stop '%s': %s", name_of(self), dx_process_explain(self->process));
        return STATUS_FAILURE;
    }
    trace_remark(&self->trace, "%s: %s", name_of(self), end.text);
    switch (how) {
    case RELAY_GIVEN_UP:
        relay_last_words(conversation, LAST_WORDS_MS);
        return status;
    case RELAY_NOBODY_LEFT:
        if (end.kind == DX_EXIT_CODE && !forced)
            return end.code;
        return STATUS_SIGNAL + SIGPIPE;
    case RELAY_CHILD_ENDED:
    default:
        if (status == 0 || end.kind == DX_EXIT_SIGNAL || end.code != 0)
            return status_of_child(self, &end, relay_unheard(conversation));
        return status;
    }
}

static int converse(talk_run *self)
{
    int status = guard(self);
    relay *conversation;

    if (status == 0)
        status = self->options->unbuffer ? start_by_stdbuf(self) : start(self, self->options->argv);
    if (status != 0)
        return status;
    inherited_close(&self->inherited);
    trace_remark(&self->trace, "start %s, pid %d", name_of(self),
                 (int)dx_process_pid(self->process));
    conversation = relay_open(self->options, self->process, &self->trace, self->interrupt_fd);
    if (!conversation) {
        complain("out of memory");
        return STATUS_FAILURE;
    }
    status = finish(self, conversation, relay_run(conversation));
    relay_close(conversation);
    return status;
}

int talk(const talk_options *options)
{
    talk_run self = {.options = options};
    int status = STATUS_FAILURE;
    int result = inherited_find(&self.inherited);

    if (result < 0) {
        complain("out of memory");
        return STATUS_FAILURE;
    }
    if (options->trace)
        result = trace_open(&self.trace, options->trace);
    self.interrupt_fd = interrupt_open();
    if (result < 0)
        complain("cannot write the trace to '%s': %s", options->trace, strerror(-result));
    else if (self.interrupt_fd < 0)
        complain("cannot watch for signals: %s", strerror(-self.interrupt_fd));
    else
        status = converse(&self);
    dx_process_close(self.process);
    /* After the last of the group. */
    guard_groups_dismiss(&self.guard);
    trace_close(&self.trace);
    inherited_close(&self.inherited);
    if (self.interrupt_fd >= 0)
        close(self.interrupt_fd);
    return status;
}
