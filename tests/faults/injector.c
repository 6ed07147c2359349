/* SPDX-License-Identifier: MIT */
/*
 * See injector.h.
 */
#include "injector.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* So many bytes are one buffer of the kernel's: they leave whole or not at all. */
enum { WHOLE = 16 };

struct fault_state *faults;

static int muted;

void fault_mute(void)
{
    muted++;
}

void fault_unmute(void)
{
    muted--;
}

static bool is_death(int error)
{
    return error == EPIPE || error == ECONNRESET || error == ECONNREFUSED || error == ENOTCONN;
}

FAULT_IN_CHILD int fault_due(enum fault_call call)
{
    struct fault_state *state = faults;

    if (state == NULL || muted > 0 || !state->active)
        return 0;
    if (state->filtered && (call == CALL_SYS_CLOSE_RANGE || call == CALL_SYS_PIDFD_OPEN ||
                            call == CALL_SYS_PREADV2 || call == CALL_SYS_PWRITEV2))
        return ENOSYS;
    enum fault_side side = getpid() == state->own ? SIDE_OWN : SIDE_CHILD;
    const struct fault *fault = &state->fault;
    long count = ++state->counts[side][call];

    if (fault->call != (int)call || fault->side != side || count < fault->at ||
        (count > fault->at && !fault->onwards))
        return 0;
    state->met++;
    return fault->error;
}

int fault_due_of_receive(enum fault_call call, int fd)
{
    int error = fault_due(call);
    int queued = 0;

    if (error == EAGAIN && faults->honest && ioctl(fd, FIONREAD, &queued) == 0 && queued > 0)
        error = 0;
    if (error > 0 && is_death(error))
        (void)shutdown(fd, SHUT_RDWR);
    return error;
}

int fault_due_of_send(enum fault_call call, int fd, size_t size)
{
    int error = fault_due(call);
    int unread = 0;

    if (error == EAGAIN && faults->honest && ioctl(fd, SIOCOUTQ, &unread) == 0 && unread == 0)
        error = 0;
    if (error == FAULT_SHORT && size <= WHOLE)
        error = 0;
    if (error > 0 && is_death(error))
        (void)shutdown(fd, SHUT_RDWR);
    return error;
}

bool fault_tells_of_death(const struct fault *fault)
{
    switch (fault->call) {
    case CALL_SEND:
    case CALL_RECEIVE:
    case CALL_READ:
    case CALL_WRITE:
    case CALL_SHUTDOWN:
    case CALL_SYS_SEND:
    case CALL_SYS_SENDMSG:
    case CALL_SYS_RECV:
    case CALL_SYS_RECVMSG:
    case CALL_SYS_READ:
    case CALL_SYS_WRITEV:
    case CALL_SYS_PREADV2:
    case CALL_SYS_PWRITEV2:
        return is_death(fault->error) || fault->error == EIO;
    case CALL_PEER_PIDFD:
        /* The process that made the socket has been reaped. */
        return fault->error == ENODATA || fault->error == EINVAL;
    default:
        return false;
    }
}

bool fault_is_harmless(const struct fault *fault)
{
    if (fault->error == FAULT_SHORT)
        return true;
    switch (fault->call) {
    case CALL_CLOSE:
    case CALL_DISCARD:
    case CALL_SYS_CLOSE:
    case CALL_SOCKET_SET:
    case CALL_REGION_CREATE:
    case CALL_REGION_MAP:
    case CALL_RESIDENT:
    case CALL_SYS_MEMFD_CREATE:
    case CALL_SYS_FTRUNCATE:
    case CALL_SYS_FALLOCATE:
    case CALL_SYS_FSTATFS:
    case CALL_SYS_GETRLIMIT:
    case CALL_SYS_MMAP:
    case CALL_SYS_MADVISE:
    case CALL_SYS_AFFINITY:
    case CALL_SYS_CLOSE_RANGE:
    case CALL_SYS_CHILD_OPENAT:
    case CALL_SYS_CHILD_LIST:
    case CALL_SYS_CHILD_CLOSE:
        return true;
    case CALL_PEER_PIDFD:
        return !fault_tells_of_death(fault);
    case CALL_SEND:
    case CALL_RECEIVE:
    case CALL_READ:
    case CALL_WRITE:
    case CALL_REAP:
    case CALL_SYS_SENDMSG:
    case CALL_SYS_RECVMSG:
    case CALL_SYS_READ:
    case CALL_SYS_WRITEV:
        return fault->error == EAGAIN || fault->error == EINTR;
    case CALL_SYS_PREADV2:
    case CALL_SYS_PWRITEV2:
        return fault->error != EIO && fault->error != EPIPE;
    default:
        return fault->error == EINTR;
    }
}
