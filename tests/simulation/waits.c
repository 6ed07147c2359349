/* SPDX-License-Identifier: MIT */
/*
 * Simulated poll(2) and epoll(7), level-triggered: they look, and sleep until something is there.
 */
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t look(struct process *process, struct pollfd *descriptors, size_t count)
{
    size_t ready = 0;

    for (size_t i = 0; i < count; i++) {
        struct pollfd *polled = &descriptors[i];
        const struct file *file = file_of(process, polled->fd);

        polled->revents = 0;
        if (polled->fd < 0)
            continue;
        if (file == NULL)
            polled->revents = POLLNVAL;
        else
            polled->revents =
                (short)(file_events(file) &
                        ((unsigned)(unsigned short)polled->events | POLLERR | POLLHUP));
        ready += polled->revents != 0;
    }
    return ready;
}

int waits_poll(struct pollfd *descriptors, size_t count, uint64_t deadline_ns)
{
    struct process *self = kernel.running;

    for (;;) {
        size_t ready = look(self, descriptors, count);

        if (ready > 0 || deadline_ns <= kernel.now_ns)
            return (int)ready;
        self->polled = descriptors;
        self->polled_count = count;
        self->watched = -1;
        self->awaits = NULL;
        kernel_sleep(deadline_ns);
    }
}

static unsigned interest_events(const struct interest *interest)
{
    return file_events(interest->file) & (interest->events | POLLERR | POLLHUP);
}

unsigned waits_events(const struct file *file)
{
    for (size_t i = 0; i < file->set.count; i++) {
        if (interest_events(&file->set.interests[i]) != 0)
            return POLLIN | POLLRDNORM;
    }
    return 0;
}

bool waits_ready(struct process *process)
{
    if (process->awaits)
        return process->awaits(process);
    if (process->watched >= 0) {
        const struct file *file = file_of(process, process->watched);

        return file == NULL || waits_events(file) != 0;
    }
    for (size_t i = 0; i < process->polled_count; i++) {
        const struct pollfd *polled = &process->polled[i];
        const struct file *file = file_of(process, polled->fd);

        if (polled->fd < 0)
            continue;
        if (file == NULL || (file_events(file) &
                             ((unsigned)(unsigned short)polled->events | POLLERR | POLLHUP)) != 0)
            return true;
    }
    return false;
}

int waits_watch_open(void)
{
    return file_place(kernel.running, file_make(FILE_WATCH), 0, true);
}

void waits_close(struct file *file)
{
    free(file->set.interests);
}

static int find(int fd, struct watch_set **ret)
{
    struct file *file = file_of(kernel.running, fd);

    if (file == NULL)
        return -EBADF;
    if (file->kind != FILE_WATCH)
        return -EINVAL;
    *ret = &file->set;
    return 0;
}

static int add(struct watch_set *set, struct file *file, int fd, unsigned events, uint64_t key)
{
    if (set->count == set->capacity) {
        size_t capacity = set->capacity > 0 ? set->capacity * 2 : 8;
        struct interest *larger = realloc(set->interests, capacity * sizeof(*larger));

        if (larger == NULL)
            world_fail("no memory for a watch");
        set->interests = larger;
        set->capacity = capacity;
    }
    set->interests[set->count++] =
        (struct interest){.fd = fd, .file = file, .events = events, .key = key};
    return 0;
}

int waits_watch(int watch_fd, int fd, unsigned before, unsigned events, uint64_t key)
{
    struct watch_set *set;
    struct file *file = file_of(kernel.running, fd);

    if (before == events)
        return 0;
    if (file_of(kernel.running, watch_fd) == NULL || file == NULL)
        return -EBADF;
    if (file->kind == FILE_MEMORY || file->kind == FILE_NULL)
        return -EPERM;
    int error = find(watch_fd, &set);

    if (error < 0)
        return error;
    kernel_stir();
    for (size_t i = 0; i < set->count; i++) {
        struct interest *interest = &set->interests[i];

        if (interest->fd != fd || interest->file != file)
            continue;
        if (before == 0)
            return -EEXIST;
        if (events == 0) {
            set->count--;
            memmove(interest, interest + 1, (set->count - i) * sizeof(*interest));
        } else {
            interest->events = events;
            interest->key = key;
        }
        return 0;
    }
    return before == 0 ? add(set, file, fd, events, key) : -ENOENT;
}

/* What is no more takes itself out, as Linux has it; the library takes it out before. */
static void forget_closed(struct watch_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (file_of(kernel.running, set->interests[i].fd) != set->interests[i].file)
            world_fail("descriptor %d was closed while it was watched", set->interests[i].fd);
    }
}

int waits_watched(int watch_fd, struct dxi_event *ret, size_t count, uint64_t deadline_ns)
{
    struct process *self = kernel.running;

    /* epoll_wait(2) counts in whole milliseconds from now. */
    if (deadline_ns != 0 && deadline_ns != UINT64_MAX && deadline_ns > kernel.now_ns)
        deadline_ns = kernel.now_ns + (deadline_ns - kernel.now_ns + 999999) / 1000000 * 1000000;
    for (;;) {
        struct watch_set *set;
        int error = find(watch_fd, &set);
        size_t ready = 0;

        if (error < 0)
            return error;
        forget_closed(set);
        size_t from = random_below(&kernel.choices, set->count);

        for (size_t i = 0; i < set->count && ready < count; i++) {
            const struct interest *interest = &set->interests[(from + i) % set->count];
            unsigned events = interest_events(interest);

            if (events != 0)
                ret[ready++] = (struct dxi_event){.key = interest->key, .events = events};
        }
        if (ready > 0 || deadline_ns <= kernel.now_ns)
            return (int)ready;
        self->polled_count = 0;
        self->watched = watch_fd;
        self->awaits = NULL;
        kernel_sleep(deadline_ns);
    }
}
