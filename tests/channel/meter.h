/* SPDX-License-Identifier: MIT */
/*
 * A table of the operating system that counts, and fails where it is told to. Install it before a
 * handle is opened; it passes everything else on to Linux.
 */
#ifndef DUPLEX_TESTS_CHANNEL_METER_H
#define DUPLEX_TESTS_CHANNEL_METER_H

#include <stdatomic.h>
#include <stddef.h>

enum call {
    CALL_ALLOCATE,
    CALL_RESIZE,
    CALL_NOW,
    CALL_SOCKETPAIR,
    CALL_SEND,
    CALL_RECEIVE,
    CALL_SHUTDOWN,
    CALL_SOCKET_GET,
    CALL_SOCKET_SET,
    CALL_CONNECTED,
    CALL_QUEUED,
    CALL_EXAMINE,
    CALL_READ,
    CALL_WRITE,
    CALL_POLL,
    CALL_CLOSE,
    CALL_CLOEXEC,
    CALLS
};

struct meter {
    _Atomic unsigned long count[CALLS];

    /* Memory: blocks and bytes in use, and the most bytes that ever were. */
    _Atomic long blocks;
    _Atomic size_t bytes;
    _Atomic size_t peak;

    /*
     * Of the calls of this kind, the fail_at-th from now (1 is the next) and the fail_times - 1 that
     * follow it answer fail_error; memory is refused.
     */
    enum call fail;
    _Atomic long fail_at;
    long fail_times;
    int fail_error;
    _Atomic unsigned long failed; /* how often that happened */

    /* A kernel that takes and gives so many bytes at a time, on streams only. 0: any number. */
    size_t send_at_most;
    size_t receive_at_most;

    _Atomic size_t sent; /* bytes that the kernel took */
};

extern struct meter meter;

/* Set everything to zero and put the table in force. */
void meter_install(void);

/* Begin to count anew; memory in use stays what it is. */
void meter_restart(void);

/* Fail the n-th call of this kind from now on, so many times. */
void meter_fail(enum call call, long at, long times, int error);
void meter_fail_no_more(void);

/* Calls that enter the kernel. */
unsigned long meter_system_calls(void);

/* Allocations and resizes. */
unsigned long meter_allocations(void);

#endif
