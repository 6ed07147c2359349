/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the fast lane share: a test for each type that has one, conversations that
 * are in it, and its words in the shared memory, for those who misuse them.
 */
#ifndef DUPLEX_TESTS_CHANNEL_LANES_H
#define DUPLEX_TESTS_CHANNEL_LANES_H

#include "support.h"

#include "channel/lane.h"

#include <duplex.h>

/*
 * As EACH_TYPE(), for the types that have a lane. Conversations take to it as soon as they can, and
 * each must have let go of its memory at the end.
 */
#define EACH_LANE(name)                                                                            \
    static void name(dx_channel_type type);                                                        \
    START_TEST(name##_on_stream)                                                                   \
    {                                                                                              \
        run_on_lane(name, DX_STREAM);                                                              \
    }                                                                                              \
    END_TEST                                                                                       \
    START_TEST(name##_on_seqpacket)                                                                \
    {                                                                                              \
        run_on_lane(name, DX_SEQPACKET);                                                           \
    }                                                                                              \
    END_TEST                                                                                       \
    static void name(dx_channel_type type)

/* clang-format off */
#define OF_EACH_LANE(name) TEST(name##_on_stream), TEST(name##_on_seqpacket)
#define OF_EACH_LANE_WITHIN(name, seconds)                                                         \
    TEST_WITHIN(name##_on_stream, seconds), TEST_WITHIN(name##_on_seqpacket, seconds)
/* clang-format on */

void run_on_lane(void (*test)(dx_channel_type type), dx_channel_type type);

/* Mappings of lanes that this process has. */
size_t lane_mappings(void);

/* Both ends in this process, in the lane. near made it. */
struct pair open_lane(dx_channel_type type);
struct pair open_lane_with(const dx_channel_options *options);

/* Converse until both ends are in the lane. */
void make_fast(struct pair *pair);

/* The words that this end writes, and its control page. */
struct dxi_ring_side *words_of(dx_channel *channel);

/* Bytes into the ring as if this end had sent them, and published. */
void forge(dx_channel *channel, const void *bytes, size_t size);
void forge_frame(dx_channel *channel, uint32_t length, uint8_t kind, uint16_t descriptors,
                 uint64_t id);

/* The same by its socket, with descriptors, which stay the test's. */
void forge_by_socket(dx_channel *channel, uint8_t kind, uint16_t descriptors, uint64_t id,
                     const int *passed, size_t passed_count);

/*
 * A child by dx_fork(), whose body begins in the lane. Children assert by harness_child_assert(),
 * and have exited with 0 by the end of the conversation.
 */
struct family {
    dx_process *process;
    dx_channel *channel;
};

typedef int family_body(dx_channel *parent, void *context);

struct family start_family(dx_channel_type type, family_body *body, void *context);
struct family start_family_with(const dx_channel_options *ours, const dx_channel_options *theirs,
                                family_body *body, void *context);
void end_family(struct family *family);

/* For what dies otherwise: the child's end whatever it is. */
void bury_family(struct family *family);

uint64_t now_us(void);
uint32_t next_random(uint32_t *state);

#endif
