/* SPDX-License-Identifier: MIT */
/*
 * How conversations end: by a word, by a death, in one direction, in the middle. What was said before
 * is received first.
 */
#include "stranger.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

EACH_TYPE(test_what_was_said_before_a_close_is_received)
{
    struct pair pair = open_pair(type);

    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(send_numbered(pair.near, i, i, DX_NOW), 0);
    pair.near = dx_channel_close(pair.near);
    for (unsigned i = 0; i < 100; i++)
        expect_numbered(pair.far, i, i, DX_NOW);
    for (int i = 0; i < 3; i++)
        expect_end(pair.far, DX_FOREVER);
    close_pair(&pair);
}

/* The kernel then answers ECONNRESET, once, in different places. */
EACH_TYPE(test_a_peer_that_closes_without_reading_is_received_to_its_end)
{
    struct pair pair = open_pair(type);

    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_eq(send_numbered(pair.far, i, 10, DX_NOW), 0);
        ck_assert_int_eq(send_numbered(pair.near, i, 1000, DX_NOW), 0);
    }
    pair.near = dx_channel_close(pair.near);
    for (unsigned i = 0; i < 5; i++)
        expect_numbered(pair.far, i, 1000, DX_NOW);
    expect_end(pair.far, DX_FOREVER);
    ck_assert_int_eq(send_numbered(pair.far, 0, 10, DX_FOREVER), -EPIPE);
    expect_end(pair.far, DX_FOREVER);
    close_pair(&pair);
}

/* A send that fails must not cost what the peer has said. */
EACH_TYPE(test_a_send_to_a_peer_that_has_gone_loses_nothing_that_it_said)
{
    struct pair pair = open_pair(type);

    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(send_numbered(pair.near, i, 1000, DX_NOW), 0);
    ck_assert_int_eq(send_numbered(pair.far, 0, 10, DX_NOW), 0);
    pair.near = dx_channel_close(pair.near);
    int status = 0;

    for (int i = 0; i < 3 && status == 0; i++)
        status = send_numbered(pair.far, 0, 10, DX_NOW);
    ck_assert_int_eq(status, -EPIPE);
    for (unsigned i = 0; i < 5; i++)
        expect_numbered(pair.far, i, 1000, DX_NOW);
    expect_end(pair.far, DX_FOREVER);
    close_pair(&pair);
}

EACH_TYPE(test_an_end_said_to_a_peer_that_has_gone_loses_nothing_that_it_said)
{
    struct pair pair = open_pair(type);

    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(send_numbered(pair.near, i, 1000, DX_NOW), 0);
    pair.near = dx_channel_close(pair.near);
    ck_assert_int_eq(dx_channel_end(pair.far, DX_FOREVER), 0);
    for (unsigned i = 0; i < 5; i++)
        expect_numbered(pair.far, i, 1000, DX_NOW);
    expect_end(pair.far, DX_FOREVER);
    close_pair(&pair);
}

static int speak_and_stop(int fd, void *context)
{
    dx_channel *channel = child_channel(fd, NULL);

    (void)context;
    for (unsigned i = 0; i < 5; i++)
        harness_child_assert(send_numbered(channel, i, 1000, DX_NOW) == 0);
    raise(SIGSTOP);
    return 0;
}

static void wait_until_stopped(const struct child *child)
{
    siginfo_t info;

    ck_assert_int_eq(waitid(P_PID, (id_t)child->pid, &info, WSTOPPED | WNOWAIT), 0);
}

static void wait_until_dead(const struct child *child)
{
    siginfo_t info;

    kill(child->pid, SIGKILL);
    ck_assert_int_eq(waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT), 0);
}

EACH_TYPE(test_a_peer_killed_with_our_words_unread_is_received_to_its_end)
{
    struct child child;

    start_child(&child, type, speak_and_stop, NULL);
    dx_channel *channel = channel_to_child(&child, NULL);

    /* A datagram socket does not tell; the pidfd does. */
    dxi_channel_watch(channel, child.pidfd, false);
    wait_until_stopped(&child);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(send_numbered(channel, i, 10, DX_NOW), 0);
    wait_until_dead(&child);
    for (unsigned i = 0; i < 5; i++)
        expect_numbered(channel, i, 1000, DX_FOREVER);
    expect_end(channel, DX_FOREVER);
    ck_assert_int_eq(send_numbered(channel, 0, 10, DX_FOREVER), -EPIPE);
    dx_channel_close(channel);
    kill_child(&child);
}

EACH_TYPE(test_a_peer_killed_while_we_take_in_is_received_to_its_end)
{
    struct child child;

    start_child(&child, type, speak_and_stop, NULL);
    dx_channel *channel = channel_to_child(&child, NULL);

    dxi_channel_watch(channel, child.pidfd, false);
    wait_until_stopped(&child);
    fill_outgoing(channel, 0, 10000);
    wait_until_dead(&child);
    ck_assert_int_eq(send_numbered(channel, 0, 100000, DX_FOREVER), -EPIPE);
    for (unsigned i = 0; i < 5; i++)
        expect_numbered(channel, i, 1000, DX_FOREVER);
    expect_end(channel, DX_FOREVER);
    dx_channel_close(channel);
    kill_child(&child);
}

static int begin_a_large_message(int fd, void *context)
{
    dx_channel *channel = child_channel(fd, NULL);

    (void)context;
    harness_child_assert(send_numbered(channel, 1, 1000, DX_NOW) == 0);
    /* It has begun, and the rest is with a process that will not live to send it. */
    harness_child_assert(send_numbered(channel, 2, 5 * MIB, DX_NOW) == 0);
    raise(SIGSTOP);
    return 0;
}

EACH_TYPE(test_a_peer_killed_in_the_middle_of_a_message_is_told_from_an_end)
{
    struct child child;

    start_child(&child, type, begin_a_large_message, NULL);
    dx_channel *channel = channel_to_child(&child, NULL);

    dxi_channel_watch(channel, child.pidfd, false);
    wait_until_stopped(&child);
    wait_until_dead(&child);
    expect_numbered(channel, 1, 1000, DX_FOREVER);
    for (int i = 0; i < 3; i++)
        expect_error(channel, -EPIPE, "the conversation ended in the middle of a message",
                     DX_FOREVER);
    expect_explained(channel, type == DX_STREAM ? " of 5242896 bytes came" : "after 2");
    dx_channel_close(channel);
    kill_child(&child);
}

EACH_TYPE(test_a_direction_that_has_ended_leaves_the_other_open)
{
    struct pair pair = open_pair(type);

    ck_assert_int_eq(send_numbered(pair.near, 1, 10, DX_NOW), 0);
    ck_assert_int_eq(dx_channel_end(pair.near, DX_FOREVER), 0);
    ck_assert_int_eq(dx_channel_end(pair.near, DX_FOREVER), 0);
    ck_assert_int_eq(send_numbered(pair.near, 2, 10, DX_FOREVER), -ESHUTDOWN);
    expect_explained(pair.near, "nothing can be sent after dx_channel_end()");
    ck_assert_int_eq(dx_send(pair.near, NULL, 0, DX_NOW), -ESHUTDOWN);
    ck_assert_int_eq(dx_flush(pair.near, DX_NOW), 0);
    expect_numbered(pair.far, 1, 10, DX_NOW);
    expect_end(pair.far, DX_FOREVER);

    /* Late answers, large ones too. */
    carry(pair.far, pair.near, 3, 100);
    carry(pair.far, pair.near, 4, MIB);
    expect_silence(pair.near);
    expect_end(pair.far, DX_FOREVER);
    ck_assert_int_eq(dx_channel_end(pair.far, DX_FOREVER), 0);
    expect_end(pair.near, DX_FOREVER);
    close_pair(&pair);
}

EACH_TYPE(test_an_end_comes_after_what_was_collected)
{
    struct pair pair = open_pair(type);

    ck_assert_int_eq(dx_cork(pair.near), 0);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(send_numbered(pair.near, i, 10, DX_NOW), 0);
    ck_assert_int_eq(dx_channel_end(pair.near, DX_FOREVER), 0);
    for (unsigned i = 0; i < 10; i++)
        expect_numbered(pair.far, i, 10, DX_NOW);
    expect_end(pair.far, DX_FOREVER);
    close_pair(&pair);
}

EACH_TYPE(test_an_end_that_cannot_be_said_in_time_can_be_said_later)
{
    struct pair pair = open_pair(type);
    unsigned sent = fill_outgoing(pair.near, 0, 3000);

    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(send_numbered(pair.near, sent, 3000, DX_NOW), 0);
    ck_assert_int_eq(dx_channel_end(pair.near, 20), -ETIMEDOUT);
    for (unsigned i = 0; i < sent; i++) {
        (void)dx_flush(pair.near, DX_NOW);
        expect_numbered(pair.far, i, 3000, DX_NOW);
    }
    ck_assert_int_eq(dx_channel_end(pair.near, 20), 0);
    expect_numbered(pair.far, sent, 3000, DX_NOW);
    expect_end(pair.far, DX_FOREVER);
    close_pair(&pair);
}

EACH_TYPE(test_a_peer_that_reads_no_more_can_still_be_heard)
{
    struct stranger stranger = meet_greeted(type, NULL);

    ck_assert_int_eq(shutdown(stranger.fd, SHUT_RD), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(dx_send(stranger.channel, "x", 1, DX_FOREVER), -EPIPE);
        expect_explained(stranger.channel, "takes nothing more");
    }
    expect_silence(stranger.channel);
    say_message(&stranger, "still here");
    expect_text(stranger.channel, "still here");
    expect_silence(stranger.channel);
    say_message(&stranger, "and here");
    expect_text(stranger.channel, "and here");
    part(&stranger);
}

/* No frame is empty, so an empty packet can only be the end. */
START_TEST(test_an_empty_packet_is_the_end)
{
    static const dx_channel_type types[] = {DX_SEQPACKET, DX_DGRAM};

    for (int i = 0; i < 2; i++) {
        struct stranger stranger = meet_greeted(types[i], NULL);

        say_message(&stranger, "last");
        ck_assert_int_eq(say(&stranger, NULL, 0), 0);
        expect_text(stranger.channel, "last");
        expect_end(stranger.channel, DX_FOREVER);
        ck_assert_int_eq(dx_send(stranger.channel, "x", 1, DX_NOW), 0);
        expect_end(stranger.channel, DX_FOREVER);
        part(&stranger);
    }
}
END_TEST

START_TEST(test_a_datagram_end_says_goodbye)
{
    struct pair pair = open_pair(DX_DGRAM);

    pair.near = dx_channel_close(pair.near);
    expect_end(pair.far, 1000);
    close_pair(&pair);
}
END_TEST

/* Nothing tells of a datagram peer that vanished, until one sends to it. */
START_TEST(test_a_datagram_peer_that_vanished_is_noticed_by_sending)
{
    for (int waited = 0; waited < 2; waited++) {
        struct stranger stranger = meet_greeted(DX_DGRAM, &(dx_channel_options){.spin_us = -1});

        say_message(&stranger, "before");
        expect_text(stranger.channel, "before");
        if (waited)
            expect_silence(stranger.channel);
        close(stranger.fd);
        stranger.fd = -1;
        ck_assert_int_eq(dx_send(stranger.channel, "x", 1, DX_NOW), -EPIPE);
        expect_end(stranger.channel, 1000);
        ck_assert_int_eq(dx_send(stranger.channel, "x", 1, DX_NOW), -EPIPE);
        part(&stranger);
    }
}
END_TEST

static int close_at_once(int fd, void *context)
{
    (void)context;
    sleep_ms(30);
    dx_channel_close(child_channel(fd, NULL));
    sleep_ms(5000);
    return 0;
}

EACH_TYPE(test_a_receiver_that_waits_learns_of_the_end)
{
    struct child child;

    start_child(&child, type, close_at_once, NULL);
    dx_channel *channel = channel_to_child(&child, NULL);
    uint64_t start = now_ms();

    expect_end(channel, DX_FOREVER);
    ck_assert_uint_le(now_ms() - start, 1000 * (uint64_t)slowness());
    dx_channel_close(channel);
    kill_child(&child);
}

/* Its default disposition ends the process. */
EACH_TYPE(test_no_signal_tells_of_a_peer_that_has_gone)
{
    struct pair pair = open_pair(type);

    signal(SIGPIPE, SIG_DFL);
    pair.far = dx_channel_close(pair.far);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(dx_send(pair.near, "x", 1, DX_FOREVER), -EPIPE);
    ck_assert_int_eq(dx_send(pair.near, pattern(MIB), MIB, DX_FOREVER), -EPIPE);
    ck_assert_int_eq(dx_channel_end(pair.near, DX_FOREVER), 0);
    expect_end(pair.near, DX_FOREVER);
    close_pair(&pair);
}

/* More than are read between two looks whether the peer lives. */
enum { LAST_WORDS = 150 };

static int say_much_and_leave(int fd, void *context)
{
    dx_channel *channel = child_channel(fd, NULL);

    (void)context;
    for (unsigned i = 0; i < LAST_WORDS; i++)
        harness_child_assert(send_numbered(channel, i, 10, DX_NOW) == 0);
    return 0;
}

EACH_TYPE(test_a_death_that_is_seen_between_two_reads_loses_no_last_words)
{
    struct child child;

    start_child(&child, type, say_much_and_leave, NULL);
    dx_channel *channel = channel_to_child(&child, &(dx_channel_options){.type = type});
    struct pollfd death = {.fd = child.pidfd, .events = POLLIN};

    ck_assert_int_eq(poll(&death, 1, 10000), 1);
    dxi_channel_watch(channel, child.pidfd, false);
    for (unsigned i = 0; i < LAST_WORDS; i++)
        expect_numbered(channel, i, 10, DX_NOW);
    expect_end(channel, DX_FOREVER);
    dx_channel_close(channel);
    child_ended(&child);
}

HARNESS_MAIN("ends", OF_EACH_TYPE(test_what_was_said_before_a_close_is_received),
             OF_EACH_TYPE(test_a_peer_that_closes_without_reading_is_received_to_its_end),
             OF_EACH_TYPE(test_a_send_to_a_peer_that_has_gone_loses_nothing_that_it_said),
             OF_EACH_TYPE(test_an_end_said_to_a_peer_that_has_gone_loses_nothing_that_it_said),
             OF_EACH_TYPE(test_a_peer_killed_with_our_words_unread_is_received_to_its_end),
             OF_EACH_TYPE(test_a_peer_killed_while_we_take_in_is_received_to_its_end),
             OF_EACH_TYPE(test_a_peer_killed_in_the_middle_of_a_message_is_told_from_an_end),
             OF_EACH_TYPE(test_a_direction_that_has_ended_leaves_the_other_open),
             OF_EACH_TYPE(test_an_end_comes_after_what_was_collected),
             OF_EACH_TYPE(test_an_end_that_cannot_be_said_in_time_can_be_said_later),
             OF_EACH_TYPE(test_a_peer_that_reads_no_more_can_still_be_heard),
             OF_EACH_TYPE(test_a_death_that_is_seen_between_two_reads_loses_no_last_words),
             TEST(test_an_empty_packet_is_the_end), TEST(test_a_datagram_end_says_goodbye),
             TEST(test_a_datagram_peer_that_vanished_is_noticed_by_sending),
             OF_EACH_TYPE(test_a_receiver_that_waits_learns_of_the_end),
             OF_EACH_TYPE(test_no_signal_tells_of_a_peer_that_has_gone))
