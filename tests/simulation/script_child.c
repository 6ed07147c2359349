/* SPDX-License-Identifier: MIT */
/*
 * Children of Linux and of the simulated kernel: made, waited for, signalled, reaped, in the same steps.
 */
#include "script.h"

#include "kernel.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum deed {
    DEED_EXIT,
    DEED_WAIT_FOR_END, /* of its socket, and exit */
    DEED_SLEEP,        /* until it is killed */
    DEED_FAIL_TO_PREPARE,
    DEEDS
};

enum { CHILD_NUMBER = 3 };

/* A child of one of the kernels, and what it is to do there. */
struct child_of {
    const struct dxi_os *os;
    enum deed deed;
    int code;
    int type;
    int fd; /* our end of its socket */
    struct dxi_started started;
};

static struct child_of real, made;
static struct randomness plan;

static void same(const char *what, long by_linux, long simulated)
{
    world_say("%s: %ld", what, by_linux);
    world_check(by_linux == simulated, "%s: Linux says %ld, and the simulation %ld", what, by_linux,
                simulated);
}

static int prepare(void *context)
{
    const struct child_of *self = *(struct child_of **)context;

    return self->deed == DEED_FAIL_TO_PREPARE ? -ENOTTY : 0;
}

static int live(void *context)
{
    const struct child_of *self = *(struct child_of **)context;
    struct pollfd polled = {.fd = CHILD_NUMBER, .events = POLLRDHUP};

    if (self->deed == DEED_SLEEP)
        self->os->poll(NULL, 0, UINT64_MAX);
    if (self->deed == DEED_WAIT_FOR_END)
        self->os->poll(&polled, 1, UINT64_MAX);
    self->os->close(CHILD_NUMBER);
    return self->code;
}

static int start(struct child_of *child)
{
    struct child_of *context = child;
    struct dxi_descriptor_move moves[4];
    struct dxi_start start = {.descriptors = moves,
                              .descriptor_count = 4,
                              .group = DXI_GROUP_NEW,
                              .prepare = prepare,
                              .run = live,
                              .context = (void *)&context};
    int fds[2];
    int error = child->os->socketpair(child->type, fds);

    if (error < 0)
        return error;
    for (int i = 0; i < 3; i++)
        moves[i] = (struct dxi_descriptor_move){.fd = i, .target = i};
    moves[3] = (struct dxi_descriptor_move){.fd = fds[1], .target = CHILD_NUMBER};
    child->fd = fds[0];
    error = child->os->fork(&start, &child->started);
    child->os->close(fds[1]);
    return error;
}

static void compare_poll(const char *what, uint64_t deadline_ns)
{
    struct pollfd by_linux = {.fd = real.started.pidfd, .events = POLLIN};
    struct pollfd simulated = {.fd = made.started.pidfd, .events = POLLIN};

    same(what, real.os->poll(&by_linux, 1, deadline_ns), made.os->poll(&simulated, 1, deadline_ns));
    same("its events", by_linux.revents, simulated.revents);
}

static void compare_signal(int number)
{
    bool group = random_one_in(&plan, 3);

    if (group)
        same("signal_group", real.os->signal_group(real.started.pidfd, real.started.pid, number),
             made.os->signal_group(made.started.pidfd, made.started.pid, number));
    else
        same("signal", real.os->signal(real.started.pidfd, real.started.pid, number),
             made.os->signal(made.started.pidfd, made.started.pid, number));
}

static void compare_reap(const char *what)
{
    struct dxi_ended by_linux = {0}, simulated = {0};
    int status = real.os->reap(real.started.pidfd, &by_linux);

    same(what, status, made.os->reap(made.started.pidfd, &simulated));
    if (status < 0)
        return;
    same("known", by_linux.known, simulated.known);
    same("its code", by_linux.wait_code, simulated.wait_code);
    same("its status", by_linux.wait_status, simulated.wait_status);
}

static void compare_end_of_socket(void)
{
    struct dxi_arrival by_linux = {0}, simulated = {0};
    char bytes[8];

    for (int i = 0; i < 2; i++)
        same("receive", real.os->receive(real.fd, bytes, sizeof(bytes), &by_linux),
             made.os->receive(made.fd, bytes, sizeof(bytes), &simulated));
}

static void close_all(void)
{
    same("close", real.os->close(real.fd), made.os->close(made.fd));
    same("close", real.os->close(real.started.pidfd), made.os->close(made.started.pidfd));
}

/* What the child's own socket says, and to have it say more: bytes that it will not read. */
static void speak(void)
{
    const struct iovec part = {.iov_base = (char[]){'x'}, .iov_len = 1};

    if (random_one_in(&plan, 2))
        same("send", real.os->send(real.fd, &part, 1, NULL, 0),
             made.os->send(made.fd, &part, 1, NULL, 0));
}

static void perform(void *context)
{
    int error;

    (void)context;
    error = start(&real);
    same("fork", error, start(&made));
    if (error < 0) {
        same("its step", real.started.step, made.started.step);
        same("close", real.os->close(real.fd), made.os->close(made.fd));
        return;
    }
    if (real.deed != DEED_EXIT) {
        speak();
        compare_poll("poll of one that runs", 0);
        compare_reap("reap of one that runs");
        compare_signal(0);
    }
    if (real.deed == DEED_WAIT_FOR_END)
        same("shutdown", real.os->shutdown(real.fd, SHUT_WR), made.os->shutdown(made.fd, SHUT_WR));
    if (real.deed == DEED_SLEEP)
        compare_signal(random_one_in(&plan, 2) ? SIGTERM : SIGKILL);
    compare_poll("poll of one that ends", UINT64_MAX);
    compare_end_of_socket();
    compare_signal(0);
    compare_reap("reap of one that has ended");
    compare_poll("poll of one that is reaped", 0);
    compare_signal(SIGTERM);
    close_all();
}

const char *script_run_child(uint64_t seed, const struct script_kernel *linux_kernel, bool traced)
{
    struct world_options calm = {.old = linux_kernel->old, .switch_one_in = 3};
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

    plan.state = seed;
    real = (struct child_of){.os = &dxi_linux, .started.pidfd = -1, .fd = -1};
    /* The end of datagrams is told by nobody. */
    real.deed = (enum deed)random_below(&plan, DEEDS);
    real.type = types[random_below(&plan, real.deed == DEED_WAIT_FOR_END ? 2 : 3)];
    real.code = (int)random_below(&plan, 256);
    made = real;
    made.os = &simulated_os;
    struct world_history history = world_run(seed, &calm, perform, NULL, traced);

    if (history.failure != NULL && real.started.pidfd >= 0) {
        struct dxi_ended ended;

        dxi_linux.signal(real.started.pidfd, real.started.pid, SIGKILL);
        dxi_linux.poll(&(struct pollfd){.fd = real.started.pidfd, .events = POLLIN}, 1, UINT64_MAX);
        dxi_linux.reap(real.started.pidfd, &ended);
        dxi_linux.close(real.started.pidfd);
        dxi_linux.close(real.fd);
    }
    return history.failure;
}
