/* SPDX-License-Identifier: MIT */
/*
 * The table of simulated calls. Each lets time pass and others get on, does what it does, and is noted.
 */
#include "kernel.h"

#include <errno.h>

static uint64_t sim_now_ns(void)
{
    kernel_enter();
    kernel_leave("now", 0, 0, 0);
    return kernel.now_ns;
}

static bool sim_several_processors(void)
{
    return kernel.options.processors > 1;
}

static unsigned sim_processors(void)
{
    return kernel.options.processors > 0 ? kernel.options.processors : 1;
}

/* A process moves to another now and then. */
static unsigned sim_processor(void)
{
    return 1 + (kernel.running->number + (unsigned)(kernel.now_ns >> 22)) % sim_processors();
}

static bool sim_single_threaded(void)
{
    return !kernel.options.threads;
}

static int sim_socketpair(int type, int ret[2])
{
    kernel_enter();
    return (int)kernel_leave("socketpair", -1, type, sockets_make(type, ret));
}

static ssize_t sim_send(int fd, const struct iovec *parts, size_t part_count,
                        const int *descriptors, size_t descriptor_count)
{
    size_t size = 0;

    for (size_t i = 0; i < part_count; i++)
        size += parts[i].iov_len;
    kernel_enter();
    return kernel_leave(descriptor_count > 0 ? "send with descriptors" : "send", fd, (long)size,
                        sockets_send(fd, parts, part_count, descriptors, descriptor_count));
}

static ssize_t sim_receive(int fd, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    kernel_enter();
    ssize_t received = sockets_receive(fd, bytes, size, arrival);

    return kernel_leave(arrival->count > 0 ? "receive of descriptors" : "receive", fd, (long)size,
                        received);
}

static int sim_shutdown(int fd, int how)
{
    kernel_enter();
    return (int)kernel_leave("shutdown", fd, how, sockets_shutdown(fd, how));
}

static int sim_socket_get(int fd, int name, int *ret)
{
    kernel_enter();
    return (int)kernel_leave("socket_get", fd, name, sockets_get(fd, name, ret));
}

static int sim_socket_set(int fd, int name, int value)
{
    kernel_enter();
    return (int)kernel_leave("socket_set", fd, name, sockets_set(fd, name, value));
}

static int sim_socket_connected(int fd)
{
    kernel_enter();
    return (int)kernel_leave("socket_connected", fd, 0, sockets_connected(fd));
}

static ssize_t sim_queued(int fd)
{
    kernel_enter();
    return kernel_leave("queued", fd, 0, sockets_queued(fd));
}

static int sim_examine(int fd, struct dxi_nature *ret)
{
    kernel_enter();
    return (int)kernel_leave("examine", fd, 0, files_examine(fd, ret));
}

static ssize_t sim_read(int fd, void *bytes, size_t size, bool waits)
{
    (void)waits;
    kernel_enter();
    return kernel_leave("read", fd, (long)size, pipes_read(fd, bytes, size));
}

static ssize_t sim_write(int fd, const struct iovec *parts, size_t part_count, bool waits)
{
    (void)waits;
    kernel_enter();
    return kernel_leave("write", fd, (long)part_count, pipes_write(fd, parts, part_count));
}

static int sim_region_create(size_t ring_size, struct dxi_region *ret, int *ret_fd)
{
    kernel_enter();
    return (int)kernel_leave("region_create", -1, (long)ring_size,
                             memory_create(ring_size, ret, ret_fd));
}

static int sim_region_map(int fd, size_t ring_size, struct dxi_region *ret)
{
    kernel_enter();
    return (int)kernel_leave("region_map", fd, (long)ring_size, memory_map(fd, ring_size, ret));
}

static void sim_region_unmap(struct dxi_region *region)
{
    kernel_enter();
    memory_unmap(region);
    kernel_leave("region_unmap", -1, 0, 0);
}

static int sim_poll(struct pollfd *descriptors, size_t count, uint64_t deadline_ns)
{
    kernel_enter();
    return (int)kernel_leave("poll", count > 0 ? descriptors[0].fd : -1, (long)count,
                             waits_poll(descriptors, count, deadline_ns));
}

static int sim_watch_open(void)
{
    kernel_enter();
    return (int)kernel_leave("watch_open", -1, 0, waits_watch_open());
}

static int sim_watch(int watch_fd, int fd, unsigned before, unsigned events, uint64_t key)
{
    kernel_enter();
    return (int)kernel_leave("watch", fd, (long)events,
                             waits_watch(watch_fd, fd, before, events, key));
}

static int sim_watched(int watch_fd, struct dxi_event *ret, size_t count, uint64_t deadline_ns)
{
    kernel_enter();
    return (int)kernel_leave("watched", watch_fd, (long)count,
                             waits_watched(watch_fd, ret, count, deadline_ns));
}

static int sim_close(int fd)
{
    struct process *self = kernel_enter();

    return (int)kernel_leave("close", fd, 0, file_close(self, fd));
}

static int sim_set_cloexec(int fd, bool on)
{
    kernel_enter();
    return (int)kernel_leave("set_cloexec", fd, on, files_set_cloexec(fd, on));
}

static int sim_set_nonblock(int fd, bool on)
{
    kernel_enter();
    return (int)kernel_leave("set_nonblock", fd, on, files_set_nonblock(fd, on));
}

static int sim_duplicate(int fd, int at_least)
{
    kernel_enter();
    return (int)kernel_leave("duplicate", fd, at_least, files_duplicate(fd, at_least));
}

static int sim_replace(int fd, int number)
{
    kernel_enter();
    return (int)kernel_leave("replace", fd, number, files_replace(fd, number));
}

static int sim_pipe(int ret[2])
{
    kernel_enter();
    return (int)kernel_leave("pipe", -1, 0, pipes_make(ret));
}

static int sim_open(const char *path, int flags)
{
    kernel_enter();
    return (int)kernel_leave("open", -1, flags, files_open(path, flags));
}

static pid_t sim_pid(void)
{
    return kernel.running->pid;
}

static pid_t sim_parent_pid(void)
{
    const struct process *parent = kernel_enter()->parent;

    return (pid_t)kernel_leave("parent_pid", -1, 0, parent ? parent->pid : 1);
}

static int sim_resident(pid_t pid, uint64_t *ret_bytes)
{
    kernel_enter();
    return (int)kernel_leave("resident", -1, pid, processes_resident(pid, ret_bytes));
}

static int sim_pidfd_open(pid_t pid)
{
    kernel_enter();
    return (int)kernel_leave("pidfd_open", -1, pid, processes_pidfd_open(pid));
}

static int sim_peer_pidfd(int fd)
{
    kernel_enter();
    return (int)kernel_leave("peer_pidfd", fd, 0, sockets_peer_pidfd(fd));
}

static int sim_signal(int pidfd, pid_t pid, int signal)
{
    kernel_enter();
    return (int)kernel_leave("signal", pidfd, signal, processes_signal(pidfd, pid, signal));
}

static int sim_signal_group(int pidfd, pid_t leader, int signal)
{
    kernel_enter();
    return (int)kernel_leave("signal_group", pidfd, signal,
                             processes_signal_group(pidfd, leader, signal));
}

static int sim_reap(int pidfd, struct dxi_ended *ret)
{
    kernel_enter();
    return (int)kernel_leave("reap", pidfd, 0, processes_reap(pidfd, ret));
}

static int sim_start(const struct dxi_start *start, struct dxi_started *ret)
{
    kernel_enter();
    return (int)kernel_leave("start", -1, 0, birth_start(start, ret));
}

static int sim_fork(const struct dxi_start *start, struct dxi_started *ret)
{
    kernel_enter();
    return (int)kernel_leave("fork", -1, 0, birth_fork(start, ret));
}

const struct dxi_os simulated_os = {
    .allocate = memory_allocate,
    .resize = memory_resize,
    .release = memory_release,
    .now_ns = sim_now_ns,
    .several_processors = sim_several_processors,
    .processors = sim_processors,
    .processor = sim_processor,
    .single_threaded = sim_single_threaded,
    .socketpair = sim_socketpair,
    .send = sim_send,
    .receive = sim_receive,
    .shutdown = sim_shutdown,
    .socket_get = sim_socket_get,
    .socket_set = sim_socket_set,
    .socket_connected = sim_socket_connected,
    .queued = sim_queued,
    .examine = sim_examine,
    .read = sim_read,
    .write = sim_write,
    .region_create = sim_region_create,
    .region_map = sim_region_map,
    .region_unmap = sim_region_unmap,
    .poll = sim_poll,
    .watch_open = sim_watch_open,
    .watch = sim_watch,
    .watched = sim_watched,
    .close = sim_close,
    .discard = sim_close,
    .set_cloexec = sim_set_cloexec,
    .set_nonblock = sim_set_nonblock,
    .duplicate = sim_duplicate,
    .replace = sim_replace,
    .pipe = sim_pipe,
    .open = sim_open,
    .pid = sim_pid,
    .parent_pid = sim_parent_pid,
    .resident = sim_resident,
    .pidfd_open = sim_pidfd_open,
    .peer_pidfd = sim_peer_pidfd,
    .signal = sim_signal,
    .signal_group = sim_signal_group,
    .reap = sim_reap,
    .start = sim_start,
    .fork = sim_fork,
};
