/* SPDX-License-Identifier: MIT */
/*
 * The other end of a conversation: it sends back what comes, until it does something else.
 */
#include "soak.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GARBAGE_SIZE = 300, CUT_SIZE = 20 };

bool soak_echo(dx_channel *channel, const dx_message *message, int timeout_ms)
{
    dx_message answer = {
        .data = message->data,
        .size = message->size,
        .descriptors = message->descriptors,
        .descriptor_count = message->descriptor_count,
    };
    int status = 0;

    if (message->kind == DX_REQUEST && soak_is_refused(message->size))
        status = dx_reply_error(channel, message->id, SOAK_REFUSED_CODE, "no", timeout_ms);
    else if (message->kind == DX_REQUEST)
        status = dx_reply_message(channel, message->id, &answer, timeout_ms);
    else if (message->kind == DX_MESSAGE)
        status = dx_send_message(channel, &answer, timeout_ms);
    /* A request that was cancelled meanwhile needs no answer. */
    return status == 0 || status == -ENOENT;
}

static void write_raw(dx_channel *channel, const void *bytes, size_t size)
{
    if (send(dx_channel_write_fd(channel), bytes, size, MSG_NOSIGNAL) < 0)
        return;
}

/* No header begins so: of this kind there is no frame. */
static void say_garbage(dx_channel *channel)
{
    char bytes[GARBAGE_SIZE];

    memset(bytes, 0xee, sizeof(bytes));
    write_raw(channel, bytes, sizeof(bytes));
}

/* The header of a message of 100 bytes, and four of these. By a ring it is a word out of place. */
static void say_the_beginning(dx_channel *channel)
{
    static const char bytes[CUT_SIZE] = {0, 0, 0, 100, 2};

    write_raw(channel, bytes, sizeof(bytes));
}

/* What is done after the messages. Returns how the child ends. */
static int depart(dx_channel *parent, enum soak_manner manner)
{
    switch (manner) {
    case SOAK_DIES:
        raise(SIGKILL);
        return 99;
    case SOAK_EXITS:
        return 7;
    case SOAK_STOPS:
        raise(SIGSTOP);
        return 0;
    case SOAK_GARBAGE:
        say_garbage(parent);
        return 0;
    case SOAK_CUT:
        say_the_beginning(parent);
        return 0;
    default:
        return 0;
    }
}

static bool departs(enum soak_manner manner)
{
    return manner != SOAK_ECHO && manner != SOAK_STUBBORN;
}

int soak_partner(dx_channel *parent, enum soak_manner manner, unsigned patience)
{
    dx_message message;

    /* Whatever becomes of the parent, nobody stays. */
    alarm(SOAK_CHILD_SECONDS);
    if (manner == SOAK_STUBBORN)
        signal(SIGTERM, SIG_IGN);
    for (unsigned count = 0; !departs(manner) || count < patience; count++) {
        if (dx_recv(parent, &message, DX_FOREVER) != 1)
            break;
        if (!soak_echo(parent, &message, DX_FOREVER))
            break;
        if (manner == SOAK_ECHO)
            alarm(SOAK_CHILD_SECONDS);
    }
    while (manner == SOAK_STUBBORN)
        pause();
    return depart(parent, manner);
}
