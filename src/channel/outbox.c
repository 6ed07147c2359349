/* SPDX-License-Identifier: MIT */
/*
 * The outbox's memory, and how a message is cut into frames.
 */
#include "channel/outbox.h"

#include "os/os.h"
#include "wire/bytes.h"
#include "wire/native.h"

#include <errno.h>
#include <string.h>

enum {
    /* After so many sends without need, the memory for the rest of a large message is given back.
     */
    SMALL_STREAK = 1024,
};

void dxi_outbox_close(struct dxi_outbox *out)
{
    dxi_os->release(out->bytes);
}

int dxi_outbox_reserve(struct dxi_outbox *out, size_t size)
{
    size_t held = dxi_outbox_size(out);

    if (out->capacity - out->end >= size)
        return 0;
    if (out->start > 0) {
        memmove(out->bytes, out->bytes + out->start, held);
        out->start = 0;
        out->end = held;
        if (out->capacity - out->end >= size)
            return 0;
    }
    size_t capacity = held + size > DXI_OUTBOX_CAPACITY ? held + size : (size_t)DXI_OUTBOX_CAPACITY;
    uint8_t *larger = dxi_os->resize(out->bytes, capacity);

    if (larger == NULL) {
        out->starved = true;
        return -ENOMEM;
    }
    out->bytes = larger;
    out->capacity = capacity;
    return 0;
}

void dxi_outbox_append(struct dxi_outbox *out, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(out->bytes + out->end, bytes, size);
    out->end += size;
    out->lane_bytes = 0;
}

/* Nobody misses it when it is lost. */
static bool is_of_the_lane(uint8_t kind)
{
    return kind == DXI_KIND_OFFER || kind == DXI_KIND_ACCEPT || kind == DXI_KIND_DECLINE ||
           kind == DXI_KIND_SWITCH;
}

void dxi_outbox_append_frame(struct dxi_outbox *out, const struct dxi_envelope *envelope,
                             const struct dxi_letter *letter)
{
    size_t lane_bytes =
        out->lane_bytes + envelope->header_size + letter->size + envelope->trailer_size;

    dxi_outbox_append(out, envelope->header, envelope->header_size);
    dxi_outbox_append(out, letter->data, letter->size);
    dxi_outbox_append(out, envelope->trailer, envelope->trailer_size);
    if (is_of_the_lane(letter->kind))
        out->lane_bytes = lane_bytes;
}

void dxi_outbox_sent(struct dxi_outbox *out, size_t size)
{
    out->start += size;
    if (out->start < out->end)
        return;
    if (out->end > DXI_OUTBOX_CAPACITY)
        out->small_streak = 0;
    out->start = out->end = 0;
}

void dxi_outbox_rest(struct dxi_outbox *out)
{
    if (out->capacity <= DXI_OUTBOX_CAPACITY || ++out->small_streak <= SMALL_STREAK)
        return;
    dxi_os->release(out->bytes);
    out->bytes = NULL;
    out->capacity = 0;
}

/* As many frames as one packet should hold, and one at least. */
static size_t whole_frames(const struct dxi_outbox *out, size_t limit)
{
    size_t whole = 0;

    while (whole < dxi_outbox_size(out)) {
        size_t frame = DXI_HEADER_SIZE + dxi_load32(out->bytes + out->start + whole);

        if (whole > 0 && whole + frame > limit)
            break;
        whole += frame;
    }
    return whole;
}

size_t dxi_outbox_next(const struct dxi_outbox *out)
{
    size_t size = dxi_outbox_size(out);

    size_t limit = out->packet_limit < DXI_PIECE ? out->packet_limit : (size_t)DXI_PIECE;

    return out->packet_limit == 0 || size <= limit ? size : whole_frames(out, limit);
}

/* Prepare the frame that begins `done` bytes into the message. */
static int present(struct dxi_parting *parting)
{
    struct dxi_letter letter = parting->letter;
    size_t left = parting->letter.size - parting->done;

    parting->data = parting->done > 0 || letter.size > 0
                        ? (const uint8_t *)parting->letter.data + parting->done
                        : NULL;
    parting->more = left > parting->frame_limit;
    parting->size = parting->more ? parting->frame_limit : left;
    parting->offset = 0;
    letter.data = parting->data;
    letter.size = parting->size;
    letter.more = parting->more;
    if (parting->done > 0)
        letter.descriptors = 0;
    return parting->framing->encode(&letter, &parting->envelope);
}

int dxi_parting_begin(struct dxi_parting *parting, const struct dxi_framing *framing,
                      const struct dxi_letter *letter, size_t packet_limit)
{
    parting->framing = framing;
    parting->letter = *letter;
    parting->done = 0;
    parting->begun = false;
    parting->finished = false;
    parting->frame_limit = SIZE_MAX;
    if (packet_limit > 0 && letter->size > packet_limit - DXI_HEADER_SIZE)
        parting->frame_limit =
            (packet_limit < DXI_PIECE ? packet_limit : (size_t)DXI_PIECE) - DXI_HEADER_SIZE;
    return present(parting);
}

static size_t add_part(const void *bytes, size_t size, size_t *skip, struct iovec *ret)
{
    if (*skip >= size) {
        *skip -= size;
        return 0;
    }
    ret->iov_base = (uint8_t *)bytes + *skip;
    ret->iov_len = size - *skip;
    *skip = 0;
    return 1;
}

size_t dxi_parting_parts(const struct dxi_parting *parting, struct iovec ret[3])
{
    const struct dxi_envelope *envelope = &parting->envelope;
    size_t skip = parting->offset;
    size_t count = 0;

    count += add_part(envelope->header, envelope->header_size, &skip, &ret[count]);
    count += add_part(parting->data, parting->size, &skip, &ret[count]);
    count += add_part(envelope->trailer, envelope->trailer_size, &skip, &ret[count]);
    return count;
}

void dxi_parting_sent(struct dxi_parting *parting, size_t size)
{
    const struct dxi_envelope *envelope = &parting->envelope;

    parting->begun = true;
    parting->offset += size;
    if (parting->offset < envelope->header_size + parting->size + envelope->trailer_size)
        return;
    if (!parting->more) {
        parting->finished = true;
        return;
    }
    parting->done += parting->size;
    /* A framing that cuts messages refuses none of their pieces. */
    (void)present(parting);
}

int dxi_parting_keep(struct dxi_parting *parting, struct dxi_outbox *out)
{
    size_t left = parting->letter.size - parting->done;
    size_t frames = parting->frame_limit < left ? left / parting->frame_limit + 1 : 1;
    int error = dxi_outbox_reserve(out, left + frames * sizeof(parting->envelope.header) +
                                            sizeof(parting->envelope.trailer));

    if (error < 0)
        return error;
    while (!parting->finished) {
        struct iovec parts[3];
        size_t count = dxi_parting_parts(parting, parts);
        size_t size = 0;

        for (size_t i = 0; i < count; i++) {
            dxi_outbox_append(out, parts[i].iov_base, parts[i].iov_len);
            size += parts[i].iov_len;
        }
        dxi_parting_sent(parting, size);
    }
    return 0;
}
