/* SPDX-License-Identifier: MIT */
/*
 * Every wait ends in time, neither earlier nor much later, and a message that the deadline cut in two
 * arrives once and whole.
 */
#include "support.h"

#include "wire/bytes.h"
#include "wire/native.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a busy machine may add. */
static uint64_t grace_ms(void)
{
    return 100 * (uint64_t)slowness();
}

static const int timeouts[] = {1, 10, 50, 150};

static void check_elapsed(uint64_t start_ms, int timeout_ms)
{
    uint64_t elapsed = now_ms() - start_ms;

    /* The clock of the test is cut to milliseconds, twice. */
    ck_assert_msg(elapsed + 1 >= (uint64_t)timeout_ms, "%d ms took only %lu", timeout_ms,
                  (unsigned long)elapsed);
    ck_assert_msg(elapsed <= (uint64_t)timeout_ms + grace_ms(), "%d ms took %lu", timeout_ms,
                  (unsigned long)elapsed);
}

EACH_TYPE(test_a_receive_waits_until_the_deadline)
{
    struct pair pair = open_pair(type);

    for (size_t i = 0; i < sizeof(timeouts) / sizeof(*timeouts); i++) {
        uint64_t start = now_ms();

        expect_error(pair.near, -ETIMEDOUT, "the peer said nothing until the deadline",
                     timeouts[i]);
        check_elapsed(start, timeouts[i]);
    }
    close_pair(&pair);
}

EACH_TYPE(test_a_send_waits_until_the_deadline)
{
    struct pair pair = open_pair(type);
    unsigned sent = fill_outgoing(pair.near, 0, 10000);

    for (size_t i = 0; i < sizeof(timeouts) / sizeof(*timeouts); i++) {
        uint64_t start = now_ms();

        ck_assert_int_eq(send_numbered(pair.near, sent, 10000, timeouts[i]), -ETIMEDOUT);
        check_elapsed(start, timeouts[i]);
        expect_explained(pair.near, "the peer took nothing until the deadline");
    }
    for (unsigned i = 0; i < sent; i++) {
        (void)dx_flush(pair.near, DX_NOW);
        expect_numbered(pair.far, i, 10000, DX_NOW);
    }
    expect_silence(pair.far);
    close_pair(&pair);
}

EACH_TYPE(test_now_does_not_wait)
{
    struct pair pair = open_pair(type);

    fill_outgoing(pair.near, 0, 10000);
    uint64_t start = now_ms();

    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(send_numbered(pair.near, 0, 10000, DX_NOW), -ETIMEDOUT);
        expect_silence(pair.near);
    }
    ck_assert_uint_le(now_ms() - start, grace_ms());
    close_pair(&pair);
}

static int answer_late(int fd, void *context)
{
    dx_channel *channel = child_channel(fd, NULL);
    dx_message message;

    (void)context;
    sleep_ms(50);
    harness_child_assert(send_numbered(channel, 1, 10, DX_NOW) == 0);
    harness_child_assert(dx_recv(channel, &message, DX_FOREVER) == 0);
    dx_channel_close(channel);
    return 0;
}

EACH_TYPE(test_a_far_deadline_does_not_come_early)
{
    static const int far[] = {INT_MAX, DX_FOREVER, 100000};

    for (int i = 0; i < 3; i++) {
        struct child child;

        start_child(&child, type, answer_late, NULL);
        dx_channel *channel = channel_to_child(&child, NULL);

        expect_numbered(channel, 1, 10, far[i]);
        dx_channel_end(channel, far[i]);
        expect_end(channel, far[i]);
        dx_channel_close(channel);
        child_ended(&child);
    }
}

/* What is left of a message leaves in one of these calls. */
enum remainder { BY_FLUSH, BY_RECV, BY_PROCESS, BY_SEND, BY_END };

static void cut_in_two(dx_channel_type type, enum remainder how)
{
    struct pair pair =
        open_pair_with(&(dx_channel_options){.type = type, .socket_only = !harness_fast()});
    size_t size = 2 * MIB;
    dx_message message;
    uint64_t start = now_ms();
    int status;

    ck_assert_int_eq(send_numbered(pair.near, 1, size, 20), 0);
    check_elapsed(start, 20);
    ck_assert(is_pending(pair.near));
    bool more = false;

    while ((status = dx_recv(pair.far, &message, DX_NOW)) == -ETIMEDOUT) {
        int result = -ETIMEDOUT;

        switch (how) {
        case BY_FLUSH:
            result = dx_flush(pair.near, DX_NOW);
            break;
        case BY_RECV:
            expect_error(pair.near, -ETIMEDOUT, NULL, DX_NOW);
            continue;
        case BY_PROCESS:
            ck_assert_int_eq(dx_channel_process(pair.near), 0);
            continue;
        case BY_SEND:
            if (more)
                result = dx_flush(pair.near, DX_NOW);
            else
                result = send_numbered(pair.near, 2, 100, DX_NOW);
            more = more || result == 0;
            break;
        case BY_END:
            result = dx_channel_end(pair.near, DX_NOW);
            break;
        }
        ck_assert_int_eq(result == 0 || result == -ETIMEDOUT, 1);
    }
    ck_assert_int_eq(status, 1);
    ck_assert(is_numbered(&message, 1, size));
    /* An offer of a fast lane may still be due. */
    ck_assert(harness_fast() || !is_pending(pair.near));
    if (more)
        expect_numbered(pair.far, 2, 100, DX_NOW);
    if (how == BY_END) {
        ck_assert_int_eq(dx_channel_end(pair.near, DX_NOW), 0);
        expect_end(pair.far, DX_NOW);
    } else {
        expect_silence(pair.far);
        carry(pair.near, pair.far, 3, 100000);
    }
    carry(pair.far, pair.near, 4, 100000);
    close_pair(&pair);
}

EACH_TYPE(test_the_rest_of_a_message_leaves_by_a_flush)
{
    cut_in_two(type, BY_FLUSH);
}

EACH_TYPE(test_the_rest_of_a_message_leaves_by_a_receive)
{
    cut_in_two(type, BY_RECV);
}

EACH_TYPE(test_the_rest_of_a_message_leaves_by_an_event_loop)
{
    cut_in_two(type, BY_PROCESS);
}

EACH_TYPE(test_the_rest_of_a_message_leaves_before_the_next)
{
    cut_in_two(type, BY_SEND);
}

EACH_TYPE(test_the_rest_of_a_message_leaves_before_the_end)
{
    cut_in_two(type, BY_END);
}

/* The caller's memory is its own again, even though half of the message has not left. */
EACH_TYPE(test_the_rest_of_a_message_is_a_copy)
{
    struct pair pair = open_pair(type);
    size_t size = MIB;
    uint8_t *mine = malloc(size);
    dx_message message;
    int status;

    memcpy(mine, numbered_payload(1, size), size);
    ck_assert_int_eq(dx_send(pair.near, mine, size, DX_NOW), 0);
    memset(mine, 0, size);
    free(mine);
    while ((status = dx_recv(pair.far, &message, DX_NOW)) == -ETIMEDOUT)
        (void)dx_flush(pair.near, DX_NOW);
    ck_assert_int_eq(status, 1);
    ck_assert(is_numbered(&message, 1, size));
    close_pair(&pair);
}

/* Close offers what is left to the kernel, without waiting. */
EACH_TYPE(test_closing_offers_the_rest_once)
{
    struct pair pair = open_pair(type);

    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(send_numbered(pair.near, 1, 100, DX_NOW), 0);
    ck_assert_int_eq(send_numbered(pair.near, 2, 100, DX_NOW), 0);
    expect_silence(pair.far);
    pair.near = dx_channel_close(pair.near);
    expect_numbered(pair.far, 1, 100, DX_NOW);
    expect_numbered(pair.far, 2, 100, DX_NOW);
    expect_end(pair.far, DX_NOW);
    close_pair(&pair);
}

/*
 * Frames of a byte, as fast as can be, from one who reads nothing. The context says whether they are
 * messages or pieces of one that never ends.
 */
static int flood(int fd, void *context)
{
    const bool *pieces = context;
    uint8_t frame[DXI_HEADER_SIZE + 1] = {0};
    uint8_t greeting[DXI_HEADER_SIZE + DXI_HELLO_SIZE] = {0};
    struct dxi_hello hello = {.version = DXI_VERSION, .message_limit = MIB};

    dxi_store32(greeting, DXI_HELLO_SIZE);
    greeting[4] = DXI_KIND_HELLO;
    dxi_hello_encode(&hello, greeting + DXI_HEADER_SIZE);
    harness_child_assert(send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL) > 0);
    dxi_store32(frame, 1);
    frame[4] = DXI_KIND_MESSAGE;
    frame[5] = *pieces ? DXI_FLAG_MORE : 0;
    while (send(fd, frame, sizeof(frame), MSG_NOSIGNAL) > 0)
        ;
    return 0;
}

/* There is always something to take in, and never a place to send to. */
EACH_TYPE(test_a_flood_does_not_stretch_the_deadline_of_a_send)
{
    dx_channel_options options = {.receive_backlog = 64 * MIB};
    struct child child;

    start_child(&child, type, flood, &(bool){false});
    dx_channel *channel = channel_to_child(&child, &options);

    fill_outgoing(channel, 0, 60000);
    for (int i = 0; i < 3; i++) {
        uint64_t start = now_ms();
        int status = send_numbered(channel, 0, 60000, 50);

        ck_assert_int_eq(status, -ETIMEDOUT);
        check_elapsed(start, 50);
    }
    kill_child(&child);
    dx_channel_close(channel);
}

/* A kernel that has always one more piece of a frame of a byte, and never takes anything. */
static uint8_t endless_flags;

static ssize_t receive_one_more(int fd, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    static size_t given;
    const uint8_t frame[DXI_HEADER_SIZE + 1] = {
        [3] = 1, [4] = DXI_KIND_MESSAGE, [5] = endless_flags};
    size_t left = sizeof(frame) - given;

    (void)fd;
    arrival->count = 0;
    arrival->lost = arrival->cut = false;
    if (size > left)
        size = left;
    memcpy(bytes, frame + given, size);
    given = (given + size) % sizeof(frame);
    return (ssize_t)size;
}

static ssize_t take_nothing(int fd, const struct iovec *parts, size_t part_count,
                            const int *descriptors, size_t descriptor_count)
{
    (void)fd, (void)parts, (void)part_count, (void)descriptors, (void)descriptor_count;
    return -EAGAIN;
}

static int always_readable(struct pollfd *descriptors, size_t count, uint64_t deadline_ns)
{
    (void)count, (void)deadline_ns;
    descriptors[0].revents = descriptors[0].events & POLLIN;
    return descriptors[0].revents != 0;
}

/* A channel that has been greeted, and its peer's socket, with that kernel below from now on. */
static dx_channel *open_above_flood(int *ret_peer)
{
    static struct dxi_os table;
    dx_channel_options options = {.message_limit = 256 * MIB};
    dx_channel *channel = open_with_raw_peer(DX_STREAM, &options, ret_peer);
    uint8_t greeting[DXI_HEADER_SIZE + DXI_HELLO_SIZE] = {
        [3] = DXI_HELLO_SIZE, [4] = DXI_KIND_HELLO};
    struct dxi_hello hello = {.version = DXI_VERSION, .message_limit = MIB};

    dxi_hello_encode(&hello, greeting + DXI_HEADER_SIZE);
    ck_assert_int_eq(send(*ret_peer, greeting, sizeof(greeting), 0), sizeof(greeting));
    expect_silence(channel);
    table = dxi_linux;
    table.send = take_nothing;
    table.receive = receive_one_more;
    table.poll = always_readable;
    dxi_os = &table;
    return channel;
}

START_TEST(test_an_endless_flood_does_not_stretch_the_deadline_of_a_send)
{
    int peer;
    dx_channel *channel = open_above_flood(&peer);
    uint64_t start = now_ms();

    ck_assert_int_eq(send_numbered(channel, 0, 60000, 50), -ETIMEDOUT);
    check_elapsed(start, 50);
    start = now_ms();
    ck_assert_int_eq(send_numbered(channel, 0, 60000, DX_NOW), -ETIMEDOUT);
    check_elapsed(start, DX_NOW);
    dx_channel_close(channel);
    close(peer);
}
END_TEST

START_TEST(test_an_endless_message_does_not_stretch_the_deadline_of_a_receive)
{
    int peer;
    dx_channel *channel = open_above_flood(&peer);
    uint64_t start = now_ms();

    endless_flags = DXI_FLAG_MORE;
    expect_error(channel, -ETIMEDOUT, NULL, 50);
    check_elapsed(start, 50);
    start = now_ms();
    expect_error(channel, -ETIMEDOUT, NULL, DX_NOW);
    check_elapsed(start, DX_NOW);
    dx_channel_close(channel);
    close(peer);
}
END_TEST

/*
 * What the trickle says is to come. valgrind and the memory sanitizer look at all the memory that a read
 * may fill, and for each byte: they are given less, but still more than comes in time.
 */
static size_t trickle_size(void)
{
    if (harness_valgrind())
        return 256 * KIB;
    return HARNESS_MSAN ? 4 * MIB : DX_MESSAGE_LIMIT_MAX;
}

/* A message that never ends, byte by byte, as fast as can be. */
static int trickle(int fd, void *context)
{
    uint8_t bytes[2 * DXI_HEADER_SIZE + DXI_HELLO_SIZE] = {0};
    struct dxi_hello hello = {.version = DXI_VERSION, .message_limit = 1000};

    (void)context;
    dxi_store32(bytes, DXI_HELLO_SIZE);
    bytes[4] = DXI_KIND_HELLO;
    dxi_hello_encode(&hello, bytes + DXI_HEADER_SIZE);
    dxi_store32(bytes + DXI_HEADER_SIZE + DXI_HELLO_SIZE, (uint32_t)trickle_size());
    bytes[DXI_HEADER_SIZE + DXI_HELLO_SIZE + 4] = DXI_KIND_MESSAGE;
    for (size_t i = 0; send(fd, i < sizeof(bytes) ? bytes + i : bytes, 1, MSG_NOSIGNAL) == 1; i++)
        ;
    return 0;
}

START_TEST(test_a_trickle_does_not_stretch_the_deadline_of_a_receive)
{
    dx_channel_options options = {.message_limit = DX_MESSAGE_LIMIT_MAX};
    struct child child;

    start_child(&child, DX_STREAM, trickle, NULL);
    dx_channel *channel = channel_to_child(&child, &options);

    for (int i = 0; i < 5; i++) {
        uint64_t start = now_ms();

        expect_error(channel, -ETIMEDOUT, NULL, 50);
        check_elapsed(start, 50);
    }
    kill_child(&child);
    dx_channel_close(channel);
}
END_TEST

/*
 * A kernel in which a sender keeps step with whoever reads, so that a read lasts until it is full, and that
 * has a clock of its own.
 */
static uint64_t step_ns, clock_ns;

static uint64_t tell_time(void)
{
    return clock_ns += 100;
}

static ssize_t receive_in_step(int fd, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    (void)fd;
    arrival->count = 0;
    arrival->lost = arrival->cut = false;
    memset(bytes, 0, size);
    clock_ns += size * step_ns;
    return (ssize_t)size;
}

START_TEST(test_a_sender_that_keeps_step_does_not_stretch_the_deadline_of_a_receive)
{
    static const int deadlines[] = {DX_NOW, 50};
    uint8_t header[DXI_HEADER_SIZE] = {[4] = DXI_KIND_MESSAGE};
    int peer;
    dx_channel *channel = open_above_flood(&peer);
    struct dxi_os table = *dxi_os;

    dxi_store32(header, 200 * MIB);
    dxi_os = &dxi_linux;
    ck_assert_int_eq(send(peer, header, sizeof(header), 0), sizeof(header));
    expect_silence(channel);
    table.receive = receive_in_step;
    table.now_ns = tell_time;
    dxi_os = &table;
    for (step_ns = 20; step_ns <= 2000; step_ns *= 10)
        for (int i = 0; i < 2; i++) {
            uint64_t start_ns = clock_ns;

            expect_error(channel, -ETIMEDOUT, "until the deadline", deadlines[i]);
            ck_assert_uint_le((clock_ns - start_ns) / 1000000, (uint64_t)deadlines[i] + 100);
        }
    dxi_os = &dxi_linux;
    dx_channel_close(channel);
    close(peer);
}
END_TEST

EACH_TYPE(test_a_flood_of_fragments_does_not_stretch_the_deadline_of_a_receive)
{
    struct child child;

    start_child(&child, type, flood, &(bool){true});
    dx_channel *channel = channel_to_child(&child, NULL);

    for (int i = 0; i < 5; i++) {
        uint64_t start = now_ms();

        expect_error(channel, -ETIMEDOUT, NULL, 50);
        check_elapsed(start, 50);
    }
    kill_child(&child);
    dx_channel_close(channel);
}

HARNESS_MAIN("deadlines", OF_EACH_TYPE(test_a_receive_waits_until_the_deadline),
             OF_EACH_TYPE(test_a_send_waits_until_the_deadline),
             OF_EACH_TYPE(test_now_does_not_wait),
             OF_EACH_TYPE(test_a_far_deadline_does_not_come_early),
             OF_EACH_TYPE(test_the_rest_of_a_message_leaves_by_a_flush),
             OF_EACH_TYPE(test_the_rest_of_a_message_leaves_by_a_receive),
             OF_EACH_TYPE(test_the_rest_of_a_message_leaves_by_an_event_loop),
             OF_EACH_TYPE(test_the_rest_of_a_message_leaves_before_the_next),
             OF_EACH_TYPE(test_the_rest_of_a_message_leaves_before_the_end),
             OF_EACH_TYPE(test_the_rest_of_a_message_is_a_copy),
             OF_EACH_TYPE(test_closing_offers_the_rest_once),
             OF_EACH_TYPE(test_a_flood_does_not_stretch_the_deadline_of_a_send),
             TEST(test_an_endless_flood_does_not_stretch_the_deadline_of_a_send),
             TEST(test_an_endless_message_does_not_stretch_the_deadline_of_a_receive),
             TEST(test_a_trickle_does_not_stretch_the_deadline_of_a_receive),
             TEST(test_a_sender_that_keeps_step_does_not_stretch_the_deadline_of_a_receive),
             OF_EACH_TYPE(test_a_flood_of_fragments_does_not_stretch_the_deadline_of_a_receive))
