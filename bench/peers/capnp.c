/* SPDX-License-Identifier: MIT */
/*
 * Cap'n Proto: its RPC over a socketpair, with the event loop of its own library kj. A round trip
 * is a call; one way, messages are calls of a streaming method, as its manual advises, which keeps
 * as many under way as the socket holds. What is in C++ is in capnp_rpc.cc.
 */
#include "peers/capnp_rpc.h"

#include <errno.h>

#ifdef HAVE_CAPNP

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

struct pair {
    struct hand_made hand_made;
    void *end;
};

static const char *unavailable(const struct peer *peer, const struct task *task)
{
    (void)peer;
    return task->corked ? "it has no way to collect messages" : NULL;
}

static int open_pair(const struct peer *peer, const struct trial *trial, void **ret)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    int error;

    (void)peer;
    if (!pair)
        return -ENOMEM;
    *ret = pair;
    signal(SIGPIPE, SIG_IGN);
    error = hand_made_open(&pair->hand_made, SOCK_STREAM, 0, capnp_child, trial);
    return error < 0 ? error : capnp_open(&pair->end, pair->hand_made.fd, trial);
}

static int round_trip(void *pair, size_t size, uint64_t count)
{
    return capnp_round_trip(((struct pair *)pair)->end, size, count);
}

static int one_way(void *pair, size_t size, uint64_t count, bool corked)
{
    return capnp_one_way(((struct pair *)pair)->end, size, count, corked);
}

static int calls(void *pair, size_t size, uint64_t count, bool corked)
{
    return capnp_calls(((struct pair *)pair)->end, size, count, corked);
}

static int close_pair(void *context)
{
    struct pair *pair = context;
    int error;

    capnp_close(pair->end);
    error = hand_made_close(&pair->hand_made);
    free(pair);
    return error;
}

#else
#define PEER_IS_ABSENT "libcapnp-dev, capnproto and g++"
#include "peers/absent.h"
#include "peers/absent_work.h"
#endif

const struct peer peer_capnp = {
    .name = "capnp",
    .about = "Cap'n Proto: RPC over a socketpair; one way, a streaming method",
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .calls = calls,
    .close = close_pair,
};
