/* SPDX-License-Identifier: MIT */
/*
 * A conversation that is under way allocates nothing; one that was once large gives memory back; and
 * none keeps more than its bounds.
 */
#include "support.h"

#include "meter.h"

#include <stdlib.h>
#include <unistd.h>

/* Each end sends and then each receives, all in this thread. */
static void round_trip(struct pair *pair, unsigned number, size_t size)
{
    carry(pair->near, pair->far, number, size);
    carry(pair->far, pair->near, number, size);
}

/* Both send while neither has received, so that each keeps a rest and takes in. */
static void crosswise(struct pair *pair, unsigned number, size_t size)
{
    dx_channel *channels[2] = {pair->near, pair->far};
    bool received[2] = {false, false};

    ck_assert_int_eq(send_numbered(pair->near, number, size, DX_NOW), 0);
    ck_assert_int_eq(send_numbered(pair->far, number, size, DX_NOW), 0);
    while (!received[0] || !received[1]) {
        for (int i = 0; i < 2; i++) {
            dx_message message;

            (void)dx_flush(channels[i], DX_NOW);
            if (!received[i] && dx_recv(channels[i], &message, DX_NOW) == 1) {
                ck_assert(is_numbered(&message, number, size));
                received[i] = true;
            }
        }
    }
}

static void allocates_nothing(const dx_channel_options *options, size_t size, unsigned rounds,
                              void (*converse)(struct pair *, unsigned, size_t))
{
    meter_install();
    struct pair pair = open_pair_with(options);

    /* Until each of the buffers has been needed: with small messages, one is needed seldom. */
    for (unsigned i = 0; i < (size < KIB ? 5000 : rounds); i++)
        converse(&pair, i, size);
    meter_restart();
    for (unsigned i = 0; i < rounds; i++)
        converse(&pair, i, size);
    ck_assert_msg(meter_allocations() == 0, "%lu allocations in %u rounds of %zu bytes",
                  meter_allocations(), rounds, size);
    close_pair(&pair);
    ck_assert_int_eq(meter.blocks, 0);
}

static unsigned fewer(unsigned rounds)
{
    return rounds / (unsigned)slowness();
}

EACH_TYPE(test_small_messages_allocate_nothing)
{
    dx_channel_options options = {.type = type};

    allocates_nothing(&options, 64, fewer(10000), round_trip);
    allocates_nothing(&options, 64, fewer(10000), crosswise);
}

EACH_TYPE(test_messages_of_64_kib_allocate_nothing)
{
    dx_channel_options options = {.type = type};

    allocates_nothing(&options, 64 * KIB, fewer(2000), round_trip);
    allocates_nothing(&options, 64 * KIB, fewer(2000), crosswise);
}

EACH_TYPE(test_messages_of_1_mib_allocate_nothing)
{
    dx_channel_options options = {.type = type};

    allocates_nothing(&options, MIB, fewer(300), round_trip);
    allocates_nothing(&options, MIB, fewer(300), crosswise);
}

EACH_TYPE(test_messages_in_many_fragments_allocate_nothing)
{
    dx_channel_options options = {.type = type, .socket_buffer = 8192};

    allocates_nothing(&options, 200000, fewer(300), round_trip);
    allocates_nothing(&options, 200000, fewer(300), crosswise);
}

/* Blocking ends in two processes, as a user has them, both sending before they receive. */
static int answer_crosswise(int fd, void *context)
{
    size_t size = *(size_t *)context;
    dx_channel *channel = child_channel(fd, NULL);
    dx_message message;

    while (dx_send(channel, numbered_payload(1, size), size, DX_FOREVER) == 0 &&
           dx_recv(channel, &message, DX_FOREVER) == 1)
        harness_child_assert(is_numbered(&message, 2, size));
    dx_channel_close(channel);
    return 0;
}

/* Allocations in so many rounds. */
static unsigned long allocations_of(dx_channel *channel, size_t size, unsigned rounds)
{
    meter_restart();
    for (unsigned round = 0; round < rounds; round++) {
        ck_assert_int_eq(send_numbered(channel, 2, size, DX_FOREVER), 0);
        expect_numbered(channel, 1, size, DX_FOREVER);
    }
    return meter_allocations();
}

EACH_TYPE(test_two_processes_that_send_at_once_allocate_nothing)
{
    static const size_t sizes[] = {64, 64 * KIB, MIB};
    /* As the two happen to meet, a buffer may be needed late for the first time; there are few. */
    enum { LATE = 3 };

    meter_install();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        size_t size = sizes[i];
        unsigned rounds = fewer(1500) / 2, late = 0;
        struct child child;

        start_child(&child, type, answer_crosswise, &size);
        dx_channel *channel = channel_to_child(&child, NULL);

        (void)allocations_of(channel, size, rounds);
        while (allocations_of(channel, size, rounds) > 0)
            ck_assert_uint_lt(++late, LATE);
        dx_channel_close(channel);
        child_ended(&child);
    }
}

EACH_TYPE(test_collecting_and_descriptors_allocate_nothing)
{
    meter_install();
    dx_channel_options options = {.type = type, .descriptor_limit = 3};
    struct pair pair = open_pair_with(&options);

    for (unsigned round = 0; round < 300; round++) {
        int notes[3] = {make_note(1), make_note(2), make_note(3)};
        dx_message message = with_descriptors("x", 1, notes, 3);

        if (round == 100)
            meter_restart();
        ck_assert_int_eq(dx_cork(pair.near), 0);
        for (unsigned i = 0; i < 20; i++)
            ck_assert_int_eq(send_numbered(pair.near, i, 100, DX_NOW), 0);
        ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), 0);
        ck_assert_int_eq(dx_flush(pair.near, DX_NOW), 0);
        for (unsigned i = 0; i < 20; i++)
            expect_numbered(pair.far, i, 100, DX_NOW);
        ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
        ck_assert_uint_eq(message.descriptor_count, 3);
    }
    ck_assert_uint_eq(meter_allocations(), 0);
    close_pair(&pair);
}

EACH_TYPE(test_memory_for_large_messages_is_given_back_when_they_have_ceased)
{
    meter_install();
    struct pair pair = open_pair(type);
    size_t before = meter.bytes;

    for (unsigned i = 0; i < 5; i++)
        crosswise(&pair, i, slowness() > 1 ? 2 * MIB : 8 * MIB);
    for (unsigned i = 0; i < 5000; i++)
        round_trip(&pair, i, 64);
    ck_assert_uint_le(meter.bytes, before + 256 * KIB);
    close_pair(&pair);
}

/* Whoever holds a message, sends, and takes in again and again needs no more memory for it each time. */
EACH_TYPE(test_memory_does_not_grow_with_the_conversation)
{
    meter_install();
    dx_channel_options options = {.type = type, .message_limit = 256 * KIB, .receive_backlog = MIB};
    struct pair pair = open_pair_with(&options);
    unsigned sent[2] = {0, 0}, got[2] = {0, 0};
    dx_channel *channels[2] = {pair.near, pair.far};
    size_t settled = 0;

    srandom(3);
    unsigned rounds = fewer(20000);

    for (unsigned round = 0; round < rounds; round++) {
        int i = (int)random() % 2;
        dx_message message;

        /* The numbers of messages are theirs, and so is their size. */
        if (random() % 2) {
            if (send_numbered(channels[i], sent[i], sent[i] * 7919 % 200000, DX_NOW) == 0)
                sent[i]++;
        } else if (dx_recv(channels[i], &message, DX_NOW) == 1) {
            ck_assert(is_numbered(&message, got[i], got[i] * 7919 % 200000));
            got[i]++;
        }
        if (round == rounds / 2)
            settled = meter.peak;
    }
    ck_assert_uint_ge(got[0], 100);
    ck_assert_uint_le(meter.peak, 2 * settled);
    /* Two ends, and what each may hold: a lent message, a backlog, the room to move them, a rest. */
    ck_assert_uint_le(meter.peak, 2 * 8 * MIB);
    close_pair(&pair);
}

HARNESS_MAIN("steady", OF_EACH_TYPE_WITHIN(test_small_messages_allocate_nothing, 60),
             OF_EACH_TYPE_WITHIN(test_messages_of_64_kib_allocate_nothing, 60),
             OF_EACH_TYPE_WITHIN(test_messages_of_1_mib_allocate_nothing, 60),
             OF_EACH_TYPE_WITHIN(test_messages_in_many_fragments_allocate_nothing, 60),
             OF_EACH_TYPE_WITHIN(test_two_processes_that_send_at_once_allocate_nothing, 60),
             OF_EACH_TYPE(test_collecting_and_descriptors_allocate_nothing),
             OF_EACH_TYPE_WITHIN(test_memory_for_large_messages_is_given_back_when_they_have_ceased,
                                 60),
             OF_EACH_TYPE_WITHIN(test_memory_does_not_grow_with_the_conversation, 60))
