/* SPDX-License-Identifier: MIT */
/*
 * The words with a payload of their own, for any bytes: HELLO of any size (what a later version
 * appends is not read), OFFER, and the words of the fast lane.
 */
#include "wire/native.h"

#include "__fc_builtin.h"

#include FRAMING

static uint8_t bytes[DXI_HELLO_SIZE];

int main(void)
{
    struct dxi_fault fault = {0};
    struct dxi_frame frame = {0};
    struct dxi_hello hello = {0};
    struct dxi_offer offer = {0};
    uint8_t *end = bytes + sizeof(bytes);

    Frama_C_make_unknown((char *)bytes, sizeof(bytes));
    /*@ loop unroll DXI_HELLO_SIZE; */
    for (size_t size = 0; size < DXI_HELLO_SIZE; size++)
        (void)dxi_hello_decode(end - size, size, &hello, &fault);
    (void)dxi_hello_decode(end - DXI_HELLO_SIZE,
                           Frama_C_unsigned_long_interval(DXI_HELLO_SIZE, SIZE_MAX), &hello,
                           &fault);
    dxi_offer_decode(end - DXI_OFFER_SIZE, &offer);
    (void)dxi_lane_word_decode(end - DXI_HEADER_SIZE, &frame, &fault);
    return 0;
}
