/* SPDX-License-Identifier: MIT */
/*
 * Sockets and descriptors, as Linux has them.
 *
 * Every send and receive here carries its own MSG_DONTWAIT: O_NONBLOCK belongs to the open file
 * description, which the peer or a grandchild may share and flip. Descriptors are received
 * atomically close-on-exec, so that no program started by another thread inherits one.
 */
#include "os/linux.h"
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel takes no more in one message (SCM_MAX_FD). */
enum { DESCRIPTORS_MAX = 253 };

/* Linux 6.5; the headers of Debian 12 lack it. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static int result(int value)
{
    return value < 0 ? -errno : value;
}

int dxi_linux_socketpair(int type, int ret[2])
{
    return result(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret));
}

/*
 * A signal may interrupt even a call that does not block, and has then moved nothing. Who calls is never
 * told of it.
 */
static ssize_t send_bytes(int fd, const struct iovec *part)
{
    ssize_t sent;

    do
        sent = send(fd, part->iov_base, part->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

static ssize_t send_whole(int fd, const struct msghdr *message)
{
    ssize_t sent;

    do
        sent = sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

/* Who sent it comes before the descriptors. */
union control_buffer {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
};

ssize_t dxi_linux_send(int fd, const struct iovec *parts, size_t part_count, const int *descriptors,
                       size_t descriptor_count)
{
    struct msghdr message = {
        .msg_iov = (struct iovec *)parts,
        .msg_iovlen = part_count,
    };

    /* The call for one part is the cheaper one: the kernel has less to copy in and to check. */
    if (descriptor_count == 0)
        return part_count == 1 ? send_bytes(fd, parts) : send_whole(fd, &message);
    if (descriptor_count > DESCRIPTORS_MAX)
        return -EINVAL;

    union control_buffer control;
    size_t size = sizeof(int) * descriptor_count;

    memset(&control, 0, CMSG_SPACE(size));
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(size);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(header), descriptors, size);
    return send_whole(fd, &message);
}

/* Move what came into the arrival; whatever does not fit is closed, as it is nobody's. */
static void collect(struct msghdr *message, struct dxi_arrival *arrival)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS)
            arrival->has_sender = true;
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
            if (arrival->count < arrival->capacity) {
                arrival->descriptors[arrival->count++] = fd;
            } else {
                (void)dxi_linux_discard(fd);
                arrival->lost = true;
            }
        }
    }
}

/* Only bytes can come. The call for that is the cheaper one. */
static ssize_t receive_bytes(int fd, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    /* MSG_TRUNC has a packet's true size returned; a stream would discard bytes for it. */
    int whole = arrival->packets ? MSG_TRUNC : 0;
    ssize_t received;

    do
        received = recv(fd, bytes, size, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | whole);
    while (received < 0 && errno == EINTR);
    if (received < 0)
        return -errno;
    arrival->cut = (size_t)received > size;
    return arrival->cut ? (ssize_t)size : received;
}

ssize_t dxi_linux_receive(int fd, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    arrival->count = 0;
    arrival->lost = false;
    arrival->cut = false;
    arrival->has_sender = false;
    if (arrival->barred)
        return receive_bytes(fd, bytes, size, arrival);

    struct iovec part = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control_buffer control;

    /* With room for all of them, though few are welcome: the kernel would close the rest, and wait. */
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof(control.bytes);
    ssize_t received;

    do
        received = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    if (received < 0)
        return -errno;
    arrival->lost = (message.msg_flags & MSG_CTRUNC) != 0;
    arrival->cut = (message.msg_flags & MSG_TRUNC) != 0;
    if (message.msg_controllen > 0)
        collect(&message, arrival);
    return received;
}

int dxi_linux_shutdown(int fd, int how)
{
    return result(shutdown(fd, how));
}

int dxi_linux_socket_get(int fd, int name, int *ret)
{
    socklen_t size = sizeof(*ret);

    return result(getsockopt(fd, SOL_SOCKET, name, ret, &size));
}

int dxi_linux_socket_set(int fd, int name, int value)
{
    return result(setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value)));
}

int dxi_linux_socket_connected(int fd)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof(peer);

    return result(getpeername(fd, (struct sockaddr *)&peer, &size));
}

int dxi_linux_peer_pidfd(int fd)
{
    int pidfd = -1;
    int error = dxi_linux_socket_get(fd, SO_PEERPIDFD, &pidfd);

    /* The kernel makes the pidfd close-on-exec by itself. */
    return error < 0 ? error : pidfd;
}

ssize_t dxi_linux_queued(int fd)
{
    int bytes = 0;

    return ioctl(fd, FIONREAD, &bytes) < 0 ? -errno : bytes;
}

int dxi_linux_poll(struct pollfd *descriptors, size_t count, uint64_t deadline_ns)
{
    for (;;) {
        struct timespec left = {0};
        struct timespec *timeout = &left;

        if (deadline_ns == UINT64_MAX) {
            timeout = NULL;
        } else if (deadline_ns != 0) {
            uint64_t now = dxi_linux_now_ns();

            if (now < deadline_ns) {
                left.tv_sec = (time_t)((deadline_ns - now) / 1000000000U);
                left.tv_nsec = (long)((deadline_ns - now) % 1000000000U);
            }
        }
        int ready = ppoll(descriptors, count, timeout, NULL);

        if (ready >= 0 || errno != EINTR)
            return result(ready);
    }
}

int dxi_linux_close(int fd)
{
    /* On Linux the descriptor is gone even after EINTR; closing it again could hit another one. */
    return result(close(fd));
}

int dxi_linux_discard(int fd)
{
    const struct linger off = {0};

    /* ENOTSOCK of everything else. */
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
    return dxi_linux_close(fd);
}

int dxi_linux_set_cloexec(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFD);

    if (flags < 0)
        return -errno;
    flags = on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
    return result(fcntl(fd, F_SETFD, flags));
}

int dxi_linux_set_nonblock(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    if (((flags & O_NONBLOCK) != 0) == on)
        return 0;
    return fcntl(fd, F_SETFL, flags ^ O_NONBLOCK) < 0 ? -errno : 1;
}

int dxi_linux_duplicate(int fd, int at_least)
{
    return result(fcntl(fd, F_DUPFD_CLOEXEC, at_least));
}

int dxi_linux_pipe(int ret[2])
{
    return result(pipe2(ret, O_CLOEXEC));
}

int dxi_linux_open(const char *path, int flags)
{
    for (;;) {
        int fd = open(path, flags | O_CLOEXEC);

        if (fd >= 0 || errno != EINTR)
            return result(fd);
    }
}
