/* SPDX-License-Identifier: MIT */
/*
 * No peer, but a limit: how fast two processes can hand a cache line to and fro, which is what
 * everything that talks through shared memory does at the least. Each direction has a line of its
 * own in a page that both map; a side writes a number into its line and waits for the same number
 * in the other. Whether a loop that waits should use the processor's instruction for that depends
 * on the processor: the warm-up tries both, and the faster one is timed.
 */
#include "peers/peer.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Two lines apart, because some processors fetch lines in pairs. */
struct line {
    _Alignas(128) atomic_uint_least64_t number;
};

struct page {
    struct line to_child, to_parent;
    _Alignas(128) atomic_bool pause; /* for the messages after the first that says so */
    atomic_bool give_up;             /* the parent has failed, or is done */
};

struct pair {
    struct page *page;
    pid_t child;
    uint64_t number; /* the last one written; never starts anew, so no old one is taken for it */
    bool warm;
};

static inline void relax(bool pause)
{
#if defined(__x86_64__) || defined(__i386__)
    if (pause)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
    if (pause)
        __asm__ volatile("isb");
#else
    (void)pause;
#endif
}

/* Wait until a line holds a number. False if the other side has given up. */
static bool await(struct page *page, struct line *line, uint64_t number, bool pause)
{
    while (atomic_load_explicit(&line->number, memory_order_acquire) != number) {
        if (atomic_load_explicit(&page->give_up, memory_order_relaxed))
            return false;
        relax(pause);
    }
    return true;
}

struct echo {
    struct page *page;
    uint64_t number;
};

static int echo(void *context, const struct task *task, uint64_t count)
{
    struct echo *echo = context;
    struct page *page = echo->page;
    bool pause = false;

    (void)task;
    for (uint64_t i = 0; i < count; i++) {
        if (!await(page, &page->to_child, ++echo->number, pause))
            return -ECANCELED;
        /* Often read, seldom written: no line travels for it. */
        pause = atomic_load_explicit(&page->pause, memory_order_relaxed);
        atomic_store_explicit(&page->to_parent.number, echo->number, memory_order_release);
    }
    return 0;
}

/* Who never sleeps needs a CPU for each side, and nobody else there. */
static bool has_part(const struct group *group, bool corked)
{
    (void)corked;
    return group->work == WORK_ROUND_TRIP && group->size == 64 &&
           group->placement != PLACEMENT_SAME;
}

static const char *unavailable(const struct peer *peer, const struct task *task)
{
    struct machine machine;

    (void)peer;
    (void)task;
    machine_describe(&machine);
    return machine.cpus < 2 ? "only one CPU is allowed" : NULL;
}

static int open_pair(const struct peer *peer, const struct trial *trial, void **ret)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    void *memory;

    (void)peer;
    if (!pair)
        return -ENOMEM;
    memory =
        mmap(NULL, sizeof(*pair->page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        free(pair);
        return -ENOMEM;
    }
    pair->page = memory;
    pair->child = hand_made_fork();
    if (pair->child == 0) {
        struct echo context = {.page = pair->page};

        _exit(side_serve(trial, echo, &context) < 0);
    }
    if (pair->child < 0) {
        munmap(memory, sizeof(*pair->page));
        free(pair);
        return -EAGAIN;
    }
    *ret = pair;
    return 0;
}

static double bounce(struct pair *pair, uint64_t count, bool pause)
{
    struct page *page = pair->page;
    double started = side_now();

    atomic_store_explicit(&page->pause, pause, memory_order_relaxed);
    for (uint64_t i = 0; i < count; i++) {
        latency_begin();
        atomic_store_explicit(&page->to_child.number, ++pair->number, memory_order_release);
        await(page, &page->to_parent, pair->number, pause);
    }
    return side_now() - started;
}

static int round_trip(void *context, size_t size, uint64_t count)
{
    struct pair *pair = context;
    bool pause = atomic_load_explicit(&pair->page->pause, memory_order_relaxed);
    double tight;

    (void)size;
    if (pair->warm) {
        bounce(pair, count, pause);
        return 0;
    }
    pair->warm = true;
    tight = bounce(pair, count / 2, false) / (double)(count / 2);
    pause = bounce(pair, count - count / 2, true) / (double)(count - count / 2) < tight;
    atomic_store_explicit(&pair->page->pause, pause, memory_order_relaxed);
    return 0;
}

static int close_pair(void *context)
{
    struct pair *pair = context;
    int error;

    atomic_store_explicit(&pair->page->give_up, true, memory_order_relaxed);
    error = hand_made_reap(pair->child);
    munmap(pair->page, sizeof(*pair->page));
    free(pair);
    return error;
}

const struct peer peer_limit_ping_pong = {
    .name = "limit_ping_pong",
    .about = "a limit: two processes hand a cache line to and fro",
    .limit = true,
    .has_part = has_part,
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .close = close_pair,
};
