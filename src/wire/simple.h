/* SPDX-License-Identifier: MIT */
/*
 * What the framings of other programs share. Their messages are whole frames without ids; most
 * begin with a length, the others end with a byte that a message cannot hold.
 */
#ifndef DUPLEX_WIRE_SIMPLE_H
#define DUPLEX_WIRE_SIMPLE_H

#include "wire/framing.h"

#include <errno.h>
#include <string.h>

enum {
    /* Digits of the largest number of 64 bits. */
    DXI_DECIMAL_MAX = 20,
};

/* Whether a letter is a message and nothing more: no piece, no request, no descriptors. */
static inline bool dxi_letter_is_plain(const struct dxi_letter *letter)
{
    return letter->kind == DXI_KIND_MESSAGE && !letter->more && letter->descriptors == 0;
}

static inline int dxi_violated(struct dxi_decoder *decoder, enum dxi_violation violation,
                               uint64_t value, uint64_t limit)
{
    decoder->fault = (struct dxi_fault){violation, value, limit};
    return -EPROTO;
}

/* Not yet: so many bytes must be seen. */
static inline int dxi_wants(struct dxi_decoder *decoder, size_t needed)
{
    decoder->needed = needed;
    return 0;
}

static inline int dxi_found(size_t header, size_t size, size_t trailer, struct dxi_frame *ret)
{
    *ret = (struct dxi_frame){
        .header = header,
        .size = size,
        .trailer = trailer,
        .kind = DXI_KIND_MESSAGE,
    };
    return 1;
}

/* The answer to a header that has said the length: it is over the limit, not all there, or found. */
static inline int dxi_announced(struct dxi_decoder *decoder, size_t size, size_t header,
                                uint64_t length, size_t trailer, struct dxi_frame *ret)
{
    if (length > decoder->message_limit)
        return dxi_violated(decoder, DXI_VIOLATION_LENGTH, length, decoder->message_limit);
    if (size < header + (size_t)length + trailer)
        return dxi_wants(decoder, header + (size_t)length + trailer);
    return dxi_found(header, (size_t)length, trailer, ret);
}

/*
 * Find the byte that ends a message of at most so many bytes. 1: it is there; 0: not yet; -EPROTO,
 * without a fault: more bytes have come. Only what is new is searched, so that a message that comes
 * byte by byte costs no square of it.
 */
static inline int dxi_find_end(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                               uint8_t end, size_t most, size_t *ret_length)
{
    size_t skip = decoder->scanned < size ? decoder->scanned : size;
    const uint8_t *place = size > skip ? memchr(bytes + skip, end, size - skip) : NULL;
    size_t length = place != NULL ? (size_t)(place - bytes) : size;

    if (length > most)
        return -EPROTO;
    *ret_length = length;
    if (place != NULL)
        return 1;
    decoder->scanned = size;
    return dxi_wants(decoder, size + 1);
}

/* For `consume` of a framing that keeps nothing from one frame to the next. */
static inline void dxi_consumed(struct dxi_decoder *decoder, const struct dxi_frame *frame)
{
    (void)frame;
    decoder->scanned = 0;
    decoder->needed = 1;
}

/* Write a number in decimal digits. Returns how many there are, at most DXI_DECIMAL_MAX. */
static inline size_t dxi_store_decimal(uint8_t *to, uint64_t value)
{
    uint8_t digits[DXI_DECIMAL_MAX];
    size_t first = sizeof(digits);

    do {
        digits[--first] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(to, digits + first, sizeof(digits) - first);
    return sizeof(digits) - first;
}

#endif
