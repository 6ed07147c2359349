/* SPDX-License-Identifier: MIT */
/*
 * The socket, or the two descriptors, between the channel and its peer. See world.h.
 */
#include "world.h"

#include "targets.h"

#include <string.h>
#include <sys/socket.h>

enum { IDLE_MAX = 1000 /* sleeps in one call until the deadline of a look */ };

bool world_say(const void *bytes, size_t size, unsigned descriptors)
{
    if (world.ended || size > sizeof(world.in) - world.in_size || world.count == WORLD_SEGMENTS ||
        (size == 0 && world.type == SOCK_STREAM))
        return false;
    if (size > 0)
        memcpy(world.in + world.in_size, bytes, size);
    world.segments[(world.first + world.count++) % WORLD_SEGMENTS] =
        (struct world_segment){world.in_size, size, descriptors};
    world.in_size += size;
    return true;
}

void world_hear(const void *bytes, size_t size)
{
    if (size > sizeof(world.out) - world.out_size)
        world.out_ended = true;
    if (world.out_ended)
        return;
    memcpy(world.out + world.out_size, bytes, size);
    world.out_size += size;
}

static void pass_descriptors(unsigned count, struct dxi_arrival *arrival)
{
    for (unsigned i = 0; i < count; i++) {
        /* A region's sort is the first, for whoever offers one. */
        int fd = arrival->count < arrival->capacity ? world_open(WORLD_MEMORY) : -1;

        if (fd < 0)
            arrival->lost = !arrival->barred;
        else
            arrival->descriptors[arrival->count++] = fd;
    }
}

static size_t take_segment(uint8_t *bytes, size_t size, struct dxi_arrival *arrival)
{
    struct world_segment *segment = &world.segments[world.first];
    size_t part = segment->size < size ? segment->size : size;

    if (part > 0)
        memcpy(bytes, world.in + segment->start, part);
    pass_descriptors(segment->descriptors, arrival);
    arrival->cut = part < segment->size && world.type != SOCK_STREAM;
    segment->descriptors = 0;
    segment->start += part;
    segment->size -= part;
    if (segment->size == 0 || world.type != SOCK_STREAM) {
        world.first = (world.first + 1) % WORLD_SEGMENTS;
        world.count--;
    }
    return part;
}

ssize_t world_receive(int fd, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    int fault = world_call(WORLD_RECEIVE);
    size_t done = 0;

    require(fd == WORLD_READ_FD && size > 0);
    arrival->count = 0;
    arrival->lost = arrival->cut = false;
    if (fault < 0)
        return fault;
    if (world.shut_in)
        return 0;
    if (world.count == 0)
        return world.ended ? 0 : -EAGAIN;
    /* A stream's read goes on until it has taken a segment that bore some. */
    do {
        bool bears = world.segments[world.first].descriptors > 0;

        if (bears && done > 0 && world.cpu % 2 == 0)
            break;
        done += take_segment((uint8_t *)bytes + done, size - done, arrival);
        if (bears)
            break;
    } while (world.type == SOCK_STREAM && world.count > 0 && done < size);
    return (ssize_t)done;
}

ssize_t world_read(int fd, void *bytes, size_t size, bool waits)
{
    struct dxi_arrival arrival = {0};

    (void)waits;
    return world_receive(fd, bytes, size, &arrival);
}

ssize_t world_queued(int fd)
{
    int fault = world_call(WORLD_QUEUED);
    size_t size = 0;

    if (fault < 0)
        return fault;
    if (fd == WORLD_WRITE_FD)
        return world.cpu % 3;
    for (unsigned i = 0; i < world.count; i++) {
        size += world.segments[(world.first + i) % WORLD_SEGMENTS].size;
        if (world.type != SOCK_STREAM)
            break;
    }
    return (ssize_t)size;
}

/* After the switch the socket carries words alone. */
static void hear_word(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++, world.words++)
        world.words_wrong =
            world.words_wrong || (world.words % DXI_HEADER_SIZE == 4 && bytes[i] != DXI_KIND_WAKE &&
                                  bytes[i] != DXI_KIND_DESCRIPTORS);
}

static ssize_t world_write(int fd, const struct iovec *parts, size_t part_count, bool waits)
{
    size_t total = 0, room = world.room, done = 0;
    bool ring = world.channel != NULL && world.channel->lane.course == DXI_COURSE_RING;

    (void)waits;
    require(fd == WORLD_READ_FD || fd == WORLD_WRITE_FD);
    for (size_t i = 0; i < part_count; i++)
        total += parts[i].iov_len;
    if (world.shut_out || world.closed)
        return -EPIPE;
    if (total > 0 && room == 0)
        return -EAGAIN;
    /* A packet is taken where there is any room, and so is a word of a stream (Linux, sock_alloc_send_pskb()). */
    if (world.type == SOCK_STREAM && !(ring && total <= DXI_HEADER_SIZE)) {
        if (world.portion > 0 && room > world.portion)
            room = world.portion;
        total = total < room ? total : room;
    }
    world.room -= total < world.room ? total : world.room;
    for (size_t i = 0; i < part_count && done < total; i++) {
        size_t part = parts[i].iov_len < total - done ? parts[i].iov_len : total - done;

        if (ring)
            hear_word(parts[i].iov_base, part);
        else
            world_hear(parts[i].iov_base, part);
        done += part;
    }
    return (ssize_t)total;
}

ssize_t world_send(int fd, const struct iovec *parts, size_t part_count, const int *descriptors,
                   size_t descriptor_count)
{
    int fault = world_call(WORLD_SEND);

    for (size_t i = 0; i < descriptor_count; i++)
        if (!world_is_open(descriptors[i]))
            return -EBADF;
    return fault < 0 ? fault : world_write(fd, parts, part_count, false);
}

ssize_t world_write_once(int fd, const struct iovec *parts, size_t part_count, bool waits)
{
    int fault = world_call(WORLD_SEND);

    return fault < 0 ? fault : world_write(fd, parts, part_count, waits);
}

int world_shutdown(int fd, int how)
{
    int fault = world_call(WORLD_SHUTDOWN);

    (void)fd;
    if (fault < 0)
        return fault;
    world.shut_out = true;
    world.shut_in = world.shut_in || how == SHUT_RDWR;
    return 0;
}

static bool is_ready(struct pollfd *entry)
{
    bool gone = world.ended;

    entry->revents = 0;
    if (entry->fd == WORLD_PIDFD && world.dead)
        entry->revents = POLLIN;
    if (entry->fd == WORLD_READ_FD) {
        if ((entry->events & POLLIN) != 0 && (world.count > 0 || gone || world.shut_in))
            entry->revents |= POLLIN;
        if (world.closed || (gone && world.shut_out))
            entry->revents |= POLLHUP;
    }
    if ((entry->fd == WORLD_READ_FD || entry->fd == WORLD_WRITE_FD) &&
        (entry->events & POLLOUT) != 0 && (world.room > 0 || world.closed || world.shut_out))
        entry->revents |= POLLOUT;
    return entry->revents != 0;
}

int world_poll(struct pollfd *descriptors, size_t count, uint64_t deadline_ns)
{
    int fault = world_call(WORLD_POLL);

    if (fault < 0)
        return fault;
    for (;;) {
        int ready = 0;

        for (size_t i = 0; i < count; i++)
            ready += is_ready(&descriptors[i]);
        if (ready > 0 || deadline_ns <= world.now_ns)
            return ready;
        if (world.act()) {
            world.idle = 0;
            continue;
        }
        if (deadline_ns != UINT64_MAX && ++world.idle < IDLE_MAX) {
            world.now_ns = deadline_ns;
            continue;
        }
        /* Nobody would ever wake it: the peer's death does. */
        require(count > 0 && !(world.dead && world.closed));
        world.idle = 0;
        world.dead = world.ended = world.closed = true;
    }
}
