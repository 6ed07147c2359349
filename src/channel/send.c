/* SPDX-License-Identifier: MIT */
/*
 * Sending: from the user's memory to the kernel, all of a message or nothing.
 *
 * A message goes out in one system call, straight from where the user has it. Only when the kernel
 * cannot take all of it before the deadline is the rest copied to the outbox: a message that has
 * begun cannot be taken back. What lies in the outbox leaves before anything else.
 */
#include "channel/internal.h"
#include "channel/quick.h"

#include "os/os.h"
#include "wire/native.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum {
    /* Smaller ones are copied when they are collected; larger ones are worth a call of their own. */
    COLLECT_MAX = 16 << 10,
};

/* Whether the receiving side has found out that sending is over. */
static bool hopeless(dx_channel *channel)
{
    return atomic_load_explicit(&channel->broken, memory_order_relaxed) ||
           atomic_load_explicit(&channel->peer_gone, memory_order_relaxed);
}

/* Nothing can leave any more. A receiver may have found out, who had no reason to say why. */
static int over(dx_channel *channel)
{
    if (channel->out.error == -EPIPE)
        dxi_channel_fail(channel, -EPIPE, "the peer has gone, or takes nothing more");
    else if (channel->out.error != -EPROTO)
        dxi_channel_fail(channel, channel->out.error,
                         "a message before was cut off, and nothing may follow it");
    return channel->out.error;
}

int dxi_channel_check_open(dx_channel *channel)
{
    if (atomic_load_explicit(&channel->broken, memory_order_relaxed)) {
        if (channel->write_medium > DXI_MEDIUM_SOCKET)
            dxi_channel_stop_writing(channel);
        return -EPROTO;
    }
    if (channel->out.error < 0)
        return over(channel);
    if (channel->out.ended)
        return dxi_channel_fail(channel, -ESHUTDOWN, "nothing can be sent after dx_channel_end()");
    if (atomic_load_explicit(&channel->peer_gone, memory_order_relaxed))
        return dxi_channel_fail(channel, -EPIPE, "the peer has gone, or takes nothing more");
    if (channel->out.reserved != NULL)
        return dxi_channel_fail(channel, -EBUSY, "what dx_reserve() gave is still to be committed");
    return 0;
}

/* The limits of both sides. The peer's are known when its HELLO has come; nobody waits for it. */
int dxi_channel_check_limits(dx_channel *channel, const dx_message *message)
{
    if (message->size > channel->message_limit)
        return dxi_channel_fail(channel, -EMSGSIZE, "a message of %zu bytes; the limit is %zu",
                                message->size, channel->message_limit);
    if (channel->framing->size_max > 0 && message->size > channel->framing->size_max)
        return dxi_channel_fail(channel, -EMSGSIZE,
                                "a message of %zu bytes; the framing '%s' carries at most %" PRIu64,
                                message->size, channel->framing->name, channel->framing->size_max);
    if (message->descriptor_count > DX_DESCRIPTORS_MAX)
        return dxi_channel_fail(channel, -EMSGSIZE, "%zu descriptors; a message carries at most %d",
                                message->descriptor_count, DX_DESCRIPTORS_MAX);
    if (message->descriptor_count > 0 && channel->write_medium != DXI_MEDIUM_UNIX)
        return dxi_channel_fail(channel, -EOPNOTSUPP,
                                "descriptors travel over sockets of AF_UNIX only, and this channel "
                                "writes to %s",
                                channel->write_medium == DXI_MEDIUM_SOCKET ? "another socket"
                                : channel->write_medium == DXI_MEDIUM_PIPE ? "a pipe"
                                                                           : "a file");
    if (message->descriptor_count > 0 && !channel->framing->carries_descriptors)
        return dxi_channel_fail(channel, -EOPNOTSUPP, "the framing '%s' carries no descriptors",
                                channel->framing->name);
    if (!channel->framing->greets)
        return 0;
    /* Pairs with the release in receive.c: what the peer said besides is there when this is. */
    size_t peer_limit = atomic_load_explicit(&channel->peer_limit, memory_order_acquire);

    if (peer_limit == 0 && (message->descriptor_count > 0 || message->size > COLLECT_MAX)) {
        dxi_channel_take_in(channel);
        peer_limit = atomic_load_explicit(&channel->peer_limit, memory_order_acquire);
    }
    if (peer_limit == 0)
        return 0;
    if (message->size > peer_limit)
        return dxi_channel_fail(channel, -EMSGSIZE,
                                "a message of %zu bytes; the peer accepts at most %zu",
                                message->size, peer_limit);
    unsigned descriptors = atomic_load_explicit(&channel->peer_descriptors, memory_order_relaxed);

    if (message->descriptor_count > 0 && descriptors == 0)
        return dxi_channel_fail(channel, -EPERM, "the peer accepts no descriptors");
    if (message->descriptor_count > descriptors)
        return dxi_channel_fail(channel, -EMSGSIZE,
                                "%zu descriptors; the peer accepts at most %u with a message",
                                message->descriptor_count, descriptors);
    return 0;
}

/* Put a whole small frame into the outbox. 1 if that was possible, 0 if it must be sent now. */
static int collect(dx_channel *channel, const struct dxi_letter *letter)
{
    struct dxi_outbox *out = &channel->out;
    struct dxi_envelope envelope;
    int error = channel->framing->encode(letter, &envelope);

    if (error < 0)
        return error;
    size_t size = envelope.header_size + letter->size + envelope.trailer_size;

    if (dxi_outbox_size(out) + size > out->coalesce ||
        (out->packet_limit > 0 && size > out->packet_limit))
        return 0;
    error = dxi_outbox_reserve(out, size);
    if (error < 0)
        return dxi_channel_fail(channel, error, "no memory to collect messages");
    dxi_outbox_append_frame(out, &envelope, letter);
    atomic_store_explicit(&channel->out_pending, true, memory_order_relaxed);
    return 1;
}

int dxi_channel_leave(dx_channel *channel, const struct dxi_letter *letter)
{
    struct dxi_outbox *out = &channel->out;
    struct dxi_envelope envelope;
    int error = channel->framing->encode(letter, &envelope);

    if (error == 0)
        error =
            dxi_outbox_reserve(out, envelope.header_size + letter->size + envelope.trailer_size);
    if (error < 0)
        return error;
    dxi_outbox_append_frame(out, &envelope, letter);
    atomic_store_explicit(&channel->out_pending, true, memory_order_relaxed);
    return 0;
}

int dxi_channel_send(dx_channel *channel, const dx_message *message, enum dxi_kind kind,
                     uint64_t id, struct dxi_patience *patience)
{
    struct dxi_parting parting;
    struct dxi_letter letter = {
        .data = message->data,
        .size = message->size,
        .kind = (uint8_t)kind,
        .descriptors = (uint16_t)message->descriptor_count,
        .id = id,
    };
    int status = dxi_channel_check_open(channel);

    /* An error has a limit of its own, which every peer accepts. */
    if (status == 0 && kind != DXI_KIND_ERROR)
        status = dxi_channel_check_limits(channel, message);
    if (status == 0 && channel->framing == &dxi_framing_node)
        status = dxi_node_prepare(channel, message, &letter, patience);
    if (status < 0)
        return status;
    if (channel->lane.quick && message->descriptor_count == 0 && kind <= DXI_KIND_REPLY &&
        dxi_lane_send_plain(channel, message->data, message->size, (uint8_t)kind, id))
        return 0;
    if (channel->out.corked && message->descriptor_count == 0 && message->size < COLLECT_MAX) {
        status = collect(channel, &letter);
        if (status > 0)
            return 0;
    }
    if (status == 0)
        status = dxi_parting_begin(&parting, channel->framing, &letter, channel->out.packet_limit);
    if (status == -EINVAL)
        dxi_channel_fail(channel, status, "the framing '%s' cannot carry these bytes",
                         channel->framing->name);
    if (status == 0)
        status = dxi_channel_transmit(channel, &parting, message->descriptors,
                                      message->descriptor_count, patience);
    if (letter.kind == DXI_KIND_NODE_HANDLE)
        dxi_node_sent(channel, status == 0);
    return status;
}

/* The kind of frame for a message that is sent as it is. */
static int frame_kind(dx_channel *channel, const dx_message *message, enum dxi_kind *ret)
{
    switch (message->kind) {
    case DX_MESSAGE:
        *ret = DXI_KIND_MESSAGE;
        return 0;
    case DX_FLUSH:
        *ret = DXI_KIND_FLUSH;
        return 0;
    case DX_DELIMITER:
        *ret = DXI_KIND_DELIMITER;
        return 0;
    case DX_RESPONSE_END:
        *ret = DXI_KIND_RESPONSE_END;
        return 0;
    default:
        return dxi_channel_fail(channel, -EINVAL,
                                "a message of kind %d; requests and answers are sent by dx_call(), "
                                "dx_reply() and theirs",
                                (int)message->kind);
    }
}

static int send_locked(dx_channel *channel, const dx_message *message, int timeout_ms)
{
    struct dxi_patience patience = {.timeout_ms = timeout_ms};
    enum dxi_kind kind = DXI_KIND_MESSAGE;
    int status = frame_kind(channel, message, &kind);

    return status < 0 ? status : dxi_channel_send(channel, message, kind, 0, &patience);
}

/* The peer has them now. A received message that is passed on must not close them again. */
void dxi_channel_hand_over(const dx_message *message)
{
    int *descriptors = message->descriptors;

    for (size_t i = 0; i < message->descriptor_count; i++) {
        int fd = descriptors[i];

        if (fd < 0)
            continue;
        dxi_os->close(fd);
        for (size_t j = i; j < message->descriptor_count; j++)
            if (descriptors[j] == fd)
                descriptors[j] = -1;
    }
}

int dxi_channel_check_message(dx_channel *channel, const dx_message *message)
{
    if (message == NULL || (message->data == NULL && message->size > 0) ||
        (message->descriptors == NULL && message->descriptor_count > 0))
        return dxi_channel_fail(channel, -EINVAL, "a message without its bytes or descriptors");
    return 0;
}

int dx_send_message(dx_channel *channel, const dx_message *message, int timeout_ms)
{
    int status = dxi_channel_check(channel);

    if (status == 0)
        status = dxi_channel_check_message(channel, message);
    if (status < 0)
        return status;
    dxi_lock(&channel->out_lock);
    status = send_locked(channel, message, timeout_ms);
    dxi_unlock(&channel->out_lock);
    if (status == 0)
        dxi_channel_hand_over(message);
    return status;
}

/* With the lock, and with all that the quick way leaves out. */
static __attribute__((noinline)) int send_long(dx_channel *channel, const void *data, size_t size,
                                               int timeout_ms)
{
    dx_message message = {.data = data, .size = size};
    int status = dxi_channel_check(channel);

    if (status < 0)
        return status;
    if (data == NULL && size > 0)
        return dxi_channel_fail(channel, -EINVAL, "a message without its bytes");
    dxi_lock(&channel->out_lock);
    if (!dxi_quick_send(channel, data, size, DXI_KIND_MESSAGE, 0))
        status = send_locked(channel, &message, timeout_ms);
    dxi_unlock(&channel->out_lock);
    return status;
}

int dx_send(dx_channel *channel, const void *data, size_t size, int timeout_ms)
{
    if (dxi_single_threaded() && dxi_channel_check(channel) == 0 && (data != NULL || size == 0) &&
        dxi_quick_send(channel, data, size, DXI_KIND_MESSAGE, 0))
        return 0;
    return send_long(channel, data, size, timeout_ms);
}

void dxi_channel_note_plain(dx_channel *channel)
{
    struct dxi_outbox *out = &channel->out;
    bool ring = channel->lane.course == DXI_COURSE_RING;

    out->plain = out->corked && channel->framing == &dxi_framing_native && !out->ended &&
                 out->error == 0 && channel->lane.course != DXI_COURSE_LEAVING &&
                 out->reserved == NULL;
    /* Into the ring in smaller portions, so that both sides copy at the same time. */
    out->coalesce = ring ? (size_t)DXI_COALESCE_RING : (size_t)DXI_COALESCE;
    out->plain_limit = COLLECT_MAX - 1;
    if (out->plain_limit > channel->message_limit)
        out->plain_limit = channel->message_limit;
    if (out->packet_limit > 0 && out->plain_limit > out->packet_limit - DXI_HEADER_SIZE)
        out->plain_limit = out->packet_limit - DXI_HEADER_SIZE;
}

int dx_cork(dx_channel *channel)
{
    int error = dxi_channel_check(channel);

    if (error < 0)
        return error;
    dxi_lock(&channel->out_lock);
    channel->out.corked = true;
    dxi_channel_note_plain(channel);
    dxi_unlock(&channel->out_lock);
    return 0;
}

static int flush_locked(dx_channel *channel, struct dxi_patience *patience)
{
    channel->out.corked = false;
    channel->out.plain = false;
    if (atomic_load_explicit(&channel->broken, memory_order_relaxed))
        return -EPROTO;
    if (channel->out.lost)
        return over(channel);
    if (!atomic_load_explicit(&channel->out_pending, memory_order_relaxed))
        return 0;
    return dxi_channel_transmit(channel, NULL, NULL, 0, patience);
}

int dx_flush(dx_channel *channel, int timeout_ms)
{
    struct dxi_patience patience = {.timeout_ms = timeout_ms};
    int status = dxi_channel_check(channel);

    if (status < 0)
        return status;
    dxi_lock(&channel->out_lock);
    status = flush_locked(channel, &patience);
    dxi_unlock(&channel->out_lock);
    return status;
}

/* In order behind everything else, and with the socket left open for wake-ups. */
static int say_the_end_by_ring(dx_channel *channel, struct dxi_patience *patience)
{
    struct dxi_letter end = {.kind = DXI_KIND_END};
    struct dxi_parting parting;

    /* The peer would take it for the rest of a message that was cut off. */
    if (channel->out.error < 0)
        return over(channel);
    int status = dxi_parting_begin(&parting, channel->framing, &end, 0);

    return status < 0 ? status : dxi_channel_transmit(channel, &parting, NULL, 0, patience);
}

/* Tell the peer that nothing more will come. */
static int say_the_end(dx_channel *channel, struct dxi_patience *patience)
{
    int status;

    if (channel->lane.course == DXI_COURSE_RING)
        return say_the_end_by_ring(channel, patience);
    if (channel->type != SOCK_DGRAM) {
        status = dxi_channel_stop_writing(channel);
        if (status == 0 || status == -ENOTCONN)
            return 0;
        return dxi_channel_fail(channel, status, "cannot say the end: %s", dx_error_text(status));
    }
    /* The kernel tells a datagram peer nothing: an empty packet is the end, as no frame is empty.
     */
    for (;;) {
        dxi_channel_take_in_datagrams(channel);
        ssize_t sent = dxi_os->send(channel->write_fd, NULL, 0, NULL, 0);

        if (sent >= 0 || sent == -ECONNREFUSED || sent == -ECONNRESET || sent == -ENOTCONN)
            return 0;
        status = dxi_channel_refused(channel, sent);
        if (status == 0)
            status = dxi_wait_to_send(channel, patience);
        if (status < 0)
            return status;
    }
}

static int end_locked(dx_channel *channel, int timeout_ms)
{
    struct dxi_patience patience = {.timeout_ms = timeout_ms};

    if (channel->out.ended)
        return 0;
    dxi_channel_unreserve(channel);
    int status;

    /*
     * While that left, the lane may have got a word to say, which an end of the socket would cut off. One
     * that comes later is dropped.
     */
    do
        status = flush_locked(channel, &patience);
    while (status == 0 && dxi_outbox_size(&channel->out) > 0);
    if (status == 0)
        status = say_the_end(channel, &patience);
    if (status == 0)
        channel->out.ended = true;
    dxi_lane_note_quick(channel);
    dxi_channel_note_wanted(channel, status);
    return status;
}

int dx_channel_end(dx_channel *channel, int timeout_ms)
{
    int status = dxi_channel_check(channel);

    if (status < 0)
        return status;
    dxi_lock(&channel->out_lock);
    status = end_locked(channel, timeout_ms);
    dxi_unlock(&channel->out_lock);
    return status;
}

bool dxi_channel_end_now(dx_channel *channel)
{
    struct dxi_patience none = {.timeout_ms = DX_NOW};

    dxi_channel_flush_now(channel);
    if (!dxi_trylock(&channel->out_lock))
        return false;
    dxi_channel_unreserve(channel);
    /* What was accepted before goes first; the caller asks again. */
    if (!channel->out.ended && dxi_outbox_size(&channel->out) == 0 &&
        say_the_end(channel, &none) == 0)
        channel->out.ended = true;
    dxi_channel_note_plain(channel);
    dxi_lane_note_quick(channel);
    /* What the kernel refused may be the wake-up of a peer that is to hear of it. */
    bool said = channel->out.error < 0 || (channel->out.ended && !dxi_channel_must_retry(channel));

    dxi_unlock(&channel->out_lock);
    return said;
}

void dxi_channel_say_goodbye(dx_channel *channel)
{
    int buffer = 0;

    dxi_channel_flush_now(channel);
    if (channel->type != SOCK_DGRAM || channel->out.ended || hopeless(channel))
        return;
    dxi_channel_take_in_datagrams(channel);
    /* There is no later: a full buffer is made larger for this one packet. The kernel doubles it. */
    if (dxi_os->send(channel->write_fd, NULL, 0, NULL, 0) == -EAGAIN &&
        dxi_os->socket_get(channel->write_fd, SO_SNDBUF, &buffer) == 0 &&
        dxi_os->socket_set(channel->write_fd, SO_SNDBUF, buffer) == 0)
        (void)dxi_os->send(channel->write_fd, NULL, 0, NULL, 0);
}
