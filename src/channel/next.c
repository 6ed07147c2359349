/* SPDX-License-Identifier: MIT */
/*
 * From the inbox to the user: the next message of what has been taken in, and when there is none and
 * nothing more can come, how it ended. Reads nothing but the descriptors that belong to a message.
 */
#include "channel/internal.h"
#include "channel/lane.h"

#include <errno.h>

/* The inbox has no more messages, and the kernel nothing more for it: say how it ended. */
static int finish(dx_channel *channel)
{
    const struct dxi_inbox *in = &channel->in;
    size_t rest = dxi_inbox_size(in);

    if (channel->framing->greets && !in->decoder.greeted)
        return dxi_channel_fail(channel, -EPIPE,
                                "the peer ended before it had greeted; does it speak the native "
                                "protocol?");
    if (rest == 0 && !in->decoder.continued)
        return 0;
    if (in->decoder.continued)
        return dxi_channel_fail(
            channel, -EPIPE, "the conversation ended in the middle of a message, after %zu bytes",
            in->decoder.assembled + rest);
    return dxi_channel_fail(
        channel, -EPIPE, "the conversation ended in the middle of a message: %zu of %zu bytes came",
        rest, in->decoder.needed);
}

int dxi_channel_out_of_time(dx_channel *channel)
{
    const struct dxi_inbox *in = &channel->in;
    bool begun = in->decoder.continued || dxi_inbox_size(in) > 0;

    return dxi_channel_fail(channel, -ETIMEDOUT,
                            begun ? "the peer has not finished a message until the deadline"
                                  : "the peer said nothing until the deadline");
}

/* Everything has been delivered, and this is how it ended. */
static int last_word(dx_channel *channel, int result)
{
    dxi_inbox_discard(&channel->in);
    channel->in.decoder.plain = false;
    channel->inbound = DXI_INBOUND_OVER;
    channel->inbound_result = result;
    return result;
}

/* A peer that sends wake-ups without end does not keep us from saying that something is missing. */
enum { SEARCHES_MAX = 64 };

/* The next message of the inbox, whatever it is. As dxi_inbox_next(). */
static int next_frame(dx_channel *channel, dx_message *ret)
{
    struct dxi_inbox *in = &channel->in;

    for (unsigned searches = 0;; searches++) {
        bool last = channel->inbound == DXI_INBOUND_LAST && !channel->whole_only;
        int status = dxi_inbox_next(in, last, ret, dxi_channel_hear, channel);

        if (status != DXI_INBOX_BARE) {
            in->searched = false;
            return status;
        }
        /* The sender has sent the descriptors first, so they are there. */
        status = dxi_lane_attend(channel);
        if (status < 0)
            return status;
        in->searched = status != DXI_ATTEND_AGAIN || searches >= SEARCHES_MAX;
    }
}

/* The next message of the inbox, or what there is to say instead. -EAGAIN: more must come first. */
int dxi_channel_next(dx_channel *channel, dx_message *ret)
{
    struct dxi_inbox *in = &channel->in;

    if (channel->inbound == DXI_INBOUND_OVER)
        return channel->inbound_result;
    /* A channel may break while a sender takes in: what came before that is still to be delivered.
     */
    bool broken = channel->inbound == DXI_INBOUND_BROKEN;
    int status;

    do {
        status = next_frame(channel, ret);
        if (status != 1)
            break;
        status = dxi_node_sort(channel, ret);
        if (status == 1)
            status = dxi_calls_sort(channel, ret);
        if (status == 1)
            return 1;
        dxi_inbox_release(in);
    } while (status == 0);

    switch (status) {
    case 0:
        if (broken)
            return last_word(channel, -EPROTO);
        if (channel->inbound == DXI_INBOUND_LAST)
            return last_word(channel, finish(channel));
        return -EAGAIN;
    case -EPROTO:
        if (!broken)
            dxi_channel_break(channel, &in->decoder.fault);
        return last_word(channel, -EPROTO);
    case -EMFILE:
        return dxi_channel_fail(
            channel, status,
            "%zu descriptors came with a message and were lost: this process is "
            "at its limit of open files (RLIMIT_NOFILE)",
            in->message_descriptors_lost);
    default:
        return dxi_channel_fail(channel, status, "no memory to receive a message");
    }
}
