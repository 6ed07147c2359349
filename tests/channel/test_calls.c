/* SPDX-License-Identifier: MIT */
/*
 * Calls: each request ends exactly once, whoever asks, in whatever order answers come.
 */
#include "callers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

EACH_TYPE(test_a_request_is_answered_with_its_id)
{
    struct pair pair = open_pair(type);
    dx_message message;
    uint64_t id = start(pair.near, "how are you", PATIENCE_MS);

    receive(pair.far, &message, DX_REQUEST);
    ck_assert(says(&message, "how are you"));
    ck_assert_int_eq(dx_reply(pair.far, message.id, "well", 4, DX_NOW), 0);
    receive(pair.near, &message, DX_REPLY);
    ck_assert_uint_eq(message.id, id);
    ck_assert(says(&message, "well"));
    expect_silence(pair.near);
    expect_silence(pair.far);
    close_pair(&pair);
}

EACH_TYPE(test_answers_come_in_any_order_and_messages_between_them)
{
    enum { COUNT = 300 };
    struct pair pair = open_pair(type);
    uint64_t ids[COUNT], asked[COUNT];
    bool answered[COUNT] = {false};
    dx_message message;

    for (unsigned i = 0; i < COUNT; i++) {
        ck_assert_int_eq(dx_call_start(pair.near, &i, sizeof(i), &ids[i], PATIENCE_MS), 0);
        receive(pair.far, &message, DX_REQUEST);
        asked[i] = message.id;
    }
    for (unsigned i = 0; i < COUNT; i++) {
        unsigned which = (i * 7 + 3) % COUNT;

        ck_assert_int_eq(dx_reply(pair.far, asked[which], &which, sizeof(which), PATIENCE_MS), 0);
        if (i % 10 == 0)
            ck_assert_int_eq(dx_send(pair.far, "news", 4, PATIENCE_MS), 0);
        receive(pair.near, &message, DX_REPLY);
        ck_assert_uint_eq(message.id, ids[which]);
        ck_assert_mem_eq(message.data, &which, sizeof(which));
        ck_assert(!answered[which]);
        answered[which] = true;
        if (i % 10 == 0) {
            receive(pair.near, &message, DX_MESSAGE);
            ck_assert_uint_eq(message.id, 0);
        }
    }
    close_pair(&pair);
}

EACH_TYPE(test_both_sides_call_with_the_same_ids)
{
    struct pair pair = open_pair(type);
    uint64_t here = start(pair.near, "from near", PATIENCE_MS);
    uint64_t there = start(pair.far, "from far", PATIENCE_MS);
    dx_message message;

    ck_assert_uint_eq(here, there);
    receive(pair.near, &message, DX_REQUEST);
    ck_assert_int_eq(dx_reply(pair.near, message.id, "to far", 6, DX_NOW), 0);
    receive(pair.far, &message, DX_REQUEST);
    ck_assert_int_eq(dx_reply(pair.far, message.id, "to near", 7, DX_NOW), 0);
    receive(pair.far, &message, DX_REPLY);
    ck_assert(says(&message, "to far"));
    receive(pair.near, &message, DX_REPLY);
    ck_assert(says(&message, "to near"));
    close_pair(&pair);
}

EACH_TYPE(test_large_requests_and_replies_cross)
{
    size_t sizes[] = {0, 1, 16 * KIB, 300 * KIB, 3 * MIB};
    struct pair pair = open_pair(type);

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        const uint8_t *bytes = numbered_payload((unsigned)i, sizes[i]);
        dx_message message;
        uint64_t id;
        int status = dx_call_start(pair.near, bytes, sizes[i], &id, 0);

        /* What does not fit is kept by the channel, or was not begun. */
        while (status == -ETIMEDOUT)
            status = dx_call_start(pair.near, bytes, sizes[i], &id, 0);
        ck_assert_int_eq(status, 0);
        while ((status = dx_recv(pair.far, &message, 0)) == -ETIMEDOUT)
            dx_channel_process(pair.near);
        ck_assert_int_eq(status, 1);
        ck_assert(is_numbered(&message, (unsigned)i, sizes[i]));
        ck_assert_int_eq(dx_reply(pair.far, message.id, message.data, message.size, 0), 0);
        while ((status = dx_recv(pair.near, &message, 0)) == -ETIMEDOUT)
            dx_channel_process(pair.far);
        ck_assert_int_eq(status, 1);
        ck_assert_uint_eq(message.id, id);
        ck_assert(is_numbered(&message, (unsigned)i, sizes[i]));
    }
    close_pair(&pair);
}

EACH_TYPE(test_an_error_has_a_code_and_a_text)
{
    struct pair pair = open_pair(type);
    char long_text[DX_ERROR_TEXT_MAX + 2];
    dx_message message;
    uint64_t id = start(pair.near, "divide by zero", PATIENCE_MS);

    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    receive(pair.far, &message, DX_REQUEST);
    ck_assert_int_eq(dx_reply_error(pair.far, message.id, -7, long_text, DX_NOW), -EMSGSIZE);
    ck_assert_int_eq(dx_reply_error(pair.far, message.id, -7, "that has no result", DX_NOW), 0);
    ck_assert_int_eq(dx_reply_error(pair.far, message.id, -7, "again", DX_NOW), -ENOENT);
    receive(pair.near, &message, DX_ERROR);
    ck_assert_uint_eq(message.id, id);
    ck_assert_int_eq(message.code, -7);
    ck_assert(says(&message, "that has no result"));

    id = start(pair.near, "again", PATIENCE_MS);
    receive(pair.far, &message, DX_REQUEST);
    long_text[DX_ERROR_TEXT_MAX] = '\0';
    ck_assert_int_eq(dx_reply_error(pair.far, message.id, INT32_MIN, long_text, DX_NOW), 0);
    receive(pair.near, &message, DX_ERROR);
    ck_assert_int_eq(message.code, INT32_MIN);
    ck_assert_uint_eq(message.size, DX_ERROR_TEXT_MAX);
    expect_silence(pair.near);
    close_pair(&pair);
}

EACH_TYPE(test_a_request_is_answered_once)
{
    struct pair pair = open_pair(type);
    dx_message message;

    start(pair.near, "?", PATIENCE_MS);
    receive(pair.far, &message, DX_REQUEST);
    uint64_t id = message.id;

    ck_assert_int_eq(dx_reply(pair.far, id + 1, "!", 1, DX_NOW), -ENOENT);
    ck_assert_int_eq(dx_reply(pair.far, 0, "!", 1, DX_NOW), -ENOENT);
    ck_assert_int_eq(dx_reply(pair.far, id, "!", 1, DX_NOW), 0);
    ck_assert_int_eq(dx_reply(pair.far, id, "!", 1, DX_NOW), -ENOENT);
    expect_explained(pair.far, "answered or cancelled");
    receive(pair.near, &message, DX_REPLY);
    expect_silence(pair.near);
    close_pair(&pair);
}

/* The far end answers as the texts say. */
static int answer(dx_channel *channel, const dx_message *request, void *context)
{
    unsigned *count = context;

    (*count)++;
    if (says(request, "refuse"))
        return -EACCES;
    if (says(request, "later"))
        return 0;
    return dx_reply(channel, request->id, request->data, request->size, PATIENCE_MS);
}

static int serve(int fd, void *context)
{
    dx_channel *channel = child_channel(fd, NULL);
    unsigned count = 0;
    dx_message message;

    (void)context;
    harness_child_assert(dx_channel_on_request(channel, answer, &count) == 0);
    /* Only that the caller no longer waits is left for us. */
    harness_child_assert(dx_recv(channel, &message, PATIENCE_MS) == 1);
    harness_child_assert(message.kind == DX_CANCEL);
    harness_child_assert(dx_recv(channel, &message, PATIENCE_MS) == 0);
    dx_channel_close(channel);
    return 0;
}

EACH_TYPE(test_a_call_waits_for_its_answer)
{
    struct child child;
    dx_message reply;

    start_child(&child, type, serve, NULL);
    dx_channel *channel = channel_to_child(&child, NULL);

    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(dx_call(channel, &i, sizeof(i), &reply, PATIENCE_MS), 0);
        ck_assert_int_eq(reply.kind, DX_REPLY);
        ck_assert_mem_eq(reply.data, &i, sizeof(i));
    }
    ck_assert_int_eq(dx_call(channel, "refuse", 6, &reply, PATIENCE_MS), -EREMOTEIO);
    ck_assert_int_eq(reply.kind, DX_ERROR);
    ck_assert_int_eq(reply.code, -EACCES);
    expect_explained(channel, "Permission denied");
    uint64_t begun = now_ms();

    ck_assert_int_eq(dx_call(channel, "later", 5, &reply, 50), -ETIMEDOUT);
    ck_assert_uint_ge(now_ms() - begun, 50);
    ck_assert_int_eq(dx_call(channel, "still there", 11, &reply, PATIENCE_MS), 0);
    dx_channel_close(channel);
    child_ended(&child);
}

/* Parent calls child, child calls back within the handler, and so on down to 0. */
static int count_down(dx_channel *channel, const dx_message *request, void *context)
{
    unsigned *depth = context;
    unsigned number, below;
    dx_message reply;

    memcpy(&number, request->data, sizeof(number));
    uint64_t id = request->id;

    (*depth)++;
    if (number > 0) {
        unsigned next = number - 1;
        int status = dx_call(channel, &next, sizeof(next), &reply, PATIENCE_MS);

        if (status < 0)
            return status;
        memcpy(&below, reply.data, sizeof(below));
        number += below;
    }
    return dx_reply(channel, id, &number, sizeof(number), PATIENCE_MS);
}

static int count_down_child(int fd, void *context)
{
    dx_channel *channel = child_channel(fd, NULL);
    unsigned depth = 0;
    dx_message message;

    (void)context;
    harness_child_assert(dx_channel_on_request(channel, count_down, &depth) == 0);
    harness_child_assert(dx_recv(channel, &message, PATIENCE_MS) == 0);
    harness_child_assert(depth == 6);
    dx_channel_close(channel);
    return 0;
}

EACH_TYPE(test_a_call_inside_a_call_handler_works)
{
    struct child child;
    unsigned depth = 0, number = 10, sum;
    dx_message reply;

    start_child(&child, type, count_down_child, NULL);
    dx_channel *channel = channel_to_child(&child, NULL);

    ck_assert_int_eq(dx_channel_on_request(channel, count_down, &depth), 0);
    ck_assert_int_eq(dx_call(channel, &number, sizeof(number), &reply, PATIENCE_MS), 0);
    memcpy(&sum, reply.data, sizeof(sum));
    ck_assert_uint_eq(sum, 55);
    ck_assert_uint_eq(depth, 5);
    dx_channel_close(channel);
    child_ended(&child);
}

EACH_TYPE(test_what_comes_while_a_call_waits_is_received_afterwards)
{
    struct pair pair = open_pair(type);
    dx_message message;
    int note = make_note(5);
    int twin = dup(note);
    dx_message bearing = with_descriptors("with a note", 11, &twin, 1);
    dx_channel_options options = {.type = type, .descriptor_limit = 2};

    close_pair(&pair);
    pair = open_pair_with(&options);
    expect_silence(pair.near); /* the greetings are exchanged */
    expect_silence(pair.far);
    uint64_t id = start(pair.near, "early", PATIENCE_MS);

    ck_assert_int_eq(dx_send(pair.far, "1", 1, DX_NOW), 0);
    ck_assert_int_eq(dx_send_message(pair.far, &bearing, DX_NOW), 0);
    ck_assert_int_eq(dx_send(pair.far, "2", 1, DX_NOW), 0);
    receive(pair.far, &message, DX_REQUEST);
    ck_assert_int_eq(dx_reply(pair.far, message.id, "answer to early", 15, DX_NOW), 0);
    /* The reply to a call that has yet to be made cannot be there: it runs into its deadline. */
    ck_assert_int_eq(dx_call(pair.near, "?", 1, &message, 20), -ETIMEDOUT);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), 0);
    ck_assert_int_eq(dx_channel_process(pair.near), 1);

    receive(pair.near, &message, DX_MESSAGE);
    ck_assert(says(&message, "1"));
    receive(pair.near, &message, DX_MESSAGE);
    ck_assert(says(&message, "with a note"));
    ck_assert_uint_eq(message.descriptor_count, 1);
    int taken = dx_message_take(&message, 0);

    ck_assert(is_note(taken, 5));
    ck_assert(is_cloexec(taken));
    close(taken);
    receive(pair.near, &message, DX_MESSAGE);
    ck_assert(says(&message, "2"));
    receive(pair.near, &message, DX_REPLY);
    ck_assert_uint_eq(message.id, id);
    expect_silence(pair.near);
    close(note);
    close_pair(&pair);
}

EACH_TYPE(test_what_nobody_receives_is_bounded_and_not_lost)
{
    dx_channel_options options = {.type = type, .message_limit = 64 * KIB};
    struct pair pair = open_pair_with(&options);
    unsigned sent = 0, received = 0;
    dx_message message;

    /* Nobody receives at the near end but a call, which must end before it has taken in all. */
    for (;;) {
        while (dx_send(pair.far, numbered_payload(sent, 8 * KIB), 8 * KIB, DX_NOW) == 0)
            sent++;
        int status = dx_call(pair.near, "?", 1, &message, 50);

        if (status == -EDEADLK)
            break;
        ck_assert_int_eq(status, -ETIMEDOUT);
        ck_assert_uint_lt(sent, 1000);
    }
    expect_explained(pair.near, "wait here to be received");
    while (dx_recv(pair.near, &message, 20) == 1)
        ck_assert(is_numbered(&message, received++, 8 * KIB));
    ck_assert_uint_eq(received, sent);
    close_pair(&pair);
}

EACH_TYPE(test_descriptors_travel_with_requests_and_replies)
{
    dx_channel_options options = {.type = type, .descriptor_limit = 3};
    struct pair pair = open_pair_with(&options);
    int notes[2] = {make_note(1), make_note(2)};
    dx_message request = with_descriptors("two", 3, notes, 2);
    dx_message message;
    uint64_t id;

    expect_silence(pair.near);
    ck_assert_int_eq(dx_call_start_message(pair.near, &request, &id, PATIENCE_MS), 0);
    ck_assert_int_eq(notes[0], -1);
    receive(pair.far, &message, DX_REQUEST);
    ck_assert_uint_eq(message.descriptor_count, 2);
    ck_assert(is_note(message.descriptors[1], 2));
    int back = dx_message_take(&message, 0);
    dx_message reply = with_descriptors("one", 3, &back, 1);

    ck_assert_int_eq(dx_reply_message(pair.far, message.id, &reply, PATIENCE_MS), 0);
    receive(pair.near, &message, DX_REPLY);
    ck_assert_uint_eq(message.id, id);
    ck_assert_uint_eq(message.descriptor_count, 1);
    ck_assert(is_note(message.descriptors[0], 1));
    close_pair(&pair);
}

/* A handler's refusal reaches the caller even when there is no room for it at the moment. */
EACH_TYPE(test_a_refusal_waits_for_room)
{
    struct pair pair = open_pair(type);
    unsigned count = 0;
    dx_message message;
    uint64_t id = start(pair.near, "refuse", DX_FOREVER);
    unsigned filled = fill_outgoing(pair.far, 0, 1000);

    ck_assert_int_eq(dx_channel_on_request(pair.far, answer, &count), 0);
    ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), -ETIMEDOUT);
    ck_assert_uint_eq(count, 1);
    for (unsigned i = 0; i < filled; i++) {
        receive(pair.near, &message, DX_MESSAGE);
        dx_channel_process(pair.far);
    }
    receive(pair.near, &message, DX_ERROR);
    ck_assert_uint_eq(message.id, id);
    ck_assert_int_eq(message.code, -EACCES);
    close_pair(&pair);
}

START_TEST(test_calls_have_their_errors)
{
    struct pair pair = open_pair(DX_STREAM);
    dx_message message = {.kind = DX_REQUEST};
    dx_channel_options too_many = {.request_limit = DX_REQUEST_LIMIT_MAX + 1};
    dx_channel *ends[2];

    ck_assert_int_eq(dx_call(NULL, "?", 1, &message, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_call(pair.near, "?", 1, NULL, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_call(pair.near, NULL, 1, &message, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_call_start(pair.near, NULL, 1, NULL, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -EINVAL);
    expect_explained(pair.near, "dx_call()");
    ck_assert_int_eq(dx_channel_pair(ends, &too_many), -EINVAL);
    expect_silence(pair.far);

    /* A request that is too large was never made: the next has its id. */
    char *large = calloc(1, 17 * MIB);

    ck_assert_ptr_nonnull(large);
    ck_assert_int_eq(dx_call_start(pair.near, large, 17 * MIB, NULL, DX_NOW), -EMSGSIZE);
    free(large);
    ck_assert_uint_eq(start(pair.near, "?", DX_FOREVER), 1);
    dx_channel_close(pair.far);
    receive(pair.near, &message, DX_FAILED);
    ck_assert_int_eq(dx_call(pair.near, "?", 1, &message, PATIENCE_MS), -EPIPE);
    expect_end(pair.near, DX_NOW);
    dx_channel_close(pair.near);
}
END_TEST

/* On a stream both come with one read: the answer lies here when its request is cancelled. */
START_TEST(test_an_answer_that_lies_here_is_dropped_when_its_request_is_cancelled)
{
    struct pair pair = open_pair(DX_STREAM);
    uint64_t id = start(pair.near, "?", PATIENCE_MS);
    dx_message message;

    receive(pair.far, &message, DX_REQUEST);
    ck_assert_int_eq(dx_send(pair.far, "first", 5, DX_NOW), 0);
    ck_assert_int_eq(dx_reply(pair.far, message.id, "answer", 6, DX_NOW), 0);
    receive(pair.near, &message, DX_MESSAGE);
    /* The word to the peer is collected, so that nothing but our own book knows of it. */
    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(dx_cancel(pair.near, id), 0);
    ck_assert_int_eq(dx_cancel(pair.near, id), -ENOENT);
    expect_silence(pair.near);
    close_pair(&pair);
}
END_TEST

EACH_TYPE(test_a_reply_that_did_not_fit_can_be_made_again)
{
    struct pair pair = open_pair(type);
    uint64_t id = start(pair.near, "?", PATIENCE_MS);
    dx_message message;

    receive(pair.far, &message, DX_REQUEST);
    unsigned filled = fill_outgoing(pair.far, 0, 1000);

    ck_assert_int_eq(dx_reply(pair.far, id, "answer", 6, DX_NOW), -ETIMEDOUT);
    ck_assert_int_eq(dx_reply_error(pair.far, id, 5, "no", DX_NOW), -ETIMEDOUT);
    for (unsigned i = 0; i < filled; i++) {
        /* What was accepted and has not left yet. */
        (void)dx_channel_process(pair.far);
        expect_numbered(pair.near, i, 1000, PATIENCE_MS);
    }
    ck_assert_int_eq(dx_reply(pair.far, id, "answer", 6, DX_NOW), 0);
    receive(pair.near, &message, DX_REPLY);
    ck_assert(says(&message, "answer"));
    ck_assert_int_eq(dx_reply(pair.far, id, "answer", 6, DX_NOW), -ENOENT);
    close_pair(&pair);
}

HARNESS_MAIN("calls", OF_EACH_TYPE(test_a_request_is_answered_with_its_id),
             OF_EACH_TYPE(test_answers_come_in_any_order_and_messages_between_them),
             OF_EACH_TYPE(test_both_sides_call_with_the_same_ids),
             OF_EACH_TYPE(test_large_requests_and_replies_cross),
             OF_EACH_TYPE(test_an_error_has_a_code_and_a_text),
             OF_EACH_TYPE(test_a_request_is_answered_once),
             OF_EACH_TYPE(test_a_call_waits_for_its_answer),
             OF_EACH_TYPE(test_a_call_inside_a_call_handler_works),
             OF_EACH_TYPE(test_what_comes_while_a_call_waits_is_received_afterwards),
             OF_EACH_TYPE(test_what_nobody_receives_is_bounded_and_not_lost),
             OF_EACH_TYPE(test_descriptors_travel_with_requests_and_replies),
             TEST(test_an_answer_that_lies_here_is_dropped_when_its_request_is_cancelled),
             OF_EACH_TYPE(test_a_reply_that_did_not_fit_can_be_made_again),
             OF_EACH_TYPE(test_a_refusal_waits_for_room), TEST(test_calls_have_their_errors))
