/* SPDX-License-Identifier: MIT */
/*
 * The ring: a stream of bytes from one producer to one consumer through memory that both have mapped,
 * and the words by which one that waits asks the other for a wake-up. No I/O, no allocation.
 *
 * The other side may be hostile. Each of its words is read once, into private memory, and compared
 * with what is possible before it is used; nothing in the shared memory can make this side read or
 * write outside its ring, or wait. What the bytes mean is for the framing to judge, on a copy.
 *
 * A region is one control page and behind it a ring for each direction. Each side writes to one struct
 * dxi_ring_side only, so the line that a waiting consumer watches brings it everything that the other
 * side has to say. Positions count the bytes of the whole conversation and never wrap.
 */
#ifndef DUPLEX_WIRE_RING_H
#define DUPLEX_WIRE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* Two lines of x86-64, which fetches them in pairs, and one of some aarch64. */
    DXI_RING_LINE = 128,
    /* Written bytes are published at least so often, so that the copies of both sides overlap. */
    DXI_RING_CHUNK = 16 << 10,
    /* Bytes by which a way of copying is judged: four times the usual ring. */
    DXI_RING_EPOCH = 1 << 20,
    /* Epochs until the other way is tried again. */
    DXI_RING_TRIAL = 32,
};

/* What one side says to the other. It alone writes here, but for the two requests for a wake-up,
 * which whoever grants them takes back. */
struct dxi_ring_side {
    _Alignas(DXI_RING_LINE) _Atomic uint64_t tail; /* of its outgoing ring: bytes written so far */
    _Atomic uint64_t base;    /* of its outgoing ring: the position that lies at offset 0 */
    _Atomic uint64_t head;    /* of its incoming ring: bytes taken so far */
    _Atomic uint32_t asleep;  /* it is to be woken when something has been written to it */
    _Atomic uint32_t starved; /* it is to be woken when something has been taken from it */
    _Atomic uint32_t cpu;     /* the processor that it last ran on, and 1; 0: unknown */
    _Atomic uint32_t left;    /* an enum dxi_ring_left: it has let go */
};

/* What a side says when it lets go of the conversation. */
enum dxi_ring_left {
    DXI_RING_STAYS = 0,
    DXI_RING_LEFT_ALL_TAKEN = 1, /* all up to its head, which is final, was taken by its user */
    DXI_RING_LEFT_UNREAD = 2     /* of that something was not */
};

struct dxi_ring_control {
    struct dxi_ring_side maker, acceptor;
};

/*
 * One direction as its producer has it. `bytes` is mapped twice in a row, so that `size` bytes from any
 * place in the first half are one after the other.
 */
struct dxi_ring_out {
    uint8_t *bytes;
    uint64_t size;      /* a power of two */
    uint64_t tail;      /* bytes written, published or not */
    uint64_t published; /* of these */
    uint64_t base;
    uint64_t shown_base; /* what the consumer was shown of it */
    uint64_t head;       /* as last seen */
    struct dxi_ring_side *mine, *peer;
};

/* One direction as its consumer has it. */
struct dxi_ring_in {
    const uint8_t *bytes;
    uint64_t size;
    uint64_t tail; /* as last seen */
    uint64_t base;
    uint64_t head;  /* bytes taken, and given back or not */
    uint64_t given; /* of these, given back */
    uint64_t limit; /* nothing behind this position is believed; UINT64_MAX unless the peer died */
    struct dxi_ring_side *mine, *peer;
};

/*
 * What one of the two sides has of a region whose memory is all zero: the ring that it writes, and the
 * one that it reads. rings[0] goes from the maker to the acceptor, rings[1] the other way.
 */
struct dxi_ring_out dxi_ring_out_end(struct dxi_ring_control *control, uint8_t *const rings[2],
                                     uint64_t size, bool maker);
struct dxi_ring_in dxi_ring_in_end(struct dxi_ring_control *control, uint8_t *const rings[2],
                                   uint64_t size, bool maker);

/* For the turns of a loop that looks at a word of the other side's. */
static inline void dxi_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}

static inline uint8_t *dxi_ring_place(const struct dxi_ring_out *out)
{
    return out->bytes + ((out->tail - out->base) & (out->size - 1));
}

/* Look how far the consumer has got. 0, or -EPROTO if it claims what cannot be. */
int dxi_ring_look_for_room(struct dxi_ring_out *out);

/* Bytes that may be written now, by what was last seen. */
static inline uint64_t dxi_ring_room(const struct dxi_ring_out *out)
{
    return out->size - (out->tail - out->head);
}

/*
 * Begin again at the first byte of the ring if everything was taken: a conversation of question and
 * answer then stays in a few lines, which both processors have at hand. Nothing may be written and
 * unpublished.
 */
static inline void dxi_ring_rewind(struct dxi_ring_out *out)
{
    if (out->head == out->tail)
        out->base = out->tail;
}

/*
 * Copy into a ring past this processor's caches. Where the other side's processor shares no cache with
 * ours, each line that it has read must be taken from it before it can be written again, one by one;
 * this writes to memory instead (x86-64; elsewhere it is memcpy()). Before the next publish.
 */
void dxi_ring_copy_past_caches(uint8_t *to, const uint8_t *from, size_t size);

/* Which way of copying is the better is found by trying. All-zero to begin with. */
struct dxi_ring_pace {
    bool past_caches; /* the way that is taken now */
    bool trying;      /* to see what it costs, and not because it is the better */
    size_t bytes;     /* in this epoch */
    unsigned epochs;  /* since the last trial */
    uint64_t began_ns;
    uint64_t cost_ns[2]; /* of an epoch, as last seen: through the caches, past them */
};

/* So much was copied. True: dxi_ring_pace_turn() is to be told the time. */
static inline bool dxi_ring_pace_count(struct dxi_ring_pace *pace, size_t size)
{
    pace->bytes += size;
    return pace->bytes >= DXI_RING_EPOCH;
}

/* An epoch is over: judge it, and choose the way of the next. */
void dxi_ring_pace_turn(struct dxi_ring_pace *pace, uint64_t now_ns);

/* Let the consumer see what was written. */
static inline void dxi_ring_publish(struct dxi_ring_out *out)
{
    out->published = out->tail;
    /*
     * Just before the tail, and not when the base was chosen: a consumer that watches this line would
     * fetch it in between, and it would have to be taken from him twice.
     */
    if (out->base != out->shown_base) {
        out->shown_base = out->base;
        atomic_store_explicit(&out->mine->base, out->base, memory_order_relaxed);
    }
    /* Release: pairs with the acquire in dxi_ring_look(). The bytes and the base are there first. */
    atomic_store_explicit(&out->mine->tail, out->tail, memory_order_release);
}

/* Whether a word of the peer's asks for a wake-up; the request is taken back then. */
bool dxi_ring_granted(_Atomic uint32_t *word);

/*
 * After dxi_ring_publish(): whether the consumer is to be woken.
 *
 * The fence pairs with the one in dxi_ring_doze(): of the consumer's announcement and our tail, one is
 * seen by the other side, so it either finds the bytes or is woken.
 */
static inline bool dxi_ring_wakes_consumer(struct dxi_ring_out *out)
{
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&out->peer->asleep, memory_order_relaxed) != 0 &&
           dxi_ring_granted(&out->peer->asleep);
}

/* The producer will wait for room: announce it. False if there is room, and it need not. */
bool dxi_ring_starve(struct dxi_ring_out *out);
void dxi_ring_feed(struct dxi_ring_out *out);

/* Where the next byte lies. */
static inline const uint8_t *dxi_ring_bytes(const struct dxi_ring_in *in)
{
    const uint8_t *first = in->bytes;

    /*
     * After a rewind it is the first byte. As a branch, which is foretold, the bytes are fetched at the
     * same time as the line that says so, and not after it: half a round trip.
     */
    if (__builtin_expect(in->head == in->base, 1)) {
        __asm__("" : "+r"(first));
        return first;
    }
    return first + ((in->head - in->base) & (in->size - 1));
}

/* Have the bytes fetched that have come, if what was there before was taken. */
static inline void dxi_ring_fetch(const struct dxi_ring_in *in)
{
    /* The ring was rewound, or goes on. */
    __builtin_prefetch(in->bytes);
    __builtin_prefetch(in->bytes + 64);
    __builtin_prefetch(dxi_ring_bytes(in));
}

/* Look how much has come. 0, or -EPROTO if the producer claims what cannot be. */
int dxi_ring_look(struct dxi_ring_in *in);

/* Whether it is worth to call that. */
static inline bool dxi_ring_stirs(const struct dxi_ring_in *in)
{
    return atomic_load_explicit(&in->peer->tail, memory_order_relaxed) != in->tail;
}

/* Bytes that can be taken, by what was last seen. */
static inline uint64_t dxi_ring_filled(const struct dxi_ring_in *in)
{
    return in->tail - in->head;
}

/* Give back the room of what was taken. */
static inline void dxi_ring_give_back(struct dxi_ring_in *in)
{
    in->given = in->head;
    /* Release: pairs with the acquire in dxi_ring_look_for_room(). The bytes were copied before. */
    atomic_store_explicit(&in->mine->head, in->head, memory_order_release);
}

/* Whether so much was taken that its room is worth giving back. */
static inline bool dxi_ring_owes(const struct dxi_ring_in *in)
{
    return in->head - in->given >= in->size / 4;
}

/*
 * After dxi_ring_give_back() and a seq_cst fence, which pairs with the one in dxi_ring_starve(): whether
 * the producer is to be woken.
 */
static inline bool dxi_ring_wants_room(struct dxi_ring_in *in)
{
    return atomic_load_explicit(&in->peer->starved, memory_order_relaxed) != 0 &&
           dxi_ring_granted(&in->peer->starved);
}

/* The consumer lets go, and its user has all that was taken, or not. */
void dxi_ring_leave(struct dxi_ring_in *in, bool all_taken);

/* Whether the consumer has let go with something unread. One that did not say so: false. */
bool dxi_ring_left_unread(const struct dxi_ring_out *out);

/*
 * The consumer, who has taken all that he saw, will sleep: announce it. False if something has come since,
 * and he must not.
 */
bool dxi_ring_doze(struct dxi_ring_in *in);
void dxi_ring_rouse(struct dxi_ring_in *in);

/* The producer is dead: whoever else writes to its ring is not believed. */
void dxi_ring_seal(struct dxi_ring_in *in);

#endif
