/* SPDX-License-Identifier: MIT */
/*
 * The relay of `duplex talk`; see talk.h.
 *
 * One loop, three flows, none of which ever waits for another:
 *
 *   standard input --> lines --> the channel     read only when the child has taken the last line
 *   the channel --> replies --> standard output  received only when the last replies were written
 *   the pidfd, the signals, the clock
 *
 * So a child, a reader or a writer that is slow slows down whoever feeds it, and memory stays
 * bounded by one message and 64 KiB each way. The end of standard input is passed on as the end of
 * our direction, and answers are waited for until the child has ended. Then what it said is written
 * out before its end is told.
 */
#include "talk.h"

#include "console.h"
#include "interrupt.h"
#include "lines.h"
#include "status.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPLIES_ENOUGH ((size_t)64 << 10)
#define LAST_WORDS_MS 1000 /* how long a stopped conversation waits for a reader of the rest */

typedef struct talk {
    const talk_options *options;
    int interrupt_fd;
    dx_process *process;
    dx_channel *channel;

    line_reader input;
    bool input_over; /* nothing more is read: its end was passed on, or the child takes nothing */
    bool blocked;    /* a line, or the end, waits for room in the channel */

    char *replies; /* lines that were received and not yet written */
    size_t replies_capacity;
    size_t replies_start;
    size_t replies_end;
    bool replies_over;

    bool child_over;
    bool owed;           /* the child was sent something since it last spoke */
    int64_t silent_from; /* when something last went either way */

    bool stopping; /* the conversation is given up, with `status` */
    int status; /* not 0: what went wrong outside the child; goes before the child's own status */
} talk;

static void give_up(talk *self, int status)
{
    self->stopping = true;
    self->status = status;
}

/* The program's name for a sentence. */
static const char *name_of(const talk *self)
{
    return self->options->argv[0];
}

static bool must_wait(int result)
{
    return result == -ETIMEDOUT || result == -EDEADLK;
}

/* What a send, a flush or an end on the channel answered: anything else than success or patience.
 */
static void sending_failed(talk *self, int result)
{
    self->input_over = true;
    self->blocked = false;
    /* A child that takes no more is like `yes | head`: its exit status tells what it thinks of it.
     */
    if (result == -EPIPE)
        return;
    complain("cannot send to '%s': %s", name_of(self), dx_channel_explain(self->channel));
    give_up(self, STATUS_FAILURE);
}

/* Send the lines that are there, as far as the child takes them; after the last one, the end. */
static void send_lines(talk *self)
{
    const char *line;
    size_t size;
    bool any = false;
    int result = 0;

    if (!lines_next(&self->input, &line, &size) && !self->input.at_end)
        return;
    dx_cork(self->channel);
    while (lines_next(&self->input, &line, &size)) {
        result = dx_send(self->channel, line, size, DX_NOW);
        if (result < 0)
            break;
        any = true;
        lines_drop(&self->input, size);
    }
    if (any) {
        self->owed = true;
        self->silent_from = console_now_ms();
    }
    if (result == 0 || must_wait(result)) {
        int flushed = dx_flush(self->channel, DX_NOW);

        /* What the flush could not send leaves with dx_channel_process(). */
        if (flushed < 0 && !must_wait(flushed))
            result = flushed;
    }
    if (result == 0 && self->input.at_end) {
        result = dx_channel_end(self->channel, DX_NOW);
        if (result == 0) {
            self->input_over = true;
            self->silent_from = console_now_ms();
        }
    }
    self->blocked = must_wait(result);
    if (result < 0 && !self->blocked)
        sending_failed(self, result);
}

static void read_input(talk *self)
{
    int result = lines_read(&self->input, STDIN_FILENO);

    if (result == 0)
        return;
    if (result == -EMSGSIZE)
        complain("a line of standard input is longer than %zu bytes", self->input.limit);
    else
        complain("cannot read standard input: %s", strerror(-result));
    give_up(self, STATUS_FAILURE);
}

/* Keep a message as a line. */
static int keep_reply(talk *self, const dx_message *message)
{
    size_t needed = self->replies_end + message->size + 1;

    if (needed > self->replies_capacity) {
        size_t capacity = needed < REPLIES_ENOUGH ? REPLIES_ENOUGH : needed;
        char *replies = realloc(self->replies, capacity);

        if (!replies)
            return -ENOMEM;
        self->replies = replies;
        self->replies_capacity = capacity;
    }
    memcpy(self->replies + self->replies_end, message->data, message->size);
    self->replies_end += message->size;
    self->replies[self->replies_end++] = '\n';
    return 0;
}

/* Receive what has come, until there is enough to write. */
static void receive_replies(talk *self)
{
    dx_message message;
    bool any = false;
    int result = 1;

    while (!self->replies_over && self->replies_end < REPLIES_ENOUGH) {
        result = dx_recv(self->channel, &message, DX_NOW);
        if (result == 1)
            result = keep_reply(self, &message) < 0 ? -ENOMEM : 1;
        if (result != 1)
            break;
        any = true;
    }
    if (any) {
        self->owed = false;
        self->silent_from = console_now_ms();
    }
    if (result == 1 || result == -ETIMEDOUT)
        return;
    self->replies_over = true;
    if (result == 0)
        return;
    complain("cannot understand '%s': %s", name_of(self),
             result == -ENOMEM ? "out of memory" : dx_channel_explain(self->channel));
    /* A child that died in mid-message has a status of its own to tell. */
    self->status = STATUS_FAILURE;
    self->stopping = result != -EPIPE;
}

static void write_replies(talk *self)
{
    ssize_t written = console_write_some(self->replies + self->replies_start,
                                         self->replies_end - self->replies_start);

    if (written < 0) {
        give_up(self, console_output_failed((int)written));
        return;
    }
    self->replies_start += (size_t)written;
    if (self->replies_start == self->replies_end) {
        self->replies_start = self->replies_end = 0;
        self->silent_from = console_now_ms(); /* a slow reader is not the child's silence */
    }
}

static bool has_replies(const talk *self)
{
    return self->replies_start < self->replies_end;
}

/* How long the child may still be silent, in milliseconds; DX_FOREVER when nothing is owed. */
static int patience_ms(const talk *self)
{
    int64_t left = self->silent_from + self->options->timeout_ms - console_now_ms();

    if (self->options->timeout_ms < 0 || self->child_over || has_replies(self))
        return DX_FOREVER;
    if (!self->owed && !self->blocked && !self->input_over)
        return DX_FOREVER;
    return left > 0 ? (int)left : 0;
}

static void deadline_passed(talk *self)
{
    const char *hint = "";

    /* Programs that write to a socket collect their output by the block unless told otherwise. */
    if (self->options->framing == DX_FRAMING_LINE && !self->input_over && !self->blocked)
        hint = "; if it holds its output back, start it by: stdbuf -oL";
    complain("'%s' %s and was silent for %g s%s", name_of(self),
             self->blocked ? "took no input" : "owed an answer or its end",
             self->options->timeout_ms / 1000.0, hint);
    give_up(self, STATUS_DEADLINE);
}

/* Wait until one of the flows can go on, and note what happened. */
static void wait_for_events(talk *self)
{
    enum { INTERRUPT, INPUT, OUTPUT, READ, WRITE, CHILD, COUNT };
    bool wants_replies = !self->replies_over && self->replies_end < REPLIES_ENOUGH;
    int events = dx_channel_events(self->channel);
    int timeout_ms = wants_replies ? dx_channel_timeout_ms(self->channel) : DX_FOREVER;
    int patience = patience_ms(self);
    struct pollfd fds[COUNT];
    int signal_number;

    events = events < 0 ? 0 : events;
    if (!wants_replies)
        events &= ~POLLIN;
    if (self->blocked)
        events |= POLLOUT;
    /* A descriptor without events must leave the loop: poll(2) would report POLLHUP for ever. */
    fds[INTERRUPT] = (struct pollfd){.fd = self->interrupt_fd, .events = POLLIN};
    fds[INPUT] = (struct pollfd){.fd = self->input_over || self->blocked ? -1 : STDIN_FILENO,
                                 .events = POLLIN};
    fds[OUTPUT] = (struct pollfd){.fd = has_replies(self) ? STDOUT_FILENO : -1, .events = POLLOUT};
    fds[READ] = (struct pollfd){.fd = events & POLLIN ? dx_channel_fd(self->channel) : -1,
                                .events = POLLIN};
    fds[WRITE] = (struct pollfd){.fd = events & POLLOUT ? dx_channel_write_fd(self->channel) : -1,
                                 .events = POLLOUT};
    fds[CHILD] = (struct pollfd){.fd = self->child_over ? -1 : dx_process_fd(self->process),
                                 .events = POLLIN};
    if (patience >= 0 && (timeout_ms < 0 || patience < timeout_ms))
        timeout_ms = patience;

    if (poll(fds, COUNT, timeout_ms) < 0)
        return;
    signal_number = fds[INTERRUPT].revents ? interrupt_take(self->interrupt_fd) : 0;
    if (signal_number > 0)
        give_up(self, STATUS_SIGNAL + signal_number);
    if (fds[READ].revents || fds[WRITE].revents)
        dx_channel_process(self->channel); /* the next send or receive tells what came of it */
    if (fds[CHILD].revents && dx_process_process(self->process))
        self->child_over = self->input_over = true;
    if (fds[WRITE].revents)
        self->blocked = false;
    if (fds[OUTPUT].revents)
        write_replies(self);
    if (fds[INPUT].revents && !self->input_over)
        read_input(self);
}

/* The conversation was given up and the child stopped: still write what it had said. */
static void write_last_words(talk *self)
{
    int64_t deadline = console_now_ms() + LAST_WORDS_MS;
    int result = 0;

    do {
        int64_t left = deadline - console_now_ms();

        result = console_write(self->replies + self->replies_start,
                               self->replies_end - self->replies_start, self->interrupt_fd,
                               left > 0 ? (int)left : 0);
        self->replies_start = self->replies_end = 0;
        if (!self->replies_over)
            receive_replies(self);
    } while (result == 0 && has_replies(self));
}

static int status_of_child(const talk *self, const dx_exit *end)
{
    switch (end->kind) {
    case DX_EXIT_CODE:
        return end->code;
    case DX_EXIT_SIGNAL:
        if (!self->options->quiet)
            complain("'%s' was %s", name_of(self), end->text);
        return STATUS_SIGNAL + end->signal;
    case DX_EXIT_UNKNOWN:
    default:
        complain("'%s' has ended, and nobody knows how: %s", name_of(self), end->text);
        return STATUS_FAILURE;
    }
}

static int converse(talk *self)
{
    dx_exit end = {0};
    int status;

    self->silent_from = console_now_ms();
    while (!self->stopping) {
        if (!self->input_over && !self->blocked)
            send_lines(self);
        receive_replies(self);
        if (self->child_over && self->replies_over && !has_replies(self))
            break;
        if (patience_ms(self) == 0)
            deadline_passed(self);
        if (!self->stopping)
            wait_for_events(self);
    }
    /* If it has ended by itself, this only gets the report. */
    if (dx_process_stop(self->process, DX_GRACE_DEFAULT, &end) < 0) {
        complain("cannot stop '%s': %s", name_of(self), dx_process_explain(self->process));
        return STATUS_FAILURE;
    }
    status = self->status;
    if (self->stopping)
        write_last_words(self);
    else if (status == 0 || end.kind == DX_EXIT_SIGNAL || end.code != 0)
        status = status_of_child(self, &end);
    return status;
}

/* The status for a program that did not start: what env(1) and the shells say. */
static int status_of_start(int result)
{
    switch (result) {
    case -ENOENT:
        return STATUS_NOT_FOUND;
    case -EAGAIN:
    case -EINVAL:
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
        return STATUS_FAILURE;
    default:
        return STATUS_CANNOT_EXECUTE;
    }
}

int talk_relay(const talk_options *options)
{
    bool line = options->framing == DX_FRAMING_LINE;
    dx_failure failure = {0};
    dx_process_options process_options = {
        .channel = {.framing = options->framing},
        .handover = line ? DX_HANDOVER_STDIO : DX_HANDOVER_ENV,
        .group = DX_GROUP_NEW,
        .die_with_parent = true,
        .failure = &failure,
    };
    talk self = {.options = options, .input = {.limit = DX_MESSAGE_LIMIT_DEFAULT}};
    int result;

    if (!line) {
        /* Our standard output is for messages alone: what a native child prints is for people. */
        process_options.stdio[STDIN_FILENO].mode = DX_STDIO_NULL;
        process_options.stdio[STDOUT_FILENO].mode = DX_STDIO_DESCRIPTOR;
        process_options.stdio[STDOUT_FILENO].fd = STDERR_FILENO;
    }
    self.interrupt_fd = interrupt_open();
    if (self.interrupt_fd < 0) {
        complain("cannot watch for signals: %s", strerror(-self.interrupt_fd));
        return STATUS_FAILURE;
    }
    result = dx_spawn(&self.process, options->argv, &process_options);
    if (result < 0) {
        complain("%s", failure.text[0] ? failure.text : dx_error_text(result));
        result = status_of_start(result);
    } else {
        self.channel = dx_process_channel(self.process);
        result = converse(&self);
        dx_process_close(self.process);
    }
    lines_close(&self.input);
    free(self.replies);
    close(self.interrupt_fd);
    return result;
}
