/* SPDX-License-Identifier: MIT */
/*
 * Calls with a stranger: answers that nobody asked for, requests without end, and a peer that takes
 * none.
 */
#include "callers.h"
#include "stranger.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static void say_kind(struct stranger *stranger, uint8_t kind, uint64_t id, const char *text)
{
    size_t size = strlen(text);
    struct header header = {.length = (uint32_t)size, .kind = kind, .id = id};

    ck_assert_int_eq(say_frame(stranger, &header, text, size, NULL, 0), 0);
}

static uint64_t hear_kind(struct stranger *stranger, uint8_t kind, uint8_t *payload, size_t size)
{
    struct header header;

    ck_assert_int_ge(hear(stranger, &header, payload, size), 0);
    ck_assert_uint_eq(header.kind, kind);
    ck_assert_uint_eq(header.flags, 0);
    return header.id;
}

EACH_TYPE(test_calls_are_frames_of_the_protocol)
{
    struct stranger stranger = meet_greeted(type, NULL);
    dx_channel *channel = stranger.channel;
    uint8_t payload[64];
    dx_message message;

    expect_silence(channel);
    ck_assert_uint_eq(start(channel, "one", DX_FOREVER), 1);
    ck_assert_uint_eq(start(channel, "two", DX_FOREVER), 2);
    ck_assert_uint_eq(hear_kind(&stranger, DXI_KIND_REQUEST, payload, sizeof(payload)), 1);
    ck_assert_mem_eq(payload, "one", 3);
    ck_assert_uint_eq(hear_kind(&stranger, DXI_KIND_REQUEST, payload, sizeof(payload)), 2);
    say_kind(&stranger, DXI_KIND_REPLY, 2, "zwei");
    receive(channel, &message, DX_REPLY);
    ck_assert(says(&message, "zwei"));
    ck_assert_int_eq(dx_cancel(channel, 1), 0);
    ck_assert_uint_eq(hear_kind(&stranger, DXI_KIND_CANCEL, payload, sizeof(payload)), 1);
    say_kind(&stranger, DXI_KIND_REQUEST, UINT64_MAX, "?");
    receive(channel, &message, DX_REQUEST);
    ck_assert_uint_eq(message.id, UINT64_MAX);
    ck_assert_int_eq(dx_reply_error(channel, UINT64_MAX, -2, "no", DX_NOW), 0);
    ck_assert_uint_eq(hear_kind(&stranger, DXI_KIND_ERROR, payload, sizeof(payload)), UINT64_MAX);
    ck_assert_mem_eq(payload, "\xff\xff\xff\xfeno", 6);
    part(&stranger);
}

EACH_TYPE(test_an_answer_to_no_request_breaks_the_protocol)
{
    struct stranger stranger = meet_greeted(type, NULL);
    dx_message message;

    expect_silence(stranger.channel);
    start(stranger.channel, "?", DX_FOREVER);
    say_message(&stranger, "before");
    say_kind(&stranger, DXI_KIND_REPLY, 2, "!");
    expect_text(stranger.channel, "before");
    receive(stranger.channel, &message, DX_FAILED);
    ck_assert_uint_eq(message.id, 1);
    ck_assert_int_eq(message.code, -EPROTO);
    expect_error(stranger.channel, -EPROTO, "answered a request with the id 2", DX_NOW);
    part(&stranger);
}

EACH_TYPE(test_an_answer_that_comes_twice_is_dropped_as_late)
{
    struct stranger stranger = meet_greeted(type, NULL);
    dx_message message;

    expect_silence(stranger.channel);
    start(stranger.channel, "?", DX_FOREVER);
    say_kind(&stranger, DXI_KIND_REPLY, 1, "once");
    say_kind(&stranger, DXI_KIND_REPLY, 1, "twice");
    say_kind(&stranger, DXI_KIND_CANCEL, 5, "");
    say_message(&stranger, "after");
    receive(stranger.channel, &message, DX_REPLY);
    ck_assert(says(&message, "once"));
    expect_text(stranger.channel, "after");
    part(&stranger);
}

EACH_TYPE(test_an_id_is_not_for_two_requests_at_once)
{
    struct stranger stranger = meet_greeted(type, NULL);
    dx_message message;

    say_kind(&stranger, DXI_KIND_REQUEST, 9, "first");
    receive(stranger.channel, &message, DX_REQUEST);
    ck_assert_int_eq(dx_reply(stranger.channel, 9, NULL, 0, DX_NOW), 0);
    say_kind(&stranger, DXI_KIND_REQUEST, 9, "again");
    receive(stranger.channel, &message, DX_REQUEST);
    say_kind(&stranger, DXI_KIND_REQUEST, 9, "at once");
    expect_error(stranger.channel, -EPROTO, "the id 9 for two requests", DX_NOW);
    part(&stranger);
}

EACH_TYPE(test_a_flood_of_requests_is_bounded)
{
    dx_channel_options options = {.request_limit = 40};
    struct stranger stranger = meet_greeted(type, &options);
    dx_message message;

    for (uint64_t id = 1; id <= 41; id++) {
        say_kind(&stranger, DXI_KIND_REQUEST, id << 48, "?");
        if (id <= 40)
            receive(stranger.channel, &message, DX_REQUEST);
    }
    expect_error(stranger.channel, -EPROTO, "more than 40 requests open", DX_NOW);
    ck_assert_int_eq(dx_reply(stranger.channel, UINT64_C(1) << 48, NULL, 0, DX_NOW), -EPROTO);
    part(&stranger);
}

EACH_TYPE(test_a_peer_may_take_no_requests)
{
    struct stranger stranger = meet_stranger(type, NULL);
    uint8_t greeting[DXI_HELLO_SIZE_MIN] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
    struct header hello = {.length = sizeof(greeting), .kind = DXI_KIND_HELLO};
    dx_message message;

    ck_assert_int_eq(say_frame(&stranger, &hello, greeting, sizeof(greeting), NULL, 0), 0);
    ck_assert_int_eq(dx_call_start(stranger.channel, "?", 1, NULL, DX_NOW), -EOPNOTSUPP);
    expect_explained(stranger.channel, "takes no requests");
    ck_assert_int_eq(dx_call(stranger.channel, "?", 1, &message, DX_NOW), -EOPNOTSUPP);
    ck_assert_int_eq(dx_send(stranger.channel, "but this", 8, DX_NOW), 0);
    part(&stranger);
}

/* The descriptors of a request that breaks the protocol are nobody's. */
EACH_TYPE(test_a_refused_request_leaves_no_descriptor)
{
    dx_channel_options options = {.descriptor_limit = 1};
    struct stranger stranger = meet_greeted(type, &options);
    struct header header = {.kind = DXI_KIND_REPLY, .id = 4, .descriptors = 1};
    int ends[2];
    char byte;

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(say_frame(&stranger, &header, NULL, 0, &ends[1], 1), 0);
    close(ends[1]);
    expect_error(stranger.channel, -EPROTO, "which was never made", DX_NOW);
    ck_assert_int_eq(dx_recv(stranger.channel, &(dx_message){0}, DX_NOW), -EPROTO);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);
    close(ends[0]);
    part(&stranger);
}

/* A request in pieces counts when it is whole; what is begun inside of it breaks the protocol. */
START_TEST(test_pieces_of_a_request_belong_together)
{
    struct stranger stranger = meet_greeted(DX_STREAM, NULL);
    struct header first = {.length = 2, .kind = DXI_KIND_REQUEST, .flags = DXI_FLAG_MORE, .id = 3};
    struct header last = {.length = 1, .kind = DXI_KIND_REQUEST, .id = 3};
    struct header other = {.length = 1, .kind = DXI_KIND_REQUEST, .id = 4};
    dx_message message;

    ck_assert_int_eq(say_frame(&stranger, &first, "ab", 2, NULL, 0), 0);
    expect_silence(stranger.channel);
    ck_assert_int_eq(say_frame(&stranger, &last, "c", 1, NULL, 0), 0);
    receive(stranger.channel, &message, DX_REQUEST);
    ck_assert(says(&message, "abc"));
    ck_assert_uint_eq(message.id, 3);
    ck_assert_int_eq(dx_reply(stranger.channel, 3, NULL, 0, DX_NOW), 0);
    ck_assert_int_eq(say_frame(&stranger, &first, "ab", 2, NULL, 0), 0);
    ck_assert_int_eq(say_frame(&stranger, &other, "c", 1, NULL, 0), 0);
    expect_error(stranger.channel, -EPROTO, "in the middle of one", DX_NOW);
    part(&stranger);
}
END_TEST

/* Without ids: answers come in order, those of requests that have ended included. */
START_TEST(test_lines_answer_requests_in_their_order)
{
    dx_channel_options lines = {.framing = DX_FRAMING_LINE, .request_limit = 4};
    struct pair pair = open_pair_with(&lines);
    dx_message message;
    uint64_t first = start(pair.near, "1", DX_FOREVER);
    uint64_t second = start(pair.near, "2", 20);
    uint64_t third = start(pair.near, "3", DX_FOREVER);
    uint64_t fourth = start(pair.near, "4", DX_FOREVER);

    ck_assert_int_eq(dx_call_start(pair.near, "5", 1, NULL, DX_NOW), -EBUSY);
    receive(pair.near, &message, DX_FAILED);
    ck_assert_uint_eq(message.id, second);
    ck_assert_int_eq(dx_cancel(pair.near, third), 0);
    /* Their answers are still to come, so there is no room yet. */
    ck_assert_int_eq(dx_call_start(pair.near, "5", 1, NULL, DX_NOW), -EBUSY);
    for (int i = 1; i <= 4; i++) {
        receive(pair.far, &message, DX_MESSAGE);
        ck_assert_int_eq(dx_reply(pair.far, message.id, message.data, message.size, DX_NOW), 0);
    }
    receive(pair.near, &message, DX_REPLY);
    ck_assert_uint_eq(message.id, first);
    ck_assert(says(&message, "1"));
    receive(pair.near, &message, DX_REPLY);
    ck_assert_uint_eq(message.id, fourth);
    ck_assert(says(&message, "4"));
    ck_assert_int_eq(dx_send(pair.far, "unasked", 7, DX_NOW), 0);
    receive(pair.near, &message, DX_MESSAGE);
    ck_assert_uint_eq(message.id, 0);
    ck_assert_int_eq(dx_reply(pair.far, 1, "?", 1, DX_NOW), -ENOENT);
    ck_assert_int_eq(dx_reply_error(pair.far, 0, 1, "?", DX_NOW), -EOPNOTSUPP);
    close_pair(&pair);
}
END_TEST

static int answer_lines(int fd, void *context)
{
    dx_channel_options lines = {.framing = DX_FRAMING_LINE};
    dx_channel *channel = child_channel(fd, &lines);
    dx_message message;

    (void)context;
    while (dx_recv(channel, &message, PATIENCE_MS) == 1)
        harness_child_assert(dx_reply(channel, 0, message.data, message.size, PATIENCE_MS) == 0);
    dx_channel_close(channel);
    return 0;
}

START_TEST(test_a_program_of_lines_can_be_called)
{
    dx_channel_options lines = {.framing = DX_FRAMING_LINE};
    struct child child;
    dx_message reply;

    start_child(&child, DX_STREAM, answer_lines, NULL);
    dx_channel *channel = channel_to_child(&child, &lines);

    for (int i = 0; i < 20; i++) {
        char text[16];
        int size = snprintf(text, sizeof(text), "line %d", i);

        ck_assert_int_eq(dx_call(channel, text, (size_t)size, &reply, PATIENCE_MS), 0);
        ck_assert(says(&reply, text));
        ck_assert_int_eq(reply.kind, DX_REPLY);
    }
    ck_assert_int_eq(dx_call(channel, "a\nb", 3, &reply, PATIENCE_MS), -EINVAL);
    ck_assert_int_eq(dx_call(channel, "after it", 8, &reply, PATIENCE_MS), 0);
    dx_channel_close(channel);
    child_ended(&child);
}
END_TEST

HARNESS_MAIN("call_strangers", OF_EACH_TYPE(test_calls_are_frames_of_the_protocol),
             OF_EACH_TYPE(test_an_answer_to_no_request_breaks_the_protocol),
             OF_EACH_TYPE(test_an_answer_that_comes_twice_is_dropped_as_late),
             OF_EACH_TYPE(test_an_id_is_not_for_two_requests_at_once),
             OF_EACH_TYPE(test_a_flood_of_requests_is_bounded),
             OF_EACH_TYPE(test_a_peer_may_take_no_requests),
             OF_EACH_TYPE(test_a_refused_request_leaves_no_descriptor),
             TEST(test_pieces_of_a_request_belong_together),
             TEST(test_lines_answer_requests_in_their_order),
             TEST(test_a_program_of_lines_can_be_called))
