/* SPDX-License-Identifier: MIT */
/*
 * What headlines.c takes for granted of a frame that was consumed, whatever the decoder's state:
 * the next begins as the first did.
 */
#include "wire/framing.h"

#include "__fc_builtin.h"

#include FRAMING

int main(void)
{
    struct dxi_decoder decoder = {0};
    struct dxi_frame frame = {0};

    Frama_C_make_unknown((char *)&decoder.headers.line, sizeof(decoder.headers.line));
    Frama_C_make_unknown((char *)&decoder.headers.length, sizeof(decoder.headers.length));
    Frama_C_make_unknown((char *)&decoder.headers.size, sizeof(decoder.headers.size));
    Frama_C_make_unknown((char *)&decoder.scanned, sizeof(decoder.scanned));
    consume(&decoder, &frame);
    /*@ check anew: decoder.headers.line == 0 && decoder.headers.length == 0 &&
              decoder.headers.size == 0 && decoder.scanned == 0; */
    return 0;
}
