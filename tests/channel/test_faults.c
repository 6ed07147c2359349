/* SPDX-License-Identifier: MIT */
/*
 * The system refuses, once, at every place in turn: the documented error, nothing lost that was said
 * to be sent, nothing leaked, and a channel that goes on where it says that it does.
 */
#include "stranger.h"

#include "meter.h"

#include <sys/socket.h>
#include <unistd.h>

/* Fail the n-th call of this kind while a pair is opened; how often that happened. */
static unsigned long open_with_fault(dx_channel_type type, enum call call, long at, int error,
                                     int expected)
{
    dx_channel *untouched = (dx_channel *)&meter;
    dx_channel *ends[2] = {untouched, untouched};
    dx_failure failure = {0};
    dx_channel_options options = {
        .type = type, .descriptor_limit = 3, .socket_buffer = 100000, .failure = &failure};
    size_t open_before = harness_open_descriptors();

    meter_fail(call, at, 1, error);
    int status = dx_channel_pair(ends, &options);
    unsigned long failed = meter.failed;

    meter_fail_no_more();
    if (failed == 0 || expected == 0) {
        ck_assert_int_eq(status, 0);
        carry(ends[0], ends[1], 1, 300000);
        carry(ends[1], ends[0], 2, 300000);
        dx_channel_close(ends[0]);
        dx_channel_close(ends[1]);
    } else {
        ck_assert_int_eq(status, expected);
        ck_assert_int_eq(failure.error, expected);
        ck_assert_str_ne(failure.text, "");
        ck_assert_ptr_eq(ends[0], untouched);
        ck_assert_ptr_eq(ends[1], untouched);
    }
    ck_assert_int_eq(meter.blocks, 0);
    ck_assert_uint_eq(harness_open_descriptors(), open_before);
    return failed;
}

EACH_TYPE(test_memory_may_run_out_anywhere_while_a_pair_is_made)
{
    long at = 1;

    meter_install();
    while (open_with_fault(type, CALL_ALLOCATE, at, 0, -ENOMEM) > 0)
        at++;
    ck_assert_int_gt(at, 5);
    at = 1;
    while (open_with_fault(type, CALL_RESIZE, at, 0, -ENOMEM) > 0)
        at++;
    ck_assert_int_gt(at, 2);
}

EACH_TYPE(test_a_socketpair_may_be_refused)
{
    meter_install();
    ck_assert_uint_eq(open_with_fault(type, CALL_SOCKETPAIR, 1, -EMFILE, -EMFILE), 1);
    ck_assert_uint_eq(open_with_fault(type, CALL_SOCKETPAIR, 1, -ENFILE, -ENFILE), 1);
}

/* Settings that make it better, and none that it needs; and a greeting can leave later. */
EACH_TYPE(test_a_channel_needs_none_of_its_settings)
{
    meter_install();
    for (long at = 1; open_with_fault(type, CALL_SOCKET_SET, at, -ENOPROTOOPT, 0) > 0; at++)
        ;
    for (long at = 1; open_with_fault(type, CALL_SOCKET_GET, at, -EINVAL, 0) > 0; at++)
        ;
    for (long at = 1; at <= 2; at++)
        ck_assert_uint_eq(open_with_fault(type, CALL_SEND, at, -EAGAIN, 0), 1);
    ck_assert_uint_eq(open_with_fault(type, CALL_SEND, 1, -ENOBUFS, 0), 1);
}

EACH_TYPE(test_memory_may_run_out_anywhere_while_a_socket_is_attached)
{
    meter_install();
    for (int kind = CALL_ALLOCATE; kind <= CALL_RESIZE; kind++) {
        for (long at = 1;; at++) {
            dx_channel *channel = NULL;
            int fds[2];

            raw_pair(type, fds);
            meter_fail((enum call)kind, at, 1, 0);
            int status = dx_channel_attach(&channel, fds[0], fds[0], NULL);
            unsigned long failed = meter.failed;

            meter_fail_no_more();
            ck_assert_int_eq(status, failed > 0 ? -ENOMEM : 0);
            ck_assert(is_open(fds[0]));
            if (failed > 0)
                close(fds[0]);
            dx_channel_close(channel);
            close(fds[1]);
            ck_assert_int_eq(meter.blocks, 0);
            if (failed == 0)
                break;
        }
    }
}

/* A conversation with something of everything; each end knows how far it came. */
struct story {
    struct pair pair;
    int lost; /* a send that ended the channel: its error */
};

static const size_t story_sizes[] = {10, 100000, 0, 700000, 5, 3 * MIB, 300000, 1};

enum { STORY = sizeof(story_sizes) / sizeof(*story_sizes) };

/* Whether to go on after what a send or a flush said. */
static void after_sending(struct story *story, int status)
{
    if (status == 0 || status == -ETIMEDOUT)
        return;
    ck_assert_msg(status == -ENOMEM, "%d is no answer to a want of memory", status);
    story->lost = status;
}

/* Send one message; again, if there was no memory and nothing of it has left. */
static void tell_one(struct story *story, unsigned number)
{
    dx_channel *channel = story->pair.near;
    size_t size = story_sizes[number];

    for (int tries = 0; tries < 2; tries++) {
        int notes[2] = {make_note(number), make_note(number + 50)};
        dx_message message =
            with_descriptors(numbered_payload(number, size), size, notes, number % 2 * 2);
        int status = dx_send_message(channel, &message, DX_NOW);

        if (status < 0 || number % 2 == 0) {
            close(notes[0]);
            close(notes[1]);
        }
        story->lost = 0;
        after_sending(story, status);
        if (status != -ENOMEM)
            return;
        /* Either nothing was sent, or it says so from now on. */
        if (dx_send(channel, NULL, 0, DX_NOW) < 0)
            return;
        story->lost = 0;
        dx_message empty;

        while (dx_recv(story->pair.far, &empty, DX_NOW) == -ENOMEM)
            ;
    }
}

/* Hear it, with a second try after each want of memory. */
static bool hear_one(struct story *story, unsigned number)
{
    size_t size = story_sizes[number];
    dx_message message;
    int status;

    while ((status = dx_recv(story->pair.far, &message, DX_NOW)) < 0) {
        if ((status == -ETIMEDOUT || status == -EPIPE) && story->lost < 0)
            return false;
        ck_assert_msg(status == -ETIMEDOUT || status == -ENOMEM, "message %u: %d: %s", number,
                      status, dx_channel_explain(story->pair.far));
        if (status == -ETIMEDOUT)
            after_sending(story, dx_flush(story->pair.near, DX_NOW));
    }
    ck_assert_int_eq(status, 1);
    ck_assert_msg(is_numbered(&message, number, size), "message %u is another", number);
    ck_assert_uint_eq(message.descriptor_count, number % 2 * 2);
    ck_assert_uint_eq(message.descriptors_lost, 0);
    for (size_t i = 0; i < message.descriptor_count; i++)
        ck_assert(is_note(message.descriptors[i], number + 50 * (unsigned)i));
    return true;
}

static unsigned long tell(dx_channel_type type, enum call call, long at)
{
    dx_channel_options options = {.type = type, .descriptor_limit = 2};
    struct story story = {.pair = open_pair_with(&options)};
    dx_message message;

    expect_silence(story.pair.near);
    expect_silence(story.pair.far);
    meter_fail(call, at, 1, 0);
    for (unsigned i = 0; i < STORY && story.lost == 0; i++) {
        tell_one(&story, i);
        if (!hear_one(&story, i))
            break;
    }
    unsigned long failed = meter.failed;

    meter_fail_no_more();
    if (story.lost < 0) {
        /* The channel of the sender is over, and the other end learns that a message is missing. */
        ck_assert_int_lt(dx_send(story.pair.near, NULL, 0, DX_NOW), 0);
        story.pair.near = dx_channel_close(story.pair.near);
        ck_assert_int_eq(dx_recv(story.pair.far, &message, DX_NOW), -EPIPE);
    }
    close_pair(&story.pair);
    ck_assert_int_eq(meter.blocks, 0);
    return failed;
}

EACH_TYPE(test_memory_may_run_out_anywhere_in_a_conversation)
{
    meter_install();
    for (long at = 1; tell(type, CALL_ALLOCATE, at) > 0; at++)
        ;
    long at = 1;

    while (tell(type, CALL_RESIZE, at) > 0)
        at++;
    ck_assert_int_gt(at, 1);
}

/* The first piece has brought the descriptors; there is no memory to keep it; then there is. */
EACH_TYPE(test_a_want_of_memory_does_not_separate_descriptors_from_their_message)
{
    meter_install();
    dx_channel_options options = {.type = type, .descriptor_limit = 2};
    struct stranger stranger = meet_greeted(type, &options);
    struct header header = {
        .length = 4, .kind = DXI_KIND_MESSAGE, .flags = DXI_FLAG_MORE, .descriptors = 2};
    int notes[2] = {make_note(1), make_note(2)};
    dx_message message;

    expect_silence(stranger.channel);
    ck_assert_int_eq(say_frame(&stranger, &header, "one ", 4, notes, 2), 0);
    header = (struct header){.length = 3, .kind = DXI_KIND_MESSAGE};
    ck_assert_int_eq(say_frame(&stranger, &header, "two", 3, NULL, 0), 0);
    meter_fail(CALL_RESIZE, 1, 1, 0);
    ck_assert_int_eq(dx_recv(stranger.channel, &message, DX_NOW), -ENOMEM);
    ck_assert_uint_eq(meter.failed, 1);
    expect_explained(stranger.channel, "no memory to receive a message");
    ck_assert_int_eq(dx_recv(stranger.channel, &message, DX_NOW), 1);
    ck_assert_mem_eq(message.data, "one two", 7);
    ck_assert_uint_eq(message.descriptor_count, 2);
    ck_assert(is_note(message.descriptors[0], 1) && is_note(message.descriptors[1], 2));
    close(notes[0]);
    close(notes[1]);
    part(&stranger);
}

EACH_TYPE(test_a_kernel_short_of_memory_is_an_error_of_one_send)
{
    static const int errors[] = {-ENOMEM, -ENOBUFS};

    meter_install();
    struct pair pair = open_pair(type);

    for (unsigned i = 0; i < 2; i++) {
        meter_fail(CALL_SEND, 1, 1, errors[i]);
        ck_assert_int_eq(send_numbered(pair.near, i, 1000, 1000), errors[i]);
        expect_explained(pair.near, "cannot send");
        expect_silence(pair.far);
        carry(pair.near, pair.far, i, 1000);
    }
    close_pair(&pair);
}

/* What has begun cannot be taken back: it is kept, and leaves when there is memory again. */
EACH_TYPE(test_a_kernel_short_of_memory_in_the_middle_of_a_message_loses_nothing)
{
    static const int errors[] = {-ENOMEM, -ENOBUFS};

    meter_install();
    struct pair pair = open_pair(type);

    for (unsigned i = 0; i < 2; i++) {
        dx_message message = {0};
        int status = -ETIMEDOUT;

        meter_fail(CALL_SEND, 2, 1, errors[i]);
        ck_assert_int_eq(send_numbered(pair.near, i, MIB, DX_NOW), 0);
        ck_assert_uint_eq(meter.failed, 1);
        meter_fail_no_more();
        while (status == -ETIMEDOUT) {
            (void)dx_flush(pair.near, DX_NOW);
            status = dx_recv(pair.far, &message, DX_NOW);
        }
        ck_assert_int_eq(status, 1);
        ck_assert(is_numbered(&message, i, MIB));
        carry(pair.near, pair.far, i + 10, 300000);
    }
    close_pair(&pair);
}

EACH_TYPE(test_a_kernel_short_of_memory_is_an_error_of_one_receive)
{
    static const int errors[] = {-ENOMEM, -ENOBUFS};

    meter_install();
    struct pair pair = open_pair(type);

    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(send_numbered(pair.near, i, 1000, 1000), 0);
        meter_fail(CALL_RECEIVE, 1, 1, errors[i]);
        expect_error(pair.far, errors[i], "cannot receive", 1000);
        expect_numbered(pair.far, i, 1000, 1000);
    }
    close_pair(&pair);
}

/* Ready, says poll, and then it is not: that is no error, and no reason to stop waiting. */
EACH_TYPE(test_a_false_alarm_is_waited_through)
{
    meter_install();
    struct pair pair = open_pair(type);

    for (long at = 1; at < 4; at++) {
        meter_fail(CALL_SEND, 1, at, -EAGAIN);
        ck_assert_int_eq(send_numbered(pair.near, 1, 1000, 1000), 0);
        ck_assert_uint_eq(meter.failed, (unsigned long)at);
        meter_fail(CALL_RECEIVE, 1, at, -EAGAIN);
        expect_numbered(pair.far, 1, 1000, 1000);
        ck_assert_uint_eq(meter.failed, (unsigned long)at);
        meter_fail_no_more();
    }
    close_pair(&pair);
}

EACH_TYPE(test_a_poll_that_fails_is_an_error_and_nothing_is_lost)
{
    meter_install();
    struct pair pair = open_pair_with(&(dx_channel_options){.type = type, .spin_us = -1});

    expect_silence(pair.near);
    meter_fail(CALL_POLL, 1, 1, -ENOMEM);
    expect_error(pair.near, -ENOMEM, "cannot wait", 1000);
    unsigned sent = fill_outgoing(pair.near, 0, 10000);

    meter_fail(CALL_POLL, 1, 1, -ENOMEM);
    ck_assert_int_eq(send_numbered(pair.near, sent, 10000, 1000), -ENOMEM);
    for (unsigned i = 0; i < sent; i++) {
        (void)dx_flush(pair.near, DX_NOW);
        expect_numbered(pair.far, i, 10000, DX_NOW);
    }
    carry(pair.near, pair.far, 1, 1000);
    close_pair(&pair);
}

/* No memory to take in what comes: the sender waits as if nothing came, and not by going in circles. */
EACH_TYPE(test_a_sender_that_cannot_take_in_waits_until_its_deadline)
{
    meter_install();
    struct stranger stranger = meet_greeted(type, NULL);
    struct header header = {.length = 30000, .kind = DXI_KIND_MESSAGE};
    unsigned said = 0;
    int buffer = 2 << 20;
    dx_message message;

    unsigned sent = fill_outgoing(stranger.channel, 0, 50000);

    ck_assert_int_eq(setsockopt(stranger.fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)), 0);
    while (said < 30 && say_frame(&stranger, &header, pattern(30000), 30000, NULL, 0) == 0)
        said++;
    meter_fail(CALL_RESIZE, 1, 1000000000, 0);
    meter.count[CALL_POLL] = 0;
    uint64_t start = now_ms();

    ck_assert_int_eq(send_numbered(stranger.channel, sent, 50000, 50), -ETIMEDOUT);
    ck_assert_uint_gt(meter.failed, 0);
    ck_assert_uint_ge(now_ms() - start + 1, 50);
    ck_assert_uint_le(now_ms() - start, 50 + 100 * (uint64_t)slowness());
    ck_assert_uint_le(meter.count[CALL_POLL], 100);
    meter_fail_no_more();
    for (unsigned i = 0; i < said; i++) {
        ck_assert_int_eq(dx_recv(stranger.channel, &message, DX_NOW), 1);
        ck_assert_mem_eq(message.data, pattern(30000), 30000);
    }
    part(&stranger);
}

/* Something lies in the outbox that the kernel refuses to take: a receive must end in time all the same. */
EACH_TYPE(test_a_receiver_that_cannot_send_what_is_left_waits_until_its_deadline)
{
    meter_install();
    struct pair pair = open_pair(type);

    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(send_numbered(pair.near, 1, 100, DX_NOW), 0);
    meter_fail(CALL_SEND, 1, 1000000000, -ENOBUFS);
    meter.count[CALL_POLL] = 0;
    uint64_t start = now_ms();

    expect_error(pair.near, -ETIMEDOUT, NULL, 50);
    ck_assert_uint_ge(now_ms() - start + 1, 50);
    ck_assert_uint_le(now_ms() - start, 50 + 100 * (uint64_t)slowness());
    ck_assert_uint_le(meter.count[CALL_POLL], 100);
    meter_fail_no_more();
    ck_assert_int_eq(dx_flush(pair.near, 1000), 0);
    expect_numbered(pair.far, 1, 100, DX_NOW);
    close_pair(&pair);
}

START_TEST(test_an_end_that_the_kernel_refuses_can_be_said_again)
{
    meter_install();
    struct pair pair = open_pair(DX_STREAM);

    meter_fail(CALL_SHUTDOWN, 1, 1, -ENOBUFS);
    ck_assert_int_eq(dx_channel_end(pair.near, 1000), -ENOBUFS);
    expect_silence(pair.far);
    carry(pair.near, pair.far, 1, 100);
    ck_assert_int_eq(dx_channel_end(pair.near, 1000), 0);
    expect_end(pair.far, 1000);
    close_pair(&pair);
}
END_TEST

/* The peer has gone, and its last moment is seen by this very packet. */
START_TEST(test_an_end_that_is_said_to_nobody_is_said)
{
    static const int errors[] = {-ECONNREFUSED, -ECONNRESET, -ENOTCONN};

    meter_install();
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct pair pair = open_pair(DX_DGRAM);

        expect_silence(pair.near);
        meter_fail(CALL_SEND, 1, 1, errors[i]);
        ck_assert_int_eq(dx_channel_end(pair.near, DX_NOW), 0);
        ck_assert_uint_eq(meter.failed, 1);
        ck_assert_int_eq(dx_send(pair.near, "x", 1, DX_NOW), -ESHUTDOWN);
        close_pair(&pair);
    }
}
END_TEST

/* A goodbye needs room, which cannot be made: then it is not said, and nothing else is lost. */
START_TEST(test_a_goodbye_that_no_room_is_made_for_costs_nothing_else)
{
    static const enum call calls[] = {CALL_SOCKET_GET, CALL_SOCKET_SET};

    meter_install();
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct pair pair = open_pair(DX_DGRAM);
        unsigned sent = fill_outgoing(pair.near, 0, 1000);

        meter_fail(calls[i], 1, 1, -EINVAL);
        pair.near = dx_channel_close(pair.near);
        ck_assert_uint_eq(meter.failed, 1);
        for (unsigned j = 0; j < sent; j++)
            expect_numbered(pair.far, j, 1000, DX_NOW);
        expect_silence(pair.far);
        close_pair(&pair);
        ck_assert_int_eq(meter.blocks, 0);
    }
}
END_TEST

HARNESS_MAIN("faults", TEST(test_an_end_that_is_said_to_nobody_is_said),
             TEST(test_a_goodbye_that_no_room_is_made_for_costs_nothing_else),
             OF_EACH_TYPE(test_memory_may_run_out_anywhere_while_a_pair_is_made),
             OF_EACH_TYPE(test_a_socketpair_may_be_refused),
             OF_EACH_TYPE(test_a_channel_needs_none_of_its_settings),
             OF_EACH_TYPE(test_memory_may_run_out_anywhere_while_a_socket_is_attached),
             OF_EACH_TYPE(test_memory_may_run_out_anywhere_in_a_conversation),
             OF_EACH_TYPE(test_a_want_of_memory_does_not_separate_descriptors_from_their_message),
             OF_EACH_TYPE(test_a_kernel_short_of_memory_is_an_error_of_one_send),
             OF_EACH_TYPE(test_a_kernel_short_of_memory_in_the_middle_of_a_message_loses_nothing),
             OF_EACH_TYPE(test_a_kernel_short_of_memory_is_an_error_of_one_receive),
             OF_EACH_TYPE(test_a_false_alarm_is_waited_through),
             OF_EACH_TYPE(test_a_poll_that_fails_is_an_error_and_nothing_is_lost),
             OF_EACH_TYPE(test_a_sender_that_cannot_take_in_waits_until_its_deadline),
             OF_EACH_TYPE(test_a_receiver_that_cannot_send_what_is_left_waits_until_its_deadline),
             TEST(test_an_end_that_the_kernel_refuses_can_be_said_again))
