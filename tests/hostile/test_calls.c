/* SPDX-License-Identifier: MIT */
/*
 * Children that answer what nobody asked, or never.
 */
#include "common.h"

#define ANSWERER .program = "child_answerer", .over = ANY_WAY, .manner = ASKS

/* The next call is answered by "next", and by nothing that was for another. */
static int call_again(struct scene *scene)
{
    dx_message reply;
    uint64_t begun = begin_call();
    int status = dx_call(scene->channel, "?", 1, &reply, wait_ms_of(scene));

    end_call(scene, "dx_call()", begun, wait_ms_of(scene));
    keep_answer(scene, status == 0 ? 1 : status, NULL);
    if (status == 0) {
        ck_assert_uint_eq(reply.size, 4);
        ck_assert_mem_eq(reply.data, "next", 4);
    }
    return scene->answer;
}

static int call_twice(struct scene *scene)
{
    dx_message reply;

    ck_assert_int_eq(dx_call(scene->channel, "?", 1, &reply, wait_ms_of(scene)), 0);
    ck_assert_mem_eq(reply.data, "once", 4);
    return call_again(scene);
}

static int cancel_and_call(struct scene *scene)
{
    uint64_t id;

    ck_assert_int_eq(dx_call_start(scene->channel, "?", 1, &id, DX_FOREVER), 0);
    ck_assert_int_eq(dx_cancel(scene->channel, id), 0);
    return call_again(scene);
}

/* The first call ends at its deadline, which tells the child as a cancel does. */
static int give_up_and_call(struct scene *scene)
{
    dx_message reply;
    uint64_t begun = begin_call();

    ck_assert_int_eq(dx_call(scene->channel, "?", 1, &reply, 30), -ETIMEDOUT);
    end_call(scene, "dx_call()", begun, 30);
    return call_again(scene);
}

MISDEED(test_a_child_that_never_answers, ANSWERER, .does = "reads a request and never answers",
        .act = "read-and-be-silent", .answer = -ETIMEDOUT, .messages = UNTIL_IT_ENDS,
        .says = "the peer … until the deadline")

MISDEED(test_an_answer_that_comes_twice, ANSWERER, .does = "answers twice", .act = "reply-twice",
        .meet = call_twice, .answer = 1)

MISDEED(test_an_answer_to_a_request_of_before, ANSWERER,
        .does = "answers a request once more when the next has been made", .act = "reply-stale",
        .meet = call_twice, .answer = 1)

MISDEED(test_an_answer_after_the_cancel, ANSWERER, .does = "answers after the cancel",
        .act = "reply-after-cancel", .meet = cancel_and_call, .answer = 1)

MISDEED(test_an_answer_after_the_deadline, ANSWERER, .does = "answers after the deadline",
        .act = "reply-after-cancel", .meet = give_up_and_call, .answer = 1)

MISDEED(test_an_answer_to_no_request, ANSWERER, .does = "answers a request that was never made",
        .act = "reply-unknown", .answer = -EPROTO, .messages = UNTIL_IT_ENDS,
        .says = "the peer answered a request with the id 1001, which was never made")

MISDEED(test_an_error_for_no_request, ANSWERER,
        .does = "answers a request that was never made with an error", .act = "error-unknown",
        .answer = -EPROTO, .messages = UNTIL_IT_ENDS,
        .says = "the peer answered a request with the id 1001, which was never made")

MISDEED(test_an_answer_without_an_id, ANSWERER, .does = "answers without an id",
        .act = "reply-without-id", .answer = -EPROTO, .messages = UNTIL_IT_ENDS,
        .says = "the peer sent a frame of kind 4 without an id")

MISDEED(test_an_error_of_the_wrong_size, ANSWERER, .does = "answers with an error of 3 bytes",
        .act = "error-short", .answer = -EPROTO, .messages = UNTIL_IT_ENDS,
        .says = "the peer sent an error of 3 bytes")

MISDEED(test_an_answer_without_end, ANSWERER, .does = "begins an answer and falls silent",
        .act = "reply-never-ends", .answer = -ETIMEDOUT, .messages = UNTIL_IT_ENDS,
        .says = "the peer … until the deadline")

MISDEED(test_a_message_in_the_middle_of_an_answer, ANSWERER,
        .does = "sends a message in the middle of an answer", .act = "reply-mixed",
        .answer = -EPROTO, .messages = UNTIL_IT_ENDS,
        .says = "the peer began another message in the middle of one")

MISDEED(test_an_exit_instead_of_an_answer, ANSWERER, .does = "exits instead of answering",
        .act = "leave", .answer = -EPIPE, .messages = UNTIL_IT_ENDS, .ends = "exited with status 0",
        .says = "the peer ended without an answer")

#define REQUESTER .program = "child_answerer", .over = ANY_WAY

MISDEED(test_one_id_for_two_requests, REQUESTER, .does = "uses an id for two requests at once",
        .act = "request-twice", .answer = -EPROTO, .messages = 1,
        .says = "the peer used the id 5 for two requests at once")

MISDEED(test_a_flood_of_requests, REQUESTER, .does = "makes requests without end",
        .act = "request-flood", .answer = -EPROTO, .messages = 16,
        .says = "the peer has more than 16 requests open, which is the limit")

MISDEED(test_a_request_without_an_id, REQUESTER, .does = "makes a request without an id",
        .act = "request-without-id", .answer = -EPROTO,
        .says = "the peer sent a frame of kind 3 without an id")

MISDEED(test_a_cancel_with_something_in_it, REQUESTER, .does = "cancels with a reason",
        .act = "cancel-with-payload", .answer = -EPROTO,
        .says = "the peer sent a cancel with something in it")

HOSTILE_MAIN("Calls")
