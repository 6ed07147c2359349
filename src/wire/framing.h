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

/* The kinds of frame. The numbers up to 13 are those of the native header. */
enum dxi_kind {
    DXI_KIND_HELLO = 1,
    DXI_KIND_MESSAGE = 2,
    DXI_KIND_REQUEST = 3,
    DXI_KIND_REPLY = 4,
    DXI_KIND_ERROR = 5,
    DXI_KIND_CANCEL = 6,

    /* Of the fast lane, see channel/lane.h: by the socket before the switch, */
    DXI_KIND_OFFER = 7,
    DXI_KIND_ACCEPT = 8,
    DXI_KIND_DECLINE = 9,
    DXI_KIND_SWITCH = 10,
    /* by the socket after it, */
    DXI_KIND_WAKE = 11,
    DXI_KIND_DESCRIPTORS = 12,
    /* and in the ring. */
    DXI_KIND_END = 13,

    /* pkt-line: packets without data. */
    DXI_KIND_FLUSH = 64,
    DXI_KIND_DELIMITER,
    DXI_KIND_RESPONSE_END,

    /* node: a message that bears a descriptor, what answers it, and Node's other private words. */
    DXI_KIND_NODE_HANDLE,
    DXI_KIND_NODE_ACK,
    DXI_KIND_NODE_NACK,
    DXI_KIND_NODE_OTHER,
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

    /* Calls. */
    DXI_VIOLATION_NO_ID,             /* value: the kind, which needs one */
    DXI_VIOLATION_FRAGMENT_KIND,     /* a fragment of another kind or id than the one before */
    DXI_VIOLATION_ERROR_SIZE,        /* value: payload of an ERROR; limit: the most */
    DXI_VIOLATION_CANCEL,            /* a CANCEL with payload, flags or descriptors */
    DXI_VIOLATION_REQUEST_LIMIT,     /* limit: requests that may be open */
    DXI_VIOLATION_DUPLICATE_REQUEST, /* value: an id that is open */
    DXI_VIOLATION_UNKNOWN_REPLY,     /* value: an id that no request had */

    /* The fast lane. */
    DXI_VIOLATION_LANE_WORD,    /* value: the kind of a word of the lane that has something wrong */
    DXI_VIOLATION_LANE_OUTSIDE, /* value: the kind of a frame that belongs into the ring */
    DXI_VIOLATION_RING,         /* positions that cannot be */

    /* Framings of other programs. */
    DXI_VIOLATION_TERMINATED,        /* nul: as LINE */
    DXI_VIOLATION_NETSTRING_LENGTH,  /* what stands where the length should: value, a byte */
    DXI_VIOLATION_NETSTRING_COMMA,   /* value: the byte in the comma's place */
    DXI_VIOLATION_NEGATIVE_LENGTH,   /* python: value is its absolute */
    DXI_VIOLATION_SMALL_LONG_LENGTH, /* python: value in the long form that the short would hold */
    DXI_VIOLATION_HEADER_SIZE,       /* content-length: headers of more than value bytes */
    DXI_VIOLATION_HEADER_LINE,       /* a line that is no header: value, which line, from 1 */
    DXI_VIOLATION_HEADER_LENGTH,     /* Content-Length holds no number */
    DXI_VIOLATION_HEADER_MISSING,    /* no Content-Length */
    DXI_VIOLATION_HEADER_DOUBLE,     /* two of them */
    DXI_VIOLATION_PKT_LENGTH,        /* value: four bytes that are no length, as a number */
    DXI_VIOLATION_JSON,              /* node: no JSON text; value: which byte is wrong, from 1 */
    DXI_VIOLATION_EMPTY_LINE,        /* node */
    DXI_VIOLATION_NODE_HANDLE,       /* node: a NODE_HANDLE without type or msg */
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

/* content-length: what the headers of the present frame have said so far. */
struct dxi_headers {
    size_t line;     /* where the line begins that has not ended yet */
    unsigned number; /* of that line, from 0 */
    bool has_length;
    size_t length;
    size_t size; /* of all of them and the empty line; 0: they have not ended yet */
};

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
    bool strip_cr;    /* set by the owner: line removes a '\r' before the '\n' */
    uint16_t words;   /* native, set by the owner: a bit for each kind of the lane that may come */
    uint8_t kind;     /* native: of the message that goes on */
    uint64_t id;      /* native: the same */
    struct dxi_headers headers;
    struct dxi_frame judged; /* node: the frame at the beginning, if it was looked through before */
    struct dxi_fault fault;
};

/* What goes before and after a payload. */
struct dxi_envelope {
    uint8_t header[80];
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
    const char *handle_type; /* node: of a NODE_HANDLE, "net.Socket" */
    const char *dgram_type;  /* node: of a "dgram.Socket", "udp4" or "udp6"; else NULL */
};

struct dxi_framing {
    const char *name;
    bool greets;              /* each side's first frame is a HELLO */
    bool carries_descriptors; /* descriptors can be announced */
    bool fragments;           /* a message can be cut into frames, so packets can carry it */
    bool has_ids;             /* requests and replies have kinds and ids */
    bool has_no_borders;      /* raw: what is received is no message that could answer another */
    uint64_t size_max;        /* the largest payload that a frame can express; 0: any */

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

    /*
     * Wrap a letter. 0; -EINVAL for bytes or a kind that this framing cannot carry; -EMSGSIZE for
     * more than size_max. Nothing is copied.
     */
    int (*encode)(const struct dxi_letter *letter, struct dxi_envelope *ret);
};

extern const struct dxi_framing dxi_framing_native;
extern const struct dxi_framing dxi_framing_line;
extern const struct dxi_framing dxi_framing_nul;
extern const struct dxi_framing dxi_framing_netstring;
extern const struct dxi_framing dxi_framing_u8;
extern const struct dxi_framing dxi_framing_u16;
extern const struct dxi_framing dxi_framing_u32;
extern const struct dxi_framing dxi_framing_python;
extern const struct dxi_framing dxi_framing_content_length;
extern const struct dxi_framing dxi_framing_pkt_line;
extern const struct dxi_framing dxi_framing_node;
extern const struct dxi_framing dxi_framing_raw;

#endif
