/* SPDX-License-Identifier: MIT */
/*
 * A child in the lane who writes at random to all of the memory that it shares with its parent,
 * and says at random things by the socket, while the parent converses. The parent survives, and
 * none of its calls takes longer than it may.
 */
#include "lanes.h"

#include "wire/native.h"

#include <duplex/call.h>

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACTIONS = 400, CALLS_EACH = 40, ROUNDS_MS = 2500, SLACK_MS = 500 };

static uint64_t wild(uint32_t *random, uint64_t near)
{
    uint64_t high = next_random(random);

    switch (next_random(random) % 6) {
    case 0:
        return near + next_random(random) % 64;
    case 1:
        return near - next_random(random) % 64;
    case 2:
        return near + next_random(random) % (512 << 10);
    case 3:
        return high << 40 ^ (uint64_t)next_random(random) << 20 ^ next_random(random);
    case 4:
        return (uint64_t)1 << next_random(random) % 64;
    default:
        return near + 256 * KIB;
    }
}

static void scribble_words(dx_channel *parent, uint32_t *random)
{
    struct dxi_ring_control *control = parent->lane.region.control;
    /* Its own more often than the parent's, which nobody but the parent reads. */
    struct dxi_ring_side *side = next_random(random) % 4 != 0 ? parent->lane.out.mine
                                 : next_random(random) % 2    ? &control->maker
                                                              : &control->acceptor;

    switch (next_random(random) % 12) {
    case 0:
        side->tail = wild(random, side->tail);
        break;
    case 1:
        side->head = wild(random, side->head);
        break;
    case 2:
    case 3:
        side->base = wild(random, side->base);
        break;
    case 4:
    case 5:
    case 6:
        side->asleep = next_random(random) % 3;
        break;
    case 7:
    case 8:
    case 9:
        side->starved = next_random(random) % 3;
        break;
    default:
        side->cpu = next_random(random) % 5;
        break;
    }
}

static void scribble_frames(dx_channel *parent, uint32_t *random)
{
    struct dxi_region *region = &parent->lane.region;
    uint8_t *ring = region->rings[next_random(random) % 2];
    size_t at = next_random(random) % region->ring_size;

    if (next_random(random) % 2 == 0)
        at = next_random(random) % 64;
    ring[at] = (uint8_t)next_random(random);
}

static void say_something(dx_channel *parent, uint32_t *random)
{
    uint8_t word[64] = {0};
    size_t size = next_random(random) % 8 == 0 ? next_random(random) % 64 : DXI_HEADER_SIZE;

    word[4] = DXI_KIND_WAKE;
    if (next_random(random) % 8 == 0)
        word[next_random(random) % 16] = (uint8_t)next_random(random);
    send(parent->write_fd, word, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* context: the seed, and what it may do: the hundredths of each kind. */
struct manner {
    uint32_t seed;
    unsigned words, frames, by_socket;
};

static int scribble(dx_channel *parent, void *context)
{
    struct manner *manner = context;
    uint32_t random = manner->seed;
    dx_message message;

    for (int i = 0; i < ACTIONS; i++) {
        unsigned dice = next_random(&random) % 100;

        if (dice < manner->words)
            scribble_words(parent, &random);
        else if (dice < manner->words + manner->frames)
            scribble_frames(parent, &random);
        else if (dice < manner->words + manner->frames + manner->by_socket)
            say_something(parent, &random);
        else if (dice % 2 == 0)
            dx_send(parent, pattern(5000), next_random(&random) % 5000, DX_NOW);
        else
            dx_recv(parent, &message, DX_NOW);
    }
    /* Something for the parent to meet a deadline with. */
    sleep_ms(20);
    _exit(0);
}

static void touch(const dx_message *message)
{
    static volatile uint8_t sum;

    for (size_t i = 0; i < message->size; i++)
        sum += ((const uint8_t *)message->data)[i];
    (void)sum;
}

/* One call, whatever it is, with this deadline. */
static int converse(dx_channel *channel, uint32_t *random, int timeout_ms)
{
    size_t size = next_random(random) % 8 == 0 ? next_random(random) % (600 << 10)
                                               : next_random(random) % 3000;
    dx_message message = {0};
    void *place;
    int status;

    switch (next_random(random) % 10) {
    case 0:
    case 1:
    case 2:
        return dx_send(channel, pattern(size), size, timeout_ms);
    case 3:
        return dx_call(channel, pattern(size), size, &message, timeout_ms);
    case 4:
        dx_cork(channel);
        status = dx_send(channel, pattern(size), size, timeout_ms);
        return status < 0 ? status : dx_flush(channel, timeout_ms);
    case 5:
        status = dx_reserve(channel, size, &place, timeout_ms);
        if (status < 0)
            return status;
        memset(place, 7, size);
        return dx_commit(channel, size / 2);
    case 6:
        dx_channel_events(channel);
        dx_channel_timeout_ms(channel);
        return dx_channel_process(channel);
    default:
        status = dx_recv(channel, &message, timeout_ms);
        if (status == 1)
            touch(&message);
        return status;
    }
}

static bool is_an_answer(int status)
{
    switch (status) {
    case 0:
    case 1:
    case -EPROTO:
    case -ETIMEDOUT:
    case -EPIPE:
    case -EDEADLK:
    case -EMSGSIZE:
    case -ESHUTDOWN:
    case -EMFILE:
        return true;
    default:
        return false;
    }
}

static void meet(dx_channel_type type, bool trusting, struct manner *manner, uint32_t *random)
{
    const dx_channel_options ours = {
        .type = type, .trust_peer = trusting, .descriptor_limit = 1, .message_limit = MIB};
    const dx_channel_options theirs = {.descriptor_limit = 1, .message_limit = MIB};
    struct family family = start_family_with(&ours, &theirs, scribble, manner);

    for (int i = 0; i < CALLS_EACH; i++) {
        int timeout_ms = (int)(next_random(random) % 12);
        uint64_t start = now_ms();
        int status = converse(family.channel, random, timeout_ms);
        uint64_t took = now_ms() - start;

        ck_assert_msg(is_an_answer(status), "seed %u: %d: %s", manner->seed, status,
                      dx_channel_explain(family.channel));
        ck_assert_msg(took <= (uint64_t)(2 * timeout_ms) + SLACK_MS * (uint64_t)slowness(),
                      "seed %u: a call with %d ms took %d ms", manner->seed, timeout_ms, (int)took);
    }
    bury_family(&family);
}

/* The seed is in each failure's sentence. */
static void meet_many(dx_channel_type type, bool trusting, struct manner manner)
{
    struct pair other = open_lane(type);
    uint64_t end = now_ms() + ROUNDS_MS;
    unsigned rounds = 0;

    for (uint32_t seed = 1; now_ms() < end && seed <= 200; seed++, rounds++) {
        uint32_t random = seed * 31;

        manner.seed = seed;
        meet(type, trusting, &manner, &random);
        carry(other.near, other.far, seed, 1000);
        carry(other.far, other.near, seed, 1000);
    }
    ck_assert_uint_gt(rounds, 3);
    close_pair(&other);
}

EACH_LANE(test_a_child_that_scribbles_over_the_words_is_survived)
{
    meet_many(type, false, (struct manner){.words = 5, .frames = 0, .by_socket = 0});
}

EACH_LANE(test_a_child_that_scribbles_over_frames_is_survived)
{
    meet_many(type, false, (struct manner){.words = 0, .frames = 30, .by_socket = 0});
}

EACH_LANE(test_a_child_that_does_all_of_it_at_random_is_survived)
{
    meet_many(type, false, (struct manner){.words = 10, .frames = 10, .by_socket = 20});
}

/* Who trusts may read anything, but nothing outside. */
EACH_LANE(test_a_child_that_was_trusted_wrongly_is_survived)
{
    meet_many(type, true, (struct manner){.words = 3, .frames = 20, .by_socket = 3});
}

HARNESS_MAIN("lane_scribble",
             OF_EACH_LANE_WITHIN(test_a_child_that_scribbles_over_the_words_is_survived, 30),
             OF_EACH_LANE_WITHIN(test_a_child_that_scribbles_over_frames_is_survived, 30),
             OF_EACH_LANE_WITHIN(test_a_child_that_does_all_of_it_at_random_is_survived, 30),
             OF_EACH_LANE_WITHIN(test_a_child_that_was_trusted_wrongly_is_survived, 30))
