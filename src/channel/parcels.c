/* SPDX-License-Identifier: MIT */
/*
 * Descriptors bound to their message.
 *
 * On a stream, descriptors ride on the first byte of the send that bears them, and a read ends with
 * the segment that bore some, though plain bytes before it may merge into that read (Linux,
 * af_unix). A sender begins each frame that announces descriptors with a send of its own. So the
 * frame that owns the descriptors of a read is the one whose first byte lies in that read, and it
 * announces all of them: what is more or less is the peer's fault, but for what this process had no
 * room for.
 */
#include "channel/parcels.h"

#include <errno.h>
#include <string.h>

/* Descriptors in messages that nobody received yet, as multiples of what one message may bear. */
enum { BACKLOG_MESSAGES = 4 };

int dxi_parcels_open(struct dxi_inbox *in, unsigned descriptor_room)
{
    in->descriptor_room = descriptor_room;
    /* One parcel must find a place even where none is welcome, to say so. */
    in->parcel_capacity = descriptor_room * BACKLOG_MESSAGES + 1;
    in->parcels = dxi_os->allocate(in->parcel_capacity * sizeof(*in->parcels));
    if (in->parcels == NULL)
        return -ENOMEM;
    if (descriptor_room == 0)
        return 0;
    /* Room for one more than the limit lets us see that a peer went over it. */
    in->descriptor_capacity = descriptor_room * BACKLOG_MESSAGES + 1;
    in->descriptors = dxi_os->allocate(in->descriptor_capacity * sizeof(int));
    in->message_descriptors = dxi_os->allocate(descriptor_room * sizeof(int));
    return in->descriptors == NULL || in->message_descriptors == NULL ? -ENOMEM : 0;
}

void dxi_inbox_discard(struct dxi_inbox *in)
{
    dxi_parcels_release(in);
    while (in->descriptor_count > 0) {
        dxi_os->discard(in->descriptors[in->descriptor_first]);
        in->descriptor_first = (in->descriptor_first + 1) % in->descriptor_capacity;
        in->descriptor_count--;
    }
    in->parcel_count = 0;
}

void dxi_parcels_close(struct dxi_inbox *in)
{
    dxi_inbox_discard(in);
    dxi_os->release(in->parcels);
    dxi_os->release(in->descriptors);
    dxi_os->release(in->message_descriptors);
}

void dxi_parcels_release(struct dxi_inbox *in)
{
    for (size_t i = 0; i < in->message_descriptor_count; i++)
        if (in->message_descriptors[i] >= 0)
            dxi_os->discard(in->message_descriptors[i]);
    in->message_descriptor_count = 0;
}

bool dxi_inbox_expect(struct dxi_inbox *in, struct dxi_arrival *arrival, int *place)
{
    size_t limit = in->descriptor_room;

    *arrival = (struct dxi_arrival){
        .descriptors = place,
        .packets = in->read_minimum > 1,
        .barred = in->barred,
    };
    if (in->parcel_count == in->parcel_capacity)
        return false;
    if (limit == 0)
        return true;
    size_t free_places = in->descriptor_capacity - in->descriptor_count;

    if (free_places < limit + 1)
        return false;
    arrival->capacity = limit < DX_DESCRIPTORS_MAX ? limit + 1 : limit;
    return true;
}

void dxi_parcels_arrived(struct dxi_inbox *in, size_t size, const struct dxi_arrival *arrival)
{
    /* What comes by the socket while the bytes come by the ring is in order, and that is all. */
    uint64_t start = in->from_ring ? 0 : in->position + dxi_inbox_size(in);
    size_t slot = (in->parcel_first + in->parcel_count) % in->parcel_capacity;

    in->parcels[slot] = (struct dxi_parcel){
        .start = start,
        .end = in->from_ring ? UINT64_MAX : start + size,
        .count = (uint16_t)arrival->count,
        .lost = arrival->lost,
    };
    in->parcel_count++;
    for (size_t i = 0; i < arrival->count; i++) {
        size_t place = (in->descriptor_first + in->descriptor_count) % in->descriptor_capacity;

        in->descriptors[place] = arrival->descriptors[i];
        in->descriptor_count++;
    }
}

void dxi_parcels_discard(const struct dxi_arrival *arrival)
{
    for (size_t i = 0; i < arrival->count; i++)
        dxi_os->discard(arrival->descriptors[i]);
}

void dxi_parcels_turn(struct dxi_inbox *in)
{
    size_t last = (in->parcel_first + in->parcel_count - 1) % in->parcel_capacity;

    in->parcels[last].start = 0;
    in->parcels[last].end = UINT64_MAX;
}

static int fault(struct dxi_inbox *in, enum dxi_violation violation, uint64_t value, uint64_t limit)
{
    in->decoder.fault = (struct dxi_fault){violation, value, limit};
    return -EPROTO;
}

bool dxi_parcels_stale(struct dxi_inbox *in)
{
    const struct dxi_parcel *first = &in->parcels[in->parcel_first];

    if (first->end > in->position)
        return false;
    fault(in, DXI_VIOLATION_DESCRIPTORS_SURPLUS, first->count, 0);
    return true;
}

/* Move the first parcel's descriptors to the message; close them if the message is not to have
 * them. */
static void open_parcel(struct dxi_inbox *in, bool keep)
{
    size_t count = in->parcels[in->parcel_first].count;

    for (size_t i = 0; i < count; i++) {
        int fd = in->descriptors[in->descriptor_first];

        in->descriptor_first = (in->descriptor_first + 1) % in->descriptor_capacity;
        in->descriptor_count--;
        if (keep)
            in->message_descriptors[in->message_descriptor_count++] = fd;
        else
            dxi_os->discard(fd);
    }
    in->parcel_first = (in->parcel_first + 1) % in->parcel_capacity;
    in->parcel_count--;
}

int dxi_parcels_bind(struct dxi_inbox *in, const struct dxi_frame *frame)
{
    const struct dxi_parcel *first = in->parcel_count > 0 ? &in->parcels[in->parcel_first] : NULL;
    bool here = first != NULL && first->start <= in->position && in->position < first->end;
    uint64_t next = in->position + dxi_frame_total(frame);

    if (in->message_descriptors_lost > 0 && frame->descriptors > 0)
        return 0; /* reported by the call before */
    if (frame->descriptors == 0) {
        /* They may belong to a frame that begins later in the same read. */
        if (first != NULL && first->end <= next)
            return fault(in, DXI_VIOLATION_DESCRIPTORS_SURPLUS, first->count, 0);
        return 0;
    }
    if (!here)
        return fault(in, DXI_VIOLATION_DESCRIPTORS_MISSING, frame->descriptors, 0);
    if (first->count > frame->descriptors || (first->lost && first->count == frame->descriptors))
        return fault(in, DXI_VIOLATION_DESCRIPTORS_SURPLUS, first->count, frame->descriptors);
    if (first->lost) {
        in->message_descriptors_lost = frame->descriptors;
        open_parcel(in, false);
        return -EMFILE;
    }
    if (first->count < frame->descriptors)
        return fault(in, DXI_VIOLATION_DESCRIPTORS_MISSING, frame->descriptors, first->count);
    open_parcel(in, true);
    return 0;
}

int dxi_parcels_refuse(struct dxi_inbox *in)
{
    const struct dxi_parcel *first = in->parcel_count > 0 ? &in->parcels[in->parcel_first] : NULL;

    if (first != NULL && first->start <= in->position && in->position < first->end)
        open_parcel(in, false);
    return 0;
}

bool dxi_parcels_whole(const struct dxi_inbox *in, uint64_t place)
{
    for (size_t i = 0; i < in->parcel_count; i++) {
        const struct dxi_parcel *parcel =
            &in->parcels[(in->parcel_first + i) % in->parcel_capacity];

        if (parcel->start <= place && place < parcel->end)
            return parcel->count == 1 && !parcel->lost;
    }
    return false;
}
