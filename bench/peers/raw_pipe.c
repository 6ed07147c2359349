/* SPDX-License-Identifier: MIT */
/*
 * Two pipes between a parent and a forked child, one for each direction, with blocking write(2) and
 * read(2): what was there before socketpair(2). See bytes.h for how they are used. The pipes have
 * the system's default size, which is 64 KiB.
 */
#include "peers/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct pair {
    struct bytes_end end; /* the first: a pair is its parent's end */
    pid_t child;
};

static int child(int read_fd, int write_fd, const struct trial *trial)
{
    struct bytes_end end;
    int error = bytes_open(&end, read_fd, write_fd, trial->task.size);

    if (error == 0)
        error = side_serve(trial, bytes_phase, &end);
    bytes_close(&end);
    return error;
}

static const char *unavailable(const struct peer *peer, const struct task *task)
{
    (void)peer;
    (void)task;
    return NULL;
}

/* What is open after a failure ends with the process, which has no other purpose. */
static int open_pair(const struct peer *peer, const struct trial *trial, void **ret)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    int there[2]; /* to the child */
    int back[2];

    (void)peer;
    if (!pair)
        return -ENOMEM;
    *ret = pair;
    /* A child that failed shall be an error of write(2), not the death of the parent. */
    signal(SIGPIPE, SIG_IGN);
    if (pipe2(there, O_CLOEXEC) < 0 || pipe2(back, O_CLOEXEC) < 0)
        return -errno;
    pair->child = hand_made_fork();
    if (pair->child < 0)
        return -errno;
    if (pair->child == 0) {
        close(there[1]);
        close(back[0]);
        _exit(child(there[0], back[1], trial) < 0);
    }
    close(there[0]);
    close(back[1]);
    return bytes_open(&pair->end, back[0], there[1], trial->task.size);
}

static int close_pair(void *context)
{
    struct pair *pair = context;
    int error;

    close(pair->end.write_fd);
    close(pair->end.read_fd);
    error = hand_made_reap(pair->child);
    bytes_close(&pair->end);
    free(pair);
    return error;
}

const struct peer peer_raw_pipe = {
    .name = "raw_pipe",
    .about = "two times pipe(2), and fork(2), by hand; no frames",
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = bytes_round_trip,
    .one_way = bytes_one_way,
    .calls = bytes_calls,
    .close = close_pair,
};
