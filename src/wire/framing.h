/* SPDX-License-Identifier: MIT */
/*
 * Framings: how bytes become messages and messages bytes.
 *
 * A framing looks at bytes that somebody else received and says where the first frame lies in them,
 * or how many bytes it must see first; and it says what to put before and after a message. It does
 * no I/O, allocates nothing, and keeps its state in a struct dxi_decoder. It believes nothing: a
 * length is compared with the limit before it is returned.
 */
#ifndef DUPLEX_WIRE_FRAMING_H
#define DUPLEX_WIRE_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kinds of frame. The numbers are those of the native header. */
enum dxi_kind {
    DXI_KIND_HELLO = 1,
    DXI_KIND_MESSAGE = 2,
};

/* What a peer did wrong. The sentences for it are in channel/explain.c. */
enum dxi_violation {
    DXI_VIOLATION_NONE = 0,
    DXI_VIOLATION_LENGTH,   /* value: announced; limit: allowed */
    DXI_VIOLATION_KIND,     /* value: the kind */
    DXI_VIOLATION_FLAGS,    /* value: the flags */
    DXI_VIOLATION_ID,       /* value: the id of a kind that has none */
    DXI_VIOLATION_VERSION,  /* value: the version; limit: ours */
    DXI_VIOLATION_NO_HELLO, /* value: the kind that came first */
    DXI_VIOLATION_SECOND_HELLO,
    DXI_VIOLATION_HELLO_SIZE,           /* value: its size */
    DXI_VIOLATION_EMPTY_FRAGMENT,       /* a fragment that is not the last, and empty */
    DXI_VIOLATION_FRAGMENT_DESCRIPTORS, /* descriptors on a fragment that is not the first */
    DXI_VIOLATION_DESCRIPTOR_LIMIT,     /* value: announced; limit: allowed */
    DXI_VIOLATION_DESCRIPTORS_MISSING,  /* value: announced; limit: came */
    DXI_VIOLATION_DESCRIPTORS_SURPLUS,  /* descriptors that no frame announced */
    DXI_VIOLATION_LINE,                 /* a line longer than value */
    DXI_VIOLATION_PACKET,               /* a packet larger than value */
};

struct dxi_fault {
    enum dxi_violation violation;
    uint64_t value;
    uint64_t limit;
};

/* A frame, and where its parts lie: header, then payload, then trailer. */
struct dxi_frame {
    size_t header;
    size_t size;
    size_t trailer;
    uint8_t kind;
    bool more; /* the message goes on in the next frame */
    uint16_t descriptors;
    uint64_t id;
};

static inline size_t dxi_frame_total(const struct dxi_frame *frame)
{
    return frame->header + frame->size + frame->trailer;
}

struct dxi_decoder {
    /* Set by the owner. */
    size_t message_limit;
    unsigned descriptor_limit;

    /* Kept by the framing. */
    size_t needed;    /* after "not yet": bytes that must be seen before it is worth asking again */
    size_t scanned;   /* bytes of the present frame that were looked at before */
    bool greeted;     /* the peer's HELLO has been consumed */
    bool continued;   /* the frame before said that its message goes on */
    size_t assembled; /* payload of the message in earlier frames */
    bool plain;       /* dxi_native_plain() may be asked */
    struct dxi_fault fault;
};

/* What goes before and after a payload. */
struct dxi_envelope {
    uint8_t header[32];
    size_t header_size;
    uint8_t trailer[2];
    size_t trailer_size;
};

/* What is to be wrapped: one frame. */
struct dxi_letter {
    const void *data;
    size_t size;
    uint8_t kind;
    bool more;
    uint16_t descriptors;
    uint64_t id;
};

struct dxi_framing {
    const char *name;
    bool greets;              /* each side's first frame is a HELLO */
    bool carries_descriptors; /* descriptors can be announced */
    bool fragments;           /* a message can be cut into frames, so packets can carry it */

    /*
     * Find the first frame in bytes. 1: it is there, whole; 0: not yet, see decoder->needed;
     * -EPROTO: see decoder->fault. May be asked again with the same bytes and more behind them.
     */
    int (*decode)(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                  struct dxi_frame *ret);

    /* The same when nothing more will come. 1: a last frame; 0: they are part of one that was cut.
     */
    int (*decode_last)(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                       struct dxi_frame *ret);

    /* Take note that the frame was consumed: the next decode begins behind it. */
    void (*consume)(struct dxi_decoder *decoder, const struct dxi_frame *frame);

    /* Wrap a letter. 0, or -EINVAL for bytes that this framing cannot carry; nothing is copied. */
    int (*encode)(const struct dxi_letter *letter, struct dxi_envelope *ret);
};

extern const struct dxi_framing dxi_framing_native;
extern const struct dxi_framing dxi_framing_line;

#endif
