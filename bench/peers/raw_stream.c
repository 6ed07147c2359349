/* SPDX-License-Identifier: MIT */
/*
 * The reference: a SOCK_STREAM socketpair between a parent and a forked child, with blocking
 * write(2) and read(2), as a tutorial has it. See bytes.h for how they are used.
 */
#include "peers/bytes.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

struct pair {
    struct bytes_end end; /* the first: a pair is its parent's end */
    struct hand_made hand_made;
};

static int child(int fd, const struct trial *trial)
{
    struct bytes_end end;
    int error = bytes_open(&end, fd, fd, trial->task.size);

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

static int open_pair(const struct peer *peer, const struct trial *trial, void **ret)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    int error;

    (void)peer;
    if (!pair)
        return -ENOMEM;
    /* A child that failed shall be an error of write(2), not the death of the parent. */
    signal(SIGPIPE, SIG_IGN);
    error = hand_made_open(&pair->hand_made, SOCK_STREAM, 0, child, trial);
    if (error < 0) {
        free(pair);
        return error;
    }
    *ret = pair;
    return bytes_open(&pair->end, pair->hand_made.fd, pair->hand_made.fd, trial->task.size);
}

static int close_pair(void *context)
{
    struct pair *pair = context;
    int error = hand_made_close(&pair->hand_made);

    bytes_close(&pair->end);
    free(pair);
    return error;
}

const struct peer peer_raw_stream = {
    .name = "raw_stream",
    .about = "socketpair(2) SOCK_STREAM and fork(2) by hand; no frames",
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = bytes_round_trip,
    .one_way = bytes_one_way,
    .calls = bytes_calls,
    .idle = bytes_idle,
    .close = close_pair,
};
