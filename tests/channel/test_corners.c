/* SPDX-License-Identifier: MIT */
/*
 * What is seldom asked of a channel: places for an answer that nobody wants, deadlines that are taken
 * back, texts that no terminal should see, handles that are none.
 */
#include "meter.h"
#include "stranger.h"

#include "channel/channel.h"

#include <duplex/call.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

START_TEST(test_the_id_of_a_request_need_not_be_wanted)
{
    struct pair pair = open_pair(DX_STREAM);
    dx_message request = {.data = "a", .size = 1}, message;

    ck_assert_int_eq(dx_call_start_message(pair.near, &request, NULL, 1000), 0);
    ck_assert_int_eq(dx_call_start(pair.near, "b", 1, NULL, 1000), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
        ck_assert_int_eq(dx_reply(pair.far, message.id, "r", 1, 1000), 0);
        ck_assert_int_eq(dx_recv(pair.near, &message, 1000), 1);
        ck_assert_int_eq(message.kind, DX_REPLY);
    }
    /* The quick way, which collected ones go. */
    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(dx_call_start(pair.near, "c", 1, NULL, 1000), 0);
    ck_assert_int_eq(dx_flush(pair.near, 1000), 0);
    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    ck_assert_uint_eq(message.id, 3);
    close_pair(&pair);
}
END_TEST

START_TEST(test_a_deadline_can_be_taken_back)
{
    struct pair pair = open_pair(DX_STREAM);
    dx_message message;
    uint64_t id;

    ck_assert_int_eq(dx_call_start(pair.near, "a", 1, &id, 30), 0);
    ck_assert_int_eq(dx_call_deadline(pair.near, id, DX_FOREVER), 0);
    ck_assert_int_eq(dx_recv(pair.near, &message, 100), -ETIMEDOUT);
    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    ck_assert_int_eq(dx_reply(pair.far, id, "r", 1, 1000), 0);
    ck_assert_int_eq(dx_recv(pair.near, &message, 1000), 1);
    ck_assert_int_eq(message.kind, DX_REPLY);
    close_pair(&pair);
}
END_TEST

/* The peer's text becomes a part of our sentence: in one line, and cut where a letter begins. */
START_TEST(test_a_peers_text_is_quoted_as_far_as_people_can_read_it)
{
    for (size_t shift = 0; shift < 4; shift++) {
        struct stranger stranger = meet_greeted(DX_STREAM, NULL);
        uint8_t payload[DXI_ERROR_SIZE_MIN + 600] = {0, 0, 0, 5};
        struct header header = {.length = sizeof(payload), .kind = DXI_KIND_ERROR, .id = 1};
        dx_message message;

        memset(payload + DXI_ERROR_SIZE_MIN, 'x', 600);
        memcpy(payload + DXI_ERROR_SIZE_MIN, "a\nb\x7f", 4);
        for (size_t i = 100 + shift; i + 3 < 600; i += 3)
            memcpy(payload + DXI_ERROR_SIZE_MIN + i, "\xe2\x82\xac", 3);
        /* The answer is there before the question is asked. */
        ck_assert_int_eq(say_frame(&stranger, &header, payload, sizeof(payload), NULL, 0), 0);
        ck_assert_int_eq(dx_call(stranger.channel, "?", 1, &message, 1000), -EREMOTEIO);
        ck_assert_int_eq(message.code, 5);
        const char *text = dx_channel_explain(stranger.channel);

        ck_assert_msg(strstr(text, "the error 5: a b xx") != NULL, "%s", text);
        ck_assert_uint_eq((uint8_t)text[strlen(text) - 1], 0xac);
        part(&stranger);
    }
}
END_TEST

START_TEST(test_no_channel_is_closed_without_complaint)
{
    ck_assert_ptr_null(dxi_channel_destroy(NULL));
    ck_assert_ptr_null(dx_channel_close(NULL));
}
END_TEST

START_TEST(test_a_job_that_a_framing_cannot_express_is_refused_before_it_is_one)
{
    dx_failure failure = {0};
    dx_channel_options options = {.framing = DX_FRAMING_U8, .message_limit = 1000};
    char data[300] = {0};

    ck_assert_int_eq(dxi_channel_check_job(&options, data, 255, 0, &failure), 0);
    ck_assert_int_eq(dxi_channel_check_job(&options, data, 256, 0, &failure), -EMSGSIZE);
    ck_assert_msg(strstr(failure.text, "at most 255") != NULL, "%s", failure.text);
}
END_TEST

START_TEST(test_memory_that_cannot_be_given_back_is_kept)
{
    meter_install();
    struct pair pair = open_pair(DX_STREAM);

    carry(pair.near, pair.far, 1, MIB);
    meter_fail(CALL_ALLOCATE, 1, 1000000, 0);
    for (unsigned i = 0; i < 2 * DXI_SMALL_STREAK; i++) {
        ck_assert_int_eq(send_numbered(pair.near, i, 10, DX_NOW), 0);
        expect_numbered(pair.far, i, 10, DX_NOW);
    }
    ck_assert_uint_gt(meter.failed, 0);
    meter_fail_no_more();
    carry(pair.near, pair.far, 2, MIB);
    close_pair(&pair);
    ck_assert_int_eq(meter.blocks, 0);
}
END_TEST

START_TEST(test_a_pipe_has_no_buffer_that_could_be_asked_for)
{
    dx_channel_options options = {.socket_buffer = 100000};
    struct pair pair;
    int there[2], back[2];

    ck_assert_int_eq(pipe2(there, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(back, O_CLOEXEC), 0);
    ck_assert_int_eq(dx_channel_attach(&pair.near, back[0], there[1], &options), 0);
    ck_assert_int_eq(dx_channel_attach(&pair.far, there[0], back[1], &options), 0);
    carry(pair.near, pair.far, 1, 1000);
    carry(pair.far, pair.near, 2, 1000);
    close_pair(&pair);
}
END_TEST

HARNESS_MAIN("corners", TEST(test_memory_that_cannot_be_given_back_is_kept),
             TEST(test_a_pipe_has_no_buffer_that_could_be_asked_for),
             TEST(test_the_id_of_a_request_need_not_be_wanted),
             TEST(test_a_deadline_can_be_taken_back),
             TEST(test_a_peers_text_is_quoted_as_far_as_people_can_read_it),
             TEST(test_no_channel_is_closed_without_complaint),
             TEST(test_a_job_that_a_framing_cannot_express_is_refused_before_it_is_one))
