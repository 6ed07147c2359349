/* SPDX-License-Identifier: MIT */
/*
 * A SOCK_SEQPACKET socketpair between a parent and a forked child: one write(2) and one read(2) for
 * each message. The kernel keeps a message whole only if the send buffer has room for all of it, so
 * the buffer is made larger where the messages ask for it.
 */
#include "peers/peer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Messages up to this size fit into the system's default buffer, which is 208 KiB. */
enum { DEFAULT_FITS = 128 * 1024 };

struct end {
    int fd;
    unsigned char *buffer;
    size_t size;
};

struct pair {
    struct hand_made hand_made;
    struct end end;
};

static int send_packet(struct end *end, size_t size)
{
    for (;;) {
        ssize_t written = write(end->fd, end->buffer, size);

        if (written >= 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

static int receive_packet(struct end *end, size_t size)
{
    for (;;) {
        ssize_t got = read(end->fd, end->buffer, end->size);

        if (got == 0)
            return -EPIPE;
        if (got > 0)
            return (size_t)got == size ? 0 : -EBADMSG;
        if (errno != EINTR)
            return -errno;
    }
}

static int phase(void *context, const struct task *task, uint64_t count)
{
    struct end *end = context;

    for (uint64_t i = 0; i < count; i++) {
        int error = receive_packet(end, task->size);

        if (error < 0)
            return error;
        if (!message_check(end->buffer, task->size, i))
            return -EBADMSG;
        if (task->work == WORK_ROUND_TRIP) {
            error = send_packet(end, task->size);
            if (error < 0)
                return error;
        }
    }
    return task->work == WORK_ONE_WAY ? send_packet(end, ACKNOWLEDGEMENT_SIZE) : 0;
}

static int child(int fd, const struct trial *trial)
{
    struct end end = {.fd = fd, .size = trial->task.size};
    int error = -ENOMEM;

    end.buffer = calloc(1, end.size);
    if (end.buffer)
        error = side_serve(trial, phase, &end);
    free(end.buffer);
    return error;
}

/* What to ask for; the kernel doubles it, and charges more than the bytes of a message. */
static int buffer_wanted(size_t size)
{
    return size > DEFAULT_FITS ? (int)(2 * size) : 0;
}

static const char *unavailable(const struct peer *peer, const struct task *task)
{
    const char *reason = NULL;
    int wanted = buffer_wanted(task->size);
    int got = 0;
    socklen_t length = sizeof(got);
    int fd;

    (void)peer;
    if (task->corked)
        return "one packet a message is what SOCK_SEQPACKET is";
    if (wanted == 0)
        return NULL;
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted)) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &got, &length) < 0 || got < wanted)
        reason = "net.core.wmem_max is too small for this message";
    if (fd >= 0)
        close(fd);
    return reason;
}

static int open_pair(const struct peer *peer, const struct trial *trial, void **ret)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    int error = -ENOMEM;

    (void)peer;
    if (!pair)
        return -ENOMEM;
    signal(SIGPIPE, SIG_IGN);
    pair->end.size = trial->task.size;
    pair->end.buffer = calloc(1, pair->end.size);
    if (pair->end.buffer)
        error = hand_made_open(&pair->hand_made, SOCK_SEQPACKET, buffer_wanted(trial->task.size),
                               child, trial);
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
        error = send_packet(end, size);
        if (error == 0)
            error = receive_packet(end, size);
        if (error < 0)
            return error;
        if (!message_check(end->buffer, size, i))
            return -EBADMSG;
    }
    return 0;
}

static int one_way(void *context, size_t size, uint64_t count, bool corked)
{
    struct end *end = &((struct pair *)context)->end;

    (void)corked;
    for (uint64_t i = 0; i < count; i++) {
        int error;

        message_stamp(end->buffer, size, i);
        error = send_packet(end, size);
        if (error < 0)
            return error;
    }
    return receive_packet(end, ACKNOWLEDGEMENT_SIZE);
}

static int close_pair(void *context)
{
    struct pair *pair = context;
    int error = hand_made_close(&pair->hand_made);

    free(pair->end.buffer);
    free(pair);
    return error;
}

const struct peer peer_raw_seqpacket = {
    .name = "raw_seqpacket",
    .about = "socketpair(2) SOCK_SEQPACKET and fork(2) by hand; one packet a message",
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .close = close_pair,
};
