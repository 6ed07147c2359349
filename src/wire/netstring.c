/* SPDX-License-Identifier: MIT */
/*
 * The framing of netstrings and SCGI: "5:hello,". The length is in decimal digits without leading
 * zeros; "0:," is the empty message.
 */
#include "wire/simple.h"

enum {
    /* As many as the largest limit of a channel has: what has more is over it. */
    DIGITS_MAX = 10,
};

static int decode(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                  struct dxi_frame *ret)
{
    uint64_t length = 0;
    size_t digits = 0;

    while (digits < size && bytes[digits] >= '0' && bytes[digits] <= '9') {
        if (digits > 0 && length == 0)
            return dxi_violated(decoder, DXI_VIOLATION_NETSTRING_LENGTH, bytes[digits], 0);
        length = length * 10 + (unsigned)(bytes[digits++] - '0');
        if (digits > DIGITS_MAX)
            return dxi_violated(decoder, DXI_VIOLATION_LENGTH, length, decoder->message_limit);
    }
    if (digits == size)
        return dxi_wants(decoder, size + 1);
    if (digits == 0 || bytes[digits] != ':')
        return dxi_violated(decoder, DXI_VIOLATION_NETSTRING_LENGTH, bytes[digits], 0);

    int status = dxi_announced(decoder, size, digits + 1, length, 1, ret);

    if (status == 1 && bytes[digits + 1 + length] != ',')
        return dxi_violated(decoder, DXI_VIOLATION_NETSTRING_COMMA, bytes[digits + 1 + length], 0);
    return status;
}

static int encode(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    if (!dxi_letter_is_plain(letter))
        return -EINVAL;
    ret->header_size = dxi_store_decimal(ret->header, letter->size);
    ret->header[ret->header_size++] = ':';
    ret->trailer[0] = ',';
    ret->trailer_size = 1;
    return 0;
}

const struct dxi_framing dxi_framing_netstring = {
    .name = "netstring",
    .decode = decode,
    .decode_last = decode,
    .consume = dxi_consumed,
    .encode = encode,
};
