/* SPDX-License-Identifier: MIT */
/*
 * The framing of find -print0, xargs -0 and varlink: a message, then a zero byte. A last message
 * without one counts, as it does for xargs.
 */
#include "wire/simple.h"

static int decode(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                  struct dxi_frame *ret)
{
    size_t limit = decoder->message_limit;
    size_t length;
    int status = dxi_find_end(decoder, bytes, size, '\0', limit, &length);

    if (status < 0)
        return dxi_violated(decoder, DXI_VIOLATION_TERMINATED, limit, limit);
    return status == 0 ? 0 : dxi_found(0, length, 1, ret);
}

static int decode_last(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                       struct dxi_frame *ret)
{
    int status = decode(decoder, bytes, size, ret);

    return status != 0 || size == 0 ? status : dxi_found(0, size, 0, ret);
}

static int encode(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    if (!dxi_letter_is_plain(letter) ||
        (letter->size > 0 && memchr(letter->data, '\0', letter->size) != NULL))
        return -EINVAL;
    ret->header_size = 0;
    ret->trailer[0] = '\0';
    ret->trailer_size = 1;
    return 0;
}

const struct dxi_framing dxi_framing_nul = {
    .name = "nul",
    .decode = decode,
    .decode_last = decode_last,
    .consume = dxi_consumed,
    .encode = encode,
};
