/* SPDX-License-Identifier: MIT */
/*
 * The ring's places, for any positions and any words of the other side: where a byte is written or
 * read, that byte and all of a ring behind it lie in the memory that is mapped, of each size that a
 * ring may have. The words are read by atomic loads, of which Frama-C only knows that they return
 * anything, as a hostile side has it. That there is never more to write or to read than a ring
 * holds: positions.c.
 */
#define __asm__(...) /* hides a pointer from the compiler, and leaves it as it is */

#include "wire/ring.h"

#include "__fc_builtin.h"

#include FRAMING

/* Powers of two: from DX_RING_SIZE_MIN to DX_RING_SIZE_MAX. */
#define EACH(DO) DO(16) DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23) DO(24) DO(25) DO(26)
#define MAP(power) static uint8_t rings_##power[2][2 << power];
EACH(MAP)

static struct dxi_ring_control control;

static void write_any(struct dxi_ring_out *out)
{
    out->tail = Frama_C_unsigned_long_interval(0, UINT64_MAX);
    out->published = Frama_C_unsigned_long_interval(0, UINT64_MAX);
    out->base = Frama_C_unsigned_long_interval(0, UINT64_MAX);
    out->head = Frama_C_unsigned_long_interval(0, UINT64_MAX);
    (void)dxi_ring_look_for_room(out);
    dxi_ring_rewind(out);
    uint8_t *place = dxi_ring_place(out);

    place[0] = 1;
    place[out->size - 1] = 1;
    dxi_ring_publish(out);
    (void)dxi_ring_wakes_consumer(out);
    (void)dxi_ring_starve(out);
    (void)dxi_ring_left_unread(out);
}

static uint8_t read_any(struct dxi_ring_in *in)
{
    in->tail = Frama_C_unsigned_long_interval(0, UINT64_MAX);
    in->base = Frama_C_unsigned_long_interval(0, UINT64_MAX);
    in->head = Frama_C_unsigned_long_interval(0, UINT64_MAX);
    in->given = Frama_C_unsigned_long_interval(0, UINT64_MAX);
    in->limit = Frama_C_unsigned_long_interval(0, UINT64_MAX);
    (void)dxi_ring_look(in);
    const uint8_t *place = dxi_ring_bytes(in);
    uint8_t sum = place[0] ^ place[in->size - 1];

    dxi_ring_give_back(in);
    (void)dxi_ring_wants_room(in);
    (void)dxi_ring_doze(in);
    dxi_ring_seal(in);
    dxi_ring_leave(in, true);
    return sum;
}

static void converse(uint8_t *const rings[2], uint64_t size, bool maker)
{
    struct dxi_ring_out out = dxi_ring_out_end(&control, rings, size, maker);
    struct dxi_ring_in in = dxi_ring_in_end(&control, rings, size, maker);

    write_any(&out);
    (void)read_any(&in);
}

#define CONVERSE(power)                                                                            \
    converse((uint8_t *const[2]){rings_##power[0], rings_##power[1]}, 1 << power, true);           \
    converse((uint8_t *const[2]){rings_##power[0], rings_##power[1]}, 1 << power, false);

int main(void)
{
    EACH(CONVERSE)
    return 0;
}
