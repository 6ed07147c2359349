/* SPDX-License-Identifier: MIT */
/*
 * What a conversation costs: one system call for a send, few for many that were collected, no memory
 * once it is under way.
 */
#include "support.h"

#include "meter.h"

#include <stdlib.h>
#include <unistd.h>

/* A pair above the meter, whose greetings have been heard. */
static struct pair open_metered(const dx_channel_options *options)
{
    dx_channel_options metered = *options;

    /* The calls of the socket are counted here. */
    metered.socket_only = true;
    meter_install();
    struct pair pair = open_pair_with(&metered);

    expect_silence(pair.near);
    expect_silence(pair.far);
    return pair;
}

/* Before a datagram leaves, what has come is looked for and read: see DX_DGRAM. That apart. */
static unsigned long calls_to_send(dx_channel_type type)
{
    if (type != DX_DGRAM)
        return meter_system_calls();
    return meter_system_calls() - meter.count[CALL_QUEUED] - meter.count[CALL_RECEIVE];
}

EACH_TYPE(test_a_send_is_one_system_call)
{
    static const size_t sizes[] = {0, 1, 64, 1000, 16384, 60000, 200000};
    struct pair pair = open_metered(&(dx_channel_options){.type = type});

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        meter_restart();
        ck_assert_int_eq(send_numbered(pair.near, 0, sizes[i], 1000), 0);
        ck_assert_uint_eq(meter.count[CALL_SEND], 1);
        ck_assert_uint_eq(calls_to_send(type), 1);
        ck_assert_uint_eq(meter_allocations(), 0);
        expect_numbered(pair.far, 0, sizes[i], DX_NOW);
    }
    close_pair(&pair);
}

EACH_TYPE(test_a_first_send_is_one_system_call)
{
    meter_install();
    struct pair pair = open_pair(type);

    meter_restart();
    ck_assert_int_eq(send_numbered(pair.near, 0, 64, DX_FOREVER), 0);
    ck_assert_uint_eq(calls_to_send(type), 1);
    expect_numbered(pair.far, 0, 64, DX_NOW);
    close_pair(&pair);
}

EACH_TYPE(test_a_send_with_descriptors_is_one_system_call_and_a_close_for_each)
{
    dx_channel_options options = {.type = type, .descriptor_limit = 5};
    struct pair pair = open_metered(&options);
    int notes[5];
    dx_message message = with_descriptors("x", 1, notes, 5);

    for (unsigned i = 0; i < 5; i++)
        notes[i] = make_note(i);
    meter_restart();
    ck_assert_int_eq(dx_send_message(pair.near, &message, 1000), 0);
    ck_assert_uint_eq(meter.count[CALL_SEND], 1);
    ck_assert_uint_eq(meter.count[CALL_CLOSE], 5);
    ck_assert_uint_eq(calls_to_send(type), 6);
    close_pair(&pair);
}

/* Messages that lie in the kernel together come together, as far as the type allows. */
EACH_TYPE(test_a_message_that_is_there_is_received_without_waiting)
{
    struct pair pair = open_metered(&(dx_channel_options){.type = type});

    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(send_numbered(pair.near, i, 64, 1000), 0);
    expect_numbered(pair.far, 0, 64, 1000);
    meter_restart();
    for (unsigned i = 1; i < 100; i++)
        expect_numbered(pair.far, i, 64, 1000);
    ck_assert_uint_eq(meter.count[CALL_POLL], 0);
    ck_assert_uint_eq(meter.count[CALL_NOW], 0);
    ck_assert_uint_le(meter_system_calls(), type == DX_STREAM ? 1 : 99);
    close_pair(&pair);
}

static int echo(int fd, void *context)
{
    dx_channel *channel = child_channel(fd, NULL);
    dx_message message;

    (void)context;
    while (dx_recv(channel, &message, DX_FOREVER) == 1)
        harness_child_assert(dx_send(channel, message.data, message.size, DX_FOREVER) == 0);
    dx_channel_close(channel);
    return 0;
}

/* A question and its answer: a send, a wait, a read. */
EACH_TYPE(test_a_round_trip_is_three_system_calls)
{
    /* A look before the sleep is a gamble, and costs calls of its own. */
    dx_channel_options options = {.spin_us = -1};
    struct child child;
    unsigned long calls = type == DX_DGRAM ? 4 : 3;

    meter_install();
    start_child(&child, type, echo, NULL);
    dx_channel *channel = channel_to_child(&child, &options);

    for (unsigned i = 0; i < 220; i++) {
        if (i == 20)
            meter_restart();
        ck_assert_int_eq(send_numbered(channel, i, 64, DX_FOREVER), 0);
        expect_numbered(channel, i, 64, DX_FOREVER);
    }
    /* Now and then an answer is there before it is waited for. With threads the clock is read, too. */
    unsigned long clocks = HARNESS_TSAN ? meter.count[CALL_NOW] : 0;

    ck_assert_uint_le(meter_system_calls() - clocks, 200 * calls + 40);
    dx_channel_close(channel);
    child_ended(&child);
}

EACH_TYPE(test_a_thousand_collected_sends_leave_in_three_system_calls)
{
    struct pair pair = open_metered(&(dx_channel_options){.type = type});

    for (int round = 0; round < 3; round++) {
        meter_restart();
        ck_assert_int_eq(dx_cork(pair.near), 0);
        for (unsigned i = 0; i < 1000; i++)
            ck_assert_int_eq(send_numbered(pair.near, i, 64, 1000), 0);
        ck_assert_int_eq(dx_flush(pair.near, 1000), 0);
        ck_assert_uint_le(meter.count[CALL_SEND], 3);
        ck_assert_uint_eq(calls_to_send(type), meter.count[CALL_SEND]);
        for (unsigned i = 0; i < 1000; i++)
            expect_numbered(pair.far, i, 64, DX_NOW);
    }
    expect_silence(pair.far);
    close_pair(&pair);
}

EACH_TYPE(test_collected_messages_leave_with_the_flush_and_not_before)
{
    struct pair pair = open_metered(&(dx_channel_options){.type = type});

    meter_restart();
    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(dx_cork(pair.near), 0);
    for (unsigned i = 0; i < 5; i++) {
        dx_message message = {.data = numbered_payload(i, i), .size = i};

        if (i % 2)
            ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), 0);
        else
            ck_assert_int_eq(send_numbered(pair.near, i, i, DX_NOW), 0);
    }
    ck_assert_uint_eq(meter_system_calls(), 0);
    expect_silence(pair.far);
    ck_assert_int_eq(dx_flush(pair.near, DX_NOW), 0);
    for (unsigned i = 0; i < 5; i++)
        expect_numbered(pair.far, i, i, DX_NOW);

    /* And the flush ended the collecting. */
    ck_assert_int_eq(send_numbered(pair.near, 9, 9, DX_NOW), 0);
    expect_numbered(pair.far, 9, 9, DX_NOW);
    meter_restart();
    ck_assert_int_eq(dx_flush(pair.near, DX_FOREVER), 0);
    ck_assert_uint_eq(meter_system_calls(), 0);
    close_pair(&pair);
}

EACH_TYPE(test_collected_messages_leave_before_a_wait)
{
    struct pair pair = open_metered(&(dx_channel_options){.type = type});

    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(send_numbered(pair.near, 1, 10, DX_NOW), 0);
    expect_silence(pair.near);
    expect_numbered(pair.far, 1, 10, DX_NOW);

    /* It goes on collecting. */
    ck_assert_int_eq(send_numbered(pair.near, 2, 10, DX_NOW), 0);
    expect_silence(pair.far);
    ck_assert_int_ne(dx_channel_events(pair.near), 0);
    ck_assert_int_eq(dx_channel_process(pair.near), 0);
    expect_numbered(pair.far, 2, 10, DX_NOW);
    close_pair(&pair);
}

EACH_TYPE(test_collected_messages_leave_when_64_kib_have_come_together)
{
    struct pair pair = open_metered(&(dx_channel_options){.type = type});
    unsigned sent = 0;

    ck_assert_int_eq(dx_cork(pair.near), 0);
    meter_restart();
    while (meter.count[CALL_SEND] == 0)
        ck_assert_int_eq(send_numbered(pair.near, sent++, 1000, 1000), 0);
    ck_assert_uint_ge(sent, 60);
    ck_assert_uint_le(sent, 66);
    ck_assert_int_eq(dx_flush(pair.near, 1000), 0);
    for (unsigned i = 0; i < sent; i++)
        expect_numbered(pair.far, i, 1000, DX_NOW);
    close_pair(&pair);
}

EACH_TYPE(test_small_and_large_messages_keep_their_order_when_corked)
{
    static const size_t sizes[] = {0, 10, 16383, 16384, 3, 70000, 1, 65520, 65536, 5, 150000, 0};
    struct pair pair = open_metered(&(dx_channel_options){.type = type});
    unsigned received = 0;

    ck_assert_int_eq(dx_cork(pair.near), 0);
    for (unsigned i = 0; i < 12; i++) {
        dx_message message;

        ck_assert_int_eq(send_numbered(pair.near, i, sizes[i], DX_NOW), 0);
        while (dx_recv(pair.far, &message, DX_NOW) == 1) {
            ck_assert(is_numbered(&message, received, sizes[received]));
            received++;
        }
    }
    while (received < 12) {
        dx_message message;

        (void)dx_flush(pair.near, DX_NOW);
        while (dx_recv(pair.far, &message, DX_NOW) == 1) {
            ck_assert(is_numbered(&message, received, sizes[received]));
            received++;
        }
    }
    close_pair(&pair);
}

EACH_TYPE(test_a_message_that_is_refused_leaves_the_collected_ones_alone)
{
    struct pair pair = open_metered(&(dx_channel_options){.type = type, .message_limit = 100});

    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(send_numbered(pair.near, 1, 50, DX_NOW), 0);
    ck_assert_int_eq(send_numbered(pair.near, 2, 101, DX_NOW), -EMSGSIZE);
    ck_assert_int_eq(send_numbered(pair.near, 3, 100, DX_NOW), 0);
    ck_assert_int_eq(dx_flush(pair.near, DX_NOW), 0);
    expect_numbered(pair.far, 1, 50, DX_NOW);
    expect_numbered(pair.far, 3, 100, DX_NOW);
    expect_silence(pair.far);
    close_pair(&pair);
}

/* What was promised to be sent and cannot be: the flush must not call it done. */
EACH_TYPE(test_a_flush_that_lost_the_peer_does_not_say_that_all_is_sent)
{
    struct pair pair = open_metered(&(dx_channel_options){.type = type});

    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(send_numbered(pair.near, 1, 50, DX_NOW), 0);
    pair.far = dx_channel_close(pair.far);
    expect_end(pair.near, 1000);
    ck_assert_int_eq(dx_flush(pair.near, DX_NOW), -EPIPE);
    close_pair(&pair);
}

/* The same when a receive has tried to send them meanwhile, and failed in silence. */
EACH_TYPE(test_a_flush_after_a_receive_that_lost_the_peer_does_not_say_so_either)
{
    struct pair pair = open_metered(&(dx_channel_options){.type = type});

    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(send_numbered(pair.near, 1, 50, DX_NOW), 0);
    pair.far = dx_channel_close(pair.far);
    (void)dx_channel_process(pair.near);
    ck_assert_int_eq(dx_flush(pair.near, DX_NOW), -EPIPE);
    ck_assert_int_eq(send_numbered(pair.near, 2, 50, DX_NOW), -EPIPE);
    expect_end(pair.near, 1000);
    close_pair(&pair);
}

HARNESS_MAIN("cork", OF_EACH_TYPE(test_a_send_is_one_system_call),
             OF_EACH_TYPE(test_a_first_send_is_one_system_call),
             OF_EACH_TYPE(test_a_send_with_descriptors_is_one_system_call_and_a_close_for_each),
             OF_EACH_TYPE(test_a_message_that_is_there_is_received_without_waiting),
             OF_EACH_TYPE(test_a_round_trip_is_three_system_calls),
             OF_EACH_TYPE(test_a_thousand_collected_sends_leave_in_three_system_calls),
             OF_EACH_TYPE(test_collected_messages_leave_with_the_flush_and_not_before),
             OF_EACH_TYPE(test_collected_messages_leave_before_a_wait),
             OF_EACH_TYPE(test_collected_messages_leave_when_64_kib_have_come_together),
             OF_EACH_TYPE(test_small_and_large_messages_keep_their_order_when_corked),
             OF_EACH_TYPE(test_a_message_that_is_refused_leaves_the_collected_ones_alone),
             OF_EACH_TYPE(test_a_flush_that_lost_the_peer_does_not_say_that_all_is_sent),
             OF_EACH_TYPE(test_a_flush_after_a_receive_that_lost_the_peer_does_not_say_so_either))
