/* SPDX-License-Identifier: MIT */
/*
 * The outbox: whole frames that the channel has accepted and the kernel has not. It is empty most
 * of the time: a message goes straight from the user's memory to the kernel. It knows memory and
 * frames, and no socket.
 */
#ifndef DUPLEX_CHANNEL_OUTBOX_H
#define DUPLEX_CHANNEL_OUTBOX_H

#include "wire/framing.h"
#include "wire/native.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

enum {
    /* The most bytes that are collected. */
    DXI_COALESCE = 64 << 10,
    /* So many for a ring, where to let them be seen costs no more than to collect ten. */
    DXI_COALESCE_RING = 4 << 10,
    /*
     * A message that does not fit into one packet is cut into pieces of this size, and packets of
     * several messages are no larger. Larger ones could be sent, but of packets that fill the send
     * buffer one goes at a time, and the sides take turns.
     */
    DXI_PIECE = (64 << 10) + DXI_HEADER_SIZE,
    /* What is collected, or the rest of one piece. */
    DXI_OUTBOX_CAPACITY = DXI_PIECE + 4096,
};

struct dxi_outbox {
    uint8_t *bytes;
    size_t capacity, start, end;
    unsigned small_streak; /* sends in a row that needed no large one */
    bool corked;
    bool ended;     /* dx_channel_end() was said */
    void *reserved; /* by dx_reserve(): where the user writes, or NULL */
    size_t reserved_size;
    void *scratch;       /* in which that lies, unless in the ring */
    int error;           /* a message was cut off, or the peer is gone: nothing can follow */
    bool starved;        /* for want of memory something could not be put here */
    bool lost;           /* something that had been accepted never left: all but the lane's words */
    size_t lane_bytes;   /* at the end: no more than these belong to words of the lane */
    size_t packet_limit; /* the largest packet, headers included; 0 for a stream */
    bool plain;          /* dxi_outbox_collect_plain() may be asked: corked, native, open */
    size_t plain_limit;  /* payload bytes that need no closer look */
    size_t coalesce;     /* collected messages leave when so many bytes have come together */
};

static inline size_t dxi_outbox_size(const struct dxi_outbox *out)
{
    return out->end - out->start;
}

/* Whether it holds memory that a large message needed, and dxi_outbox_rest() is to be asked. */
static inline bool dxi_outbox_is_large(const struct dxi_outbox *out)
{
    return out->capacity > DXI_OUTBOX_CAPACITY;
}

void dxi_outbox_close(struct dxi_outbox *out);

/* Make room for size bytes behind what is there. 0 or -ENOMEM. */
int dxi_outbox_reserve(struct dxi_outbox *out, size_t size);

/* Append bytes that there is room for. */
void dxi_outbox_append(struct dxi_outbox *out, const void *bytes, size_t size);

/* The same with a whole frame; it may be a word of the lane. */
void dxi_outbox_append_frame(struct dxi_outbox *out, const struct dxi_envelope *envelope,
                             const struct dxi_letter *letter);

/*
 * Collect a message the quick way that most go: a frame with nothing special about it, where there
 * is room. false: it must be sent in full form.
 */
static inline bool dxi_outbox_collect_plain(struct dxi_outbox *out, const void *data, size_t size,
                                            uint8_t kind, uint64_t id)
{
    size_t total = DXI_HEADER_SIZE + size;

    if (!out->plain || size > out->plain_limit || out->end - out->start + total > out->coalesce ||
        out->end + total > out->capacity)
        return false;
    dxi_native_plain_header(out->bytes + out->end, size, kind, id);
    dxi_copy(out->bytes + out->end + DXI_HEADER_SIZE, data, size);
    out->end += total;
    out->lane_bytes = 0;
    return true;
}

/* The first bytes have left. */
void dxi_outbox_sent(struct dxi_outbox *out, size_t size);

/* It is empty after a send: give back memory that has not been needed for long. */
void dxi_outbox_rest(struct dxi_outbox *out);

/* How many bytes to send next: of a stream all, of packets as many whole frames as one packet
 * holds. */
size_t dxi_outbox_next(const struct dxi_outbox *out);

/*
 * A message on its way: the parts of it that have not left. On a stream it is one frame; cut into
 * packets it is several, each with a header of its own.
 */
struct dxi_parting {
    const struct dxi_framing *framing;
    struct dxi_letter letter;     /* the whole message */
    struct dxi_envelope envelope; /* of the present frame */
    const uint8_t *data;          /* of the present frame */
    size_t size;
    bool more;          /* frames follow */
    size_t offset;      /* bytes of the present frame that have left */
    size_t done;        /* payload bytes in frames before the present one */
    size_t frame_limit; /* payload bytes that one frame may have */
    bool begun;         /* something has left */
    bool finished;      /* everything has */
};

/* Prepare the first frame. 0, or the framing's refusal. */
int dxi_parting_begin(struct dxi_parting *parting, const struct dxi_framing *framing,
                      const struct dxi_letter *letter, size_t packet_limit);

/* The parts of the present frame that have not left: at most 3. Returns how many. */
size_t dxi_parting_parts(const struct dxi_parting *parting, struct iovec ret[3]);

/* So many bytes of them have. */
void dxi_parting_sent(struct dxi_parting *parting, size_t size);

/* Put all that has not left into the outbox. 0 or -ENOMEM. */
int dxi_parting_keep(struct dxi_parting *parting, struct dxi_outbox *out);

#endif
