/* SPDX-License-Identifier: MIT */
/*
 * A decoder of texts: BEFORE, then as many bytes as ANY has, which may be anything, then AFTER;
 * from memory that ends where they do. What is given leads to where the any bytes matter: enough of
 * them to say it themselves would be more than can be gone through.
 *
 * FRAMING is the file in src/wire.
 */
#include "wire/framing.h"

#include "any_byte.h"

#include FRAMING

static uint8_t bytes[sizeof(BEFORE ANY AFTER) - 1] = BEFORE ANY AFTER;

int main(void)
{
    struct dxi_decoder decoder = {0};
    struct dxi_frame frame = {0};

    /*@ loop unroll sizeof(ANY); */
    for (size_t i = sizeof(BEFORE) - 1; i < sizeof(BEFORE ANY) - 1; i++)
        MAKE_ANY(bytes[i]);
    decoder.message_limit = Frama_C_unsigned_long_interval(1, UINT32_MAX);
    if (decode(&decoder, bytes, sizeof(bytes), &frame) == 1) {
        /*@ check within: frame.header + frame.size <= sizeof(bytes); */
        consume(&decoder, &frame);
    }
    return 0;
}
