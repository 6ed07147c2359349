/* SPDX-License-Identifier: MIT */
/*
 * What the command says to people and to the next program: sentences on standard error, data on
 * standard output. Data is written so that a reader who has stopped reading cannot keep the command
 * from hearing a signal, and so that no write error is lost.
 *
 * It needs libc only, not argp or jansson, because tests/musl builds it too.
 */
#ifndef CLI_CONSOLE_H
#define CLI_CONSOLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Milliseconds on the monotonic clock. */
int64_t console_now_ms(void);

/* Say one sentence on standard error, as "duplex: …" and a newline, in one write. */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);

/*
 * Make sure that descriptors 0, 1 and 2 are open, so that no socket ever gets one of these numbers.
 * A closed standard input becomes an empty one; writing to a closed standard output fails as it
 * should.
 */
void console_secure_descriptors(void);

/* Where something is written, which decides how that is done without blocking. */
typedef enum console_kind {
    CONSOLE_FILE, /* never blocks */
    CONSOLE_PIPE,
    CONSOLE_SOCKET,
    CONSOLE_DEVICE
} console_kind;

typedef struct console_sink {
    int fd;
    console_kind kind;
} console_sink;

/* The descriptor stays the caller's. */
console_sink console_sink_of(int fd);

/*
 * Write what the sink takes without blocking; poll(2) must have said POLLOUT before. The blocking
 * mode of the descriptor, which others share, is left alone. Returns how many bytes it took,
 * perhaps 0, or a negative errno value.
 */
ssize_t console_write_some(const console_sink *sink, const void *data, size_t size);

/*
 * Write all of it to standard output. interrupt_fd, unless it is -1, ends the wait for a reader
 * when it becomes readable; so does the time, unless timeout_ms is negative. Returns 0, -EINTR,
 * -ETIMEDOUT, or the negative errno value of the write that failed.
 */
int console_write(const void *data, size_t size, int interrupt_fd, int timeout_ms);

/*
 * Say on standard error that standard output failed, and return the exit status for it. A reader
 * that has gone (`duplex demo | head`) is no failure to talk about: the status is that of SIGPIPE.
 */
int console_output_failed(int error);

#endif
