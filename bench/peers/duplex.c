/* SPDX-License-Identifier: MIT */
/*
 * duplex: dx_fork(), then dx_send() and dx_recv() of whole messages, on each type of channel, with
 * all options at their defaults. Where these allow a fast lane, the pair converses until it has
 * begun before anything is counted; the rows "socket" stay on the socket. "reserve" writes its
 * messages in place with dx_reserve() and dx_commit(), and trusts its peer to receive in place, where
 * nobody reads more of them than the first and the last byte.
 * Corked, the sender brackets its messages by dx_cork() and dx_flush(); otherwise each message
 * leaves at once. Calls are dx_call_start() and dx_reply(), corked on both sides or on neither. The
 * rows "asleep" never look for an answer before they sleep: they show what a wait costs that is not
 * short, and on one processor.
 */
#include "peers/peer.h"

#include <duplex.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Until the fast lane has begun: it takes a few dozen messages. */
enum { SETTLE_ROUNDS_MAX = 20000, SETTLE_S = 2 };

struct setting {
    dx_channel_type type;
    int spin_us;
    bool socket_only;
    bool reserve;
};

struct pair {
    const struct setting *setting;
    const struct trial *trial;
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

/* What is said before the work: whether to go on so, and whether the fast lane has begun. */
struct settle {
    bool go_on;
    bool fast;
};

static bool has_fast_lane(const struct setting *setting)
{
    return !setting->socket_only && setting->type != DX_DGRAM;
}

static int receive_settle(dx_channel *channel, struct settle *ret)
{
    dx_message message;
    int got = dx_recv(channel, &message, DX_FOREVER);

    if (got <= 0)
        return got < 0 ? got : -EPIPE;
    if (message.size != sizeof(*ret))
        return -EBADMSG;
    memcpy(ret, message.data, sizeof(*ret));
    return 0;
}

/* In the child. */
static int settle_with_parent(dx_channel *channel)
{
    struct settle settle;
    int error;

    do {
        error = receive_settle(channel, &settle);
        settle.fast = dx_channel_is_fast(channel) == 1;
        if (error == 0)
            error = dx_send(channel, &settle, sizeof(settle), DX_FOREVER);
    } while (error == 0 && settle.go_on);
    return error;
}

static int settle_with_child(dx_channel *channel, const struct trial *trial)
{
    struct settle settle = {.go_on = true};
    double stop = side_now() + SETTLE_S;
    bool fast = false;
    unsigned rounds = 0;

    while (settle.go_on) {
        int error;

        settle.go_on = !fast;
        error = dx_send(channel, &settle, sizeof(settle), DX_FOREVER);
        if (error == 0)
            error = receive_settle(channel, &settle);
        if (error < 0)
            return error;
        fast = settle.fast && dx_channel_is_fast(channel) == 1;
        if (!fast && (++rounds == SETTLE_ROUNDS_MAX || side_now() > stop)) {
            trial_fails(trial, "the fast lane has not begun after %u round trips", rounds);
            return -EOPNOTSUPP;
        }
    }
    return 0;
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
    const struct pair *pair = argument;
    const struct trial *trial = pair->trial;
    int error = side_place(trial->task.placement, true);

    if (error == 0 && has_fast_lane(pair->setting))
        error = settle_with_parent(parent);
    if (error == 0)
        error = side_serve(trial, trial->task.work == WORK_CALLS ? answer_phase : phase, parent);
    return error < 0;
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
        .channel = {.type = setting->type,
                    .spin_us = setting->spin_us,
                    .socket_only = setting->socket_only,
                    .trust_peer = setting->reserve},
        .die_with_parent = true,
    };
    struct pair *pair = calloc(1, sizeof(*pair));
    int error = -ENOMEM;

    if (!pair)
        return -ENOMEM;
    pair->setting = setting;
    pair->trial = trial;
    pair->buffer = calloc(1, trial->task.size);
    if (pair->buffer)
        error = dx_fork(&pair->process, child, pair, &options);
    if (error < 0) {
        free(pair->buffer);
        free(pair);
        return error;
    }
    pair->channel = dx_process_channel(pair->process);
    *ret = pair;
    return has_fast_lane(setting) ? settle_with_child(pair->channel, trial) : 0;
}

/* Make the message with this number, and send it. */
static int send_new(struct pair *pair, size_t size, uint64_t number)
{
    void *place;
    int error;

    if (!pair->setting->reserve) {
        message_stamp(pair->buffer, size, number);
        return dx_send(pair->channel, pair->buffer, size, DX_FOREVER);
    }
    error = dx_reserve(pair->channel, size, &place, DX_FOREVER);
    if (error < 0)
        return error;
    /* It is written once, where the others write it and have it copied from there. */
    memset(place, (int)number, size);
    message_stamp(place, size, number);
    return dx_commit(pair->channel, size);
}

static int round_trip(void *context, size_t size, uint64_t count)
{
    struct pair *pair = context;
    dx_message message;

    for (uint64_t i = 0; i < count; i++) {
        int error = send_new(pair, size, i);

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
        int error = send_new(pair, size, i);

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

/* Wait for a word that does not come. */
static int idle(void *context, double seconds)
{
    struct pair *pair = context;
    dx_message message;
    int got = dx_recv(pair->channel, &message, (int)(seconds * 1000));

    return got == -ETIMEDOUT ? 0 : got < 0 ? got : -EBADMSG;
}

static int close_pair(void *context)
{
    struct pair *pair = context;
    bool fast = dx_channel_is_fast(pair->channel) == 1;
    dx_exit end;
    int error = dx_process_wait(pair->process, &end, 1000);

    if (error == 0 && (end.kind != DX_EXIT_CODE || end.code != 0))
        error = -ECONNABORTED;
    if (error == 0 && fast != has_fast_lane(pair->setting)) {
        trial_fails(pair->trial, fast ? "it has left the socket" : "it has left the fast lane");
        error = -EIO;
    }
    dx_process_close(pair->process);
    free(pair->buffer);
    free(pair);
    return error;
}

const struct peer peer_duplex_stream = {
    .name = "duplex_stream",
    .about = "dx_fork(), DX_STREAM (the default): by the fast lane",
    .argument = &(const struct setting){.type = DX_STREAM},
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .calls = calls,
    .idle = idle,
    .close = close_pair,
};

const struct peer peer_duplex_stream_reserve = {
    .name = "duplex_stream_reserve",
    .about = "the same, in place: dx_reserve(), dx_commit(), trust_peer",
    .argument = &(const struct setting){.type = DX_STREAM, .reserve = true},
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .close = close_pair,
};

const struct peer peer_duplex_stream_socket = {
    .name = "duplex_stream_socket",
    .about = "the same as duplex_stream, with socket_only",
    .argument = &(const struct setting){.type = DX_STREAM, .socket_only = true},
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .calls = calls,
    .idle = idle,
    .close = close_pair,
};

const struct peer peer_duplex_seqpacket = {
    .name = "duplex_seqpacket",
    .about = "dx_fork(), DX_SEQPACKET: by the fast lane",
    .argument = &(const struct setting){.type = DX_SEQPACKET},
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .calls = calls,
    .idle = idle,
    .close = close_pair,
};

const struct peer peer_duplex_seqpacket_socket = {
    .name = "duplex_seqpacket_socket",
    .about = "the same as duplex_seqpacket, with socket_only",
    .argument = &(const struct setting){.type = DX_SEQPACKET, .socket_only = true},
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .calls = calls,
    .close = close_pair,
};

const struct peer peer_duplex_dgram = {
    .name = "duplex_dgram",
    .about = "dx_fork(), DX_DGRAM, which has no fast lane",
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

const struct peer peer_duplex_stream_socket_asleep = {
    .name = "duplex_stream_socket_asleep",
    .about = "the same as duplex_stream_socket, with spin_us -1",
    .argument = &(const struct setting){.type = DX_STREAM, .spin_us = -1, .socket_only = true},
    .round_trips_only = true,
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .close = close_pair,
};
