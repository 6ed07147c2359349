/* SPDX-License-Identifier: MIT */
/*
 * The table of the operating system that fails where it is told to, and else is that of Linux.
 */
#include "injector.h"

#include "os/os.h"

#include <errno.h>
#include <sys/socket.h>

long fault_blocks, fault_regions;

static struct dxi_os table;

static void *allocate(size_t size)
{
    void *memory = fault_due(CALL_ALLOCATE) ? NULL : dxi_linux.allocate(size);

    fault_blocks += memory != NULL;
    return memory;
}

static void *resize(void *memory, size_t size)
{
    void *resized = fault_due(CALL_RESIZE) ? NULL : dxi_linux.resize(memory, size);

    fault_blocks += resized != NULL && memory == NULL;
    return resized;
}

static void release(void *memory)
{
    fault_blocks -= memory != NULL;
    dxi_linux.release(memory);
}

static bool is_stream(int fd)
{
    int type = 0;

    return dxi_linux.socket_get(fd, SO_TYPE, &type) == 0 && type == SOCK_STREAM;
}

static size_t size_of(const struct iovec *parts, size_t part_count)
{
    size_t size = 0;

    for (size_t i = 0; i < part_count; i++)
        size += parts[i].iov_len;
    return size;
}

/* The first byte, unless the parts are empty. */
static void cut(const struct iovec *parts, size_t part_count, struct iovec *ret)
{
    *ret = (struct iovec){0};
    for (size_t i = 0; i < part_count && ret->iov_len == 0; i++)
        *ret = (struct iovec){parts[i].iov_base, parts[i].iov_len > 0};
}

static ssize_t send_parts(int fd, const struct iovec *parts, size_t part_count,
                          const int *descriptors, size_t descriptor_count)
{
    int error = fault_due_of_send(CALL_SEND, fd, size_of(parts, part_count));
    struct iovec first;

    if (error > 0)
        return -error;
    if (error == FAULT_SHORT && is_stream(fd)) {
        cut(parts, part_count, &first);
        parts = &first;
        part_count = 1;
    }
    return dxi_linux.send(fd, parts, part_count, descriptors, descriptor_count);
}

static ssize_t receive(int fd, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    int error = fault_due_of_receive(CALL_RECEIVE, fd);

    if (error > 0) {
        arrival->count = 0;
        arrival->lost = arrival->cut = false;
        return -error;
    }
    if (error == FAULT_SHORT && size > 1 && is_stream(fd))
        size = 1;
    return dxi_linux.receive(fd, bytes, size, arrival);
}

static ssize_t read_bytes(int fd, void *bytes, size_t size, bool waits)
{
    int error = fault_due(CALL_READ);

    if (error > 0)
        return -error;
    if (error == FAULT_SHORT && size > 1)
        size = 1;
    return dxi_linux.read(fd, bytes, size, waits);
}

static ssize_t write_parts(int fd, const struct iovec *parts, size_t part_count, bool waits)
{
    int error = fault_due(CALL_WRITE);
    struct iovec first;

    if (error > 0)
        return -error;
    if (error == FAULT_SHORT) {
        cut(parts, part_count, &first);
        parts = &first;
        part_count = 1;
    }
    return dxi_linux.write(fd, parts, part_count, waits);
}

static int shut_down(int fd, int how)
{
    int error = fault_due_of_receive(CALL_SHUTDOWN, fd);

    return error > 0 ? -error : dxi_linux.shutdown(fd, how);
}

/* A failed close(2) has closed the descriptor all the same. */
static int close_descriptor(int fd)
{
    int error = fault_due(CALL_CLOSE);
    int status = dxi_linux.close(fd);

    return error > 0 ? -error : status;
}

static int discard_descriptor(int fd)
{
    int error = fault_due(CALL_DISCARD);
    int status = dxi_linux.discard(fd);

    return error > 0 ? -error : status;
}

static int region_create(size_t ring_size, struct dxi_region *ret, int *ret_fd)
{
    int error = fault_due(CALL_REGION_CREATE);

    error = error > 0 ? -error : dxi_linux.region_create(ring_size, ret, ret_fd);
    fault_regions += error == 0;
    return error;
}

static int region_map(int fd, size_t ring_size, struct dxi_region *ret)
{
    int error = fault_due(CALL_REGION_MAP);

    error = error > 0 ? -error : dxi_linux.region_map(fd, ring_size, ret);
    fault_regions += error == 0;
    return error;
}

static void region_unmap(struct dxi_region *region)
{
    fault_regions -= region->control != NULL;
    dxi_linux.region_unmap(region);
}

static int start(const struct dxi_start *recipe, struct dxi_started *ret)
{
    int error = fault_due(CALL_START);

    *ret = (struct dxi_started){.pid = -1, .pidfd = -1, .step = DXI_STEP_EXEC};
    return error > 0 ? -error : dxi_linux.start(recipe, ret);
}

static int fork_child(const struct dxi_start *recipe, struct dxi_started *ret)
{
    int error = fault_due(CALL_FORK);

    *ret = (struct dxi_started){.pid = -1, .pidfd = -1, .step = DXI_STEP_CLONE};
    return error > 0 ? -error : dxi_linux.fork(recipe, ret);
}

/* A function that fails without having done anything. */
#define FAILING(id, name, parameters, arguments)                                                   \
    static int failing_##name parameters                                                           \
    {                                                                                              \
        int error = fault_due(CALL_##id);                                                          \
                                                                                                   \
        return error > 0 ? -error : dxi_linux.name arguments;                                      \
    }

FAILING(SOCKETPAIR, socketpair, (int type, int ret[2]), (type, ret))
FAILING(SOCKET_GET, socket_get, (int fd, int name, int *ret), (fd, name, ret))
FAILING(SOCKET_SET, socket_set, (int fd, int name, int value), (fd, name, value))
FAILING(CONNECTED, socket_connected, (int fd), (fd))
FAILING(EXAMINE, examine, (int fd, struct dxi_nature *ret), (fd, ret))
FAILING(POLL, poll, (struct pollfd * descriptors, size_t count, uint64_t deadline_ns),
        (descriptors, count, deadline_ns))
FAILING(WATCH_OPEN, watch_open, (void), ())
FAILING(WATCH, watch, (int watch_fd, int fd, unsigned before, unsigned events, uint64_t key),
        (watch_fd, fd, before, events, key))
FAILING(WATCHED, watched, (int watch_fd, struct dxi_event *ret, size_t count, uint64_t deadline_ns),
        (watch_fd, ret, count, deadline_ns))
FAILING(SET_CLOEXEC, set_cloexec, (int fd, bool on), (fd, on))
FAILING(SET_NONBLOCK, set_nonblock, (int fd, bool on), (fd, on))
FAILING(DUPLICATE, duplicate, (int fd, int at_least), (fd, at_least))
FAILING(REPLACE, replace, (int fd, int number), (fd, number))
FAILING(PIPE, pipe, (int ret[2]), (ret))
FAILING(OPEN, open, (const char *path, int flags), (path, flags))
FAILING(RESIDENT, resident, (pid_t pid, uint64_t *ret_bytes), (pid, ret_bytes))
FAILING(PIDFD_OPEN, pidfd_open, (pid_t pid), (pid))
FAILING(PEER_PIDFD, peer_pidfd, (int fd), (fd))
FAILING(SIGNAL, signal, (int pidfd, pid_t pid, int signal), (pidfd, pid, signal))
FAILING(SIGNAL_GROUP, signal_group, (int pidfd, pid_t leader, int signal), (pidfd, leader, signal))
FAILING(REAP, reap, (int pidfd, struct dxi_ended *ret), (pidfd, ret))

static ssize_t queued(int fd)
{
    int error = fault_due(CALL_QUEUED);

    return error > 0 ? -error : dxi_linux.queued(fd);
}

void fault_install(void)
{
    table = dxi_linux;
    table.allocate = allocate;
    table.resize = resize;
    table.release = release;
    table.socketpair = failing_socketpair;
    table.send = send_parts;
    table.receive = receive;
    table.shutdown = shut_down;
    table.socket_get = failing_socket_get;
    table.socket_set = failing_socket_set;
    table.socket_connected = failing_socket_connected;
    table.queued = queued;
    table.examine = failing_examine;
    table.read = read_bytes;
    table.write = write_parts;
    table.region_create = region_create;
    table.region_map = region_map;
    table.region_unmap = region_unmap;
    table.poll = failing_poll;
    table.watch_open = failing_watch_open;
    table.watch = failing_watch;
    table.watched = failing_watched;
    table.close = close_descriptor;
    table.discard = discard_descriptor;
    table.set_cloexec = failing_set_cloexec;
    table.set_nonblock = failing_set_nonblock;
    table.duplicate = failing_duplicate;
    table.replace = failing_replace;
    table.pipe = failing_pipe;
    table.open = failing_open;
    table.resident = failing_resident;
    table.pidfd_open = failing_pidfd_open;
    table.peer_pidfd = failing_peer_pidfd;
    table.signal = failing_signal;
    table.signal_group = failing_signal_group;
    table.reap = failing_reap;
    table.start = start;
    table.fork = fork_child;
    fault_blocks = fault_regions = 0;
    dxi_os = &table;
}
