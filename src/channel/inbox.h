/* SPDX-License-Identifier: MIT */
/*
 * The inbox: what has been taken from the kernel and not yet been received by the user, bytes and
 * descriptors, within bounds. It knows memory and frames, and no socket.
 */
#ifndef DUPLEX_CHANNEL_INBOX_H
#define DUPLEX_CHANNEL_INBOX_H

#include "os/os.h"
#include "wire/framing.h"
#include "wire/native.h"

#include <duplex/message.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dxi_requests;

enum {
    /* After so many small messages in a row, memory that a large one needed is given back. */
    DXI_SMALL_STREAK = 1024,
};

/* Descriptors that one read brought. They belong to the frame that begins within that read. */
struct dxi_parcel {
    uint64_t start, end; /* what the read covered, in bytes of the whole conversation */
    uint16_t count;
    bool lost; /* the kernel discarded some */
};

/*
 * Unread bytes are bytes[start, end). The message that the user holds may lie before start, in
 * `retired` or in `assembly`; it is borrowed, and stays where it is until it is released.
 */
struct dxi_inbox {
    struct dxi_decoder decoder;
    const struct dxi_framing *framing;

    uint8_t *bytes;
    size_t capacity, start, end;
    size_t initial_capacity;
    bool barred;         /* the kernel lets no descriptors come */
    bool from_ring;      /* bytes come by the ring, and descriptors by the socket */
    bool searched;       /* from_ring: the socket has been read to its end for what is missing */
    size_t read_minimum; /* room that a read must have: a whole packet, or a byte */
    bool borrowed;       /* the user's message lies in bytes */
    uint8_t *retired;    /* a former `bytes`, in which it lies */
    uint8_t *spare;      /* a former `retired`, kept for the next time */
    size_t retired_capacity, spare_capacity;
    uint8_t *assembly; /* the message that came in fragments, or comes */
    size_t assembly_capacity;
    unsigned small_streak; /* messages in a row that would have fitted the initial capacity */

    /* How far dxi_inbox_ready() has looked beyond start without finding the end of a message. */
    size_t ahead_offset;
    struct dxi_decoder ahead;

    uint8_t kind;      /* of the frame that ended the last message */
    uint64_t position; /* of bytes[start] in the conversation */

    struct dxi_parcel *parcels; /* a ring */
    size_t parcel_capacity, parcel_first, parcel_count;
    int *descriptors; /* a ring: those of the parcels, in order */
    size_t descriptor_capacity, descriptor_first, descriptor_count;
    unsigned descriptor_room; /* the most that one read may bring */

    struct dxi_requests *requests; /* of the peer: where one that comes will be entered */

    int *message_descriptors; /* of the message that the user holds, or that is being assembled */
    size_t message_descriptor_count;
    size_t message_descriptors_lost;
};

/*
 * All allocations but those for large messages. descriptor_limit is the decoder's; descriptor_room is
 * as much, or more if there are descriptors that bear no message.
 */
int dxi_inbox_open(struct dxi_inbox *in, const struct dxi_framing *framing, bool packets,
                   size_t message_limit, unsigned descriptor_limit, unsigned descriptor_room);

/* Free everything; close what descriptors nobody took. */
void dxi_inbox_close(struct dxi_inbox *in);

/* The same for what the quick way below leaves: descriptors, retired memory, large buffers. */
void dxi_inbox_release_all(struct dxi_inbox *in);

/* Close what descriptors have arrived and will never belong to a message. */
void dxi_inbox_discard(struct dxi_inbox *in);

/* End the loan of the last message: close what was not taken, reuse its memory. */
static inline void dxi_inbox_release(struct dxi_inbox *in)
{
    if (in->message_descriptor_count > 0 || in->retired != NULL ||
        in->small_streak > DXI_SMALL_STREAK)
        dxi_inbox_release_all(in);
    in->borrowed = false;
    if (in->start == in->end)
        in->start = in->end = 0;
}

/* Unread bytes. */
static inline size_t dxi_inbox_size(const struct dxi_inbox *in)
{
    return in->end - in->start;
}

/*
 * Make room for one read behind the unread bytes, and say where. What is borrowed stays where it
 * is. 0 or -ENOMEM.
 */
int dxi_inbox_room(struct dxi_inbox *in, uint8_t **ret, size_t *ret_size);

/* Where descriptors of the next read go: fills the arrival. false if there is no place for them. */
bool dxi_inbox_expect(struct dxi_inbox *in, struct dxi_arrival *arrival, int *place);

/* Take note of a read: size bytes at the place that dxi_inbox_room() gave, and what came along. */
void dxi_inbox_arrived(struct dxi_inbox *in, size_t size, const struct dxi_arrival *arrival);

/*
 * Who is told of frames that are no messages but the channel's own words: HELLO and those of the fast
 * lane. 0 or -EPROTO.
 */
typedef int dxi_word_handler(void *context, const struct dxi_frame *frame, const uint8_t *payload);

enum {
    /* The socket is to be read for descriptors: set `searched`, and ask again. */
    DXI_INBOX_BARE = 2,
};

/*
 * Take the next message. 1: a whole message; 0: not yet; -EPROTO: see decoder.fault; -EMFILE: its
 * descriptors were lost, ask again for the rest; -ENOMEM; or one of the above. Words are passed to
 * the handler and consumed. last: nothing more will come.
 */
int dxi_inbox_next(struct dxi_inbox *in, bool last, dx_message *ret, dxi_word_handler *word,
                   void *context);

/* Consume the words that are next and have come, and nothing else. 0 or -EPROTO. */
int dxi_inbox_words(struct dxi_inbox *in, dxi_word_handler *word, void *context);

/* Lend a plain frame with this much payload, which lies at the start. */
static inline void dxi_inbox_pass(struct dxi_inbox *in, size_t size)
{
    in->start += DXI_HEADER_SIZE + size;
    in->position += DXI_HEADER_SIZE + size;
    in->decoder.needed = DXI_HEADER_SIZE;
    in->borrowed = true;
    in->small_streak++;
    in->ahead_offset = 0;
}

/* dxi_inbox_next() for the plain message that most are. false: ask dxi_inbox_next(). */
static inline bool dxi_inbox_next_plain(struct dxi_inbox *in, dx_message *ret)
{
    const uint8_t *frame = in->bytes + in->start;
    size_t size = dxi_native_plain(&in->decoder, frame, in->end - in->start);

    if (size > in->initial_capacity || in->parcel_count > 0)
        return false;
    dxi_inbox_pass(in, size);
    *ret = (dx_message){.data = frame + DXI_HEADER_SIZE, .size = size};
    return true;
}

/* Whether dxi_inbox_next() would answer at once with a message or an error. */
bool dxi_inbox_ready(struct dxi_inbox *in);

#endif
