/* SPDX-License-Identifier: MIT */
/*
 * Channels over what is no socketpair: two pipes, FIFOs, two sockets, TCP, a socket one way and a
 * pipe the other. They keep the same promises.
 */
#include "media.h"
#include "meter.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

EACH_MEDIUM(test_every_size_arrives_whole)
{
    static const size_t sizes[] = {0,     1,     100,      4079,    4080,        4096,
                                   65519, 65536, 70 * KIB, MIB + 3, 3 * MIB + 77};
    struct pair pair = open_over(medium);

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        carry(pair.near, pair.far, i, sizes[i]);
        carry(pair.far, pair.near, i + 100, sizes[i]);
    }
    close_pair(&pair);
}

EACH_MEDIUM(test_a_kernel_that_takes_and_gives_little_loses_nothing)
{
    meter_install();
    struct pair pair = open_over(medium);

    meter.send_at_most = 7;
    meter.receive_at_most = 5;
    for (unsigned i = 0; i < 20; i++)
        carry(pair.near, pair.far, i, i * 37);
    close_pair(&pair);
}

/* A child on the far ends; handles do not survive the fork. */
struct far {
    pid_t pid;
    dx_channel *channel;
};

static struct far start_far(enum medium medium, int (*body)(dx_channel *near))
{
    struct line line = open_line(medium);
    struct far far = {.pid = fork()};

    ck_assert_int_ge(far.pid, 0);
    if (far.pid == 0) {
        dx_channel *channel = NULL;

        close(line.near[0]);
        close(line.near[1]);
        dxi_os = &dxi_linux;
        harness_child_assert(dx_channel_attach(&channel, line.far[0], line.far[1], NULL) == 0);
        int status = body(channel);

        dx_channel_close(channel);
        _exit(status);
    }
    close(line.far[0]);
    if (line.far[1] != line.far[0])
        close(line.far[1]);
    far.channel = attach_line(line.near, NULL);
    return far;
}

static void far_ended(struct far *far)
{
    int status;

    ck_assert_int_eq(waitpid(far->pid, &status, 0), far->pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned)status);
    far->channel = dx_channel_close(far->channel);
}

enum { CROSSING = 40 };
#define CROSSING_SIZE (100 * KIB)

static int send_first(dx_channel *channel)
{
    dx_message message;

    for (unsigned i = 0; i < CROSSING; i++)
        harness_child_assert(send_numbered(channel, i, CROSSING_SIZE, DX_FOREVER) == 0);
    for (unsigned i = 0; i < CROSSING; i++) {
        harness_child_assert(dx_recv(channel, &message, DX_FOREVER) == 1);
        harness_child_assert(is_numbered(&message, 1000 + i, CROSSING_SIZE));
    }
    return 0;
}

EACH_MEDIUM(test_two_sides_that_send_everything_first_do_not_deadlock)
{
    struct far far = start_far(medium, send_first);

    for (unsigned i = 0; i < CROSSING; i++)
        ck_assert_int_eq(send_numbered(far.channel, 1000 + i, CROSSING_SIZE, DX_FOREVER), 0);
    for (unsigned i = 0; i < CROSSING; i++)
        expect_numbered(far.channel, i, CROSSING_SIZE, DX_FOREVER);
    expect_end(far.channel, DX_FOREVER);
    far_ended(&far);
}

EACH_MEDIUM(test_deadlines_are_not_stretched)
{
    struct pair pair = open_over(medium);
    uint64_t start = now_ms();
    dx_message message;
    unsigned count = 0;

    ck_assert_int_eq(dx_recv(pair.near, &message, 60), -ETIMEDOUT);
    ck_assert_uint_ge(now_ms() - start, 59);
    while (send_numbered(pair.near, count, 10 * KIB, DX_NOW) == 0)
        ck_assert_uint_lt(++count, 100000);
    start = now_ms();
    ck_assert_int_eq(send_numbered(pair.near, count, 10 * KIB, 60), -ETIMEDOUT);
    ck_assert_uint_ge(now_ms() - start, 59);
    ck_assert_uint_le(now_ms() - start, 400 * (uint64_t)slowness());
    /* Nothing is lost or repeated by it. */
    for (unsigned i = 0; i < count; i++) {
        int status;

        while ((status = dx_recv(pair.far, &message, DX_NOW)) == -ETIMEDOUT)
            ck_assert_int_eq(dx_channel_process(pair.near), 0);
        ck_assert_int_eq(status, 1);
        ck_assert(is_numbered(&message, i, 10 * KIB));
    }
    expect_silence(pair.far);
    close_pair(&pair);
}

EACH_MEDIUM(test_a_direction_that_has_ended_leaves_the_other_open)
{
    struct pair pair = open_over(medium);

    carry(pair.near, pair.far, 0, 10);
    ck_assert_int_eq(send_numbered(pair.near, 1, 10, DX_NOW), 0);
    ck_assert_int_eq(dx_channel_end(pair.near, DX_NOW), 0);
    ck_assert_int_eq(dx_channel_end(pair.near, DX_NOW), 0);
    ck_assert_int_eq(dx_send(pair.near, "x", 1, DX_NOW), -ESHUTDOWN);
    expect_numbered(pair.far, 1, 10, DX_FOREVER);
    expect_end(pair.far, DX_FOREVER);
    expect_end(pair.far, DX_NOW);
    carry(pair.far, pair.near, 2, 200 * KIB);
    ck_assert_int_eq(dx_flush(pair.near, DX_NOW), 0);
    ck_assert_int_eq(dx_channel_events(pair.near), POLLIN);
    ck_assert_int_eq(dx_channel_end(pair.far, DX_NOW), 0);
    expect_end(pair.near, DX_FOREVER);
    close_pair(&pair);
}

START_TEST(test_a_pipe_is_closed_to_say_the_end)
{
    struct pair pair = open_over(PIPES);
    size_t open = harness_open_descriptors();
    int fd = dx_channel_write_fd(pair.near);

    ck_assert_int_ne(fd, dx_channel_fd(pair.near));
    ck_assert_int_eq(dx_channel_end(pair.near, DX_NOW), 0);
    ck_assert_uint_eq(harness_open_descriptors(), open - 1);
    ck_assert(!is_open(fd));
    ck_assert_int_eq(dx_channel_write_fd(pair.near), -ESHUTDOWN);
    /* Its number is somebody else's now, and stays untouched. */
    int other = make_note(7);

    ck_assert_int_eq(other, fd);
    ck_assert_int_eq(dx_channel_process(pair.near), 0);
    expect_silence(pair.near);
    ck_assert_int_eq(dx_channel_end(pair.near, DX_NOW), 0);
    close_pair(&pair);
    ck_assert(is_note(other, 7));
    close(other);
}
END_TEST

static void *receive_one(void *context)
{
    dx_channel *channel = context;
    dx_message message;
    int status = dx_recv(channel, &message, DX_FOREVER);

    return status == 1 && is_numbered(&message, 5, 50) ? context : NULL;
}

/* A thread sleeps in dx_recv() while this one closes the pipe that it might be polling, too. */
EACH_MEDIUM(test_an_end_is_said_while_another_thread_receives)
{
    struct pair pair = open_over(medium);
    pthread_t receiver;
    void *got;

    (void)numbered_payload(5, 50);
    ck_assert_int_eq(pthread_create(&receiver, NULL, receive_one, pair.near), 0);
    sleep_ms(20);
    fill_outgoing(pair.near, 0, 10 * KIB);
    /* The rest leaves while the receiver watches, and then the end is said. */
    for (int status = -ETIMEDOUT; status != 0;) {
        dx_message message;

        status = dx_channel_end(pair.near, DX_NOW);
        while (dx_recv(pair.far, &message, DX_NOW) == 1)
            continue;
    }
    for (dx_message message; dx_recv(pair.far, &message, 4000) == 1;)
        continue;
    expect_end(pair.far, DX_NOW);
    ck_assert_int_eq(send_numbered(pair.far, 5, 50, DX_FOREVER), 0);
    ck_assert_int_eq(pthread_join(receiver, &got), 0);
    ck_assert_ptr_eq(got, pair.near);
    close_pair(&pair);
}

static int say_and_die(dx_channel *channel)
{
    for (unsigned i = 0; i < 3; i++)
        harness_child_assert(send_numbered(channel, i, 10 * KIB, DX_FOREVER) == 0);
    kill(getpid(), SIGKILL);
    return 1;
}

/* What a dead end has not read makes TCP forget what it had sent: it reads our greeting. */
static int hear_say_and_die(dx_channel *channel)
{
    dx_message message;

    while (atomic_load(&channel->peer_limit) == 0)
        harness_child_assert(dx_recv(channel, &message, 10) == -ETIMEDOUT);
    return say_and_die(channel);
}

EACH_MEDIUM(test_a_peer_that_was_killed_is_received_to_its_end)
{
    struct far far = start_far(medium, medium == TCP ? hear_say_and_die : say_and_die);
    siginfo_t info;

    /* TCP forgets with it what it had brought; it may have died already. */
    if (medium != TCP) {
        int status = send_numbered(far.channel, 9, 100, DX_FOREVER);

        ck_assert(status == 0 || status == -EPIPE);
    }
    ck_assert_int_eq(waitid(P_PID, (id_t)far.pid, &info, WEXITED), 0);
    for (unsigned i = 0; i < 3; i++)
        expect_numbered(far.channel, i, 10 * KIB, DX_FOREVER);
    expect_end(far.channel, DX_FOREVER);
    dx_channel_close(far.channel);
}

EACH_MEDIUM(test_collected_messages_leave_in_one_call)
{
    meter_install();
    struct pair pair = open_over(medium);

    carry(pair.near, pair.far, 0, 1);
    meter_restart();
    ck_assert_int_eq(dx_cork(pair.near), 0);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(send_numbered(pair.near, i, 10, DX_FOREVER), 0);
    ck_assert_int_eq(dx_flush(pair.near, DX_FOREVER), 0);
    ck_assert_uint_eq(meter.count[CALL_WRITE] + meter.count[CALL_SEND], 1);
    for (unsigned i = 0; i < 100; i++)
        expect_numbered(pair.far, i, 10, DX_FOREVER);
    close_pair(&pair);
}

/* By an event loop with nothing but the two descriptors. */
EACH_MEDIUM(test_a_loop_moves_what_is_pending)
{
    struct pair pair = open_over(medium);
    /* TCP takes much in one go. */
    size_t size = medium == TCP ? 15 * MIB : MIB;
    dx_message message;
    int status;

    ck_assert_int_eq(send_numbered(pair.near, 1, size, DX_NOW), 0);
    ck_assert_int_ne(dx_channel_events(pair.near) & POLLOUT, 0);
    while ((status = dx_recv(pair.far, &message, DX_NOW)) == -ETIMEDOUT) {
        struct pollfd polled[2] = {
            {.fd = dx_channel_write_fd(pair.near), .events = POLLOUT},
            {.fd = dx_channel_fd(pair.far), .events = POLLIN},
        };

        ck_assert_int_ge(poll(polled, 2, 5000), 1);
        dx_channel_process(pair.near);
    }
    ck_assert_int_eq(status, 1);
    ck_assert(is_numbered(&message, 1, size));
    ck_assert_int_eq(dx_channel_events(pair.near), POLLIN);
    close_pair(&pair);
}

HARNESS_MAIN("pipes", OF_EACH_MEDIUM(test_every_size_arrives_whole),
             OF_EACH_MEDIUM(test_a_kernel_that_takes_and_gives_little_loses_nothing),
             OF_EACH_MEDIUM(test_two_sides_that_send_everything_first_do_not_deadlock),
             OF_EACH_MEDIUM(test_deadlines_are_not_stretched),
             OF_EACH_MEDIUM(test_a_direction_that_has_ended_leaves_the_other_open),
             TEST(test_a_pipe_is_closed_to_say_the_end),
             OF_EACH_MEDIUM(test_an_end_is_said_while_another_thread_receives),
             OF_EACH_MEDIUM(test_a_peer_that_was_killed_is_received_to_its_end),
             OF_EACH_MEDIUM(test_collected_messages_leave_in_one_call),
             OF_EACH_MEDIUM(test_a_loop_moves_what_is_pending))
