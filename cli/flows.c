/* SPDX-License-Identifier: MIT */
/* The two flows of a relay; see flows.h. */
#include "flows.h"

#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void relay_give_up(relay *self, int status)
{
    self->stopping = true;
    self->status = status;
}

const char *relay_name(const relay *self)
{
    return self->options->argv[0];
}

static bool must_wait(int result)
{
    return result == -ETIMEDOUT || result == -EDEADLK;
}

/*
 * Let go of one of our standard descriptors, so that whoever is at its other end notices. Its
 * number stays taken.
 */
static int let_go(int number)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int result = -1;

    if (fd < 0)
        return result;
    result = dup3(fd, number, O_CLOEXEC);
    close(fd);
    return result;
}

void relay_stop_input(relay *self)
{
    self->input_over = self->input_gone = true;
    self->blocked = false;
    self->input_over_from = self->silent_from = console_now_ms(); /* it owes its end from now on */
    (void)let_go(STDIN_FILENO);
}

/* What a send, a flush or an end on the channel answered, if it is neither success nor patience. */
static void sending_failed(relay *self, int result, size_t size)
{
    /* Its exit status tells what it thinks of it, as that of `yes | head`. */
    if (result == -EPIPE) {
        relay_stop_input(self);
        return;
    }
    complain("cannot send to '%s': %s", relay_name(self), dx_channel_explain(self->channel));
    /* A person has mistyped, and may try again. */
    if ((result == -EINVAL || result == -EMSGSIZE) && isatty(STDIN_FILENO))
        lines_drop(&self->input, size);
    else
        relay_give_up(self, STATUS_FAILURE);
}

/* git's packets without data are lines of four digits on our side, as they are on the wire. */
static const char *const packets[] = {
    [DX_FLUSH] = "0000", [DX_DELIMITER] = "0001", [DX_RESPONSE_END] = "0002"};

static dx_kind kind_of_line(const relay *self, const char *line, size_t size)
{
    dx_kind kind;

    if (self->options->framing != DX_FRAMING_PKT_LINE)
        return DX_MESSAGE;
    if (size == 5 && line[4] == '\n')
        size = 4;
    for (kind = DX_FLUSH; kind <= DX_RESPONSE_END; kind++) {
        if (size == 4 && memcmp(line, packets[kind], 4) == 0)
            return kind;
    }
    return DX_MESSAGE;
}

static int send_one(relay *self, const char *data, size_t size)
{
    dx_message message = {.data = data, .size = size, .kind = kind_of_line(self, data, size)};
    int result;

    if (message.kind != DX_MESSAGE)
        message.size = 0;
    result = dx_send_message(self->channel, &message, DX_NOW);
    if (result < 0)
        return result;
    if (self->raw)
        trace_bytes(self->trace, TRACE_TO_CHILD, data, size);
    else
        trace_message(self->trace, TRACE_TO_CHILD, data, size);
    /* The answer is due from the first thing that was not answered, whatever follows it. */
    if (!self->owed)
        self->silent_from = console_now_ms();
    self->owed = true;
    return 0;
}

void relay_send(relay *self)
{
    const char *data;
    size_t size = 0;
    int result = 0;

    if (!lines_next(&self->input, &data, &size) && !self->input.at_end)
        return;
    if (!self->raw)
        dx_cork(self->channel);
    while (result == 0 && lines_next(&self->input, &data, &size)) {
        result = send_one(self, data, size);
        if (result == 0)
            lines_drop(&self->input, size);
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
            self->input_over = self->input_gone = true;
            self->input_over_from = self->silent_from = console_now_ms();
            trace_end(self->trace, TRACE_TO_CHILD);
        }
    }
    self->blocked = must_wait(result);
    if (result < 0 && !self->blocked)
        sending_failed(self, result, size);
}

void relay_read(relay *self)
{
    int result = lines_read(&self->input, STDIN_FILENO);

    self->input_gone = self->input_gone || self->input.at_end;
    if (result == 0)
        return;
    if (result == -EMSGSIZE || result == -ENOMEM) {
        if (result == -EMSGSIZE)
            complain("a line of standard input is longer than %zu bytes", self->input.limit);
        else
            complain("out of memory");
        relay_give_up(self, STATUS_FAILURE);
        return;
    }
    /*
     * The child may not care for its input, so this ends nothing else. nohup(1) makes standard input
     * unreadable in place of a terminal, and a client that was killed may reset a socket: both are
     * the end and nothing more.
     */
    if (result != -EBADF && result != -ECONNRESET) {
        complain("cannot read standard input: %s", strerror(-result));
        self->status = STATUS_FAILURE;
    }
    self->input.at_end = self->input_gone = true;
}

/* Keep what was received, with the end of a line if our side speaks lines. */
static int keep_reply(relay *self, const void *data, size_t size)
{
    size_t needed = self->replies_end + size + 1;

    if (needed > self->replies_capacity) {
        size_t capacity = needed < 2 * RELAY_CHUNK ? 2 * RELAY_CHUNK : needed;
        char *replies = realloc(self->replies, capacity);

        if (!replies)
            return -ENOMEM;
        self->replies = replies;
        self->replies_capacity = capacity;
    }
    memcpy(self->replies + self->replies_end, data, size);
    self->replies_end += size;
    if (self->input.kind == LINE_END_NONE ||
        (self->input.kind == LINE_END_KEPT && size > 0 && ((const char *)data)[size - 1] == '\n'))
        return 0;
    self->replies[self->replies_end++] = self->input.kind == LINE_END_NUL ? '\0' : '\n';
    return 0;
}

static int take_message(relay *self, const dx_message *message)
{
    const void *data = message->data;
    size_t size = message->size;

    switch (message->kind) {
    case DX_REQUEST:
        /* There is nobody here who could give an answer to this very question. */
        (void)dx_reply_error(self->channel, message->id, ENOSYS, "duplex talk answers no calls",
                             DX_NOW);
        return 0;
    case DX_FLUSH:
    case DX_DELIMITER:
    case DX_RESPONSE_END:
        data = packets[message->kind];
        size = 4;
        break;
    case DX_MESSAGE:
        break;
    default:
        return 0;
    }
    if (self->raw)
        trace_bytes(self->trace, TRACE_FROM_CHILD, data, size);
    else
        trace_message(self->trace, TRACE_FROM_CHILD, data, size);
    return keep_reply(self, data, size);
}

void relay_receive(relay *self)
{
    dx_message message;
    bool any = false;
    int result = 1;

    while (!self->replies_over && self->replies_end < RELAY_CHUNK) {
        result = dx_recv(self->channel, &message, DX_NOW);
        if (result == 1)
            result = take_message(self, &message) < 0 ? -ENOMEM : 1;
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
    trace_end(self->trace, TRACE_FROM_CHILD);
    if (result == 0)
        return;
    /* One that was stopped in the middle of a message is not misunderstood. */
    if (self->stopping && result == -EPIPE)
        return;
    complain("cannot understand '%s': %s", relay_name(self),
             result == -ENOMEM ? "out of memory" : dx_channel_explain(self->channel));
    /* A child that died in mid-message has a status of its own to tell. */
    self->status = STATUS_FAILURE;
    self->stopping = result != -EPIPE;
}

/*
 * Nobody reads what the child says: it is to notice when it next says something, as without us. The
 * channel has no word for that, so it is done to its descriptor, which then reads as ended.
 */
static void stop_hearing(relay *self)
{
    int fd = dx_channel_fd(self->channel);

    if (fd >= 0 && fd == dx_channel_write_fd(self->channel))
        shutdown(fd, SHUT_RD);
    else if (fd >= 0 && let_go(fd) < 0)
        relay_give_up(self, STATUS_SIGNAL + SIGPIPE); /* else it would be blocked for ever */
    self->replies_over = true;
    self->replies_start = self->replies_end = 0;
}

void relay_lose_output(relay *self)
{
    self->output_gone = true;
    if (self->raw)
        stop_hearing(self);
    else
        relay_give_up(self, STATUS_SIGNAL + SIGPIPE);
}

void relay_write(relay *self)
{
    ssize_t written = console_write_some(&self->output, self->replies + self->replies_start,
                                         self->replies_end - self->replies_start);

    if (written == -EPIPE) {
        relay_lose_output(self);
        return;
    }
    if (written < 0) {
        relay_give_up(self, console_output_failed((int)written));
        return;
    }
    self->replies_start += (size_t)written;
    if (!relay_has_replies(self)) {
        self->replies_start = self->replies_end = 0;
        self->silent_from = console_now_ms(); /* a slow reader is not the child's silence */
    }
}

bool relay_has_replies(const relay *self)
{
    return self->replies_start < self->replies_end;
}

void relay_close_output(relay *self)
{
    if (self->output_closed || self->output_gone)
        return;
    self->output_closed = true;
    (void)let_go(STDOUT_FILENO);
}
