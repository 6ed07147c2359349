/* SPDX-License-Identifier: MIT */
/*
 * The relay of `duplex talk`; see relay.h.
 *
 * One loop, three flows, none of which ever waits for another:
 *
 *   standard input --> input --> the channel     read only when the child has taken what was read
 *   the channel --> replies --> standard output  received only when the last replies were written
 *   the pidfd, the signals, the clock
 *
 * So a child, a reader or a writer that is slow slows down whoever feeds it, and memory stays
 * bounded by one message and 64 KiB each way.
 *
 * When standard input is at its end and standard output has no reader, nobody is left whom the
 * child could serve: the client was killed. Both are looked at even while there is nothing to read
 * and nothing to write.
 */
#include "flows.h"

#include "interrupt.h"
#include "status.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* How long the child may still be silent, in milliseconds; DX_FOREVER when nothing is owed. */
static int patience_ms(const relay *self)
{
    int64_t left = self->silent_from + self->options->timeout_ms - console_now_ms();

    if (self->options->timeout_ms < 0 || self->child_over || relay_has_replies(self))
        return DX_FOREVER;
    if (!self->owed && !self->blocked && !self->input_over)
        return DX_FOREVER;
    return left > 0 ? (int)left : 0;
}

/* Whether something that was sent still lies in the kernel, unread by the child. */
static bool lies_unread(const relay *self)
{
    int fd = dx_channel_write_fd(self->channel);
    int size = 0;

    /* The first is what a pipe knows, for a socket it is the other direction. */
    if (ioctl(fd, fd == dx_channel_fd(self->channel) ? TIOCOUTQ : FIONREAD, &size) < 0)
        return false;
    return size > 0;
}

static void deadline_passed(relay *self)
{
    const char *what = "took what it was sent, and then was silent";
    const char *hint = "";

    if (self->blocked)
        what = "took no input";
    else if (self->input_over)
        what = "has the end of its input, and neither said anything more nor ended";
    else if (lies_unread(self))
        what = "has not taken all that it was sent, and was silent";
    /* Programs whose standard output is no terminal collect it by the block unless told otherwise.
     */
    else if (!self->options->unbuffer && handover_is_stdio(&self->options->handover))
        hint = "; if it holds its answers back, --unbuffer may help";
    complain("'%s' %s for %g s%s", relay_name(self), what, self->options->timeout_ms / 1000.0,
             hint);
    relay_give_up(self, STATUS_DEADLINE);
}

/*
 * Who reads the terminal in the background is stopped for it, see SIGTTIN, even when the child does
 * not care for its input. Nothing tells of a return to the foreground, so it is looked at again.
 */
static bool in_background(const relay *self)
{
    pid_t group = self->input_is_terminal ? tcgetpgrp(STDIN_FILENO) : -1;

    return group > 0 && group != getpgrp();
}

enum { BACKGROUND_MS = 200 };

enum { INTERRUPT, INPUT, OUTPUT, READ, WRITE, CHILD, TRACE, COUNT };

static int sooner(int timeout_ms, int other_ms)
{
    return other_ms >= 0 && (timeout_ms < 0 || other_ms < timeout_ms) ? other_ms : timeout_ms;
}

/* What to wait for. A descriptor that told its end must leave: poll(2) would tell it for ever. */
static int fill_poll_set(relay *self, struct pollfd fds[COUNT])
{
    bool wants_replies = !self->replies_over && self->replies_end < RELAY_CHUNK;
    bool wants_input = !self->input_over && !self->blocked;
    int events = dx_channel_events(self->channel);
    int write_fd = dx_channel_write_fd(self->channel);
    bool waits_for_terminal = wants_input && in_background(self);
    int timeout_ms = waits_for_terminal ? BACKGROUND_MS : DX_FOREVER;
    int i;

    wants_input = wants_input && !waits_for_terminal;
    events = events < 0 ? 0 : events;
    if (!wants_replies)
        events &= ~POLLIN;
    if (self->blocked)
        events |= POLLOUT;
    for (i = 0; i < COUNT; i++)
        fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    fds[INTERRUPT].fd = self->interrupt_fd;
    if (wants_input || !self->input_gone)
        fds[INPUT] = (struct pollfd){.fd = STDIN_FILENO, .events = wants_input ? POLLIN : 0};
    if (!self->output_gone && !self->output_closed)
        fds[OUTPUT] =
            (struct pollfd){.fd = STDOUT_FILENO, .events = relay_has_replies(self) ? POLLOUT : 0};
    if (events & POLLIN)
        fds[READ].fd = dx_channel_fd(self->channel);
    /* The writing end of a pipe tells when the child has closed its own, if nothing is sent too. */
    if (events & POLLOUT || (!self->input_over && write_fd != dx_channel_fd(self->channel)))
        fds[WRITE] = (struct pollfd){.fd = write_fd, .events = (short)(events & POLLOUT)};
    if (!self->child_over)
        fds[CHILD].fd = dx_process_fd(self->process);
    fds[TRACE] = (struct pollfd){.fd = trace_fd(self->trace), .events = POLLOUT};
    int channel_ms = dx_channel_timeout_ms(self->channel);

    /* A reply that nobody takes now is no reason to look again. */
    return wants_replies || channel_ms > 0 ? sooner(timeout_ms, channel_ms) : timeout_ms;
}

/* Wait until one of the flows can go on, and note what happened. */
static void wait_for_events(relay *self)
{
    struct pollfd fds[COUNT];
    int timeout_ms = fill_poll_set(self, fds);
    int signal_number;
    int ready;

    timeout_ms = sooner(timeout_ms, patience_ms(self));
    timeout_ms = sooner(timeout_ms, trace_timeout_ms(self->trace));
    ready = poll(fds, COUNT, timeout_ms);
    if (ready < 0)
        return;
    trace_process(self->trace);
    signal_number = fds[INTERRUPT].revents ? interrupt_take(self->interrupt_fd) : 0;
    if (signal_number > 0)
        relay_give_up(self, STATUS_SIGNAL + signal_number);
    if (ready == 0 || fds[READ].revents || fds[WRITE].revents)
        dx_channel_process(self->channel); /* the next send or receive tells what came of it */
    if (fds[CHILD].revents && dx_process_process(self->process))
        self->child_over = self->input_over = true;
    if (fds[WRITE].revents & POLLOUT && self->blocked) {
        self->blocked = false;
        self->silent_from = console_now_ms();
    }
    if (fds[WRITE].revents & POLLERR && !self->input_over)
        relay_stop_input(self);
    if (fds[OUTPUT].revents & POLLOUT)
        relay_write(self);
    if (fds[OUTPUT].revents & (POLLERR | POLLHUP) && !self->output_gone)
        relay_lose_output(self);
    if (fds[INPUT].revents & (POLLERR | POLLHUP | POLLNVAL))
        self->input_gone = true;
    if (fds[INPUT].revents && fds[INPUT].events && !self->input_over)
        relay_read(self);
}

relay *relay_open(const talk_options *options, dx_process *process, trace *record, int interrupt_fd)
{
    relay *self = calloc(1, sizeof(*self));

    if (!self)
        return NULL;
    self->options = options;
    self->process = process;
    self->channel = dx_process_channel(process);
    self->trace = record;
    self->interrupt_fd = interrupt_fd;
    self->input_is_terminal = isatty(STDIN_FILENO);
    self->output = console_sink_of(STDOUT_FILENO);
    self->raw = options->framing == DX_FRAMING_RAW;
    self->input.limit = self->raw ? RELAY_CHUNK : DX_MESSAGE_LIMIT_DEFAULT;
    switch (options->framing) {
    case DX_FRAMING_RAW:
        self->input.kind = LINE_END_NONE;
        break;
    case DX_FRAMING_NUL:
        self->input.kind = LINE_END_NUL;
        break;
    case DX_FRAMING_PKT_LINE:
        self->input.kind = LINE_END_KEPT;
        break;
    default:
        break;
    }
    return self;
}

relay_end relay_run(relay *self)
{
    self->silent_from = console_now_ms();
    while (!self->stopping) {
        if (!self->input_over && !self->blocked)
            relay_send(self);
        relay_receive(self);
        if (self->replies_over && !relay_has_replies(self)) {
            if (self->child_over)
                return RELAY_CHILD_ENDED;
            relay_close_output(self);
        }
        if (self->input_gone && self->output_gone)
            return RELAY_NOBODY_LEFT;
        if (patience_ms(self) == 0)
            deadline_passed(self);
        if (!self->stopping)
            wait_for_events(self);
    }
    return RELAY_GIVEN_UP;
}

int relay_status(const relay *self)
{
    return self->status;
}

int relay_grace_left_ms(const relay *self, int grace_ms)
{
    int64_t left;

    if (!self->input_over)
        return grace_ms;
    left = self->input_over_from + grace_ms - console_now_ms();
    return left > 0 ? (int)left : 0;
}

bool relay_unheard(const relay *self)
{
    return self->output_gone;
}

void relay_last_words(relay *self, int timeout_ms)
{
    int64_t deadline = console_now_ms() + timeout_ms;
    int result = 0;

    if (self->output_gone || self->output_closed)
        return;
    do {
        int64_t left = deadline - console_now_ms();

        /* Another signal, such as a second Ctrl-C, does not take them away: the time is short. */
        result =
            console_write(self->replies + self->replies_start,
                          self->replies_end - self->replies_start, -1, left > 0 ? (int)left : 0);
        self->replies_start = self->replies_end = 0;
        if (!self->replies_over)
            relay_receive(self);
    } while (result == 0 && relay_has_replies(self));
}

relay *relay_close(relay *self)
{
    if (self) {
        lines_close(&self->input);
        free(self->replies);
        free(self);
    }
    return NULL;
}
