/* SPDX-License-Identifier: MIT */
/*
 * A lock that costs next to nothing in a process with one thread: there is nobody to lock out, and
 * the C library tells (glibc 2.32; elsewhere every lock is taken). Holding one, the library starts no
 * thread and calls no code of the user's, so what was taken the one way is released the same way.
 */
#ifndef DUPLEX_OS_LOCK_H
#define DUPLEX_OS_LOCK_H

#include <pthread.h>
#include <stdbool.h>

#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 32)
#include <sys/single_threaded.h>
#define DXI_TELLS_SINGLE_THREADED
#endif
#endif

struct dxi_lock {
    pthread_mutex_t mutex;
    bool plain; /* it was taken while there was one thread */
    bool held;  /* so, and not released */
};

/* False if this process may have, or have had, other threads. */
static inline bool dxi_single_threaded(void)
{
#ifdef DXI_TELLS_SINGLE_THREADED
    return __libc_single_threaded;
#else
    return false;
#endif
}

static inline void dxi_lock_open(struct dxi_lock *lock)
{
    pthread_mutex_init(&lock->mutex, NULL);
    lock->plain = lock->held = false;
}

static inline void dxi_lock_close(struct dxi_lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}

static inline void dxi_lock(struct dxi_lock *lock)
{
    if (dxi_single_threaded()) {
        lock->plain = lock->held = true;
    } else {
        pthread_mutex_lock(&lock->mutex);
        lock->plain = false;
    }
}

/* Take it if nobody has it, this thread included. */
static inline bool dxi_trylock(struct dxi_lock *lock)
{
    if (dxi_single_threaded()) {
        if (lock->held)
            return false;
        lock->plain = lock->held = true;
        return true;
    }
    if (pthread_mutex_trylock(&lock->mutex) != 0)
        return false;
    lock->plain = false;
    return true;
}

static inline void dxi_unlock(struct dxi_lock *lock)
{
    if (lock->plain)
        lock->held = false;
    else
        pthread_mutex_unlock(&lock->mutex);
}

#endif
