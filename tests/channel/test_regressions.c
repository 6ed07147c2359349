/* SPDX-License-Identifier: MIT */
/*
 * Regressions: what a reader of the code found that no test had asked for.
 */
#include "support.h"

#include "meter.h"
#include "stranger.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

/* A receive that looks before it sleeps sends first, and on datagrams takes in before that. */
EACH_TYPE(test_a_receive_sends_what_was_collected_before_it_looks)
{
    struct pair pair = open_pair(type);

    expect_silence(pair.near);
    ck_assert_int_eq(send_numbered(pair.far, 1, 50, DX_NOW), 0);
    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(send_numbered(pair.near, 2, 50, DX_NOW), 0);
    expect_numbered(pair.near, 1, 50, 1000);
    expect_error(pair.near, -ETIMEDOUT, NULL, 20);
    expect_numbered(pair.far, 2, 50, DX_NOW);
    close_pair(&pair);
}

/* What is sent before a wait must not make the kernel throw away a peer's last words. */
EACH_TYPE(test_last_words_survive_what_a_receive_sends)
{
    struct pair pair = open_pair_with(&(dx_channel_options){.type = type, .spin_us = -1});

    for (int i = 0; i < 3; i++)
        expect_silence(pair.near);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(send_numbered(pair.far, i, 50, DX_NOW), 0);
    pair.far = dx_channel_close(pair.far);
    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(send_numbered(pair.near, 9, 50, DX_NOW), 0);
    for (unsigned i = 0; i < 3; i++)
        expect_numbered(pair.near, i, 50, DX_FOREVER);
    expect_end(pair.near, DX_FOREVER);
    close_pair(&pair);
}

/* Passing a received descriptor on gives it away: the next receive must not close its number again. */
EACH_TYPE(test_a_message_that_is_passed_on_gives_its_descriptors_away)
{
    dx_channel_options options = {.type = type, .descriptor_limit = 2};
    struct pair first = open_pair_with(&options);
    struct pair second = open_pair_with(&options);
    int notes[2] = {make_note(1), make_note(2)};
    dx_message message = with_descriptors("x", 1, notes, 2);

    ck_assert_int_eq(dx_send_message(first.near, &message, DX_NOW), 0);
    ck_assert_int_eq(notes[0], -1);
    ck_assert_int_eq(dx_recv(first.far, &message, DX_NOW), 1);
    int number = message.descriptors[0];

    ck_assert_int_eq(dx_send_message(second.near, &message, DX_NOW), 0);
    ck_assert_int_eq(message.descriptors[0], -1);
    int mine = open("/dev/null", O_RDONLY | O_CLOEXEC);

    ck_assert_int_eq(mine, number);
    expect_silence(first.far);
    ck_assert_int_ge(fcntl(mine, F_GETFD), 0);
    close(mine);
    ck_assert_int_eq(dx_recv(second.far, &message, DX_NOW), 1);
    ck_assert(is_note(message.descriptors[0], 1) && is_note(message.descriptors[1], 2));
    close_pair(&first);
    close_pair(&second);
}

/* After a message was cut off for want of memory nothing may follow it, collected or not. */
EACH_TYPE(test_nothing_is_collected_behind_a_message_that_was_cut_off)
{
    meter_install();
    struct pair pair = open_pair(type);

    expect_silence(pair.near);
    meter_fail(CALL_RESIZE, 1, 1, 0);
    ck_assert_int_eq(send_numbered(pair.near, 1, MIB, DX_NOW), -ENOMEM);
    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(send_numbered(pair.near, 2, 64, DX_NOW), -ENOMEM);
    meter_fail_no_more();
    pair.near = dx_channel_close(pair.near);
    expect_error(pair.far, -EPIPE, NULL, DX_NOW);
    close_pair(&pair);
}

/* Whoever was refused for want of room learns from the loop when to try again. */
EACH_TYPE(test_a_loop_polls_for_room_after_a_refused_send)
{
    struct pair pair = open_pair_with(&(dx_channel_options){.type = type, .message_limit = KIB});
    unsigned sent = 0;

    while (send_numbered(pair.near, sent, 1000, DX_NOW) == 0)
        sent++;
    ck_assert_int_ne(dx_channel_events(pair.near) & POLLOUT, 0);
    for (unsigned i = 0; i < sent; i++)
        expect_numbered(pair.far, i, 1000, DX_NOW);
    struct pollfd polled = {.fd = dx_channel_write_fd(pair.near), .events = POLLOUT};

    ck_assert_int_eq(poll(&polled, 1, 1000), 1);
    (void)dx_channel_process(pair.near);
    ck_assert_int_eq(dx_channel_events(pair.near) & POLLOUT, 0);
    ck_assert_int_eq(send_numbered(pair.near, sent, 1000, DX_NOW), 0);
    close_pair(&pair);
}

/* A goodbye finds room in a full buffer. */
EACH_TYPE(test_a_close_says_goodbye_into_a_full_buffer)
{
    struct pair pair = open_pair_with(&(dx_channel_options){.type = type, .message_limit = KIB});
    unsigned sent = 0;

    while (send_numbered(pair.near, sent, 1000, DX_NOW) == 0)
        sent++;
    pair.near = dx_channel_close(pair.near);
    for (unsigned i = 0; i < sent; i++)
        expect_numbered(pair.far, i, 1000, DX_NOW);
    expect_end(pair.far, 1000);
    close_pair(&pair);
}

/* A limit that becomes known while messages are being collected holds from then on. */
EACH_TYPE(test_a_long_cork_heeds_a_limit_that_comes_later)
{
    struct stranger stranger = meet_stranger(type, NULL);

    ck_assert_int_eq(dx_cork(stranger.channel), 0);
    ck_assert_int_eq(dx_send(stranger.channel, pattern(5000), 5000, DX_NOW), 0);
    greet_as(&stranger, DXI_VERSION, 0, 1000);
    expect_silence(stranger.channel);
    ck_assert_int_eq(dx_send(stranger.channel, pattern(5000), 5000, DX_NOW), -EMSGSIZE);
    part(&stranger);
}

static struct pair parting_pair;

/* The peer speaks and goes, and another thread finds that out, after a read that found nothing. */
static ssize_t receive_nothing_before_the_last_words(int fd, void *bytes, size_t size,
                                                     struct dxi_arrival *arrival)
{
    ssize_t received = dxi_linux.receive(fd, bytes, size, arrival);

    if (received == -EAGAIN && parting_pair.far != NULL) {
        ck_assert_int_eq(send_numbered(parting_pair.far, 1, 50, DX_NOW), 0);
        parting_pair.far = dx_channel_close(parting_pair.far);
        atomic_store(&parting_pair.near->peer_dead, true);
    }
    return received;
}

START_TEST(test_last_words_between_a_read_and_news_of_the_death_are_heard)
{
    static struct dxi_os table;

    parting_pair = open_pair(DX_DGRAM);
    expect_silence(parting_pair.near);
    table = dxi_linux;
    table.receive = receive_nothing_before_the_last_words;
    dxi_os = &table;
    expect_numbered(parting_pair.near, 1, 50, 1000);
    expect_end(parting_pair.near, 1000);
    dxi_os = &dxi_linux;
    close_pair(&parting_pair);
}
END_TEST

HARNESS_MAIN("regressions", TEST(test_last_words_between_a_read_and_news_of_the_death_are_heard),
             OF_EACH_TYPE(test_a_receive_sends_what_was_collected_before_it_looks),
             OF_EACH_TYPE(test_last_words_survive_what_a_receive_sends),
             OF_EACH_TYPE(test_a_message_that_is_passed_on_gives_its_descriptors_away),
             OF_EACH_TYPE(test_nothing_is_collected_behind_a_message_that_was_cut_off),
             OF_EACH_TYPE(test_a_loop_polls_for_room_after_a_refused_send),
             OF_EACH_TYPE(test_a_close_says_goodbye_into_a_full_buffer),
             OF_EACH_TYPE(test_a_long_cork_heeds_a_limit_that_comes_later))
