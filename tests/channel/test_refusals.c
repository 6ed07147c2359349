/* SPDX-License-Identifier: MIT */
/*
 * What the kernel refuses for a while, for want of memory most likely. No event tells when it takes it: it
 * is tried again now and then, and neither all the time nor never.
 */
#include "lanes.h"
#include "meter.h"
#include "stranger.h"

#include <poll.h>

enum { FOR_EVER = 1000000000 };

/* In turns of a loop, once the kernel has memory again. */
static void expect_to_leave(dx_channel *channel)
{
    uint64_t end = now_ms() + 2000 * (uint64_t)slowness();

    meter_fail_no_more();
    while (is_pending(channel) && now_ms() < end)
        take_turn(channel);
    ck_assert(!is_pending(channel));
}

EACH_TYPE(test_a_loop_rests_while_the_kernel_refuses_a_message)
{
    meter_install();
    struct pair pair = open_pair_with(&(dx_channel_options){.type = type, .socket_only = true});

    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(dx_send(pair.near, "hello", 5, 1000), 0);
    meter_fail(CALL_SEND, 1, FOR_EVER, -ENOBUFS);
    expect_rest(pair.near, "while the kernel has no memory");
    ck_assert_uint_gt(meter.failed, 1);
    expect_to_leave(pair.near);
    expect_text(pair.far, "hello");
    close_pair(&pair);
}

/* Of a message that had begun. */
START_TEST(test_a_loop_rests_while_the_kernel_refuses_the_rest_of_a_message)
{
    meter_install();
    struct pair pair = open_pair_with(&(dx_channel_options){.socket_only = true});

    meter.send_at_most = 1000;
    meter_fail(CALL_SEND, 2, FOR_EVER, -ENOMEM);
    ck_assert_int_eq(send_numbered(pair.near, 0, 5000, 1000), 0);
    expect_rest(pair.near, "while the kernel has no memory");
    expect_to_leave(pair.near);
    expect_numbered(pair.far, 0, 5000, 1000);
    close_pair(&pair);
}
END_TEST

EACH_LANE(test_a_loop_rests_while_the_kernel_refuses_a_wake_up)
{
    meter_install();
    struct pair pair = open_lane(type);
    struct pollfd far = {.fd = dx_channel_fd(pair.far), .events = POLLIN};

    expect_silence(pair.far);
    meter_fail(CALL_SEND, 1, FOR_EVER, -ENOBUFS);
    ck_assert_int_eq(dx_send(pair.near, "hello", 5, 1000), 0);
    expect_rest(pair.near, "while the kernel has no memory");
    ck_assert_uint_gt(meter.failed, 1);
    ck_assert_int_eq(poll(&far, 1, 0), 0);
    expect_to_leave(pair.near);
    ck_assert_int_eq(poll(&far, 1, 0), 1);
    expect_text(pair.far, "hello");
    close_pair(&pair);
}

/* When it is to be tried again, unless the deadline of a request comes first. */
START_TEST(test_what_was_refused_and_a_deadline_end_the_same_wait)
{
    meter_install();
    struct pair pair = open_pair_with(&(dx_channel_options){.socket_only = true});
    uint64_t id;

    expect_silence(pair.near);
    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(dx_call_start(pair.near, "?", 1, &id, 60000), 0);
    meter_fail(CALL_SEND, 1, FOR_EVER, -ENOBUFS);
    ck_assert_int_eq(dx_channel_events(pair.near), POLLIN | POLLOUT);
    ck_assert_int_eq(dx_channel_process(pair.near), 0);
    ck_assert_int_eq(dx_channel_events(pair.near), POLLIN);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), 10);
    ck_assert_int_eq(dx_call_start(pair.near, "?", 1, &id, 3), 0);
    ck_assert_int_le(dx_channel_timeout_ms(pair.near), 3);
    expect_to_leave(pair.near);
    close_pair(&pair);
}
END_TEST

static int listen_a_while(dx_channel *parent, void *context)
{
    dx_message message;

    (void)context;
    /* The wake-up does not come; what was said is found at the end of the wait, or is not. */
    (void)dx_recv(parent, &message, LOOP_MS);
    return 0;
}

/* Who waits for a child's end serves the conversation meanwhile. */
EACH_LANE(test_waiting_for_a_child_rests_while_the_kernel_refuses_a_wake_up)
{
    meter_install();
    struct family family = start_family(type, listen_a_while, NULL);
    dx_exit exit;

    sleep_ms(LOOP_MS / 5);
    meter_fail(CALL_SEND, 1, FOR_EVER, -ENOBUFS);
    ck_assert_int_eq(dx_send(family.channel, "hello", 5, 1000), 0);
    unsigned long polls = meter.count[CALL_POLL];
    uint64_t begun = now_ms();

    ck_assert_int_eq(dx_process_wait(family.process, &exit, 10000 * slowness()), 0);
    polls = meter.count[CALL_POLL] - polls;
    /* It may have been late, and found the message at once. */
    ck_assert_msg(polls <= TURNS_MAX + (now_ms() - begun) / 2, "%lu polls", polls);
    ck_assert_msg(exit.kind == DX_EXIT_CODE && exit.code == 0, "the child: %s", exit.text);
    family.process = dx_process_close(family.process);
}

HARNESS_MAIN("refusals", OF_EACH_TYPE(test_a_loop_rests_while_the_kernel_refuses_a_message),
             TEST(test_a_loop_rests_while_the_kernel_refuses_the_rest_of_a_message),
             TEST(test_what_was_refused_and_a_deadline_end_the_same_wait),
             OF_EACH_LANE(test_a_loop_rests_while_the_kernel_refuses_a_wake_up),
             OF_EACH_LANE(test_waiting_for_a_child_rests_while_the_kernel_refuses_a_wake_up))
