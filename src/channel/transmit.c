/* SPDX-License-Identifier: MIT */
/*
 * What is on its way out: from the outbox and the user's memory to the kernel, and what becomes of it
 * when the kernel does not take it.
 *
 * Of a message that has begun when the deadline passes, or when the kernel has no more memory, the rest is
 * copied to the outbox: it cannot be taken back. What lies in the outbox leaves before anything else.
 */
#include "channel/internal.h"

#include "os/os.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum {
    /* So much is copied into one piece, which costs less than to have the kernel gather it. */
    GATHER_MAX = 512,
    /* How long a receiver in another thread may take to wake, and how often to look for it. */
    RECEIVER_WAKES_NS = 10 * 1000 * 1000,
    RECEIVER_LOOK_NS = 100 * 1000,
    /* While it is open whether there will be a fast lane, so many sends go between two looks. */
    LANE_LOOKS = 16,
};

void dxi_channel_note_due(dx_channel *channel, _Atomic unsigned *count)
{
    atomic_fetch_add_explicit(count, 1, memory_order_seq_cst);
    atomic_store_explicit(&channel->out_pending, true, memory_order_seq_cst);
}

/* What the channel itself has to say, between two messages. */
static void write_due(dx_channel *channel)
{
    /* By the socket. The peer may wait for it, and the user for the peer, before he commits. */
    (void)dxi_lane_pay_wake(channel);
    /* In the ring the user writes now where it would have to stand. */
    if (channel->out.reserved != NULL && channel->lane.course == DXI_COURSE_RING)
        return;
    dxi_calls_write_due(channel);
    if (dxi_node_is_due(channel))
        dxi_node_write_due(channel);
    dxi_lane_write_due(channel);
}

/* Whether something was written to the ring that the peer was not shown. */
static bool unpublished(const dx_channel *channel)
{
    return channel->lane.course == DXI_COURSE_RING &&
           channel->lane.out.tail != channel->lane.out.published;
}

/* What is left, and whether it is left because the kernel refused it. */
static void note_pending(dx_channel *channel, bool refused)
{
    if (channel->out.capacity > 0 && dxi_outbox_size(&channel->out) == 0)
        dxi_outbox_rest(&channel->out);
    /* In this order, see dxi_channel_note_due(). */
    atomic_store_explicit(&channel->out_pending, false, memory_order_seq_cst);
    bool owes_wake = dxi_lane_owes_wake(channel);

    atomic_store_explicit(&channel->out_refused, refused || owes_wake, memory_order_relaxed);
    if (dxi_outbox_size(&channel->out) > 0 || unpublished(channel) || dxi_node_is_due(channel) ||
        owes_wake || atomic_load_explicit(&channel->lane.due, memory_order_seq_cst) > 0 ||
        atomic_load_explicit(&channel->calls.due, memory_order_seq_cst) > 0)
        atomic_store_explicit(&channel->out_pending, true, memory_order_seq_cst);
}

/* An event loop must learn when it is worth trying again. */
void dxi_channel_note_wanted(dx_channel *channel, int error)
{
    atomic_store_explicit(&channel->out_wanted, error == -ETIMEDOUT || error == -EDEADLK,
                          memory_order_relaxed);
}

int dxi_channel_stop_writing(dx_channel *channel)
{
    int fd = channel->write_fd;

    if (channel->write_medium <= DXI_MEDIUM_SOCKET)
        return dxi_os->shutdown(fd, SHUT_WR);
    /* A terminal is read and written by one descriptor, and has no half that could be closed. */
    if (fd < 0 || fd == channel->read_fd)
        return 0;
    channel->write_fd = -1;
    dxi_os->close(fd);
    return 0;
}

/* Nothing can leave any more: what lies in the outbox never will. */
static void abandon(dx_channel *channel, int error)
{
    channel->out.error = error;
    channel->out.plain = false;
    channel->lane.quick = false;
    channel->out.lost =
        channel->out.lost || dxi_outbox_size(&channel->out) > channel->out.lane_bytes;
    dxi_outbox_sent(&channel->out, dxi_outbox_size(&channel->out));
    if (channel->write_medium > DXI_MEDIUM_SOCKET)
        dxi_channel_stop_writing(channel);
}

/* What the kernel answered to a send that moved nothing. 0 means: wait, then try again. */
int dxi_channel_refused(dx_channel *channel, ssize_t status)
{
    /* The socket was shut down by ourselves. */
    if (atomic_load_explicit(&channel->broken, memory_order_relaxed)) {
        abandon(channel, -EPROTO);
        return -EPROTO;
    }
    switch (status) {
    case -EAGAIN:
        return 0;
    case -ECONNRESET:
    case -ECONNREFUSED:
    case -ENOTCONN:
    case -ETIMEDOUT: /* of TCP, and so the next three */
    case -EHOSTUNREACH:
    case -ENETUNREACH:
    case -ENETRESET:
        /* Pairs with the acquire in receive.c: all that the peer said is there to be read. */
        atomic_store_explicit(&channel->peer_dead, true, memory_order_release);
        /* fall through */
    case -EPIPE:
        atomic_store_explicit(&channel->peer_gone, true, memory_order_relaxed);
        abandon(channel, -EPIPE);
        return dxi_channel_fail(channel, -EPIPE, "the peer has gone, or takes nothing more");
    case -EPERM:
        return dxi_channel_fail(channel, -EPERM, "the peer accepts no descriptors");
    case -EBADF:
        return dxi_channel_fail(channel, -EBADF, "a descriptor that is to be sent is not open");
    case -ETOOMANYREFS:
        return dxi_channel_fail(channel, -ETOOMANYREFS,
                                "too many descriptors of this user are in flight");
    default:
        return dxi_channel_fail(channel, (int)status, "cannot send: %s",
                                dx_error_text((int)status));
    }
}

/*
 * A datagram sent to a peer that has closed its end makes the kernel throw away what that peer had
 * said and we have not read (Linux, af_unix). So that is read first: by a receiver that waits, and
 * is being woken, or else by us.
 */
void dxi_channel_take_in_datagrams(dx_channel *channel)
{
    uint64_t end = 0;

    while (dxi_os->queued(channel->read_fd) > 0 &&
           dxi_channel_take_in(channel) == DXI_TAKING_OTHER) {
        uint64_t now = dxi_os->now_ns();

        if (end == 0)
            end = now + RECEIVER_WAKES_NS;
        if (now >= end) {
            /* It gets no processor. What the kernel would throw away is lost for ever. */
            dxi_channel_take_in_anyway(channel);
            break;
        }
        dxi_os->poll(NULL, 0, now + RECEIVER_LOOK_NS);
    }
}

static ssize_t send_parts(dx_channel *channel, struct iovec *parts, size_t count,
                          const int *descriptors, size_t descriptor_count)
{
    uint8_t gathered[GATHER_MAX];
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += parts[i].iov_len;
    if (count > 1 && size <= GATHER_MAX) {
        uint8_t *end = gathered;

        for (size_t i = 0; i < count; i++) {
            memcpy(end, parts[i].iov_base, parts[i].iov_len);
            end += parts[i].iov_len;
        }
        parts[0] = (struct iovec){.iov_base = gathered, .iov_len = size};
        count = 1;
    }
    int fd = channel->write_fd;

    dxi_lane_note_move(channel);
    if (channel->write_medium <= DXI_MEDIUM_SOCKET)
        return dxi_os->send(fd, parts, count, descriptors, descriptor_count);
    /* A socket refuses once it was shut down; a pipe would go on taking. */
    if (fd < 0 || atomic_load_explicit(&channel->broken, memory_order_relaxed))
        return -EPIPE;
    return dxi_os->write(fd, parts, count, channel->write_medium == DXI_MEDIUM_PIPE);
}

/* Send once: from the outbox, and if that is then empty and this is a stream, the message behind
 * it. */
static ssize_t send_once(dx_channel *channel, struct dxi_parting *parting, const int *descriptors,
                         size_t descriptor_count)
{
    struct dxi_outbox *out = &channel->out;
    struct iovec parts[4];
    size_t count = 0;
    const struct dxi_lane *lane = &channel->lane;
    size_t queued = dxi_outbox_next(out);

    /* Behind the last frame for the socket lie those for the ring. */
    if (lane->course == DXI_COURSE_LEAVING && queued > lane->socket_left)
        queued = lane->socket_left;
    if (queued > 0)
        parts[count++] = (struct iovec){.iov_base = out->bytes + out->start, .iov_len = queued};
    /* Descriptors belong to the first byte of a send: nothing may stand before their message. */
    bool joined = parting != NULL && lane->course != DXI_COURSE_LEAVING &&
                  (queued == 0 || (out->packet_limit == 0 && descriptor_count == 0));

    if (joined)
        count += dxi_parting_parts(parting, parts + count);
    if (count == 0)
        return 0;
    bool bearing = joined && !parting->begun;

    if (channel->type == SOCK_DGRAM)
        dxi_channel_take_in_datagrams(channel);
    if (!bearing)
        descriptor_count = 0;
    ssize_t sent = lane->course == DXI_COURSE_RING
                       ? dxi_lane_send(channel, parts, count, descriptors, descriptor_count)
                       : send_parts(channel, parts, count, descriptors, descriptor_count);

    if (sent <= 0)
        return sent;
    size_t from_outbox = (size_t)sent < queued ? (size_t)sent : queued;

    if (from_outbox > 0) {
        dxi_outbox_sent(out, from_outbox);
        dxi_lane_left(channel, from_outbox);
    }
    if ((size_t)sent > from_outbox)
        dxi_parting_sent(parting, (size_t)sent - from_outbox);
    return sent;
}

/* One who only sends must look now and then whether there is an offer, or an answer to one. */
static void look_for_lane(dx_channel *channel)
{
    struct dxi_lane *lane = &channel->lane;

    if (!atomic_load_explicit(&lane->settled, memory_order_relaxed) &&
        atomic_load_explicit(&lane->moves, memory_order_relaxed) % LANE_LOOKS == LANE_LOOKS - 1)
        dxi_channel_take_in(channel);
}

/* What the lane had to say could not be said before something else had left. */
static void settle_lane(dx_channel *channel)
{
    if (atomic_load_explicit(&channel->lane.due, memory_order_relaxed) == 0)
        return;
    write_due(channel);
    (void)dxi_channel_push(channel);
}

int dxi_channel_transmit(dx_channel *channel, struct dxi_parting *parting, const int *descriptors,
                         size_t descriptor_count, struct dxi_patience *patience)
{
    int error = 0;
    bool refused = false;

    write_due(channel);
    if (unpublished(channel))
        dxi_lane_publish(channel);
    look_for_lane(channel);
    while (dxi_outbox_size(&channel->out) > 0 || (parting != NULL && !parting->finished)) {
        ssize_t sent = send_once(channel, parting, descriptors, descriptor_count);

        if (sent > 0)
            continue;
        error = dxi_channel_refused(channel, sent);
        refused = error < 0;
        if (error == 0)
            error = dxi_wait_to_send(channel, patience);
        if (error < 0)
            break;
    }
    if (error == 0)
        settle_lane(channel);
    if (error == -EPROTO && channel->write_medium > DXI_MEDIUM_SOCKET)
        dxi_channel_stop_writing(channel);
    if (error < 0 && parting != NULL && parting->begun) {
        /* For want of memory the kernel refuses what it will take a moment later. */
        if (error == -ETIMEDOUT || error == -EDEADLK || error == -ENOBUFS || error == -ENOMEM) {
            error = dxi_parting_keep(parting, &channel->out);
            if (error < 0)
                dxi_channel_fail(channel, error,
                                 "no memory to keep the rest of a message that had begun");
        }
        if (error < 0) {
            /* The peer must not take for the rest what is not. */
            abandon(channel, error);
            if (channel->type != SOCK_DGRAM)
                dxi_channel_stop_writing(channel);
        }
    }
    note_pending(channel, refused);
    dxi_channel_note_wanted(channel, error);
    return error;
}

int dxi_channel_push(dx_channel *channel)
{
    if (unpublished(channel))
        dxi_lane_publish(channel);
    while (dxi_outbox_size(&channel->out) > 0) {
        ssize_t sent = send_once(channel, NULL, NULL, 0);

        if (sent <= 0)
            return dxi_channel_refused(channel, sent);
    }
    return 0;
}

enum dxi_flush dxi_channel_flush_now(dx_channel *channel)
{
    if (!atomic_load_explicit(&channel->out_pending, memory_order_relaxed))
        return DXI_FLUSHED;
    if (!dxi_trylock(&channel->out_lock))
        return DXI_FLUSH_BUSY;
    if (atomic_load_explicit(&channel->peer_dead, memory_order_relaxed))
        abandon(channel, -EPIPE);
    channel->out.starved = false;
    write_due(channel);
    int error = dxi_channel_push(channel);

    if (error == 0)
        settle_lane(channel);
    /* A socket that is ready to be written is no news to who has no memory for what is due. */
    bool refused = error < 0 || channel->out.starved;

    note_pending(channel, refused);
    refused = refused || dxi_lane_owes_wake(channel);
    dxi_unlock(&channel->out_lock);
    return refused ? DXI_FLUSH_REFUSED : DXI_FLUSHED;
}
