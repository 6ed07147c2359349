/* SPDX-License-Identifier: MIT */
/*
 * The ring by itself: both of its ends in this process, without a channel, step by step.
 */
#include "harness.h"

#include "os/os.h"
#include "wire/ring.h"

#include <errno.h>
#include <unistd.h>

/* Both ends of one direction. */
struct ring {
    struct dxi_region region;
    struct dxi_ring_control *control;
    struct dxi_ring_out out;
    struct dxi_ring_in in;
};

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static struct ring open_ring(void)
{
    struct ring ring;
    int fd;

    ck_assert_int_eq(dxi_linux.region_create(page_size(), &ring.region, &fd), 0);
    close(fd);
    ring.control = ring.region.control;
    ring.out =
        dxi_ring_out_end(ring.region.control, ring.region.rings, ring.region.ring_size, true);
    ring.in = dxi_ring_in_end(ring.region.control, ring.region.rings, ring.region.ring_size, false);
    return ring;
}

static void close_ring(struct ring *ring)
{
    dxi_linux.region_unmap(&ring->region);
    ck_assert_ptr_null(ring->region.control);
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

/* What a producer had published when it died is taken, and nothing that a grandchild adds. */
START_TEST(test_what_comes_after_a_death_is_cut_off)
{
    struct ring ring = open_ring();

    put(&ring.out, 100);
    dxi_ring_publish(&ring.out);
    dxi_ring_seal(&ring.in);
    put(&ring.out, 50);
    dxi_ring_publish(&ring.out);
    dxi_ring_seal(&ring.in);
    ck_assert_int_ge(dxi_ring_look(&ring.in), 0);
    ck_assert_uint_eq(dxi_ring_filled(&ring.in), 100);
    ck_assert(take(&ring.in, 100));
    ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
    ck_assert_uint_eq(dxi_ring_filled(&ring.in), 0);
    close_ring(&ring);
}
END_TEST

START_TEST(test_a_tail_that_cannot_be_cuts_nothing_off_and_is_found)
{
    struct ring ring = open_ring();

    atomic_store(&ring.in.peer->tail, ring.in.head + ring.in.size + 1);
    dxi_ring_seal(&ring.in);
    ck_assert_uint_eq(ring.in.limit, UINT64_MAX);
    ck_assert_int_lt(dxi_ring_look(&ring.in), 0);
    close_ring(&ring);
}
END_TEST

START_TEST(test_what_was_written_is_seen_when_it_is_published)
{
    struct ring ring = open_ring();

    put(&ring.out, 100);
    ck_assert(!dxi_ring_stirs(&ring.in));
    ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
    ck_assert_uint_eq(dxi_ring_filled(&ring.in), 0);
    dxi_ring_publish(&ring.out);
    ck_assert(dxi_ring_stirs(&ring.in));
    ck_assert_uint_eq(dxi_ring_filled(&ring.in), 0);
    ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
    ck_assert_uint_eq(dxi_ring_filled(&ring.in), 100);
    ck_assert(take(&ring.in, 100));
    ck_assert(!dxi_ring_stirs(&ring.in));
    close_ring(&ring);
}
END_TEST

START_TEST(test_room_is_what_was_given_back)
{
    struct ring ring = open_ring();
    size_t size = ring.out.size;

    ck_assert_uint_eq(dxi_ring_room(&ring.out), size);
    put(&ring.out, size);
    ck_assert_uint_eq(dxi_ring_room(&ring.out), 0);
    dxi_ring_publish(&ring.out);
    ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
    ck_assert_uint_eq(dxi_ring_filled(&ring.in), size);
    ck_assert(take(&ring.in, size / 4 - 1));
    ck_assert(!dxi_ring_owes(&ring.in));
    ck_assert(take(&ring.in, 1));
    ck_assert(dxi_ring_owes(&ring.in));
    ck_assert_int_eq(dxi_ring_look_for_room(&ring.out), 0);
    ck_assert_uint_eq(dxi_ring_room(&ring.out), 0);
    dxi_ring_give_back(&ring.in);
    ck_assert(!dxi_ring_owes(&ring.in));
    ck_assert_uint_eq(dxi_ring_room(&ring.out), 0);
    ck_assert_int_eq(dxi_ring_look_for_room(&ring.out), 0);
    ck_assert_uint_eq(dxi_ring_room(&ring.out), size / 4);
    close_ring(&ring);
}
END_TEST

/* Without a rewind, so that every place of the ring is the first byte of a piece once. */
START_TEST(test_what_crosses_the_end_of_the_ring_lies_in_one_piece)
{
    struct ring ring = open_ring();
    size_t size = ring.out.size;

    for (size_t round = 0; round < 2 * size; round++) {
        size_t piece = round % 7 == 0 ? size : size / 2 + 1;

        ck_assert_int_eq(dxi_ring_look_for_room(&ring.out), 0);
        ck_assert_uint_eq(dxi_ring_room(&ring.out), size);
        put(&ring.out, piece);
        dxi_ring_publish(&ring.out);
        ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
        ck_assert_uint_eq(dxi_ring_filled(&ring.in), piece);
        ck_assert(take(&ring.in, piece));
        dxi_ring_give_back(&ring.in);
    }
    close_ring(&ring);
}
END_TEST

START_TEST(test_an_empty_ring_begins_again_at_its_first_byte)
{
    struct ring ring = open_ring();

    for (unsigned round = 0; round < 1000; round++) {
        ck_assert_int_eq(dxi_ring_look_for_room(&ring.out), 0);
        dxi_ring_rewind(&ring.out);
        ck_assert_ptr_eq(dxi_ring_place(&ring.out), ring.region.rings[0]);
        put(&ring.out, 1 + round % 300);
        dxi_ring_publish(&ring.out);
        ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
        ck_assert_ptr_eq(dxi_ring_bytes(&ring.in), ring.region.rings[0]);
        ck_assert(take(&ring.in, 1 + round % 300));
        dxi_ring_give_back(&ring.in);
    }
    close_ring(&ring);
}
END_TEST

START_TEST(test_a_ring_that_is_not_empty_goes_on_where_it_is)
{
    struct ring ring = open_ring();

    put(&ring.out, 100);
    dxi_ring_publish(&ring.out);
    ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
    ck_assert(take(&ring.in, 99));
    dxi_ring_give_back(&ring.in);
    ck_assert_int_eq(dxi_ring_look_for_room(&ring.out), 0);
    dxi_ring_rewind(&ring.out);
    ck_assert_ptr_eq(dxi_ring_place(&ring.out), ring.region.rings[0] + 100);
    /* Taken, but not known here: the same. */
    ck_assert(take(&ring.in, 1));
    dxi_ring_give_back(&ring.in);
    dxi_ring_rewind(&ring.out);
    ck_assert_ptr_eq(dxi_ring_place(&ring.out), ring.region.rings[0] + 100);
    close_ring(&ring);
}
END_TEST

START_TEST(test_a_consumer_that_sleeps_is_woken_once)
{
    struct ring ring = open_ring();

    ck_assert(dxi_ring_doze(&ring.in));
    put(&ring.out, 1);
    dxi_ring_publish(&ring.out);
    ck_assert(dxi_ring_wakes_consumer(&ring.out));
    put(&ring.out, 1);
    dxi_ring_publish(&ring.out);
    ck_assert(!dxi_ring_wakes_consumer(&ring.out));
    close_ring(&ring);
}
END_TEST

START_TEST(test_a_consumer_does_not_sleep_on_what_has_come)
{
    struct ring ring = open_ring();

    put(&ring.out, 1);
    dxi_ring_publish(&ring.out);
    ck_assert(!dxi_ring_wakes_consumer(&ring.out));
    ck_assert(!dxi_ring_doze(&ring.in));
    ck_assert_uint_eq(ring.control->acceptor.asleep, 0);
    ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
    ck_assert(take(&ring.in, 1));
    ck_assert(dxi_ring_doze(&ring.in));
    dxi_ring_rouse(&ring.in);
    put(&ring.out, 1);
    dxi_ring_publish(&ring.out);
    ck_assert(!dxi_ring_wakes_consumer(&ring.out));
    close_ring(&ring);
}
END_TEST

START_TEST(test_a_producer_that_starves_is_woken_once)
{
    struct ring ring = open_ring();

    put(&ring.out, ring.out.size);
    dxi_ring_publish(&ring.out);
    ck_assert(dxi_ring_starve(&ring.out));
    ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
    ck_assert(take(&ring.in, 1000));
    dxi_ring_give_back(&ring.in);
    ck_assert(dxi_ring_wants_room(&ring.in));
    ck_assert(!dxi_ring_wants_room(&ring.in));
    /* Now that there is room it need not wait. */
    ck_assert(!dxi_ring_starve(&ring.out));
    ck_assert_uint_eq(ring.control->maker.starved, 0);
    ck_assert_int_eq(dxi_ring_look_for_room(&ring.out), 0);
    ck_assert_uint_eq(dxi_ring_room(&ring.out), 1000);
    ck_assert(dxi_ring_starve(&ring.out));
    dxi_ring_feed(&ring.out);
    ck_assert(!dxi_ring_wants_room(&ring.in));
    close_ring(&ring);
}
END_TEST

START_TEST(test_a_tail_beyond_the_ring_is_not_believed)
{
    struct ring ring = open_ring();
    uint64_t size = ring.in.size;
    uint64_t lies[] = {size + 1, size * 2, UINT64_MAX, UINT64_MAX / 2, (uint64_t)1 << 63};

    for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        ring.control->maker.tail = lies[i];
        ck_assert_int_eq(dxi_ring_look(&ring.in), -EPROTO);
        ck_assert_uint_eq(dxi_ring_filled(&ring.in), 0);
    }
    ring.control->maker.tail = size;
    ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
    ck_assert_uint_eq(dxi_ring_filled(&ring.in), size);
    ring.in.head += 10;
    ring.control->maker.tail = size + 11;
    ck_assert_int_eq(dxi_ring_look(&ring.in), -EPROTO);
    ring.control->maker.tail = size + 10;
    ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
    close_ring(&ring);
}
END_TEST

START_TEST(test_a_tail_that_goes_back_is_not_believed)
{
    struct ring ring = open_ring();

    ring.control->maker.tail = 100;
    ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
    ring.control->maker.tail = 99;
    ck_assert_int_eq(dxi_ring_look(&ring.in), -EPROTO);
    ring.control->maker.tail = 0;
    ck_assert_int_eq(dxi_ring_look(&ring.in), -EPROTO);
    ck_assert_uint_eq(dxi_ring_filled(&ring.in), 100);
    close_ring(&ring);
}
END_TEST

START_TEST(test_a_head_beyond_what_was_published_is_not_believed)
{
    struct ring ring = open_ring();
    uint64_t lies[] = {101, 150, ring.out.size + 1, UINT64_MAX, (uint64_t)1 << 63};

    put(&ring.out, 100);
    dxi_ring_publish(&ring.out);
    put(&ring.out, 50);
    for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        ring.control->acceptor.head = lies[i];
        ck_assert_int_eq(dxi_ring_look_for_room(&ring.out), -EPROTO);
        ck_assert_uint_eq(dxi_ring_room(&ring.out), ring.out.size - 150);
    }
    ring.control->acceptor.head = 100;
    ck_assert_int_eq(dxi_ring_look_for_room(&ring.out), 0);
    ck_assert_uint_eq(dxi_ring_room(&ring.out), ring.out.size - 50);
    close_ring(&ring);
}
END_TEST

START_TEST(test_a_head_that_goes_back_is_not_believed)
{
    struct ring ring = open_ring();

    put(&ring.out, 100);
    dxi_ring_publish(&ring.out);
    ring.control->acceptor.head = 60;
    ck_assert_int_eq(dxi_ring_look_for_room(&ring.out), 0);
    ring.control->acceptor.head = 59;
    ck_assert_int_eq(dxi_ring_look_for_room(&ring.out), -EPROTO);
    close_ring(&ring);
}
END_TEST

/* Whatever it says of the base, what is read lies in the ring. */
START_TEST(test_no_base_leads_out_of_the_ring)
{
    struct ring ring = open_ring();
    const uint8_t *end = ring.region.rings[0] + ring.in.size;

    put(&ring.out, 10);
    dxi_ring_publish(&ring.out);
    for (unsigned i = 0; i < 64; i++) {
        ring.control->maker.base = ((uint64_t)1 << i) - 1;
        ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
        ck_assert(dxi_ring_bytes(&ring.in) >= ring.region.rings[0]);
        ck_assert(dxi_ring_bytes(&ring.in) < end);
    }
    close_ring(&ring);
}
END_TEST

START_TEST(test_nothing_is_believed_after_the_producers_death)
{
    struct ring ring = open_ring();

    put(&ring.out, 100);
    dxi_ring_publish(&ring.out);
    dxi_ring_seal(&ring.in);
    put(&ring.out, 50);
    dxi_ring_publish(&ring.out);
    ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
    ck_assert_uint_eq(dxi_ring_filled(&ring.in), 100);
    ck_assert(take(&ring.in, 100));
    ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
    ck_assert_uint_eq(dxi_ring_filled(&ring.in), 0);
    /* A second announcement of the death changes nothing. */
    dxi_ring_seal(&ring.in);
    ck_assert_int_eq(dxi_ring_look(&ring.in), 0);
    ck_assert_uint_eq(dxi_ring_filled(&ring.in), 0);
    close_ring(&ring);
}
END_TEST

HARNESS_MAIN("ring", TEST(test_what_comes_after_a_death_is_cut_off),
             TEST(test_a_tail_that_cannot_be_cuts_nothing_off_and_is_found),
             TEST(test_what_was_written_is_seen_when_it_is_published),
             TEST(test_room_is_what_was_given_back),
             TEST(test_what_crosses_the_end_of_the_ring_lies_in_one_piece),
             TEST(test_an_empty_ring_begins_again_at_its_first_byte),
             TEST(test_a_ring_that_is_not_empty_goes_on_where_it_is),
             TEST(test_a_consumer_that_sleeps_is_woken_once),
             TEST(test_a_consumer_does_not_sleep_on_what_has_come),
             TEST(test_a_producer_that_starves_is_woken_once),
             TEST(test_a_tail_beyond_the_ring_is_not_believed),
             TEST(test_a_tail_that_goes_back_is_not_believed),
             TEST(test_a_head_beyond_what_was_published_is_not_believed),
             TEST(test_a_head_that_goes_back_is_not_believed),
             TEST(test_no_base_leads_out_of_the_ring),
             TEST(test_nothing_is_believed_after_the_producers_death))
