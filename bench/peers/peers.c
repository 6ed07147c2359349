/* SPDX-License-Identifier: MIT */
/* The peers in the order in which they are run and printed; the first is what others are held
 * against. */
#include "peers/peer.h"

const struct peer *const peers[] = {
    &peer_raw_stream,
    &peer_raw_seqpacket,
    &peer_raw_pipe,
    &peer_imsg,
    OWN_CONVERSATIONS,
    &peer_libuv,
    &peer_nng,
    &peer_zeromq,
    &peer_sdbus,
    &peer_capnp,
    &peer_node,
    &peer_python,
    OWN_POOLS,
    &peer_duplex_pool_lines,
    &peer_duplex_pool_lines_deep,
    &peer_python_imap,
    &peer_python_imap_chunks,
    &peer_python_executor,
    &peer_parallel_each,
    &peer_parallel_round_robin_each,
    &peer_parallel_round_robin,
    &peer_xargs_each,
    &peer_limit_ping_pong,
    &peer_limit_memcpy,
};

const size_t peer_count = sizeof(peers) / sizeof(peers[0]);
