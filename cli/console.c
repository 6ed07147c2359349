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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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

/*
 * How much a write may take after POLLOUT without a risk that it blocks: to a pipe that is PIPE_BUF
 * bytes, see pipe(7); a regular file never blocks.
 */
static size_t safe_size(size_t size)
{
    static int regular = -1;
    struct stat status;

    if (regular < 0)
        regular = fstat(STDOUT_FILENO, &status) == 0 && S_ISREG(status.st_mode);
    return regular || size < PIPE_BUF ? size : PIPE_BUF;
}

ssize_t console_write_some(const void *data, size_t size)
{
    ssize_t written = write(STDOUT_FILENO, data, safe_size(size));

    if (written >= 0)
        return written;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

int console_write(const void *data, size_t size, int interrupt_fd, int timeout_ms)
{
    int64_t deadline = timeout_ms < 0 ? INT64_MAX : console_now_ms() + timeout_ms;
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
        written = console_write_some(next, size);
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
