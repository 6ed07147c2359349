/* SPDX-License-Identifier: MIT */
/* A conversation, written down; see trace.h. */
#include "trace.h"

#include "escape.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PAUSE_MS = 100, /* a line without its end is shown after so long */
    CLOSE_MS = 250  /* so long a reader may take for the rest */
};

static const char *const arrows[] = {[TRACE_TO_CHILD] = "-->", [TRACE_FROM_CHILD] = "<--"};

int trace_open(trace *self, const char *file)
{
    int fd = STDERR_FILENO;

    *self = (trace){.on = true, .ours = strcmp(file, "-") != 0};
    /* Conversations hold secrets. O_NONBLOCK is for a FIFO that nobody reads. */
    if (self->ours)
        fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    self->queue = fd < 0 ? NULL : malloc(TRACE_QUEUE_SIZE);
    if (!self->queue) {
        int error = fd < 0 ? -errno : -ENOMEM;

        if (self->ours && fd >= 0)
            close(fd);
        *self = (trace){0};
        return error;
    }
    self->sink = console_sink_of(fd);
    return 0;
}

static void turn_off(trace *self)
{
    if (self->ours)
        close(self->sink.fd);
    free(self->queue);
    self->queue = NULL;
    self->queue_start = self->queue_end = 0;
    self->on = false;
}

/* The size of what leaves in one write: whole lines, as many as do not mix with others'. */
static size_t portion(const trace *self)
{
    const char *start = self->queue + self->queue_start;
    size_t size = self->queue_end - self->queue_start;
    const char *newline;

    if (self->sink.kind == CONSOLE_FILE || size <= TRACE_LINE_MAX)
        return size;
    newline = memrchr(start, '\n', TRACE_LINE_MAX);
    return newline ? (size_t)(newline + 1 - start) : TRACE_LINE_MAX;
}

static void write_kept(trace *self)
{
    while (self->on && self->queue_start < self->queue_end) {
        struct pollfd source = {.fd = self->sink.fd, .events = POLLOUT};
        ssize_t written;

        if (self->sink.kind != CONSOLE_FILE && poll(&source, 1, 0) <= 0)
            return;
        written = console_write_some(&self->sink, self->queue + self->queue_start, portion(self));
        if (written == 0)
            return;
        if (written < 0) {
            bool told = written == -EPIPE;

            turn_off(self);
            if (!told)
                complain("cannot write the trace, and goes on without: %s",
                         strerror((int)-written));
            return;
        }
        self->queue_start += (size_t)written;
    }
    self->queue_start = self->queue_end = 0;
}

/* Keep a line if there is room for it. */
static bool keep(trace *self, const char *line, size_t size)
{
    if (self->queue_end + size > TRACE_QUEUE_SIZE && self->queue_start > 0) {
        memmove(self->queue, self->queue + self->queue_start, self->queue_end - self->queue_start);
        self->queue_end -= self->queue_start;
        self->queue_start = 0;
    }
    if (self->queue_end + size > TRACE_QUEUE_SIZE)
        return false;
    memcpy(self->queue + self->queue_end, line, size);
    self->queue_end += size;
    return true;
}

static size_t format_time(char *text, size_t size, const struct timespec *when)
{
    struct tm parts;
    size_t used;

    gmtime_r(&when->tv_sec, &parts);
    used = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &parts);
    return used + (size_t)snprintf(text + used, size - used, ".%06ldZ", when->tv_nsec / 1000);
}

/* Begin a line: the mark and the time. Returns its size. */
static size_t begin_line(char *line, const char *mark, const struct timespec *when)
{
    size_t used = (size_t)snprintf(line, TRACE_LINE_MAX, "%s ", mark);

    used += format_time(line + used, TRACE_LINE_MAX - used, when);
    line[used++] = ' ';
    return used;
}

static void say_what_was_left_out(trace *self)
{
    char line[TRACE_LINE_MAX];
    struct timespec now;
    size_t used;

    clock_gettime(CLOCK_REALTIME, &now);
    used = begin_line(line, "---", &now);
    used += (size_t)snprintf(line + used, sizeof(line) - used,
                             "lines left out because nobody took them: %llu\n", self->left_out);
    if (keep(self, line, used))
        self->left_out = 0;
}

static void write_line(trace *self, char *line, size_t size)
{
    line[size++] = '\n';
    if (self->left_out > 0) {
        write_kept(self);
        if (self->on)
            say_what_was_left_out(self);
    }
    if (self->on && (self->left_out > 0 || !keep(self, line, size)))
        self->left_out++;
    write_kept(self);
}

static void write_text(trace *self, trace_direction direction, const struct timespec *when,
                       const unsigned char *text, size_t size)
{
    char line[TRACE_LINE_MAX];
    size_t shown = size < TRACE_TEXT_MAX ? size : TRACE_TEXT_MAX;
    size_t used = begin_line(line, arrows[direction], when);

    used += (size_t)snprintf(line + used, sizeof(line) - used, "%zu ", size);
    used += escape(line + used, text, shown);
    if (shown < size)
        used += (size_t)snprintf(line + used, sizeof(line) - used, "... (%zu bytes more)",
                                 size - shown);
    write_line(self, line, used);
}

static void show_part(trace *self, trace_direction direction)
{
    trace_part *part = &self->parts[direction];
    size_t size = part->size;

    part->size = 0;
    if (size > 0)
        write_text(self, direction, &part->began, part->text, size);
}

void trace_message(trace *self, trace_direction direction, const void *data, size_t size)
{
    struct timespec now;

    if (!self->on)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    write_text(self, direction, &now, data, size);
}

void trace_bytes(trace *self, trace_direction direction, const void *data, size_t size)
{
    const unsigned char *next = data;

    /* In the order in which things happened. */
    if (self->on)
        show_part(self, direction == TRACE_TO_CHILD ? TRACE_FROM_CHILD : TRACE_TO_CHILD);
    while (self->on && size > 0) {
        trace_part *part = &self->parts[direction];
        const unsigned char *newline = memchr(next, '\n', size);
        size_t taken = newline ? (size_t)(newline + 1 - next) : size;

        if (part->size == 0) {
            clock_gettime(CLOCK_REALTIME, &part->began);
            part->began_ms = console_now_ms();
        }
        if (part->size < TRACE_TEXT_MAX) {
            size_t room = TRACE_TEXT_MAX - part->size;

            memcpy(part->text + part->size, next, taken < room ? taken : room);
        }
        part->size += taken;
        next += taken;
        size -= taken;
        if (newline)
            show_part(self, direction);
    }
}

void trace_end(trace *self, trace_direction direction)
{
    char line[TRACE_LINE_MAX];
    struct timespec now;
    size_t used;

    if (!self->on)
        return;
    show_part(self, direction);
    clock_gettime(CLOCK_REALTIME, &now);
    used = begin_line(line, arrows[direction], &now);
    used += (size_t)snprintf(line + used, sizeof(line) - used, "end");
    write_line(self, line, used);
}

void trace_remark(trace *self, const char *format, ...)
{
    char line[TRACE_LINE_MAX];
    char text[TRACE_TEXT_MAX];
    struct timespec now;
    va_list arguments;
    size_t used;

    if (!self->on)
        return;
    show_part(self, TRACE_TO_CHILD);
    show_part(self, TRACE_FROM_CHILD);
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    clock_gettime(CLOCK_REALTIME, &now);
    used = begin_line(line, "---", &now);
    used += escape(line + used, (const unsigned char *)text, strlen(text));
    write_line(self, line, used);
}

int trace_fd(const trace *self)
{
    return self->on && self->queue_start < self->queue_end ? self->sink.fd : -1;
}

int trace_timeout_ms(const trace *self)
{
    int64_t now = console_now_ms();
    int64_t least = -1;
    int i;

    for (i = 0; self->on && i < 2; i++) {
        int64_t left = self->parts[i].began_ms + PAUSE_MS - now;

        if (self->parts[i].size > 0 && (least < 0 || left < least))
            least = left > 0 ? left : 0;
    }
    return (int)least;
}

void trace_process(trace *self)
{
    int64_t now = console_now_ms();
    int i;

    write_kept(self);
    for (i = 0; self->on && i < 2; i++) {
        if (self->parts[i].size > 0 && now - self->parts[i].began_ms >= PAUSE_MS)
            show_part(self, (trace_direction)i);
    }
}

void trace_close(trace *self)
{
    int64_t deadline = console_now_ms() + CLOSE_MS;

    if (!self->on)
        return;
    show_part(self, TRACE_TO_CHILD);
    show_part(self, TRACE_FROM_CHILD);
    while (trace_fd(self) >= 0) {
        struct pollfd source = {.fd = self->sink.fd, .events = POLLOUT};
        int64_t left = deadline - console_now_ms();

        if (left <= 0 || poll(&source, 1, (int)left) <= 0)
            break;
        write_kept(self);
    }
    if (self->on)
        turn_off(self);
}
