/* SPDX-License-Identifier: MIT */
/* What the command `duplex bench` measures: duplex, and the yardsticks that are there anywhere. */
#include "peers/peer.h"

const struct peer *const peers[] = {
    &peer_raw_stream,
    &peer_duplex_stream,
    &peer_duplex_stream_reserve,
    &peer_duplex_stream_socket,
    &peer_duplex_seqpacket,
    &peer_duplex_seqpacket_socket,
    &peer_duplex_dgram,
    &peer_duplex_stream_asleep,
    &peer_duplex_stream_socket_asleep,
    &peer_duplex_pool,
    &peer_duplex_pool_deep,
    &peer_duplex_pool_socket,
    &peer_duplex_pool_socket_deep,
    &peer_limit_ping_pong,
    &peer_limit_memcpy,
};

const size_t peer_count = sizeof(peers) / sizeof(peers[0]);
