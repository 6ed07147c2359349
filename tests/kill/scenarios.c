/* SPDX-License-Identifier: MIT */
/*
 * The list of the scenarios, and what each needs whatever its round is like.
 */
#include "kill.h"

#include "os/os.h"

#include <sys/socket.h>
#include <unistd.h>

static void settle_spawn(struct variation *is)
{
    is->spawned = true;
}

static void settle_fork(struct variation *is)
{
    is->spawned = false;
}

/*
 * A program learns of the death of a parent that died before it began from SO_PEERPIDFD, which Linux has
 * since 6.5; a datagram socket says nothing.
 */
static bool kernel_names_peers(void)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    int pidfd = dxi_os->peer_pidfd(ends[0]);

    if (pidfd >= 0)
        close(pidfd);
    close(ends[0]);
    close(ends[1]);
    return pidfd >= 0;
}

static void settle_datagrams(struct variation *is)
{
    is->type = DX_DGRAM;
    is->lane = false;
    is->spawned = is->spawned && kernel_names_peers();
}

static void settle_grandchild(struct variation *is)
{
    if (is->group == DX_GROUP_INHERIT)
        is->group = DX_GROUP_NEW;
}

static void settle_lane(struct variation *is)
{
    is->lane = true;
}

/* Who does not heed the end of the conversation would stay, unless the kernel ended it. */
static void settle_stop(struct variation *is)
{
    if (is->manner > 0)
        is->die_with_parent = true;
}

static void settle_pool(struct variation *is)
{
    /* Every second round workers have several jobs at a time, and there are enough for that. */
    if (is->round % 2 == 0) {
        is->depth = 1;
    } else {
        is->depth = is->round % 4 == 1 ? 3 : DX_DEPTH_AUTO;
        is->window = 12;
        is->count = is->count < 8 ? 8 : is->count;
    }
    /* A worker that ends by itself and one that is killed may have had the same job. */
    if (is->manner == 2)
        is->retries = 2;
}

const struct scenario scenarios[] = {
    {"fork", talk_parent, talk_child, 1, 4, settle_fork, false},
    {"spawn", talk_parent, talk_child, 1, 4, settle_spawn, false},
    {"dgram", talk_parent, talk_child, 1, 4, settle_datagrams, false},
    {"grandchild", talk_parent, grandchild_child, 1, 4, settle_grandchild, false},
    {"descriptors", descriptors_parent, descriptors_child, 1, 1, NULL, false},
    {"calls", calls_parent, calls_child, 1, 1, NULL, false},
    {"lane", lane_parent, lane_child, 1, 1, settle_lane, true},
    {"stop", stop_parent, stop_child, 1, 3, settle_stop, false},
    {"pool", pool_parent, pool_child, 3, 3, settle_pool, false},
    {"command", command_parent, command_child, 3, 3, NULL, false},
};
const size_t scenario_count = sizeof(scenarios) / sizeof(scenarios[0]);
