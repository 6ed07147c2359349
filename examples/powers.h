/* SPDX-License-Identifier: MIT */
/*
 * The conversation that poll_loop.c, libuv_loop.c and glib_loop.c hold, so that each of them shows
 * its loop and little else. Child number K raises what it is asked to the Kth power: it speaks first,
 * answers each question, and says goodbye when the parent has no more. Nothing here waits, except the
 * child.
 */
#ifndef EXAMPLES_POWERS_H
#define EXAMPLES_POWERS_H

#include <duplex.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHILDREN 3
#define QUESTIONS 5

/* The parent's side of one conversation. */
typedef struct peer {
    int number;
    dx_process *process;
    dx_channel *channel;
    int asked;
    int answers;
    long sum;
    bool said_goodbye;
    bool over; /* the conversation has ended; the child may still live */
    bool failed;
} peer;

static int powers_child(dx_channel *parent, void *arg)
{
    int number = *(int *)arg;
    dx_message question;
    int result;

    if (dx_send(parent, "hello", 5, DX_FOREVER) < 0)
        return 1;
    while ((result = dx_recv(parent, &question, DX_FOREVER)) == 1) {
        char text[32];
        long base;
        long power = 1;
        int i;

        snprintf(text, sizeof(text), "%.*s", (int)question.size, (const char *)question.data);
        base = strtol(text, NULL, 10);
        for (i = 0; i < number; i++)
            power *= base;
        snprintf(text, sizeof(text), "%ld", power);
        if (dx_send(parent, text, strlen(text), DX_FOREVER) < 0)
            return 1;
    }
    return result == 0 && dx_send(parent, "goodbye", 7, DX_FOREVER) == 0 ? 0 : 1;
}

static int powers_start(peer *self, int number)
{
    int result;

    self->number = number;
    result = dx_fork(&self->process, powers_child, &self->number, NULL);
    if (result < 0)
        fprintf(stderr, "cannot start child %d: %s\n", number, dx_error_text(result));
    else
        self->channel = dx_process_channel(self->process);
    return result;
}

/* Ask the next question, or say that there are no more. */
static void powers_ask(peer *self)
{
    char text[32];
    int result;

    if (self->asked == QUESTIONS) {
        result = dx_channel_end(self->channel, DX_NOW);
    } else {
        snprintf(text, sizeof(text), "%d", ++self->asked);
        /* At most one question is on its way, so it always fits. Who sends more than the kernel has
         * room for gets -ETIMEDOUT, and keeps the message until POLLOUT. */
        result = dx_send(self->channel, text, strlen(text), DX_NOW);
    }
    self->failed = self->failed || result < 0;
}

/* One message has come. */
static void powers_hear(peer *self, const dx_message *message)
{
    char text[32];

    snprintf(text, sizeof(text), "%.*s", (int)message->size, (const char *)message->data);
    if (strcmp(text, "goodbye") == 0) {
        self->said_goodbye = true;
        return;
    }
    if (strcmp(text, "hello") != 0) {
        self->answers++;
        self->sum += strtol(text, NULL, 10);
    }
    powers_ask(self);
}

/* An event came: do all that can be done without waiting. */
static void powers_serve(peer *self)
{
    dx_message message;
    int result;

    if (self->over)
        return;
    dx_channel_process(self->channel); /* dx_recv() tells what came of it */
    while ((result = dx_recv(self->channel, &message, DX_NOW)) == 1)
        powers_hear(self, &message);
    if (result == -ETIMEDOUT)
        return; /* nothing more for now */
    self->over = true;
    if (result < 0) {
        fprintf(stderr, "child %d: %s\n", self->number, dx_channel_explain(self->channel));
        self->failed = true;
    }
}

/* Tell how it went, and let go of the child. Returns whether all was well. */
static bool powers_finish(peer *self)
{
    dx_exit end = {0};

    dx_process_wait(self->process, &end, DX_FOREVER);
    printf("child %d: %d answers, sum %ld, %s, exit status %d\n", self->number, self->answers,
           self->sum, self->said_goodbye ? "said goodbye" : "left without a word", end.code);
    self->process = dx_process_close(self->process);
    return !self->failed && self->said_goodbye && end.kind == DX_EXIT_CODE && end.code == 0;
}

#endif
