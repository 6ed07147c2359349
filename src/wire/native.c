/* SPDX-License-Identifier: MIT */
/*
 * The native framing. A header of 16 bytes in network byte order, then the payload:
 *
 *     u32 payload length, u8 kind, u8 flags, u16 descriptors, u64 id
 *
 * The peer may be hostile: whatever is unknown or over a limit is a violation, found as soon as the
 * header is there and before anything is allocated for the payload.
 */
#include "wire/native.h"

#include <errno.h>

static int violation(struct dxi_fault *fault, enum dxi_violation what, uint64_t value,
                     uint64_t limit)
{
    *fault = (struct dxi_fault){what, value, limit};
    return -EPROTO;
}

static int check_hello(struct dxi_decoder *decoder, const struct dxi_frame *frame)
{
    struct dxi_fault *fault = &decoder->fault;

    if (decoder->greeted)
        return violation(fault, DXI_VIOLATION_SECOND_HELLO, 0, 0);
    if (frame->size < DXI_HELLO_SIZE_MIN || frame->size > DXI_HELLO_SIZE_MAX)
        return violation(fault, DXI_VIOLATION_HELLO_SIZE, frame->size, 0);
    if (frame->more)
        return violation(fault, DXI_VIOLATION_FLAGS, DXI_FLAG_MORE, 0);
    if (frame->descriptors > 0)
        return violation(fault, DXI_VIOLATION_DESCRIPTOR_LIMIT, frame->descriptors, 0);
    return 0;
}

/* ERROR and CANCEL: small, in one piece, without descriptors. */
static int check_word(struct dxi_decoder *decoder, const struct dxi_frame *frame)
{
    struct dxi_fault *fault = &decoder->fault;

    if (frame->kind == DXI_KIND_CANCEL &&
        (frame->size > 0 || frame->more || frame->descriptors > 0))
        return violation(fault, DXI_VIOLATION_CANCEL, 0, 0);
    if (frame->kind == DXI_KIND_CANCEL)
        return 0;
    if (frame->size < DXI_ERROR_SIZE_MIN || frame->size > DXI_ERROR_SIZE_MAX)
        return violation(fault, DXI_VIOLATION_ERROR_SIZE, frame->size, DXI_ERROR_SIZE_MAX);
    if (frame->more)
        return violation(fault, DXI_VIOLATION_FLAGS, DXI_FLAG_MORE, 0);
    if (frame->descriptors > 0)
        return violation(fault, DXI_VIOLATION_DESCRIPTOR_LIMIT, frame->descriptors, 0);
    return 0;
}

/* The words of the fast lane: each at its time only, and the header alone but for OFFER. */
static int check_lane(struct dxi_decoder *decoder, const struct dxi_frame *frame)
{
    bool offer = frame->kind == DXI_KIND_OFFER;

    if (frame->more || decoder->continued || frame->descriptors != (offer ? 1 : 0) ||
        frame->size < (offer ? (size_t)DXI_OFFER_SIZE : 0) ||
        frame->size > (offer ? (size_t)DXI_OFFER_SIZE_MAX : 0))
        return violation(&decoder->fault, DXI_VIOLATION_LANE_WORD, frame->kind, 0);
    return 0;
}

/* MESSAGE, REQUEST and REPLY: of any size, in any number of pieces. */
static int check_message(struct dxi_decoder *decoder, const struct dxi_frame *frame)
{
    struct dxi_fault *fault = &decoder->fault;

    if (frame->size > decoder->message_limit - decoder->assembled)
        return violation(fault, DXI_VIOLATION_LENGTH, (uint64_t)frame->size + decoder->assembled,
                         decoder->message_limit);
    if (frame->more && frame->size == 0)
        return violation(fault, DXI_VIOLATION_EMPTY_FRAGMENT, 0, 0);
    if (frame->descriptors > decoder->descriptor_limit)
        return violation(fault, DXI_VIOLATION_DESCRIPTOR_LIMIT, frame->descriptors,
                         decoder->descriptor_limit);
    if (decoder->continued && frame->descriptors > 0)
        return violation(fault, DXI_VIOLATION_FRAGMENT_DESCRIPTORS, frame->descriptors, 0);
    return 0;
}

static int check(struct dxi_decoder *decoder, const struct dxi_frame *frame, uint8_t flags)
{
    struct dxi_fault *fault = &decoder->fault;

    bool lane = frame->kind > DXI_KIND_CANCEL && frame->kind <= DXI_KIND_END &&
                (decoder->words >> frame->kind & 1) != 0;

    if (frame->kind < DXI_KIND_HELLO || (frame->kind > DXI_KIND_CANCEL && !lane))
        return violation(fault, DXI_VIOLATION_KIND, frame->kind, 0);
    if ((flags & ~DXI_FLAG_MORE) != 0)
        return violation(fault, DXI_VIOLATION_FLAGS, flags, 0);
    bool call = frame->kind >= DXI_KIND_REQUEST && frame->kind <= DXI_KIND_CANCEL;

    if (!call && frame->id != 0)
        return violation(fault, DXI_VIOLATION_ID, frame->id, 0);
    if (call && frame->id == 0)
        return violation(fault, DXI_VIOLATION_NO_ID, frame->kind, 0);
    if (frame->kind == DXI_KIND_HELLO)
        return check_hello(decoder, frame);
    if (!decoder->greeted)
        return violation(fault, DXI_VIOLATION_NO_HELLO, frame->kind, 0);
    if (lane)
        return check_lane(decoder, frame);
    if (decoder->continued && (frame->kind != decoder->kind || frame->id != decoder->id))
        return violation(fault, DXI_VIOLATION_FRAGMENT_KIND, frame->kind, frame->id);
    if (frame->kind >= DXI_KIND_ERROR)
        return check_word(decoder, frame);
    return check_message(decoder, frame);
}

static int decode(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                  struct dxi_frame *ret)
{
    if (size < DXI_HEADER_SIZE) {
        decoder->needed = DXI_HEADER_SIZE;
        return 0;
    }
    uint8_t flags = bytes[5];

    ret->header = DXI_HEADER_SIZE;
    ret->size = dxi_load32(bytes);
    ret->trailer = 0;
    ret->kind = bytes[4];
    ret->more = (flags & DXI_FLAG_MORE) != 0;
    ret->descriptors = dxi_load16(bytes + 6);
    ret->id = dxi_load64(bytes + 8);

    int error = check(decoder, ret, flags);

    if (error < 0)
        return error;
    if (size - DXI_HEADER_SIZE < ret->size) {
        decoder->needed = DXI_HEADER_SIZE + ret->size;
        return 0;
    }
    return 1;
}

static int decode_last(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                       struct dxi_frame *ret)
{
    return decode(decoder, bytes, size, ret);
}

static void consume(struct dxi_decoder *decoder, const struct dxi_frame *frame)
{
    decoder->needed = DXI_HEADER_SIZE;
    if (frame->kind == DXI_KIND_HELLO) {
        decoder->greeted = true;
        decoder->plain = true;
        return;
    }
    if (frame->kind > DXI_KIND_CANCEL)
        return;
    decoder->continued = frame->more;
    decoder->kind = frame->kind;
    decoder->id = frame->id;
    decoder->plain = !frame->more;
    decoder->assembled = frame->more ? decoder->assembled + frame->size : 0;
}

static int encode(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    if (letter->kind > DXI_KIND_END)
        return -EINVAL;
    if (letter->size > UINT32_MAX)
        return -EMSGSIZE;
    dxi_store32(ret->header, (uint32_t)letter->size);
    ret->header[4] = letter->kind;
    ret->header[5] = letter->more ? DXI_FLAG_MORE : 0;
    dxi_store16(ret->header + 6, letter->descriptors);
    dxi_store64(ret->header + 8, letter->id);
    ret->header_size = DXI_HEADER_SIZE;
    ret->trailer_size = 0;
    return 0;
}

const struct dxi_framing dxi_framing_native = {
    .name = "native",
    .greets = true,
    .carries_descriptors = true,
    .fragments = true,
    .has_ids = true,
    .size_max = UINT32_MAX,
    .decode = decode,
    .decode_last = decode_last,
    .consume = consume,
    .encode = encode,
};

void dxi_hello_encode(const struct dxi_hello *hello, uint8_t ret[DXI_HELLO_SIZE])
{
    dxi_store16(ret, hello->version);
    dxi_store16(ret + 2, hello->descriptor_limit);
    dxi_store32(ret + 4, hello->features);
    dxi_store64(ret + 8, hello->message_limit);
    dxi_store32(ret + 16, hello->request_limit);
}

int dxi_hello_decode(const uint8_t *payload, size_t size, struct dxi_hello *ret,
                     struct dxi_fault *ret_fault)
{
    if (size < DXI_HELLO_SIZE_MIN || size > DXI_HELLO_SIZE_MAX)
        return violation(ret_fault, DXI_VIOLATION_HELLO_SIZE, size, 0);
    ret->version = dxi_load16(payload);
    ret->descriptor_limit = dxi_load16(payload + 2);
    ret->features = dxi_load32(payload + 4);
    ret->message_limit = dxi_load64(payload + 8);
    ret->request_limit = size < DXI_HELLO_SIZE ? 0 : dxi_load32(payload + 16);
    if (ret->version != DXI_VERSION)
        return violation(ret_fault, DXI_VIOLATION_VERSION, ret->version, DXI_VERSION);
    return 0;
}

void dxi_offer_encode(const struct dxi_offer *offer, uint8_t ret[DXI_OFFER_SIZE])
{
    dxi_store32(ret, offer->version);
    dxi_store32(ret + 4, offer->control_size);
    dxi_store64(ret + 8, offer->ring_size);
}

void dxi_offer_decode(const uint8_t payload[DXI_OFFER_SIZE], struct dxi_offer *ret)
{
    ret->version = dxi_load32(payload);
    ret->control_size = dxi_load32(payload + 4);
    ret->ring_size = dxi_load64(payload + 8);
}

int dxi_lane_word_decode(const uint8_t bytes[DXI_HEADER_SIZE], struct dxi_frame *ret,
                         struct dxi_fault *ret_fault)
{
    ret->header = DXI_HEADER_SIZE;
    ret->size = dxi_load32(bytes);
    ret->trailer = 0;
    ret->kind = bytes[4];
    ret->more = false;
    ret->descriptors = dxi_load16(bytes + 6);
    ret->id = dxi_load64(bytes + 8);
    bool bears = ret->kind == DXI_KIND_DESCRIPTORS;

    if (ret->kind >= DXI_KIND_HELLO && ret->kind <= DXI_KIND_CANCEL)
        return violation(ret_fault, DXI_VIOLATION_LANE_OUTSIDE, ret->kind, 0);
    if (ret->kind != DXI_KIND_WAKE && !bears)
        return violation(ret_fault, DXI_VIOLATION_KIND, ret->kind, 0);
    if (ret->size != 0 || bytes[5] != 0 || (ret->descriptors > 0) != bears ||
        (ret->id > 0) != bears)
        return violation(ret_fault, DXI_VIOLATION_LANE_WORD, ret->kind, 0);
    return 0;
}
