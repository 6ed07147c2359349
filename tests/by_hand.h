/* SPDX-License-Identifier: MIT */
/*
 * The protocol by hand, for children of tests that were written by docs/wire.md and docs/lane.md alone:
 * this file knows nothing of src/. A child has one conversation, its parent's, which is found by
 * DUPLEX_FD. Whatever these functions did not expect ends the child with a status of its own.
 */
#ifndef DUPLEX_TESTS_BY_HAND_H
#define DUPLEX_TESTS_BY_HAND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hand_kind {
    HELLO = 1,
    MESSAGE,
    REQUEST,
    REPLY,
    ERROR,
    CANCEL,
    OFFER,
    ACCEPT,
    DECLINE,
    SWITCH,
    WAKE,
    DESCRIPTORS,
    END
};

enum {
    HAND_HEADER = 16,
    HAND_HELLO = 20,
    HAND_MORE = 1,
    HAND_KEPT = 64,
    HAND_DESCRIPTORS_MAX = 253
};

/* The table of docs/lane.md; the acceptor's words lie 128 bytes behind the maker's. */
struct hand_words {
    _Alignas(128) _Atomic uint64_t tail;
    _Atomic uint64_t base, head;
    _Atomic uint32_t asleep, starved, cpu;
};

/* What a frame says, rightly or wrongly. */
struct hand_frame {
    uint32_t length;
    uint8_t kind;
    uint8_t flags;
    uint16_t descriptors;
    uint64_t id;
    uint8_t *payload; /* of a frame that was heard; until the next one is */
};

/* The conversation. */
struct hand {
    int fd;
    bool in_fast, out_fast; /* whether this direction goes by the ring */
    bool over;              /* the socket has ended */

    int kept[HAND_KEPT]; /* descriptors that came, those of the frame heard last included */
    size_t kept_count;

    int memory; /* the lane's file, if hand_keeps_memory was set; else -1 */
    struct hand_words *maker, *mine;
    uint8_t *ring[2]; /* from the maker, from here */
    uint64_t ring_size;
    uint64_t written, taken; /* positions in the rings */
};

extern struct hand hand;
extern bool hand_keeps_memory;

_Noreturn void hand_leave(int status);
void hand_demand(bool rule, int status);

/* Find the socket. */
void hand_find(void);

/* Say HELLO, with features 1 to take part in a lane. */
void hand_greet(uint16_t version, uint32_t features);

void hand_encode(uint8_t ret[HAND_HEADER], const struct hand_frame *frame);

/* By the socket, waiting for room; the descriptors go with the first byte, and stay the caller's. */
void hand_say_bytes(const void *bytes, size_t size, const int *descriptors, size_t count);

/* By the ring, waiting for room. */
void hand_put(const void *bytes, size_t size);

/* A word of the lane by the socket. */
void hand_say_word(enum hand_kind kind, const int *descriptors, size_t count);

/*
 * A frame, by whichever way this direction goes now: its header, so many bytes of payload, which may be
 * other than it says, and descriptors, which may be too. On a packet socket it is one packet.
 */
void hand_say(const struct hand_frame *frame, const void *payload, size_t size,
              const int *descriptors, size_t count);
void hand_say_text(enum hand_kind kind, uint64_t id, const char *text);

/*
 * Hear the next frame: a message in pieces is heard piece by piece; an offer is accepted, and a switch
 * gone along with, before the frame behind it is heard. False at the end.
 */
bool hand_hear(struct hand_frame *ret);

/* Drop the oldest descriptors that are kept, which somebody else has taken over or closed. */
void hand_forget(size_t count);

/* Say END, if this direction goes by the ring. */
void hand_say_end(void);

#endif
