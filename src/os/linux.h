/* SPDX-License-Identifier: MIT */
/*
 * The functions of the Linux table, shared among the files of this folder only.
 */
#ifndef DUPLEX_OS_LINUX_H
#define DUPLEX_OS_LINUX_H

#include "os/os.h"

void *dxi_linux_allocate(size_t size);
void *dxi_linux_resize(void *memory, size_t size);
void dxi_linux_release(void *memory);
uint64_t dxi_linux_now_ns(void);
unsigned dxi_linux_processors(void);
bool dxi_linux_several_processors(void);
unsigned dxi_linux_processor(void);
bool dxi_linux_single_threaded(void);

int dxi_linux_socketpair(int type, int ret[2]);
ssize_t dxi_linux_send(int fd, const struct iovec *parts, size_t part_count, const int *descriptors,
                       size_t descriptor_count);
ssize_t dxi_linux_receive(int fd, void *bytes, size_t size, struct dxi_arrival *arrival);
int dxi_linux_shutdown(int fd, int how);
int dxi_linux_socket_get(int fd, int name, int *ret);
int dxi_linux_socket_set(int fd, int name, int value);
int dxi_linux_socket_connected(int fd);
ssize_t dxi_linux_queued(int fd);
int dxi_linux_examine(int fd, struct dxi_nature *ret);
ssize_t dxi_linux_read(int fd, void *bytes, size_t size, bool waits);
ssize_t dxi_linux_write(int fd, const struct iovec *parts, size_t part_count, bool waits);
int dxi_linux_poll(struct pollfd *descriptors, size_t count, uint64_t deadline_ns);
int dxi_linux_watch_open(void);
int dxi_linux_watch(int watch_fd, int fd, unsigned before, unsigned events, uint64_t key);
int dxi_linux_watched(int watch_fd, struct dxi_event *ret, size_t count, uint64_t deadline_ns);
int dxi_linux_close(int fd);
int dxi_linux_discard(int fd);
int dxi_linux_set_cloexec(int fd, bool on);
int dxi_linux_set_nonblock(int fd, bool on);
int dxi_linux_duplicate(int fd, int at_least);
int dxi_linux_replace(int fd, int number);
int dxi_linux_pipe(int ret[2]);
int dxi_linux_open(const char *path, int flags);

pid_t dxi_linux_pid(void);
pid_t dxi_linux_parent_pid(void);
int dxi_linux_resident(pid_t pid, uint64_t *ret_bytes);
int dxi_linux_pidfd_open(pid_t pid);
int dxi_linux_peer_pidfd(int fd);
int dxi_linux_signal(int pidfd, pid_t pid, int signal);
int dxi_linux_signal_group(int pidfd, pid_t leader, int signal);
int dxi_linux_reap(int pidfd, struct dxi_ended *ret);
int dxi_linux_start(const struct dxi_start *start, struct dxi_started *ret);
int dxi_linux_fork(const struct dxi_start *start, struct dxi_started *ret);

#endif
