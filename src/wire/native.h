/* SPDX-License-Identifier: MIT */
/*
 * The native framing: docs/wire.md in C.
 */
#ifndef DUPLEX_WIRE_NATIVE_H
#define DUPLEX_WIRE_NATIVE_H

#include "wire/bytes.h"
#include "wire/framing.h"

enum {
    DXI_HEADER_SIZE = 16,
    DXI_HELLO_SIZE = 20,      /* of the payload, in version 1 */
    DXI_HELLO_SIZE_MIN = 16,  /* one without a request limit, which is 0 then */
    DXI_HELLO_SIZE_MAX = 256, /* later features may append to it */
    DXI_ERROR_SIZE_MIN = 4,   /* the code */
    DXI_ERROR_SIZE_MAX = DXI_ERROR_SIZE_MIN + 4096,
    DXI_VERSION = 1,
    DXI_FLAG_MORE = 1,
    DXI_FEATURE_LANE = 1, /* in HELLO: I can take part in a fast lane */
    DXI_OFFER_SIZE = 16,  /* of the payload */
    DXI_OFFER_SIZE_MAX = 64,
    DXI_LANE_VERSION = 1, /* of the region's layout */

    /* The largest packet of a SOCK_SEQPACKET or SOCK_DGRAM socket, headers included. */
    DXI_PACKET_MAX = 262144,
};

/*
 * The way that nearly every message goes: a whole frame with nothing special about it, from a peer
 * who has greeted, between messages. Returns its payload size, or SIZE_MAX if decode() must have a
 * look.
 */
static inline size_t dxi_native_plain(const struct dxi_decoder *decoder, const uint8_t *bytes,
                                      size_t size)
{
    if (!decoder->plain || size < DXI_HEADER_SIZE)
        return SIZE_MAX;
    size_t payload = dxi_load32(bytes);

    /* Kind, flags and descriptors in one comparison, then the id. */
    if (dxi_load32(bytes + 4) != (uint32_t)DXI_KIND_MESSAGE << 24 || dxi_load64(bytes + 8) != 0 ||
        payload > decoder->message_limit || payload > size - DXI_HEADER_SIZE)
        return SIZE_MAX;
    return payload;
}

/* The header of such a frame, or of one of another kind with nothing special about it. */
static inline void dxi_native_plain_header(uint8_t ret[DXI_HEADER_SIZE], size_t size, uint8_t kind,
                                           uint64_t id)
{
    dxi_store32(ret, (uint32_t)size);
    dxi_store32(ret + 4, (uint32_t)kind << 24);
    dxi_store64(ret + 8, id);
}

/* What each side says of itself, once, first. */
struct dxi_hello {
    uint16_t version;
    uint16_t descriptor_limit;
    uint32_t features;
    uint64_t message_limit;
    uint32_t request_limit;
};

void dxi_hello_encode(const struct dxi_hello *hello, uint8_t ret[DXI_HELLO_SIZE]);

/* What the maker of a region says of it. */
struct dxi_offer {
    uint32_t version;
    uint32_t control_size;
    uint64_t ring_size;
};

void dxi_offer_encode(const struct dxi_offer *offer, uint8_t ret[DXI_OFFER_SIZE]);
void dxi_offer_decode(const uint8_t payload[DXI_OFFER_SIZE], struct dxi_offer *ret);

/*
 * Look at a word of the lane that came by the socket after the switch: 16 bytes, the header alone.
 * Fills the frame. 0, or -EPROTO and the fault.
 */
int dxi_lane_word_decode(const uint8_t bytes[DXI_HEADER_SIZE], struct dxi_frame *ret,
                         struct dxi_fault *ret_fault);

/* 0, or -EPROTO and the fault. */
int dxi_hello_decode(const uint8_t *payload, size_t size, struct dxi_hello *ret,
                     struct dxi_fault *ret_fault);

#endif
