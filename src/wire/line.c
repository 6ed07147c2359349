/* SPDX-License-Identifier: MIT */
/*
 * The framing of lines: a message, then '\n'. What filters and shells speak. A last line without
 * '\n' counts, as it does for them. A '\r' before the '\n' is data, unless the owner asked to have
 * it removed; then it does not count for the limit.
 */
#include "wire/simple.h"

static int too_long(struct dxi_decoder *decoder)
{
    return dxi_violated(decoder, DXI_VIOLATION_LINE, decoder->message_limit,
                        decoder->message_limit);
}

static int decode(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                  struct dxi_frame *ret)
{
    size_t limit = decoder->message_limit;
    size_t length;
    int status =
        dxi_find_end(decoder, bytes, size, '\n', limit + (decoder->strip_cr ? 1 : 0), &length);

    if (status < 0)
        return too_long(decoder);
    bool stripped = decoder->strip_cr && length > 0 && bytes[length - 1] == '\r';

    if (length > limit && !stripped)
        return too_long(decoder);
    return status == 0 ? 0 : dxi_found(0, length - stripped, 1U + stripped, ret);
}

static int decode_last(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                       struct dxi_frame *ret)
{
    int status = decode(decoder, bytes, size, ret);

    if (status != 0 || size == 0)
        return status;
    /* It ended with a '\r' that could have been removed, had a '\n' come. */
    if (size > decoder->message_limit)
        return too_long(decoder);
    return dxi_found(0, size, 0, ret);
}

static int encode(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    if (!dxi_letter_is_plain(letter) ||
        (letter->size > 0 && memchr(letter->data, '\n', letter->size) != NULL))
        return -EINVAL;
    ret->header_size = 0;
    ret->trailer[0] = '\n';
    ret->trailer_size = 1;
    return 0;
}

const struct dxi_framing dxi_framing_line = {
    .name = "line",
    .decode = decode,
    .decode_last = decode_last,
    .consume = dxi_consumed,
    .encode = encode,
};
