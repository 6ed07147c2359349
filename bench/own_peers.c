/* SPDX-License-Identifier: MIT */
/* What the command `duplex bench` measures: duplex, and the yardsticks that are there anywhere. */
#include "peers/peer.h"

const struct peer *const peers[] = {
    &peer_raw_stream, OWN_CONVERSATIONS, OWN_POOLS, &peer_limit_ping_pong, &peer_limit_memcpy,
};

const size_t peer_count = sizeof(peers) / sizeof(peers[0]);
