/* SPDX-License-Identifier: MIT */
/*
 * What the decoders do at their limits, and with bytes that mean nothing.
 */
#include "harness.h"
#include "replay.h"
#include "vectors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { GIBIBYTE = 1 << 30 };

static struct dxi_decoder greeted_decoder(size_t limit)
{
    struct dxi_decoder decoder = {.message_limit = limit};
    struct dxi_frame hello = {.header = DXI_HEADER_SIZE, .size = 16, .kind = DXI_KIND_HELLO};

    dxi_framing_native.consume(&decoder, &hello);
    return decoder;
}

static void make_header(uint8_t ret[DXI_HEADER_SIZE], uint32_t size, bool more)
{
    struct dxi_letter letter = {.size = size, .kind = DXI_KIND_MESSAGE, .more = more};
    struct dxi_envelope envelope;

    ck_assert_int_eq(dxi_framing_native.encode(&letter, &envelope), 0);
    ck_assert_uint_eq(envelope.header_size, DXI_HEADER_SIZE);
    memcpy(ret, envelope.header, DXI_HEADER_SIZE);
}

/* What the decoder says to a header alone. */
static int judge(struct dxi_decoder *decoder, uint32_t size, bool more)
{
    uint8_t header[DXI_HEADER_SIZE];
    struct dxi_frame frame;

    make_header(header, size, more);
    return decode_twice(&dxi_framing_native, decoder, header, sizeof(header), false, &frame);
}

START_TEST(test_a_length_is_compared_with_the_limit_before_any_payload_has_come)
{
    static const size_t limits[] = {1, 2, 15, 16, 17, 255, 65536, 16 << 20, GIBIBYTE};

    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        struct dxi_decoder decoder = greeted_decoder(limits[i]);

        ck_assert_int_eq(judge(&decoder, (uint32_t)limits[i], false), 0);
        ck_assert_uint_eq(decoder.needed, DXI_HEADER_SIZE + limits[i]);
        decoder = greeted_decoder(limits[i]);
        ck_assert_int_eq(judge(&decoder, (uint32_t)limits[i] + 1, false), -EPROTO);
        ck_assert_int_eq(decoder.fault.violation, DXI_VIOLATION_LENGTH);
        ck_assert_uint_eq(decoder.fault.value, limits[i] + 1);
        ck_assert_uint_eq(decoder.fault.limit, limits[i]);
        ck_assert_int_eq(judge(&decoder, UINT32_MAX, false), -EPROTO);
        ck_assert_uint_eq(decoder.fault.value, UINT32_MAX);
    }
}
END_TEST

START_TEST(test_pieces_are_counted_together_however_many_there_are)
{
    struct dxi_decoder decoder = greeted_decoder(GIBIBYTE);
    struct dxi_frame piece = {
        .header = DXI_HEADER_SIZE,
        .size = (size_t)1 << 20,
        .kind = DXI_KIND_MESSAGE,
        .more = true,
    };

    for (int i = 0; i < 1023; i++)
        dxi_framing_native.consume(&decoder, &piece);
    ck_assert_uint_eq(decoder.assembled, (size_t)GIBIBYTE - (1 << 20));
    ck_assert_int_eq(judge(&decoder, 1 << 20, true), 0);
    ck_assert_int_eq(judge(&decoder, (1 << 20) + 1, true), -EPROTO);
    ck_assert_uint_eq(decoder.fault.value, (size_t)GIBIBYTE + 1);
    ck_assert_int_eq(judge(&decoder, UINT32_MAX, false), -EPROTO);
    ck_assert_uint_eq(decoder.fault.value, (uint64_t)GIBIBYTE - (1 << 20) + UINT32_MAX);

    dxi_framing_native.consume(&decoder, &piece);
    ck_assert_int_eq(judge(&decoder, 0, false), 1);
    ck_assert_int_eq(judge(&decoder, 1, false), -EPROTO);

    piece.more = false;
    piece.size = 0;
    dxi_framing_native.consume(&decoder, &piece);
    ck_assert_int_eq(judge(&decoder, GIBIBYTE, false), 0);
}
END_TEST

START_TEST(test_the_encoder_refuses_a_payload_that_the_length_cannot_say)
{
    struct dxi_letter letter = {
        .data = "never looked at",
        .size = (size_t)UINT32_MAX + 1,
        .kind = DXI_KIND_MESSAGE,
    };
    struct dxi_envelope envelope;

    if (sizeof(size_t) == sizeof(uint32_t))
        HARNESS_SKIP("no size is too large here");
    ck_assert_int_eq(dxi_framing_native.encode(&letter, &envelope), -EMSGSIZE);
}
END_TEST

START_TEST(test_the_short_way_makes_the_same_header)
{
    static const uint32_t sizes[] = {0, 1, 255, 256, 65535, 65536, GIBIBYTE};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint8_t made[DXI_HEADER_SIZE];
        uint8_t short_made[DXI_HEADER_SIZE];

        make_header(made, sizes[i], false);
        dxi_native_plain_header(short_made, sizes[i], DXI_KIND_MESSAGE, 0);
        ck_assert_mem_eq(made, short_made, DXI_HEADER_SIZE);
    }
}
END_TEST

START_TEST(test_a_greeting_is_found_wrong_by_its_header_alone)
{
    static const uint32_t sizes[] = {0, 1, 15, 257, 4096, UINT32_MAX};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct dxi_decoder decoder = {.message_limit = GIBIBYTE};
        uint8_t header[DXI_HEADER_SIZE];
        struct dxi_frame frame;

        make_header(header, sizes[i], false);
        header[4] = DXI_KIND_HELLO;
        ck_assert_int_eq(decode_twice(&dxi_framing_native, &decoder, header, sizeof(header), false,
                                      &frame),
                         -EPROTO);
        ck_assert_int_eq(decoder.fault.violation, DXI_VIOLATION_HELLO_SIZE);
        ck_assert_uint_eq(decoder.fault.value, sizes[i]);
    }
}
END_TEST

START_TEST(test_a_line_is_searched_once_however_slowly_it_comes)
{
    struct dxi_decoder decoder = {.message_limit = 1 << 20};
    uint8_t *line = malloc(1 << 16);
    struct dxi_frame frame;

    memset(line, 'a', 1 << 16);
    for (size_t size = 0; size < 1 << 16; size += 4096) {
        ck_assert_int_eq(dxi_framing_line.decode(&decoder, line, size, &frame), 0);
        ck_assert_uint_eq(decoder.scanned, size);
        ck_assert_uint_eq(decoder.needed, size + 1);
    }
    /* What was searched is not searched again, so a newline that appears there is not found. */
    line[17] = '\n';
    ck_assert_int_eq(dxi_framing_line.decode(&decoder, line, 1 << 16, &frame), 0);
    dxi_framing_line.consume(&decoder, &frame);
    ck_assert_int_eq(dxi_framing_line.decode(&decoder, line, 1 << 16, &frame), 1);
    ck_assert_uint_eq(frame.size, 17);
    free(line);
}
END_TEST

START_TEST(test_lines_are_as_long_as_the_limit_and_no_longer)
{
    uint8_t bytes[12] = "0123456789\n";
    struct dxi_frame frame;

    for (size_t limit = 9; limit <= 11; limit++) {
        struct dxi_decoder decoder = {.message_limit = limit};
        int expected = limit < 10 ? -EPROTO : 1;

        ck_assert_int_eq(decode_twice(&dxi_framing_line, &decoder, bytes, 11, false, &frame),
                         expected);
        decoder = (struct dxi_decoder){.message_limit = limit};
        ck_assert_int_eq(decode_twice(&dxi_framing_line, &decoder, bytes, 10, true, &frame),
                         expected);
    }
}
END_TEST

/* Whatever the bytes are: bounds hold at each step, and after a violation nothing else comes. */
static void check_bounds(const struct dxi_framing *framing, struct dxi_decoder *decoder,
                         const uint8_t *bytes, size_t size)
{
    size_t start = 0;

    for (;;) {
        struct dxi_frame frame;
        int status = decode_twice(framing, decoder, bytes + start, size - start, false, &frame);

        ck_assert_uint_le(decoder->assembled, decoder->message_limit);
        if (status < 0) {
            ck_assert_int_eq(status, -EPROTO);
            ck_assert_int_ne(decoder->fault.violation, DXI_VIOLATION_NONE);
            return;
        }
        if (status == 0) {
            ck_assert_uint_gt(decoder->needed, size - start);
            ck_assert_uint_le(decoder->needed,
                              DXI_HEADER_SIZE + (decoder->message_limit > DXI_ERROR_SIZE_MAX
                                                     ? decoder->message_limit
                                                     : DXI_ERROR_SIZE_MAX));
            return;
        }
        ck_assert_uint_gt(dxi_frame_total(&frame), 0);
        ck_assert_uint_le(dxi_frame_total(&frame), size - start);
        ck_assert_uint_le(frame.descriptors, decoder->descriptor_limit);
        framing->consume(decoder, &frame);
        start += dxi_frame_total(&frame);
    }
}

START_TEST(test_random_bytes_are_bounded)
{
    unsigned seed = 4711;

    for (int round = 0; round < 6000 / WIRE_PART; round++) {
        uint8_t bytes[200];
        size_t size = (size_t)rand_r(&seed) % sizeof(bytes);
        struct dxi_decoder decoder = greeted_decoder(1 + (size_t)rand_r(&seed) % 300);

        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)(rand_r(&seed) >> 7);
        check_bounds(&dxi_framing_native, &decoder, bytes, size);
        /* Most random headers are wrong at once: some begin as a message does. */
        memcpy(bytes, "\0\0\0\3\2\1\0\0\0\0\0\0\0\0\0\0", 16);
        check_bounds(&dxi_framing_native, &decoder, bytes, size);
        decoder = (struct dxi_decoder){.message_limit = 1 + (size_t)rand_r(&seed) % 300};
        check_bounds(&dxi_framing_line, &decoder, bytes, size);
    }
}
END_TEST

static void spoil(const struct vector *vector, void *context)
{
    unsigned *seed = context;
    struct bytes stream = vector_stream(vector);

    for (int round = 0; round < 300 / WIRE_PART && stream.size > 0 && stream.size < 1024; round++) {
        struct dxi_decoder decoder = {
            .message_limit = vector->limit < 1024 ? vector->limit : 1024,
            .descriptor_limit = vector->accepts,
        };
        size_t place = (size_t)rand_r(seed) % stream.size;
        uint8_t was = stream.data[place];

        stream.data[place] ^= (uint8_t)(1 << rand_r(seed) % 8);
        check_bounds(&dxi_framing_native, &decoder, stream.data, stream.size);
        if (round % 3 != 0)
            stream.data[place] = was;
    }
    free(stream.data);
}

START_TEST(test_vectors_with_spoilt_bits_are_bounded)
{
    unsigned seed = 1789;

    vectors_each(DUPLEX_TEST_SOURCE, "native.txt", spoil, &seed);
}
END_TEST

HARNESS_MAIN("wire limits",
             TEST(test_a_length_is_compared_with_the_limit_before_any_payload_has_come),
             TEST(test_pieces_are_counted_together_however_many_there_are),
             TEST(test_the_encoder_refuses_a_payload_that_the_length_cannot_say),
             TEST(test_the_short_way_makes_the_same_header),
             TEST(test_a_greeting_is_found_wrong_by_its_header_alone),
             TEST(test_a_line_is_searched_once_however_slowly_it_comes),
             TEST(test_lines_are_as_long_as_the_limit_and_no_longer),
             TEST(test_random_bytes_are_bounded), TEST(test_vectors_with_spoilt_bits_are_bounded))
