/* SPDX-License-Identifier: MIT */
/* Sentences on standard error and data on standard output; see console.h. */
#include "console.h"

#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8 /* Linux 4.14 */
#endif

int64_t console_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void complain(const char *format, ...)
{
    static const char prefix[] = "duplex: ";
    char text[1024];
    size_t used = sizeof(prefix) - 1;
    va_list arguments;
    int added;

    memcpy(text, prefix, used);
    va_start(arguments, format);
    added = vsnprintf(text + used, sizeof(text) - used - 1, format, arguments);
    va_end(arguments);
    if (added > 0)
        used += strlen(text + used);
    text[used++] = '\n';
    /* One write: a sentence never mixes with what the child says there. There is nobody to tell if
     * it fails. */
    if (write(STDERR_FILENO, text, used) < 0)
        return;
}

void console_secure_descriptors(void)
{
    /* Standard output gets /dev/null for reading, so that a write to it fails with EBADF. */
    static const int modes[3] = {O_RDONLY, O_RDONLY, O_RDWR};
    int number;

    for (number = 0; number < 3; number++) {
        if (fcntl(number, F_GETFD) < 0 && errno == EBADF)
            /* The lowest free number is this one. */
            (void)!open("/dev/null", modes[number]);
    }
}

console_sink console_sink_of(int fd)
{
    console_sink sink = {.fd = fd, .kind = CONSOLE_DEVICE};
    struct stat status;

    if (fstat(fd, &status) < 0)
        return sink;
    /* The memory devices are /dev/null and its like. */
    if (S_ISREG(status.st_mode) || (S_ISCHR(status.st_mode) && major(status.st_rdev) == 1))
        sink.kind = CONSOLE_FILE;
    else if (S_ISFIFO(status.st_mode))
        sink.kind = CONSOLE_PIPE;
    else if (S_ISSOCK(status.st_mode))
        sink.kind = CONSOLE_SOCKET;
    return sink;
}

/*
 * After POLLOUT a write to a pipe is sure not to block up to PIPE_BUF bytes, see pipe(7). Since
 * Linux 6.4 it can be asked not to block, and then takes many times as much.
 */
static ssize_t write_to_pipe(int fd, const void *data, size_t size)
{
    const struct iovec part = {.iov_base = (void *)data, .iov_len = size};
    ssize_t written;

    if (size > PIPE_BUF) {
        /* The offset -1, in two words: write where a write would. */
        written = syscall(SYS_pwritev2, fd, &part, 1, -1L, -1L, RWF_NOWAIT);
        if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EPERM))
            return written;
        size = PIPE_BUF;
    }
    return write(fd, data, size);
}

static ssize_t write_once(const console_sink *sink, const void *data, size_t size)
{
    switch (sink->kind) {
    case CONSOLE_FILE:
        return write(sink->fd, data, size);
    case CONSOLE_PIPE:
        return write_to_pipe(sink->fd, data, size);
    case CONSOLE_SOCKET:
        return send(sink->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    case CONSOLE_DEVICE:
    default:
        return write(sink->fd, data, size < PIPE_BUF ? size : PIPE_BUF);
    }
}

ssize_t console_write_some(const console_sink *sink, const void *data, size_t size)
{
    ssize_t written = write_once(sink, data, size);

    if (written >= 0)
        return written;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

int console_write(const void *data, size_t size, int interrupt_fd, int timeout_ms)
{
    int64_t deadline = timeout_ms < 0 ? INT64_MAX : console_now_ms() + timeout_ms;
    const console_sink sink = console_sink_of(STDOUT_FILENO);
    const char *next = data;

    while (size > 0) {
        struct pollfd fds[2] = {
            {.fd = STDOUT_FILENO, .events = POLLOUT},
            {.fd = interrupt_fd, .events = POLLIN},
        };
        int64_t left = timeout_ms < 0 ? -1 : deadline - console_now_ms();
        ssize_t written;

        if (poll(fds, 2, left < 0 && timeout_ms >= 0 ? 0 : (int)left) < 0 && errno != EINTR)
            return -errno;
        if (fds[1].revents)
            return -EINTR;
        if (!fds[0].revents) {
            if (console_now_ms() >= deadline)
                return -ETIMEDOUT;
            continue;
        }
        written = console_write_some(&sink, next, size);
        if (written < 0)
            return (int)written;
        next += written;
        size -= (size_t)written;
    }
    return 0;
}

int console_output_failed(int error)
{
    if (error == -EPIPE)
        return STATUS_SIGNAL + SIGPIPE;
    complain("cannot write to standard output: %s", strerror(-error));
    return STATUS_FAILURE;
}
