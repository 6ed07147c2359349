/* SPDX-License-Identifier: MIT */
/*
 * What workers write on standard error: kept in part, and passed on. A reader of ours that has stopped
 * reading has the worker wait in its turn, and nobody else.
 */
#include "pool/pool.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum {
    STANDARD_ERROR = 2,
    /* What could not be passed on is tried again so often. */
    AGAIN_MS = 10,
    /* Reads in a row while others wait, and at the end: a pipe holds 64 KiB, or 1 MiB if enlarged. */
    READS = 4,
    READS_LAST = 256,
    HELD_MAX = READS_LAST * DXI_STDERR_SIZE,
};

static void remember(struct dxi_worker *worker, const char *bytes, size_t size)
{
    size_t room = sizeof(worker->said) - worker->said_size;

    if (size > room)
        size = room;
    memcpy(worker->said + worker->said_size, bytes, size);
    worker->said_size += size;
}

/* Write to our own standard error. How many bytes are settled: one that nobody reads takes all. */
static size_t write_on(const char *bytes, size_t size)
{
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
    ssize_t written = dxi_os->write(STANDARD_ERROR, &part, 1, true);

    if (written == -EAGAIN)
        return 0;
    return written < 0 ? size : (size_t)written;
}

/* Keep it for later, behind what is kept already. */
static void hold(dx_pool *pool, struct dxi_worker *worker, const char *bytes, size_t size)
{
    size_t needed = worker->held_size + size;

    if (needed > worker->held_capacity) {
        char *held = needed <= HELD_MAX ? dxi_os->resize(worker->held, needed) : NULL;

        if (!held)
            return;
        worker->held = held;
        worker->held_capacity = needed;
    }
    memcpy(worker->held + worker->held_size, bytes, size);
    worker->held_size = needed;
    if (worker->fds[DXI_SOURCE_STDERR] >= 0)
        (void)dxi_worker_watch(pool, worker, DXI_SOURCE_STDERR, 0);
    dxi_pool_due(pool, dxi_os->now_ns() + AGAIN_MS * DXI_NS_PER_MS);
}

static void pass_on(dx_pool *pool, struct dxi_worker *worker, const char *bytes, size_t size)
{
    if (pool->options.on_stderr) {
        pool->options.on_stderr(pool->options.stderr_context, worker->place, bytes, size);
        return;
    }
    size_t written = worker->held_size > 0 ? 0 : write_on(bytes, size);

    if (written < size)
        hold(pool, worker, bytes + written, size - written);
}

void dxi_worker_pass_held(dx_pool *pool, struct dxi_worker *worker)
{
    if (worker->held_size == 0)
        return;
    size_t written = write_on(worker->held, worker->held_size);

    worker->held_size -= written;
    memmove(worker->held, worker->held + written, worker->held_size);
    if (worker->held_size > 0)
        dxi_pool_due(pool, dxi_os->now_ns() + AGAIN_MS * DXI_NS_PER_MS);
    else if (worker->fds[DXI_SOURCE_STDERR] >= 0)
        (void)dxi_worker_watch(pool, worker, DXI_SOURCE_STDERR, POLLIN);
}

void dxi_worker_hear_stderr(dx_pool *pool, struct dxi_worker *worker, bool last)
{
    char bytes[DXI_STDERR_SIZE];

    dxi_worker_pass_held(pool, worker);
    for (int reads = 0; reads < (last ? READS_LAST : READS); reads++) {
        /* Its writer waits; but one that has ended can leave no more than a pipe holds. */
        if (worker->held_size > 0 && !last)
            return;
        ssize_t size = dxi_os->read(worker->fds[DXI_SOURCE_STDERR], bytes, sizeof(bytes), true);

        if (size == 0 || (size < 0 && size != -EAGAIN)) {
            (void)dxi_worker_watch(pool, worker, DXI_SOURCE_STDERR, 0);
            return;
        }
        if (size < 0)
            return;
        remember(worker, bytes, (size_t)size);
        pass_on(pool, worker, bytes, (size_t)size);
    }
}

const char *dxi_worker_quote(const struct dxi_worker *worker, char *buffer, size_t size)
{
    static const char before[] = "; it said: \"";
    size_t length = sizeof(before) - 1;
    size_t said = worker->said_size;

    while (said > 0 && isspace((unsigned char)worker->said[said - 1]))
        said--;
    if (said == 0 || size < sizeof(before) + 2) {
        buffer[0] = '\0';
        return buffer;
    }
    memcpy(buffer, before, length);
    for (size_t i = 0; i < said && length + 2 < size; i++) {
        unsigned char byte = (unsigned char)worker->said[i];

        /* Several lines in one sentence. */
        if (byte == '\n')
            byte = ' ';
        /* What is not ASCII is passed as it is: it may be UTF-8. */
        buffer[length++] = (char)(byte < 0x20 || byte == 0x7f ? '?' : byte);
    }
    buffer[length++] = '"';
    buffer[length] = '\0';
    return buffer;
}
