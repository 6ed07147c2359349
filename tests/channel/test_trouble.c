/* SPDX-License-Identifier: MIT */
/*
 * What a process meets in the world: signals at any moment, a peer that was stopped, flags of a shared
 * description that somebody flips.
 */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t storms;

static void count_storm(int signal_number)
{
    (void)signal_number;
    storms++;
}

/* A signal each half millisecond, and no system call is restarted after it. */
static void begin_storm(void)
{
    struct sigaction action = {.sa_handler = count_storm};
    /* Where everything takes longer, the program must still get on between two of them. */
    struct timeval gap = {.tv_usec = 500 * slowness()};
    struct itimerval often = {gap, gap};

    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
}

static void end_storm(void)
{
    struct itimerval never = {0};

    setitimer(ITIMER_REAL, &never, NULL);
    ck_assert_int_gt(storms, 0);
}

static int echo(int fd, void *context)
{
    dx_channel *channel = child_channel(fd, context);
    dx_message message;
    int status;

    while ((status = dx_recv(channel, &message, DX_FOREVER)) == 1)
        harness_child_assert(dx_send(channel, message.data, message.size, DX_FOREVER) == 0);
    harness_child_assert(status == 0);
    dx_channel_close(channel);
    return 0;
}

static void stormy_deadline(int timeout_ms, dx_channel *channel, bool sending)
{
    uint64_t start = now_ms();

    if (sending)
        ck_assert_int_eq(send_numbered(channel, 0, 10000, timeout_ms), -ETIMEDOUT);
    else
        expect_error(channel, -ETIMEDOUT, NULL, timeout_ms);
    ck_assert_uint_ge(now_ms() - start + 1, (uint64_t)timeout_ms);
    ck_assert_uint_le(now_ms() - start, (uint64_t)timeout_ms + 100 * (uint64_t)slowness());
}

EACH_TYPE(test_signals_neither_shorten_nor_lengthen_a_wait)
{
    struct pair pair = open_pair(type);

    begin_storm();
    stormy_deadline(20, pair.near, false);
    stormy_deadline(150, pair.near, false);
    fill_outgoing(pair.near, 0, 10000);
    stormy_deadline(20, pair.near, true);
    stormy_deadline(150, pair.near, true);
    end_storm();
    close_pair(&pair);
}

EACH_TYPE(test_signals_do_not_disturb_a_conversation)
{
    struct child child;

    start_child(&child, type, echo, NULL);
    dx_channel *channel = channel_to_child(&child, NULL);

    begin_storm();
    for (unsigned i = 0; i < 2000 / (unsigned)slowness(); i++) {
        size_t size = i % 20 == 0 ? 700000 : i;

        ck_assert_int_eq(send_numbered(channel, i, size, DX_FOREVER), 0);
        expect_numbered(channel, i, size, DX_FOREVER);
    }
    ck_assert_int_eq(dx_channel_end(channel, DX_FOREVER), 0);
    expect_end(channel, DX_FOREVER);
    end_storm();
    dx_channel_close(channel);
    child_ended(&child);
}

EACH_TYPE(test_a_peer_that_was_stopped_is_met_by_the_deadline_and_goes_on_later)
{
    struct child child;
    siginfo_t info;
    unsigned sent = 0;

    start_child(&child, type, echo, NULL);
    dx_channel *channel = channel_to_child(&child, NULL);

    dxi_channel_watch(channel, child.pidfd, false);
    ck_assert_int_eq(send_numbered(channel, 0, 10, DX_FOREVER), 0);
    expect_numbered(channel, 0, 10, DX_FOREVER);
    kill(child.pid, SIGSTOP);
    ck_assert_int_eq(waitid(P_PID, (id_t)child.pid, &info, WSTOPPED), 0);
    uint64_t start = now_ms();

    expect_error(channel, -ETIMEDOUT, NULL, 50);
    while (send_numbered(channel, sent, 50000, 50) == 0)
        sent++;
    ck_assert_uint_ge(sent, 1);
    ck_assert_uint_le(now_ms() - start, 500 * (uint64_t)slowness());
    ck_assert_int_eq(dx_flush(channel, 20), is_pending(channel) ? -ETIMEDOUT : 0);
    kill(child.pid, SIGCONT);
    for (unsigned i = 0; i < sent; i++)
        expect_numbered(channel, i, 50000, DX_FOREVER);
    ck_assert_int_eq(dx_channel_end(channel, DX_FOREVER), 0);
    expect_end(channel, DX_FOREVER);
    dx_channel_close(channel);
    child_ended(&child);
}

struct flipper {
    int fd;
};

/* It holds the very description that the test converses by, as a child that inherited it would. */
static int flip_nonblock(int fd, void *context)
{
    const struct flipper *flipper = context;

    close(fd);
    while (fcntl(flipper->fd, F_SETFL, O_NONBLOCK) == 0)
        harness_child_assert(fcntl(flipper->fd, F_SETFL, 0) == 0);
    return 1;
}

EACH_TYPE(test_somebody_else_may_flip_the_blocking_mode)
{
    struct child echoing, flipping;

    start_child(&echoing, type, echo, NULL);
    struct flipper flipper = {echoing.fd};

    start_child(&flipping, type, flip_nonblock, &flipper);
    dx_channel *channel = channel_to_child(&echoing, NULL);

    for (unsigned i = 0; i < 3000 / (unsigned)slowness(); i++) {
        size_t size = i % 30 == 0 ? 600000 : i;

        ck_assert_int_eq(send_numbered(channel, i, size, DX_FOREVER), 0);
        expect_numbered(channel, i, size, DX_FOREVER);
    }
    uint64_t start = now_ms();

    expect_error(channel, -ETIMEDOUT, NULL, 50);
    ck_assert_uint_ge(now_ms() - start + 1, 50);
    expect_silence(channel);
    kill_child(&flipping);
    ck_assert_int_eq(dx_channel_end(channel, DX_FOREVER), 0);
    expect_end(channel, DX_FOREVER);
    dx_channel_close(channel);
    child_ended(&echoing);
}

/* Set once, either way: a wait must wait, and an immediate call must not. */
EACH_TYPE(test_the_blocking_mode_is_not_relied_upon)
{
    static const int modes[] = {0, O_NONBLOCK};

    for (int i = 0; i < 2; i++) {
        struct pair pair = open_pair(type);

        ck_assert_int_eq(fcntl(dx_channel_fd(pair.near), F_SETFL, modes[i]), 0);
        ck_assert_int_eq(fcntl(dx_channel_fd(pair.far), F_SETFL, modes[i]), 0);
        expect_silence(pair.near);
        uint64_t start = now_ms();

        expect_error(pair.near, -ETIMEDOUT, NULL, 30);
        ck_assert_uint_ge(now_ms() - start + 1, 30);
        fill_outgoing(pair.near, 0, 20000);
        carry(pair.far, pair.near, 1, 700000);
        ck_assert_int_eq(fcntl(dx_channel_fd(pair.near), F_GETFL) & O_NONBLOCK, modes[i]);
        close_pair(&pair);
    }
}

/* SO_RCVTIMEO and SO_SNDTIMEO are the description's too. */
EACH_TYPE(test_timeouts_of_the_socket_are_not_relied_upon)
{
    struct pair pair = open_pair(type);
    struct timeval soon = {0, 1000};

    ck_assert_int_eq(
        setsockopt(dx_channel_fd(pair.near), SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)), 0);
    ck_assert_int_eq(
        setsockopt(dx_channel_fd(pair.near), SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)), 0);
    uint64_t start = now_ms();

    expect_error(pair.near, -ETIMEDOUT, NULL, 50);
    fill_outgoing(pair.near, 0, 10000);
    ck_assert_int_eq(send_numbered(pair.near, 0, 10000, 50), -ETIMEDOUT);
    ck_assert_uint_ge(now_ms() - start + 2, 100);
    close_pair(&pair);
}

/* Shrunk by somebody who shares it, after the channel has measured it. */
EACH_TYPE(test_a_send_buffer_that_shrinks_loses_nothing)
{
    struct pair pair = open_pair(type);
    int small = 8192;

    ck_assert_int_eq(setsockopt(dx_channel_write_fd(pair.near), SOL_SOCKET, SO_SNDBUF, &small,
                                sizeof(small)),
                     0);
    carry(pair.near, pair.far, 1, 1000);
    if (type == DX_STREAM) {
        carry(pair.near, pair.far, 2, MIB);
    } else {
        /* A packet that the kernel will never take: refused in words, not waited for. */
        ck_assert_int_eq(send_numbered(pair.near, 2, 100000, 1000), -EMSGSIZE);
        expect_explained(pair.near, NULL);
    }
    carry(pair.near, pair.far, 3, 1000);
    close_pair(&pair);
}

/* A look for the answer before the sleep must not become a habit where it never pays. */
START_TEST(test_waiting_in_vain_costs_little_processor_time)
{
    if (slowness() > 1)
        HARNESS_SKIP("times say little here");
    struct pair pair = open_pair(DX_STREAM);
    struct timespec before, after;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    for (int i = 0; i < 500; i++)
        expect_error(pair.near, -ETIMEDOUT, NULL, 1);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    double used =
        (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;

    ck_assert_msg(used < 0.1, "500 waits of 1 ms used %.3f s of processor time", used);
    close_pair(&pair);
}
END_TEST

HARNESS_MAIN("trouble", OF_EACH_TYPE(test_signals_neither_shorten_nor_lengthen_a_wait),
             OF_EACH_TYPE(test_signals_do_not_disturb_a_conversation),
             OF_EACH_TYPE(test_a_peer_that_was_stopped_is_met_by_the_deadline_and_goes_on_later),
             OF_EACH_TYPE(test_somebody_else_may_flip_the_blocking_mode),
             OF_EACH_TYPE(test_the_blocking_mode_is_not_relied_upon),
             OF_EACH_TYPE(test_timeouts_of_the_socket_are_not_relied_upon),
             OF_EACH_TYPE(test_a_send_buffer_that_shrinks_loses_nothing),
             TEST(test_waiting_in_vain_costs_little_processor_time))
