/* SPDX-License-Identifier: MIT */
/*
 * The framing of lines: a message, then '\n'. What filters and shells speak. A last line without
 * '\n' counts, as it does for them.
 */
#include "wire/framing.h"

#include <errno.h>
#include <string.h>

static int too_long(struct dxi_decoder *decoder)
{
    decoder->fault =
        (struct dxi_fault){DXI_VIOLATION_LINE, decoder->message_limit, decoder->message_limit};
    return -EPROTO;
}

static int found(size_t size, size_t trailer, struct dxi_frame *ret)
{
    *ret = (struct dxi_frame){.size = size, .trailer = trailer, .kind = DXI_KIND_MESSAGE};
    return 1;
}

static int decode(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                  struct dxi_frame *ret)
{
    /* Only what is new is searched, so that a line that comes byte by byte costs no square of it.
     */
    size_t skip = decoder->scanned < size ? decoder->scanned : size;
    const uint8_t *end = size > skip ? memchr(bytes + skip, '\n', size - skip) : NULL;
    size_t length = end != NULL ? (size_t)(end - bytes) : size;

    if (length > decoder->message_limit)
        return too_long(decoder);
    if (end != NULL)
        return found(length, 1, ret);
    decoder->scanned = size;
    decoder->needed = size + 1;
    return 0;
}

static int decode_last(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                       struct dxi_frame *ret)
{
    int status = decode(decoder, bytes, size, ret);

    if (status != 0 || size == 0)
        return status;
    return found(size, 0, ret);
}

static void consume(struct dxi_decoder *decoder, const struct dxi_frame *frame)
{
    (void)frame;
    decoder->scanned = 0;
    decoder->needed = 1;
}

static int encode(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    if (letter->size > 0 && memchr(letter->data, '\n', letter->size) != NULL)
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
    .consume = consume,
    .encode = encode,
};
