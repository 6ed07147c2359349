/* SPDX-License-Identifier: MIT */
/*
 * Shows the bytes of a vector to a decoder, in portions as a socket would bring them, and compares
 * what it sees with what the vector says. It asks everything twice, because a decoder that is asked
 * again must answer the same, and from memory that ends where the bytes end, so that a sanitizer
 * sees a decoder that looks further.
 */
#ifndef DUPLEX_TESTS_WIRE_REPLAY_H
#define DUPLEX_TESTS_WIRE_REPLAY_H

#include "harness.h"
#include "vectors.h"

/* Of rounds with random bytes. The thread sanitizer has little to find where there is one thread. */
enum { WIRE_PART = HARNESS_TSAN ? 10 : 1 };

struct replay {
    const struct vector *vector;
    const struct dxi_framing *framing;
    struct dxi_decoder decoder;
    struct bytes message; /* as far as it has come */
    size_t start;         /* bytes of the stream that were consumed */
    size_t seen;          /* sights of the vector */
    bool broken;
    struct dxi_fault fault;
};

void replay_begin(struct replay *replay, const struct vector *vector,
                  const struct dxi_framing *framing);

/* Show the decoder the first `size` bytes of the stream; last: nothing will come behind them. */
void replay_show(struct replay *replay, const uint8_t *stream, size_t size, bool last);

/* Check that it ended as the vector says, and free what it took. */
void replay_end(struct replay *replay, size_t stream_size);

/* decode(), or decode_last(), twice: the answers and what they leave behind must be the same. */
int decode_twice(const struct dxi_framing *framing, struct dxi_decoder *decoder,
                 const uint8_t *bytes, size_t size, bool last, struct dxi_frame *ret);

#endif
