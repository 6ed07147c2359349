/* SPDX-License-Identifier: MIT */
/*
 * Memory, the clock, and the mark by which a process recognises itself after a fork.
 */
#include "os/linux.h"
#include "os/lock.h"
#include "os/os.h"

#include <duplex/error.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

void *dxi_linux_allocate(size_t size)
{
    return malloc(size);
}

void *dxi_linux_resize(void *memory, size_t size)
{
    return realloc(memory, size);
}

void dxi_linux_release(void *memory)
{
    free(memory);
}

uint64_t dxi_linux_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

bool dxi_linux_several_processors(void)
{
    /* The C library reads a file for it: once is enough. */
    static _Atomic long online;
    long count = atomic_load_explicit(&online, memory_order_relaxed);

    if (count == 0) {
        count = sysconf(_SC_NPROCESSORS_ONLN);
        atomic_store_explicit(&online, count, memory_order_relaxed);
    }
    return count > 1;
}

unsigned dxi_linux_processor(void)
{
    int processor = sched_getcpu();

    return processor < 0 ? 0 : (unsigned)processor + 1;
}

bool dxi_linux_single_threaded(void)
{
    return dxi_single_threaded();
}

uint64_t dxi_deadline(int timeout_ms)
{
    if (timeout_ms == DX_NOW)
        return 0;
    if (timeout_ms < 0)
        return UINT64_MAX;
    return dxi_os->now_ns() + (uint64_t)timeout_ms * 1000000U;
}

/*
 * The mark lies in a page that the kernel empties in every forked child (MADV_WIPEONFORK,
 * Linux 4.14), however the fork was made; a handler of pthread_atfork(3) would miss clone(2) and
 * _Fork(3). A child that finds it empty takes the next number after those it has inherited.
 */
typedef _Atomic uint64_t generation_mark;

static generation_mark *generation_page;
static generation_mark generation_fallback;
static _Atomic uint64_t generations_taken;
static pthread_once_t generation_once = PTHREAD_ONCE_INIT;

static void forget_generation(void)
{
    atomic_store_explicit(&generation_fallback, 0, memory_order_relaxed);
}

static void make_generation_page(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page != MAP_FAILED && madvise(page, size, MADV_WIPEONFORK) == 0) {
        generation_page = page;
        return;
    }
    /* Emulators and old sandboxes know no MADV_WIPEONFORK: fork(3) at least is noticed there. */
    if (page != MAP_FAILED)
        munmap(page, size);
    pthread_atfork(NULL, NULL, forget_generation);
    generation_page = &generation_fallback;
}

const _Atomic uint64_t *dxi_generation_mark(void)
{
    (void)dxi_generation();
    return generation_page;
}

uint64_t dxi_generation(void)
{
    pthread_once(&generation_once, make_generation_page);
    uint64_t mark = atomic_load_explicit(generation_page, memory_order_relaxed);

    if (mark != 0)
        return mark;
    uint64_t next = atomic_fetch_add_explicit(&generations_taken, 1, memory_order_relaxed) + 1;

    /* Two threads may come here first; the one that stores first names the generation. */
    if (atomic_compare_exchange_strong(generation_page, &mark, next))
        return next;
    return mark;
}
