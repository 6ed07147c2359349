/* SPDX-License-Identifier: MIT */
/*
 * What can fail, and with which errors: each function of the table of the operating system (os.h), and
 * each system call that src/os makes, as the manual pages list them.
 *
 * Of a function of the table: its name, the errors, where they stand. EINTR is not among them, as none
 * of the table answers it. Of a system call, sys.NAME: all errors of its manual page, and ENOSYS and
 * EPERM where a filter of a container (seccomp(2)) is known to refuse it; EINTR included.
 *
 * Besides errors: "short" sends, receives, reads or writes one byte; "ENOMEM+" is for this allocation and
 * for all that follow.
 *
 * What is missing, and why. EAGAIN and EIO of sys.read: the pipe by which a start tells of its failure
 * either holds a report or does not. ESRCH of a signal: only a child that was reaped gives it, and nobody
 * else reaps here. EPERM of signal: a child of another user, which it is for ever (sys.pidfd_send_signal
 * has it, as a filter says it). Clocks, pids and counts of processors cannot fail. What a function of the
 * table passes on as it is (shutdown(2), getsockopt(2), ioctl(2) and others) fails as that function. The
 * report of a child's start fits into its pipe, which is empty. The calls of an identity are made only
 * where the tests run as root.
 */
#ifndef DUPLEX_TESTS_FAULTS_CALLS_H
#define DUPLEX_TESTS_FAULTS_CALLS_H

#include <stddef.h>

/* clang-format off */
#define FAULT_OF_TABLE(X)                                                                          \
    X(ALLOCATE, "allocate", "ENOMEM ENOMEM+", "malloc(3)")                                         \
    X(RESIZE, "resize", "ENOMEM ENOMEM+", "malloc(3)")                                             \
    X(SOCKETPAIR, "socketpair",                                                                    \
      "EACCES EAFNOSUPPORT EINVAL EMFILE ENFILE ENOBUFS ENOMEM EOPNOTSUPP EPROTONOSUPPORT",        \
      "socketpair(2), socket(2)")                                                                  \
    X(SEND, "send",                                                                                \
      "short EACCES EAGAIN EALREADY EBADF ECONNREFUSED ECONNRESET EDESTADDRREQ EFAULT EINVAL "     \
      "EISCONN EMSGSIZE ENOBUFS ENOMEM ENOTCONN ENOTSOCK EOPNOTSUPP EPERM EPIPE ETOOMANYREFS",     \
      "send(2), unix(7)")                                                                          \
    X(RECEIVE, "receive",                                                                          \
      "short EAGAIN EBADF ECONNREFUSED ECONNRESET EFAULT EINVAL ENOBUFS ENOMEM ENOTCONN ENOTSOCK", \
      "recv(2), unix(7)")                                                                          \
    X(SHUTDOWN, "shutdown", "EBADF EINVAL ENOBUFS ENOTCONN ENOTSOCK", "shutdown(2)")               \
    X(SOCKET_GET, "socket_get", "EBADF EFAULT EINVAL ENOPROTOOPT ENOTSOCK", "getsockopt(2)")       \
    X(SOCKET_SET, "socket_set", "EBADF EFAULT EINVAL ENOPROTOOPT ENOTSOCK", "setsockopt(2)")       \
    X(CONNECTED, "socket_connected", "EBADF EFAULT EINVAL ENOBUFS ENOTCONN ENOTSOCK",              \
      "getpeername(2)")                                                                            \
    X(QUEUED, "queued", "EBADF EFAULT EINVAL ENOTTY", "ioctl(2)")                                  \
    X(EXAMINE, "examine", "EBADF EFAULT ENOMEM EOVERFLOW", "fcntl(2), stat(2)")                    \
    X(READ, "read", "short EAGAIN EBADF EFAULT EINVAL EIO EISDIR", "read(2), readv(2)")            \
    X(WRITE, "write",                                                                              \
      "short EAGAIN EBADF EDESTADDRREQ EDQUOT EFAULT EFBIG EINVAL EIO ENOSPC EPERM EPIPE",         \
      "write(2), writev(2)")                                                                       \
    X(REGION_CREATE, "region_create",                                                              \
      "EACCES EAGAIN EFBIG EINVAL EIO EMFILE ENFILE ENOMEM ENOSPC EPERM ENOSYS",                   \
      "memfd_create(2), ftruncate(2), fallocate(2), mmap(2)")                                      \
    X(REGION_MAP, "region_map", "EACCES EAGAIN EBADF EINVAL EIO ENFILE ENODEV ENOMEM EPERM",       \
      "fcntl(2), statfs(2), mmap(2)")                                                              \
    X(POLL, "poll", "EFAULT EINVAL ENOMEM", "poll(2)")                                             \
    X(WATCH_OPEN, "watch_open", "EINVAL EMFILE ENFILE ENOMEM", "epoll_create(2)")                  \
    X(WATCH, "watch", "EBADF EEXIST EINVAL ELOOP ENOENT ENOMEM ENOSPC EPERM", "epoll_ctl(2)")      \
    X(WATCHED, "watched", "EBADF EFAULT EINVAL", "epoll_wait(2)")                                  \
    X(CLOSE, "close", "EDQUOT EINTR EIO ENOSPC", "close(2)")                                       \
    X(DISCARD, "discard", "EDQUOT EINTR EIO ENOSPC", "close(2)")                                   \
    X(SET_CLOEXEC, "set_cloexec", "EBADF EINVAL", "fcntl(2)")                                      \
    X(SET_NONBLOCK, "set_nonblock", "EBADF EINVAL EPERM", "fcntl(2)")                              \
    X(DUPLICATE, "duplicate", "EBADF EINVAL EMFILE", "fcntl(2)")                                   \
    X(REPLACE, "replace", "EBADF EMFILE", "dup(2)")                                                \
    X(PIPE, "pipe", "EFAULT EINVAL EMFILE ENFILE ENOPKG", "pipe(2)")                               \
    X(OPEN, "open", "EACCES EBADF EMFILE ENFILE ENODEV ENOENT ENOMEM ENXIO EPERM", "open(2)")      \
    X(RESIDENT, "resident", "EACCES EIO EMFILE ENFILE ENOENT ENOMEM", "open(2), read(2)")          \
    X(PIDFD_OPEN, "pidfd_open", "EINVAL EMFILE ENFILE ENODEV ENOMEM ENOSYS EPERM ESRCH",           \
      "pidfd_open(2)")                                                                             \
    X(PEER_PIDFD, "peer_pidfd", "EBADF EFAULT EINVAL EMFILE ENODATA ENOPROTOOPT ENOTSOCK",         \
      "getsockopt(2), unix(7)")                                                                    \
    X(SIGNAL, "signal", "EBADF EINVAL", "pidfd_send_signal(2)")                              \
    X(SIGNAL_GROUP, "signal_group", "EBADF EINVAL", "pidfd_send_signal(2)")                  \
    X(REAP, "reap", "EAGAIN EBADF EINVAL", "waitid(2)")                                            \
    X(START, "start",                                                                              \
      "E2BIG EACCES EAGAIN EFAULT EINVAL EIO EISDIR ELIBBAD ELOOP EMFILE ENAMETOOLONG ENFILE "     \
      "ENOENT ENOEXEC ENOMEM ENOSPC ENOSYS ENOTDIR EPERM ETXTBSY",                                 \
      "clone(2), pipe(2), execve(2)")                                                              \
    X(FORK, "fork", "EAGAIN EMFILE ENFILE ENOMEM ENOSYS", "fork(2), socketpair(2), pidfd_open(2)")

/* By the C library's name: linked in place of it, see kernel.c. */
#define FAULT_OF_KERNEL(X)                                                                         \
    X(SYS_SOCKETPAIR, "sys.socketpair",                                                            \
      "EAFNOSUPPORT EFAULT EMFILE ENFILE ENOBUFS ENOMEM EOPNOTSUPP EPROTONOSUPPORT",               \
      "socketpair(2)")                                                                             \
    X(SYS_SEND, "sys.send", "EAGAIN ECONNRESET EINTR ENOBUFS ENOMEM EPIPE", "send(2)")             \
    X(SYS_SENDMSG, "sys.sendmsg",                                                                  \
      "EAGAIN ECONNRESET EINTR EMSGSIZE ENOBUFS ENOMEM EPERM EPIPE ETOOMANYREFS", "send(2)")       \
    X(SYS_RECV, "sys.recv", "EAGAIN ECONNRESET EINTR ENOMEM", "recv(2)")                           \
    X(SYS_RECVMSG, "sys.recvmsg", "EAGAIN ECONNRESET EINTR ENOMEM", "recv(2)")                     \
    X(SYS_FCNTL, "sys.fcntl", "EBADF EINVAL EMFILE EPERM", "fcntl(2)")                \
    X(SYS_FSTAT, "sys.fstat", "EBADF EFAULT ENOMEM EOVERFLOW", "stat(2)")                          \
    X(SYS_READ, "sys.read", "EINTR", "read(2)")                                         \
    X(SYS_WRITEV, "sys.writev", "EAGAIN EINTR EIO EPIPE", "writev(2)")                             \
    X(SYS_DUP2, "sys.dup2", "EBADF EBUSY EINTR EMFILE", "dup(2)")                                  \
    X(SYS_PIPE2, "sys.pipe2", "EFAULT EINVAL EMFILE ENFILE ENOPKG", "pipe(2)")                     \
    X(SYS_OPEN, "sys.open", "EACCES EINTR EMFILE ENFILE ENOENT ENOMEM", "open(2)")                 \
    X(SYS_CLOSE, "sys.close", "EDQUOT EINTR EIO ENOSPC", "close(2)")                               \
    X(SYS_PPOLL, "sys.ppoll", "EFAULT EINTR EINVAL ENOMEM", "poll(2)")                             \
    X(SYS_POLL, "sys.poll", "EFAULT EINTR EINVAL ENOMEM", "poll(2)")                               \
    X(SYS_EPOLL_WAIT, "sys.epoll_wait", "EBADF EFAULT EINTR EINVAL", "epoll_wait(2)")              \
    X(SYS_MMAP, "sys.mmap", "EACCES EAGAIN EINVAL ENFILE ENODEV ENOMEM EOVERFLOW EPERM",           \
      "mmap(2)")                                                                                   \
    X(SYS_MADVISE, "sys.madvise", "EACCES EAGAIN EBADF EINVAL EIO ENOMEM EPERM", "madvise(2)")     \
    X(SYS_MEMFD_CREATE, "sys.memfd_create", "EFAULT EINVAL EMFILE ENFILE ENOMEM EPERM ENOSYS",     \
      "memfd_create(2)")                                                                           \
    X(SYS_FTRUNCATE, "sys.ftruncate", "EBADF EFBIG EINTR EINVAL EIO EPERM ETXTBSY",                \
      "truncate(2)")                                                                               \
    X(SYS_FALLOCATE, "sys.fallocate",                                                              \
      "EBADF EFBIG EINTR EINVAL EIO ENODEV ENOSPC ENOSYS EOPNOTSUPP EPERM ETXTBSY",                \
      "fallocate(2)")                                                                              \
    X(SYS_FSTATFS, "sys.fstatfs", "EBADF EFAULT EINTR EIO ENOMEM ENOSYS EOVERFLOW", "statfs(2)")   \
    X(SYS_GETRLIMIT, "sys.getrlimit", "EFAULT EINVAL EPERM", "getrlimit(2)")                       \
    X(SYS_FORK, "sys.fork", "EAGAIN ENOMEM ENOSYS", "fork(2)")                                     \
    X(SYS_CLONE, "sys.clone", "EAGAIN EINVAL ENOMEM ENOSPC EPERM EUSERS ENOSYS", "clone(2)")       \
    X(SYS_WAITID_PID, "sys.waitid", "ECHILD EINVAL", "waitid(2)")                                  \
    X(SYS_AFFINITY, "sys.sched_getaffinity", "EFAULT EINVAL EPERM ESRCH",                          \
      "sched_setaffinity(2)")                                                                      \
    X(SYS_PIDFD_OPEN, "sys.pidfd_open", "EINVAL EMFILE ENFILE ENODEV ENOMEM ENOSYS EPERM ESRCH",   \
      "pidfd_open(2)")                                                                             \
    X(SYS_PIDFD_SIGNAL, "sys.pidfd_send_signal", "EBADF EINVAL ENOSYS EPERM",                      \
      "pidfd_send_signal(2)")                                                                      \
    X(SYS_WAITID, "sys.waitid_pidfd", "EBADF EINTR EINVAL", "waitid(2)")                           \
    X(SYS_PREADV2, "sys.preadv2", "EAGAIN EINTR EINVAL EIO ENOSYS EOPNOTSUPP EPERM", "readv(2)")   \
    X(SYS_PWRITEV2, "sys.pwritev2", "EAGAIN EINTR EINVAL EIO ENOSYS EOPNOTSUPP EPERM EPIPE",       \
      "writev(2)")                                                                                 \
    X(SYS_SIGACTION, "sys.rt_sigaction", "EFAULT EINVAL", "sigaction(2)")                          \
    X(SYS_CHILD_FCNTL, "sys.child_fcntl", "EBADF EINVAL EMFILE", "fcntl(2)")                       \
    X(SYS_DUP3, "sys.dup3", "EBADF EBUSY EINTR EINVAL EMFILE", "dup(2)")                           \
    X(SYS_CLOSE_RANGE, "sys.close_range", "EINVAL EMFILE ENOMEM ENOSYS EPERM", "close_range(2)")   \
    X(SYS_PRLIMIT, "sys.prlimit", "EFAULT EINVAL EPERM ESRCH", "getrlimit(2)")                     \
    X(SYS_SETPGID, "sys.setpgid", "EACCES EINVAL EPERM ESRCH", "setpgid(2)")                       \
    X(SYS_SETSID, "sys.setsid", "EPERM", "setsid(2)")                                              \
    X(SYS_SETGROUPS, "sys.setgroups", "EFAULT EINVAL ENOMEM EPERM", "getgroups(2)")                \
    X(SYS_SETRESGID, "sys.setresgid", "EAGAIN EINVAL EPERM", "setresuid(2)")                       \
    X(SYS_SETRESUID, "sys.setresuid", "EAGAIN EINVAL EPERM", "setresuid(2)")                       \
    X(SYS_CHILD_OPENAT, "sys.child_openat", "EACCES EMFILE ENFILE ENOENT ENOMEM EPERM", "open(2)") \
    X(SYS_CHILD_LIST, "sys.getdents64", "EBADF EFAULT EINVAL ENOENT ENOTDIR", "getdents(2)")       \
    X(SYS_CHILD_CLOSE, "sys.child_close", "EDQUOT EINTR EIO ENOSPC", "close(2)")                   \
    X(SYS_FACCESSAT, "sys.faccessat", "EACCES EFAULT ELOOP ENOENT ENOMEM ENOTDIR", "access(2)")    \
    X(SYS_CLONE_COPY, "sys.clone_copy", "EAGAIN EINVAL ENOMEM ENOSPC EPERM", "clone(2)")           \
    X(SYS_CHDIR, "sys.chdir", "EACCES EFAULT EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR",        \
      "chdir(2)")                                                                                  \
    X(SYS_PRCTL, "sys.prctl", "EINVAL EPERM", "prctl(2)")                                          \
    X(SYS_EXECVE, "sys.execve",                                                                    \
      "E2BIG EACCES EAGAIN EFAULT EINVAL EIO EISDIR ELIBBAD ELOOP EMFILE ENAMETOOLONG ENFILE "     \
      "ENOENT ENOEXEC ENOMEM ENOTDIR EPERM ETXTBSY",                                               \
      "execve(2)")
/* clang-format on */

#define FAULT_ENUMERATE(id, name, errors, source) CALL_##id,

enum fault_call { FAULT_OF_TABLE(FAULT_ENUMERATE) FAULT_OF_KERNEL(FAULT_ENUMERATE) FAULT_CALLS };

/* Besides errno values. */
enum { FAULT_SHORT = -1 };

struct fault_kind {
    const char *name;
    const char *errors; /* words */
    const char *source;
};

extern const struct fault_kind fault_kinds[FAULT_CALLS];

/* The number of this call, or -1. */
int fault_call_by_name(const char *name, size_t length);

/* The number of an error, FAULT_SHORT, or 0 if nobody knows it. A '+' behind it is passed over. */
int fault_error_by_name(const char *name, size_t length);

#endif
