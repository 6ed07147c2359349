/* SPDX-License-Identifier: MIT */
/*
 * Messages whose size both sides know, as bare bytes in a stream: blocking write(2) and read(2), no
 * frames. A reader of many small messages reads whatever has come, up to 64 KiB at once. Corked, a
 * sender collects 64 KiB by hand before it writes: the most that anybody can gain by coalescing.
 */
#ifndef DUPLEX_BENCH_BYTES_H
#define DUPLEX_BENCH_BYTES_H

#include "peers/peer.h"

struct bytes_end {
    int read_fd, write_fd; /* a socket is both */
    unsigned char *buffer; /* of a message, and of READ_SIZE at least */
};

int bytes_open(struct bytes_end *ret, int read_fd, int write_fd, size_t size);
void bytes_close(struct bytes_end *end);

/* A side_phase, and what a struct peer asks for; `end` is a struct bytes_end. */
int bytes_phase(void *end, const struct task *task, uint64_t count);
int bytes_round_trip(void *end, size_t size, uint64_t count);
int bytes_one_way(void *end, size_t size, uint64_t count, bool corked);
int bytes_calls(void *end, size_t size, uint64_t count, bool corked);
int bytes_idle(void *end, double seconds);

#endif
