/* SPDX-License-Identifier: MIT */
/*
 * The ring by two threads, one for each end of both directions: no byte and no wake-up is lost.
 */
#include "harness.h"

#include "os/os.h"
#include "wire/ring.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* The byte that lies at a position of the conversation. */
static uint8_t byte_at(uint64_t position)
{
    return (uint8_t)(position ^ position >> 8 ^ position >> 16 ^ 0x5a);
}

static void put(struct dxi_ring_out *out, size_t size)
{
    uint8_t *place = dxi_ring_place(out);

    for (size_t i = 0; i < size; i++)
        place[i] = byte_at(out->tail + i);
    out->tail += size;
}

/* Bytes that are as they were written, taken. */
static bool take(struct dxi_ring_in *in, size_t size)
{
    const uint8_t *bytes = dxi_ring_bytes(in);
    bool right = true;

    for (size_t i = 0; i < size; i++)
        right &= bytes[i] == byte_at(in->head + i);
    in->head += size;
    return right;
}

/*
 * One side of a conversation of two threads, which both send and receive, and sleep on a
 * semaphore.
 */
struct side {
    struct dxi_ring_out out;
    struct dxi_ring_in in;
    sem_t *mine, *peers;
    uint64_t total;
    uint32_t random;
    bool rewinds;
    const char *trouble;
};

static uint32_t next_random(struct side *side)
{
    side->random = side->random * 1664525U + 1013904223U;
    return side->random >> 8;
}

static void give_back(struct side *side)
{
    dxi_ring_give_back(&side->in);
    atomic_thread_fence(memory_order_seq_cst);
    if (dxi_ring_wants_room(&side->in))
        sem_post(side->peers);
}

static bool write_some(struct side *side)
{
    struct dxi_ring_out *out = &side->out;
    uint64_t size = 1 + next_random(side) % (out->size + out->size / 4);

    if (dxi_ring_look_for_room(out) < 0)
        side->trouble = "a head that cannot be";
    if (side->rewinds)
        dxi_ring_rewind(out);
    if (size > dxi_ring_room(out))
        size = dxi_ring_room(out);
    if (size > side->total - out->tail)
        size = side->total - out->tail;
    if (size == 0)
        return false;
    put(out, size);
    dxi_ring_publish(out);
    if (dxi_ring_wakes_consumer(out))
        sem_post(side->peers);
    return true;
}

static bool read_some(struct side *side)
{
    struct dxi_ring_in *in = &side->in;

    if (dxi_ring_look(in) < 0)
        side->trouble = "a tail that cannot be";
    uint64_t size = dxi_ring_filled(in);

    if (size == 0)
        return false;
    if (size > 1 && next_random(side) % 2 == 0)
        size = 1 + next_random(side) % size;
    if (!take(in, size))
        side->trouble = "bytes that were not written";
    if (dxi_ring_owes(in) || next_random(side) % 4 == 0)
        give_back(side);
    return true;
}

static void sleep_on(struct side *side)
{
    struct timespec until;

    if (side->in.given != side->in.head)
        give_back(side);
    if (side->out.tail < side->total && !dxi_ring_starve(&side->out))
        return;
    if (dxi_ring_doze(&side->in)) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 10;
        while (sem_timedwait(side->mine, &until) < 0)
            if (errno != EINTR) {
                side->trouble = "a wake-up that did not come";
                break;
            }
        dxi_ring_rouse(&side->in);
    }
    dxi_ring_feed(&side->out);
}

static void *converse(void *context)
{
    struct side *side = context;

    while (!side->trouble && (side->out.tail < side->total || side->in.head < side->total)) {
        bool moved = side->out.tail < side->total && write_some(side);

        moved |= read_some(side);
        if (!moved)
            sleep_on(side);
    }
    give_back(side);
    return NULL;
}

static void stress(size_t ring_size, bool rewinds)
{
    uint64_t total = (HARNESS_TSAN || harness_valgrind() ? 4 : 32) * ((uint64_t)1 << 20);
    struct dxi_region region;
    sem_t wake[2];
    pthread_t thread;
    int fd;

    ck_assert_int_eq(dxi_linux.region_create(ring_size, &region, &fd), 0);
    close(fd);
    sem_init(&wake[0], 0, 0);
    sem_init(&wake[1], 0, 0);
    struct side sides[2];

    for (int i = 0; i < 2; i++)
        sides[i] = (struct side){
            .out = dxi_ring_out_end(region.control, region.rings, region.ring_size, i == 0),
            .in = dxi_ring_in_end(region.control, region.rings, region.ring_size, i == 0),
            .mine = &wake[i],
            .peers = &wake[1 - i],
            .total = total,
            .random = 7 + (uint32_t)i,
            .rewinds = rewinds};
    ck_assert_int_eq(pthread_create(&thread, NULL, converse, &sides[1]), 0);
    converse(&sides[0]);
    pthread_join(thread, NULL);
    for (int i = 0; i < 2; i++)
        ck_assert_msg(sides[i].trouble == NULL, "side %d: %s", i, sides[i].trouble);
    sem_destroy(&wake[0]);
    sem_destroy(&wake[1]);
    dxi_linux.region_unmap(&region);
}

START_TEST(test_two_threads_lose_no_byte_and_no_wake_up)
{
    stress(16 * page_size(), false);
}
END_TEST

START_TEST(test_two_threads_with_the_smallest_ring_that_rewinds)
{
    stress(page_size(), true);
}
END_TEST

HARNESS_MAIN("ring_threads", TEST_WITHIN(test_two_threads_lose_no_byte_and_no_wake_up, 30),
             TEST_WITHIN(test_two_threads_with_the_smallest_ring_that_rewinds, 30))
