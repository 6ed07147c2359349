/* SPDX-License-Identifier: MIT */
/*
 * The conversation as it is seen on its way, a line for each message, for people to read:
 *
 *   --> 2026-01-31T12:00:00.000123Z 6 hello\n     to the program: when, how many bytes, which
 *   <-- 2026-01-31T12:00:00.000456Z 6 HELLO\n     from the program
 *
 * It never holds the conversation up: what its file does not take is kept, up to a bound, and what
 * is beyond that is left out and counted; when the file fails, that is said once and it ends.
 */
#ifndef CLI_TRACE_H
#define CLI_TRACE_H

#include "console.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

typedef enum trace_direction { TRACE_TO_CHILD, TRACE_FROM_CHILD } trace_direction;

#define TRACE_TEXT_MAX 800  /* bytes of a message that are shown; escaped, four times as long */
#define TRACE_LINE_MAX 4096 /* PIPE_BUF: written to a pipe, lines of several writers do not mix */
#define TRACE_QUEUE_SIZE 65536

/* A line of text that is still coming. */
typedef struct trace_part {
    unsigned char text[TRACE_TEXT_MAX];
    size_t size; /* all of it, of which text holds the beginning */
    struct timespec began;
    int64_t began_ms;
} trace_part;

/* All-zero is a trace that is off: all of the functions below do nothing then. */
typedef struct trace {
    bool on;
    bool ours; /* the descriptor is to be closed */
    console_sink sink;
    trace_part parts[2]; /* by trace_direction */
    char *queue;
    size_t queue_start;
    size_t queue_end;
    unsigned long long left_out;
} trace;

/*
 * Begin: "-" is standard error, anything else a file to add to. Returns 0 or a negative errno
 * value.
 */
int trace_open(trace *self, const char *file);

/* A whole message. */
void trace_message(trace *self, trace_direction direction, const void *data, size_t size);

/* Bytes as they came, which are shown by the line, and when they pause. */
void trace_bytes(trace *self, trace_direction direction, const void *data, size_t size);

/* The end of a direction. */
void trace_end(trace *self, trace_direction direction);

/* Something about the conversation: "--- TIME …". */
__attribute__((format(printf, 2, 3))) void trace_remark(trace *self, const char *format, ...);

/* For poll(2): the descriptor to wait for with POLLOUT, or -1; and how long, or -1. */
int trace_fd(const trace *self);
int trace_timeout_ms(const trace *self);

/* Write what is kept, as far as that goes without waiting, and show lines that have paused. */
void trace_process(trace *self);

/* Write what is kept, waiting for a moment if need be, and let go. */
void trace_close(trace *self);

#endif
