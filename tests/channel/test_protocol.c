/* SPDX-License-Identifier: MIT */
/*
 * A peer that breaks the protocol gets a sentence and loses its channel; it costs bounded memory, and
 * nobody else anything.
 */
#include "stranger.h"

#include "meter.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct header message_of(uint32_t length)
{
    return (struct header){.length = length, .kind = DXI_KIND_MESSAGE};
}

/* Over, for good, in both directions, and the stranger learns it. */
static void expect_broken(struct stranger *stranger, const char *text)
{
    dx_channel *channel = stranger->channel;
    struct header header;
    static uint8_t payload[DXI_PACKET_MAX];

    expect_error(channel, -EPROTO, text, 1000);
    expect_error(channel, -EPROTO, text, 1000);
    ck_assert_int_eq(dx_send(channel, "x", 1, DX_NOW), -EPROTO);
    expect_explained(channel, text);
    expect_error(channel, -EPROTO, text, 1000);
    while (stranger->type != DX_DGRAM && hear(stranger, &header, payload, sizeof(payload)) >= 0)
        ;
    ck_assert_int_eq(say(stranger, "x", 1), -EPIPE);
}

/* A greeted stranger says a message and then this header: the message arrives, then it is over. */
static void violates(dx_channel_type type, struct header header, const char *text)
{
    struct stranger stranger = meet_greeted(type, NULL);
    struct pair bystanders = open_pair(type);

    say_message(&stranger, "good");
    ck_assert_int_eq(say_frame(&stranger, &header, NULL, 0, NULL, 0), 0);
    expect_text(stranger.channel, "good");
    expect_broken(&stranger, text);
    carry(bystanders.near, bystanders.far, 1, 1000);
    close_pair(&bystanders);
    part(&stranger);
}

EACH_TYPE(test_a_length_over_the_limit_breaks_the_protocol)
{
    violates(type, message_of(UINT32_MAX),
             "the peer announced a message of 4294967295 bytes; the limit is 16777216");
    violates(type, message_of(DX_MESSAGE_LIMIT_DEFAULT + 1),
             "the peer announced a message of 16777217 bytes; the limit is 16777216");
}

EACH_TYPE(test_an_unknown_kind_breaks_the_protocol)
{
    static const uint8_t kinds[] = {0, 7, 64, 100, 255};

    for (size_t i = 0; i < sizeof(kinds); i++) {
        char text[80];

        snprintf(text, sizeof(text), "the peer sent a frame of the unknown kind %u", kinds[i]);
        violates(type, (struct header){.kind = kinds[i]}, text);
    }
}

EACH_TYPE(test_a_call_without_an_id_breaks_the_protocol)
{
    for (uint8_t kind = DXI_KIND_REQUEST; kind <= DXI_KIND_CANCEL; kind++) {
        char text[80];

        snprintf(text, sizeof(text), "the peer sent a frame of kind %u without an id", kind);
        violates(type, (struct header){.kind = kind}, text);
    }
}

EACH_TYPE(test_an_error_or_a_cancel_of_the_wrong_shape_breaks_the_protocol)
{
    struct header error = {.length = 3, .kind = DXI_KIND_ERROR, .id = 1};
    struct header cancel = {.length = 1, .kind = DXI_KIND_CANCEL, .id = 1};

    violates(type, error, "the peer sent an error of 3 bytes");
    error.length = DXI_ERROR_SIZE_MAX + 1;
    violates(type, error, "the peer sent an error of 4101 bytes");
    error.length = DXI_ERROR_SIZE_MIN;
    error.flags = DXI_FLAG_MORE;
    violates(type, error, "the peer sent a frame with the unknown flags 1");
    error.flags = 0;
    error.descriptors = 1;
    violates(type, error, "the peer announced 1 descriptors with a message; this end accepts 0");
    violates(type, cancel, "the peer sent a cancel with something in it");
    cancel.length = 0;
    cancel.flags = DXI_FLAG_MORE;
    violates(type, cancel, "the peer sent a cancel with something in it");
    cancel.flags = 0;
    cancel.descriptors = 1;
    violates(type, cancel, "the peer sent a cancel with something in it");
}

EACH_TYPE(test_an_unknown_flag_breaks_the_protocol)
{
    static const uint8_t flags[] = {2, 3, 4, 0x80, 0xff};

    for (size_t i = 0; i < sizeof(flags); i++) {
        struct header header = message_of(1);

        header.flags = flags[i];
        violates(type, header, "the peer sent a frame with the unknown flags");
    }
}

EACH_TYPE(test_an_id_where_none_belongs_breaks_the_protocol)
{
    struct header header = message_of(0);

    header.id = 1;
    violates(type, header, "the peer sent the id 1 in a frame that has none");
    header.id = UINT64_MAX;
    violates(type, header, "the peer sent the id 18446744073709551615 in a frame that has none");
}

EACH_TYPE(test_a_second_greeting_breaks_the_protocol)
{
    violates(type, (struct header){.length = DXI_HELLO_SIZE, .kind = DXI_KIND_HELLO},
             "the peer greeted twice");
}

EACH_TYPE(test_an_empty_fragment_breaks_the_protocol)
{
    struct header header = message_of(0);

    header.flags = DXI_FLAG_MORE;
    violates(type, header, "the peer sent an empty piece of a message");
}

EACH_TYPE(test_fragments_are_limited_in_their_sum)
{
    dx_channel_options options = {.type = type, .message_limit = 100};
    struct stranger stranger = meet_greeted(type, &options);
    struct header header = message_of(60);

    header.flags = DXI_FLAG_MORE;
    ck_assert_int_eq(say_frame(&stranger, &header, pattern(60), 60, NULL, 0), 0);
    header = message_of(40);
    ck_assert_int_eq(say_frame(&stranger, &header, pattern(100) + 60, 40, NULL, 0), 0);
    dx_message message;

    ck_assert_int_eq(dx_recv(stranger.channel, &message, DX_NOW), 1);
    ck_assert_uint_eq(message.size, 100);
    ck_assert_mem_eq(message.data, pattern(100), 100);

    header = (struct header){.length = 60, .kind = DXI_KIND_MESSAGE, .flags = DXI_FLAG_MORE};
    ck_assert_int_eq(say_frame(&stranger, &header, pattern(60), 60, NULL, 0), 0);
    header = message_of(41);
    ck_assert_int_eq(say_frame(&stranger, &header, pattern(41), 41, NULL, 0), 0);
    expect_broken(&stranger, "the peer announced a message of 101 bytes; the limit is 100");
    part(&stranger);
}

EACH_TYPE(test_a_greeting_between_fragments_breaks_the_protocol)
{
    struct stranger stranger = meet_greeted(type, NULL);
    struct header header = message_of(5);

    header.flags = DXI_FLAG_MORE;
    ck_assert_int_eq(say_frame(&stranger, &header, "abcde", 5, NULL, 0), 0);
    greet_as(&stranger, DXI_VERSION, 0, 1000);
    expect_broken(&stranger, "the peer greeted twice");
    part(&stranger);
}

/* What an unknown stranger says first is this, and it is over. */
static void begins_badly(dx_channel_type type, const void *bytes, size_t size, const char *text)
{
    struct stranger stranger = meet_stranger(type, NULL);

    ck_assert_int_eq(say(&stranger, bytes, size), 0);
    expect_broken(&stranger, text);
    part(&stranger);
}

static void begins_with(dx_channel_type type, struct header header, const char *text)
{
    uint8_t bytes[DXI_HEADER_SIZE];

    encode_header(&header, bytes);
    begins_badly(type, bytes, sizeof(bytes), text);
}

EACH_TYPE(test_who_does_not_greet_first_breaks_the_protocol)
{
    begins_with(type, message_of(0), "the peer began with a frame of kind 2 instead of a greeting");
    begins_with(type, message_of(UINT32_MAX), "instead of a greeting");
}

EACH_TYPE(test_garbage_instead_of_a_greeting_breaks_the_protocol)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
    static const char prompt[] = "usage: frobnicate [-v] FILE...\n";
    static const uint8_t zeros[64];
    uint8_t ones[64];

    memset(ones, 0xff, sizeof(ones));
    begins_badly(type, http, sizeof(http), "the peer sent a frame of the unknown kind");
    begins_badly(type, prompt, sizeof(prompt), "the peer sent a frame of the unknown kind");
    begins_badly(type, zeros, sizeof(zeros), "the peer sent a frame of the unknown kind 0");
    begins_badly(type, ones, sizeof(ones), "the peer sent a frame of the unknown kind 255");
}

EACH_TYPE(test_a_greeting_of_the_wrong_size_breaks_the_protocol)
{
    struct header header = {.length = DXI_HELLO_SIZE_MIN - 1, .kind = DXI_KIND_HELLO};

    begins_with(type, header, "the peer sent a greeting of 15 bytes");
    header.length = 0;
    begins_with(type, header, "the peer sent a greeting of 0 bytes");
    header.length = DXI_HELLO_SIZE_MAX + 1;
    begins_with(type, header, "the peer sent a greeting of 257 bytes");
    header.length = UINT32_MAX;
    begins_with(type, header, "the peer sent a greeting of 4294967295 bytes");
}

EACH_TYPE(test_a_greeting_with_flags_or_an_id_breaks_the_protocol)
{
    struct header header = {.length = DXI_HELLO_SIZE, .kind = DXI_KIND_HELLO};

    header.flags = DXI_FLAG_MORE;
    begins_with(type, header, "the peer sent a frame with the unknown flags 1");
    header.flags = 8;
    begins_with(type, header, "the peer sent a frame with the unknown flags 8");
    header.flags = 0;
    header.id = 3;
    begins_with(type, header, "the peer sent the id 3 in a frame that has none");
}

EACH_TYPE(test_a_longer_greeting_of_a_later_version_is_understood)
{
    struct stranger stranger = meet_stranger(type, NULL);
    struct header header = {.length = DXI_HELLO_SIZE_MAX, .kind = DXI_KIND_HELLO};
    struct dxi_hello hello = {.version = DXI_VERSION, .features = 0xffffffff, .message_limit = 10};
    uint8_t payload[DXI_HELLO_SIZE_MAX] = {0};

    dxi_hello_encode(&hello, payload);
    ck_assert_int_eq(say_frame(&stranger, &header, payload, sizeof(payload), NULL, 0), 0);
    say_message(&stranger, "as before");
    expect_text(stranger.channel, "as before");
    ck_assert_int_eq(dx_send(stranger.channel, pattern(11), 11, DX_NOW), -EMSGSIZE);
    part(&stranger);
}

EACH_TYPE(test_another_version_breaks_the_protocol)
{
    static const uint16_t versions[] = {0, 2, UINT16_MAX};

    for (size_t i = 0; i < 3; i++) {
        struct stranger stranger = meet_stranger(type, NULL);
        char text[100];

        snprintf(text, sizeof(text),
                 "the peer speaks version %u of the protocol; this end speaks 1", versions[i]);
        greet_as(&stranger, versions[i], 0, 1000);
        expect_broken(&stranger, text);
        part(&stranger);
    }
}

EACH_TYPE(test_a_greeting_may_claim_any_limits)
{
    struct stranger stranger = meet_stranger(type, NULL);

    greet_as(&stranger, DXI_VERSION, UINT16_MAX, UINT64_MAX);
    say_message(&stranger, "hello");
    expect_text(stranger.channel, "hello");
    ck_assert_int_eq(dx_send(stranger.channel, pattern(1000), 1000, DX_NOW), 0);
    part(&stranger);

    stranger = meet_stranger(type, NULL);
    greet_as(&stranger, DXI_VERSION, 0, 0);
    say_message(&stranger, "hello");
    expect_text(stranger.channel, "hello");
    ck_assert_int_eq(dx_send(stranger.channel, "", 0, DX_NOW), 0);
    ck_assert_int_eq(dx_send(stranger.channel, pattern(2), 2, DX_NOW), -EMSGSIZE);
    part(&stranger);
}

START_TEST(test_a_packet_over_the_limit_breaks_the_protocol)
{
    static const dx_channel_type types[] = {DX_SEQPACKET, DX_DGRAM};

    for (int i = 0; i < 2; i++) {
        struct stranger stranger = meet_greeted(types[i], NULL);
        struct header header = message_of(DXI_PACKET_MAX - DXI_HEADER_SIZE);
        int buffer = 2 << 20;
        dx_message message;

        ck_assert_int_eq(setsockopt(stranger.fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)),
                         0);
        ck_assert_int_eq(
            say_frame(&stranger, &header, pattern(header.length), header.length, NULL, 0), 0);
        header.length++;
        ck_assert_int_eq(
            say_frame(&stranger, &header, pattern(header.length), header.length, NULL, 0), 0);
        ck_assert_int_eq(dx_recv(stranger.channel, &message, DX_NOW), 1);
        ck_assert_uint_eq(message.size, header.length - 1);
        expect_broken(&stranger, "the peer sent a packet of more than 262144 bytes");
        part(&stranger);
    }
}
END_TEST

/* While it waits to send, the channel takes in; what was good in it is received all the same. */
EACH_TYPE(test_what_a_sender_took_in_before_the_violation_is_delivered_first)
{
    struct stranger stranger = meet_greeted(type, NULL);
    struct header header = message_of(UINT32_MAX);

    say_message(&stranger, "first");
    say_message(&stranger, "second");
    ck_assert_int_eq(say_frame(&stranger, &header, NULL, 0, NULL, 0), 0);
    fill_outgoing(stranger.channel, 0, 50000);
    expect_text(stranger.channel, "first");
    expect_text(stranger.channel, "second");
    expect_error(stranger.channel, -EPROTO, "4294967295", DX_NOW);
    ck_assert_int_eq(dx_send(stranger.channel, "x", 1, DX_NOW), -EPROTO);
    part(&stranger);
}

START_TEST(test_what_a_sender_took_in_before_a_packet_over_the_limit_is_delivered_first)
{
    static const dx_channel_type types[] = {DX_SEQPACKET, DX_DGRAM};

    for (int i = 0; i < 2; i++) {
        struct stranger stranger = meet_greeted(types[i], NULL);
        int buffer = 2 << 20;
        int status = 0;

        ck_assert_int_eq(setsockopt(stranger.fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)),
                         0);
        say_message(&stranger, "first");
        say_message(&stranger, "second");
        ck_assert_int_eq(say(&stranger, pattern(300000), 300000), 0);
        while (status == 0)
            status = send_numbered(stranger.channel, 0, 50000, DX_NOW);
        ck_assert_int_eq(status, -EPROTO);
        expect_explained(stranger.channel, "a packet of more than 262144 bytes");
        expect_text(stranger.channel, "first");
        expect_text(stranger.channel, "second");
        expect_error(stranger.channel, -EPROTO, "a packet of more", DX_NOW);
        part(&stranger);
    }
}
END_TEST

EACH_TYPE(test_a_sender_that_waits_learns_of_a_bad_greeting)
{
    struct stranger stranger = meet_stranger(type, NULL);
    int status = 0;

    greet_as(&stranger, 9, 0, 1000);
    while (status == 0)
        status = send_numbered(stranger.channel, 0, 1000, DX_FOREVER);
    ck_assert_int_eq(status, -EPROTO);
    expect_broken(&stranger, "the peer speaks version 9 of the protocol");
    part(&stranger);
}

EACH_TYPE(test_a_length_is_checked_before_anything_is_allocated_for_it)
{
    meter_install();
    struct stranger stranger = meet_greeted(type, NULL);
    struct header header = message_of(UINT32_MAX);

    expect_silence(stranger.channel);
    meter_restart();
    ck_assert_int_eq(say_frame(&stranger, &header, pattern(1000), 1000, NULL, 0), 0);
    expect_error(stranger.channel, -EPROTO, NULL, DX_NOW);
    ck_assert_uint_eq(meter_allocations(), 0);
    part(&stranger);
    ck_assert_int_eq(meter.blocks, 0);
}

EACH_TYPE(test_fragments_cost_no_more_than_the_limit)
{
    meter_install();
    dx_channel_options options = {.type = type, .message_limit = 100000};
    struct stranger stranger = meet_greeted(type, &options);
    size_t before = meter.bytes;

    for (int i = 0; i < 100000 / 1000; i++) {
        struct header header = message_of(1000);

        header.flags = DXI_FLAG_MORE;
        ck_assert_int_eq(say_frame(&stranger, &header, pattern(1000), 1000, NULL, 0), 0);
        expect_silence(stranger.channel);
    }
    ck_assert_uint_le(meter.peak, before + 100000 + 4096);
    part(&stranger);
}

HARNESS_MAIN("protocol", OF_EACH_TYPE(test_a_length_over_the_limit_breaks_the_protocol),
             OF_EACH_TYPE(test_an_unknown_kind_breaks_the_protocol),
             OF_EACH_TYPE(test_a_call_without_an_id_breaks_the_protocol),
             OF_EACH_TYPE(test_an_error_or_a_cancel_of_the_wrong_shape_breaks_the_protocol),
             OF_EACH_TYPE(test_an_unknown_flag_breaks_the_protocol),
             OF_EACH_TYPE(test_an_id_where_none_belongs_breaks_the_protocol),
             OF_EACH_TYPE(test_a_second_greeting_breaks_the_protocol),
             OF_EACH_TYPE(test_an_empty_fragment_breaks_the_protocol),
             OF_EACH_TYPE(test_fragments_are_limited_in_their_sum),
             OF_EACH_TYPE(test_a_greeting_between_fragments_breaks_the_protocol),
             OF_EACH_TYPE(test_who_does_not_greet_first_breaks_the_protocol),
             OF_EACH_TYPE(test_garbage_instead_of_a_greeting_breaks_the_protocol),
             OF_EACH_TYPE(test_a_greeting_of_the_wrong_size_breaks_the_protocol),
             OF_EACH_TYPE(test_a_greeting_with_flags_or_an_id_breaks_the_protocol),
             OF_EACH_TYPE(test_a_longer_greeting_of_a_later_version_is_understood),
             OF_EACH_TYPE(test_another_version_breaks_the_protocol),
             OF_EACH_TYPE(test_a_greeting_may_claim_any_limits),
             TEST(test_a_packet_over_the_limit_breaks_the_protocol),
             OF_EACH_TYPE(test_what_a_sender_took_in_before_the_violation_is_delivered_first),
             TEST(test_what_a_sender_took_in_before_a_packet_over_the_limit_is_delivered_first),
             OF_EACH_TYPE(test_a_sender_that_waits_learns_of_a_bad_greeting),
             OF_EACH_TYPE(test_a_length_is_checked_before_anything_is_allocated_for_it),
             OF_EACH_TYPE(test_fragments_cost_no_more_than_the_limit))
