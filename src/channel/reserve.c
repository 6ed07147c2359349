/* SPDX-License-Identifier: MIT */
/*
 * Writing a message in place. In the fast lane the place is the ring itself; elsewhere it is memory of
 * the channel's, and is copied once it is known how much of it was written.
 */
#include "channel/internal.h"

#include "os/os.h"
#include "wire/native.h"

#include <errno.h>
#include <stdint.h>

/* Whether a frame of this size lies in the ring in one piece. */
static bool fits_ring(const dx_channel *channel, size_t size)
{
    /* A quarter may be taken and not given back while its consumer is busy. */
    return channel->lane.course == DXI_COURSE_RING &&
           size <= channel->lane.out.size / 4 * 3 - DXI_HEADER_SIZE;
}

void dxi_channel_unreserve(dx_channel *channel)
{
    struct dxi_outbox *out = &channel->out;

    dxi_os->release(out->scratch);
    out->scratch = NULL;
    out->reserved = NULL;
    out->reserved_size = 0;
}

/* Wait until so much of the ring is free. */
static int await_room(dx_channel *channel, size_t size, struct dxi_patience *patience)
{
    struct dxi_lane *lane = &channel->lane;
    int status = 0;

    if (dxi_ring_look_for_room(&lane->out) == 0 && lane->out.tail == lane->out.published)
        dxi_ring_rewind(&lane->out);
    lane->wanted = size;
    while (status == 0 && dxi_ring_room(&lane->out) < size) {
        status = dxi_wait_to_send(channel, patience);
        if (status == 0 && dxi_ring_look_for_room(&lane->out) < 0)
            status = dxi_channel_refused(channel, -EPROTO);
        if (status == 0 && atomic_load_explicit(&channel->peer_gone, memory_order_relaxed))
            status = dxi_channel_refused(channel, -EPIPE);
    }
    lane->wanted = 0;
    return status;
}

/* The caller holds out_lock. */
static int reserve(dx_channel *channel, size_t size, void **ret, struct dxi_patience *patience)
{
    struct dxi_outbox *out = &channel->out;
    const dx_message message = {.size = size};

    dxi_channel_unreserve(channel);
    int status = dxi_channel_check_open(channel);

    if (status == 0)
        status = dxi_channel_check_limits(channel, &message);
    if (status == 0 && channel->framing == &dxi_framing_node)
        status = dxi_channel_fail(channel, -EOPNOTSUPP,
                                  "nothing can be written in place for the framing 'node'");
    /* What is to leave before it leaves now, so that no more than one message is kept. */
    if (status == 0 && !out->corked &&
        atomic_load_explicit(&channel->out_pending, memory_order_relaxed))
        status = dxi_channel_transmit(channel, NULL, NULL, 0, patience);
    if (status < 0)
        return status;
    if (fits_ring(channel, size) && dxi_outbox_size(out) == 0) {
        status = await_room(channel, DXI_HEADER_SIZE + size, patience);
        if (status < 0)
            return status;
        out->reserved = dxi_ring_place(&channel->lane.out) + DXI_HEADER_SIZE;
    } else {
        out->scratch = dxi_os->allocate(size > 0 ? size : 1);
        if (out->scratch == NULL)
            return dxi_channel_fail(channel, -ENOMEM, "no memory for a message of %zu bytes", size);
        out->reserved = out->scratch;
    }
    out->reserved_size = size;
    *ret = out->reserved;
    return 0;
}

int dx_reserve(dx_channel *channel, size_t size, void **ret, int timeout_ms)
{
    struct dxi_patience patience = {.timeout_ms = timeout_ms};
    int status = dxi_channel_check(channel);

    if (status < 0)
        return status;
    if (ret == NULL)
        return dxi_channel_fail(channel, -EINVAL, "dx_reserve() needs a place for its answer");
    dxi_lock(&channel->out_lock);
    status = reserve(channel, size, ret, &patience);
    dxi_channel_note_wanted(channel, status);
    dxi_channel_note_plain(channel);
    dxi_lane_note_quick(channel);
    dxi_unlock(&channel->out_lock);
    return status;
}

/* In the ring: the header in front of what was written there, and let it be seen. */
static void commit_in_place(dx_channel *channel, size_t size)
{
    struct dxi_ring_out *out = &channel->lane.out;

    dxi_native_plain_header(dxi_ring_place(out), size, DXI_KIND_MESSAGE, 0);
    out->tail += DXI_HEADER_SIZE + size;
    if (channel->out.corked && out->tail - out->published < DXI_RING_CHUNK)
        atomic_store_explicit(&channel->out_pending, true, memory_order_relaxed);
    else
        dxi_lane_publish(channel);
}

/* Into the outbox, whatever the kernel takes of it now. */
static int commit_copy(dx_channel *channel, size_t size)
{
    struct dxi_outbox *out = &channel->out;
    struct dxi_letter letter = {.data = out->scratch, .size = size, .kind = DXI_KIND_MESSAGE};
    struct dxi_parting parting;
    int status = dxi_parting_begin(&parting, channel->framing, &letter, out->packet_limit);

    if (status == -EINVAL)
        return dxi_channel_fail(channel, status, "the framing '%s' cannot carry these bytes",
                                channel->framing->name);
    if (status == 0)
        status = dxi_parting_keep(&parting, out);
    if (status < 0)
        return dxi_channel_fail(channel, status, "no memory to keep a message of %zu bytes", size);
    atomic_store_explicit(&channel->out_pending, true, memory_order_relaxed);
    return 0;
}

/* The caller holds out_lock. */
static int commit(dx_channel *channel, size_t size, bool *ret_kept)
{
    struct dxi_outbox *out = &channel->out;
    void *reserved = out->reserved;
    int status;

    if (reserved == NULL || size > out->reserved_size)
        return dxi_channel_fail(channel, -EINVAL, "%zu bytes to commit; %zu are reserved", size,
                                out->reserved_size);
    /* For the look whether the channel is open; what was reserved stays valid if it is not. */
    out->reserved = NULL;
    status = dxi_channel_check_open(channel);
    if (status == 0 && out->scratch == NULL)
        commit_in_place(channel, size);
    else if (status == 0)
        status = commit_copy(channel, size);
    *ret_kept = status == 0 && out->scratch != NULL && !out->corked;
    dxi_channel_unreserve(channel);
    return status;
}

int dx_commit(dx_channel *channel, size_t size)
{
    bool kept = false;
    int status = dxi_channel_check(channel);

    if (status < 0)
        return status;
    dxi_lock(&channel->out_lock);
    status = commit(channel, size, &kept);
    dxi_channel_note_plain(channel);
    dxi_lane_note_quick(channel);
    dxi_unlock(&channel->out_lock);
    if (kept)
        dxi_channel_flush_now(channel);
    return status;
}
