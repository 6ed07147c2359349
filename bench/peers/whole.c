/* SPDX-License-Identifier: MIT */
#include "peers/whole.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static int flush(struct whole *end)
{
    return end->functions->flush ? end->functions->flush(end) : 0;
}

int whole_phase(void *context, const struct task *task, uint64_t count)
{
    struct whole *end = context;
    int error = 0;

    for (uint64_t i = 0; i < count && error == 0; i++) {
        error = end->functions->receive(end, task->size, i);
        if (error == 0 && task->work != WORK_ONE_WAY)
            error = end->functions->send_back(end);
    }
    if (error == 0 && task->work == WORK_ONE_WAY)
        error = end->functions->send(end, ACKNOWLEDGEMENT_SIZE, count);
    return error < 0 ? error : flush(end);
}

int whole_round_trip(void *context, size_t size, uint64_t count)
{
    struct whole *end = context;
    int error = 0;

    for (uint64_t i = 0; i < count && error == 0; i++) {
        error = end->functions->send(end, size, i);
        if (error == 0)
            error = end->functions->receive(end, size, i);
    }
    return error;
}

int whole_one_way(void *context, size_t size, uint64_t count, bool corked)
{
    struct whole *end = context;
    int error = 0;

    (void)corked;
    for (uint64_t i = 0; i < count && error == 0; i++)
        error = end->functions->send(end, size, i);
    if (error == 0)
        error = flush(end);
    return error < 0 ? error : end->functions->receive(end, ACKNOWLEDGEMENT_SIZE, count);
}

int whole_calls(void *context, size_t size, uint64_t count, bool corked)
{
    struct whole *end = context;
    uint64_t asked = 0;
    int error = 0;

    (void)corked;
    for (uint64_t answered = 0; answered < count && error == 0; answered++) {
        while (asked < count && asked < answered + CALLS_OPEN && error == 0)
            error = end->functions->send(end, size, asked++);
        if (error == 0)
            error = end->functions->receive(end, size, answered);
    }
    return error;
}

static int child(const struct whole_named *named, const char *name, int fd,
                 const struct trial *trial)
{
    struct whole *end = calloc(1, named->end_size);
    int error;

    if (!end)
        return -ENOMEM;
    end->functions = named->functions;
    /* Before a library starts threads, which run where this one does. */
    error = side_place(trial->task.placement, true);
    if (error == 0)
        error = named->open(end, name, &trial->task, true);
    if (error == 0)
        error = write_all(fd, "", 1);
    if (error == 0)
        error = side_serve(trial, whole_phase, end);
    /* The last message may still be with a thread of the library. */
    if (error == 0)
        await_end_of(fd);
    return error;
}

/* After a failure the process ends, and all that is open here with it. */
int whole_named_open(const struct whole_named *named, const struct trial *trial, void **ret)
{
    struct whole *end = calloc(1, named->end_size);
    char name[WHOLE_NAME_SIZE];
    char byte;
    uint64_t number;
    int fds[2];
    int error;

    if (!end)
        return -ENOMEM;
    *ret = end;
    end->functions = named->functions;
    signal(SIGPIPE, SIG_IGN);
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return -EIO;
    snprintf(name, sizeof(name), "duplex-bench-%016llx", (unsigned long long)number);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    end->hand_made.fd = fds[0];
    end->hand_made.child = hand_made_fork();
    if (end->hand_made.child < 0)
        return -errno;
    if (end->hand_made.child == 0) {
        close(fds[0]);
        _exit(child(named, name, fds[1], trial) < 0);
    }
    close(fds[1]);
    error = read_all(fds[0], &byte, 1);
    return error < 0 ? error : named->open(end, name, &trial->task, false);
}

int whole_named_close(const struct whole_named *named, void *context)
{
    struct whole *end = context;
    int error = hand_made_close(&end->hand_made);

    named->close(end);
    free(end);
    return error;
}
