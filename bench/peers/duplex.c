/* SPDX-License-Identifier: MIT */
/*
 * duplex over its socket: dx_fork(), then dx_send() and dx_recv() of whole messages, on each type
 * of channel, with all options at their defaults. Corked, the sender brackets its messages by
 * dx_cork() and dx_flush(); otherwise each message leaves at once. Calls are dx_call_start() and
 * dx_reply(), corked on both sides or on neither. The rows "asleep" never look for
 * an answer before they sleep: they show what a wait costs that is not short, and on one processor.
 */
#include "peers/peer.h"

#include <duplex.h>

#include <errno.h>
#include <stdlib.h>

struct setting {
    dx_channel_type type;
    int spin_us;
};

struct pair {
    dx_process *process;
    dx_channel *channel;
    unsigned char *buffer;
};

static int receive_checked(dx_channel *channel, dx_message *message, size_t size, uint64_t number)
{
    int got = dx_recv(channel, message, DX_FOREVER);

    if (got <= 0)
        return got < 0 ? got : -EPIPE;
    return message->size == size && message_check(message->data, size, number) ? 0 : -EBADMSG;
}

static int phase(void *context, const struct task *task, uint64_t count)
{
    static const unsigned char acknowledgement[ACKNOWLEDGEMENT_SIZE];
    dx_channel *channel = context;
    dx_message message;

    for (uint64_t i = 0; i < count; i++) {
        int error = receive_checked(channel, &message, task->size, i);

        if (error == 0 && task->work == WORK_ROUND_TRIP)
            error = dx_send(channel, message.data, message.size, DX_FOREVER);
        if (error < 0)
            return error;
    }
    if (task->work == WORK_ROUND_TRIP)
        return 0;
    return dx_send(channel, acknowledgement, sizeof(acknowledgement), DX_FOREVER);
}

/* The child of WORK_CALLS: answer each request with its own bytes. */
static int answer_phase(void *context, const struct task *task, uint64_t count)
{
    dx_channel *channel = context;
    dx_message message;
    int error = 0;

    if (task->corked)
        dx_cork(channel);
    for (uint64_t i = 0; i < count && error == 0; i++) {
        error = receive_checked(channel, &message, task->size, i);
        if (error == 0)
            error = dx_reply(channel, message.id, message.data, message.size, DX_FOREVER);
    }
    return error < 0 ? error : dx_flush(channel, DX_FOREVER);
}

static int child(dx_channel *parent, void *argument)
{
    const struct trial *trial = argument;

    return side_serve(trial, trial->task.work == WORK_CALLS ? answer_phase : phase, parent) < 0;
}

static const char *unavailable(const struct peer *peer, const struct task *task)
{
    (void)peer;
    (void)task;
    return NULL;
}

static int open_pair(const struct peer *peer, const struct trial *trial, void **ret)
{
    const struct setting *setting = peer->argument;
    dx_process_options options = {
        .channel = {.type = setting->type, .spin_us = setting->spin_us},
        .die_with_parent = true,
    };
    struct pair *pair = calloc(1, sizeof(*pair));
    int error = -ENOMEM;

    if (!pair)
        return -ENOMEM;
    pair->buffer = calloc(1, trial->task.size);
    if (pair->buffer)
        error = dx_fork(&pair->process, child, (void *)trial, &options);
    if (error < 0) {
        free(pair->buffer);
        free(pair);
        return error;
    }
    pair->channel = dx_process_channel(pair->process);
    *ret = pair;
    return 0;
}

static int round_trip(void *context, size_t size, uint64_t count)
{
    struct pair *pair = context;
    dx_message message;

    for (uint64_t i = 0; i < count; i++) {
        int error;

        message_stamp(pair->buffer, size, i);
        error = dx_send(pair->channel, pair->buffer, size, DX_FOREVER);
        if (error == 0)
            error = receive_checked(pair->channel, &message, size, i);
        if (error < 0)
            return error;
    }
    return 0;
}

static int one_way(void *context, size_t size, uint64_t count, bool corked)
{
    struct pair *pair = context;
    dx_message message;
    int got;

    if (corked)
        dx_cork(pair->channel);
    for (uint64_t i = 0; i < count; i++) {
        int error;

        message_stamp(pair->buffer, size, i);
        error = dx_send(pair->channel, pair->buffer, size, DX_FOREVER);
        if (error < 0)
            return error;
    }
    if (corked) {
        int error = dx_flush(pair->channel, DX_FOREVER);

        if (error < 0)
            return error;
    }
    got = dx_recv(pair->channel, &message, DX_FOREVER);
    if (got <= 0)
        return got < 0 ? got : -EPIPE;
    return message.size == ACKNOWLEDGEMENT_SIZE ? 0 : -EBADMSG;
}

static int calls(void *context, size_t size, uint64_t count, bool corked)
{
    struct pair *pair = context;
    dx_message message;
    uint64_t asked = 0;
    int error = 0;

    if (corked)
        dx_cork(pair->channel);
    for (uint64_t answered = 0; answered < count && error == 0;) {
        while (asked < count && asked < answered + CALLS_OPEN && error == 0) {
            message_stamp(pair->buffer, size, asked++);
            error = dx_call_start(pair->channel, pair->buffer, size, NULL, DX_FOREVER);
        }
        if (error == 0)
            error = receive_checked(pair->channel, &message, size, answered++);
        if (error == 0 && message.kind != DX_REPLY)
            error = -EBADMSG;
    }
    return error;
}

static int close_pair(void *context)
{
    struct pair *pair = context;
    dx_exit end;
    int error = dx_process_wait(pair->process, &end, 1000);

    if (error == 0 && (end.kind != DX_EXIT_CODE || end.code != 0))
        error = -ECONNABORTED;
    dx_process_close(pair->process);
    free(pair->buffer);
    free(pair);
    return error;
}

const struct peer peer_duplex_stream = {
    .name = "duplex_stream",
    .about = "dx_fork(), DX_STREAM (the default)",
    .argument = &(const struct setting){.type = DX_STREAM},
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .calls = calls,
    .close = close_pair,
};

const struct peer peer_duplex_seqpacket = {
    .name = "duplex_seqpacket",
    .about = "dx_fork(), DX_SEQPACKET",
    .argument = &(const struct setting){.type = DX_SEQPACKET},
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .calls = calls,
    .close = close_pair,
};

const struct peer peer_duplex_dgram = {
    .name = "duplex_dgram",
    .about = "dx_fork(), DX_DGRAM",
    .argument = &(const struct setting){.type = DX_DGRAM},
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .calls = calls,
    .close = close_pair,
};

const struct peer peer_duplex_stream_asleep = {
    .name = "duplex_stream_asleep",
    .about = "the same as duplex_stream, with spin_us -1",
    .argument = &(const struct setting){.type = DX_STREAM, .spin_us = -1},
    .round_trips_only = true,
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .close = close_pair,
};

const struct peer peer_duplex_seqpacket_asleep = {
    .name = "duplex_seqpacket_asleep",
    .about = "the same as duplex_seqpacket, with spin_us -1",
    .argument = &(const struct setting){.type = DX_SEQPACKET, .spin_us = -1},
    .round_trips_only = true,
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .close = close_pair,
};
