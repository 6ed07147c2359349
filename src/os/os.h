/* SPDX-License-Identifier: MIT */
/*
 * Floor 0: everything that duplex asks of the operating system, as one table of functions.
 *
 * Only files in src/os make system calls on sockets, processes, memory and clocks; everything above
 * goes through dxi_os, so that a port, a fault injector or a simulated kernel replaces this one
 * table. Every function returns a negative errno value on failure, but never -EINTR (close() may: see
 * there), and leaves errno to nobody. None blocks, unless its comment says so.
 */
#ifndef DUPLEX_OS_OS_H
#define DUPLEX_OS_OS_H

#include "os/region.h"
#include "os/start.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* What one receive brought besides its bytes. */
struct dxi_arrival {
    int *descriptors; /* in: where to put them; close-on-exec */
    size_t capacity;  /* in: how many fit; the others are discarded */
    bool packets;     /* in: the socket keeps packets whole */
    bool barred;      /* in: the kernel lets none come (SO_PASSRIGHTS), so nobody need look */
    size_t count;     /* out: how many came */
    bool lost;        /* out: more came than fitted, or than this process may have open */
    bool cut;         /* out: the packet was larger than the buffer */
    bool has_sender;  /* out: it says who sent it, as all do on a socket that has SO_PASSCRED */
};

/* What a descriptor is, as far as reading and writing go. */
enum dxi_sort {
    DXI_SORT_SOCKET,
    DXI_SORT_PIPE, /* a pipe, a terminal, a device: what one may have to wait for */
    DXI_SORT_FILE, /* a regular file or a block device, which is always ready */
    DXI_SORT_NONE  /* a directory, an eventfd: no bytes flow through it */
};

struct dxi_nature {
    enum dxi_sort sort;
    bool readable, writable; /* as it was opened */
    bool cloexec;
    bool is_fifo;
    uint64_t device, inode; /* two descriptors of one file have the same */
};

/* How a child ended, as the kernel tells it. */
struct dxi_ended {
    bool known;      /* false: somebody else reaped it, and the kernel keeps no record */
    int wait_code;   /* CLD_EXITED, CLD_KILLED or CLD_DUMPED */
    int wait_status; /* exit code or signal */
    uint64_t user_us, system_us, peak_memory_bytes; /* 0 if unknown */
};

/* What has happened to a watched descriptor. */
struct dxi_event {
    uint64_t key;
    unsigned events; /* of poll(2) */
};

struct dxi_os {
    void *(*allocate)(size_t size);
    void *(*resize)(void *memory, size_t size);
    void (*release)(void *memory);

    uint64_t (*now_ns)(void);         /* CLOCK_MONOTONIC */
    bool (*several_processors)(void); /* has the machine more than one */
    unsigned (*processors)(void);     /* that this process may run on */
    unsigned (*processor)(void);      /* on which the caller runs just now, from 1; 0: unknown */
    bool (*single_threaded)(void); /* false if this process may have, or have had, other threads */

    /* AF_UNIX, close-on-exec. type is SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM. */
    int (*socketpair)(int type, int ret[2]);
    /* MSG_DONTWAIT and MSG_NOSIGNAL always. -EAGAIN sent nothing, descriptors included. */
    ssize_t (*send)(int fd, const struct iovec *parts, size_t part_count, const int *descriptors,
                    size_t descriptor_count);
    /* MSG_DONTWAIT and MSG_CMSG_CLOEXEC always. 0 is the end, or an empty packet. */
    ssize_t (*receive)(int fd, void *bytes, size_t size, struct dxi_arrival *arrival);
    int (*shutdown)(int fd, int how);
    int (*socket_get)(int fd, int name, int *ret); /* SOL_SOCKET */
    int (*socket_set)(int fd, int name, int value);
    int (*socket_connected)(int fd); /* 0 if it has a peer */
    ssize_t (*queued)(int fd);       /* bytes ready to be received; of DGRAM, the first packet's */

    int (*examine)(int fd,
                   struct dxi_nature *ret); /* -EBADF as well if it is no more than a name */
    /*
     * Of a descriptor that is no socket. Neither blocks, whatever its O_NONBLOCK: -EAGAIN. waits is
     * false for DXI_SORT_FILE, which takes the time that its disk takes. A terminal whose output
     * was stopped may hold a write up. A pipe that nobody reads answers -EPIPE without a signal.
     */
    ssize_t (*read)(int fd, void *bytes, size_t size, bool waits);
    ssize_t (*write)(int fd, const struct iovec *parts, size_t part_count, bool waits);

    /* Memory to share with another process. See region.h. */
    int (*region_create)(size_t ring_size, struct dxi_region *ret, int *ret_fd);
    int (*region_map)(int fd, size_t ring_size, struct dxi_region *ret);
    void (*region_unmap)(struct dxi_region *region);

    /* Blocks until deadline_ns, absolute; 0 only looks, UINT64_MAX is for ever. Retries EINTR. */
    int (*poll)(struct pollfd *descriptors, size_t count, uint64_t deadline_ns);
    /*
     * The same for many: a descriptor that watches others. `before` and `events` are those of poll(2)
     * that it was and is to be watched for; 0: not. A descriptor is taken out before it is closed.
     */
    int (*watch_open)(void);
    int (*watch)(int watch_fd, int fd, unsigned before, unsigned events, uint64_t key);
    /* How many have something, as many as fit. Blocks as poll(). */
    int (*watched)(int watch_fd, struct dxi_event *ret, size_t count, uint64_t deadline_ns);

    int (*close)(int fd); /* the descriptor is gone whatever it answers, -EINTR as well */
    /*
     * Close what a peer has sent and nobody took, as close(). A connection whose last close would wait for its bytes
     * to be read (SO_LINGER) is made not to.
     */
    int (*discard)(int fd);
    int (*set_cloexec)(int fd, bool on);
    /* Of the open file description, so of all copies. 1 if it was otherwise before, else 0. */
    int (*set_nonblock)(int fd, bool on);
    int (*duplicate)(int fd, int at_least);   /* close-on-exec */
    int (*replace)(int fd, int number);       /* number becomes a copy of fd, kept across exec */
    int (*pipe)(int ret[2]);                  /* close-on-exec */
    int (*open)(const char *path, int flags); /* close-on-exec */

    pid_t (*pid)(void);
    pid_t (*parent_pid)(void);
    int (*resident)(pid_t pid, uint64_t *ret_bytes); /* of a child that has not been reaped */
    int (*pidfd_open)(pid_t pid);
    int (*peer_pidfd)(
        int fd); /* of the process that made a socketpair; -ENODATA if it has been reaped */
    /*
     * Signal a child, or the process group that it leads. The pid serves where the kernel or a
     * filter knows no signals by pidfd, and then only while the child has not been reaped: else
     * -ESRCH.
     */
    int (*signal)(int pidfd, pid_t pid, int signal);
    int (*signal_group)(int pidfd, pid_t leader, int signal);
    int (*reap)(int pidfd, struct dxi_ended *ret); /* -EAGAIN while it runs */
    /* Run a program in a child. Blocks until it runs or could not. See start.h. */
    int (*start)(const struct dxi_start *start, struct dxi_started *ret);
    /* Run a function in a child. Blocks until the child exists. See start.h. */
    int (*fork)(const struct dxi_start *start, struct dxi_started *ret);
};

/* The table in force. Tests replace it before they open a handle; the library never does. */
extern const struct dxi_os *dxi_os;

/* The table that talks to Linux. */
extern const struct dxi_os dxi_linux;

/*
 * A number that is the same as long as this is the same process, and differs in each forked child:
 * it is how a handle notices that it was inherited. 0 never.
 */
uint64_t dxi_generation(void);

/* Where to look whether it is still the same: one load, no system call. Holds 0 in a forked child.
 */
const _Atomic uint64_t *dxi_generation_mark(void);

/* The absolute time for poll(): timeout_ms from now, DX_NOW and DX_FOREVER included. */
uint64_t dxi_deadline(int timeout_ms);

#endif
