/* SPDX-License-Identifier: MIT */
/*
 * The ring's slower half: looking at the other side's words, and the handshake of sleep.
 *
 * Who sleeps announces it, fences, and looks once more; who publishes fences and looks for the
 * announcement. Without both fences each could miss the other (a store may pass a later load), and
 * the sleeper would sleep on.
 */
#include "wire/ring.h"

#include <errno.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct dxi_ring_out dxi_ring_out_end(struct dxi_ring_control *control, uint8_t *const rings[2],
                                     uint64_t size, bool maker)
{
    return (struct dxi_ring_out){
        .bytes = rings[maker ? 0 : 1],
        .size = size,
        .mine = maker ? &control->maker : &control->acceptor,
        .peer = maker ? &control->acceptor : &control->maker,
    };
}

struct dxi_ring_in dxi_ring_in_end(struct dxi_ring_control *control, uint8_t *const rings[2],
                                   uint64_t size, bool maker)
{
    return (struct dxi_ring_in){
        .bytes = rings[maker ? 1 : 0],
        .size = size,
        .limit = UINT64_MAX,
        .mine = maker ? &control->maker : &control->acceptor,
        .peer = maker ? &control->acceptor : &control->maker,
    };
}

int dxi_ring_look_for_room(struct dxi_ring_out *out)
{
    /* Acquire: pairs with the release in dxi_ring_give_back(). What lay there was copied. */
    uint64_t head = atomic_load_explicit(&out->peer->head, memory_order_acquire);

    /* Never less than it said before, and never more than it was given. */
    if (head - out->head > out->published - out->head)
        return -EPROTO;
    out->head = head;
    return 0;
}

bool dxi_ring_granted(_Atomic uint32_t *word)
{
    return atomic_exchange_explicit(word, 0, memory_order_relaxed) != 0;
}

bool dxi_ring_starve(struct dxi_ring_out *out)
{
    atomic_store_explicit(&out->mine->starved, 1, memory_order_relaxed);
    /* Pairs with the fence in dxi_ring_wants_room()'s callers. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&out->peer->head, memory_order_relaxed) == out->head)
        return true;
    dxi_ring_feed(out);
    return false;
}

void dxi_ring_feed(struct dxi_ring_out *out)
{
    atomic_store_explicit(&out->mine->starved, 0, memory_order_relaxed);
}

int dxi_ring_look(struct dxi_ring_in *in)
{
    /* Acquire: pairs with the release in dxi_ring_publish(). The bytes and the base are there. */
    uint64_t tail = atomic_load_explicit(&in->peer->tail, memory_order_acquire);

    if (in->limit != UINT64_MAX)
        tail = in->limit;
    /* Never less than it said before, and never more than the ring holds. */
    if (tail - in->tail > in->size - (in->tail - in->head))
        return -EPROTO;
    in->base = atomic_load_explicit(&in->peer->base, memory_order_relaxed);
    in->tail = tail;
    return 0;
}

bool dxi_ring_doze(struct dxi_ring_in *in)
{
    atomic_store_explicit(&in->mine->asleep, 1, memory_order_relaxed);
    /* Pairs with the fence in dxi_ring_wakes_consumer(). */
    atomic_thread_fence(memory_order_seq_cst);
    if (!dxi_ring_stirs(in))
        return true;
    dxi_ring_rouse(in);
    return false;
}

void dxi_ring_rouse(struct dxi_ring_in *in)
{
    atomic_store_explicit(&in->mine->asleep, 0, memory_order_relaxed);
}

void dxi_ring_leave(struct dxi_ring_in *in, bool all_taken)
{
    dxi_ring_give_back(in);
    /* Release: pairs with the acquire in dxi_ring_left_unread(). The head was final before. */
    atomic_store_explicit(&in->mine->left,
                          all_taken ? DXI_RING_LEFT_ALL_TAKEN : DXI_RING_LEFT_UNREAD,
                          memory_order_release);
}

bool dxi_ring_left_unread(const struct dxi_ring_out *out)
{
    switch (atomic_load_explicit(&out->peer->left, memory_order_acquire)) {
    case DXI_RING_LEFT_ALL_TAKEN:
        return atomic_load_explicit(&out->peer->head, memory_order_relaxed) != out->tail;
    case DXI_RING_LEFT_UNREAD:
        return true;
    default:
        return false;
    }
}

void dxi_ring_seal(struct dxi_ring_in *in)
{
    uint64_t tail = atomic_load_explicit(&in->peer->tail, memory_order_acquire);

    /* One that cannot be is found by the next look; only what comes later is cut off here. */
    if (in->limit == UINT64_MAX && tail - in->head <= in->size)
        in->limit = tail;
}

#ifdef __SSE2__
void dxi_ring_copy_past_caches(uint8_t *to, const uint8_t *from, size_t size)
{
    size_t head = -(uintptr_t)to & 63;

    if (head > size)
        head = size;
    memcpy(to, from, head);
    to += head;
    from += head;
    size -= head;
    for (; size >= 64; size -= 64, to += 64, from += 64) {
        __m128i a = _mm_loadu_si128((const __m128i *)from);
        __m128i b = _mm_loadu_si128((const __m128i *)(from + 16));
        __m128i c = _mm_loadu_si128((const __m128i *)(from + 32));
        __m128i d = _mm_loadu_si128((const __m128i *)(from + 48));

        _mm_stream_si128((__m128i *)to, a);
        _mm_stream_si128((__m128i *)(to + 16), b);
        _mm_stream_si128((__m128i *)(to + 32), c);
        _mm_stream_si128((__m128i *)(to + 48), d);
    }
    /* Such stores are not ordered by later ones, a release included (Intel SDM 3, 9.2.2). */
    _mm_sfence();
    memcpy(to, from, size);
}
#else
void dxi_ring_copy_past_caches(uint8_t *to, const uint8_t *from, size_t size)
{
    memcpy(to, from, size);
}
#endif

void dxi_ring_pace_turn(struct dxi_ring_pace *pace, uint64_t now_ns)
{
    uint64_t *cost = &pace->cost_ns[pace->past_caches];
    uint64_t took = now_ns - pace->began_ns;

    pace->bytes = 0;
    /* The first epoch of a way still meets the lines of the other, and is not judged. */
    bool judged = pace->began_ns != 0;

    pace->began_ns = now_ns;
    if (!judged)
        return;
    /* The user may have paused: no epoch makes a way more than twice as dear. */
    *cost = *cost == 0 || took < 2 * *cost ? took : 2 * *cost;
    bool past_caches = pace->past_caches;

    if (pace->trying) {
        pace->trying = false;
        pace->epochs = 0;
        pace->past_caches = pace->cost_ns[1] < pace->cost_ns[0];
    } else if (pace->cost_ns[1] == 0 || ++pace->epochs >= DXI_RING_TRIAL) {
        pace->trying = true;
        pace->past_caches = !pace->past_caches;
    }
    if (pace->past_caches != past_caches)
        pace->began_ns = 0;
}
