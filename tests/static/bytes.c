/* SPDX-License-Identifier: MIT */
/*
 * A decoder that goes through its bytes: any bytes, each size up to SIZES, all at once and in two
 * portions, from memory that begins and from memory that ends where the bytes do.
 *
 * FRAMING is the file in src/wire, DECODE, DECODE_LAST and CONSUME what it is asked by.
 */
#include "wire/framing.h"

#include "__fc_builtin.h"

#include FRAMING

static uint8_t bytes[SIZES];

static void decode_any(const uint8_t *start, size_t first, size_t size)
{
    struct dxi_decoder decoder = {0};
    struct dxi_frame frame = {0};

    decoder.message_limit = Frama_C_unsigned_long_interval(1, UINT32_MAX);
    decoder.descriptor_limit = Frama_C_unsigned_int_interval(0, 253);
    decoder.strip_cr = Frama_C_interval(0, 1);
    int status = DECODE(&decoder, start, first, &frame);

    if (status == 0)
        status = DECODE(&decoder, start, size, &frame);
    if (status == 0)
        status = DECODE_LAST(&decoder, start, size, &frame);
    if (status == 1) {
        /*@ check within: frame.header + frame.size <= size; */
        CONSUME(&decoder, &frame);
    }
}

int main(void)
{
    Frama_C_make_unknown((char *)bytes, sizeof(bytes));
    /*@ loop unroll SIZES + 1; */
    for (size_t size = 0; size <= SIZES; size++) {
        decode_any(bytes, size / 2, size);
        decode_any(bytes + SIZES - size, size / 2, size);
    }
    return 0;
}
