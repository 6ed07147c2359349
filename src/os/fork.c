/* SPDX-License-Identifier: MIT */
/*
 * Starting a function: a child that is a copy of the calling thread.
 *
 * It is made by fork(3) of the C library, which keeps the locks of malloc and stdio whole and runs
 * the handlers of pthread_atfork(3). Parent and child hold a socketpair between them, the gate. The
 * child goes through it only when the parent has a pidfd of it: until then its end, seen by a host
 * that reaps whatever it finds, would free its pid for somebody else. By the gate the child also
 * tells whether it became clean. Other processes may hold copies of its ends, so nobody waits for
 * their closing: it is shut by shutdown(2), and the child tells in words.
 */
#include "os/child.h"
#include "os/linux.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    /* How often a child at the gate looks whether its parent still lives. */
    GATE_LOOK_MS = 1000,
    /* When the system is asked again that refused to wait. */
    AGAIN_NS = 1000 * 1000,
};

/* A word, or a report. As send(2). */
static ssize_t say(int gate, const void *word, size_t size)
{
    ssize_t sent;

    do
        sent = send(gate, word, size, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

static ssize_t hear(int gate, void *word, size_t size, int flags)
{
    ssize_t received;

    do
        received = recv(gate, word, size, flags);
    while (received < 0 && errno == EINTR);
    return received;
}

/* False if the parent shut the gate, or died. */
static bool pass_gate(int gate, pid_t parent)
{
    for (;;) {
        struct pollfd source = {.fd = gate, .events = POLLIN};
        char word;

        if (poll(&source, 1, GATE_LOOK_MS) > 0)
            return hear(gate, &word, sizeof(word), 0) == sizeof(word);
        pid_t now = getppid();

        if (now != parent && now != 0)
            return false;
    }
}

/*
 * What the parent had read or was about to write through stdio stays the parent's. Handlers of
 * atexit(3) are the parent's as well, so only the standard output is flushed at the end.
 */
static int run_clean(const struct dxi_start *start)
{
    __fpurge(stdin);
    __fpurge(stdout);
    int status = start->run(start->context);

    fflush(stdout);
    return status;
}

static _Noreturn void live(const struct dxi_start *start, pid_t parent, int gate)
{
    struct dxi_report report;

    if (!pass_gate(gate, parent))
        _exit(127);
    if (dxi_child_become_clean(start, parent, &gate, &report) == 0 && start->prepare) {
        report.step = DXI_STEP_PREPARE;
        report.error = start->prepare(start->context);
    }
    bool told = say(gate, &report, sizeof(report)) == (ssize_t)sizeof(report);

    if (report.error < 0 || !told)
        _exit(127);
    close(gate);
    dxi_child_unblock_signals();
    _exit(run_clean(start) & 0xff);
}

/*
 * 0 as well if the child was killed before it could tell: then its exit report says what happened. A
 * system that refuses to wait, or to read, for a moment is asked again: until the child has told, it is
 * not clean, and may never be.
 */
static int hear_report(int gate, int pidfd, struct dxi_report *ret)
{
    for (;;) {
        struct pollfd sources[] = {{.fd = gate, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
        int ready = dxi_linux_poll(sources, 2, UINT64_MAX);
        ssize_t heard = hear(gate, ret, sizeof(*ret), MSG_DONTWAIT);

        if (heard == (ssize_t)sizeof(*ret))
            return ret->error;
        /* It has ended, and had nothing to say before. */
        if (heard == 0 || (ready > 0 && (sources[0].revents & POLLIN) == 0))
            return 0;
        dxi_linux_poll(NULL, 0, dxi_linux_now_ns() + AGAIN_NS);
    }
}

/*
 * Where a filter or valgrind knows no pidfd_open(2), a pidfd can only be had from clone(2) itself.
 * Then the C library knows nothing of the copy; in a program with threads its locks may be held for
 * ever.
 */
static pid_t make_copy(int *ret_pidfd)
{
    int probe = dxi_linux_pidfd_open(getpid());
    pid_t pid;

    if (probe >= 0) {
        close(probe);
        pid = fork();
    } else if (probe == -ENOSYS || probe == -EPERM) {
        pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, ret_pidfd, NULL, NULL);
    } else {
        return probe;
    }
    return pid < 0 ? -errno : pid;
}

/* The child stands at the gate. Let it in, or shut it and leave nothing of the child. */
static int settle(int gate, struct dxi_started *ret)
{
    struct dxi_report report = {0};
    char word = 0;
    int error = 0;

    if (ret->pidfd < 0)
        ret->pidfd = dxi_linux_pidfd_open(ret->pid);
    if (ret->pidfd < 0)
        error = ret->pidfd;
    /* EPIPE: it was killed at the gate. */
    else if (say(gate, &word, sizeof(word)) < 0 && errno != EPIPE)
        error = -errno;
    else
        error = hear_report(gate, ret->pidfd, &report);
    if (error < 0) {
        ret->step = report.step;
        ret->step_index = report.index;
        shutdown(gate, SHUT_RDWR);
        dxi_collect(ret->pid, ret->pidfd);
        if (ret->pidfd >= 0)
            close(ret->pidfd);
        ret->pidfd = -1;
    }
    return error;
}

int dxi_linux_fork(const struct dxi_start *start, struct dxi_started *ret)
{
    pid_t parent = getpid();
    struct dxi_signal_set mask;
    int saved_errno = errno;
    int gate[2];
    int error;

    *ret = (struct dxi_started){.pid = -1, .pidfd = -1, .step = DXI_STEP_CLONE};
    /* Whole words: a report is never cut. */
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, gate) < 0) {
        error = -errno;
        errno = saved_errno;
        return error;
    }
    /* A handler of the parent must not run in the child. */
    dxi_block_signals(&mask);
    ret->pid = make_copy(&ret->pidfd);
    if (ret->pid == 0) {
        close(gate[0]);
        live(start, parent, gate[1]);
    }
    error = ret->pid < 0 ? ret->pid : 0;
    dxi_restore_signals(&mask);

    close(gate[1]);
    if (error == 0)
        error = settle(gate[0], ret);
    close(gate[0]);
    errno = saved_errno;
    return error;
}
