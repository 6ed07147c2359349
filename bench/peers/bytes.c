/* SPDX-License-Identifier: MIT */
#include "peers/bytes.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int bytes_open(struct bytes_end *ret, int read_fd, int write_fd, size_t size)
{
    *ret = (struct bytes_end){.read_fd = read_fd, .write_fd = write_fd};
    ret->buffer = calloc(1, size < READ_SIZE ? READ_SIZE : size);
    return ret->buffer ? 0 : -ENOMEM;
}

void bytes_close(struct bytes_end *end)
{
    free(end->buffer);
}

/* Whatever has come, up to this size. Returns how many bytes, or a negative errno. */
static ssize_t read_some(int fd, unsigned char *bytes, size_t size)
{
    for (;;) {
        ssize_t got = read(fd, bytes, size);

        if (got > 0)
            return got;
        if (got == 0)
            return -EPIPE;
        if (errno != EINTR)
            return -errno;
    }
}

static int echo(struct bytes_end *end, size_t size, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        int error = read_all(end->read_fd, end->buffer, size);

        if (error < 0)
            return error;
        if (!message_check(end->buffer, size, i))
            return -EBADMSG;
        error = write_all(end->write_fd, end->buffer, size);
        if (error < 0)
            return error;
    }
    return 0;
}

static int take_small(struct bytes_end *end, size_t size, uint64_t count)
{
    struct scan scan = {.size = size};

    while (scan.number < count) {
        ssize_t got = read_some(end->read_fd, end->buffer, READ_SIZE);
        int error = got < 0 ? (int)got : scan_piece(&scan, end->buffer, (size_t)got);

        if (error < 0)
            return error;
    }
    return 0;
}

static int take_large(struct bytes_end *end, size_t size, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        int error = read_all(end->read_fd, end->buffer, size);

        if (error < 0)
            return error;
        if (!message_check(end->buffer, size, i))
            return -EBADMSG;
    }
    return 0;
}

/* Write the first messages of a buffer: each as its own, or all at once. */
static int write_several(struct bytes_end *end, size_t size, uint64_t count, bool corked)
{
    int error = 0;

    if (corked)
        return write_all(end->write_fd, end->buffer, size * count);
    for (uint64_t i = 0; i < count && error == 0; i++)
        error = write_all(end->write_fd, end->buffer + i * size, size);
    return error;
}

/* Answer all requests that one read(2) brought, then read again. */
static int answer(struct bytes_end *end, const struct task *task, uint64_t count)
{
    size_t size = task->size;
    size_t filled = 0;

    for (uint64_t answered = 0; answered < count;) {
        ssize_t got = read_some(end->read_fd, end->buffer + filled, READ_SIZE - filled);
        uint64_t whole;
        int error;

        if (got < 0)
            return (int)got;
        filled += (size_t)got;
        whole = filled / size;
        for (uint64_t i = 0; i < whole; i++) {
            if (!message_check(end->buffer + i * size, size, answered++))
                return -EBADMSG;
        }
        error = write_several(end, size, whole, task->corked);
        if (error < 0)
            return error;
        filled -= whole * size;
        memmove(end->buffer, end->buffer + whole * size, filled);
    }
    return 0;
}

int bytes_phase(void *context, const struct task *task, uint64_t count)
{
    struct bytes_end *end = context;
    int error;

    if (task->work == WORK_ROUND_TRIP)
        return echo(end, task->size, count);
    if (task->work == WORK_CALLS)
        return answer(end, task, count);
    if (task->size < READ_SIZE)
        error = take_small(end, task->size, count);
    else
        error = take_large(end, task->size, count);
    return error < 0 ? error : write_all(end->write_fd, end->buffer, ACKNOWLEDGEMENT_SIZE);
}

int bytes_round_trip(void *context, size_t size, uint64_t count)
{
    struct bytes_end *end = context;

    for (uint64_t i = 0; i < count; i++) {
        int error;

        message_stamp(end->buffer, size, i);
        error = write_all(end->write_fd, end->buffer, size);
        if (error == 0)
            error = read_all(end->read_fd, end->buffer, size);
        if (error < 0)
            return error;
        if (!message_check(end->buffer, size, i))
            return -EBADMSG;
    }
    return 0;
}

static int send_each(struct bytes_end *end, size_t size, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        int error;

        message_stamp(end->buffer, size, i);
        error = write_all(end->write_fd, end->buffer, size);
        if (error < 0)
            return error;
    }
    return 0;
}

static int send_collected(struct bytes_end *end, size_t size, uint64_t count)
{
    unsigned char message[READ_SIZE] = {0};
    size_t filled = 0;
    int error = 0;

    for (uint64_t i = 0; i < count && error == 0; i++) {
        if (filled + size > READ_SIZE) {
            error = write_all(end->write_fd, end->buffer, filled);
            filled = 0;
        }
        message_stamp(message, size, i);
        memcpy(end->buffer + filled, message, size);
        filled += size;
    }
    return error < 0 ? error : write_all(end->write_fd, end->buffer, filled);
}

int bytes_one_way(void *context, size_t size, uint64_t count, bool corked)
{
    struct bytes_end *end = context;
    int error;

    if (corked && size < READ_SIZE)
        error = send_collected(end, size, count);
    else
        error = send_each(end, size, count);
    return error < 0 ? error : read_all(end->read_fd, end->buffer, ACKNOWLEDGEMENT_SIZE);
}

int bytes_calls(void *context, size_t size, uint64_t count, bool corked)
{
    struct bytes_end *end = context;
    struct scan scan = {.size = size};
    uint64_t asked = 0;

    while (scan.number < count) {
        uint64_t more = CALLS_OPEN - (asked - scan.number);
        ssize_t got;
        int error;

        if (more > count - asked)
            more = count - asked;
        for (uint64_t i = 0; i < more; i++)
            message_stamp(end->buffer + i * size, size, asked++);
        error = write_several(end, size, more, corked);
        if (error < 0)
            return error;
        got = read_some(end->read_fd, end->buffer, READ_SIZE);
        error = got < 0 ? (int)got : scan_piece(&scan, end->buffer, (size_t)got);
        if (error < 0)
            return error;
    }
    return 0;
}

int bytes_idle(void *context, double seconds)
{
    const struct bytes_end *end = context;
    struct pollfd poller = {.fd = end->read_fd, .events = POLLIN};
    int got = poll(&poller, 1, (int)(seconds * 1000));

    return got < 0 ? -errno : got > 0 ? -EBADMSG : 0;
}
