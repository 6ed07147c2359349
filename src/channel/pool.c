/* SPDX-License-Identifier: MIT */
/*
 * What the floor of the pools asks of the channels to its workers. It has one thread for all of them,
 * so that no lock is taken here.
 */
#include "channel/internal.h"
#include "channel/quick.h"

#include <errno.h>
#include <inttypes.h>

void dxi_channel_lead_to_worker(dx_channel *channel)
{
    channel->calls.elsewhere = true;
    channel->whole_only = true;
    channel->is_watched = true;
}

bool dxi_channel_post_quick(dx_channel *channel, const void *data, size_t size, unsigned open,
                            uint64_t *ret_id)
{
    struct dxi_calls *calls = &channel->calls;
    uint64_t id = calls->last_id + 1;

    if (open >= calls->quick_limit || !dxi_single_threaded() ||
        channel->inbound == DXI_INBOUND_OVER ||
        !dxi_quick_send(channel, data, size, DXI_KIND_REQUEST, id))
        return false;
    calls->last_id = id;
    *ret_id = id;
    return true;
}

int dxi_channel_post(dx_channel *channel, const dx_message *request, unsigned open,
                     uint64_t *ret_id)
{
    struct dxi_patience none = {.timeout_ms = DX_NOW};

    channel->calls.open = open;
    return dxi_calls_start(channel, request, false, &none, ret_id);
}

bool dxi_channel_take_reply(dx_channel *channel, dx_message *ret)
{
    struct dxi_inbox *in = &channel->in;
    struct dxi_lane *lane = &channel->lane;

    if (in->start == in->end) {
        if (!atomic_load_explicit(&lane->in_is_fast, memory_order_relaxed) ||
            (dxi_ring_filled(&lane->in) == 0 && !dxi_ring_stirs(&lane->in)))
            return false;
        if (!dxi_single_threaded() || channel->inbound != DXI_INBOUND_OPEN ||
            !dxi_quick_release(channel) || dxi_lane_fill(channel, SIZE_MAX) != 1)
            return false;
        return dxi_quick_call(channel, ret);
    }
    return dxi_single_threaded() && dxi_quick_release(channel) && dxi_quick_call(channel, ret);
}

bool dxi_channel_greeted(const dx_channel *channel)
{
    return !channel->framing->greets ||
           atomic_load_explicit(&channel->peer_limit, memory_order_relaxed) != 0;
}

bool dxi_channel_hears_ring(const dx_channel *channel)
{
    return atomic_load_explicit(&channel->lane.in_is_fast, memory_order_relaxed);
}

bool dxi_channel_holds(const dx_channel *channel)
{
    return channel->in.start != channel->in.end;
}

bool dxi_channel_stirs(const dx_channel *channel)
{
    return dxi_channel_holds(channel) ||
           (dxi_channel_hears_ring(channel) &&
            (dxi_ring_filled(&channel->lane.in) > 0 || dxi_ring_stirs(&channel->lane.in)));
}

bool dxi_channel_rings(const dx_channel *channel)
{
    return dxi_channel_hears_ring(channel) && dxi_ring_stirs(&channel->lane.in);
}

enum dxi_peer dxi_channel_peer(const dx_channel *channel)
{
    const struct dxi_ring_in *ring = &channel->lane.in;
    unsigned cpu = dxi_os->processor();

    if (cpu != atomic_load_explicit(&ring->mine->cpu, memory_order_relaxed))
        atomic_store_explicit(&ring->mine->cpu, cpu, memory_order_relaxed);
    if (atomic_load_explicit(&ring->peer->asleep, memory_order_relaxed) != 0)
        return DXI_PEER_ASLEEP;
    return atomic_load_explicit(&ring->peer->cpu, memory_order_relaxed) == cpu ? DXI_PEER_BESIDE
                                                                               : DXI_PEER_AWAKE;
}

bool dxi_channel_left_unread(const dx_channel *channel)
{
    const struct dxi_lane *lane = &channel->lane;

    /* It may be the offer of a lane that was not read, or the last word before it. */
    if (atomic_load_explicit(&lane->considered, memory_order_relaxed) &&
        (!atomic_load_explicit(&lane->settled, memory_order_relaxed) ||
         atomic_load_explicit(&lane->in_is_fast, memory_order_relaxed) !=
             atomic_load_explicit(&lane->out_is_fast, memory_order_relaxed)))
        return false;
    /* What was kept here to be sent later, and never was, is the end of what was said. */
    if (channel->out.lost)
        return true;
    if (atomic_load_explicit(&lane->out_is_fast, memory_order_relaxed))
        return dxi_ring_left_unread(&lane->out);
    if (channel->was_reset || atomic_load_explicit(&channel->out_pending, memory_order_relaxed))
        return true;
    return channel->write_medium == DXI_MEDIUM_PIPE && channel->write_fd >= 0 &&
           dxi_os->queued(channel->write_fd) > 0;
}

bool dxi_channel_send_collected(dx_channel *channel)
{
    dxi_channel_flush_now(channel);
    return !channel->out.lost;
}

int dxi_channel_check_job(const dx_channel_options *options, const void *data, size_t size,
                          size_t descriptor_count, dx_failure *failure)
{
    const struct dxi_framing *framing = dxi_framing_of(options->framing);
    size_t limit = options->message_limit > 0 ? options->message_limit : DX_MESSAGE_LIMIT_DEFAULT;
    struct dxi_letter letter = {.data = data, .size = size, .kind = DXI_KIND_MESSAGE};
    struct dxi_envelope envelope;

    if (size > limit)
        return dxi_fail(failure, -EMSGSIZE, "a job of %zu bytes; the limit is %zu", size, limit);
    if (framing->size_max > 0 && size > framing->size_max)
        return dxi_fail(failure, -EMSGSIZE,
                        "a job of %zu bytes; the framing '%s' carries at most %" PRIu64, size,
                        framing->name, framing->size_max);
    if (descriptor_count > DX_DESCRIPTORS_MAX)
        return dxi_fail(failure, -EMSGSIZE, "%zu descriptors; a job carries at most %d",
                        descriptor_count, DX_DESCRIPTORS_MAX);
    if (descriptor_count > 0 && !framing->carries_descriptors)
        return dxi_fail(failure, -EOPNOTSUPP, "the framing '%s' carries no descriptors",
                        framing->name);
    if (framing->greets || framing->encode(&letter, &envelope) != -EINVAL)
        return 0;
    return dxi_fail(failure, -EINVAL, "the framing '%s' cannot carry these bytes", framing->name);
}
