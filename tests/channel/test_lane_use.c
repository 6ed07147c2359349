/* SPDX-License-Identifier: MIT */
/*
 * A conversation in the lane keeps the promises that it kept by the socket: deadlines, two sides
 * that send at once, the end of one direction, corks, calls.
 */
#include "lanes.h"

#include <duplex/call.h>

#include <poll.h>
#include <unistd.h>

enum { EXCHANGED = 300 };

static size_t size_of(unsigned number)
{
    static const size_t edges[] = {0,     1,     15,    100,    4095,   16368,  16369,   30000,
                                   65520, 65536, 65537, 131072, 262144, 400000, 1048576, 64};

    return edges[number % (sizeof(edges) / sizeof(*edges))];
}

/* As expect_numbered(), where the sender still has a part of it. */
static void expect_flushed(struct pair *pair, unsigned number, size_t size)
{
    dx_message message;
    int status;

    while ((status = dx_recv(pair->far, &message, DX_NOW)) == -ETIMEDOUT)
        dx_flush(pair->near, DX_NOW);
    ck_assert_int_eq(status, 1);
    ck_assert(is_numbered(&message, number, size));
}

EACH_LANE(test_a_send_waits_for_room_until_the_deadline)
{
    struct pair pair = open_lane(type);
    unsigned count = fill_outgoing(pair.near, 0, 1000);
    uint64_t start = now_ms();

    ck_assert_uint_gt(count, 200);
    ck_assert_int_eq(send_numbered(pair.near, count, 1000, 100), -ETIMEDOUT);
    ck_assert_uint_ge(now_ms() - start, 100);
    for (unsigned i = 0; i < count; i++)
        expect_flushed(&pair, i, 1000);
    carry(pair.near, pair.far, count, 1000);
    close_pair(&pair);
}

/* What has begun is kept, and leaves before anything else. */
EACH_LANE(test_a_deadline_in_the_middle_of_a_message_loses_nothing)
{
    struct pair pair = open_lane(type);

    for (unsigned round = 0; round < 5; round++) {
        ck_assert_int_eq(send_numbered(pair.near, round, 3 * MIB, 20), 0);
        ck_assert(is_pending(pair.near));
        ck_assert_int_eq(send_numbered(pair.near, 99, 10, 20), -ETIMEDOUT);
        expect_flushed(&pair, round, 3 * MIB);
        carry(pair.near, pair.far, 1, 10);
        ck_assert(!is_pending(pair.near));
    }
    close_pair(&pair);
}

EACH_LANE(test_both_sides_that_only_send_are_told)
{
    struct pair pair = open_lane_with(&(dx_channel_options){
        .type = type, .message_limit = 64 * KIB, .receive_backlog = 64 * KIB});
    unsigned sent = 0;
    int status;

    fill_outgoing(pair.far, 0, 10000);
    do
        status = send_numbered(pair.near, sent++, 10000, 10000);
    while (status == 0);
    ck_assert_int_eq(status, -EDEADLK);
    ck_assert_uint_gt(sent, 20);
    /* Nothing is lost. */
    for (unsigned i = 0; i < sent - 1; i++)
        expect_flushed(&pair, i, 10000);
    close_pair(&pair);
}

EACH_LANE(test_what_is_corked_leaves_at_a_flush)
{
    struct pair pair = open_lane(type);

    for (unsigned round = 0; round < 50; round++) {
        ck_assert_int_eq(dx_cork(pair.near), 0);
        for (unsigned i = 0; i < 20; i++)
            ck_assert_int_eq(send_numbered(pair.near, i, i * 8, 0), 0);
        expect_silence(pair.far);
        ck_assert_int_eq(dx_flush(pair.near, 1000), 0);
        for (unsigned i = 0; i < 20; i++)
            expect_numbered(pair.far, i, i * 8, 1000);
    }
    /* More than is collected, and before a wait. */
    ck_assert_int_eq(dx_cork(pair.near), 0);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(send_numbered(pair.near, i, 1000, 0), 0);
    dx_message message;

    ck_assert_int_eq(dx_recv(pair.near, &message, 10), -ETIMEDOUT);
    for (unsigned i = 0; i < 100; i++)
        expect_numbered(pair.far, i, 1000, 0);
    close_pair(&pair);
}

/* The end is said before the lane, in it, and so that it and the switch cross. */
EACH_LANE(test_one_direction_ends_and_the_other_goes_on)
{
    for (unsigned before = 0; before < 12; before++)
        for (int role = 0; role < 2; role++) {
            struct pair pair = open_pair(type);
            dx_channel *quiet = role ? pair.near : pair.far;
            dx_channel *other = role ? pair.far : pair.near;

            for (unsigned i = 0; i < before; i++) {
                ck_assert_int_eq(send_numbered(quiet, i, 200, 1000), 0);
                carry(other, quiet, i, 100);
            }
            ck_assert_int_eq(dx_channel_end(quiet, 1000), 0);
            ck_assert_int_eq(send_numbered(quiet, 1, 1, 1000), -ESHUTDOWN);
            for (unsigned i = 0; i < 100; i++)
                carry(other, quiet, i, 100 + i * 50);
            for (unsigned i = 0; i < before; i++)
                expect_numbered(other, i, 200, 1000);
            expect_end(other, 1000);
            for (unsigned i = 0; i < 100; i++)
                carry(other, quiet, i, 100 + i * 50);
            ck_assert_int_eq(dx_channel_end(other, 1000), 0);
            expect_end(quiet, 1000);
            expect_end(other, 1000);
            close_pair(&pair);
        }
}

EACH_LANE(test_the_end_wakes_one_who_sleeps)
{
    struct pair pair = open_lane(type);

    ck_assert_int_eq(dx_channel_timeout_ms(pair.far), DX_FOREVER);
    ck_assert_int_eq(dx_channel_end(pair.near, 1000), 0);
    struct pollfd polled = {.fd = dx_channel_fd(pair.far), .events = POLLIN};

    ck_assert_int_eq(poll(&polled, 1, 1000), 1);
    expect_end(pair.far, 0);
    /* And a close, of one who says nothing more. */
    carry(pair.far, pair.near, 1, 10);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), DX_FOREVER);
    ck_assert_int_eq(send_numbered(pair.far, 7, 1000, 0), 0);
    pair.far = dx_channel_close(pair.far);
    polled.fd = dx_channel_fd(pair.near);
    ck_assert_int_eq(poll(&polled, 1, 1000), 1);
    expect_numbered(pair.near, 7, 1000, 0);
    expect_end(pair.near, 1000);
    close_pair(&pair);
}

/* Both say much before either listens: each takes in meanwhile. */
static int exchange_bursts(dx_channel *channel, void *context)
{
    unsigned burst = *(unsigned *)context;
    dx_message message;

    for (unsigned sent = 0, heard = 0; heard < EXCHANGED;) {
        for (unsigned i = 0; i < burst && sent < EXCHANGED; i++, sent++)
            harness_child_assert(send_numbered(channel, sent, size_of(sent), 20000) == 0);
        for (unsigned i = 0; i < burst && heard < EXCHANGED; i++, heard++) {
            harness_child_assert(dx_recv(channel, &message, 20000) == 1);
            harness_child_assert(is_numbered(&message, heard, size_of(heard)));
        }
    }
    return 0;
}

EACH_LANE(test_two_processes_exchange_messages_of_every_size)
{
    for (unsigned burst = 1; burst <= 17; burst += 8) {
        struct family family = start_family(type, exchange_bursts, &burst);

        for (unsigned sent = 0, heard = 0; heard < EXCHANGED;) {
            for (unsigned i = 0; i < burst && sent < EXCHANGED; i++, sent++)
                ck_assert_int_eq(send_numbered(family.channel, sent, size_of(sent), 20000), 0);
            for (unsigned i = 0; i < burst && heard < EXCHANGED; i++, heard++)
                expect_numbered(family.channel, heard, size_of(heard), 20000);
        }
        end_family(&family);
    }
}

/* Calls. */

static int double_it(dx_channel *channel, const dx_message *request, void *context)
{
    unsigned number;
    dx_message reply;

    (void)context;
    memcpy(&number, request->data, sizeof(number));
    uint64_t id = request->id;

    /* Each third is asked back before it is answered. */
    if (number % 3 == 0) {
        harness_child_assert(dx_call(channel, &number, sizeof(number), &reply, 10000) == 0);
        memcpy(&number, reply.data, sizeof(number));
    }
    number *= 2;
    return dx_reply(channel, id, &number, sizeof(number), 10000);
}

static int answer_calls(dx_channel *channel, void *context)
{
    dx_message message;

    (void)context;
    dx_channel_on_request(channel, double_it, NULL);
    while (dx_recv(channel, &message, DX_FOREVER) == 1)
        continue;
    return 0;
}

static int add_one(dx_channel *channel, const dx_message *request, void *context)
{
    unsigned number;

    (void)context;
    memcpy(&number, request->data, sizeof(number));
    number++;
    return dx_reply(channel, request->id, &number, sizeof(number), 10000);
}

EACH_LANE(test_calls_and_calls_within_them_are_answered)
{
    struct family family = start_family(type, answer_calls, NULL);
    dx_message reply;

    dx_channel_on_request(family.channel, add_one, NULL);
    for (unsigned i = 0; i < 2000; i++) {
        unsigned answer;

        ck_assert_int_eq(dx_call(family.channel, &i, sizeof(i), &reply, 10000), 0);
        ck_assert_int_eq(reply.kind, DX_REPLY);
        memcpy(&answer, reply.data, sizeof(answer));
        ck_assert_uint_eq(answer, i % 3 == 0 ? (i + 1) * 2 : i * 2);
    }
    end_family(&family);
}

EACH_LANE(test_many_calls_are_open_at_a_time)
{
    enum { OPEN = 64 };
    struct family family = start_family(type, answer_calls, NULL);
    uint64_t ids[OPEN];
    dx_message reply;

    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < OPEN; i++) {
            unsigned number = i * 3 + 1;

            ck_assert_int_eq(dx_call_start(family.channel, &number, sizeof(number), &ids[i], 10000),
                             0);
        }
        for (unsigned i = 0; i < OPEN; i++) {
            unsigned answer;

            ck_assert_int_eq(dx_recv(family.channel, &reply, 10000), 1);
            ck_assert_int_eq(reply.kind, DX_REPLY);
            ck_assert_uint_eq(reply.id, ids[i]);
            memcpy(&answer, reply.data, sizeof(answer));
            ck_assert_uint_eq(answer, (i * 3 + 1) * 2);
        }
    }
    end_family(&family);
}

EACH_LANE(test_a_call_ends_at_its_deadline_or_when_it_is_cancelled)
{
    struct pair pair = open_lane(type);
    dx_message message;
    uint64_t id;

    ck_assert_int_eq(dx_call(pair.near, "?", 1, &message, 50), -ETIMEDOUT);
    ck_assert_int_eq(dx_flush(pair.near, 1000), 0);
    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    ck_assert_int_eq(message.kind, DX_REQUEST);
    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    ck_assert_int_eq(message.kind, DX_CANCEL);
    ck_assert_int_eq(dx_call_start(pair.near, "?", 1, &id, 1000), 0);
    ck_assert_int_eq(dx_cancel(pair.near, id), 0);
    ck_assert_int_eq(dx_flush(pair.near, 1000), 0);
    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    ck_assert_int_eq(message.kind, DX_REQUEST);
    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    ck_assert_int_eq(message.kind, DX_CANCEL);
    /* One that is open when the peer goes. */
    ck_assert_int_eq(dx_call_start(pair.near, "?", 1, &id, DX_FOREVER), 0);
    pair.far = dx_channel_close(pair.far);
    ck_assert_int_eq(dx_recv(pair.near, &message, 1000), 1);
    ck_assert_int_eq(message.kind, DX_FAILED);
    ck_assert_uint_eq(message.id, id);
    expect_end(pair.near, 1000);
    close_pair(&pair);
}

/* A parent that waits for its child's end does not keep it from talking. */
static int talk_and_leave(dx_channel *channel, void *context)
{
    (void)context;
    for (unsigned i = 0; i < 1000; i++)
        harness_child_assert(send_numbered(channel, i, 4000, 10000) == 0);
    return 0;
}

EACH_LANE(test_a_wait_for_the_child_takes_in_what_it_says)
{
    struct family family = start_family(type, talk_and_leave, NULL);
    dx_exit exit;

    ck_assert_int_eq(dx_process_wait(family.process, &exit, 10000 * slowness()), 0);
    ck_assert_int_eq(exit.code, 0);
    for (unsigned i = 0; i < 1000; i++)
        expect_numbered(family.channel, i, 4000, 1000);
    expect_end(family.channel, 1000);
    family.process = dx_process_close(family.process);
}

HARNESS_MAIN("lane_use", OF_EACH_LANE(test_a_send_waits_for_room_until_the_deadline),
             OF_EACH_LANE(test_a_deadline_in_the_middle_of_a_message_loses_nothing),
             OF_EACH_LANE(test_both_sides_that_only_send_are_told),
             OF_EACH_LANE(test_what_is_corked_leaves_at_a_flush),
             OF_EACH_LANE(test_one_direction_ends_and_the_other_goes_on),
             OF_EACH_LANE(test_the_end_wakes_one_who_sleeps),
             OF_EACH_LANE_WITHIN(test_two_processes_exchange_messages_of_every_size, 60),
             OF_EACH_LANE(test_calls_and_calls_within_them_are_answered),
             OF_EACH_LANE(test_many_calls_are_open_at_a_time),
             OF_EACH_LANE(test_a_call_ends_at_its_deadline_or_when_it_is_cancelled),
             OF_EACH_LANE(test_a_wait_for_the_child_takes_in_what_it_says))
