/* SPDX-License-Identifier: MIT */
/*
 * The channel in somebody else's event loop: what to poll for, how long, and what to do then.
 */
#include "stranger.h"

#include <duplex/call.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

EACH_TYPE(test_a_quiet_channel_is_polled_for_reading_for_ever)
{
    struct pair pair = open_pair(type);

    ck_assert_int_ge(dx_channel_fd(pair.near), 0);
    ck_assert_int_eq(dx_channel_write_fd(pair.near), dx_channel_fd(pair.near));
    ck_assert_int_eq(dx_channel_events(pair.near), POLLIN);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), DX_FOREVER);

    /* The greeting is not news. */
    ck_assert_int_eq(dx_channel_process(pair.near), 0);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), DX_FOREVER);
    ck_assert_int_eq(dx_channel_events(pair.near), POLLIN);
    close_pair(&pair);
}

EACH_TYPE(test_a_message_that_was_taken_in_is_due_at_once)
{
    struct pair pair = open_pair(type);

    ck_assert_int_eq(send_numbered(pair.far, 1, 100, DX_NOW), 0);
    ck_assert_int_eq(send_numbered(pair.far, 2, 100, DX_NOW), 0);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), DX_FOREVER);
    ck_assert_int_eq(dx_channel_process(pair.near), 1);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), 0);
    expect_numbered(pair.near, 1, 100, DX_NOW);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), 0);
    ck_assert_int_eq(dx_channel_process(pair.near), 1);
    expect_numbered(pair.near, 2, 100, DX_NOW);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), DX_FOREVER);
    ck_assert_int_eq(dx_channel_process(pair.near), 0);
    close_pair(&pair);
}

EACH_TYPE(test_a_message_that_a_sender_took_in_is_due_at_once)
{
    struct pair pair = open_pair(type);

    ck_assert_int_eq(send_numbered(pair.far, 1, 100, DX_NOW), 0);
    fill_outgoing(pair.near, 0, 50000);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), 0);
    expect_numbered(pair.near, 1, 100, DX_NOW);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), DX_FOREVER);
    close_pair(&pair);
}

EACH_TYPE(test_what_is_to_be_sent_is_polled_for)
{
    struct pair pair = open_pair(type);
    dx_message message;
    int status;

    ck_assert_int_eq(send_numbered(pair.near, 1, MIB, DX_NOW), 0);
    ck_assert_int_eq(dx_channel_events(pair.near), POLLIN | POLLOUT);
    while ((status = dx_recv(pair.far, &message, DX_NOW)) == -ETIMEDOUT) {
        struct pollfd polled = {.fd = dx_channel_fd(pair.near), .events = POLLOUT};

        ck_assert_int_eq(poll(&polled, 1, 1000), 1);
        ck_assert_int_eq(dx_channel_process(pair.near), 0);
    }
    ck_assert_int_eq(status, 1);
    ck_assert(is_numbered(&message, 1, MIB));
    /* An offer of a fast lane may still be due. */
    if (!harness_fast())
        ck_assert_int_eq(dx_channel_events(pair.near), POLLIN);
    close_pair(&pair);
}

/* Half a message is no news, in how many pieces so ever. */
EACH_TYPE(test_half_a_message_is_not_announced)
{
    struct stranger stranger = meet_greeted(type, NULL);
    struct header header = {.length = 10, .kind = DXI_KIND_MESSAGE, .flags = DXI_FLAG_MORE};

    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(say_frame(&stranger, &header, "0123456789", 10, NULL, 0), 0);
        ck_assert_int_eq(dx_channel_process(stranger.channel), 0);
        ck_assert_int_eq(dx_channel_timeout_ms(stranger.channel), DX_FOREVER);
    }
    header.flags = 0;
    ck_assert_int_eq(say_frame(&stranger, &header, "0123456789", 10, NULL, 0), 0);
    ck_assert_int_eq(dx_channel_process(stranger.channel), 1);
    expect_text(stranger.channel, "0123456789012345678901234567890123456789");
    part(&stranger);
}

START_TEST(test_half_a_frame_is_not_announced)
{
    struct stranger stranger = meet_greeted(DX_STREAM, NULL);
    struct header header = {.length = 10, .kind = DXI_KIND_MESSAGE};

    ck_assert_int_eq(say_frame(&stranger, &header, "01234", 5, NULL, 0), 0);
    ck_assert_int_eq(dx_channel_process(stranger.channel), 0);
    ck_assert_int_eq(dx_channel_timeout_ms(stranger.channel), DX_FOREVER);
    ck_assert_int_eq(say(&stranger, "56789", 5), 0);
    ck_assert_int_eq(dx_channel_process(stranger.channel), 1);
    expect_text(stranger.channel, "0123456789");
    part(&stranger);
}
END_TEST

EACH_TYPE(test_the_end_is_announced_and_then_nothing_is_polled_for)
{
    struct pair pair = open_pair(type);

    ck_assert_int_eq(send_numbered(pair.far, 1, 10, DX_NOW), 0);
    pair.far = dx_channel_close(pair.far);
    ck_assert_int_eq(dx_channel_process(pair.near), 1);
    expect_numbered(pair.near, 1, 10, DX_NOW);
    ck_assert_int_eq(dx_channel_process(pair.near), 1);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), 0);
    expect_end(pair.near, DX_NOW);
    ck_assert_int_eq(dx_channel_events(pair.near), 0);
    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), DX_FOREVER);
    close_pair(&pair);
}

EACH_TYPE(test_a_violation_is_announced_and_then_nothing_is_polled_for)
{
    struct stranger stranger = meet_greeted(type, NULL);
    struct header header = {.kind = 77};

    ck_assert_int_eq(say_frame(&stranger, &header, NULL, 0, NULL, 0), 0);
    ck_assert_int_eq(dx_channel_process(stranger.channel), 1);
    ck_assert_int_eq(dx_channel_timeout_ms(stranger.channel), 0);
    expect_error(stranger.channel, -EPROTO, "kind 77", DX_NOW);
    ck_assert_int_eq(dx_channel_events(stranger.channel), 0);
    /* It was said: a loop that sleeps until there is news must not spin on it. */
    ck_assert_int_eq(dx_channel_timeout_ms(stranger.channel), DX_FOREVER);
    part(&stranger);
}

EACH_TYPE(test_what_cannot_be_sent_is_an_error_of_the_next_send)
{
    struct pair pair = open_pair(type);

    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(send_numbered(pair.near, 1, 10, DX_NOW), 0);
    ck_assert_int_eq(dx_channel_events(pair.near), POLLIN | POLLOUT);
    pair.far = dx_channel_close(pair.far);
    ck_assert_int_eq(dx_channel_process(pair.near), 1);
    ck_assert_int_eq(send_numbered(pair.near, 2, 10, DX_NOW), -EPIPE);
    expect_end(pair.near, DX_NOW);
    ck_assert_int_eq(dx_channel_events(pair.near), 0);
    close_pair(&pair);
}

EACH_TYPE(test_process_takes_in_up_to_the_backlog)
{
    struct pair pair = open_pair_with(&(dx_channel_options){.type = type, .message_limit = 1000});
    unsigned sent = 0;

    for (int i = 0; i < 30; i++) {
        sent += fill_outgoing(pair.far, sent, 1000);
        ck_assert_int_eq(dx_channel_process(pair.near), 1);
    }
    ck_assert_uint_le(sent, 1500);
    for (unsigned i = 0; i < sent; i++) {
        (void)dx_flush(pair.far, DX_NOW);
        expect_numbered(pair.near, i, 1000, DX_NOW);
    }
    close_pair(&pair);
}

/* One side of a conversation in a loop of poll(2), told nothing but what the interface tells. */
struct side {
    dx_channel *channel;
    unsigned sent, received;
};

enum { MESSAGES = 1000 };

static size_t size_of(unsigned number)
{
    return number % 50 == 7 ? 400000 + number : number * 97 % 3000;
}

static void serve(struct side *side)
{
    dx_message message;
    int status;

    (void)dx_channel_process(side->channel);
    while ((status = dx_recv(side->channel, &message, DX_NOW)) == 1) {
        ck_assert(is_numbered(&message, side->received, size_of(side->received)));
        side->received++;
    }
    ck_assert_int_eq(status, -ETIMEDOUT);
    while (side->sent < MESSAGES && (dx_channel_events(side->channel) & POLLOUT) == 0) {
        status = send_numbered(side->channel, side->sent, size_of(side->sent), DX_NOW);
        if (status == -ETIMEDOUT)
            break;
        ck_assert_int_eq(status, 0);
        side->sent++;
    }
}

EACH_TYPE(test_a_loop_converses)
{
    struct pair pair = open_pair(type);
    struct side sides[2] = {{.channel = pair.near}, {.channel = pair.far}};
    int idle = 0;

    while (sides[0].received < MESSAGES || sides[1].received < MESSAGES) {
        struct pollfd polled[2];
        int timeout = DX_FOREVER;

        for (int i = 0; i < 2; i++) {
            polled[i] = (struct pollfd){
                .fd = dx_channel_fd(sides[i].channel),
                .events = (short)dx_channel_events(sides[i].channel),
            };
            /* A message that waits for room is tried when there is some. */
            if (sides[i].sent < MESSAGES)
                polled[i].events |= POLLOUT;
            if (dx_channel_timeout_ms(sides[i].channel) == 0)
                timeout = 0;
        }
        int ready = poll(polled, 2, timeout == 0 ? 0 : 5000);

        ck_assert_msg(ready > 0 || timeout == 0, "the loop sleeps, and messages are missing");
        idle = ready > 0 ? 0 : idle + 1;
        ck_assert_int_le(idle, 2);
        for (int i = 0; i < 2; i++)
            if (polled[i].revents != 0 || timeout == 0)
                serve(&sides[i]);
    }
    expect_silence(pair.near);
    expect_silence(pair.far);
    close_pair(&pair);
}

/* What the process floor waits by, beside its own pidfd. */
EACH_TYPE(test_whoever_waits_for_something_else_can_serve_the_channel_meanwhile)
{
    struct pair pair =
        open_pair_with(&(dx_channel_options){.type = type, .message_limit = 64 * KIB});
    struct pollfd polled[2];
    unsigned behind = 0;
    bool idle;

    ck_assert_uint_eq(dxi_channel_poll_set(pair.near, polled, &idle), 1);
    ck_assert_int_eq(polled[0].fd, dx_channel_fd(pair.near));
    ck_assert_int_eq(polled[0].events, POLLIN);
    unsigned ahead = fill_outgoing(pair.near, 0, 60000);
    bool pending = is_pending(pair.near);

    ck_assert_uint_eq(dxi_channel_poll_set(pair.near, polled, &idle), 1);
    ck_assert_int_eq(polled[0].events, pending ? POLLIN | POLLOUT : POLLIN);

    /* A full backlog is not polled for. */
    for (int i = 0; i < 10; i++) {
        behind += fill_outgoing(pair.far, behind, 60000);
        dxi_channel_serve(pair.near);
    }
    size_t count = dxi_channel_poll_set(pair.near, polled, &idle);

    ck_assert(count == 0 || (polled[0].events & POLLIN) == 0);
    for (unsigned i = 0; i < behind; i++) {
        (void)dx_flush(pair.far, DX_NOW);
        expect_numbered(pair.near, i, 60000, DX_NOW);
    }
    for (unsigned i = 0; i < ahead; i++) {
        dxi_channel_serve(pair.near);
        expect_numbered(pair.far, i, 60000, DX_NOW);
    }
    dxi_channel_end_now(pair.near);
    expect_end(pair.far, 1000);
    pair.far = dx_channel_close(pair.far);
    dxi_channel_serve(pair.near);
    dxi_channel_serve(pair.near);
    ck_assert_uint_eq(dxi_channel_poll_set(pair.near, polled, &idle), 0);
    expect_end(pair.near, DX_NOW);
    close_pair(&pair);
}

EACH_TYPE(test_two_sockets_are_polled_for_what_they_are)
{
    int first[2], second[2];
    dx_channel *channel;
    struct pollfd polled[2];
    bool idle;

    raw_pair(type, first);
    raw_pair(type, second);
    ck_assert_int_eq(dx_channel_attach(&channel, first[0], second[0], NULL), 0);
    ck_assert_int_eq(send_numbered(channel, 1, MIB, DX_NOW), 0);
    ck_assert_int_eq(dx_channel_events(channel), POLLIN | POLLOUT);
    ck_assert_uint_eq(dxi_channel_poll_set(channel, polled, &idle), 2);
    ck_assert_int_eq(polled[0].fd, first[0]);
    ck_assert_int_eq(polled[0].events, POLLIN);
    ck_assert_int_eq(polled[1].fd, second[0]);
    ck_assert_int_eq(polled[1].events, POLLOUT);
    dx_channel_close(channel);
    close(first[1]);
    close(second[1]);
}

EACH_TYPE(test_a_channel_that_belongs_to_a_process_is_not_closed_by_its_user)
{
    struct pair pair = open_pair(type);

    dxi_channel_claim(pair.near);
    ck_assert_ptr_null(dx_channel_close(pair.near));
    carry(pair.near, pair.far, 1, 100);
    ck_assert_ptr_null(dxi_channel_destroy(pair.near));
    expect_end(pair.far, DX_NOW);
    dx_channel_close(pair.far);
}

/* A loop that is told 0 before there is something to do runs without pause until there is. */
EACH_TYPE(test_a_loop_is_not_told_to_hurry_before_a_deadline)
{
    struct pair pair = open_pair(type);
    dx_message message;

    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(dx_call_start(pair.near, "?", 1, NULL, 3), 0);
        while (dx_channel_timeout_ms(pair.near) > 0)
            continue;
        ck_assert_int_eq(dx_channel_process(pair.near), 1);
        ck_assert_int_eq(dx_recv(pair.near, &message, DX_NOW), 1);
        ck_assert_int_eq(message.kind, DX_FAILED);
        ck_assert_int_eq(message.code, -ETIMEDOUT);
    }
    close_pair(&pair);
}

HARNESS_MAIN("loop", OF_EACH_TYPE(test_a_quiet_channel_is_polled_for_reading_for_ever),
             OF_EACH_TYPE(test_a_message_that_was_taken_in_is_due_at_once),
             OF_EACH_TYPE(test_a_message_that_a_sender_took_in_is_due_at_once),
             OF_EACH_TYPE(test_what_is_to_be_sent_is_polled_for),
             OF_EACH_TYPE(test_half_a_message_is_not_announced),
             TEST(test_half_a_frame_is_not_announced),
             OF_EACH_TYPE(test_the_end_is_announced_and_then_nothing_is_polled_for),
             OF_EACH_TYPE(test_a_violation_is_announced_and_then_nothing_is_polled_for),
             OF_EACH_TYPE(test_what_cannot_be_sent_is_an_error_of_the_next_send),
             OF_EACH_TYPE(test_process_takes_in_up_to_the_backlog),
             OF_EACH_TYPE(test_a_loop_is_not_told_to_hurry_before_a_deadline),
             OF_EACH_TYPE(test_a_loop_converses),
             OF_EACH_TYPE(test_whoever_waits_for_something_else_can_serve_the_channel_meanwhile),
             OF_EACH_TYPE(test_two_sockets_are_polled_for_what_they_are),
             OF_EACH_TYPE(test_a_channel_that_belongs_to_a_process_is_not_closed_by_its_user))
