/* SPDX-License-Identifier: MIT */
/*
 * A peer that speaks slowly, stops in the middle, or says nothing that makes sense: it is waited for
 * until the deadline, and never longer, never in vain, never with more memory than it may cost.
 */
#include "stranger.h"

#include "meter.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

START_TEST(test_a_byte_at_a_time_is_slow_and_understood)
{
    struct stranger stranger = meet_stranger(DX_STREAM, NULL);
    uint8_t bytes[2 * DXI_HEADER_SIZE + DXI_HELLO_SIZE + 5];
    struct dxi_hello hello = {.version = DXI_VERSION, .message_limit = 1000};
    struct header header = {.length = DXI_HELLO_SIZE, .kind = DXI_KIND_HELLO};

    encode_header(&header, bytes);
    dxi_hello_encode(&hello, bytes + DXI_HEADER_SIZE);
    header = (struct header){.length = 5, .kind = DXI_KIND_MESSAGE};
    encode_header(&header, bytes + DXI_HEADER_SIZE + DXI_HELLO_SIZE);
    memcpy(bytes + sizeof(bytes) - 5, "slow!", 5);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        expect_silence(stranger.channel);
        ck_assert_int_eq(say(&stranger, bytes + i, 1), 0);
    }
    expect_text(stranger.channel, "slow!");
    part(&stranger);
}
END_TEST

/* Every cut of greeting and message in two reads. */
START_TEST(test_a_cut_anywhere_makes_no_difference)
{
    uint8_t bytes[2 * DXI_HEADER_SIZE + DXI_HELLO_SIZE + 5];
    struct dxi_hello hello = {.version = DXI_VERSION, .message_limit = 1000};
    struct header header = {.length = DXI_HELLO_SIZE, .kind = DXI_KIND_HELLO};

    encode_header(&header, bytes);
    dxi_hello_encode(&hello, bytes + DXI_HEADER_SIZE);
    header = (struct header){.length = 5, .kind = DXI_KIND_MESSAGE};
    encode_header(&header, bytes + DXI_HEADER_SIZE + DXI_HELLO_SIZE);
    memcpy(bytes + sizeof(bytes) - 5, "whole", 5);
    for (size_t cut = 1; cut < sizeof(bytes); cut++) {
        struct stranger stranger = meet_stranger(DX_STREAM, NULL);

        ck_assert_int_eq(say(&stranger, bytes, cut), 0);
        expect_silence(stranger.channel);
        ck_assert_int_eq(say(&stranger, bytes + cut, sizeof(bytes) - cut), 0);
        expect_text(stranger.channel, "whole");
        part(&stranger);
    }
}
END_TEST

/* A header, or a part of it, and then nothing: only the deadline helps, and the rest may still come. */
START_TEST(test_silence_in_the_middle_meets_the_deadline)
{
    struct header header = {.length = 1000, .kind = DXI_KIND_MESSAGE};
    uint8_t bytes[DXI_HEADER_SIZE + 1000];

    encode_header(&header, bytes);
    memcpy(bytes + DXI_HEADER_SIZE, numbered_payload(1, 1000), 1000);
    for (size_t cut = 1; cut < sizeof(bytes); cut += 123) {
        struct stranger stranger = meet_greeted(DX_STREAM, NULL);

        ck_assert_int_eq(say(&stranger, bytes, cut), 0);
        uint64_t start = now_ms();

        expect_error(stranger.channel, -ETIMEDOUT, NULL, 20);
        ck_assert_uint_ge(now_ms() - start, 19);
        ck_assert_int_eq(say(&stranger, bytes + cut, sizeof(bytes) - cut), 0);
        expect_numbered(stranger.channel, 1, 1000, DX_NOW);
        part(&stranger);
    }
}
END_TEST

START_TEST(test_an_end_in_the_middle_is_told_from_an_end)
{
    static const struct {
        size_t cut;
        const char *text;
    } cases[] = {{1, "1 of 16 bytes came"},
                 {15, "15 of 16 bytes came"},
                 {16, "16 of 1016 bytes came"},
                 {1015, "1015 of 1016 bytes came"}};
    struct header header = {.length = 1000, .kind = DXI_KIND_MESSAGE};
    uint8_t bytes[DXI_HEADER_SIZE + 1000] = {0};

    encode_header(&header, bytes);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct stranger stranger = meet_greeted(DX_STREAM, NULL);

        say_message(&stranger, "whole");
        ck_assert_int_eq(say(&stranger, bytes, cases[i].cut), 0);
        close(stranger.fd);
        stranger.fd = -1;
        expect_text(stranger.channel, "whole");
        expect_error(stranger.channel, -EPIPE, "the conversation ended in the middle of a message",
                     DX_FOREVER);
        expect_explained(stranger.channel, cases[i].text);
        expect_error(stranger.channel, -EPIPE, cases[i].text, DX_FOREVER);
        part(&stranger);
    }
}
END_TEST

EACH_TYPE(test_an_end_between_fragments_is_told_from_an_end)
{
    struct stranger stranger = meet_greeted(type, NULL);
    struct header header = {.length = 60, .kind = DXI_KIND_MESSAGE, .flags = DXI_FLAG_MORE};

    ck_assert_int_eq(say_frame(&stranger, &header, pattern(60), 60, NULL, 0), 0);
    if (type == DX_DGRAM)
        ck_assert_int_eq(say(&stranger, NULL, 0), 0);
    close(stranger.fd);
    stranger.fd = -1;
    expect_error(stranger.channel, -EPIPE,
                 "the conversation ended in the middle of a message, after 60 bytes", DX_FOREVER);
    expect_error(stranger.channel, -EPIPE, "after 60 bytes", DX_FOREVER);
    part(&stranger);
}

EACH_TYPE(test_an_end_without_a_greeting_is_told_from_an_end)
{
    struct stranger stranger = meet_stranger(type, NULL);

    if (type == DX_DGRAM)
        ck_assert_int_eq(say(&stranger, NULL, 0), 0);
    close(stranger.fd);
    stranger.fd = -1;
    expect_error(stranger.channel, -EPIPE, "before it had greeted", DX_FOREVER);
    expect_error(stranger.channel, -EPIPE, "before it had greeted", DX_NOW);
    part(&stranger);
}

/* A bounded part of what a stranger announces is read ahead, and a bounded part kept. */
START_TEST(test_a_stranger_that_announces_much_and_sends_little_costs_the_limit)
{
    meter_install();
    dx_channel_options options = {.message_limit = 300000};
    struct stranger stranger = meet_greeted(DX_STREAM, &options);
    struct header header = {.length = 300000, .kind = DXI_KIND_MESSAGE};
    size_t before = meter.bytes;

    ck_assert_int_eq(say_frame(&stranger, &header, "x", 1, NULL, 0), 0);
    expect_silence(stranger.channel);
    ck_assert_uint_le(meter.peak, before + 300000 + 64 * KIB);
    part(&stranger);
}
END_TEST

/* A flood that nobody receives: the channel takes in so much and leaves the rest with the kernel. */
EACH_TYPE(test_a_flood_costs_the_backlog_and_no_more)
{
    meter_install();
    dx_channel_options options = {
        .type = type, .message_limit = 64 * KIB, .receive_backlog = 256 * KIB};
    struct stranger stranger = meet_greeted(type, &options);
    struct header header = {.length = 1000, .kind = DXI_KIND_MESSAGE};
    size_t accepted = 0;

    for (int i = 0; i < 5000; i++) {
        if (say_frame(&stranger, &header, pattern(1000), 1000, NULL, 0) == 0)
            accepted += 1016;
        else
            dx_channel_process(stranger.channel);
    }
    fill_outgoing(stranger.channel, 0, 1000);
    /* The bound, the read that went past it, and the growth by a half. */
    ck_assert_uint_le(meter.peak, (256 * KIB + DXI_PACKET_MAX) * 3 / 2 + 256 * KIB);
    ck_assert_uint_le(accepted, 2 * MIB);
    for (dx_message message; dx_recv(stranger.channel, &message, DX_NOW) == 1;)
        ck_assert_uint_eq(message.size, 1000);
    part(&stranger);
}

/* Bytes of chance, or a greeting and then frames with something wrong in most of them. */
static size_t babble(uint8_t *ret, size_t size)
{
    size_t length = 0;

    if (random() % 4 == 0) {
        length = (size_t)random() % size + 1;
        for (size_t i = 0; i < length; i++)
            ret[i] = (uint8_t)(random() >> 8);
        return length;
    }
    struct dxi_hello hello = {.version = DXI_VERSION, .message_limit = (uint64_t)random()};
    struct header header = {.length = DXI_HELLO_SIZE, .kind = DXI_KIND_HELLO};

    encode_header(&header, ret);
    dxi_hello_encode(&hello, ret + DXI_HEADER_SIZE);
    length = DXI_HEADER_SIZE + DXI_HELLO_SIZE;
    while (length + DXI_HEADER_SIZE + 300 < size && random() % 20 != 0) {
        header = (struct header){
            .length = (uint32_t)random() % 300,
            .kind = random() % 50 ? DXI_KIND_MESSAGE : (uint8_t)random(),
            .flags = random() % 3 ? 0 : DXI_FLAG_MORE,
            .descriptors = random() % 30 ? 0 : (uint16_t)(random() % 4),
        };
        encode_header(&header, ret + length);
        length += DXI_HEADER_SIZE + header.length;
        if (random() % 50 == 0)
            ret[(size_t)random() % length] ^= (uint8_t)(1 << random() % 8);
    }
    return length;
}

/* Whatever came, the channel answers with what its header promises. */
static bool goes_on(int status)
{
    ck_assert_msg(status == 1 || status == 0 || status == -EPROTO || status == -EPIPE ||
                      status == -ETIMEDOUT,
                  "%d is none of the answers to a stranger", status);
    return status == 1;
}

EACH_TYPE(test_chance_never_crashes_or_hangs_it)
{
    static uint8_t bytes[4000];
    int note = make_note(1);
    size_t open_before = harness_open_descriptors();
    int notes[3] = {note, note, note};
    dx_message message;

    for (unsigned round = 0; round < 1500; round++) {
        dx_channel_options options = {.message_limit = 1000, .descriptor_limit = round % 3};

        srandom(round);
        struct stranger stranger = meet_stranger(type, &options);
        size_t size = babble(bytes, sizeof(bytes));

        for (size_t said = 0; said < size;) {
            size_t piece = random() % 2 ? size - said : (size_t)random() % (size - said) + 1;
            size_t bearing = random() % 40 ? 0 : (size_t)random() % 4;

            if (say_with(&stranger, bytes + said, piece, notes, bearing) < 0)
                break;
            said += piece;
            if (random() % 8 == 0)
                (void)dx_channel_process(stranger.channel);
            while (goes_on(dx_recv(stranger.channel, &message, DX_NOW)))
                ck_assert_uint_le(message.size, 1000);
        }
        if (type == DX_DGRAM)
            (void)say(&stranger, NULL, 0);
        close(stranger.fd);
        stranger.fd = -1;
        while (goes_on(dx_recv(stranger.channel, &message, 1000)))
            ck_assert_uint_le(message.size, 1000);
        ck_assert_int_ne(dx_recv(stranger.channel, &message, 1000), -ETIMEDOUT);
        part(&stranger);
        ck_assert_uint_eq(harness_open_descriptors(), open_before);
    }
    close(note);
}

HARNESS_MAIN("pieces", TEST(test_a_byte_at_a_time_is_slow_and_understood),
             TEST(test_a_cut_anywhere_makes_no_difference),
             TEST(test_silence_in_the_middle_meets_the_deadline),
             TEST(test_an_end_in_the_middle_is_told_from_an_end),
             OF_EACH_TYPE(test_an_end_between_fragments_is_told_from_an_end),
             OF_EACH_TYPE(test_an_end_without_a_greeting_is_told_from_an_end),
             TEST(test_a_stranger_that_announces_much_and_sends_little_costs_the_limit),
             OF_EACH_TYPE(test_a_flood_costs_the_backlog_and_no_more),
             OF_EACH_TYPE(test_chance_never_crashes_or_hangs_it))
