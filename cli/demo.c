/* SPDX-License-Identifier: MIT */
/*
 * The conversation of `duplex demo`; see demo.h.
 *
 * A round is: the child says its sentence; the father hears it, prints it and says his; the child
 * hears that and prints it. Each prints before it speaks, and speaks only when the other has
 * spoken, so the lines of the two processes alternate on their common standard output without any
 * lock, and every line is of a message that arrived.
 */
#include "demo.h"

#include "console.h"
#include "interrupt.h"
#include "status.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char child_sentence[] = "i am your child";
static const char father_sentence[] = "i am your father";

typedef struct father {
    const demo_options *options;
    int interrupt_fd;
    dx_process *process;
    dx_channel *channel;
    int status; /* not 0 when the father has a reason to stop: the exit status for it */
} father;

const char *demo_direction(const demo_sentence *sentence)
{
    return sentence->by_child ? "child-->father" : "father-->child";
}

int demo_print_line(const demo_sentence *sentence, int interrupt_fd)
{
    char line[256];
    int size = snprintf(line, sizeof(line), "%s:%.*s\n", demo_direction(sentence),
                        (int)sentence->size, sentence->text);

    if (size < 0 || (size_t)size >= sizeof(line))
        return -EMSGSIZE;
    return console_write(line, (size_t)size, interrupt_fd, -1);
}

/* Wait for the time of the next round, listening. Returns as dx_recv(): -ETIMEDOUT when it has
 * come. */
static int child_pause(dx_channel *parent, int64_t until_ms)
{
    int64_t left = until_ms - console_now_ms();
    dx_message unexpected;

    return dx_recv(parent, &unexpected, left > 0 ? (int)left : DX_NOW);
}

static int child_main(dx_channel *parent, void *arg)
{
    const demo_options *options = arg;
    int64_t next_ms = console_now_ms();
    unsigned long long round;
    int result;

    for (round = 1; options->rounds == 0 || round <= options->rounds; round++) {
        dx_message heard;
        demo_sentence sentence = {.by_child = false, .round = round};

        result = dx_send(parent, child_sentence, sizeof(child_sentence) - 1, DX_FOREVER);
        if (result < 0)
            goto over;
        result = dx_recv(parent, &heard, DX_FOREVER);
        if (result != 1)
            goto over;
        sentence.text = heard.data;
        sentence.size = heard.size;
        result = options->print(&sentence, -1);
        if (result < 0)
            return console_output_failed(result);
        if (round == options->rounds)
            break;
        next_ms += options->interval_ms;
        result = child_pause(parent, next_ms);
        if (result != -ETIMEDOUT)
            goto over;
    }
    return 0;
over:
    /* The father ends the conversation when he is asked to stop; that is as good an end as any. */
    if (result == 0 || result == -EPIPE)
        return 0;
    complain("the child cannot go on: %s",
             result < 0 ? dx_channel_explain(parent) : "its father spoke out of turn");
    return STATUS_FAILURE;
}

/*
 * Wait until something happens on the channel or to the child. Returns false when the father is to
 * stop instead, with his status set: a signal came, or nobody reads standard output any more.
 */
static bool father_wait(father *self)
{
    int events = dx_channel_events(self->channel);
    struct pollfd fds[4] = {
        {.fd = self->interrupt_fd, .events = POLLIN},
        {.fd = STDOUT_FILENO, .events = 0},
        /* Without events it must leave the loop: poll(2) would report POLLHUP for ever. */
        {.fd = events > 0 ? dx_channel_fd(self->channel) : -1, .events = (short)events},
        {.fd = dx_process_fd(self->process), .events = (short)dx_process_events(self->process)},
    };
    int signal_number;

    if (poll(fds, 4, dx_channel_timeout_ms(self->channel)) < 0)
        return true;
    signal_number = fds[0].revents ? interrupt_take(self->interrupt_fd) : 0;
    if (signal_number > 0)
        self->status = STATUS_SIGNAL + signal_number;
    else if (fds[1].revents & (POLLERR | POLLHUP))
        self->status = console_output_failed(-EPIPE);
    if (fds[2].revents)
        dx_channel_process(self->channel); /* dx_recv() tells what came of it */
    if (fds[3].revents)
        dx_process_process(self->process);
    return self->status == 0;
}

/* Hear the child's next sentence and print it. Returns false at the end of the conversation. */
static bool father_hear(father *self, unsigned long long round)
{
    demo_sentence sentence = {.by_child = true, .round = round};
    dx_message heard;
    int result;

    do {
        result = dx_recv(self->channel, &heard, DX_NOW);
    } while (result == -ETIMEDOUT && father_wait(self));
    if (result < 0 && self->status == 0) {
        complain("the father cannot hear: %s", dx_channel_explain(self->channel));
        self->status = STATUS_FAILURE;
    }
    if (result != 1)
        return false;
    sentence.text = heard.data;
    sentence.size = heard.size;
    result = self->options->print(&sentence, self->interrupt_fd);
    if (result == -EINTR)
        self->status = STATUS_SIGNAL + interrupt_take(self->interrupt_fd);
    else if (result < 0)
        self->status = console_output_failed(result);
    return result == 0;
}

static bool father_speak(father *self)
{
    /* The child waits for this one small message, so there is always room for it. */
    int result = dx_send(self->channel, father_sentence, sizeof(father_sentence) - 1, DX_NOW);

    if (result < 0 && result != -EPIPE) {
        complain("the father cannot speak: %s", dx_channel_explain(self->channel));
        self->status = STATUS_FAILURE;
    }
    return result == 0;
}

/* What the child's end means for the command when the father had no reason of his own to stop. */
static int status_of_child(const father *self, const dx_exit *end, bool complete)
{
    int signal_number;

    switch (end->kind) {
    case DX_EXIT_CODE:
        if (end->code == 0 && !complete) {
            complain("the child left in the middle of the conversation");
            return STATUS_FAILURE;
        }
        return end->code; /* if it failed, it has said why */
    case DX_EXIT_SIGNAL:
        /* A signal to the whole group, such as Ctrl-C, may end the child before the father looks.
         */
        signal_number = interrupt_take(self->interrupt_fd);
        if (signal_number > 0)
            return STATUS_SIGNAL + signal_number;
        if (end->signal != SIGPIPE)
            complain("the child was %s", end->text);
        return STATUS_SIGNAL + end->signal;
    case DX_EXIT_UNKNOWN:
    default:
        if (complete)
            return 0;
        complain("the child has ended, and nobody knows how: %s", end->text);
        return STATUS_FAILURE;
    }
}

int demo_converse(const demo_options *options, int interrupt_fd)
{
    dx_failure failure = {0};
    const dx_process_options process_options = {
        .channel = {.type = options->type},
        .die_with_parent = true,
        .failure = &failure,
    };
    father self = {.options = options, .interrupt_fd = interrupt_fd};
    dx_exit end = {0};
    unsigned long long round;
    int result = dx_fork(&self.process, child_main, (void *)options, &process_options);

    if (result < 0) {
        complain("cannot start the child: %s",
                 failure.text[0] ? failure.text : dx_error_text(result));
        return STATUS_FAILURE;
    }
    self.channel = dx_process_channel(self.process);
    for (round = 1; options->rounds == 0 || round <= options->rounds; round++) {
        if (!father_hear(&self, round) || !father_speak(&self))
            break;
    }
    /* After the last round the child leaves by itself, when it has printed what it heard. */
    if (options->rounds > 0 && round > options->rounds) {
        while (!dx_process_process(self.process) && father_wait(&self))
            continue;
    }
    result = dx_process_stop(self.process, DX_GRACE_DEFAULT, &end);
    if (self.status == 0 && result == 0)
        self.status = status_of_child(&self, &end, options->rounds > 0 && round > options->rounds);
    if (result < 0) {
        complain("cannot stop the child: %s", dx_process_explain(self.process));
        self.status = STATUS_FAILURE;
    }
    dx_process_close(self.process);
    return self.status;
}
