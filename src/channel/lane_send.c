/* SPDX-License-Identifier: MIT */
/*
 * Sending by the fast lane: into the ring, and a wake-up by the socket for a peer that sleeps.
 *
 * No system call is made while the peer is awake and has room, so now and then somebody must look
 * whether it still lives.
 */
#include "channel/internal.h"
#include "channel/lane.h"
#include "os/os.h"
#include "wire/native.h"

#include <errno.h>
#include <string.h>

enum {
    /* So many messages go by without a look whether the peer lives. */
    PUBLICATIONS_BLIND = 256,
    /* A consumer that is awake makes room within this, or takes its time. */
    ROOM_SPIN_NS = 20 * 1000,
    ROOM_SPIN_TURNS = 64,
    /* Less is no stream of bytes. */
    PAST_CACHES_MIN = 1024,
};

void dxi_lane_wake(dx_channel *channel)
{
    static const uint8_t wake[DXI_HEADER_SIZE] = {[4] = DXI_KIND_WAKE};
    struct iovec part = {.iov_base = (void *)wake, .iov_len = sizeof(wake)};
    struct dxi_lane *lane = &channel->lane;

    if (!atomic_load_explicit(&lane->out_is_fast, memory_order_seq_cst)) {
        /* In this order, and in the other where it is paid: one of the two sides sees the other. */
        atomic_store_explicit(&lane->wake_owed, true, memory_order_seq_cst);
        if (!atomic_load_explicit(&lane->out_is_fast, memory_order_seq_cst))
            return;
    }
    ssize_t sent = dxi_os->send(channel->write_fd, &part, 1, NULL, 0);

    /* A full socket is as good as one more word in it: its reader has something to wake up for. */
    if (sent >= 0 || sent == -EAGAIN)
        return;
    if (sent == -EPIPE || sent == -ECONNRESET) {
        atomic_store_explicit(&channel->peer_gone, true, memory_order_relaxed);
        return;
    }
    /* No memory for it just now, most likely. In this order, see dxi_channel_note_due(). */
    atomic_store_explicit(&lane->wake_owed, true, memory_order_seq_cst);
    atomic_store_explicit(&channel->out_refused, true, memory_order_relaxed);
    atomic_store_explicit(&channel->out_pending, true, memory_order_seq_cst);
}

bool dxi_lane_owes_wake(const dx_channel *channel)
{
    return atomic_load_explicit(&channel->lane.wake_owed, memory_order_seq_cst) &&
           atomic_load_explicit(&channel->lane.out_is_fast, memory_order_relaxed);
}

bool dxi_lane_pay_wake(dx_channel *channel)
{
    if (!dxi_lane_owes_wake(channel) ||
        !atomic_exchange_explicit(&channel->lane.wake_owed, false, memory_order_seq_cst))
        return true;
    dxi_lane_wake(channel);
    return !dxi_lane_owes_wake(channel);
}

/* The peer claims what cannot be. Returns -EPROTO. */
static int break_ring(dx_channel *channel)
{
    struct dxi_fault fault = {DXI_VIOLATION_RING, 0, 0};

    dxi_lock(&channel->in_lock);
    dxi_channel_break(channel, &fault);
    dxi_unlock(&channel->in_lock);
    return -EPROTO;
}

void dxi_lane_publish(dx_channel *channel)
{
    struct dxi_lane *lane = &channel->lane;
    struct dxi_ring_out *out = &lane->out;
    bool gives = false;

    /*
     * What was taken is given back along with it, in the line that the peer is about to read anyway.
     * Where there are threads, the receiver's word may be newer than ours, and it says it itself.
     */
    if (dxi_single_threaded() && lane->in.given != lane->in.head && !lane->lent) {
        dxi_ring_give_back(&lane->in);
        gives = true;
    }
    dxi_ring_publish(out);
    bool wakes = dxi_ring_wakes_consumer(out);

    if (gives && dxi_ring_wants_room(&lane->in))
        wakes = true;
    if (wakes)
        dxi_lane_wake(channel);
}

/* Put bytes into the ring, as far as there is room for them. */
static size_t put(dx_channel *channel, const uint8_t *bytes, size_t size)
{
    struct dxi_ring_out *out = &channel->lane.out;
    size_t done = 0;

    while (done < size) {
        uint64_t room = dxi_ring_room(out);
        uint64_t chunk = DXI_RING_CHUNK - (out->tail - out->published);
        size_t part = size - done;

        if (room == 0)
            break;
        if (part > room)
            part = (size_t)room;
        if (part > chunk)
            part = (size_t)chunk;
        if (channel->lane.pace.past_caches && part >= PAST_CACHES_MIN)
            dxi_ring_copy_past_caches(dxi_ring_place(out), bytes + done, part);
        else
            memcpy(dxi_ring_place(out), bytes + done, part);
        out->tail += part;
        done += part;
        if (out->tail - out->published < DXI_RING_CHUNK)
            continue;
        dxi_lane_publish(channel);
        if (dxi_ring_look_for_room(out) < 0)
            break;
    }
    return done;
}

/* Send descriptors ahead of the frame that they belong to. As send(2). */
static ssize_t send_descriptors(dx_channel *channel, const int *descriptors, size_t count)
{
    struct dxi_lane *lane = &channel->lane;
    struct dxi_letter letter = {
        .kind = DXI_KIND_DESCRIPTORS,
        .descriptors = (uint16_t)count,
        .id = lane->descriptors_sent + 1,
    };
    struct dxi_envelope envelope;
    int error = channel->framing->encode(&letter, &envelope);

    if (error < 0)
        return error;
    struct iovec part = {.iov_base = envelope.header, .iov_len = envelope.header_size};
    ssize_t sent = dxi_os->send(channel->write_fd, &part, 1, descriptors, count);

    lane->wants_socket = sent == -EAGAIN;
    if (sent > 0)
        lane->descriptors_sent++;
    return sent;
}

ssize_t dxi_lane_send(dx_channel *channel, const struct iovec *parts, size_t count,
                      const int *descriptors, size_t descriptor_count)
{
    struct dxi_ring_out *out = &channel->lane.out;
    size_t total = 0;

    channel->lane.wants_socket = false;
    if (atomic_load_explicit(&channel->peer_gone, memory_order_relaxed))
        return -EPIPE;
    if (dxi_ring_look_for_room(out) < 0)
        return break_ring(channel);
    if (out->tail != out->published)
        dxi_lane_publish(channel);
    dxi_ring_rewind(out);
    if (dxi_ring_room(out) == 0)
        return -EAGAIN;
    if (descriptor_count > 0) {
        ssize_t sent = send_descriptors(channel, descriptors, descriptor_count);

        if (sent < 0)
            return sent;
    }
    for (size_t i = 0; i < count; i++) {
        size_t done = put(channel, parts[i].iov_base, parts[i].iov_len);

        total += done;
        if (done < parts[i].iov_len)
            break;
    }
    if (out->tail != out->published)
        dxi_lane_publish(channel);
    if (dxi_ring_pace_count(&channel->lane.pace, total))
        dxi_ring_pace_turn(&channel->lane.pace, dxi_os->now_ns());
    return total > 0 ? (ssize_t)total : -EAGAIN;
}

/* No system call has told of the peer for a while. */
static void look_for_death(dx_channel *channel)
{
    struct pollfd polled[2] = {
        {.fd = channel->write_fd},
        {.fd = channel->peer_pidfd, .events = POLLIN},
    };

    channel->lane.publications = 0;
    if (dxi_os->poll(polled, 2, 0) > 0)
        atomic_store_explicit(&channel->peer_gone, true, memory_order_relaxed);
}

bool dxi_lane_send_plain(dx_channel *channel, const void *data, size_t size, uint8_t kind,
                         uint64_t id)
{
    struct dxi_lane *lane = &channel->lane;
    struct dxi_ring_out *out = &lane->out;
    size_t total = DXI_HEADER_SIZE + size;

    /* Collected ones go into the ring together. */
    if (channel->out.corked || size > lane->quick_limit || dxi_outbox_size(&channel->out) > 0 ||
        dxi_outbox_is_large(&channel->out))
        return false;
    /* Something else is due, and goes first. */
    if (atomic_load_explicit(&channel->out_pending, memory_order_relaxed) ||
        dxi_ring_look_for_room(out) < 0)
        return false;
    dxi_ring_rewind(out);
    if (dxi_ring_room(out) < total)
        return false;
    uint8_t *place = dxi_ring_place(out);

    dxi_native_plain_header(place, size, kind, id);
    dxi_copy(place + DXI_HEADER_SIZE, data, size);
    out->tail += total;
    dxi_lane_publish(channel);
    if (++lane->publications >= PUBLICATIONS_BLIND)
        look_for_death(channel);
    return true;
}

/* Wait for room a little while without sleeping. */
static bool spin_for_room(dx_channel *channel)
{
    const struct dxi_ring_out *out = &channel->lane.out;
    uint64_t end = 0;

    if (channel->spin.limit_ns == 0)
        return false;
    for (;;) {
        for (int turn = 0; turn < ROOM_SPIN_TURNS; turn++) {
            if (atomic_load_explicit(&out->peer->head, memory_order_relaxed) != out->head)
                return true;
            dxi_relax();
        }
        uint64_t now = dxi_os->now_ns();

        if (end == 0)
            end = now + ROOM_SPIN_NS;
        else if (now >= end)
            return false;
    }
}

int dxi_lane_expect_room(dx_channel *channel, bool taking, bool first)
{
    struct dxi_lane *lane = &channel->lane;
    struct dxi_ring_out *out = &lane->out;
    bool dozes = true;

    if (out->tail != out->published)
        dxi_lane_publish(channel);
    if (lane->wants_socket)
        return 0;
    if (dxi_ring_look_for_room(out) < 0)
        return break_ring(channel);
    if (dxi_ring_room(out) >= (lane->wanted > 0 ? lane->wanted : 1) ||
        (first && spin_for_room(channel)))
        return 1;
    if (!dxi_ring_starve(out))
        return 1;
    lane->unfed = true;
    if (!taking)
        return 0;
    dxi_lock(&channel->in_lock);
    if (atomic_load_explicit(&lane->in_is_fast, memory_order_relaxed))
        dozes = dxi_lane_doze(channel);
    dxi_unlock(&channel->in_lock);
    return dozes ? 0 : 2;
}

void dxi_lane_feed(dx_channel *channel)
{
    if (channel->lane.unfed)
        dxi_ring_feed(&channel->lane.out);
    channel->lane.unfed = false;
}

enum dxi_prospect dxi_lane_prospect(dx_channel *channel)
{
    struct dxi_lane *lane = &channel->lane;
    enum dxi_prospect prospect = DXI_PROSPECT_WAKE;

    /* Who is sending in another thread looks for himself. */
    if (!dxi_trylock(&channel->out_lock))
        return DXI_PROSPECT_WAKE;
    /* What is being written in place keeps all else back until its user is done with it. */
    if (channel->out.reserved != NULL) {
        prospect = DXI_PROSPECT_WAKE;
    } else if (atomic_load_explicit(&channel->peer_gone, memory_order_relaxed)) {
        prospect = DXI_PROSPECT_NOW;
    } else if (lane->wants_socket) {
        prospect = DXI_PROSPECT_SOCKET;
    } else {
        /* Something that is wrong with the ring is for a send to say. */
        if (dxi_ring_look_for_room(&lane->out) < 0 || dxi_ring_room(&lane->out) > 0 ||
            !dxi_ring_starve(&lane->out))
            prospect = DXI_PROSPECT_NOW;
        lane->unfed = prospect == DXI_PROSPECT_WAKE;
    }
    dxi_unlock(&channel->out_lock);
    return prospect;
}
