/* SPDX-License-Identifier: MIT */
/*
 * The inbox's memory and its messages. The descriptors are in parcels.c.
 *
 * One buffer holds the unread bytes in a row, so that a message can be lent to the user where it
 * lies. It grows to the size of the message that is coming, which the decoder has compared with the
 * limit, and shrinks again when large messages have ceased. Only a message in fragments is copied,
 * into the assembly.
 */
#include "channel/inbox.h"

#include "channel/parcels.h"
#include "channel/requests.h"

#include <errno.h>
#include <string.h>

enum {
    /* A message of 64 KiB and its header, and some room for what comes behind it. */
    STREAM_CAPACITY = 68 << 10,
    /* Behind a large message a read takes in this much more at the most: it may have to be moved.
     */
    READ_AHEAD = 64 << 10,
};

int dxi_inbox_open(struct dxi_inbox *in, const struct dxi_framing *framing, bool packets,
                   size_t message_limit, unsigned descriptor_limit, unsigned descriptor_room)
{
    in->framing = framing;
    in->decoder.message_limit = message_limit;
    in->decoder.descriptor_limit = descriptor_limit;
    in->read_minimum = packets ? DXI_PACKET_MAX : 1;
    /* Where a packet lies unread, another must find room. Pages that nothing reaches cost nothing.
     */
    in->initial_capacity = packets ? 2 * DXI_PACKET_MAX : STREAM_CAPACITY;
    in->bytes = dxi_os->allocate(in->initial_capacity);
    if (in->bytes == NULL)
        return -ENOMEM;
    in->capacity = in->initial_capacity;
    return dxi_parcels_open(in, descriptor_room);
}

void dxi_inbox_close(struct dxi_inbox *in)
{
    dxi_parcels_close(in);
    dxi_os->release(in->bytes);
    dxi_os->release(in->retired);
    dxi_os->release(in->spare);
    dxi_os->release(in->assembly);
}

/* Give back what large messages needed, when none has come for long. */
static void shrink(struct dxi_inbox *in)
{
    in->small_streak = 0;
    if (in->spare_capacity > in->initial_capacity) {
        dxi_os->release(in->spare);
        in->spare = NULL;
        in->spare_capacity = 0;
    }
    dxi_os->release(in->assembly);
    in->assembly = NULL;
    in->assembly_capacity = 0;
    if (in->capacity > in->initial_capacity && dxi_inbox_size(in) == 0) {
        uint8_t *smaller = dxi_os->allocate(in->initial_capacity);

        if (smaller == NULL)
            return;
        dxi_os->release(in->bytes);
        in->bytes = smaller;
        in->capacity = in->initial_capacity;
    }
}

void dxi_inbox_release_all(struct dxi_inbox *in)
{
    /* Descriptors that came with the first piece of a message wait for its last. */
    if (!in->decoder.continued)
        dxi_parcels_release(in);
    if (in->retired != NULL) {
        dxi_os->release(in->spare);
        in->spare = in->retired;
        in->spare_capacity = in->retired_capacity;
        in->retired = NULL;
    }
    if (in->small_streak > DXI_SMALL_STREAK && !in->decoder.continued)
        shrink(in);
}

/* Move the unread bytes to a buffer of this capacity; leave the old one to the user's message. */
static int retire(struct dxi_inbox *in, size_t capacity)
{
    uint8_t *fresh = in->spare;

    if (in->spare_capacity >= capacity) {
        capacity = in->spare_capacity;
        in->spare = NULL;
        in->spare_capacity = 0;
    } else {
        fresh = dxi_os->allocate(capacity);
        if (fresh == NULL)
            return -ENOMEM;
    }
    memcpy(fresh, in->bytes + in->start, dxi_inbox_size(in));
    in->retired = in->bytes;
    in->retired_capacity = in->capacity;
    in->borrowed = false;
    in->bytes = fresh;
    in->capacity = capacity;
    in->end -= in->start;
    in->start = 0;
    return 0;
}

static int grow(struct dxi_inbox *in, size_t capacity)
{
    /* By a half at least, so that a backlog that comes in small reads is not copied at each. */
    if (capacity <= in->capacity)
        capacity = in->capacity;
    else if (capacity < in->capacity + in->capacity / 2)
        capacity = in->capacity + in->capacity / 2;
    if (in->borrowed)
        return retire(in, capacity);

    uint8_t *larger = dxi_os->resize(in->bytes, capacity);

    if (larger == NULL)
        return -ENOMEM;
    in->bytes = larger;
    in->capacity = capacity;
    return 0;
}

int dxi_inbox_room(struct dxi_inbox *in, uint8_t **ret, size_t *ret_size)
{
    size_t size = dxi_inbox_size(in);
    size_t missing = in->decoder.needed > size ? in->decoder.needed - size : 1;
    size_t wanted = missing > in->read_minimum ? missing : in->read_minimum;

    if (in->capacity - in->end < wanted + in->capacity / 2 && !in->borrowed && in->start > 0) {
        memmove(in->bytes, in->bytes + in->start, size);
        in->start = 0;
        in->end = size;
    }
    if (in->capacity - in->end < wanted) {
        int error = grow(in, size + wanted);

        if (error < 0)
            return error;
    }
    size_t room = in->capacity - in->end;

    if (in->read_minimum == 1 && missing > READ_AHEAD && room > missing + READ_AHEAD)
        room = missing + READ_AHEAD;
    *ret = in->bytes + in->end;
    *ret_size = room;
    return 0;
}

void dxi_inbox_arrived(struct dxi_inbox *in, size_t size, const struct dxi_arrival *arrival)
{
    if (arrival->count > 0 || arrival->lost)
        dxi_parcels_arrived(in, size, arrival);
    in->end += size;
}

static void consume(struct dxi_inbox *in, const struct dxi_frame *frame)
{
    size_t total = dxi_frame_total(frame);

    in->framing->consume(&in->decoder, frame);
    in->start += total;
    in->position += total;
    in->ahead_offset = 0;
}

/* Append a fragment's payload to the message that is being assembled. */
static int assemble(struct dxi_inbox *in, const struct dxi_frame *frame)
{
    size_t before = in->decoder.assembled;
    size_t after = before + frame->size;

    if (after > in->assembly_capacity) {
        size_t capacity = in->assembly_capacity * 2;

        /* The decoder has compared `after` with the limit; doubling must not pass it by. */
        if (capacity > in->decoder.message_limit)
            capacity = in->decoder.message_limit;
        if (capacity < after)
            capacity = after;
        uint8_t *larger = dxi_os->resize(in->assembly, capacity);

        if (larger == NULL)
            return -ENOMEM;
        in->assembly = larger;
        in->assembly_capacity = capacity;
    }
    if (frame->size > 0)
        memcpy(in->assembly + before, in->bytes + in->start + frame->header, frame->size);
    return 0;
}

static dx_kind kind_of(uint8_t kind)
{
    static const dx_kind kinds[] = {
        [DXI_KIND_MESSAGE] = DX_MESSAGE,     [DXI_KIND_REQUEST] = DX_REQUEST,
        [DXI_KIND_REPLY] = DX_REPLY,         [DXI_KIND_ERROR] = DX_ERROR,
        [DXI_KIND_CANCEL] = DX_CANCEL,       [DXI_KIND_FLUSH] = DX_FLUSH,
        [DXI_KIND_DELIMITER] = DX_DELIMITER, [DXI_KIND_RESPONSE_END] = DX_RESPONSE_END,
    };

    return kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[kind] : DX_MESSAGE;
}

static void lend(struct dxi_inbox *in, const struct dxi_frame *frame, const uint8_t *data,
                 size_t size, dx_message *ret)
{
    if (size > in->initial_capacity)
        in->small_streak = 0;
    else
        in->small_streak++;
    in->kind = frame->kind;
    ret->kind = kind_of(frame->kind);
    ret->id = frame->id;
    ret->code = 0;
    if (frame->kind == DXI_KIND_ERROR) {
        ret->code = (int)dxi_load32(data);
        data += DXI_ERROR_SIZE_MIN;
        size -= DXI_ERROR_SIZE_MIN;
    }
    ret->data = data;
    ret->size = size;
    ret->descriptors = in->message_descriptors;
    ret->descriptor_count = in->message_descriptor_count;
    ret->descriptors_lost = in->message_descriptors_lost;
    in->message_descriptors_lost = 0;
}

/* One frame that is wholly there. 1: it completes a message; 0: it does not; or an error. */
static int take_frame(struct dxi_inbox *in, const struct dxi_frame *frame, dx_message *ret)
{
    bool fragment = frame->more || in->decoder.continued;
    const uint8_t *data = in->bytes + in->start + frame->header;
    size_t size = frame->size;
    int error = 0;

    /* What can fail and be tried again comes first: descriptors are bound once. */
    if (fragment) {
        error = assemble(in, frame);
        data = in->assembly;
        size += in->decoder.assembled;
    }
    /* At the limit it is refused when it is entered. */
    if (error == 0 && frame->kind == DXI_KIND_REQUEST && !frame->more &&
        dxi_requests_reserve(in->requests) == -ENOMEM)
        error = -ENOMEM;
    if (error == 0 && in->from_ring && frame->descriptors > 0 && in->parcel_count == 0 &&
        !in->searched)
        return DXI_INBOX_BARE;
    if (error == 0 && (in->parcel_count > 0 || frame->descriptors > 0))
        error = frame->kind == DXI_KIND_NODE_HANDLE && in->decoder.descriptor_limit == 0
                    ? dxi_parcels_refuse(in)
                    : dxi_parcels_bind(in, frame);
    if (error < 0)
        return error;
    consume(in, frame);
    if (frame->more)
        return 0;
    in->borrowed = in->borrowed || !fragment;
    lend(in, frame, data, size, ret);
    return 1;
}

/* One of the channel's own words, which is wholly there. */
static int take_word(struct dxi_inbox *in, const struct dxi_frame *frame, dxi_word_handler *word,
                     void *context)
{
    const uint8_t *payload = in->bytes + in->start + frame->header;
    int error = 0;

    if (in->parcel_count > 0 || frame->descriptors > 0)
        error = dxi_parcels_bind(in, frame);
    /* A word that has lost its descriptor is heard all the same. */
    if (error == -EMFILE)
        in->message_descriptors_lost = 0;
    else if (error < 0)
        return error;
    error = word(context, frame, payload);
    if (error == 0)
        consume(in, frame);
    return error;
}

/* Whether a frame is no message of a user's. */
static bool is_word(const struct dxi_frame *frame)
{
    return frame->kind == DXI_KIND_HELLO ||
           (frame->kind >= DXI_KIND_OFFER && frame->kind <= DXI_KIND_END);
}

int dxi_inbox_next(struct dxi_inbox *in, bool last, dx_message *ret, dxi_word_handler *word,
                   void *context)
{
    for (;;) {
        const uint8_t *bytes = in->bytes + in->start;
        size_t size = dxi_inbox_size(in);
        struct dxi_frame frame;

        if (in->parcel_count > 0 && dxi_parcels_stale(in))
            return -EPROTO;
        if (!last && size < in->decoder.needed)
            return 0;
        int status = last ? in->framing->decode_last(&in->decoder, bytes, size, &frame)
                          : in->framing->decode(&in->decoder, bytes, size, &frame);

        if (status <= 0)
            return status;
        if (is_word(&frame)) {
            status = take_word(in, &frame, word, context);
            if (status != 0)
                return status;
            continue;
        }
        status = take_frame(in, &frame, ret);
        if (status != 0)
            return status;
    }
}

int dxi_inbox_words(struct dxi_inbox *in, dxi_word_handler *word, void *context)
{
    if (!in->framing->greets)
        return 0;
    for (;;) {
        struct dxi_frame frame;

        if ((in->decoder.greeted && in->decoder.words == 0) || in->decoder.continued ||
            dxi_inbox_size(in) < in->decoder.needed || dxi_inbox_size(in) < DXI_HEADER_SIZE)
            return 0;
        int status =
            in->framing->decode(&in->decoder, in->bytes + in->start, dxi_inbox_size(in), &frame);

        /* A fault behind it is for whoever receives what came before. */
        if (status < 0)
            return in->decoder.greeted ? 0 : status;
        if (status == 0 || !is_word(&frame))
            return 0;
        /* The user may still have descriptors of the message that was received last. */
        if (frame.descriptors > 0 && in->message_descriptor_count > 0)
            return 0;
        status = take_word(in, &frame, word, context);
        if (status != 0)
            return status;
    }
}

bool dxi_inbox_ready(struct dxi_inbox *in)
{
    if (in->parcel_count > 0 && dxi_parcels_stale(in))
        return true;
    for (;;) {
        struct dxi_decoder *decoder = in->ahead_offset > 0 ? &in->ahead : &in->decoder;
        const uint8_t *bytes = in->bytes + in->start + in->ahead_offset;
        size_t size = dxi_inbox_size(in) - in->ahead_offset;
        struct dxi_frame frame;

        if (size == 0 || size < decoder->needed)
            return false;
        int status = in->framing->decode(decoder, bytes, size, &frame);

        if (status <= 0)
            return status < 0;
        if (frame.kind == DXI_KIND_END || (!is_word(&frame) && !frame.more))
            return true;
        /* It is no message by itself. What has been looked at is not looked at again. */
        in->ahead = *decoder;
        in->framing->consume(&in->ahead, &frame);
        in->ahead_offset += dxi_frame_total(&frame);
    }
}
