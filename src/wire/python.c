/* SPDX-License-Identifier: MIT */
/*
 * The framing of send_bytes() and recv_bytes() of Python's multiprocessing.connection: the length
 * as a signed number of 4 bytes in network byte order; above 0x7fffffff the number -1, and the
 * length in 8 more bytes. A length in the long form that the short one would hold is one that
 * Python never sends.
 */
#include "wire/bytes.h"
#include "wire/simple.h"

enum { SHORT_SIZE = 4, LONG_SIZE = 12 };

static int decode(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                  struct dxi_frame *ret)
{
    if (size < SHORT_SIZE)
        return dxi_wants(decoder, SHORT_SIZE);
    uint32_t length = dxi_load32(bytes);

    if (length <= INT32_MAX)
        return dxi_announced(decoder, size, SHORT_SIZE, length, 0, ret);
    if (length != UINT32_MAX)
        return dxi_violated(decoder, DXI_VIOLATION_NEGATIVE_LENGTH, (uint32_t)-length, 0);
    if (size < LONG_SIZE)
        return dxi_wants(decoder, LONG_SIZE);
    uint64_t long_length = dxi_load64(bytes + SHORT_SIZE);

    if (long_length <= INT32_MAX)
        return dxi_violated(decoder, DXI_VIOLATION_SMALL_LONG_LENGTH, long_length, 0);
    return dxi_announced(decoder, size, LONG_SIZE, long_length, 0, ret);
}

static int encode(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    if (!dxi_letter_is_plain(letter))
        return -EINVAL;
    ret->trailer_size = 0;
    if (letter->size <= INT32_MAX) {
        dxi_store32(ret->header, (uint32_t)letter->size);
        ret->header_size = SHORT_SIZE;
        return 0;
    }
    dxi_store32(ret->header, UINT32_MAX);
    dxi_store64(ret->header + SHORT_SIZE, letter->size);
    ret->header_size = LONG_SIZE;
    return 0;
}

const struct dxi_framing dxi_framing_python = {
    .name = "python",
    .decode = decode,
    .decode_last = decode,
    .consume = dxi_consumed,
    .encode = encode,
};
