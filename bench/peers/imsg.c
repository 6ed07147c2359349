/* SPDX-License-Identifier: MIT */
/*
 * Frames by hand over a SOCK_STREAM socketpair, as imsg of OpenBSD has them: a header of 16 bytes
 * with type, size, the peer's own number and its process, then the data, both by one writev(2). The
 * reader reads whatever has come into a buffer of 64 KiB, or of one message where that is more, and
 * finds the messages in it. Corked, what is sent is collected up to 64 KiB, and leaves before a
 * side waits.
 */
#include "peers/whole.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct header {
    uint32_t type;
    uint32_t size; /* of header and data */
    uint32_t peer;
    uint32_t pid;
};

struct end {
    struct whole whole;
    int fd;
    bool corked;
    uint32_t pid;

    unsigned char *received; /* buffer of `capacity` */
    size_t capacity;
    size_t start, filled; /* what was read and not yet taken is between them */
    unsigned char *last;  /* data of the message that was taken last, in the buffer */
    size_t last_size;

    unsigned char *message;   /* to be sent */
    unsigned char *collected; /* buffer of READ_SIZE */
    size_t collected_size;
};

static int flush(void *context)
{
    struct end *end = context;
    size_t size = end->collected_size;

    end->collected_size = 0;
    return size > 0 ? write_all(end->fd, end->collected, size) : 0;
}

static int send_frame(struct end *end, const unsigned char *data, size_t size)
{
    struct header header = {.type = 1, .size = (uint32_t)(sizeof(header) + size), .pid = end->pid};
    struct iovec parts[2] = {{&header, sizeof(header)}, {(void *)data, size}};
    ssize_t written;
    size_t done;

    if (end->corked && sizeof(header) + size <= READ_SIZE) {
        if (end->collected_size + sizeof(header) + size > READ_SIZE) {
            int error = flush(end);

            if (error < 0)
                return error;
        }
        memcpy(end->collected + end->collected_size, &header, sizeof(header));
        memcpy(end->collected + end->collected_size + sizeof(header), data, size);
        end->collected_size += sizeof(header) + size;
        return 0;
    }
    do
        written = writev(end->fd, parts, 2);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        return -errno;
    done = (size_t)written;
    if (done < sizeof(header)) {
        int error = write_all(end->fd, (char *)&header + done, sizeof(header) - done);

        if (error < 0)
            return error;
        done = sizeof(header);
    }
    return done < header.size ? write_all(end->fd, data + done - sizeof(header), header.size - done)
                              : 0;
}

static int send_new(void *context, size_t size, uint64_t number)
{
    struct end *end = context;

    message_stamp(end->message, size, number);
    return send_frame(end, end->message, size);
}

static int send_back(void *context)
{
    struct end *end = context;

    return send_frame(end, end->last, end->last_size);
}

/* Make room for what is still missing, and read. */
static int read_more(struct end *end)
{
    ssize_t got;
    int error = flush(end);

    if (error < 0)
        return error;
    if (end->start > 0) {
        end->filled -= end->start;
        memmove(end->received, end->received + end->start, end->filled);
        end->start = 0;
    }
    do
        got = read(end->fd, end->received + end->filled, end->capacity - end->filled);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got < 0 ? -errno : -EPIPE;
    end->filled += (size_t)got;
    return 0;
}

static int receive(void *context, size_t size, uint64_t number)
{
    struct end *end = context;
    struct header header;

    for (;;) {
        size_t present = end->filled - end->start;

        if (present >= sizeof(header)) {
            memcpy(&header, end->received + end->start, sizeof(header));
            if (header.size < sizeof(header) || header.size > end->capacity)
                return -EBADMSG;
            if (present >= header.size)
                break;
        }
        int error = read_more(end);

        if (error < 0)
            return error;
    }
    end->last = end->received + end->start + sizeof(header);
    end->last_size = header.size - sizeof(header);
    end->start += header.size;
    return end->last_size == size && message_check(end->last, size, number) ? 0 : -EBADMSG;
}

static const struct whole_functions functions = {send_new, receive, send_back, flush};

static int end_open(struct end *end, int fd, const struct task *task)
{
    size_t frame = sizeof(struct header) + task->size;

    end->whole.functions = &functions;
    end->fd = fd;
    end->corked = task->corked;
    end->pid = (uint32_t)getpid();
    end->capacity = frame < READ_SIZE ? READ_SIZE : frame;
    end->received = calloc(1, end->capacity);
    end->message = calloc(1, task->size + ACKNOWLEDGEMENT_SIZE);
    end->collected = calloc(1, READ_SIZE);
    return end->received && end->message && end->collected ? 0 : -ENOMEM;
}

static int child(int fd, const struct trial *trial)
{
    static struct end end;
    int error = end_open(&end, fd, &trial->task);

    return error < 0 ? error : side_serve(trial, whole_phase, &end);
}

static const char *unavailable(const struct peer *peer, const struct task *task)
{
    (void)peer;
    (void)task;
    return NULL;
}

static int open_pair(const struct peer *peer, const struct trial *trial, void **ret)
{
    struct end *end = calloc(1, sizeof(*end));
    int error;

    (void)peer;
    if (!end)
        return -ENOMEM;
    signal(SIGPIPE, SIG_IGN);
    error = hand_made_open(&end->whole.hand_made, SOCK_STREAM, 0, child, trial);
    if (error < 0) {
        free(end);
        return error;
    }
    *ret = end;
    return end_open(end, end->whole.hand_made.fd, &trial->task);
}

static int close_pair(void *context)
{
    struct end *end = context;
    int error = hand_made_close(&end->whole.hand_made);

    free(end->received);
    free(end->message);
    free(end->collected);
    free(end);
    return error;
}

const struct peer peer_imsg = {
    .name = "imsg",
    .about = "16-byte headers and writev(2) by hand over a SOCK_STREAM pair, as imsg",
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = whole_round_trip,
    .one_way = whole_one_way,
    .calls = whole_calls,
    .close = close_pair,
};
