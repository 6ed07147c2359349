/* SPDX-License-Identifier: MIT */
/*
 * Pipes, terminals and files: what a program may have as standard input and output besides sockets.
 *
 * They know no MSG_DONTWAIT, and O_NONBLOCK belongs to the open file description, which others
 * share: so each call says RWF_NOWAIT for itself (pipes since Linux 6.4). Where that is not known
 * (FIFOs, terminals, older kernels, filters), poll(2) is asked first: a pipe that is readable gives
 * at once what it holds, and one that is writable has room for PIPE_BUF bytes. That holds as long
 * as nobody else reads or writes it at the same time.
 *
 * A write to a pipe that nobody reads raises SIGPIPE, which no library may let through nor switch
 * off for the process. RWF_NOSIGNAL prevents it (Linux 6.18); else the thread blocks it for the
 * length of the call, and takes back the one that it caused.
 */
#include "os/linux.h"
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define TELL_SANITIZER(bytes, size) __msan_unpoison(bytes, size)
#endif
#endif
#ifndef TELL_SANITIZER
#define TELL_SANITIZER(bytes, size) ((void)(bytes), (void)(size))
#endif

/* The headers of Debian 12 lack the second. */
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x8
#endif
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x100
#endif

/* More parts than this are not written in one call. */
enum { PARTS_MAX = 8 };

/* A writable terminal has room for a little at least. */
enum { TERMINAL_MOST = 256 };

/* Whether the kernel has been found not to know RWF_NOSIGNAL. */
static _Atomic bool signals_always;

int dxi_linux_examine(int fd, struct dxi_nature *ret)
{
    int flags = fcntl(fd, F_GETFL);
    int own_flags = fcntl(fd, F_GETFD);
    struct stat status;

    if (flags < 0 || own_flags < 0 || fstat(fd, &status) < 0)
        return -errno;
    /* A mere name of a file, which cannot be read or written. */
    if ((flags & O_PATH) != 0)
        return -EBADF;
    ret->readable = (flags & O_ACCMODE) != O_WRONLY;
    ret->writable = (flags & O_ACCMODE) != O_RDONLY;
    ret->is_fifo = S_ISFIFO(status.st_mode);
    ret->cloexec = (own_flags & FD_CLOEXEC) != 0;
    ret->device = (uint64_t)status.st_dev;
    ret->inode = (uint64_t)status.st_ino;
    switch (status.st_mode & S_IFMT) {
    case S_IFSOCK:
        ret->sort = DXI_SORT_SOCKET;
        break;
    case S_IFIFO:
    case S_IFCHR:
        ret->sort = DXI_SORT_PIPE;
        break;
    case S_IFREG:
    case S_IFBLK:
        ret->sort = DXI_SORT_FILE;
        break;
    default:
        ret->sort = DXI_SORT_NONE;
        break;
    }
    return 0;
}

/* The kernel, the file or a filter does not know the call or its flags. */
static bool is_unknown(ssize_t status)
{
    return status == -EOPNOTSUPP || status == -ENOSYS || status == -EPERM || status == -EINVAL;
}

static bool is_ready(int fd, short events)
{
    struct pollfd source = {.fd = fd, .events = events};

    return dxi_linux_poll(&source, 1, 0) > 0;
}

/* The offset -1 is the present one. Its two halves are passed as 32-bit systems want them. */
static ssize_t read_at_once(int fd, void *bytes, size_t size)
{
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    long received;

    do
        received = syscall(SYS_preadv2, fd, &part, 1, -1L, -1L, RWF_NOWAIT);
    while (received < 0 && errno == EINTR);
    if (received < 0)
        return -errno;
    /* The memory sanitizer does not know what this call writes. */
    TELL_SANITIZER(bytes, (size_t)received);
    return (ssize_t)received;
}

ssize_t dxi_linux_read(int fd, void *bytes, size_t size, bool waits)
{
    if (waits) {
        ssize_t received = read_at_once(fd, bytes, size);

        if (!is_unknown(received))
            return received;
    }
    for (;;) {
        if (waits && !is_ready(fd, POLLIN))
            return -EAGAIN;
        ssize_t received = read(fd, bytes, size);

        if (received >= 0 || errno != EINTR)
            return received < 0 ? -errno : received;
    }
}

static ssize_t write_at_once(int fd, const struct iovec *parts, size_t part_count, int flags)
{
    long sent;

    do
        sent = syscall(SYS_pwritev2, fd, parts, part_count, -1L, -1L, flags);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : (ssize_t)sent;
}

/* The first bytes of the parts, so many at most. Returns how many parts they take. */
static size_t cut(const struct iovec *parts, size_t part_count, size_t most,
                  struct iovec ret[PARTS_MAX])
{
    size_t count = 0;

    for (; count < part_count && count < PARTS_MAX && most > 0; count++) {
        ret[count] = parts[count];
        if (ret[count].iov_len > most)
            ret[count].iov_len = most;
        most -= ret[count].iov_len;
    }
    return count;
}

static ssize_t write_if_ready(int fd, const struct iovec *parts, size_t part_count)
{
    struct iovec few[PARTS_MAX];
    struct stat status;
    bool is_pipe = fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
    size_t count = cut(parts, part_count, is_pipe ? PIPE_BUF : TERMINAL_MOST, few);

    for (;;) {
        if (!is_ready(fd, POLLOUT))
            return -EAGAIN;
        ssize_t sent = writev(fd, few, (int)count);

        if (sent >= 0 || errno != EINTR)
            return sent < 0 ? -errno : sent;
    }
}

static ssize_t write_with_signals(int fd, const struct iovec *parts, size_t part_count)
{
    ssize_t sent = write_at_once(fd, parts, part_count, RWF_NOWAIT);

    if (is_unknown(sent))
        return write_if_ready(fd, parts, part_count);
    /* What it refused before was the other flag. */
    atomic_store_explicit(&signals_always, true, memory_order_relaxed);
    return sent;
}

/*
 * The signal that a write raises is the thread's own, and those come out before the process's. It
 * merges with one that was pending before, which must stay: that can be only if the thread had it
 * blocked before.
 */
static ssize_t write_quietly(int fd, const struct iovec *parts, size_t part_count)
{
    sigset_t broken_pipe, before, pending;

    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
    bool stays = sigismember(&before, SIGPIPE) == 1 && sigpending(&pending) == 0 &&
                 sigismember(&pending, SIGPIPE) == 1;
    ssize_t sent = write_with_signals(fd, parts, part_count);

    if (sent == -EPIPE && !stays) {
        const struct timespec now = {0};

        while (sigtimedwait(&broken_pipe, NULL, &now) < 0 && errno == EINTR)
            continue;
    }
    if (sigismember(&before, SIGPIPE) != 1)
        pthread_sigmask(SIG_UNBLOCK, &broken_pipe, NULL);
    return sent;
}

ssize_t dxi_linux_write(int fd, const struct iovec *parts, size_t part_count, bool waits)
{
    if (!waits) {
        for (;;) {
            ssize_t sent = writev(fd, parts, (int)part_count);

            if (sent >= 0 || errno != EINTR)
                return sent < 0 ? -errno : sent;
        }
    }
    if (!atomic_load_explicit(&signals_always, memory_order_relaxed)) {
        ssize_t sent = write_at_once(fd, parts, part_count, RWF_NOWAIT | RWF_NOSIGNAL);

        if (!is_unknown(sent))
            return sent;
    }
    return write_quietly(fd, parts, part_count);
}

int dxi_linux_replace(int fd, int number)
{
    if (fd == number)
        return 0;
    for (;;) {
        if (dup2(fd, number) >= 0)
            return 0;
        if (errno != EINTR && errno != EBUSY)
            return -errno;
    }
}
