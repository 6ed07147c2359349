/* SPDX-License-Identifier: MIT */
/*
 * Processes that want the processor as badly as the pair that is measured: each counts, and does
 * nothing else, until it is killed. They are placed as the pair is, in turns on the CPU of the
 * parent and that of the child, so that a machine with more processors has nowhere to put them.
 */
#include "bench.h"
#include "peers/peer.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* A cache line pair for each, so that counting costs the others nothing. */
struct counter {
    _Alignas(128) atomic_uint_least64_t work;
};

struct busy {
    pid_t processes[BUSY_COUNT];
    struct counter *counters; /* shared with them */
};

enum { WORK_SIZE = 256 };

static _Noreturn void work(struct counter *counter)
{
    volatile unsigned sink = 1;

    for (uint64_t done = 1;; done++) {
        for (int i = 0; i < WORK_SIZE; i++)
            sink = sink * 1664525u + 1013904223u;
        atomic_store_explicit(&counter->work, done, memory_order_relaxed);
    }
}

int busy_start(struct busy **ret, enum placement placement)
{
    struct busy *busy = calloc(1, sizeof(*busy));
    size_t size = BUSY_COUNT * sizeof(struct counter);

    if (!busy)
        return -ENOMEM;
    busy->counters = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (busy->counters == MAP_FAILED) {
        free(busy);
        return -ENOMEM;
    }
    for (int i = 0; i < BUSY_COUNT; i++) {
        pid_t process = hand_made_fork();

        if (process < 0) {
            int error = -errno;

            busy_stop(busy);
            return error;
        }
        if (process == 0) {
            if (side_place(placement, i % 2 == 1) < 0)
                _exit(1);
            work(&busy->counters[i]);
        }
        busy->processes[i] = process;
    }
    *ret = busy;
    return 0;
}

uint64_t busy_work(const struct busy *busy)
{
    uint64_t sum = 0;

    for (int i = 0; i < BUSY_COUNT; i++)
        sum += atomic_load_explicit(&busy->counters[i].work, memory_order_relaxed);
    return sum;
}

void busy_stop(struct busy *busy)
{
    for (int i = 0; i < BUSY_COUNT; i++) {
        if (busy->processes[i] == 0)
            continue;
        kill(busy->processes[i], SIGKILL);
        while (waitpid(busy->processes[i], NULL, 0) < 0 && errno == EINTR)
            ;
    }
    munmap(busy->counters, BUSY_COUNT * sizeof(struct counter));
    free(busy);
}
