/* SPDX-License-Identifier: MIT */
/* The guard of many process groups; see guard_groups.h. */
#include "guard_groups.h"

#include "guard.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

/*
 * A number stands here a few milliseconds longer than its group lives, at most: too short a time for
 * the kernel to come round to it again.
 */
static void kill_groups(const void *context)
{
    const guard_groups *self = context;
    size_t i;

    for (i = 0; i < self->count; i++) {
        pid_t group = atomic_load_explicit(&self->groups[i], memory_order_relaxed);

        if (group > 1)
            kill(-group, SIGKILL);
    }
}

int guard_groups_open(guard_groups *self, size_t count, dx_failure *ret_failure)
{
    size_t size = count * sizeof(*self->groups);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int result;

    *self = (guard_groups){0};
    if (memory == MAP_FAILED)
        return -errno;
    self->groups = memory;
    self->count = count;
    result = guard_start(&self->guard, (guard_task){kill_groups, self}, NULL, ret_failure);
    if (result < 0) {
        munmap(memory, size);
        *self = (guard_groups){0};
    }
    return result;
}

void guard_groups_set(guard_groups *self, size_t place, pid_t group)
{
    if (place < self->count)
        atomic_store_explicit(&self->groups[place], group, memory_order_relaxed);
}

void guard_groups_dismiss(guard_groups *self)
{
    guard_dismiss(self->guard);
    if (self->groups)
        munmap((void *)self->groups, self->count * sizeof(*self->groups));
    *self = (guard_groups){0};
}
