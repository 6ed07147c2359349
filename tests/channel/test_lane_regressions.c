/* SPDX-License-Identifier: MIT */
/*
 * What once went wrong in the fast lane: words out of turn, words that were lost, loops that spun,
 * and waits that nothing ended.
 */
#include "lanes.h"
#include "meter.h"
#include "stranger.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

/* One message with so many descriptors, which are closed if it is refused. */
static int send_descriptors(dx_channel *channel, const void *data, size_t size, size_t count,
                            int timeout_ms)
{
    int notes[DX_DESCRIPTORS_MAX];

    for (size_t i = 0; i < count; i++)
        notes[i] = make_note((unsigned)i);
    dx_message message = with_descriptors(data, size, notes, count);
    int status = dx_send_message(channel, &message, timeout_ms);

    if (status < 0)
        for (size_t i = 0; i < count; i++)
            close(notes[i]);
    return status;
}

/* Words at the beginning. */

/* Have near make its offer, and greet. What far says from now on, the test says. */
static struct stranger await_offer(struct pair *pair, dx_channel_type type)
{
    *pair = open_pair(type);
    ck_assert_int_eq(dx_send(pair->near, "a", 1, 1000), 0);
    expect_silence(pair->near);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(dx_send(pair->near, "a", 1, 1000), 0);
    ck_assert_ptr_nonnull(pair->near->lane.region.control);
    return (struct stranger){.channel = pair->near, .fd = dx_channel_fd(pair->far), .type = type};
}

/* In one write, where the type allows it. */
static void decline_and_accept(struct stranger *stranger, bool with_message)
{
    const struct header headers[] = {{0, DXI_KIND_DECLINE, 0, 0, 0},
                                     {1, DXI_KIND_MESSAGE, 0, 0, 0},
                                     {0, DXI_KIND_ACCEPT, 0, 0, 0}};
    uint8_t bytes[3 * DXI_HEADER_SIZE + 1];
    size_t size = 0;

    for (int i = 0; i < 3; i++) {
        if (i == 1 && !with_message)
            continue;
        encode_header(&headers[i], bytes + size);
        size += DXI_HEADER_SIZE;
        if (i == 1)
            bytes[size++] = 'm';
        if (stranger->type != DX_STREAM) {
            ck_assert_int_eq(say(stranger, bytes, size), 0);
            size = 0;
        }
    }
    if (size > 0)
        ck_assert_int_eq(say(stranger, bytes, size), 0);
}

/* The memory is let go of by the first word, and the second would have it used. */
EACH_LANE(test_an_offer_that_is_declined_and_accepted_breaks_the_protocol)
{
    for (int with_message = 0; with_message < 2; with_message++)
        for (int first = 0; first < 3; first++) {
            struct pair pair;
            struct stranger stranger = await_offer(&pair, type);
            dx_message message;
            int status = 1;

            decline_and_accept(&stranger, with_message);
            for (int i = 0; i < 4 && first > 0; i++) {
                int done =
                    first == 1 ? dx_channel_process(pair.near) : dx_send(pair.near, "b", 1, 1000);

                ck_assert_msg(done >= 0 || done == -EPROTO, "%d", done);
            }
            for (int i = 0; i < 1 + with_message && status == 1; i++)
                status = dx_recv(pair.near, &message, 1000);
            if (status == 1)
                status = dx_recv(pair.near, &message, 1000);
            ck_assert_msg(status == -EPROTO, "%d", status);
            for (int i = 0; i < 3; i++)
                ck_assert_int_eq(dx_send(pair.near, "b", 1, 1000), -EPROTO);
            expect_error(pair.near, -EPROTO, NULL, DX_FOREVER);
            close_pair(&pair);
        }
}

/* It lies behind a message when the offer is made. */
EACH_LANE(test_an_answer_that_came_before_the_offer_breaks_the_protocol)
{
    struct pair pair = open_pair(type);
    struct stranger stranger = {.channel = pair.near, .fd = dx_channel_fd(pair.far), .type = type};
    struct header accept = {0, DXI_KIND_ACCEPT, 0, 0, 0};

    expect_silence(pair.near);
    say_message(&stranger, "m");
    ck_assert_int_eq(say_frame(&stranger, &accept, NULL, 0, NULL, 0), 0);
    ck_assert_int_eq(dx_channel_process(pair.near), 1);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(dx_send(pair.near, "a", 1, 1000), 0);
    ck_assert_ptr_nonnull(pair.near->lane.region.control);
    expect_text(pair.near, "m");
    expect_error(pair.near, -EPROTO, NULL, 1000);
    close_pair(&pair);
}

static dx_channel *_Atomic maker;
static _Atomic bool heard_meanwhile;

/* The offer's call returns only when its answer was heard. */
static ssize_t send_offer_slowly(int fd, const struct iovec *parts, size_t count,
                                 const int *descriptors, size_t descriptor_count)
{
    bool offers = ((const uint8_t *)parts[0].iov_base)[4] == DXI_KIND_OFFER;
    ssize_t sent = dxi_linux.send(fd, parts, count, descriptors, descriptor_count);

    for (int i = 0; offers && i < 1000 && !heard_meanwhile; i++) {
        sleep_ms(1);
        heard_meanwhile = atomic_load(&maker->lane.in_is_fast);
    }
    return sent;
}

static void *receive_to_the_end(void *channel)
{
    dx_message message;

    while (dx_recv(channel, &message, 10000 * slowness()) == 1)
        ;
    dx_channel_end(channel, 1000);
    return NULL;
}

EACH_LANE(test_an_answer_that_is_heard_while_the_offer_is_being_sent_is_answered)
{
    struct dxi_os slow = dxi_linux;
    pthread_t receivers[2];

    slow.send = send_offer_slowly;
    dxi_os = &slow;
    /* Late enough for another thread than the sender's to wait for the answer. */
    dxi_lane_worth = 40;
    struct pair pair = open_pair(type);
    uint64_t end = now_ms() + 5000 * (uint64_t)slowness();

    maker = pair.near;
    expect_silence(pair.near);
    ck_assert_int_eq(pthread_create(&receivers[0], NULL, receive_to_the_end, pair.near), 0);
    ck_assert_int_eq(pthread_create(&receivers[1], NULL, receive_to_the_end, pair.far), 0);
    sleep_ms(20);
    while (dx_channel_is_fast(pair.near) == 0 && now_ms() < end) {
        ck_assert_int_eq(dx_send(pair.near, "hello", 5, 1000), 0);
        sleep_ms(1);
    }
    ck_assert(heard_meanwhile);
    ck_assert_int_eq(dx_channel_is_fast(pair.near), 1);
    ck_assert_int_eq(dx_channel_end(pair.near, 1000), 0);
    pthread_join(receivers[1], NULL);
    pthread_join(receivers[0], NULL);
    ck_assert_int_eq(dx_channel_is_fast(pair.far), 1);
    close_pair(&pair);
    dxi_os = &dxi_linux;
}

/* After the end of one direction. */

/* Ends its own direction, and takes in what comes when it has been slow. */
static int end_and_listen(dx_channel *parent, void *context)
{
    dx_message message;

    (void)context;
    harness_child_assert(dx_channel_end(parent, 1000) == 0);
    sleep_ms(300);
    harness_child_assert(dx_recv(parent, &message, 10000) == 1);
    return message.size == 4 * MIB ? 0 : 1;
}

EACH_LANE(test_waiting_for_a_child_sends_the_rest_although_it_has_said_its_end)
{
    struct family family = start_family(type, end_and_listen, NULL);
    dx_exit exit;

    expect_end(family.channel, 1000 * slowness());
    /* Begun, and so as good as sent. */
    ck_assert_int_eq(dx_send(family.channel, pattern(4 * MIB), 4 * MIB, 50), 0);
    ck_assert(is_pending(family.channel));
    ck_assert_int_eq(dx_process_wait(family.process, &exit, 8000 * slowness()), 0);
    ck_assert_msg(exit.kind == DX_EXIT_CODE && exit.code == 0, "the child: %s", exit.text);
    family.process = dx_process_close(family.process);
}

EACH_LANE(test_a_loop_does_not_spin_after_the_end_was_heard)
{
    struct pair pair = open_lane(type);
    dx_message message;

    ck_assert_int_eq(dx_channel_end(pair.far, 1000), 0);
    expect_end(pair.near, 1000);
    expect_rest(pair.near, "after the end");
    unsigned count = fill_outgoing(pair.near, 0, 8 * KIB);

    expect_rest(pair.near, "with a full ring");
    ck_assert_int_eq(dx_channel_events(pair.near), POLLIN);
    /* The wake-up for the room has to be read, although nothing is received any more. */
    for (unsigned i = 0; i < count; i++) {
        /* The last one may be there in part. */
        if (i == count - 1)
            take_turn(pair.near);
        expect_numbered(pair.far, i, 8 * KIB, 1000);
    }
    ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), -ETIMEDOUT);
    expect_rest(pair.near, "after the wake-up");
    ck_assert_int_eq(send_numbered(pair.near, 0, 8 * KIB, DX_NOW), 0);
    expect_rest(pair.near, "after one more message");
    pair.far = dx_channel_close(pair.far);
    expect_end(pair.near, 0);
    expect_rest(pair.near, "after the peer has left");
    ck_assert_int_eq(dx_channel_events(pair.near), 0);
    close_pair(&pair);
}

/* The same where the lane was only half made: the end came by the socket. */
EACH_LANE(test_a_loop_does_not_spin_after_the_end_was_heard_by_the_socket)
{
    struct pair pair;

    await_offer(&pair, type);
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(dx_send(pair.near, "a", 1, 1000), 0);
    ck_assert_int_eq(dx_channel_end(pair.near, 1000), 0);
    for (int i = 0; i < 46; i++)
        expect_text(pair.far, "a");
    expect_end(pair.far, 1000);
    ck_assert_int_eq(dx_send(pair.far, "z", 1, 1000), 0);
    expect_rest(pair.far, "after the end");
    unsigned count = fill_outgoing(pair.far, 0, 8 * KIB);

    expect_rest(pair.far, "with a full ring");
    /* Who has shut his socket down can send no wake-up, and yet the room is found. */
    expect_text(pair.near, "z");
    for (unsigned i = 0; i < count; i++) {
        take_turn(pair.far);
        expect_numbered(pair.near, i, 8 * KIB, 1000);
    }
    take_turn(pair.far);
    ck_assert_int_eq(send_numbered(pair.far, count, 8 * KIB, DX_NOW), 0);
    expect_numbered(pair.near, count, 8 * KIB, 1000);
    close_pair(&pair);
}

/* Descriptors. */

EACH_LANE(test_a_loop_does_not_spin_while_descriptors_wait_for_a_full_socket)
{
    struct pair pair = open_lane_with(&(dx_channel_options){.type = type, .descriptor_limit = 1});
    uint64_t end = now_ms() + LOOP_MS;
    unsigned turns = 0;
    unsigned sent = 0;
    dx_message message;

    while (send_descriptors(pair.near, "x", 1, 1, DX_NOW) == 0)
        sent++;
    ck_assert_uint_gt(sent, 2);
    for (; now_ms() < end; turns++) {
        take_turn(pair.near);
        ck_assert_int_eq(send_descriptors(pair.near, "x", 1, 1, DX_NOW), -ETIMEDOUT);
    }
    ck_assert_msg(turns <= TURNS_MAX, "%u turns in %d ms", turns, LOOP_MS);
    for (unsigned i = 0; i < sent; i++) {
        ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
        ck_assert_uint_eq(message.descriptor_count, 1);
    }
    ck_assert_int_eq(send_descriptors(pair.near, "x", 1, 1, DX_NOW), 0);
    /* What is refused for the ring's sake afterwards is not the socket's. */
    fill_outgoing(pair.near, 0, 8 * KIB);
    expect_rest(pair.near, "with a full ring");
    close_pair(&pair);
}

/* They come by the socket before their messages can be taken in, and are as honest as can be. */
EACH_LANE(test_descriptors_of_messages_behind_a_full_backlog_are_not_surplus)
{
    enum { SIZE = 32752 };
    const size_t counts[] = {1, 4, 4, 3, 4};
    struct pair pair = open_lane_with(&(dx_channel_options){.type = type, .descriptor_limit = 4});
    dx_message message;

    for (size_t i = 0; i < 5; i++)
        ck_assert_int_eq(send_descriptors(pair.near, pattern(SIZE), SIZE, counts[i], 1000), 0);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
        ck_assert_uint_eq(message.size, SIZE);
        ck_assert_uint_eq(message.descriptor_count, counts[i]);
        if (i > 0)
            continue;
        /* Takes in, because it waits for room. */
        int status = dx_send(pair.far, pattern(MIB), MIB, 200);

        ck_assert_msg(status == 0 || status == -EDEADLK, "%d: %s", status,
                      dx_channel_explain(pair.far));
    }
    close_pair(&pair);
}

/* No frame comes for them, or half of one: nobody can wait for what makes room. */
EACH_LANE(test_descriptors_that_fill_all_places_without_a_frame_break_the_protocol)
{
    for (int half = 0; half < 2; half++)
        for (int maker_is_hostile = 0; maker_is_hostile < 2; maker_is_hostile++) {
            struct pair pair =
                open_lane_with(&(dx_channel_options){.type = type, .descriptor_limit = 1});
            dx_channel *villain = maker_is_hostile ? pair.near : pair.far;
            dx_channel *victim = maker_is_hostile ? pair.far : pair.near;
            int note = make_note(1);

            for (uint64_t i = 1; i <= 5; i++)
                forge_by_socket(villain, DXI_KIND_DESCRIPTORS, 1, i, &note, 1);
            close(note);
            if (half)
                forge_frame(villain, 100, DXI_KIND_MESSAGE, 0, 0);
            expect_error(victim, -EPROTO, NULL, 1000);
            close_pair(&pair);
        }
}

/* Room. */

struct pusher {
    dx_channel *channel;
    int begun, refused;
};

/* The first of them fills the ring, and is as good as sent; the second has no room at all. */
static void *push(void *context)
{
    struct pusher *pusher = context;

    pusher->begun = dx_send(pusher->channel, pattern(4 * MIB), 4 * MIB, 10000 * slowness());
    pusher->refused = dx_send(pusher->channel, "x", 1, 10000 * slowness());
    return NULL;
}

/* Whether it came by now. What this end has to send leaves on the way. */
static bool received(dx_channel *channel)
{
    dx_message message;

    if (dx_recv(channel, &message, 10) != 1)
        return false;
    ck_assert_uint_eq(message.size, 4 * MIB);
    ck_assert(memcmp(message.data, pattern(4 * MIB), 4 * MIB) == 0);
    return true;
}

static void receive_both(struct pair *pair)
{
    uint64_t end = now_ms() + 5000 * (uint64_t)slowness();
    unsigned near_has = 0;
    unsigned far_has = 0;

    while ((near_has == 0 || far_has == 0) && now_ms() < end) {
        near_has += received(pair->near);
        far_has += received(pair->far);
    }
    ck_assert_uint_eq(near_has, 1);
    ck_assert_uint_eq(far_has, 1);
}

/* A message that lies in the ring holds back all room behind it. */
EACH_LANE(test_two_who_trust_and_hold_a_message_and_send_are_told_of_the_deadlock)
{
    struct pair pair = open_lane_with(&(dx_channel_options){.type = type, .trust_peer = true});
    struct pusher pushers[2] = {{.channel = pair.near}, {.channel = pair.far}};
    uint64_t start = now_ms();
    pthread_t threads[2];

    /* Made here, as two threads would make it at once. */
    pattern(4 * MIB);
    ck_assert_int_eq(dx_send(pair.near, "q", 1, 1000), 0);
    ck_assert_int_eq(dx_send(pair.far, "q", 1, 1000), 0);
    expect_text(pair.near, "q");
    expect_text(pair.far, "q");
    ck_assert(pair.near->lane.lent && pair.far->lane.lent);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, push, &pushers[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_lt(now_ms() - start, 5000 * (uint64_t)slowness());
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pushers[i].begun, 0);
        ck_assert_int_eq(pushers[i].refused, -EDEADLK);
    }
    /* What had begun is whole as soon as they receive. */
    receive_both(&pair);
    close_pair(&pair);
}

/* Who may not wait does not look for room for a while either, which takes 20 us. */
EACH_LANE(test_a_send_that_may_not_wait_finds_a_full_ring_at_once)
{
    struct pair pair = open_lane(type);
    uint64_t least = UINT64_MAX;

    fill_outgoing(pair.near, 0, 16000);
    for (int i = 0; i < 500; i++) {
        uint64_t start = dxi_os->now_ns();

        ck_assert_int_eq(dx_send(pair.near, pattern(16000), 16000, DX_NOW), -ETIMEDOUT);
        uint64_t taken = dxi_os->now_ns() - start;

        if (taken < least)
            least = taken;
    }
    ck_assert_uint_lt(least, 15 * 1000 * (uint64_t)slowness());
    close_pair(&pair);
}

/*
 * A wake-up that the kernel had no memory for was taken for one that found the socket full, which wakes
 * as well. A full socket does; an empty one left both asleep for ever.
 */
EACH_LANE(test_a_wake_up_that_the_kernel_had_no_memory_for_is_sent_again)
{
    static const int errors[] = {-ENOMEM, -ENOBUFS};

    meter_install();
    struct pair pair = open_lane(type);
    struct pollfd far = {.fd = dx_channel_fd(pair.far), .events = POLLIN};

    for (unsigned i = 0; i < 2; i++) {
        dx_message message;

        ck_assert_int_eq(dx_recv(pair.far, &message, 20), -ETIMEDOUT);
        meter_fail(CALL_SEND, 1, 2, errors[i]);
        ck_assert_int_eq(send_numbered(pair.near, i, 100, 1000), 0);
        ck_assert_uint_eq(meter.failed, 1);
        ck_assert_int_eq(poll(&far, 1, 0), 0);
        ck_assert_int_eq(dx_recv(pair.near, &message, 100), -ETIMEDOUT);
        ck_assert_uint_eq(meter.failed, 2);
        ck_assert_int_eq(poll(&far, 1, 0), 1);
        expect_numbered(pair.far, i, 100, 1000);
    }
    close_pair(&pair);
}

HARNESS_MAIN("lane_regressions",
             OF_EACH_LANE(test_an_offer_that_is_declined_and_accepted_breaks_the_protocol),
             OF_EACH_LANE(test_an_answer_that_came_before_the_offer_breaks_the_protocol),
             OF_EACH_LANE(test_an_answer_that_is_heard_while_the_offer_is_being_sent_is_answered),
             OF_EACH_LANE(test_waiting_for_a_child_sends_the_rest_although_it_has_said_its_end),
             OF_EACH_LANE(test_a_loop_does_not_spin_after_the_end_was_heard),
             OF_EACH_LANE(test_a_loop_does_not_spin_after_the_end_was_heard_by_the_socket),
             OF_EACH_LANE(test_a_loop_does_not_spin_while_descriptors_wait_for_a_full_socket),
             OF_EACH_LANE(test_descriptors_of_messages_behind_a_full_backlog_are_not_surplus),
             OF_EACH_LANE(test_descriptors_that_fill_all_places_without_a_frame_break_the_protocol),
             OF_EACH_LANE(test_two_who_trust_and_hold_a_message_and_send_are_told_of_the_deadlock),
             OF_EACH_LANE(test_a_send_that_may_not_wait_finds_a_full_ring_at_once),
             OF_EACH_LANE(test_a_wake_up_that_the_kernel_had_no_memory_for_is_sent_again))
