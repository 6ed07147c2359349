/* SPDX-License-Identifier: MIT */
/*
 * The framings of Erlang's ports, {packet,1}, {packet,2} and {packet,4}: the length in so many
 * bytes, the most significant first, and the message. 0 is a length like any other.
 */
#include "wire/bytes.h"
#include "wire/simple.h"

static int decode8(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                   struct dxi_frame *ret)
{
    return size < 1 ? dxi_wants(decoder, 1) : dxi_announced(decoder, size, 1, bytes[0], 0, ret);
}

static int decode16(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                    struct dxi_frame *ret)
{
    return size < 2 ? dxi_wants(decoder, 2)
                    : dxi_announced(decoder, size, 2, dxi_load16(bytes), 0, ret);
}

static int decode32(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                    struct dxi_frame *ret)
{
    return size < 4 ? dxi_wants(decoder, 4)
                    : dxi_announced(decoder, size, 4, dxi_load32(bytes), 0, ret);
}

/* The length in the last bytes of four. */
static int encode(const struct dxi_letter *letter, size_t width, uint64_t most,
                  struct dxi_envelope *ret)
{
    uint8_t length[4];

    if (!dxi_letter_is_plain(letter))
        return -EINVAL;
    if (letter->size > most)
        return -EMSGSIZE;
    dxi_store32(length, (uint32_t)letter->size);
    memcpy(ret->header, length + sizeof(length) - width, width);
    ret->header_size = width;
    ret->trailer_size = 0;
    return 0;
}

static int encode8(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    return encode(letter, 1, UINT8_MAX, ret);
}

static int encode16(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    return encode(letter, 2, UINT16_MAX, ret);
}

static int encode32(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    return encode(letter, 4, UINT32_MAX, ret);
}

const struct dxi_framing dxi_framing_u8 = {
    .name = "u8",
    .size_max = UINT8_MAX,
    .decode = decode8,
    .decode_last = decode8,
    .consume = dxi_consumed,
    .encode = encode8,
};

const struct dxi_framing dxi_framing_u16 = {
    .name = "u16",
    .size_max = UINT16_MAX,
    .decode = decode16,
    .decode_last = decode16,
    .consume = dxi_consumed,
    .encode = encode16,
};

const struct dxi_framing dxi_framing_u32 = {
    .name = "u32",
    .size_max = UINT32_MAX,
    .decode = decode32,
    .decode_last = decode32,
    .consume = dxi_consumed,
    .encode = encode32,
};
