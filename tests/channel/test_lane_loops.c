/* SPDX-License-Identifier: MIT */
/*
 * The lane under an event loop, which knows no more of it than the channel's descriptor, events
 * and time: no wake-up may be lost, however both sides mix looking and sleeping. And with a
 * thread for each direction.
 */
#include "lanes.h"

#include "os/os.h"

#include <duplex/call.h>

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

/* Nobody is silent for so long but one who was not woken. */
static int too_long_ms(void)
{
    return 4000 * slowness();
}

/* One turn of a loop. False if nothing came for too long. */
static bool turn(dx_channel *channel, unsigned manner)
{
    struct pollfd polled = {.fd = dx_channel_fd(channel)};
    int timeout_ms;

    /* In either order, and a loop may call dx_channel_process() for nothing. */
    if (manner % 2 == 0) {
        polled.events = (short)dx_channel_events(channel);
        timeout_ms = dx_channel_timeout_ms(channel);
    } else {
        timeout_ms = dx_channel_timeout_ms(channel);
        polled.events = (short)dx_channel_events(channel);
    }
    int ready = poll(&polled, 1, timeout_ms < 0 ? too_long_ms() : timeout_ms);

    if (ready > 0 || timeout_ms >= 0 || manner % 5 == 0)
        dx_channel_process(channel);
    return ready > 0 || timeout_ms >= 0;
}

static int receive_by_loop(dx_channel *channel, dx_message *ret, unsigned manner)
{
    int status;

    while ((status = dx_recv(channel, ret, DX_NOW)) == -ETIMEDOUT)
        if (!turn(channel, manner))
            return -ETIME;
    return status;
}

static int send_by_loop(dx_channel *channel, unsigned number, size_t size, unsigned manner)
{
    int status;

    while ((status = send_numbered(channel, number, size, DX_NOW)) == -ETIMEDOUT)
        if (!turn(channel, manner))
            return -ETIME;
    return status;
}

/* So that neither is always asleep, nor always awake, when the other speaks. */
static void dawdle(uint32_t *random)
{
    unsigned turns = next_random(random) % 8;

    for (volatile unsigned i = 0; turns > 4 && i < 1000 * turns; i++)
        continue;
}

enum { PING_PONGS = 20000 };

static unsigned rounds(void)
{
    return (unsigned)(PING_PONGS / slowness());
}

static int pong(dx_channel *channel, void *context)
{
    uint32_t random = 99;
    dx_message message;

    (void)context;
    for (unsigned i = 0; i < rounds(); i++) {
        harness_child_assert(receive_by_loop(channel, &message, i) == 1);
        harness_child_assert(is_numbered(&message, i, i % 100));
        dawdle(&random);
        harness_child_assert(send_by_loop(channel, i, i % 120, i) == 0);
    }
    return 0;
}

EACH_LANE(test_two_loops_play_ping_pong)
{
    struct family family = start_family(type, pong, NULL);
    uint32_t random = 5;
    dx_message message;

    for (unsigned i = 0; i < rounds(); i++) {
        ck_assert_int_eq(send_by_loop(family.channel, i, i % 100, i), 0);
        dawdle(&random);
        int status = receive_by_loop(family.channel, &message, i);

        ck_assert_msg(status == 1, "round %u: %d", i, status);
        ck_assert(is_numbered(&message, i, i % 120));
    }
    end_family(&family);
}

/* One side by a loop, the other by calls that wait. */
EACH_LANE(test_a_loop_and_one_who_waits_play_ping_pong)
{
    struct family family = start_family(type, pong, NULL);

    for (unsigned i = 0; i < rounds(); i++) {
        ck_assert_int_eq(send_numbered(family.channel, i, i % 100, 10000), 0);
        expect_numbered(family.channel, i, i % 120, too_long_ms());
    }
    end_family(&family);
}

/* Each direction is filled until it blocks; who has nothing to read waits for room, by the loop. */
static size_t stream_size(unsigned number)
{
    return number % 50 == 0 ? 300 << 10 : number * 977 % 20000;
}

static bool stream_both_ways(dx_channel *channel, unsigned count)
{
    unsigned sent = 0;
    unsigned heard = 0;

    while (sent < count || heard < count) {
        dx_message message;
        int status = -ETIMEDOUT;

        if (sent < count)
            status = send_numbered(channel, sent, stream_size(sent), DX_NOW);
        if (status == 0)
            sent++;
        else if (status != -ETIMEDOUT)
            return false;
        int got = heard < count ? dx_recv(channel, &message, DX_NOW) : -ETIMEDOUT;

        if (got == 1) {
            if (!is_numbered(&message, heard, stream_size(heard)))
                return false;
            heard++;
        } else if (got != -ETIMEDOUT) {
            return false;
        }
        if (status == -ETIMEDOUT && got == -ETIMEDOUT && !turn(channel, sent))
            return false;
    }
    /* The last may still lie here. */
    while (atomic_load(&channel->out_pending))
        if (!turn(channel, sent))
            return false;
    return true;
}

static int stream_in_child(dx_channel *channel, void *context)
{
    harness_child_assert(stream_both_ways(channel, *(unsigned *)context));
    return 0;
}

EACH_LANE(test_two_loops_fill_both_rings)
{
    unsigned count = 3000 / (unsigned)slowness();
    struct family family = start_family(type, stream_in_child, &count);

    ck_assert_msg(stream_both_ways(family.channel, count), "%s",
                  dx_channel_explain(family.channel));
    end_family(&family);
}

/* A busy loop, which never sleeps. */
static int poll_busily(dx_channel *channel, dx_message *ret)
{
    uint64_t end = now_ms() + (uint64_t)too_long_ms();
    int status;

    while ((status = dx_recv(channel, ret, DX_NOW)) == -ETIMEDOUT && now_ms() < end)
        sched_yield();
    return status;
}

EACH_LANE(test_one_who_never_waits_hears_everything)
{
    struct family family = start_family(type, pong, NULL);
    dx_message message;

    for (unsigned i = 0; i < rounds(); i++) {
        ck_assert_int_eq(send_by_loop(family.channel, i, i % 100, i), 0);
        ck_assert_int_eq(poll_busily(family.channel, &message), 1);
        ck_assert(is_numbered(&message, i, i % 120));
    }
    end_family(&family);
}

/* A message that is there is told of before the loop sleeps, and one that comes wakes it. */
EACH_LANE(test_what_is_there_is_no_reason_to_sleep)
{
    struct pair pair = open_lane(type);

    for (unsigned i = 0; i < 200; i++) {
        struct pollfd polled = {.fd = dx_channel_fd(pair.far), .events = POLLIN};

        if (i % 2 == 0) {
            ck_assert_int_eq(send_numbered(pair.near, i, 100, 0), 0);
            int timeout_ms = dx_channel_timeout_ms(pair.far);

            ck_assert(timeout_ms == 0 || poll(&polled, 1, 0) == 1);
        } else {
            ck_assert_int_eq(dx_channel_timeout_ms(pair.far), DX_FOREVER);
            ck_assert_int_eq(poll(&polled, 1, 0), 0);
            ck_assert_int_eq(send_numbered(pair.near, i, 100, 0), 0);
            ck_assert_int_eq(poll(&polled, 1, 1000), 1);
        }
        ck_assert_int_eq(dx_channel_process(pair.far), 1);
        expect_numbered(pair.far, i, 100, 0);
        ck_assert_int_eq(dx_channel_process(pair.far), 0);
    }
    close_pair(&pair);
}

/* A loop that was refused for want of room sleeps until there is some, and not less. */
EACH_LANE(test_a_loop_that_waits_for_room_sleeps)
{
    struct pair pair = open_lane(type);
    unsigned count = fill_outgoing(pair.near, 0, 1000);
    dx_message message;

    for (int i = 0; i < 3; i++)
        dx_channel_process(pair.near);
    ck_assert_int_eq(send_numbered(pair.near, count, 1000, DX_NOW), -ETIMEDOUT);
    struct pollfd polled = {.fd = dx_channel_fd(pair.near),
                            .events = (short)dx_channel_events(pair.near)};

    ck_assert_int_eq(dx_channel_timeout_ms(pair.near), DX_FOREVER);
    ck_assert_int_eq(poll(&polled, 1, 50), 0);
    for (unsigned i = 0; i < count - 1; i++)
        ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
    ck_assert_int_eq(dx_recv(pair.far, &message, 10), is_pending(pair.near) ? -ETIMEDOUT : 1);
    ck_assert_int_eq(poll(&polled, 1, 1000), 1);
    dx_channel_process(pair.near);
    ck_assert_int_eq(send_numbered(pair.near, count, 1000, DX_NOW), 0);
    close_pair(&pair);
}

/* Threads: one sends, one receives, on both sides. */
struct sender {
    dx_channel *channel;
    unsigned count;
    _Atomic int status;
};

static void *send_all(void *context)
{
    struct sender *sender = context;

    for (unsigned i = 0; i < sender->count && sender->status == 0; i++)
        sender->status = send_numbered(sender->channel, i, stream_size(i), 30000);
    return NULL;
}

static bool converse_in_threads(dx_channel *channel, unsigned count)
{
    struct sender sender = {.channel = channel, .count = count};
    pthread_t thread;
    dx_message message;
    bool right = true;

    pattern(MIB);
    if (pthread_create(&thread, NULL, send_all, &sender) != 0)
        return false;
    for (unsigned i = 0; i < count && right; i++)
        right = dx_recv(channel, &message, 30000) == 1 && is_numbered(&message, i, stream_size(i));
    pthread_join(thread, NULL);
    return right && sender.status == 0;
}

static int converse_in_child(dx_channel *channel, void *context)
{
    harness_child_assert(converse_in_threads(channel, *(unsigned *)context));
    return 0;
}

EACH_LANE(test_two_threads_on_each_side)
{
    unsigned count = 3000 / (unsigned)slowness();
    struct family family = start_family(type, converse_in_child, &count);

    ck_assert_msg(converse_in_threads(family.channel, count), "%s",
                  dx_channel_explain(family.channel));
    end_family(&family);
}

/* In one process, for the thread sanitizer; and the switch comes in the middle of it. */
static void *converse_far(void *context)
{
    struct sender *sender = context;

    sender->status = converse_in_threads(sender->channel, sender->count) ? 0 : -1;
    return NULL;
}

EACH_LANE(test_four_threads_in_one_process)
{
    unsigned count = 2000 / (unsigned)slowness();
    struct pair pair = open_pair(type);
    struct sender far = {.channel = pair.far, .count = count};
    pthread_t thread;

    pattern(MIB);
    ck_assert_int_eq(pthread_create(&thread, NULL, converse_far, &far), 0);
    bool right = converse_in_threads(pair.near, count);

    pthread_join(thread, NULL);
    ck_assert_msg(right, "near: %s", dx_channel_explain(pair.near));
    ck_assert_int_eq(far.status, 0);
    ck_assert_int_eq(dx_channel_is_fast(pair.near), 1);
    ck_assert_int_eq(dx_channel_is_fast(pair.far), 1);
    close_pair(&pair);
}

/* A clock of one who gets no processor between two looks at it. */
static uint64_t leap(void)
{
    static uint64_t leaps;

    return dxi_linux.now_ns() + ++leaps * 30 * 1000 * 1000;
}

static ssize_t cannot_tell(int fd)
{
    (void)fd;
    return -ENOTTY;
}

/* So that a message of a stream takes many reads. Of a packet that would cut off the rest. */
static ssize_t receive_little(int fd, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    return dxi_linux.receive(fd, bytes, size < 20000 ? size : 20000, arrival);
}

/* Whether the ring is used, and if not whether it can be told how much the socket has. */
enum source { RING, SOCKET, SOCKET_UNTOLD };

/* What had come before the call is there, and needs no wait. */
EACH_LANE(test_a_receive_that_may_not_wait_gets_what_is_there_however_late_it_is)
{
    enum { MUCH = 250 * 1000 }; /* four packets, or thirteen of those reads */

    struct dxi_os table = dxi_linux;

    table.now_ns = leap;
    for (enum source source = RING; source <= SOCKET_UNTOLD; source++) {
        const dx_channel_options options = {
            .type = type, .socket_only = true, .socket_buffer = 212992};
        struct pair pair = source == RING ? open_lane(type) : open_pair_with(&options);
        dx_message message;

        if (source != RING && type == DX_STREAM)
            table.receive = receive_little;
        /* As of some devices. */
        if (source == SOCKET_UNTOLD)
            table.queued = cannot_tell;
        ck_assert_int_eq(send_numbered(pair.near, 0, MUCH, 1000), 0);
        dxi_os = &table;
        ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
        dxi_os = &dxi_linux;
        ck_assert(is_numbered(&message, 0, MUCH));
        close_pair(&pair);
    }
}

/*
 * A receive that was kept from its processor until its deadline leaves the rest of a message in the ring.
 * No wake-up tells of that, as the sender is done: the loop slept for ever.
 */
EACH_LANE(test_what_a_receive_left_in_the_ring_is_no_reason_to_sleep)
{
    enum { SIZE = 200 * 1000 };

    struct pair pair = open_lane(type);
    struct dxi_os table = dxi_linux;

    table.now_ns = leap;
    for (unsigned manner = 0; manner < 6; manner++) {
        dx_message message;

        ck_assert_int_eq(send_numbered(pair.near, manner, SIZE, 1000), 0);
        dxi_os = &table;
        ck_assert_int_eq(dx_recv(pair.far, &message, 10), -ETIMEDOUT);
        ck_assert_int_eq(dx_channel_timeout_ms(pair.far), 0);
        ck_assert(turn(pair.far, manner));
        ck_assert_int_eq(receive_by_loop(pair.far, &message, manner), 1);
        dxi_os = &dxi_linux;
        ck_assert(is_numbered(&message, manner, SIZE));
    }
    close_pair(&pair);
}

static dx_channel *talker;

/* Whenever the other side looks, there is more. */
static ssize_t receive_while_it_talks(int fd, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    if (fd != talker->read_fd)
        (void)dx_send(talker, "and another thing", 17, DX_NOW);
    return dxi_linux.receive(fd, bytes, size, arrival);
}

/* It does not take in all that comes, up to 16 MiB, before it looks at the clock. */
EACH_LANE(test_a_peer_that_never_pauses_does_not_stretch_the_deadline_of_a_send)
{
    struct dxi_os table = dxi_linux;
    struct pair pair = open_lane(type);
    int status = 0;

    while (status == 0)
        status = send_numbered(pair.near, 0, 1000, DX_NOW);
    ck_assert_int_eq(status, -ETIMEDOUT);
    talker = pair.far;
    table.receive = receive_while_it_talks;
    table.now_ns = leap;
    dxi_os = &table;
    for (int timeout_ms = 0; timeout_ms < 200; timeout_ms += 100)
        ck_assert_int_eq(send_numbered(pair.near, 0, 1000, timeout_ms), -ETIMEDOUT);
    dxi_os = &dxi_linux;
    ck_assert_uint_lt(dxi_channel_backlog(pair.near), MIB);
    close_pair(&pair);
}

HARNESS_MAIN("lane_loops", OF_EACH_LANE_WITHIN(test_two_loops_play_ping_pong, 60),
             OF_EACH_LANE_WITHIN(test_a_loop_and_one_who_waits_play_ping_pong, 60),
             OF_EACH_LANE_WITHIN(test_two_loops_fill_both_rings, 60),
             OF_EACH_LANE_WITHIN(test_one_who_never_waits_hears_everything, 60),
             OF_EACH_LANE(test_what_is_there_is_no_reason_to_sleep),
             OF_EACH_LANE(test_a_receive_that_may_not_wait_gets_what_is_there_however_late_it_is),
             OF_EACH_LANE(test_what_a_receive_left_in_the_ring_is_no_reason_to_sleep),
             OF_EACH_LANE(test_a_peer_that_never_pauses_does_not_stretch_the_deadline_of_a_send),
             OF_EACH_LANE(test_a_loop_that_waits_for_room_sleeps),
             OF_EACH_LANE_WITHIN(test_two_threads_on_each_side, 60),
             OF_EACH_LANE_WITHIN(test_four_threads_in_one_process, 60))
