/* SPDX-License-Identifier: MIT */
/*
 * A world from its beginning to its end, and what must not be left of it.
 */
#include "kernel.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static void (*root_function)(void *context);
static void *root_context;

static void complain(const char *format, uint64_t count)
{
    if (kernel.failed || count == 0)
        return;
    kernel.failed = true;
    snprintf(kernel.failure, sizeof(kernel.failure), format, count);
}

static void live_as_root(void)
{
    struct process *self = kernel.running;

    root_function(root_context);
    for (unsigned fd = 3; fd < self->highest; fd++) {
        if (self->slots[fd].file != NULL)
            world_fail("the first process ends and has left descriptor %u open", fd);
    }
    if (self->blocks > 0)
        world_fail("the first process ends and has left %zu blocks of memory", self->blocks);
    for (unsigned i = 0; i < kernel.process_count; i++) {
        if (kernel.processes[i]->parent == self)
            world_fail("the first process ends and has left process #%u",
                       kernel.processes[i]->number);
    }
    world_exit(0);
}

static void make_root(void)
{
    static char *environment[] = {"PATH=/bin", NULL};
    struct process *root = process_make(NULL, live_as_root);
    size_t size = sizeof(environment);

    root->environment = malloc(size);
    if (root->environment == NULL)
        world_fail("no memory for an environment");
    memcpy(root->environment, environment, size);
    kernel.root = kernel.running = root;
    for (int fd = 0; fd < 3; fd++)
        file_place(root, file_make(FILE_NULL), 0, false);
}

/* What a world that failed has left. */
static void sweep(void)
{
    kernel.running = NULL;
    while (kernel.process_count > 0) {
        struct process *process = kernel.processes[0];

        for (int fd = (int)process->highest - 1; fd >= 0; fd--)
            file_close(process, fd);
        process_forget(process);
    }
    memory_sweep();
}

struct world_history world_run(uint64_t seed, const struct world_options *options,
                               void (*root)(void *context), void *context, bool traced)
{
    const struct dxi_os *os_before = dxi_os;
    char **environ_before = environ;
    uint64_t mark_before = dxi_generation();
    _Atomic uint64_t *mark = (_Atomic uint64_t *)dxi_generation_mark();

    memset(&kernel, 0, sizeof(kernel));
    kernel.options = *options;
    kernel.choices.state = seed;
    world_plan.state = ~seed;
    kernel.traced = traced;
    kernel.now_ns = 1000000000;
    root_function = root;
    root_context = context;
    dxi_os = &simulated_os;
    make_root();
    world_begin();
    kernel.running = NULL;
    dxi_os = os_before;
    environ = environ_before;
    atomic_store_explicit(mark, mark_before, memory_order_relaxed);
    if (kernel.failed)
        sweep();
    complain("%" PRIu64 " open files are left", kernel.file_count);
    complain("%" PRIu64 " processes are left", kernel.process_count);
    complain("shared memory is left, in use %" PRIu64 " times", memory_count());
    return (struct world_history){
        .failure = kernel.failed ? kernel.failure : NULL,
        .hash = kernel.hash,
        .calls = kernel.calls,
        .lasted_ns = kernel.now_ns - 1000000000,
        .processes = kernel.born,
        .deaths = kernel.deaths,
    };
}
