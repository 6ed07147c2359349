/* SPDX-License-Identifier: MIT */
/*
 * Counts the calls of a scenario and has one of them fail. The counts of a forked child of the scenario
 * are its own: a fault is on the side of the process that plays the scenario, or on that of its children.
 */
#ifndef DUPLEX_TESTS_FAULTS_INJECTOR_H
#define DUPLEX_TESTS_FAULTS_INJECTOR_H

#include "calls.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum fault_side { SIDE_OWN, SIDE_CHILD, FAULT_SIDES };

/* What fails, and when. */
struct fault {
    enum fault_side side;
    int call;     /* -1: nothing, calls are only counted */
    long at;      /* from 1 */
    int error;    /* positive, or FAULT_SHORT */
    bool onwards; /* all that follow, too */
};

/* In memory that the children share. */
struct fault_state {
    struct fault fault;
    pid_t own;
    atomic_bool active;
    bool honest;   /* EAGAIN is said only where it is so */
    bool filtered; /* a filter of system calls refuses some that src/os can do without */
    atomic_long counts[FAULT_SIDES][FAULT_CALLS];
    atomic_long met; /* how often something failed */
};

extern struct fault_state *faults;

/* Not in vain where a child of clone(2) borrows the memory, and the stack, of its parent. */
#define FAULT_IN_CHILD __attribute__((no_sanitize("address", "thread", "undefined")))

/* Count the call. 0, or how it is to fail: a positive errno value or FAULT_SHORT. */
int fault_due(enum fault_call call);

/*
 * The same of a socket, for a send of so many bytes, or for a receive or shutdown. What tells of a peer
 * that has gone is made true, so that the two sides agree.
 */
int fault_due_of_send(enum fault_call call, int fd, size_t size);
int fault_due_of_receive(enum fault_call call, int fd);

/*
 * What a scenario does itself, between these two, is neither counted nor fails.
 */
void fault_mute(void);
void fault_unmute(void);

/* Put the table in force that counts and fails; blocks and regions count from 0. */
void fault_install(void);

/* What this process has allocated and not released; regions that it has mapped. */
extern long fault_blocks, fault_regions;

/* Whether the fault tells that the peer, or the way to it, is no more. */
bool fault_tells_of_death(const struct fault *fault);

/* Whether the fault is none that a caller of the library may hear of. */
bool fault_is_harmless(const struct fault *fault);

#endif
