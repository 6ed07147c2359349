/* SPDX-License-Identifier: MIT */
/*
 * libuv: a uv_pipe_t at each end of a socketpair, uv_write() and a read callback, one loop a
 * process. libuv gives a stream and no messages; both sides know the size, so it is spared the
 * frames. Several writes are in flight at once, as its guide advises; corked, one uv_write()
 * carries many buffers.
 */
#include "peers/peer.h"

#include <errno.h>

#ifdef HAVE_LIBUV

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <uv.h>

/* Writes in flight: enough to keep the kernel busy, few enough to keep large messages in the cache.
 */
enum { WRITES_SMALL = 64, WRITES_LARGE = 4, BUFFERS_CORKED = 256 };

/*
 * Calls: libuv reads 32 times before it calls back for a write, and each read may bring as many
 * requests as are open.
 */
enum { READS_IN_A_ROW = 32, WRITES_CALLS = READS_IN_A_ROW * CALLS_OPEN, WRITES_MAX = WRITES_CALLS };

struct end;

struct write_slot {
    uv_write_t request;
    struct end *end;
    unsigned char *bytes;
};

struct end {
    uv_loop_t loop;
    uv_pipe_t pipe;
    const struct task *task;
    size_t size; /* of the messages that are received in this run */

    struct write_slot slots[WRITES_MAX];
    unsigned slot_count;
    unsigned free_slots[WRITES_MAX]; /* a stack */
    unsigned free_count;
    unsigned per_write; /* messages that one uv_write() carries */

    uint64_t to_send, sent;
    uint64_t to_receive;
    struct scan scan;
    bool echoes;
    unsigned char *read_buffer;
    size_t filled; /* of a large message that is being put together */
    int error;
};

struct pair {
    struct hand_made hand_made;
    struct end end;
};

static bool is_large(const struct end *end)
{
    return end->scan.size >= READ_SIZE;
}

static void stop(struct end *end, int error)
{
    if (error < 0 && end->error == 0)
        end->error = error;
    uv_stop(&end->loop);
}

static void stop_when_done(struct end *end)
{
    if (end->sent == end->to_send && end->free_count == end->slot_count &&
        end->scan.number == end->to_receive)
        stop(end, 0);
}

static void send_more(struct end *end);

static void on_written(uv_write_t *request, int status)
{
    struct write_slot *slot = request->data;
    struct end *end = slot->end;

    end->free_slots[end->free_count++] = (unsigned)(slot - end->slots);
    if (status < 0) {
        stop(end, status);
        return;
    }
    if (end->task->work == WORK_ONE_WAY)
        send_more(end);
    stop_when_done(end);
}

static int write_one(struct end *end, const unsigned char *bytes, size_t size)
{
    struct write_slot *slot;
    uv_buf_t buffer = uv_buf_init((char *)bytes, (unsigned)size);

    if (end->free_count == 0)
        return -ENOBUFS;
    slot = &end->slots[end->free_slots[--end->free_count]];
    return uv_write(&slot->request, (uv_stream_t *)&end->pipe, &buffer, 1, on_written);
}

/* The sender of a one-way run: keep all slots busy. */
static void send_more(struct end *end)
{
    uv_buf_t buffers[BUFFERS_CORKED];
    size_t size = end->task->size;

    while (end->free_count > 0 && end->sent < end->to_send && end->error == 0) {
        struct write_slot *slot = &end->slots[end->free_slots[--end->free_count]];
        unsigned messages = 0;
        int error;

        for (; messages < end->per_write && end->sent < end->to_send; messages++) {
            unsigned char *bytes = slot->bytes + messages * size;

            message_stamp(bytes, size, end->sent++);
            buffers[messages] = uv_buf_init((char *)bytes, (unsigned)size);
        }
        error = uv_write(&slot->request, (uv_stream_t *)&end->pipe, buffers, messages, on_written);
        if (error < 0) {
            end->free_count++;
            stop(end, error);
        }
    }
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct end *end = handle->data;

    (void)suggested;
    if (is_large(end))
        *ret = uv_buf_init((char *)end->read_buffer + end->filled,
                           (unsigned)(end->scan.size - end->filled));
    else
        *ret = uv_buf_init((char *)end->read_buffer, READ_SIZE);
}

/* Calls: so many messages as one uv_write(), or each as its own. */
static int write_several(struct end *end, uint64_t count)
{
    size_t size = end->task->size;
    int error = 0;

    while (count > 0 && error == 0) {
        uint64_t messages = end->task->corked ? count : 1;
        struct write_slot *slot;

        if (end->free_count == 0)
            return -ENOBUFS;
        slot = &end->slots[end->free_slots[--end->free_count]];
        for (uint64_t i = 0; i < messages; i++)
            message_stamp(slot->bytes + i * size, size, end->sent++);
        uv_buf_t buffer = uv_buf_init((char *)slot->bytes, (unsigned)(messages * size));

        error = uv_write(&slot->request, (uv_stream_t *)&end->pipe, &buffer, 1, on_written);
        count -= messages;
    }
    return error;
}

/* What came is answered, or followed by as many new requests. */
static int go_on_calling(struct end *end, uint64_t completed)
{
    uint64_t left = end->to_send - end->sent;

    return write_several(end, completed < left ? completed : left);
}

/* Take note of what has come. Returns whether a message was completed, or a negative errno. */
static int take(struct end *end, const unsigned char *bytes, size_t size)
{
    uint64_t before = end->scan.number;
    int error = scan_piece(&end->scan, bytes, size);

    if (error < 0)
        return error;
    end->filled = is_large(end) ? end->scan.offset : 0;
    return end->scan.number > before;
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct end *end = stream->data;
    uint64_t before = end->scan.number;
    int completed;

    if (got == 0)
        return;
    if (got == UV_EOF)
        got = -EPIPE;
    completed = got < 0 ? (int)got : take(end, (const unsigned char *)buffer->base, (size_t)got);
    if (completed < 0) {
        stop(end, completed);
        return;
    }
    if (completed > 0 && end->task->work == WORK_ROUND_TRIP) {
        int error = 0;

        if (end->echoes) {
            error = write_one(end, end->read_buffer, end->task->size);
            end->sent++;
        } else if (end->sent < end->to_send) {
            message_stamp(end->slots[0].bytes, end->task->size, end->sent++);
            error = write_one(end, end->slots[0].bytes, end->task->size);
        }
        if (error < 0)
            stop(end, error);
    }
    if (completed > 0 && end->task->work == WORK_CALLS) {
        int error = go_on_calling(end, end->scan.number - before);

        if (error < 0)
            stop(end, error);
    }
    /* What comes after the last belongs to the next run, or is the end. */
    if (end->scan.number == end->to_receive)
        uv_read_stop(stream);
    stop_when_done(end);
}

/* Run the loop until so many messages of these sizes have come and gone. */
static int run(struct end *end, uint64_t to_send, size_t receive_size, uint64_t to_receive)
{
    end->to_send = to_send;
    end->sent = 0;
    end->to_receive = to_receive;
    end->scan = (struct scan){.size = receive_size};
    end->filled = 0;
    end->error = uv_read_start((uv_stream_t *)&end->pipe, on_allocate, on_read);
    if (end->error == 0 && to_send > 0 && !end->echoes) {
        if (end->task->work == WORK_ONE_WAY) {
            send_more(end);
        } else if (end->task->work == WORK_CALLS) {
            end->error = write_several(end, to_send < CALLS_OPEN ? to_send : CALLS_OPEN);
        } else {
            message_stamp(end->slots[0].bytes, end->task->size, end->sent++);
            end->error = write_one(end, end->slots[0].bytes, end->task->size);
        }
    }
    if (end->error == 0)
        uv_run(&end->loop, UV_RUN_DEFAULT);
    return end->error;
}

static int end_open(struct end *end, int fd, const struct task *task)
{
    bool large = task->size >= READ_SIZE;
    size_t slot_size;
    int error;

    end->task = task;
    /* libuv may read 32 times before it calls back for a write that is long done. */
    end->slot_count = large && task->work == WORK_ONE_WAY ? WRITES_LARGE : WRITES_SMALL;
    end->per_write = task->corked && !large ? BUFFERS_CORKED : 1;
    if (task->work == WORK_CALLS) {
        end->slot_count = WRITES_CALLS;
        end->per_write = task->corked ? CALLS_OPEN : 1;
    }
    slot_size = task->size * end->per_write;
    end->read_buffer = calloc(1, large ? task->size : READ_SIZE);
    if (!end->read_buffer)
        return -ENOMEM;
    for (unsigned i = 0; i < end->slot_count; i++) {
        struct write_slot *slot = &end->slots[i];

        slot->bytes = calloc(1, slot_size);
        if (!slot->bytes)
            return -ENOMEM;
        slot->end = end;
        slot->request.data = slot;
        end->free_slots[end->free_count++] = end->slot_count - 1 - i;
    }
    error = uv_loop_init(&end->loop);
    if (error == 0)
        error = uv_pipe_init(&end->loop, &end->pipe, 0);
    if (error == 0)
        error = uv_pipe_open(&end->pipe, fd);
    end->pipe.data = end;
    return error;
}

static int phase(void *context, const struct task *task, uint64_t count)
{
    struct end *end = context;
    int error;

    if (task->work != WORK_ONE_WAY)
        return run(end, count, task->size, count);
    error = run(end, 0, task->size, count);
    if (error == 0) {
        unsigned char acknowledgement[ACKNOWLEDGEMENT_SIZE] = {0};

        end->to_receive = 0;
        end->scan.number = 0;
        error = write_one(end, acknowledgement, sizeof(acknowledgement));
        if (error == 0)
            uv_run(&end->loop, UV_RUN_DEFAULT);
        if (error == 0)
            error = end->error;
    }
    return error;
}

static int child(int fd, const struct trial *trial)
{
    static struct end end;
    int error;

    end.echoes = trial->task.work != WORK_ONE_WAY;
    error = end_open(&end, fd, &trial->task);
    return error < 0 ? error : side_serve(trial, phase, &end);
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
    int error;

    (void)peer;
    if (!pair)
        return -ENOMEM;
    signal(SIGPIPE, SIG_IGN);
    /* The loops are made after the fork, one in each process. */
    error = hand_made_open(&pair->hand_made, SOCK_STREAM, 0, child, trial);
    if (error < 0) {
        free(pair);
        return error;
    }
    /* On failure the pair stays open for close_pair(), and the runs answer the error. */
    pair->end.error = end_open(&pair->end, pair->hand_made.fd, &trial->task);
    *ret = pair;
    return 0;
}

static int round_trip(void *context, size_t size, uint64_t count)
{
    struct end *end = &((struct pair *)context)->end;

    return end->error < 0 ? end->error : run(end, count, size, count);
}

static int one_way(void *context, size_t size, uint64_t count, bool corked)
{
    struct end *end = &((struct pair *)context)->end;

    (void)size;
    (void)corked;
    return end->error < 0 ? end->error : run(end, count, ACKNOWLEDGEMENT_SIZE, 1);
}

static int calls(void *context, size_t size, uint64_t count, bool corked)
{
    (void)corked;
    return round_trip(context, size, count);
}

/* The process ends after this; what the loop holds ends with it. */
static int close_pair(void *context)
{
    struct pair *pair = context;
    int error = hand_made_close(&pair->hand_made);

    for (unsigned i = 0; i < pair->end.slot_count; i++)
        free(pair->end.slots[i].bytes);
    free(pair->end.read_buffer);
    free(pair);
    return error;
}

#else
#define PEER_IS_ABSENT "libuv1-dev"
#include "peers/absent.h"
#include "peers/absent_work.h"
#endif

const struct peer peer_libuv = {
    .name = "libuv",
    .about = "uv_pipe_t over a socketpair, uv_write() and uv_read_start(); no frames",
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .calls = calls,
    .close = close_pair,
};
