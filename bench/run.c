/* SPDX-License-Identifier: MIT */
/* Measure all groups, one after the other. */
#include "bench.h"

#include <errno.h>
#include <sys/prctl.h>

int run_groups(struct group *groups, size_t count, const struct effort *effort,
               int (*done)(const struct group *group, void *context), void *context)
{
    int error = 0;

    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return -errno;
    for (size_t i = 0; i < count && error == 0; i++) {
        if (groups[i].work == WORK_SPAWN)
            error = spawn_measure_group(&groups[i], effort);
        else
            error = measure_group(&groups[i], effort);
        if (error == 0)
            error = done(&groups[i], context);
    }
    return error;
}

unsigned run_failures(const struct group *groups, size_t count)
{
    unsigned failed = 0;

    for (size_t i = 0; i < count; i++) {
        for (unsigned row = 0; row < groups[i].row_count; row++)
            failed += groups[i].rows[row].failed;
    }
    return failed;
}
