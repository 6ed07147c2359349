/* SPDX-License-Identifier: MIT */
/*
 * How a fast lane comes to be, and how a conversation gets onto it.
 *
 * The memory costs some hundred microseconds, so a maker offers it when a conversation has gone on
 * for a while. Whatever is in the way of that is no failure: the socket does it all, too.
 */
#include "channel/lane.h"

#include "channel/internal.h"
#include "channel/parcels.h"
#include "os/os.h"
#include "wire/native.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Linux 6.16; the headers of Debian 12 lack it. */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

enum {
    RING_SIZE_DEFAULT = 256 << 10,
};

unsigned dxi_lane_worth = 32;

#define WORD(kind) ((uint16_t)(1U << (kind)))

/* Atomics that are locks of the C library's mean nothing to another process: no lane then. */
void dxi_lane_open(dx_channel *channel, const dx_channel_options *options, bool is_makers)
{
    struct dxi_lane *lane = &channel->lane;

    lane->offer_fd = -1;
    lane->ring_size = options->ring_size > 0 ? options->ring_size : (size_t)RING_SIZE_DEFAULT;
    lane->trusting = options->trust_peer;
    if (channel->framing != &dxi_framing_native || channel->type == SOCK_DGRAM ||
        channel->read_medium != DXI_MEDIUM_UNIX || channel->read_fd != channel->write_fd ||
        options->socket_only || ATOMIC_LLONG_LOCK_FREE != 2)
        lane->part = DXI_LANE_NONE;
    else
        lane->part = is_makers ? DXI_LANE_MAKER : DXI_LANE_ACCEPTOR;
    lane->settled = lane->part == DXI_LANE_NONE;
    if (lane->part == DXI_LANE_ACCEPTOR)
        channel->in.decoder.words = WORD(DXI_KIND_OFFER);
}

void dxi_lane_close(dx_channel *channel)
{
    struct dxi_lane *lane = &channel->lane;

    if (lane->offer_fd >= 0)
        dxi_os->close(lane->offer_fd);
    lane->offer_fd = -1;
    if (lane->region.control == NULL)
        return;
    if (atomic_load_explicit(&lane->in_is_fast, memory_order_relaxed))
        dxi_ring_leave(&lane->in, dxi_inbox_size(&channel->in) == 0);
    dxi_os->region_unmap(&lane->region);
}

/*
 * Where no descriptor is welcome from now on, the kernel need not bring one: see open.c. Some may be under
 * way already, so they are looked for all the same.
 */
static void bar_descriptors(dx_channel *channel)
{
    if (channel->descriptor_limit == 0 && !channel->in.barred)
        (void)dxi_os->socket_set(channel->read_fd, SO_PASSRIGHTS, 0);
}

/* There is a lane, or will be none. The caller holds in_lock. */
static void settle(dx_channel *channel)
{
    channel->in.decoder.words = 0;
    atomic_store_explicit(&channel->lane.settled, true, memory_order_relaxed);
    bar_descriptors(channel);
}

/* Have a word written, unless another is due. */
static void note_word(dx_channel *channel, enum dxi_lane_due word)
{
    struct dxi_lane *lane = &channel->lane;
    unsigned none = DXI_DUE_NONE;

    if (atomic_compare_exchange_strong(&lane->word, &none, word))
        dxi_channel_note_due(channel, &lane->due);
}

void dxi_lane_greeted(dx_channel *channel, uint32_t features)
{
    struct dxi_lane *lane = &channel->lane;

    if (lane->part == DXI_LANE_NONE)
        return;
    if ((features & DXI_FEATURE_LANE) == 0)
        settle(channel);
    else
        atomic_store_explicit(&lane->peer_takes, true, memory_order_relaxed);
}

void dxi_lane_note_move(dx_channel *channel)
{
    struct dxi_lane *lane = &channel->lane;

    if (atomic_load_explicit(&lane->settled, memory_order_relaxed))
        return;
    unsigned moves = atomic_load_explicit(&lane->moves, memory_order_relaxed) + 1;

    atomic_store_explicit(&lane->moves, moves, memory_order_relaxed);
    if (moves > dxi_lane_worth && lane->part == DXI_LANE_MAKER &&
        atomic_load_explicit(&lane->peer_takes, memory_order_relaxed) &&
        !atomic_exchange_explicit(&lane->considered, true, memory_order_relaxed))
        note_word(channel, DXI_DUE_OFFER);
}

/* Hearing. */

static int violation(dx_channel *channel, enum dxi_violation what, uint64_t value)
{
    channel->in.decoder.fault = (struct dxi_fault){what, value, 0};
    return -EPROTO;
}

/* Map what was offered. 0, or why not. */
static int accept_region(dx_channel *channel, int fd, const uint8_t *payload)
{
    struct dxi_offer offer;

    dxi_offer_decode(payload, &offer);
    if (offer.version != DXI_LANE_VERSION || offer.ring_size < DX_RING_SIZE_MIN ||
        offer.ring_size > DX_RING_SIZE_MAX || (offer.ring_size & (offer.ring_size - 1)) != 0)
        return -EINVAL;
    return dxi_os->region_map(fd, (size_t)offer.ring_size, &channel->lane.region);
}

static void hear_offer(dx_channel *channel, const uint8_t *payload)
{
    struct dxi_inbox *in = &channel->in;
    int error = -EMFILE;

    if (in->message_descriptor_count == 1) {
        int fd = in->message_descriptors[0];

        in->message_descriptor_count = 0;
        error = accept_region(channel, fd, payload);
        dxi_os->discard(fd);
    }
    if (error < 0) {
        settle(channel);
        note_word(channel, DXI_DUE_DECLINE);
        return;
    }
    in->decoder.words = WORD(DXI_KIND_SWITCH);
    /* Behind this frame, which is still to be consumed. */
    channel->lane.looked_to = in->position;
    note_word(channel, DXI_DUE_ACCEPT);
}

int dxi_lane_hear(dx_channel *channel, const struct dxi_frame *frame, const uint8_t *payload)
{
    struct dxi_lane *lane = &channel->lane;

    switch (frame->kind) {
    case DXI_KIND_OFFER:
        hear_offer(channel, payload);
        return 0;
    case DXI_KIND_DECLINE:
        settle(channel);
        dxi_os->region_unmap(&lane->region);
        return 0;
    case DXI_KIND_ACCEPT:
    case DXI_KIND_SWITCH:
        /* From a peer that waits its turn it was seen when it came: turn(). */
        if (!atomic_load_explicit(&lane->in_is_fast, memory_order_relaxed))
            return violation(channel, DXI_VIOLATION_LANE_WORD, frame->kind);
        channel->in.decoder.words = WORD(DXI_KIND_END);
        return 0;
    default: /* END; the decoder lets nothing else come */
        if (dxi_inbox_size(&channel->in) > DXI_HEADER_SIZE)
            return violation(channel, DXI_VIOLATION_LANE_WORD, frame->kind);
        channel->in.decoder.words = 0;
        channel->inbound = DXI_INBOUND_LAST;
        return 0;
    }
}

/* One word, which is whole. */
static int hear_word(dx_channel *channel, const uint8_t *bytes)
{
    struct dxi_lane *lane = &channel->lane;
    struct dxi_frame frame;

    if (dxi_lane_word_decode(bytes, &frame, &channel->in.decoder.fault) < 0)
        return -EPROTO;
    if (frame.kind == DXI_KIND_WAKE)
        return 0;
    if (frame.descriptors > channel->descriptor_limit) {
        channel->in.decoder.fault = (struct dxi_fault){
            DXI_VIOLATION_DESCRIPTOR_LIMIT, frame.descriptors, channel->descriptor_limit};
        return -EPROTO;
    }
    if (frame.id != ++lane->descriptors_heard)
        return violation(channel, DXI_VIOLATION_LANE_WORD, frame.kind);
    if (lane->parcels_unheard == 0)
        return violation(channel, DXI_VIOLATION_DESCRIPTORS_MISSING, frame.descriptors);
    lane->parcels_unheard--;
    return 0;
}

int dxi_lane_hear_socket(dx_channel *channel, const uint8_t *bytes, size_t size, bool bears)
{
    struct dxi_lane *lane = &channel->lane;
    int status = 0;

    lane->parcels_unheard += bears;
    while (size > 0 && status == 0) {
        size_t part = DXI_HEADER_SIZE - lane->word_size;

        if (part > size)
            part = size;
        memcpy(lane->partial_word + lane->word_size, bytes, part);
        lane->word_size += part;
        bytes += part;
        size -= part;
        if (lane->word_size < DXI_HEADER_SIZE)
            break;
        lane->word_size = 0;
        status = hear_word(channel, lane->partial_word);
    }
    /* Descriptors ride on the first byte of their word, whose last may come with the next read. */
    if (status == 0 && lane->parcels_unheard > (lane->word_size > 0 ? 1 : 0))
        return violation(channel, DXI_VIOLATION_DESCRIPTORS_SURPLUS, 0);
    return status;
}

/*
 * What lies behind the switch came by the socket, and is words. Descriptors of this read are for those:
 * a read ends with the segment that bore some, and the switch bore none.
 */
static int turn(dx_channel *channel, size_t kept, bool bears)
{
    struct dxi_lane *lane = &channel->lane;
    struct dxi_inbox *in = &channel->in;
    size_t rest = dxi_inbox_size(in) - kept;
    int error = 0;

    lane->in = dxi_ring_in_end(lane->region.control, lane->region.rings, lane->region.ring_size,
                               lane->part == DXI_LANE_MAKER);
    if (bears)
        dxi_parcels_turn(in);
    in->from_ring = true;
    in->read_minimum = 1;
    in->end = in->start + kept;
    if (rest > 0 || bears)
        error = dxi_lane_hear_socket(channel, in->bytes + in->end, rest, bears);
    if (channel->drain_limited)
        dxi_ring_seal(&lane->in);
    atomic_store_explicit(&lane->in_is_fast, true, memory_order_relaxed);
    if (lane->part == DXI_LANE_MAKER)
        note_word(channel, DXI_DUE_SWITCH);
    settle(channel);
    /* The switch itself is still to be consumed; whatever else lies before it came out of turn. */
    in->decoder.words = WORD(lane->part == DXI_LANE_MAKER ? DXI_KIND_ACCEPT : DXI_KIND_SWITCH);
    return error;
}

int dxi_lane_look_for_switch(dx_channel *channel, bool bears)
{
    struct dxi_lane *lane = &channel->lane;
    struct dxi_inbox *in = &channel->in;
    uint8_t wanted = lane->part == DXI_LANE_MAKER ? DXI_KIND_ACCEPT : DXI_KIND_SWITCH;

    if ((in->decoder.words & WORD(wanted)) == 0)
        return 0;
    if (lane->looked_to < in->position)
        lane->looked_to = in->position;
    for (;;) {
        uint64_t offset = lane->looked_to - in->position;

        if (offset + DXI_HEADER_SIZE > dxi_inbox_size(in))
            return 0;
        const uint8_t *header = in->bytes + in->start + offset;

        /* The decoder judges each frame in its turn; what is wrong leads nowhere here. */
        if (header[4] == wanted)
            return turn(channel, (size_t)offset + DXI_HEADER_SIZE, bears);
        lane->looked_to += DXI_HEADER_SIZE + (uint64_t)dxi_load32(header);
    }
}

/* Saying. */

static void forget_word(struct dxi_lane *lane)
{
    atomic_store_explicit(&lane->word, DXI_DUE_NONE, memory_order_seq_cst);
    atomic_store_explicit(&lane->due, 0, memory_order_seq_cst);
}

/* No offer can be made. */
static void give_up(dx_channel *channel)
{
    dxi_lock(&channel->in_lock);
    settle(channel);
    dxi_unlock(&channel->in_lock);
    dxi_lane_close(channel);
    forget_word(&channel->lane);
}

/* Make the memory, and be ready for the answer. */
static int prepare_offer(dx_channel *channel)
{
    struct dxi_lane *lane = &channel->lane;
    int error = dxi_os->region_create(lane->ring_size, &lane->region, &lane->offer_fd);

    if (error < 0)
        return error;
    dxi_lock(&channel->in_lock);
    channel->in.decoder.words = WORD(DXI_KIND_ACCEPT) | WORD(DXI_KIND_DECLINE);
    lane->looked_to = channel->in.position;
    dxi_unlock(&channel->in_lock);
    return 0;
}

/* The descriptor rides on the first byte of a send, so nothing may lie before it. */
static void write_offer(dx_channel *channel)
{
    struct dxi_lane *lane = &channel->lane;
    struct dxi_offer offer = {
        .version = DXI_LANE_VERSION,
        .control_size = (uint32_t)sizeof(struct dxi_ring_control),
        .ring_size = lane->ring_size,
    };
    uint8_t payload[DXI_OFFER_SIZE];
    struct dxi_letter letter = {
        .data = payload, .size = sizeof(payload), .kind = DXI_KIND_OFFER, .descriptors = 1};
    struct dxi_envelope envelope;

    if (dxi_outbox_size(&channel->out) > 0)
        return;
    dxi_offer_encode(&offer, payload);
    /* Room for what the kernel may leave over of it. */
    if ((lane->offer_fd < 0 && prepare_offer(channel) < 0) ||
        dxi_outbox_reserve(&channel->out, DXI_HEADER_SIZE + sizeof(payload)) < 0 ||
        channel->framing->encode(&letter, &envelope) < 0) {
        give_up(channel);
        return;
    }
    struct iovec parts[2] = {
        {.iov_base = envelope.header, .iov_len = envelope.header_size},
        {.iov_base = payload, .iov_len = sizeof(payload)},
    };
    /* Before it leaves: another thread may hear the answer before this call has returned. */
    forget_word(lane);
    ssize_t sent = dxi_os->send(channel->write_fd, parts, 2, &lane->offer_fd, 1);

    if (sent == -EAGAIN) {
        note_word(channel, DXI_DUE_OFFER);
        return;
    }
    if (sent < 0) {
        give_up(channel);
        return;
    }
    dxi_os->close(lane->offer_fd);
    lane->offer_fd = -1;
    dxi_outbox_append_frame(&channel->out, &envelope, &letter);
    dxi_outbox_sent(&channel->out, (size_t)sent);
}

/* ACCEPT, DECLINE, SWITCH: behind what lies in the outbox. */
static void write_word(dx_channel *channel, enum dxi_kind kind)
{
    struct dxi_lane *lane = &channel->lane;
    struct dxi_letter letter = {.kind = (uint8_t)kind};

    if (dxi_channel_leave(channel, &letter) < 0)
        return;
    forget_word(lane);
    if (kind == DXI_KIND_DECLINE)
        return;
    lane->out = dxi_ring_out_end(lane->region.control, lane->region.rings, lane->region.ring_size,
                                 lane->part == DXI_LANE_MAKER);
    lane->course = DXI_COURSE_LEAVING;
    lane->socket_left = dxi_outbox_size(&channel->out);
    channel->out.plain = false;
}

void dxi_lane_write_due(dx_channel *channel)
{
    struct dxi_lane *lane = &channel->lane;

    if (atomic_load_explicit(&lane->due, memory_order_seq_cst) == 0)
        return;
    enum dxi_lane_due word = atomic_load_explicit(&lane->word, memory_order_seq_cst);

    if (channel->out.ended || channel->out.error < 0) {
        if (word == DXI_DUE_OFFER)
            give_up(channel);
        else
            forget_word(lane);
        return;
    }
    switch (word) {
    case DXI_DUE_OFFER:
        write_offer(channel);
        break;
    case DXI_DUE_ACCEPT:
        write_word(channel, DXI_KIND_ACCEPT);
        break;
    case DXI_DUE_DECLINE:
        write_word(channel, DXI_KIND_DECLINE);
        break;
    case DXI_DUE_SWITCH:
        write_word(channel, DXI_KIND_SWITCH);
        break;
    case DXI_DUE_NONE:
        break;
    }
}

void dxi_lane_left(dx_channel *channel, size_t size)
{
    struct dxi_lane *lane = &channel->lane;

    if (lane->course != DXI_COURSE_LEAVING)
        return;
    lane->socket_left -= size;
    if (lane->socket_left > 0)
        return;
    lane->course = DXI_COURSE_RING;
    channel->out.packet_limit = 0;
    atomic_store_explicit(&lane->out_is_fast, true, memory_order_seq_cst);
    if (atomic_exchange_explicit(&lane->wake_owed, false, memory_order_seq_cst))
        dxi_lane_wake(channel);
    dxi_lane_note_quick(channel);
    dxi_channel_note_plain(channel);
}

void dxi_lane_note_quick(dx_channel *channel)
{
    struct dxi_lane *lane = &channel->lane;
    size_t peer_limit = atomic_load_explicit(&channel->peer_limit, memory_order_acquire);

    lane->quick_limit = DXI_RING_CHUNK - DXI_HEADER_SIZE;
    if (lane->quick_limit > channel->message_limit)
        lane->quick_limit = channel->message_limit;
    if (lane->quick_limit > peer_limit)
        lane->quick_limit = peer_limit;
    lane->quick = lane->course == DXI_COURSE_RING && !channel->out.ended &&
                  channel->out.error == 0 && channel->out.reserved == NULL;
}

int dx_channel_is_fast(const dx_channel *channel)
{
    int error = dxi_channel_check(channel);

    if (error < 0)
        return error;
    return atomic_load_explicit(&channel->lane.out_is_fast, memory_order_relaxed) &&
           atomic_load_explicit(&channel->lane.in_is_fast, memory_order_relaxed);
}
