/* SPDX-License-Identifier: MIT */
/*
 * Receiving by the fast lane: from the ring into the inbox, and what the socket says besides.
 *
 * Nothing in the ring is believed: its bytes are copied, and judged as if they had come by the socket.
 */
#include "channel/internal.h"
#include "channel/lane.h"
#include "channel/parcels.h"
#include "os/os.h"
#include "wire/native.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
    /* Words of the socket that are read at once, and reads in a row. */
    ATTEND_BYTES = 64 * DXI_HEADER_SIZE,
    ATTEND_READS = 64,
    /* Looks at the ring between two looks at the clock, and time between two looks for a death. */
    SPIN_TURNS = 64,
    SPIN_BLIND_NS = 20 * 1000,
};

static int break_inbound(dx_channel *channel, enum dxi_violation what)
{
    struct dxi_fault fault = {what, 0, 0};

    return dxi_channel_break(channel, &fault);
}

void dxi_lane_give_back(dx_channel *channel)
{
    struct dxi_ring_in *in = &channel->lane.in;

    dxi_ring_give_back(in);
    atomic_thread_fence(memory_order_seq_cst);
    if (dxi_ring_wants_room(in))
        dxi_lane_wake(channel);
}

/* Something is there, so the announcement of sleep is taken back. */
static void rouse(struct dxi_lane *lane)
{
    if (lane->dozing)
        dxi_ring_rouse(&lane->in);
    lane->dozing = false;
}

static void took(dx_channel *channel, size_t size)
{
    struct dxi_ring_in *ring = &channel->lane.in;

    ring->head += size;
    /* Once on each way round. */
    if ((ring->head & (ring->size - 1)) < size)
        dxi_channel_look_for_death(channel);
}

int dxi_lane_fill(dx_channel *channel, size_t most)
{
    struct dxi_lane *lane = &channel->lane;
    struct dxi_ring_in *ring = &lane->in;
    struct dxi_inbox *in = &channel->in;
    uint8_t *bytes;
    size_t size;

    if (dxi_ring_look(ring) < 0)
        return break_inbound(channel, DXI_VIOLATION_RING);
    uint64_t filled = dxi_ring_filled(ring);

    if (filled == 0)
        return 0;
    rouse(lane);
    if (in->start == in->end && !in->borrowed) {
        bytes = in->bytes;
        size = in->capacity;
        in->start = in->end = 0;
    } else if (dxi_inbox_room(in, &bytes, &size) < 0)
        return dxi_channel_fail(channel, -ENOMEM, "no memory to receive a message of %zu bytes",
                                in->decoder.needed);
    /* Not all at once, so that the peer gets room early. */
    if (size > ring->size / 8)
        size = (size_t)(ring->size / 8);
    if (size > most)
        size = most;
    if (size > filled)
        size = (size_t)filled;
    memcpy(bytes, dxi_ring_bytes(ring), size);
    took(channel, size);
    in->end += size;
    if (!lane->lent && dxi_ring_owes(ring))
        dxi_lane_give_back(channel);
    return 1;
}

/* The peer has let go of the socket: what lies in the ring is the last. */
static int hear_the_end(dx_channel *channel)
{
    channel->lane.socket_over = true;
    atomic_store_explicit(&channel->peer_gone, true, memory_order_relaxed);
    return DXI_ATTEND_DONE;
}

/* What a read of the socket says besides words. */
static int hear_nothing(dx_channel *channel, ssize_t status)
{
    switch (status) {
    case 0:
        return hear_the_end(channel);
    case -EAGAIN:
        return channel->drain_limited ? hear_the_end(channel) : DXI_ATTEND_DONE;
    case -ECONNRESET:
        atomic_store_explicit(&channel->peer_gone, true, memory_order_relaxed);
        atomic_store_explicit(&channel->peer_dead, true, memory_order_relaxed);
        return DXI_ATTEND_AGAIN;
    default:
        return dxi_channel_fail(channel, (int)status, "cannot receive: %s",
                                dx_error_text((int)status));
    }
}

/* One read, or an error. */
static int attend_once(dx_channel *channel)
{
    struct dxi_inbox *in = &channel->in;
    struct dxi_arrival arrival;
    int place[DX_DESCRIPTORS_MAX + 1];
    uint8_t bytes[ATTEND_BYTES];
    size_t size = sizeof(bytes);

    if (!dxi_inbox_expect(in, &arrival, place)) {
        /* They may belong to messages that wait here. Else there are too many of them. */
        if (dxi_inbox_size(in) > 0 || dxi_ring_filled(&channel->lane.in) > 0 ||
            dxi_ring_stirs(&channel->lane.in))
            return DXI_ATTEND_FULL;
        return break_inbound(channel, DXI_VIOLATION_DESCRIPTORS_SURPLUS);
    }
    arrival.packets = channel->type == SOCK_SEQPACKET;
    if (channel->drain_limited && size > channel->drain_left)
        size = channel->drain_left;
    if (size == 0)
        return hear_the_end(channel);
    ssize_t received = dxi_os->receive(channel->read_fd, bytes, size, &arrival);

    if (received == 0)
        received = dxi_channel_confirm_end(channel, bytes, size, &arrival);
    if (received <= 0) {
        /* An empty packet may bear some. */
        dxi_parcels_discard(&arrival);
        return hear_nothing(channel, received);
    }
    if (channel->drain_limited)
        channel->drain_left -= (size_t)received;
    bool bears = arrival.count > 0 || arrival.lost;

    if (bears)
        dxi_parcels_arrived(in, 0, &arrival);
    if (arrival.cut) {
        struct dxi_fault cut = {DXI_VIOLATION_PACKET, sizeof(bytes), sizeof(bytes)};

        return dxi_channel_break(channel, &cut);
    }
    if (dxi_lane_hear_socket(channel, bytes, (size_t)received, bears) < 0)
        return dxi_channel_break(channel, &in->decoder.fault);
    /* Of a word that came in part, the rest is there, or never was sent. */
    bool more = bears || arrival.packets || (size_t)received == size || channel->lane.word_size > 0;

    return more ? DXI_ATTEND_AGAIN : DXI_ATTEND_DONE;
}

int dxi_lane_attend(dx_channel *channel)
{
    int status = DXI_ATTEND_AGAIN;

    for (int reads = 0; reads < ATTEND_READS && status == DXI_ATTEND_AGAIN; reads++) {
        if (channel->lane.socket_over)
            return DXI_ATTEND_DONE;
        status = attend_once(channel);
    }
    return status;
}

/* Whether the peer may be about to speak, on another processor than this. */
static bool worth_a_look(dx_channel *channel)
{
    const struct dxi_ring_in *ring = &channel->lane.in;
    struct dxi_spin *spin = &channel->spin;
    unsigned cpu = dxi_os->processor();

    if (cpu != atomic_load_explicit(&ring->mine->cpu, memory_order_relaxed))
        atomic_store_explicit(&ring->mine->cpu, cpu, memory_order_relaxed);
    if (dxi_spin_skips(spin))
        return false;
    /* One that sleeps waits for us; one on our processor waits for that. */
    return atomic_load_explicit(&ring->peer->asleep, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&ring->peer->cpu, memory_order_relaxed) != cpu;
}

/* A peer that has died will not speak any more. Costs 0.2 us. */
static bool sees_death(const dx_channel *channel)
{
    struct pollfd polled[2] = {
        {.fd = channel->read_fd},
        {.fd = channel->peer_pidfd, .events = POLLIN},
    };

    return dxi_os->poll(polled, 2, 0) > 0;
}

/*
 * Look at the ring for a while. The deadline may be passed by no more than the spin's own limit. What
 * this costs in vain is bounded by the penalty.
 */
static bool spin_for_bytes(dx_channel *channel)
{
    const struct dxi_ring_in *ring = &channel->lane.in;
    struct dxi_spin *spin = &channel->spin;
    uint64_t end = 0;
    uint64_t blind_until = 0;

    if (spin->limit_ns == 0 || !worth_a_look(channel))
        return false;
    for (;;) {
        for (int turn = 0; turn < SPIN_TURNS; turn++) {
            if (dxi_ring_stirs(ring)) {
                dxi_ring_fetch(ring);
                dxi_spin_paid(spin);
                return true;
            }
            dxi_relax();
        }
        uint64_t now = dxi_os->now_ns();

        if (end == 0) {
            end = now + spin->limit_ns;
            blind_until = now + SPIN_BLIND_NS;
        }
        if (now >= end)
            break;
        if (now < blind_until)
            continue;
        blind_until = now + SPIN_BLIND_NS;
        if (sees_death(channel))
            return false;
    }
    dxi_spin_was_in_vain(spin);
    return false;
}

int dxi_lane_look(dx_channel *channel, struct dxi_patience *patience)
{
    enum dxi_flush flushed;

    /* What the peer may be waiting for must be on its way. */
    if (dxi_channel_flush_between(channel, &flushed))
        return 1;
    if (patience->timeout_ms == DX_NOW || !spin_for_bytes(channel))
        return 0;
    return dxi_lane_fill(channel, SIZE_MAX);
}

bool dxi_lane_doze(dx_channel *channel)
{
    struct dxi_lane *lane = &channel->lane;

    if (!lane->lent && lane->in.given != lane->in.head)
        dxi_lane_give_back(channel);
    /* What a call left there when its time was over is no news, so no wake-up would tell of it. */
    if (dxi_ring_filled(&lane->in) > 0 || !dxi_ring_doze(&lane->in))
        return false;
    lane->dozing = true;
    return true;
}

void dxi_lane_mourn(dx_channel *channel)
{
    dxi_ring_seal(&channel->lane.in);
}

bool dxi_lane_take_plain(dx_channel *channel, dx_message *ret, int timeout_ms, bool *ret_taken)
{
    struct dxi_lane *lane = &channel->lane;
    struct dxi_ring_in *ring = &lane->in;
    struct dxi_inbox *in = &channel->in;

    *ret_taken = false;
    if (dxi_inbox_size(in) > 0 || channel->inbound != DXI_INBOUND_OPEN)
        return false;
    if (dxi_ring_filled(ring) == 0 && !dxi_ring_stirs(ring) &&
        (timeout_ms == DX_NOW ||
         atomic_load_explicit(&channel->out_pending, memory_order_relaxed) ||
         !spin_for_bytes(channel)))
        return false;
    if (!lane->trusting)
        return dxi_lane_fill(channel, SIZE_MAX) == 1;
    if (dxi_ring_look(ring) < 0)
        return false;
    size_t size = dxi_native_plain(&in->decoder, dxi_ring_bytes(ring), dxi_ring_filled(ring));

    if (size == SIZE_MAX || in->parcel_count > 0)
        return dxi_lane_fill(channel, SIZE_MAX) == 1;
    rouse(lane);
    *ret = (dx_message){.data = dxi_ring_bytes(ring) + DXI_HEADER_SIZE, .size = size};
    took(channel, DXI_HEADER_SIZE + size);
    lane->lent = true;
    *ret_taken = true;
    return true;
}

void dxi_lane_release(dx_channel *channel)
{
    struct dxi_lane *lane = &channel->lane;

    lane->lent = false;
    if (dxi_ring_owes(&lane->in))
        dxi_lane_give_back(channel);
}
