/* SPDX-License-Identifier: MIT */
/*
 * A child that answers calls as it should not. Its parent's requests have ids from 1.
 */
#include "actor.h"

/* The next request's id. */
static uint64_t hear_request(void)
{
    struct hand_frame frame;

    do
        hand_demand(hand_hear(&frame), 50);
    while (frame.kind != REQUEST);
    return frame.id;
}

static void read_and_be_silent(void)
{
    hear_request();
}

static void reply_twice(void)
{
    uint64_t id = hear_request();

    hand_say_text(REPLY, id, "once");
    hand_say_text(REPLY, id, "twice");
    hand_say_text(REPLY, hear_request(), "next");
}

static void reply_unknown(void)
{
    hand_say_text(REPLY, hear_request() + 1000, "who asked?");
}

static void error_unknown(void)
{
    hand_say_text(ERROR, hear_request() + 1000, "\377\377\377\377no");
}

/* Of a request that was answered long ago. */
static void reply_stale(void)
{
    uint64_t first = hear_request();

    hand_say_text(REPLY, first, "once");
    uint64_t second = hear_request();

    hand_say_text(REPLY, first, "stale");
    hand_say_text(REPLY, second, "next");
}

/* The parent has cancelled it, or has stopped waiting, which is the same here. */
static void reply_after_cancel(void)
{
    struct hand_frame frame;
    uint64_t id = hear_request();

    do
        hand_demand(hand_hear(&frame), 51);
    while (frame.kind != CANCEL);
    hand_say_text(REPLY, id, "too late");
    hand_say_text(REPLY, hear_request(), "next");
}

static void reply_without_id(void)
{
    hear_request();
    hand_say_text(REPLY, 0, "to whom?");
}

static void error_short(void)
{
    hand_say_text(ERROR, hear_request(), "abc");
}

static void reply_never_ends(void)
{
    struct hand_frame piece = {.length = 5, .kind = REPLY, .flags = HAND_MORE};

    piece.id = hear_request();
    hand_say(&piece, "begun", 5, NULL, 0);
}

static void reply_mixed(void)
{
    struct hand_frame piece = {.length = 5, .kind = REPLY, .flags = HAND_MORE};

    piece.id = hear_request();
    hand_say(&piece, "begun", 5, NULL, 0);
    hand_say_text(MESSAGE, 0, "by the way");
}

static void leave(void)
{
    hear_request();
    _exit(0);
}

static void request_twice(void)
{
    hand_say_text(REQUEST, 5, "?");
    hand_say_text(REQUEST, 5, "?");
}

static void request_flood(void)
{
    for (uint64_t id = 1; id <= 1000; id++)
        hand_say_text(REQUEST, id, "?");
}

static void request_without_id(void)
{
    hand_say_text(REQUEST, 0, "?");
}

static void cancel_with_payload(void)
{
    hand_say_text(CANCEL, 1, "because");
}

ACTOR_MAIN({"read-and-be-silent", read_and_be_silent, false}, {"reply-twice", reply_twice, false},
           {"reply-unknown", reply_unknown, false}, {"error-unknown", error_unknown, false},
           {"reply-stale", reply_stale, false}, {"reply-after-cancel", reply_after_cancel, false},
           {"reply-without-id", reply_without_id, false}, {"error-short", error_short, false},
           {"reply-never-ends", reply_never_ends, false}, {"reply-mixed", reply_mixed, false},
           {"leave", leave, false}, {"request-twice", request_twice, false},
           {"request-flood", request_flood, false},
           {"request-without-id", request_without_id, false},
           {"cancel-with-payload", cancel_with_payload, false})
