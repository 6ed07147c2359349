/* SPDX-License-Identifier: MIT */
/*
 * For WP, what framings share, in contracts: what is found lies within what was received.
 */
#include "wire/framing.h"

#include <errno.h>
#include <string.h>

/* What memchr() and strchr() ask for and give, in types. */
/*@ requires size == 0 || \valid_read(from + (0 .. size - 1));
    assigns \result \from from[0 .. size - 1], byte;
    ensures \result == \null || \exists integer i; 0 <= i < size && \result == from + i; */
extern const uint8_t *find_byte(const uint8_t *from, uint8_t byte, size_t size);
/*@ assigns \result \from byte; */
extern _Bool is_among(uint8_t byte);
#define memchr(from, byte, size) find_byte(from, byte, size)
#define strchr(text, byte) (is_among(byte) ? "" : NULL)

/* The most that a channel takes for its limit, and far more than a header has. */
#define LIMIT 0xffffffff
#define HEADER 65536

/*@ predicate readable(uint8_t *bytes, integer size) =
      size == 0 || \valid_read(bytes + (0 .. size - 1)); */

/*@ requires \valid(decoder);
    assigns decoder->fault;
    ensures \result < 0; */
static inline int dxi_violated(struct dxi_decoder *decoder, enum dxi_violation violation,
                               uint64_t value, uint64_t limit);

/*@ requires \valid(decoder);
    assigns decoder->needed;
    ensures \result == 0; */
static inline int dxi_wants(struct dxi_decoder *decoder, size_t needed);

/*@ requires \valid(ret);
    assigns *ret;
    ensures \result == 1;
    ensures ret->header == header && ret->size == size && ret->trailer == trailer; */
static inline int dxi_found(size_t header, size_t size, size_t trailer, struct dxi_frame *ret);

/*@ requires \valid(decoder) && \valid(ret) && \separated(decoder, ret);
    requires decoder->message_limit <= LIMIT && header <= HEADER && trailer <= HEADER;
    assigns decoder->fault, decoder->needed, *ret;
    ensures \result <= 1;
    ensures \result == 1 ==> ret->header + ret->size + ret->trailer <= size; */
static inline int dxi_announced(struct dxi_decoder *decoder, size_t size, size_t header,
                                uint64_t length, size_t trailer, struct dxi_frame *ret);

/*@ requires \valid(decoder) && \valid(ret_length) && \separated(decoder, ret_length);
    requires readable(bytes, size);
    assigns decoder->scanned, decoder->needed, *ret_length;
    ensures \result <= 1;
    ensures \result == 1 ==> *ret_length < size && decoder->scanned == \old(decoder->scanned);
    ensures \result == 1 ==> *ret_length <= most;
    ensures \result == 1 && \old(decoder->scanned) <= size ==> *ret_length >= decoder->scanned;
    ensures \result == 0 ==> decoder->scanned == size && *ret_length == size <= most;
    ensures \result < 0 ==> decoder->scanned == \old(decoder->scanned); */
static inline int dxi_find_end(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                               uint8_t end, size_t most, size_t *ret_length);

/*@ requires \valid(decoder);
    assigns decoder->scanned, decoder->needed;
    ensures decoder->scanned == 0; */
static inline void dxi_consumed(struct dxi_decoder *decoder, const struct dxi_frame *frame);
