/* SPDX-License-Identifier: MIT */
/* The guard of many process groups; see guard_groups.h. */
#include "guard_groups.h"

#include "guard.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

/*
 * A number stands here until its leader is reaped by the command. Who inherits the leader may reap it some
 * moments before this: too short a time for the kernel to come round to the number again.
 */
static void kill_groups(const void *context)
{
    const guard_groups *self = context;
    size_t i;

    for (i = 0; i < self->count; i++) {
        pid_t group = self->groups[i];

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
    result = guard_start(&self->guard, (guard_task){kill_groups, self}, ret_failure);
    if (result < 0) {
        munmap(memory, size);
        *self = (guard_groups){0};
    }
    return result;
}

pid_t *guard_groups_places(guard_groups *self)
{
    return (pid_t *)self->groups;
}

void guard_groups_dismiss(guard_groups *self)
{
    guard_dismiss(self->guard);
    if (self->groups)
        munmap((void *)self->groups, self->count * sizeof(*self->groups));
    *self = (guard_groups){0};
}
