/* SPDX-License-Identifier: MIT */
/*
 * Simulated pipes, which Linux keeps as pages: a write goes on in the last one if its rest fits there.
 */
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pipes_make(int ret[2])
{
    struct pipe *pipe = malloc(sizeof(*pipe));
    struct file *ends[2];

    if (pipe == NULL)
        world_fail("no memory for a pipe");
    memset(pipe, 0, offsetof(struct pipe, bytes));
    pipe->readers = pipe->writers = 1;
    for (int i = 0; i < 2; i++) {
        ends[i] = file_make(FILE_PIPE);
        ends[i]->pipe = pipe;
        ends[i]->writes = i == 1;
    }
    ret[0] = file_place(kernel.running, ends[0], 0, true);
    if (ret[0] < 0) {
        file_hold(ends[1]);
        file_let_go(ends[1]);
        return ret[0];
    }
    ret[1] = file_place(kernel.running, ends[1], 0, true);
    if (ret[1] >= 0)
        return 0;
    file_close(kernel.running, ret[0]);
    return ret[1];
}

void pipes_close(struct file *file)
{
    struct pipe *pipe = file->pipe;

    if (file->writes)
        pipe->writers--;
    else
        pipe->readers--;
    if (pipe->readers + pipe->writers == 0)
        free(pipe);
}

unsigned pipes_events(const struct file *file)
{
    const struct pipe *pipe = file->pipe;
    unsigned events = 0;

    if (!file->writes) {
        if (pipe->count > 0)
            events |= POLLIN | POLLRDNORM;
        if (pipe->writers == 0)
            events |= POLLHUP;
        return events;
    }
    if (pipe->count < PIPE_PAGES)
        events |= POLLOUT | POLLWRNORM;
    if (pipe->readers == 0)
        events |= POLLERR;
    return events;
}

ssize_t pipes_queued(const struct file *file)
{
    const struct pipe *pipe = file->pipe;
    ssize_t size = 0;

    for (unsigned i = 0; i < pipe->count; i++)
        size += pipe->pages[(pipe->first + i) % PIPE_PAGES].size;
    return size;
}

ssize_t pipes_read(int fd, void *bytes, size_t size)
{
    struct file *file = file_of(kernel.running, fd);
    size_t done = 0;

    if (file == NULL)
        return -EBADF;
    if (file->kind == FILE_NULL)
        return 0;
    if (file->kind != FILE_PIPE || file->writes)
        return file->kind == FILE_PIPE ? -EBADF : -EINVAL;
    struct pipe *pipe = file->pipe;

    if (size == 0)
        return 0;
    if (pipe->count == 0)
        return pipe->writers > 0 ? -EAGAIN : 0;
    size = kernel_cut(size);
    while (done < size && pipe->count > 0) {
        unsigned at = pipe->first;
        size_t part = pipe->pages[at].size;

        if (part > size - done)
            part = size - done;
        memcpy((uint8_t *)bytes + done, pipe->bytes[at] + pipe->pages[at].offset, part);
        done += part;
        pipe->pages[at].offset += (unsigned)part;
        pipe->pages[at].size -= (unsigned)part;
        if (pipe->pages[at].size == 0) {
            pipe->first = (at + 1) % PIPE_PAGES;
            pipe->count--;
        }
    }
    kernel_stir();
    return (ssize_t)done;
}

/* So many bytes from this place of the parts. */
static void gather(const struct iovec *parts, size_t from, uint8_t *ret, size_t size)
{
    for (; size > 0; parts++) {
        if (from >= parts->iov_len) {
            from -= parts->iov_len;
            continue;
        }
        size_t part = parts->iov_len - from;

        if (part > size)
            part = size;
        memcpy(ret, (const uint8_t *)parts->iov_base + from, part);
        ret += part;
        size -= part;
        from = 0;
    }
}

static ssize_t fill(struct pipe *pipe, const struct iovec *parts, size_t total)
{
    size_t done = 0;
    size_t rest = total % PAGE;

    if (rest > 0 && pipe->count > 0) {
        unsigned last = (pipe->first + pipe->count - 1) % PIPE_PAGES;
        unsigned end = pipe->pages[last].offset + pipe->pages[last].size;

        if (end + rest <= PAGE) {
            gather(parts, 0, pipe->bytes[last] + end, rest);
            pipe->pages[last].size += (unsigned)rest;
            done = rest;
        }
    }
    while (done < total && pipe->count < PIPE_PAGES) {
        unsigned at = (pipe->first + pipe->count) % PIPE_PAGES;
        size_t part = total - done < PAGE ? total - done : PAGE;

        gather(parts, done, pipe->bytes[at], part);
        pipe->pages[at].offset = 0;
        pipe->pages[at].size = (unsigned)part;
        pipe->count++;
        done += part;
    }
    return done > 0 ? (ssize_t)done : -EAGAIN;
}

ssize_t pipes_write(int fd, const struct iovec *parts, size_t count)
{
    struct file *file = file_of(kernel.running, fd);
    size_t total = 0;

    for (size_t i = 0; i < count; i++)
        total += parts[i].iov_len;
    if (file == NULL)
        return -EBADF;
    if (file->kind == FILE_NULL)
        return (ssize_t)total;
    if (file->kind != FILE_PIPE || !file->writes)
        return file->kind == FILE_PIPE ? -EBADF : -EINVAL;
    if (total == 0)
        return 0;
    if (file->pipe->readers == 0)
        return -EPIPE;
    kernel_stir();
    /* A write of so few bytes is whole, or is not. */
    return fill(file->pipe, parts, total > PAGE ? kernel_cut(total) : total);
}
