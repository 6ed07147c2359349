/* SPDX-License-Identifier: MIT */
/*
 * A worker of a pool. The first letter of a job says what to do.
 */
#include "soak.h"

#include <signal.h>
#include <unistd.h>

static int obey(dx_channel *parent, const dx_message *job, void *context)
{
    const char *bytes = job->data;

    (void)context;
    alarm(SOAK_CHILD_SECONDS);
    switch (job->size > 0 ? bytes[0] : 'e') {
    case 'D':
        raise(SIGKILL);
        break;
    case 'X':
        _exit(3);
    case 'S':
        usleep(1000);
        break;
    case 'R':
        return dx_reply_error(parent, job->id, SOAK_REFUSED_CODE, "no", DX_FOREVER);
    default:
        break;
    }
    return dx_reply(parent, job->id, bytes, job->size, DX_FOREVER);
}

int soak_work(dx_channel *parent, void *context)
{
    (void)context;
    alarm(SOAK_CHILD_SECONDS);
    return dx_work(parent, obey, NULL) < 0 ? 98 : 0;
}
