/* SPDX-License-Identifier: MIT */
/*
 * The functions of a peer whose library was not there when the benchmark was built. The file that
 * includes this defines PEER_IS_ABSENT as the Debian package that was missing.
 */
#include "peers/peer.h"

#include <errno.h>

static const char *unavailable(const struct peer *peer, const struct task *task)
{
    (void)peer;
    (void)task;
    return "built without it: install " PEER_IS_ABSENT;
}

static int open_pair(const struct peer *peer, const struct trial *trial, void **ret)
{
    (void)peer;
    (void)trial;
    (void)ret;
    return -ENOTSUP;
}

static int close_pair(void *pair)
{
    (void)pair;
    return -ENOTSUP;
}
