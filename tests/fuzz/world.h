/* SPDX-License-Identifier: MIT */
/*
 * A kernel in memory, for the targets that play a whole conversation: one channel, its peer, and what
 * the kernel does between the two. All of it is chosen by the input, which is a script: what the peer
 * does, what the kernel refuses, and which memory cannot be had. Time passes only here.
 *
 * Whoever waits in poll() has the script go on: the peer acts until what is waited for has happened. If
 * the next thing in the script is something that the user does, time goes on to the deadline.
 *
 * It counts: each descriptor is closed once, each piece of memory is given back, no call goes on for
 * ever. It cannot be two threads at once; tests/channel/test_lane_scribble.c is.
 */
#ifndef DUPLEX_TESTS_FUZZ_WORLD_H
#define DUPLEX_TESTS_FUZZ_WORLD_H

#include "channel/internal.h"
#include "os/os.h"
#include "wire/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WORLD_READ_FD = 100, /* of the channel; a socket has but this */
    WORLD_WRITE_FD = 101,
    WORLD_PIDFD = 102,
    WORLD_FIRST_FD = 200, /* descriptors that travel */
    WORLD_FDS = 256,
    WORLD_SEGMENTS = 64,
    WORLD_BYTES = 1 << 20,
    WORLD_RING_SMALL = 4096,
    WORLD_RING_LARGE = 64 << 10,
};

/* What a descriptor is, for who examines it. */
enum world_sort {
    WORLD_CLOSED,
    WORLD_STREAM,
    WORLD_INTERNET,
    WORLD_LISTENER,
    WORLD_UDP4,
    WORLD_UDP6,
    WORLD_DATAGRAM,
    WORLD_FIFO,
    WORLD_FILE,
    WORLD_MEMORY, /* a region, which the peer has made */
    WORLD_SORTS
};

/* The calls that can be made to fail. */
enum world_call {
    WORLD_SEND,
    WORLD_RECEIVE,
    WORLD_POLL,
    WORLD_DUPLICATE,
    WORLD_EXAMINE,
    WORLD_SOCKET_GET,
    WORLD_NONBLOCK,
    WORLD_SHUTDOWN,
    WORLD_QUEUED,
    WORLD_REGION,
    WORLD_CALLS
};

/* What a peer said in one piece: on a stream descriptors end a read, and packets stay whole. */
struct world_segment {
    size_t start, size;
    unsigned descriptors;
};

struct world {
    const uint8_t *at, *end; /* the script */
    bool (*act)(void);       /* do the next thing in it, if that is the peer's or the kernel's */
    unsigned armed;          /* after so many more system calls that is done; 0: in poll() only */
    uint64_t now_ns, passed_ns; /* of it, what the script let pass */
    unsigned calls;             /* system calls since the user's call began */
    unsigned idle;              /* sleeps in a row that nothing ended */
    uint8_t cpu;
    bool one_processor;
    int type; /* as of socket(2) */

    uint8_t fds[WORLD_FDS];
    unsigned closed_ends; /* of the channel's own descriptors */
    int faults[WORLD_CALLS];
    unsigned allocation; /* the next that fails, counted from 1; 0: none */
    unsigned failing;    /* so many in a row */
    size_t memory, memory_peak, pieces;

    uint8_t in[WORLD_BYTES];
    size_t in_size;
    struct world_segment segments[WORLD_SEGMENTS];
    unsigned first, count;
    bool ended, dead; /* somebody else may hold its end, and speak, when it is dead */
    bool closed;      /* it neither says nor takes any more */
    bool shut_in, shut_out;
    unsigned portion; /* bytes that a stream takes at one time; 0: all */
    size_t room;      /* bytes that the kernel still takes */

    uint8_t out[WORLD_BYTES]; /* what the channel said, by the socket first, then by the ring */
    size_t out_size;
    bool out_ended; /* it says no more than fits */

    const dx_channel *channel; /* once there is one */
    struct dxi_region region;  /* of small or large rings, mapped by the channel or not */
    unsigned mapped;
    unsigned words; /* by the socket after the switch, in bytes */
    bool words_wrong;
};

extern struct world world;

/* Begin: nothing is open, and dxi_os is this. What was before is forgotten, after it was counted. */
void world_begin(const uint8_t *script, size_t size);
void world_end(void);

uint8_t world_byte(void);

/* A new descriptor of this sort. -1: there are enough. */
int world_open(enum world_sort sort);
bool world_is_open(int fd);
size_t world_count_open(void);

/* The peer says bytes in one piece. False: there is no room for more. */
bool world_say(const void *bytes, size_t size, unsigned descriptors);

/* The channel said something. */
void world_hear(const void *bytes, size_t size);

/* Have a region of small or large rings at hand, all of it zero. */
void world_have_region(bool large);

/* Each system call begins so. Returns the error that it is to answer, or 0. */
int world_call(enum world_call call);

/* world_socket.c: calls of the table. */
ssize_t world_receive(int fd, void *bytes, size_t size, struct dxi_arrival *arrival);
ssize_t world_read(int fd, void *bytes, size_t size, bool waits);
ssize_t world_queued(int fd);
ssize_t world_send(int fd, const struct iovec *parts, size_t part_count, const int *descriptors,
                   size_t descriptor_count);
ssize_t world_write_once(int fd, const struct iovec *parts, size_t part_count, bool waits);
int world_shutdown(int fd, int how);
int world_poll(struct pollfd *descriptors, size_t count, uint64_t deadline_ns);

#endif
