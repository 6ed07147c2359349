/* SPDX-License-Identifier: MIT */
/*
 * What all peers have in common: where a side runs, the time it uses, the order of a child's
 * phases, the numbers in the messages, and the pair of processes that a program makes by hand.
 */
#include "peers/peer.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double clock_seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void trial_fails(const struct trial *trial, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(trial->figures->failure, sizeof(trial->figures->failure), format, arguments);
    va_end(arguments);
}

double side_cpu(void)
{
    return clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

double side_now(void)
{
    return clock_seconds(CLOCK_MONOTONIC);
}

/* The number of the allowed CPU at this place in their order, or -1. */
static int allowed_cpu(const cpu_set_t *allowed, int place)
{
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, allowed) && place-- == 0)
            return cpu;
    }
    return -1;
}

/* The set as it was before anything was pinned: a child inherits that of a pinned parent. */
static cpu_set_t allowed_at_start;
static bool allowed_known;

/* The CPUs where a side runs. 0 or a negative errno. */
static int places(enum placement placement, bool child, cpu_set_t *ret)
{
    int cpu;

    if (!allowed_known) {
        if (sched_getaffinity(0, sizeof(allowed_at_start), &allowed_at_start) < 0)
            return -errno;
        allowed_known = true;
    }
    *ret = allowed_at_start;
    if (placement == PLACEMENT_FREE)
        return 0;
    cpu = allowed_cpu(&allowed_at_start, child && placement == PLACEMENT_PINNED);
    if (cpu < 0)
        return -ENODEV;
    CPU_ZERO(ret);
    CPU_SET(cpu, ret);
    return 0;
}

int side_place(enum placement placement, bool child)
{
    cpu_set_t wanted;
    int error = places(placement, child, &wanted);

    if (error < 0)
        return error;
    return sched_setaffinity(0, sizeof(wanted), &wanted) < 0 ? -errno : 0;
}

int side_place_process(enum placement placement, pid_t child)
{
    char path[64];
    cpu_set_t wanted;
    struct dirent *entry;
    DIR *threads;
    int error = places(placement, true, &wanted);

    if (error < 0)
        return error;
    snprintf(path, sizeof(path), "/proc/%d/task", child);
    threads = opendir(path);
    if (!threads)
        return -errno;
    while ((entry = readdir(threads)) != NULL && error == 0) {
        int thread = atoi(entry->d_name);

        if (thread > 0 && sched_setaffinity(thread, sizeof(wanted), &wanted) < 0 && errno != ESRCH)
            error = -errno;
    }
    closedir(threads);
    return error;
}

int side_serve(const struct trial *trial, side_phase phase, void *end)
{
    double before;
    int error = side_place(trial->task.placement, true);

    if (error < 0)
        return error;
    error = phase(end, &trial->task, trial->task.warm_up);
    if (error < 0)
        return error;
    before = side_cpu();
    error = phase(end, &trial->task, trial->task.count);
    trial->figures->child_cpu = side_cpu() - before;
    return error;
}

int scan_piece(struct scan *scan, const unsigned char *bytes, size_t size)
{
    while (size > 0) {
        size_t part = scan->size - scan->offset;

        if (part > size)
            part = size;
        if (scan->offset == 0 && bytes[0] != (unsigned char)scan->number)
            return -EBADMSG;
        scan->offset += part;
        if (scan->offset == scan->size) {
            if (bytes[part - 1] != (unsigned char)scan->number)
                return -EBADMSG;
            scan->offset = 0;
            scan->number++;
        }
        bytes += part;
        size -= part;
    }
    return 0;
}

static int set_buffers(const int fds[2], int size)
{
    for (int i = 0; i < 2; i++) {
        if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)
            return -errno;
    }
    return 0;
}

pid_t hand_made_fork(void)
{
    pid_t parent = getpid();
    pid_t child = fork();

    /* So that a benchmark that is killed leaves nothing behind. */
    if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
        _exit(1);
    return child;
}

int hand_made_reap(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECONNABORTED;
}

int hand_made_open(struct hand_made *ret, int socket_type, int socket_buffer,
                   int (*child)(int fd, const struct trial *trial), const struct trial *trial)
{
    int fds[2];
    int error = 0;

    if (socketpair(AF_UNIX, socket_type | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    if (socket_buffer > 0)
        error = set_buffers(fds, socket_buffer);
    if (error == 0) {
        ret->child = hand_made_fork();
        if (ret->child < 0)
            error = -errno;
    }
    if (error < 0) {
        close(fds[0]);
        close(fds[1]);
        return error;
    }
    if (ret->child == 0) {
        close(fds[0]);
        _exit(child(fds[1], trial) < 0);
    }
    close(fds[1]);
    ret->fd = fds[0];
    return 0;
}

int hand_made_close(struct hand_made *pair)
{
    close(pair->fd);
    return hand_made_reap(pair->child);
}

int write_all(int fd, const void *bytes, size_t size)
{
    const char *place = bytes;

    while (size > 0) {
        ssize_t written = write(fd, place, size);

        if (written < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        place += written;
        size -= (size_t)written;
    }
    return 0;
}

int read_all(int fd, void *bytes, size_t size)
{
    char *place = bytes;

    while (size > 0) {
        ssize_t got = read(fd, place, size);

        if (got < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (got == 0)
            return -EPIPE;
        place += got;
        size -= (size_t)got;
    }
    return 0;
}

void await_end_of(int fd)
{
    char byte;

    while (read_all(fd, &byte, 1) == 0)
        ;
}
