/* SPDX-License-Identifier: MIT */
/*
 * The ring's positions, for WP: rings of any size, positions of any value, words of the other side
 * that say anything. What a side has of a ring is sound if it never has more to read or to write
 * than the ring holds; each function keeps it so, and what a sender and a receiver do in between
 * does too.
 *
 * With what Eva shows of ring.c (any place lies in the first of the two mappings of a ring), no
 * byte is read or written outside the memory that is mapped.
 */
#include <stdatomic.h>
#include <stdint.h>

/* What the other side's words say: anything, each time anew. What we say to it, it alone reads. */
/*@ assigns \result \from \nothing; */
extern uint64_t any_word(void);
#define _Alignas(size)
#define __asm__(...)
#define __builtin_ia32_pause()
#define __builtin_prefetch(at)
#undef atomic_load_explicit
#undef atomic_exchange_explicit
#undef atomic_store_explicit
#undef atomic_thread_fence
#define atomic_load_explicit(at, order) any_word()
#define atomic_exchange_explicit(at, value, order) any_word()
#define atomic_store_explicit(at, value, order) ((void)0)
#define atomic_thread_fence(order) ((void)0)

#include "wire/ring.h"

/*
 * WP knows that a conversion leaves alone what fits. What it makes of a number that is too small or
 * too large by less than one turn is C11, 6.3.1.3.
 */
/*@ axiomatic Conversion {
      axiom below: \forall integer a; -0x10000000000000000 <= a < 0 ==>
        (uint64_t)a == a + 0x10000000000000000;
      axiom above: \forall integer a; 0x10000000000000000 <= a < 0x20000000000000000 ==>
        (uint64_t)a == a - 0x10000000000000000;
    }

    predicate word(integer a) = 0 <= a < 0x10000000000000000;

    lemma joined: \forall integer a, b, c; word(a) && word(b) && word(c) &&
      (uint64_t)(a - b) + (uint64_t)(b - c) < 0x10000000000000000 ==>
      (uint64_t)(a - c) == (uint64_t)(a - b) + (uint64_t)(b - c);

    lemma passed: \forall integer a, b, c; word(a) && word(b) && word(c) &&
      (uint64_t)(b - c) <= (uint64_t)(a - c) ==>
      (uint64_t)(a - b) == (uint64_t)(a - c) - (uint64_t)(b - c);

    lemma grown: \forall integer a, b, part; word(a) && word(b) && 0 <= part &&
      (uint64_t)(a - b) + part < 0x10000000000000000 ==>
      (uint64_t)((uint64_t)(a + part) - b) == (uint64_t)(a - b) + part;

    lemma shrunk: \forall integer a, b, part; word(a) && word(b) &&
      0 <= part <= (uint64_t)(a - b) ==>
      (uint64_t)(a - (uint64_t)(b + part)) == (uint64_t)(a - b) - part;

    predicate sound_out(struct dxi_ring_out *out) =
      \valid(out) && 0 < out->size <= 67108864 && word(out->tail) &&
      (uint64_t)(out->tail - out->head) <= out->size &&
      (uint64_t)(out->published - out->head) <= (uint64_t)(out->tail - out->head);

    predicate sound_in(struct dxi_ring_in *in) =
      \valid(in) && 0 < in->size <= 67108864 && (uint64_t)(in->tail - in->head) <= in->size;
 */

/*@ requires sound_out(out);
    assigns out->head;
    ensures sound_out(out); */
int dxi_ring_look_for_room(struct dxi_ring_out *out);

/*@ requires sound_out(out);
    assigns \nothing;
    ensures \result == out->size - (uint64_t)(out->tail - out->head); */
static inline uint64_t dxi_ring_room(const struct dxi_ring_out *out);

/*@ requires sound_out(out);
    assigns out->base;
    ensures sound_out(out); */
static inline void dxi_ring_rewind(struct dxi_ring_out *out);

/*@ requires sound_out(out);
    assigns out->published, out->shown_base;
    ensures sound_out(out); */
static inline void dxi_ring_publish(struct dxi_ring_out *out);

/*@ requires sound_in(in);
    assigns in->tail, in->base;
    ensures sound_in(in); */
int dxi_ring_look(struct dxi_ring_in *in);

/*@ requires sound_in(in);
    assigns \nothing;
    ensures \result == (uint64_t)(in->tail - in->head); */
static inline uint64_t dxi_ring_filled(const struct dxi_ring_in *in);

/*@ requires sound_in(in);
    assigns in->given;
    ensures sound_in(in); */
static inline void dxi_ring_give_back(struct dxi_ring_in *in);

/*@ requires sound_in(in);
    assigns in->given;
    ensures sound_in(in); */
void dxi_ring_leave(struct dxi_ring_in *in, bool all_taken);

/*@ requires sound_in(in);
    assigns in->limit;
    ensures sound_in(in); */
void dxi_ring_seal(struct dxi_ring_in *in);

#include FRAMING

/* What a sender does, of a message of any size: put() in channel/lane_send.c. */
/*@ requires sound_out(out);
    assigns out->tail;
    ensures sound_out(out);
    ensures \result <= size && \result <= out->size; */
static uint64_t write_any(struct dxi_ring_out *out, uint64_t size)
{
    uint64_t room = dxi_ring_room(out);
    uint64_t part = size < room ? size : room;

    out->tail += part;
    return part;
}

/* What a receiver does: dxi_lane_fill() in channel/lane_receive.c. */
/*@ requires sound_in(in);
    assigns in->head;
    ensures sound_in(in);
    ensures \result <= size && \result <= in->size; */
static uint64_t read_any(struct dxi_ring_in *in, uint64_t size)
{
    uint64_t filled = dxi_ring_filled(in);
    uint64_t part = size < filled ? size : filled;

    in->head += part;
    return part;
}
