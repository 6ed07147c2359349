/* SPDX-License-Identifier: MIT */
/*
 * The quick way that most frames go: out by the memory of the outbox or the ring, in from that of the
 * inbox, with nothing special about them. Each function does the whole of it or nothing; then the long
 * way must be gone, which does the same and everything else. The caller holds the lock of its side, or
 * there is one thread.
 */
#ifndef DUPLEX_CHANNEL_QUICK_H
#define DUPLEX_CHANNEL_QUICK_H

#include "channel/internal.h"

/* Send a frame, or collect it. */
static inline bool dxi_quick_send(dx_channel *channel, const void *data, size_t size, uint8_t kind,
                                  uint64_t id)
{
    if (atomic_load_explicit(&channel->broken, memory_order_relaxed) ||
        atomic_load_explicit(&channel->peer_gone, memory_order_relaxed))
        return false;
    if (!channel->out.plain)
        return channel->lane.quick && dxi_lane_send_plain(channel, data, size, kind, id);
    size_t limit = atomic_load_explicit(&channel->peer_limit, memory_order_relaxed);

    /* The peer's limit is not known before its greeting. */
    if (size > limit - 1 || !dxi_outbox_collect_plain(&channel->out, data, size, kind, id))
        return false;
    atomic_store_explicit(&channel->out_pending, true, memory_order_relaxed);
    return true;
}

/* End the loan of the last message, if nothing came with it. */
static inline bool dxi_quick_release(dx_channel *channel)
{
    struct dxi_inbox *in = &channel->in;
    const struct dxi_calls *calls = &channel->calls;

    if (calls->stash.lent != NULL || calls->held || calls->stash.size > 0 ||
        in->message_descriptor_count > 0 || in->retired != NULL ||
        in->small_streak > DXI_SMALL_STREAK)
        return false;
    in->borrowed = false;
    if (in->start == in->end)
        in->start = in->end = 0;
    if (channel->lane.lent)
        dxi_lane_release(channel);
    return true;
}

/* Enter a request of the peer's, or strike out one of ours that is answered. False: neither. */
static inline bool dxi_quick_sort(dx_channel *channel, enum dx_kind kind, uint64_t id)
{
    struct dxi_calls *calls = &channel->calls;

    if (kind == DX_REQUEST)
        return calls->handler == NULL && calls->leaving_id == 0 && calls->theirs.free != 0 &&
               calls->theirs.count < calls->their_limit &&
               dxi_requests_add(&calls->theirs, id) != NULL;
    if (calls->elsewhere)
        return id <= calls->last_id;
    struct dxi_request *request = dxi_requests_find(&calls->ours, id);

    if (request == NULL || request->waited || request->line == DXI_LINE_DUE)
        return false;
    dxi_requests_remove(&calls->ours, request);
    return true;
}

/* The same for requests and replies as dxi_inbox_next_plain() does for messages. */
static inline bool dxi_quick_call(dx_channel *channel, dx_message *ret)
{
    struct dxi_inbox *in = &channel->in;
    const uint8_t *frame = in->bytes + in->start;
    size_t there = in->end - in->start;

    if (!in->decoder.plain || there < DXI_HEADER_SIZE || in->parcel_count > 0)
        return false;
    size_t size = dxi_load32(frame);
    uint32_t word = dxi_load32(frame + 4);
    uint64_t id = dxi_load64(frame + 8);
    /* Kind, flags and descriptors in one comparison. */
    enum dx_kind kind = word == (uint32_t)DXI_KIND_REQUEST << 24 ? DX_REQUEST
                        : word == (uint32_t)DXI_KIND_REPLY << 24 ? DX_REPLY
                                                                 : DX_MESSAGE;

    if (kind == DX_MESSAGE || id == 0 || size > in->decoder.message_limit ||
        size > there - DXI_HEADER_SIZE || size > in->initial_capacity ||
        !dxi_quick_sort(channel, kind, id))
        return false;
    dxi_inbox_pass(in, size);
    in->kind = frame[4];
    *ret = (dx_message){.data = frame + DXI_HEADER_SIZE, .size = size, .kind = kind, .id = id};
    return true;
}

/* Receive a message from the inbox, or have the inbox filled from the ring for it. */
static inline bool dxi_quick_receive(dx_channel *channel, dx_message *ret, int timeout_ms)
{
    bool taken = false;

    if (dxi_inbox_next_plain(&channel->in, ret) || dxi_quick_call(channel, ret))
        return true;
    /* Who waits must look at the clock of his requests. */
    if (dxi_requests_earliest(&channel->calls.ours) != UINT64_MAX ||
        !atomic_load_explicit(&channel->lane.in_is_fast, memory_order_relaxed) ||
        !dxi_lane_take_plain(channel, ret, timeout_ms, &taken))
        return false;
    return taken || dxi_inbox_next_plain(&channel->in, ret) || dxi_quick_call(channel, ret);
}

#endif
