/* SPDX-License-Identifier: MIT */
/*
 * Two sides that both send never wait for each other within the backlog; past it they are told. What
 * was taken in meanwhile disturbs nothing.
 */
#include "support.h"

#include "meter.h"

#include <poll.h>
#include <unistd.h>

/* Of a MiB each: far more than any socket holds. */
static unsigned messages(void)
{
    return slowness() > 1 ? 15 : 50;
}

static const dx_channel_options roomy = {.receive_backlog = 64 * MIB};

static int send_all_then_receive_all(int fd, void *context)
{
    dx_channel *channel = child_channel(fd, &roomy);
    dx_message message;

    (void)context;
    for (unsigned i = 0; i < messages(); i++)
        harness_child_assert(send_numbered(channel, i + 1000, MIB + i, DX_FOREVER) == 0);
    for (unsigned i = 0; i < messages(); i++) {
        harness_child_assert(dx_recv(channel, &message, DX_FOREVER) == 1);
        harness_child_assert(is_numbered(&message, i, MIB + i));
    }
    harness_child_assert(dx_recv(channel, &message, DX_FOREVER) == 0);
    dx_channel_close(channel);
    return 0;
}

EACH_TYPE(test_two_sides_that_send_everything_first_do_not_deadlock)
{
    struct child child;

    start_child(&child, type, send_all_then_receive_all, NULL);
    dx_channel *channel = channel_to_child(&child, &roomy);

    for (unsigned i = 0; i < messages(); i++)
        ck_assert_int_eq(send_numbered(channel, i, MIB + i, DX_FOREVER), 0);
    for (unsigned i = 0; i < messages(); i++)
        expect_numbered(channel, i + 1000, MIB + i, DX_FOREVER);
    ck_assert_int_eq(dx_channel_end(channel, DX_FOREVER), 0);
    expect_end(channel, DX_FOREVER);
    dx_channel_close(channel);
    child_ended(&child);
}

static struct pair open_narrow_pair(dx_channel_type type)
{
    /* The words of a lane that is offered meanwhile would wait for room as well. */
    return open_pair_with(&(dx_channel_options){
        .type = type, .message_limit = 64 * KIB, .socket_only = !harness_fast()});
}

/* Send on both ends until both are full; how many messages each has accepted. */
static void fill_both(struct pair *pair, size_t size, unsigned ret[2])
{
    ret[0] = ret[1] = 0;
    for (;;) {
        unsigned near = fill_outgoing(pair->near, ret[0], size);
        unsigned far = fill_outgoing(pair->far, ret[1], size);

        ret[0] += near;
        ret[1] += far;
        if (near == 0 && far == 0)
            return;
    }
}

/* Receive so many on both ends, and nothing else is there. */
static void drain_both(struct pair *pair, size_t size, const unsigned count[2])
{
    unsigned got[2] = {0, 0};
    dx_channel *channels[2] = {pair->far, pair->near};

    for (int idle = 0; idle < 3; idle++) {
        for (int i = 0; i < 2; i++) {
            dx_message message;
            int status;

            (void)dx_flush(channels[!i], DX_NOW);
            while ((status = dx_recv(channels[i], &message, DX_NOW)) == 1) {
                ck_assert_msg(is_numbered(&message, got[i], size), "message %u is another", got[i]);
                got[i]++;
                idle = 0;
            }
            ck_assert_int_eq(status, -ETIMEDOUT);
        }
    }
    ck_assert_uint_eq(got[0], count[0]);
    ck_assert_uint_eq(got[1], count[1]);
}

static void deadlock(dx_channel_type type, size_t size)
{
    struct pair pair = open_narrow_pair(type);
    unsigned count[2];

    for (int round = 0; round < 2; round++) {
        fill_both(&pair, size, count);
        uint64_t start = now_ms();

        ck_assert_int_eq(send_numbered(pair.near, count[0], size, DX_FOREVER), -EDEADLK);
        ck_assert_uint_ge(now_ms() - start, 99);
        ck_assert_uint_le(now_ms() - start, 300 * (uint64_t)slowness());
        expect_explained(pair.near, "both sides send and neither receives");
        expect_explained(pair.near, "the limit is 131072");
        ck_assert_int_eq(send_numbered(pair.far, count[1], size, 5000), -EDEADLK);
        ck_assert_int_eq(dx_flush(pair.near, DX_FOREVER), is_pending(pair.near) ? -EDEADLK : 0);
        drain_both(&pair, size, count);
        carry(pair.near, pair.far, 1, size);
        carry(pair.far, pair.near, 2, size);
    }
    close_pair(&pair);
}

EACH_TYPE(test_two_sides_that_send_past_the_bounds_are_told_and_lose_nothing)
{
    deadlock(type, 1000);
    deadlock(type, 64 * KIB);
}

/* With descriptors the backlog may be full before the bytes are. */
EACH_TYPE(test_a_backlog_full_of_descriptors_is_a_full_backlog)
{
    dx_channel_options options = {.type = type, .descriptor_limit = 1};
    struct pair pair = open_pair_with(&options);
    dx_message message;
    unsigned sent = 0;

    for (unsigned i = 0; i < 20; i++) {
        int note = make_note(i);

        message = with_descriptors(NULL, 0, &note, 1);
        ck_assert_int_eq(dx_send_message(pair.far, &message, DX_NOW), 0);
    }
    sent = fill_outgoing(pair.near, 0, 50000);
    ck_assert_int_eq(send_numbered(pair.near, sent, 50000, DX_FOREVER), -EDEADLK);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_int_eq(dx_recv(pair.near, &message, DX_NOW), 1);
        ck_assert(is_note(message.descriptors[0], i));
    }
    for (unsigned i = 0; i < sent; i++) {
        (void)dx_flush(pair.near, DX_NOW);
        expect_numbered(pair.far, i, 50000, DX_NOW);
    }
    close_pair(&pair);
}

static unsigned borrow_rounds(void)
{
    return slowness() > 1 ? 2 : 4;
}

/* A borrowed message stays where it is, whatever a send takes in meanwhile. */
static void borrow(dx_channel_type type, size_t size, size_t backlog_size)
{
    struct pair pair = open_pair(type);
    dx_message message;

    for (unsigned round = 0; round < borrow_rounds(); round++) {
        int status;

        ck_assert_int_eq(send_numbered(pair.far, round, size, DX_NOW), 0);
        while ((status = dx_recv(pair.near, &message, DX_NOW)) == -ETIMEDOUT)
            (void)dx_flush(pair.far, DX_NOW);
        ck_assert_int_eq(status, 1);
        unsigned behind = 0, ahead = 0, more;

        /* Fill the near end's backlog while its user holds the message. */
        do {
            more = fill_outgoing(pair.far, behind, backlog_size);
            behind += more;
            ahead += fill_outgoing(pair.near, ahead, 30000);
            ck_assert(is_numbered(&message, round, size));
        } while (more > 0 && behind * backlog_size < 3 * MIB);
        for (unsigned i = 0; i < behind; i++) {
            (void)dx_flush(pair.far, DX_NOW);
            while ((status = dx_recv(pair.near, &message, DX_NOW)) == -ETIMEDOUT)
                (void)dx_flush(pair.far, DX_NOW);
            ck_assert_int_eq(status, 1);
            ck_assert(is_numbered(&message, i, backlog_size));
        }
        for (unsigned i = 0; i < ahead; i++) {
            (void)dx_flush(pair.near, DX_NOW);
            expect_numbered(pair.far, i, 30000, DX_NOW);
        }
    }
    close_pair(&pair);
}

EACH_TYPE(test_a_borrowed_message_stays_intact_while_sends_take_in)
{
    static const size_t sizes[] = {0, 1, 1000, 65000, 200000, 300000, MIB};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        borrow(type, sizes[i], slowness() > 1 ? 5000 : 1000);
        borrow(type, sizes[i], 200000);
    }
}

/* The bytes and the descriptors of a borrowed message, too, outlive a send that takes in others. */
EACH_TYPE(test_borrowed_descriptors_stay_open_while_sends_take_in)
{
    dx_channel_options options = {.type = type, .descriptor_limit = 2};
    struct pair pair = open_pair_with(&options);
    dx_message message, other;

    for (unsigned i = 0; i < 4; i++) {
        int notes[2] = {make_note(i), make_note(i + 100)};

        other = with_descriptors("x", 1, notes, 2);
        ck_assert_int_eq(dx_send_message(pair.far, &other, DX_NOW), 0);
    }
    ck_assert_int_eq(dx_recv(pair.near, &message, DX_NOW), 1);
    fill_outgoing(pair.near, 0, 50000);
    ck_assert(is_note(message.descriptors[0], 0));
    ck_assert(is_note(message.descriptors[1], 100));
    for (unsigned i = 1; i < 4; i++) {
        ck_assert_int_eq(dx_recv(pair.near, &message, DX_NOW), 1);
        ck_assert(is_note(message.descriptors[0], i));
        ck_assert(is_note(message.descriptors[1], i + 100));
    }
    close_pair(&pair);
}

static int read_slowly(int fd, void *context)
{
    dx_channel *channel = child_channel(fd, NULL);
    dx_message message;

    (void)context;
    for (unsigned i = 0; i < 40; i++) {
        harness_child_assert(dx_recv(channel, &message, DX_FOREVER) == 1);
        harness_child_assert(is_numbered(&message, i, 300000));
        sleep_ms(5);
    }
    harness_child_assert(dx_recv(channel, &message, DX_FOREVER) == 0);
    dx_channel_close(channel);
    return 0;
}

EACH_TYPE(test_a_slow_reader_slows_the_sender_and_loses_nothing)
{
    struct child child;

    start_child(&child, type, read_slowly, NULL);
    dx_channel *channel = channel_to_child(&child, NULL);

    for (unsigned i = 0; i < 40; i++)
        ck_assert_int_eq(send_numbered(channel, i, 300000, DX_FOREVER), 0);
    dx_channel_end(channel, DX_FOREVER);
    expect_end(channel, DX_FOREVER);
    dx_channel_close(channel);
    child_ended(&child);
}

static int close_after_a_while(int fd, void *context)
{
    (void)context;
    sleep_ms(100);
    close(fd);
    sleep_ms(2000);
    return 0;
}

EACH_TYPE(test_a_sender_that_waits_learns_that_the_peer_has_closed)
{
    struct child child;
    int status = 0;

    start_child(&child, type, close_after_a_while, NULL);
    dx_channel *channel = channel_to_child(&child, NULL);
    uint64_t start = now_ms();

    while (status == 0)
        status = send_numbered(channel, 0, 10000, DX_FOREVER);
    ck_assert_int_eq(status, -EPIPE);
    ck_assert_uint_le(now_ms() - start, 1000 * (uint64_t)slowness());
    expect_explained(channel, "the peer has gone");
    ck_assert_int_eq(send_numbered(channel, 0, 10, DX_FOREVER), -EPIPE);
    ck_assert_int_eq(dx_send(channel, NULL, 0, DX_NOW), -EPIPE);
    /* This child is no duplex: it has closed without a greeting. */
    expect_error(channel, -EPIPE, "before it had greeted", DX_FOREVER);
    dx_channel_close(channel);
    kill_child(&child);
}

START_TEST(test_a_kernel_that_takes_and_gives_little_loses_nothing)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 100, 1000};

    meter_install();
    struct pair pair = open_pair(DX_STREAM);

    for (size_t piece = 1; piece < 20; piece += 3) {
        meter.send_at_most = piece;
        meter.receive_at_most = 20 - piece;
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
            carry(pair.near, pair.far, i, sizes[i]);
            carry(pair.far, pair.near, i, sizes[i]);
        }
    }
    close_pair(&pair);
}
END_TEST

HARNESS_MAIN(
    "flow", OF_EACH_TYPE_WITHIN(test_two_sides_that_send_everything_first_do_not_deadlock, 30),
    OF_EACH_TYPE_WITHIN(test_two_sides_that_send_past_the_bounds_are_told_and_lose_nothing, 30),
    OF_EACH_TYPE(test_a_backlog_full_of_descriptors_is_a_full_backlog),
    OF_EACH_TYPE_WITHIN(test_a_borrowed_message_stays_intact_while_sends_take_in, 60),
    OF_EACH_TYPE(test_borrowed_descriptors_stay_open_while_sends_take_in),
    OF_EACH_TYPE(test_a_slow_reader_slows_the_sender_and_loses_nothing),
    OF_EACH_TYPE(test_a_sender_that_waits_learns_that_the_peer_has_closed),
    TEST(test_a_kernel_that_takes_and_gives_little_loses_nothing))
