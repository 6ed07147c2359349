/* SPDX-License-Identifier: MIT */
/*
 * Many descriptors at once: epoll(7), where poll(2) would look at each of them in each wait. And what
 * a pool asks of the system besides: processors, the size of a process, a clock that costs nothing.
 */
#include "os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 64,
    /* As many as the largest machines have; the kernel refuses a set that is too small for its own. */
    PROCESSORS_MAX = 8192,
};

int dxi_linux_watch_open(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* The events of poll(2) and of epoll(7) have the same bits. */
int dxi_linux_watch(int watch_fd, int fd, unsigned before, unsigned events, uint64_t key)
{
    struct epoll_event event = {.events = events, .data = {.u64 = key}};
    int operation = before == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

    if (before == events)
        return 0;
    return epoll_ctl(watch_fd, operation, fd, &event) < 0 ? -errno : 0;
}

/* In milliseconds, because epoll_pwait2(2) came with Linux 5.11: never less than what is left. */
static int timeout_until(uint64_t deadline_ns)
{
    if (deadline_ns == UINT64_MAX)
        return -1;
    if (deadline_ns == 0)
        return 0;
    uint64_t now = dxi_linux_now_ns();
    uint64_t left = deadline_ns > now ? (deadline_ns - now + 999999) / 1000000 : 0;

    return left < INT_MAX ? (int)left : INT_MAX;
}

int dxi_linux_watched(int watch_fd, struct dxi_event *ret, size_t count, uint64_t deadline_ns)
{
    struct epoll_event events[EVENTS_MAX];
    int most = count < EVENTS_MAX ? (int)count : EVENTS_MAX;
    int ready;

    do {
        ready = epoll_wait(watch_fd, events, most, timeout_until(deadline_ns));
    } while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return -errno;
    for (int i = 0; i < ready; i++)
        ret[i] = (struct dxi_event){.key = events[i].data.u64, .events = events[i].events};
    return ready;
}

unsigned dxi_linux_processors(void)
{
    cpu_set_t set[PROCESSORS_MAX / CPU_SETSIZE];
    int count = sched_getaffinity(0, sizeof(set), set) < 0 ? 0 : CPU_COUNT_S(sizeof(set), set);

    return count > 0 ? (unsigned)count : 1;
}

int dxi_linux_resident(pid_t pid, uint64_t *ret_bytes)
{
    char text[128];

    snprintf(text, sizeof(text), "/proc/%d/statm", (int)pid);
    int fd = open(text, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    int error = size < 0 ? -errno : 0;

    close(fd);
    if (error < 0)
        return error;
    text[size] = '\0';
    /* "size resident shared …", in pages. */
    char *second = strchr(text, ' ');

    if (second == NULL)
        return -EIO;
    *ret_bytes = (uint64_t)strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}
