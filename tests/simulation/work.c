/* SPDX-License-Identifier: MIT */
/*
 * A worker that does what its job says, and as badly.
 */
#include "jobs.h"

#include "talk.h"

#include "os/os.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

static void answer(dx_channel *parent, const dx_message *request, const struct job_note *note)
{
    unsigned place = (unsigned)(note - jobs.notes);
    int status;

    /* A kernel that is short of memory has some a little later. */
    while ((status = dx_reply(parent, request->id, talk_pattern(place + 5000, note->answer_size),
                              note->answer_size, DX_FOREVER)) == -ENOBUFS)
        world_sleep(1000000);
    world_say("worker: answers job %u: %d", place, status);
    /* The pool may have cancelled it, have killed us, or have gone. */
    world_check(status == 0 || status == -ENOENT || status == -EPIPE || status == -EDEADLK,
                "an answer to job %u says %d: %s", place, status, dx_channel_explain(parent));
}

static void talk_nonsense(dx_channel *parent)
{
    uint8_t bytes[64];
    const struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};

    memset(bytes, 0xa5, sizeof(bytes));
    (void)dxi_os->send(dx_channel_fd(parent), &part, 1, NULL, 0);
}

static void complain(void)
{
    const struct iovec part = {.iov_base = (char[]){"worker: oh dear\n"}, .iov_len = 16};

    (void)dxi_os->write(2, &part, 1, true);
}

static void misbehave(dx_channel *parent, enum deed_of_job deed)
{
    switch (deed) {
    case JOB_DIE:
    case JOB_DIE_ONCE:
        world_raise(SIGSEGV);
        break;
    case JOB_EXIT:
        world_exit(7);
    case JOB_TALK_NONSENSE:
        talk_nonsense(parent);
        world_hang();
    case JOB_SHUT:
        dxi_os->shutdown(dx_channel_fd(parent), SHUT_RDWR);
        world_hang();
    case JOB_HANG:
    case JOB_HANG_ONCE:
        world_hang();
    case JOB_STOP:
        world_raise(SIGSTOP);
        break;
    default:
        break;
    }
}

static int handle(dx_channel *parent, const dx_message *request, void *context)
{
    uint32_t place;

    (void)context;
    world_check(request->size >= JOB_HEAD, "a job of %zu bytes", request->size);
    memcpy(&place, request->data, sizeof(place));
    world_check(place < jobs.count, "job %u was never submitted", place);
    struct job_note *note = &jobs.notes[place];

    world_check(request->size == note->size &&
                    memcmp((const char *)request->data + JOB_HEAD,
                           talk_pattern(place + 4000, note->size), note->size - JOB_HEAD) == 0,
                "job %u holds other bytes", place);
    note->runs++;
    world_say("worker: job %u, run %u, deed %d", place, note->runs, (int)note->deed);
    if (jobs.options.depth <= 1)
        world_check(note->runs <= jobs.options.retries + 1, "job %u is run for the %u. time", place,
                    note->runs);
    switch (note->deed) {
    case JOB_REFUSE:
        return -ENOTTY;
    case JOB_COMPLAIN:
        complain();
        break;
    case JOB_ANSWER_LATE:
        world_sleep(random_below(&world_plan, 8000000));
        break;
    case JOB_DIE_ONCE:
    case JOB_HANG_ONCE:
        if (note->runs == 1)
            misbehave(parent, note->deed);
        break;
    default:
        if (note->deed >= JOB_DIE) {
            misbehave(parent, note->deed);
            return 0;
        }
        break;
    }
    answer(parent, request, note);
    if (note->deed == JOB_ANSWER_TWICE)
        answer(parent, request, note);
    if (note->deed == JOB_ANSWER_AND_EXIT) {
        while (dx_flush(parent, DX_FOREVER) == -ENOBUFS)
            world_sleep(1000000);
        world_exit(0);
    }
    return 0;
}

int work_as_function(dx_channel *parent, void *context)
{
    (void)context;
    int status = dx_work(parent, handle, NULL);

    world_say("worker: leaves: %d", status);
    world_check(status == 0 || status == -EPIPE || status == -ENOBUFS, "a worker ends with %d: %s",
                status, dx_channel_explain(parent));
    return 0;
}

int work_as_program(void)
{
    dx_channel_options options = jobs.options.process.channel;
    dx_channel *parent;
    int status = dx_channel_to_parent(&parent, &options);

    world_check(status == 0, "a worker finds no channel: %d", status);
    work_as_function(parent, NULL);
    dx_channel_close(parent);
    return 0;
}
