/* SPDX-License-Identifier: MIT */
/*
 * The worker's side.
 */
#include <duplex/pool.h>

#include "channel/channel.h"
#include "os/os.h"

#include <errno.h>

/* Jobs that took no longer than this are worth answering together. */
enum { TOGETHER_NS = 20 * 1000 };

static int answer(dx_channel *parent, dx_request_handler *handler, void *context,
                  const dx_message *job)
{
    uint64_t id = job->id;
    int status = handler(parent, job, context);

    if (status >= 0)
        return 0;
    status = dx_reply_error(parent, id, status, dx_error_text(status), DX_FOREVER);
    /* It was answered by the handler, or the parent no longer wants to know. */
    return status == -ENOENT ? 0 : status;
}

/*
 * Answers to jobs that were taken in together leave together, but only among jobs that take so little
 * that nobody minds. No longer: while the parent reads one lot, the next is done. The clock is looked at
 * once a lot.
 */
int dx_work(dx_channel *parent, dx_request_handler *handler, void *context)
{
    bool together = false, waited = true;
    unsigned count = 0;
    uint64_t began = 0;
    dx_message job;

    if (!handler)
        return -EINVAL;
    for (;;) {
        if (count > 0 && !dxi_channel_holds(parent)) {
            dxi_channel_send_collected(parent);
            uint64_t now = dxi_os->now_ns();

            together = now - began < (uint64_t)count * TOGETHER_NS;
            waited = !dxi_channel_stirs(parent);
            began = now;
            count = 0;
        }
        int status = dx_recv(parent, &job, DX_FOREVER);

        /* Its descriptors were lost, and the job comes next. */
        if (status == -EMFILE)
            continue;
        if (status != 1)
            return status;
        if (job.kind != DX_REQUEST && job.kind != DX_MESSAGE)
            continue;
        if (count++ == 0) {
            if (waited)
                began = dxi_os->now_ns();
            if (together)
                (void)dx_cork(parent);
        }
        status = answer(parent, handler, context, &job);
        if (status < 0)
            return status;
        if (!together)
            (void)dx_flush(parent, DX_FOREVER);
    }
}
