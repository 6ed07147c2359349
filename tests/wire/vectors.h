/* SPDX-License-Identifier: MIT */
/*
 * Reads the test vectors of tests/vectors; their README.md describes the format. A file that cannot
 * be read, or a line that makes no sense, fails the test at once.
 */
#ifndef DUPLEX_TESTS_WIRE_VECTORS_H
#define DUPLEX_TESTS_WIRE_VECTORS_H

#include "wire/framing.h"
#include "wire/native.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum outcome { GOOD, BAD, CUT, REFUSED };

struct bytes {
    uint8_t *data; /* never NULL */
    size_t size;
};

/* What one send carries. */
struct send {
    struct bytes bytes;
    unsigned came; /* descriptors that travel with it */
};

/* What the receiver is to see: a greeting, a message, a word of a call, or an offer. */
struct sight {
    enum dxi_kind kind;
    bool dropped; /* a frame that its user never sees: a late reply */
    struct dxi_hello hello;
    struct dxi_offer offer;
    struct bytes message; /* of an ERROR: its text */
    unsigned descriptors;
    uint64_t id;
    int32_t code; /* of an ERROR */
};

enum { VECTOR_PARTS = 40 };

/* A request that the receiver made before anything came. */
struct made {
    uint64_t id;
    bool closed; /* and cancelled */
};

struct vector {
    enum outcome outcome;
    char name[128];
    size_t limit;
    unsigned accepts;
    size_t pieces; /* 0: whole messages */
    bool decode_only;
    bool strip_cr;
    bool lane; /* the receiver can take part in a fast lane, and declines what is offered */
    char handle_type[32]; /* of Node's handles */
    unsigned requests;    /* the receiver's request limit */
    struct made made[VECTOR_PARTS];
    size_t made_count;
    struct send sends[VECTOR_PARTS];
    size_t send_count;
    struct sight sights[VECTOR_PARTS];
    size_t sight_count;
    enum dxi_violation violation;
    bool has_numbers;
    uint64_t value, value_limit;
    size_t needed;
};

/*
 * Call visit for each vector of a file, for example "native.txt", of the source tree, for which a
 * test gives DUPLEX_TEST_SOURCE. Returns how many there were.
 */
size_t vectors_each(const char *source, const char *file,
                    void (*visit)(const struct vector *vector, void *context), void *context);

/* All sends in a row. The caller frees data. */
struct bytes vector_stream(const struct vector *vector);

/* The name of a violation as the files and docs/wire.md have it: "no-hello". */
const char *violation_name(enum dxi_violation violation);

/*
 * Whether it shows in the bytes; else only the channel finds it, which receives descriptors and
 * knows what requests are open.
 */
bool violation_in_bytes(enum dxi_violation violation);

#endif
