/* SPDX-License-Identifier: MIT */
/*
 * The reference: a SOCK_STREAM socketpair between a parent and a forked child, with blocking
 * write(2) and read(2), as a tutorial has it. Both sides know the size of the messages, so there
 * are no frames. A reader of many small messages reads whatever has come, up to 64 KiB at once.
 * Corked, the sender collects 64 KiB by hand before it writes: the most that anybody can gain by
 * coalescing.
 */
#include "peers/peer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
    int fd;
    unsigned char *buffer; /* of a message, and of READ_SIZE at least */
};

struct pair {
    struct hand_made hand_made;
    struct end end;
};

static unsigned char *make_buffer(size_t size)
{
    return calloc(1, size < READ_SIZE ? READ_SIZE : size);
}

static int echo(struct end *end, size_t size, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        int error = read_all(end->fd, end->buffer, size);

        if (error < 0)
            return error;
        if (!message_check(end->buffer, size, i))
            return -EBADMSG;
        error = write_all(end->fd, end->buffer, size);
        if (error < 0)
            return error;
    }
    return 0;
}

static int take_small(struct end *end, size_t size, uint64_t count)
{
    struct scan scan = {.size = size};

    while (scan.number < count) {
        ssize_t got = read(end->fd, end->buffer, READ_SIZE);
        int error;

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EPIPE;
        error = scan_piece(&scan, end->buffer, (size_t)got);
        if (error < 0)
            return error;
    }
    return 0;
}

static int take_large(struct end *end, size_t size, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        int error = read_all(end->fd, end->buffer, size);

        if (error < 0)
            return error;
        if (!message_check(end->buffer, size, i))
            return -EBADMSG;
    }
    return 0;
}

static int phase(void *context, const struct task *task, uint64_t count)
{
    struct end *end = context;
    int error;

    if (task->work == WORK_ROUND_TRIP)
        return echo(end, task->size, count);
    if (task->size < READ_SIZE)
        error = take_small(end, task->size, count);
    else
        error = take_large(end, task->size, count);
    return error < 0 ? error : write_all(end->fd, end->buffer, ACKNOWLEDGEMENT_SIZE);
}

static int child(int fd, const struct trial *trial)
{
    struct end end = {.fd = fd, .buffer = make_buffer(trial->task.size)};
    int error = end.buffer ? side_serve(trial, phase, &end) : -ENOMEM;

    free(end.buffer);
    return error;
}

static const char *unavailable(const struct peer *peer, const struct task *task)
{
    (void)peer;
    (void)task;
    return NULL;
}

static int open_pair(const struct peer *peer, const struct trial *trial, void **ret)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    int error = -ENOMEM;

    (void)peer;
    if (!pair)
        return -ENOMEM;
    /* A child that failed shall be an error of write(2), not the death of the parent. */
    signal(SIGPIPE, SIG_IGN);
    pair->end.buffer = make_buffer(trial->task.size);
    if (pair->end.buffer)
        error = hand_made_open(&pair->hand_made, SOCK_STREAM, 0, child, trial);
    if (error < 0) {
        free(pair->end.buffer);
        free(pair);
        return error;
    }
    pair->end.fd = pair->hand_made.fd;
    *ret = pair;
    return 0;
}

static int round_trip(void *context, size_t size, uint64_t count)
{
    struct end *end = &((struct pair *)context)->end;

    for (uint64_t i = 0; i < count; i++) {
        int error;

        message_stamp(end->buffer, size, i);
        error = write_all(end->fd, end->buffer, size);
        if (error == 0)
            error = read_all(end->fd, end->buffer, size);
        if (error < 0)
            return error;
        if (!message_check(end->buffer, size, i))
            return -EBADMSG;
    }
    return 0;
}

static int send_each(struct end *end, size_t size, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        int error;

        message_stamp(end->buffer, size, i);
        error = write_all(end->fd, end->buffer, size);
        if (error < 0)
            return error;
    }
    return 0;
}

static int send_collected(struct end *end, size_t size, uint64_t count)
{
    unsigned char message[READ_SIZE] = {0};
    size_t filled = 0;
    int error = 0;

    for (uint64_t i = 0; i < count && error == 0; i++) {
        if (filled + size > READ_SIZE) {
            error = write_all(end->fd, end->buffer, filled);
            filled = 0;
        }
        message_stamp(message, size, i);
        memcpy(end->buffer + filled, message, size);
        filled += size;
    }
    return error < 0 ? error : write_all(end->fd, end->buffer, filled);
}

static int one_way(void *context, size_t size, uint64_t count, bool corked)
{
    struct end *end = &((struct pair *)context)->end;
    int error;

    if (corked && size < READ_SIZE)
        error = send_collected(end, size, count);
    else
        error = send_each(end, size, count);
    return error < 0 ? error : read_all(end->fd, end->buffer, ACKNOWLEDGEMENT_SIZE);
}

static int close_pair(void *context)
{
    struct pair *pair = context;
    int error = hand_made_close(&pair->hand_made);

    free(pair->end.buffer);
    free(pair);
    return error;
}

const struct peer peer_raw_stream = {
    .name = "raw_stream",
    .about = "socketpair(2) SOCK_STREAM and fork(2) by hand; no frames",
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .close = close_pair,
};
