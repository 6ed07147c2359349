/* SPDX-License-Identifier: MIT */
/*
 * No framing: what has arrived is a message, up to the limit, and what is sent are the bytes alone.
 * A message without bytes would not exist for the other side, and is refused.
 */
#include "wire/simple.h"

static int decode(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                  struct dxi_frame *ret)
{
    size_t limit = decoder->message_limit;

    (void)bytes;
    return size == 0 ? dxi_wants(decoder, 1) : dxi_found(0, size < limit ? size : limit, 0, ret);
}

static int encode(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    if (!dxi_letter_is_plain(letter) || letter->size == 0)
        return -EINVAL;
    ret->header_size = 0;
    ret->trailer_size = 0;
    return 0;
}

const struct dxi_framing dxi_framing_raw = {
    .name = "raw",
    .has_no_borders = true,
    .decode = decode,
    .decode_last = decode,
    .consume = dxi_consumed,
    .encode = encode,
};
