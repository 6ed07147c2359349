/* SPDX-License-Identifier: MIT */
/*
 * A decoder that looks at its header alone: any bytes, and any size of what was received. The
 * memory ends where the header does, so a look behind it would be an alarm; the decoder is in any
 * state.
 *
 * FRAMING is the file in src/wire, DECODE what it is asked by, HEADER its longest header.
 */
#include "wire/native.h"

#include "__fc_builtin.h"

#include FRAMING

/* There are `present` bytes, and the decoder is told of `size`. */
static void decode_any(size_t size, size_t present)
{
    uint8_t bytes[HEADER];
    struct dxi_decoder decoder;
    struct dxi_frame frame = {0};
    uint8_t *start = bytes + HEADER - present;

    Frama_C_make_unknown((char *)bytes, sizeof(bytes));
    Frama_C_make_unknown((char *)&decoder, sizeof(decoder));
    decoder.greeted = Frama_C_interval(0, 1);
    decoder.continued = Frama_C_interval(0, 1);
    decoder.plain = Frama_C_interval(0, 1);
    decoder.strip_cr = Frama_C_interval(0, 1);
    if (DECODE(&decoder, start, size, &frame) == 1)
        CONSUME(&decoder, &frame);
#ifdef IS_NATIVE
    (void)dxi_native_plain(&decoder, start, size);
#endif
}

int main(void)
{
    /*@ loop unroll HEADER; */
    for (size_t size = 0; size < HEADER; size++)
        decode_any(size, size);
    decode_any(Frama_C_unsigned_long_interval(HEADER, SIZE_MAX), HEADER);
    return 0;
}
