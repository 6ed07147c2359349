/* SPDX-License-Identifier: MIT */
/*
 * The framing of git, gitprotocol-common(5): the length in four hexadecimal digits, which count
 * themselves, and the data. Git sends lower-case digits and takes both. Lengths below 4 have no
 * data: 0000 is a flush, 0001 a delimiter, 0002 a response-end; 0003 is nothing.
 *
 * 0004 is an empty packet. Git asks not to send it: its packet_read() takes it for what it is, but
 * packet_read_line() says the same as for a flush. So it is received and never sent.
 */
#include "wire/simple.h"

#include "wire/bytes.h"

enum { HEADER_SIZE = 4, DATA_MAX = 65516 };

static int digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

/* The number that four digits say, or -1. */
static int number(const uint8_t *bytes)
{
    int value = 0;

    for (int i = 0; i < HEADER_SIZE; i++) {
        int next = digit(bytes[i]);

        if (next < 0)
            return -1;
        value = value << 4 | next;
    }
    return value;
}

static int decode(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                  struct dxi_frame *ret)
{
    if (size < HEADER_SIZE)
        return dxi_wants(decoder, HEADER_SIZE);
    int length = number(bytes);

    if (length < 0 || length == 3)
        return dxi_violated(decoder, DXI_VIOLATION_PKT_LENGTH, dxi_load32(bytes), 0);
    if (length < HEADER_SIZE) {
        (void)dxi_found(HEADER_SIZE, 0, 0, ret);
        ret->kind = (uint8_t)(DXI_KIND_FLUSH + length);
        return 1;
    }
    if (length - HEADER_SIZE > DATA_MAX && decoder->message_limit >= DATA_MAX)
        return dxi_violated(decoder, DXI_VIOLATION_LENGTH, (unsigned)length - HEADER_SIZE,
                            DATA_MAX);
    return dxi_announced(decoder, size, HEADER_SIZE, (unsigned)length - HEADER_SIZE, 0, ret);
}

/* What the four digits say for a letter, or an error. */
static int length_of(const struct dxi_letter *letter)
{
    if (letter->kind >= DXI_KIND_FLUSH && letter->kind <= DXI_KIND_RESPONSE_END &&
        letter->size == 0 && !letter->more && letter->descriptors == 0)
        return letter->kind - DXI_KIND_FLUSH;
    if (!dxi_letter_is_plain(letter) || letter->size == 0)
        return -EINVAL;
    return letter->size > DATA_MAX ? -EMSGSIZE : (int)letter->size + HEADER_SIZE;
}

static int encode(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    static const char digits[] = "0123456789abcdef";
    int length = length_of(letter);

    if (length < 0)
        return length;
    for (int i = 0; i < HEADER_SIZE; i++)
        ret->header[i] = (uint8_t)digits[length >> (12 - 4 * i) & 15];
    ret->header_size = HEADER_SIZE;
    ret->trailer_size = 0;
    return 0;
}

const struct dxi_framing dxi_framing_pkt_line = {
    .name = "pkt-line",
    .size_max = DATA_MAX,
    .decode = decode,
    .decode_last = decode,
    .consume = dxi_consumed,
    .encode = encode,
};
