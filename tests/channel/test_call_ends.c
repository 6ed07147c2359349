/* SPDX-License-Identifier: MIT */
/*
 * How a request ends that is not answered: by its deadline, by cancel, by the peer's end; and that
 * there are never more of them than both ends allow.
 */
#include "callers.h"

#include <errno.h>
#include <unistd.h>

EACH_TYPE(test_a_deadline_ends_a_request_and_its_late_answer_is_dropped)
{
    struct pair pair = open_pair(type);
    dx_message message;
    uint64_t begun = now_ms();
    int patience = 60 * slowness();
    uint64_t slow = start(pair.near, "slow", patience);

    receive(pair.far, &message, DX_REQUEST);
    uint64_t asked = message.id;

    ck_assert_int_le(dx_channel_timeout_ms(pair.near), patience);
    ck_assert_int_eq(dx_recv(pair.near, &message, 5), -ETIMEDOUT);
    receive(pair.near, &message, DX_FAILED);
    ck_assert_uint_ge(now_ms() - begun, (uint64_t)patience);
    ck_assert_uint_le(now_ms() - begun, (uint64_t)patience + 100 * (uint64_t)slowness());
    ck_assert_uint_eq(message.id, slow);
    ck_assert_int_eq(message.code, -ETIMEDOUT);
    ck_assert_uint_gt(message.size, 0);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), DX_FOREVER);
    /* The peer answers before it has heard of it. */
    ck_assert_int_eq(dx_reply(pair.far, asked, "late", 4, DX_NOW), 0);
    uint64_t next = start(pair.near, "next", PATIENCE_MS);

    ck_assert_uint_ne(next, slow);
    receive(pair.far, &message, DX_REQUEST);
    ck_assert_int_eq(dx_reply(pair.far, message.id, "in time", 7, DX_NOW), 0);
    receive(pair.near, &message, DX_REPLY);
    ck_assert_uint_eq(message.id, next);
    ck_assert(says(&message, "in time"));
    expect_silence(pair.near);
    expect_silence(pair.far); /* the cancel of what was answered is no news */
    close_pair(&pair);
}

EACH_TYPE(test_a_peer_learns_that_nobody_waits_any_more)
{
    struct pair pair = open_pair(type);
    dx_message message;
    uint64_t slow = start(pair.near, "slow", 30);
    uint64_t unwanted = start(pair.near, "unwanted", PATIENCE_MS);

    receive(pair.near, &message, DX_FAILED);
    ck_assert_uint_eq(message.id, slow);
    ck_assert_int_eq(dx_cancel(pair.near, unwanted), 0);
    ck_assert_int_eq(dx_cancel(pair.near, unwanted), -ENOENT);
    ck_assert_int_eq(dx_cancel(pair.near, 77), -ENOENT);
    expect_silence(pair.near);
    receive(pair.far, &message, DX_REQUEST);
    receive(pair.far, &message, DX_REQUEST);
    receive(pair.far, &message, DX_CANCEL);
    ck_assert_uint_eq(message.id, slow);
    ck_assert_int_eq(dx_reply(pair.far, slow, NULL, 0, DX_NOW), -ENOENT);
    receive(pair.far, &message, DX_CANCEL);
    ck_assert_uint_eq(message.id, unwanted);
    ck_assert_uint_eq(message.size, 0);
    expect_silence(pair.far);
    close_pair(&pair);
}

EACH_TYPE(test_deadlines_are_told_in_their_order)
{
    struct pair pair = open_pair(type);
    int times[] = {400, 100, 300, 200};
    uint64_t ids[4];
    dx_message message;

    for (int i = 0; i < 4; i++)
        ids[i] = start(pair.near, "?", times[i] * slowness());
    uint64_t endless = start(pair.near, "?", DX_FOREVER);
    uint64_t unhurried = start(pair.near, "?", DX_NOW);

    ck_assert_int_eq(dx_call_deadline(pair.near, ids[0], 50 * slowness()), 0);
    ck_assert_int_eq(dx_call_deadline(pair.near, 77, 50), -ENOENT);
    for (int i = 0; i < 4; i++) {
        int order[] = {0, 1, 3, 2};

        receive(pair.near, &message, DX_FAILED);
        ck_assert_uint_eq(message.id, ids[order[i]]);
    }
    expect_silence(pair.near);
    ck_assert_int_eq(dx_call_deadline(pair.near, unhurried, 1), 0);
    receive(pair.near, &message, DX_FAILED);
    ck_assert_uint_eq(message.id, unhurried);
    ck_assert_int_eq(dx_cancel(pair.near, endless), 0);
    close_pair(&pair);
}

/* While messages come without pause, deadlines pass all the same. */
EACH_TYPE(test_a_deadline_is_told_between_messages)
{
    struct pair pair = open_pair(type);
    dx_message message;
    unsigned messages = 0;
    uint64_t begun = now_ms();

    start(pair.near, "?", 50);
    do {
        ck_assert_int_eq(dx_send(pair.far, "news", 4, PATIENCE_MS), 0);
        ck_assert_int_eq(dx_recv(pair.near, &message, PATIENCE_MS), 1);
        messages += message.kind == DX_MESSAGE;
        ck_assert_uint_le(now_ms() - begun, 50 + 200 * (uint64_t)slowness());
    } while (message.kind != DX_FAILED);
    ck_assert_uint_gt(messages, 0);
    close_pair(&pair);
}

EACH_TYPE(test_the_end_of_a_conversation_ends_each_request)
{
    struct pair pair = open_pair(type);
    dx_message message;
    uint64_t first = start(pair.near, "1", DX_FOREVER);
    uint64_t second = start(pair.near, "2", PATIENCE_MS);
    uint64_t third = start(pair.near, "3", DX_FOREVER);
    uint64_t failed = 0;

    receive(pair.far, &message, DX_REQUEST);
    ck_assert_int_eq(dx_reply(pair.far, message.id, "one", 3, DX_NOW), 0);
    ck_assert_int_eq(dx_send(pair.far, "goodbye", 7, DX_NOW), 0);
    dx_channel_close(pair.far);

    receive(pair.near, &message, DX_REPLY);
    ck_assert_uint_eq(message.id, first);
    receive(pair.near, &message, DX_MESSAGE);
    for (int i = 0; i < 2; i++) {
        receive(pair.near, &message, DX_FAILED);
        ck_assert_int_eq(message.code, -EPIPE);
        ck_assert(message.id == second || message.id == third);
        failed += message.id;
    }
    ck_assert_uint_eq(failed, second + third);
    expect_end(pair.near, DX_NOW);
    expect_end(pair.near, DX_NOW);
    dx_channel_close(pair.near);
}

EACH_TYPE(test_the_descriptors_of_a_late_reply_are_closed)
{
    dx_channel_options options = {.type = type, .descriptor_limit = 3};
    struct pair pair = open_pair_with(&options);
    int ends[2];
    dx_message message;
    char byte;

    expect_silence(pair.near);
    expect_silence(pair.far);
    ck_assert_int_eq(pipe(ends), 0);
    start(pair.near, "?", 10);
    receive(pair.far, &message, DX_REQUEST);
    uint64_t asked = message.id;

    receive(pair.near, &message, DX_FAILED);
    dx_message reply = with_descriptors("late", 4, &ends[1], 1);

    ck_assert_int_eq(dx_reply_message(pair.far, asked, &reply, PATIENCE_MS), 0);
    expect_silence(pair.near);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0); /* nobody holds the other end */
    close(ends[0]);
    close_pair(&pair);
}

EACH_TYPE(test_open_requests_are_bounded)
{
    dx_channel_options options = {.type = type, .request_limit = 20};
    struct pair pair = open_pair_with(&options);
    dx_message message;
    uint64_t first = start(pair.near, "?", DX_FOREVER);

    for (int i = 1; i < 20; i++)
        start(pair.near, "?", DX_FOREVER);
    ck_assert_int_eq(dx_call_start(pair.near, "?", 1, NULL, DX_NOW), -EBUSY);
    expect_explained(pair.near, "20 requests are open");
    ck_assert_int_eq(dx_call(pair.near, "?", 1, &message, DX_NOW), -EBUSY);
    ck_assert_int_eq(dx_cancel(pair.near, first), 0);
    start(pair.near, "?", DX_FOREVER);
    ck_assert_int_eq(dx_call_start(pair.near, "?", 1, NULL, DX_NOW), -EBUSY);
    /* Never more than the peer accepts, although a cancelled one is open there a while. */
    for (int i = 0; i < 20; i++)
        receive(pair.far, &message, DX_REQUEST);
    receive(pair.far, &message, DX_CANCEL);
    receive(pair.far, &message, DX_REQUEST);
    expect_silence(pair.far);
    close_pair(&pair);
}

EACH_TYPE(test_the_peers_limit_holds_from_its_greeting_on)
{
    struct pair pair;
    dx_channel_options generous = {.type = type};
    dx_channel_options strict = {.type = type, .request_limit = 2};
    int fds[2];

    raw_pair(type, fds);
    ck_assert_int_eq(dx_channel_attach(&pair.near, fds[0], fds[0], &generous), 0);
    /* Before the greeting: as many as every end accepts. */
    for (int i = 0; i < 16; i++)
        start(pair.near, "?", DX_FOREVER);
    ck_assert_int_eq(dx_call_start(pair.near, "?", 1, NULL, DX_NOW), -EBUSY);
    ck_assert_int_eq(dx_channel_attach(&pair.far, fds[1], fds[1], &strict), 0);
    for (int i = 0; i < 16; i++) {
        dx_message message;

        receive(pair.far, &message, DX_REQUEST);
        ck_assert_int_eq(dx_reply(pair.far, message.id, NULL, 0, DX_NOW), 0);
        receive(pair.near, &message, DX_REPLY);
    }
    start(pair.near, "?", DX_FOREVER);
    start(pair.near, "?", DX_FOREVER);
    ck_assert_int_eq(dx_call_start(pair.near, "?", 1, NULL, DX_NOW), -EBUSY);
    close_pair(&pair);
}

EACH_TYPE(test_a_deadline_may_be_now)
{
    struct pair pair = open_pair(type);
    uint64_t id = start(pair.near, "?", DX_FOREVER);
    dx_message message;

    ck_assert_int_eq(dx_call_deadline(pair.near, id, DX_NOW), 0);
    receive(pair.near, &message, DX_FAILED);
    ck_assert_uint_eq(message.id, id);
    ck_assert_int_eq(message.code, -ETIMEDOUT);
    ck_assert_int_eq(dx_call_deadline(pair.near, id, DX_NOW), -ENOENT);
    close_pair(&pair);
}

HARNESS_MAIN("call_ends",
             OF_EACH_TYPE(test_a_deadline_ends_a_request_and_its_late_answer_is_dropped),
             OF_EACH_TYPE(test_a_peer_learns_that_nobody_waits_any_more),
             OF_EACH_TYPE(test_a_deadline_may_be_now),
             OF_EACH_TYPE(test_deadlines_are_told_in_their_order),
             OF_EACH_TYPE(test_a_deadline_is_told_between_messages),
             OF_EACH_TYPE(test_the_end_of_a_conversation_ends_each_request),
             OF_EACH_TYPE(test_the_descriptors_of_a_late_reply_are_closed),
             OF_EACH_TYPE(test_open_requests_are_bounded),
             OF_EACH_TYPE(test_the_peers_limit_holds_from_its_greeting_on))
