/* SPDX-License-Identifier: MIT */
/*
 * Processes that exist: who they are, signalling them, and learning how they ended.
 *
 * Everything goes by the pidfd, which names one process for ever. A pid is a number that the kernel
 * gives to somebody else when its process has been reaped.
 */
#include "os/linux.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The headers of older systems lack these; the numbers are the same on all machines. */
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424 /* Linux 5.1 */
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* Linux 5.3 */
#endif
enum { ID_IS_PIDFD = 3 };          /* P_PIDFD of waitid(2), Linux 5.4 */
enum { SIGNAL_TO_GROUP = 1 << 2 }; /* PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9 */

/* PIDFD_GET_INFO of ioctl(2), Linux 6.13; its exit code, Linux 6.15. */
struct pidfd_record {
    uint64_t mask; /* in: what is wanted; out: what is there */
    uint64_t cgroup_id;
    uint32_t ids[11];
    int32_t exit_code; /* as wait(2) has it */
};
#define GET_RECORD _IOWR(0xff, 11, struct pidfd_record)
#define RECORD_HAS_EXIT_CODE ((uint64_t)1 << 3)
enum { RECORD_WAIT_NS = 100 * 1000 * 1000 };

/* As the kernel lays it out; the C library's may have wider times. */
struct kernel_usage {
    struct {
        long seconds, microseconds;
    } user, system;
    long peak_kib;
    long others[13];
};

static int result(long value)
{
    return value < 0 ? -errno : (int)value;
}

pid_t dxi_linux_pid(void)
{
    return getpid();
}

pid_t dxi_linux_parent_pid(void)
{
    return getppid();
}

int dxi_linux_pidfd_open(pid_t pid)
{
    return result(syscall(SYS_pidfd_open, pid, 0)); /* close-on-exec by itself */
}

/* Look at a child's end without reaping it; as waitid(2). */
static int look(int pidfd)
{
    siginfo_t info;
    int error;

    do
        error = result(syscall(SYS_waitid, ID_IS_PIDFD, pidfd, &info,
                               WEXITED | WNOHANG | WNOWAIT | __WALL, NULL));
    while (error == -EINTR);
    return error;
}

/*
 * A number is the child's own, and so is a group's its leader's, as long as it can be waited for.
 */
static int signal_by_number(int pidfd, pid_t number, int signal)
{
    return look(pidfd) < 0 ? -ESRCH : result(kill(number, signal));
}

int dxi_linux_signal(int pidfd, pid_t pid, int signal)
{
    int error = result(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));

    /* Filters of containers say either. A true EPERM is said again. */
    if (error == -ENOSYS || error == -EPERM)
        return signal_by_number(pidfd, pid, signal);
    return error;
}

int dxi_linux_signal_group(int pidfd, pid_t leader, int signal)
{
    int error = result(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, SIGNAL_TO_GROUP));

    /* EINVAL: before Linux 6.9. The number 1 would name everybody. */
    if ((error == -ENOSYS || error == -EPERM || error == -EINVAL) && leader > 1)
        return signal_by_number(pidfd, -leader, signal);
    return error;
}

static uint64_t microseconds(long seconds, long rest)
{
    return (uint64_t)seconds * 1000000U + (uint64_t)rest;
}

/* 1 and the exit code, 0 if it has not been written yet, or an error where there are no records. */
static int ask_record(int pidfd, int *ret)
{
    struct pidfd_record record = {.mask = RECORD_HAS_EXIT_CODE};
    int error = result(ioctl(pidfd, GET_RECORD, &record));

    if (error < 0 || !(record.mask & RECORD_HAS_EXIT_CODE))
        return error;
    *ret = record.exit_code;
    return 1;
}

/*
 * Somebody else took the status. Newer kernels keep a record of it by the pidfd. They write it a
 * moment after the end shows, when the process is taken off the list, of which POLLHUP tells.
 */
static void read_record(int pidfd, struct dxi_ended *ret)
{
    struct pollfd gone = {.fd = pidfd, .events = 0};
    int status = 0;
    int answer = ask_record(pidfd, &status);

    if (answer == 0) {
        dxi_linux_poll(&gone, 1, dxi_linux_now_ns() + RECORD_WAIT_NS);
        answer = ask_record(pidfd, &status);
    }
    if (answer <= 0)
        return;
    ret->known = true;
    if (WIFEXITED(status)) {
        ret->wait_code = CLD_EXITED;
        ret->wait_status = WEXITSTATUS(status);
    } else {
        ret->wait_code = WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED;
        ret->wait_status = WTERMSIG(status);
    }
}

int dxi_linux_reap(int pidfd, struct dxi_ended *ret)
{
    struct kernel_usage usage = {0};
    siginfo_t info = {0};
    int error;

    do
        error = result(syscall(SYS_waitid, ID_IS_PIDFD, pidfd, &info, WEXITED | WNOHANG | __WALL,
                               &usage));
    while (error == -EINTR);
    if (error < 0 && error != -ECHILD)
        return error;
    if (error == 0 && info.si_pid == 0)
        return -EAGAIN;
    *ret = (struct dxi_ended){0};
    if (error == 0) {
        ret->known = true;
        ret->wait_code = info.si_code;
        ret->wait_status = info.si_status;
        ret->user_us = microseconds(usage.user.seconds, usage.user.microseconds);
        ret->system_us = microseconds(usage.system.seconds, usage.system.microseconds);
        ret->peak_memory_bytes = (uint64_t)usage.peak_kib * 1024;
        return 0;
    }
    /* There is nothing to wait for: it has ended and was reaped, or it never was our child. */
    struct pollfd source = {.fd = pidfd, .events = POLLIN};

    if (dxi_linux_poll(&source, 1, 0) == 0)
        return -EAGAIN;
    read_record(pidfd, ret);
    return 0;
}
