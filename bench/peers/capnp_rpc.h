/* SPDX-License-Identifier: MIT */
/* The side of the Cap'n Proto peer that is in C++, as C sees it: capnp_rpc.cc. */
#ifndef DUPLEX_BENCH_CAPNP_RPC_H
#define DUPLEX_BENCH_CAPNP_RPC_H

#include "peers/peer.h"

/* The whole life of the child. */
int capnp_child(int fd, const struct trial *trial);

/* The parent's end, which does not own the descriptor. The rest as struct peer has it. */
int capnp_open(void **ret, int fd, const struct trial *trial);
int capnp_round_trip(void *end, size_t size, uint64_t count);
int capnp_one_way(void *end, size_t size, uint64_t count, bool corked);
int capnp_calls(void *end, size_t size, uint64_t count, bool corked);
void capnp_close(void *end);

#endif
