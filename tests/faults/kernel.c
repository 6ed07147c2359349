/* SPDX-License-Identifier: MIT */
/*
 * System calls that fail where they are told to. The linker puts __wrap_NAME in the place of each NAME
 * that this program and the library in it call (--wrap, see tests/CMakeLists.txt), so that src/os itself
 * meets the errors of the kernel.
 *
 * Some of this runs in a child of clone(2) that has the memory of its parent and a small stack.
 */
#include "injector.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <poll.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define WRAP_BY(due, type, name, parameters, arguments)                                            \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    FAULT_IN_CHILD type __wrap_##name parameters                                                   \
    {                                                                                              \
        int error = due;                                                                           \
                                                                                                   \
        if (error > 0) {                                                                           \
            errno = error;                                                                         \
            return (type)-1;                                                                       \
        }                                                                                          \
        return __real_##name arguments;                                                            \
    }

#define WRAP(id, type, name, parameters, arguments)                                                \
    WRAP_BY(fault_due(CALL_##id), type, name, parameters, arguments)

WRAP(SYS_SOCKETPAIR, int, socketpair, (int domain, int type, int protocol, int fds[2]),
     (domain, type, protocol, fds))
WRAP_BY(fault_due_of_send(CALL_SYS_SEND, fd, size), ssize_t, send,
        (int fd, const void *bytes, size_t size, int flags), (fd, bytes, size, flags))
WRAP_BY(fault_due_of_send(CALL_SYS_SENDMSG, fd, SIZE_MAX), ssize_t, sendmsg,
        (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP_BY(fault_due_of_receive(CALL_SYS_RECV, fd), ssize_t, recv,
        (int fd, void *bytes, size_t size, int flags), (fd, bytes, size, flags))
WRAP_BY(fault_due_of_receive(CALL_SYS_RECVMSG, fd), ssize_t, recvmsg,
        (int fd, struct msghdr *message, int flags), (fd, message, flags))
WRAP(SYS_FSTAT, int, fstat, (int fd, struct stat *status), (fd, status))
WRAP(SYS_READ, ssize_t, read, (int fd, void *bytes, size_t size), (fd, bytes, size))
WRAP(SYS_WRITEV, ssize_t, writev, (int fd, const struct iovec *parts, int count),
     (fd, parts, count))
WRAP(SYS_DUP2, int, dup2, (int fd, int number), (fd, number))
WRAP(SYS_PIPE2, int, pipe2, (int fds[2], int flags), (fds, flags))
WRAP(SYS_PPOLL, int, ppoll,
     (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask),
     (fds, count, timeout, mask))
WRAP(SYS_POLL, int, poll, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout))
WRAP(SYS_EPOLL_WAIT, int, epoll_wait, (int fd, struct epoll_event *events, int count, int timeout),
     (fd, events, count, timeout))
WRAP(SYS_MMAP, void *, mmap, (void *at, size_t size, int access, int flags, int fd, off_t offset),
     (at, size, access, flags, fd, offset))
WRAP(SYS_MADVISE, int, madvise, (void *at, size_t size, int advice), (at, size, advice))
WRAP(SYS_MEMFD_CREATE, int, memfd_create, (const char *name, unsigned flags), (name, flags))
WRAP(SYS_FTRUNCATE, int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(SYS_FALLOCATE, int, fallocate, (int fd, int mode, off_t offset, off_t size),
     (fd, mode, offset, size))
WRAP(SYS_FSTATFS, int, fstatfs, (int fd, struct statfs *system), (fd, system))
WRAP(SYS_GETRLIMIT, int, getrlimit, (__rlimit_resource_t resource, struct rlimit *limit),
     (resource, limit))
WRAP(SYS_FORK, pid_t, fork, (void), ())
WRAP(SYS_WAITID_PID, int, waitid, (idtype_t kind, id_t id, siginfo_t *info, int options),
     (kind, id, info, options))
WRAP(SYS_AFFINITY, int, sched_getaffinity, (pid_t pid, size_t size, cpu_set_t *set),
     (pid, size, set))

/* A failed close(2) has closed the descriptor all the same. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    int error = fault_due(CALL_SYS_CLOSE);
    int status = __real_close(fd);

    if (error > 0) {
        errno = error;
        return -1;
    }
    return status;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    int error = fault_due(CALL_SYS_OPEN);
    va_list arguments;

    if (error > 0) {
        errno = error;
        return -1;
    }
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;

    va_end(arguments);
    return __real_open(path, flags, mode);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    int error = fault_due(CALL_SYS_FCNTL);
    va_list arguments;

    if (error > 0) {
        errno = error;
        return -1;
    }
    va_start(arguments, command);
    long argument = va_arg(arguments, long);

    va_end(arguments);
    return __real_fcntl(fd, command, argument);
}

typedef int clone_function(void *);

int __real_clone(clone_function *function, void *stack, int flags, void *argument, ...);
int __wrap_clone(clone_function *function, void *stack, int flags, void *argument, ...);
int __wrap_clone(clone_function *function, void *stack, int flags, void *argument, ...)
{
    int error = fault_due(CALL_SYS_CLONE);
    va_list arguments;

    if (error > 0) {
        errno = error;
        return -1;
    }
    va_start(arguments, argument);
    int *pidfd = va_arg(arguments, int *);

    va_end(arguments);
    return __real_clone(function, stack, flags, argument, pidfd, NULL, NULL);
}

/* What is made by number. -1: it does not fail. */
FAULT_IN_CHILD static int call_of(long number)
{
    switch (number) {
    case SYS_pidfd_open:
        return CALL_SYS_PIDFD_OPEN;
    case SYS_pidfd_send_signal:
        return CALL_SYS_PIDFD_SIGNAL;
    case SYS_waitid:
        return CALL_SYS_WAITID;
    case SYS_preadv2:
        return CALL_SYS_PREADV2;
    case SYS_pwritev2:
        return CALL_SYS_PWRITEV2;
    case SYS_rt_sigaction:
        return CALL_SYS_SIGACTION;
    case SYS_fcntl:
        return CALL_SYS_CHILD_FCNTL;
    case SYS_dup3:
        return CALL_SYS_DUP3;
    case SYS_close_range:
        return CALL_SYS_CLOSE_RANGE;
    case SYS_prlimit64:
        return CALL_SYS_PRLIMIT;
    case SYS_setpgid:
        return CALL_SYS_SETPGID;
    case SYS_setsid:
        return CALL_SYS_SETSID;
    case SYS_setgroups:
        return CALL_SYS_SETGROUPS;
    case SYS_setresgid:
        return CALL_SYS_SETRESGID;
    case SYS_setresuid:
        return CALL_SYS_SETRESUID;
    case SYS_openat:
        return CALL_SYS_CHILD_OPENAT;
    case SYS_getdents64:
        return CALL_SYS_CHILD_LIST;
    case SYS_close:
        return CALL_SYS_CHILD_CLOSE;
    case SYS_faccessat:
        return CALL_SYS_FACCESSAT;
    case SYS_clone:
        return CALL_SYS_CLONE_COPY;
    case SYS_chdir:
        return CALL_SYS_CHDIR;
    case SYS_prctl:
        return CALL_SYS_PRCTL;
    case SYS_execve:
        return CALL_SYS_EXECVE;
    default:
        return -1;
    }
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
FAULT_IN_CHILD long __wrap_syscall(long number, ...)
{
    int call = call_of(number);
    int error = call >= 0 ? fault_due((enum fault_call)call) : 0;
    va_list arguments;
    long a[6];

    if (error > 0 && number != SYS_close) {
        errno = error;
        return -1;
    }
    /* As many as any call has; what was not given is not looked at by the kernel. */
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    long status = __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);

    /* A failed close(2), as above. */
    if (error > 0) {
        errno = error;
        return -1;
    }
    return status;
}
