/* SPDX-License-Identifier: MIT */
/*
 * A stranger: the peer of a channel that the test plays by hand, frame by frame or byte by byte, and as
 * badly as it likes.
 */
#ifndef DUPLEX_TESTS_CHANNEL_STRANGER_H
#define DUPLEX_TESTS_CHANNEL_STRANGER_H

#include "support.h"

#include "wire/native.h"

struct stranger {
    dx_channel *channel;
    int fd;
    dx_channel_type type;
};

/* The fields of a header, to be right or wrong. */
struct header {
    uint32_t length;
    uint8_t kind;
    uint8_t flags;
    uint16_t descriptors;
    uint64_t id;
};

void encode_header(const struct header *header, uint8_t ret[DXI_HEADER_SIZE]);

/* The channel and its stranger, who has not spoken yet. The other one has, and was heard. */
struct stranger meet_stranger(dx_channel_type type, const dx_channel_options *options);

/* The same, and the stranger has greeted, with a limit of 1 GiB and of 253 descriptors. */
struct stranger meet_greeted(dx_channel_type type, const dx_channel_options *options);

void greet_as(struct stranger *stranger, uint16_t version, uint16_t descriptor_limit,
              uint64_t message_limit);

/* Say these bytes, with descriptors, which stay the test's. 0 or a negative errno value. */
int say(struct stranger *stranger, const void *bytes, size_t size);
int say_with(struct stranger *stranger, const void *bytes, size_t size, const int *descriptors,
             size_t count);

/* Say a frame: one packet. The payload may be shorter than the header says. */
int say_frame(struct stranger *stranger, const struct header *header, const void *payload,
              size_t size, const int *descriptors, size_t count);
void say_message(struct stranger *stranger, const char *text);

/* Hear a frame; its payload's size is returned, -1 at the end, -2 if nothing is there. */
ssize_t hear(struct stranger *stranger, struct header *ret, uint8_t *payload, size_t size);

/* The next message is this text. */
void expect_text(dx_channel *channel, const char *text);

/* The stranger leaves; the channel is closed. */
void part(struct stranger *stranger);

#endif
