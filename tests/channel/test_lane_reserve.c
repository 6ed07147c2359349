/* SPDX-License-Identifier: MIT */
/*
 * Messages that are written in place, in the lane and where there is none, and those that are
 * received in place from a peer that is trusted.
 */
#include "lanes.h"
#include "meter.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* Whether this memory is the channel's outgoing ring. */
static bool in_ring(const dx_channel *channel, const void *place)
{
    const struct dxi_ring_out *out = &channel->lane.out;
    const uint8_t *byte = place;

    return out->bytes != NULL && byte >= out->bytes && byte < out->bytes + 2 * out->size;
}

/* Whether it is in the ring that the channel reads. */
static bool in_own_ring(const dx_channel *channel, const void *place)
{
    const struct dxi_ring_in *in = &channel->lane.in;
    const uint8_t *byte = place;

    return in->bytes != NULL && byte >= in->bytes && byte < in->bytes + 2 * in->size;
}

static void *reserve(dx_channel *channel, size_t size)
{
    void *place = NULL;
    int status = dx_reserve(channel, size, &place, 1000);

    ck_assert_msg(status == 0, "%zu bytes: %d: %s", size, status, dx_channel_explain(channel));
    ck_assert_ptr_nonnull(place);
    return place;
}

static void write_in_place(dx_channel *channel, unsigned number, size_t reserved, size_t size)
{
    void *place = reserve(channel, reserved);

    memcpy(place, numbered_payload(number, size), size);
    memset((char *)place + size, 0x55, reserved - size);
    ck_assert_int_eq(dx_commit(channel, size), 0);
}

static void expect_from(struct pair *pair, unsigned number, size_t size)
{
    dx_message message;
    int status;

    while ((status = dx_recv(pair->far, &message, DX_NOW)) == -ETIMEDOUT)
        dx_flush(pair->near, DX_NOW);
    ck_assert_int_eq(status, 1);
    ck_assert(is_numbered(&message, number, size));
}

EACH_LANE(test_a_message_is_written_into_the_ring_itself)
{
    struct pair pair = open_lane(type);
    const size_t sizes[] = {0, 1, 100, 5000, 100000, 192 * KIB - 16};

    for (unsigned round = 0; round < 30; round++) {
        size_t size = sizes[round % (sizeof(sizes) / sizeof(*sizes))];

        ck_assert(in_ring(pair.near, reserve(pair.near, size)));
        write_in_place(pair.near, round, size, size);
        expect_from(&pair, round, size);
        /* Who looks for more in vain has given back all the room. */
        expect_silence(pair.far);
    }
    close_pair(&pair);
}

EACH_LANE(test_less_may_be_committed_than_was_reserved)
{
    struct pair pair = open_lane(type);

    for (unsigned i = 0; i < 100; i++) {
        write_in_place(pair.near, i, 3000, i * 30);
        ck_assert_int_eq(send_numbered(pair.near, i, 10, 1000), 0);
        expect_from(&pair, i, i * 30);
        expect_from(&pair, i, 10);
    }
    close_pair(&pair);
}

/* Everywhere else it is a copy, and means the same. */
static void write_anywhere(const dx_channel_options *options, size_t size)
{
    struct pair pair = open_pair_with(options);

    for (unsigned i = 0; i < 20; i++) {
        uint8_t *place = reserve(pair.near, size + 5);

        ck_assert(!in_ring(pair.near, place));
        /* No byte that a line or a JSON text could not have. */
        memset(place, '1' + (int)(i % 8), size);
        ck_assert_int_eq(dx_commit(pair.near, size), 0);
        ck_assert_int_eq(dx_send(pair.near, "7", 1, 1000), 0);
        dx_message message;

        ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
        if (options->framing == DX_FRAMING_RAW)
            continue;
        ck_assert_uint_eq(message.size, size);
        ck_assert_uint_eq(*(const char *)message.data, '1' + i % 8);
        ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
        ck_assert_uint_eq(message.size, 1);
    }
    close_pair(&pair);
}

START_TEST(test_each_type_and_framing_can_be_written_in_place)
{
    for (int type = DX_STREAM; type <= DX_DGRAM; type++)
        write_anywhere(&(dx_channel_options){.type = type, .socket_only = true}, 3000);
    for (int framing = DX_FRAMING_LINE; framing <= DX_FRAMING_RAW; framing++)
        if (framing != DX_FRAMING_NODE)
            write_anywhere(&(dx_channel_options){.framing = framing}, 100);
}
END_TEST

START_TEST(test_what_a_framing_cannot_carry_is_refused_at_the_commit)
{
    struct pair pair = open_pair_with(&(dx_channel_options){.framing = DX_FRAMING_LINE});

    memcpy(reserve(pair.near, 3), "a\nb", 3);
    ck_assert_int_eq(dx_commit(pair.near, 3), -EINVAL);
    ck_assert_int_eq(dx_commit(pair.near, 3), -EINVAL);
    ck_assert_int_eq(dx_send(pair.near, "c", 1, 1000), 0);
    dx_message message;

    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    ck_assert_mem_eq(message.data, "c", 1);
    close_pair(&pair);
}
END_TEST

START_TEST(test_nodes_framing_cannot_be_written_in_place)
{
    struct pair pair = open_pair_with(&(dx_channel_options){.framing = DX_FRAMING_NODE});
    void *place;

    ck_assert_int_eq(dx_reserve(pair.near, 10, &place, 1000), -EOPNOTSUPP);
    expect_explained(pair.near, "node");
    ck_assert_int_eq(dx_send(pair.near, "1", 1, 1000), 0);
    close_pair(&pair);
}
END_TEST

static void misuse(const dx_channel_options *options, bool fast)
{
    struct pair pair = fast ? open_lane_with(options) : open_pair_with(options);
    dx_message message = {.data = "x", .size = 1};
    void *place;

    ck_assert_int_eq(dx_commit(pair.near, 0), -EINVAL);
    ck_assert_int_eq(dx_reserve(pair.near, 10, NULL, 1000), -EINVAL);
    ck_assert_int_eq(dx_reserve(pair.near, 17 * MIB, &place, 1000), -EMSGSIZE);
    ck_assert_int_eq(dx_commit(pair.near, 0), -EINVAL);
    memcpy(reserve(pair.near, 100), numbered_payload(1, 100), 100);
    ck_assert_int_eq(dx_commit(pair.near, 101), -EINVAL);
    /* It is still reserved, and nothing gets in between. */
    ck_assert_int_eq(dx_send(pair.near, "x", 1, 1000), -EBUSY);
    ck_assert_int_eq(dx_send_message(pair.near, &message, 1000), -EBUSY);
    ck_assert_int_eq(dx_commit(pair.near, 100), 0);
    expect_numbered(pair.far, 1, 100, 1000);
    expect_silence(pair.far);
    /* A second reservation takes the place of the first. */
    reserve(pair.near, 5000);
    write_in_place(pair.near, 2, 50, 50);
    ck_assert_int_eq(dx_commit(pair.near, 0), -EINVAL);
    expect_numbered(pair.far, 2, 50, 1000);
    /* Receiving goes on meanwhile. */
    memcpy(reserve(pair.near, 100), numbered_payload(3, 100), 100);
    ck_assert_int_eq(send_numbered(pair.far, 4, 500, 1000), 0);
    expect_numbered(pair.near, 4, 500, 1000);
    ck_assert_int_eq(dx_commit(pair.near, 100), 0);
    expect_numbered(pair.far, 3, 100, 1000);
    /* What is reserved at the end was never said. */
    reserve(pair.near, 100);
    pair.near = dx_channel_close(pair.near);
    expect_end(pair.far, 1000);
    close_pair(&pair);
}

EACH_LANE(test_a_reservation_is_used_once_and_in_turn)
{
    misuse(&(dx_channel_options){.type = type}, true);
    misuse(&(dx_channel_options){.type = type, .socket_only = true}, false);
}

EACH_LANE(test_more_than_the_ring_holds_can_be_reserved)
{
    struct pair pair = open_lane(type);

    for (unsigned i = 0; i < 5; i++) {
        uint8_t *place = reserve(pair.near, 2 * MIB);

        ck_assert(!in_ring(pair.near, place));
        memcpy(place, numbered_payload(i, 2 * MIB), 2 * MIB);
        ck_assert_int_eq(dx_commit(pair.near, 2 * MIB), 0);
        expect_from(&pair, i, 2 * MIB);
        write_in_place(pair.near, i, 100, 100);
        expect_from(&pair, i, 100);
    }
    close_pair(&pair);
}

EACH_LANE(test_a_reservation_waits_for_room_until_the_deadline)
{
    struct pair pair = open_lane(type);
    unsigned count = 0;
    void *place;

    for (; dx_reserve(pair.near, 10000, &place, 0) == 0; count++) {
        memcpy(place, numbered_payload(count, 10000), 10000);
        ck_assert_int_eq(dx_commit(pair.near, 10000), 0);
        ck_assert_uint_lt(count, 100);
    }
    ck_assert_uint_ge(count, 25);
    uint64_t start = now_ms();

    ck_assert_int_eq(dx_reserve(pair.near, 10000, &place, 100), -ETIMEDOUT);
    ck_assert_uint_ge(now_ms() - start, 99);
    ck_assert_int_eq(dx_commit(pair.near, 0), -EINVAL);
    for (unsigned i = 0; i < count; i++)
        expect_numbered(pair.far, i, 10000, 1000);
    expect_silence(pair.far);
    write_in_place(pair.near, 1, 10000, 10000);
    expect_numbered(pair.far, 1, 10000, 1000);
    close_pair(&pair);
}

EACH_LANE(test_what_is_corked_may_be_written_in_place)
{
    struct pair pair = open_lane(type);

    for (unsigned round = 0; round < 20; round++) {
        ck_assert_int_eq(dx_cork(pair.near), 0);
        for (unsigned i = 0; i < 30; i++) {
            if (i % 2 == 0)
                write_in_place(pair.near, i, 200, i * 5);
            else
                ck_assert_int_eq(send_numbered(pair.near, i, i * 5, 1000), 0);
        }
        expect_silence(pair.far);
        ck_assert_int_eq(dx_flush(pair.near, 1000), 0);
        for (unsigned i = 0; i < 30; i++)
            expect_numbered(pair.far, i, i * 5, 1000);
    }
    close_pair(&pair);
}

/* The switch comes while something is reserved. */
EACH_LANE(test_a_reservation_crosses_the_switch)
{
    for (unsigned before = 0; before < 12; before++) {
        struct pair pair = open_pair(type);

        for (unsigned i = 0; i < 40; i++) {
            if (i >= before)
                memcpy(reserve(pair.near, 300), numbered_payload(i, 300), 300);
            ck_assert_int_eq(send_numbered(pair.far, i, 100, 1000), 0);
            expect_numbered(pair.near, i, 100, 1000);
            if (i >= before)
                ck_assert_int_eq(dx_commit(pair.near, 300), 0);
            else
                ck_assert_int_eq(send_numbered(pair.near, i, 300, 1000), 0);
            expect_numbered(pair.far, i, 300, 1000);
        }
        ck_assert_int_eq(dx_channel_is_fast(pair.near), 1);
        close_pair(&pair);
    }
}

/* Views. */

EACH_LANE(test_a_trusted_peer_is_received_without_a_copy)
{
    struct pair pair = open_lane_with(&(dx_channel_options){.type = type, .trust_peer = true});
    dx_message message;
    unsigned views = 0;

    for (unsigned i = 0; i < 1000; i++) {
        ck_assert_int_eq(send_numbered(pair.near, i, i, 1000), 0);
        ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
        ck_assert(is_numbered(&message, i, i));
        views += in_own_ring(pair.far, message.data);
    }
    ck_assert_uint_gt(views, 900);
    /* Larger than the ring: by copy, of course. */
    carry(pair.near, pair.far, 1, MIB);
    close_pair(&pair);
    pair = open_lane(type);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(send_numbered(pair.near, i, i, 1000), 0);
        ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
        ck_assert(!in_own_ring(pair.far, message.data));
    }
    close_pair(&pair);
}

/* Its place is not given back before the next receive, whatever is said meanwhile. */
EACH_LANE(test_a_view_is_kept_while_much_is_sent)
{
    struct pair pair = open_lane_with(&(dx_channel_options){.type = type, .trust_peer = true});

    for (unsigned round = 0; round < 10; round++) {
        dx_message view;
        unsigned count = 0;

        ck_assert_int_eq(send_numbered(pair.near, round, 5000, 1000), 0);
        ck_assert_int_eq(dx_recv(pair.far, &view, 1000), 1);
        ck_assert(in_own_ring(pair.far, view.data));
        /* Both directions are filled to the brim meanwhile. */
        count = fill_outgoing(pair.near, 0, 3000);
        unsigned back = fill_outgoing(pair.far, 0, 3000);

        ck_assert_uint_gt(count, 50);
        ck_assert_int_eq(send_numbered(pair.far, 1, 3000, 20), -ETIMEDOUT);
        /* Nor has a word that left in the other direction given back the room. */
        ck_assert_int_eq(dx_flush(pair.near, 20), is_pending(pair.near) ? -ETIMEDOUT : 0);
        count += fill_outgoing(pair.near, count, 3000);
        ck_assert(is_numbered(&view, round, 5000));
        for (unsigned i = 0; i < count; i++) {
            int status;

            while ((status = dx_recv(pair.far, &view, DX_NOW)) == -ETIMEDOUT)
                dx_flush(pair.near, DX_NOW);
            ck_assert_int_eq(status, 1);
            ck_assert(is_numbered(&view, i, 3000));
        }
        for (unsigned i = 0; i < back; i++) {
            int status;

            while ((status = dx_recv(pair.near, &view, DX_NOW)) == -ETIMEDOUT)
                dx_flush(pair.far, DX_NOW);
            ck_assert_int_eq(status, 1);
            ck_assert(is_numbered(&view, i, 3000));
        }
    }
    close_pair(&pair);
}

/* A message that comes with descriptors, or in pieces, is in order among views. */
EACH_LANE(test_views_and_copies_keep_their_order)
{
    struct pair pair = open_lane_with(&(dx_channel_options){
        .type = type, .trust_peer = true, .descriptor_limit = 2});

    for (unsigned round = 0; round < 100; round++) {
        int note = make_note(round);
        dx_message message = with_descriptors("d", 1, &note, 1);

        ck_assert_int_eq(send_numbered(pair.near, 1, 100, 0), 0);
        ck_assert_int_eq(dx_send_message(pair.near, &message, 0), 0);
        ck_assert_int_eq(send_numbered(pair.near, 2, 20000, 0), 0);
        ck_assert_int_eq(send_numbered(pair.near, 3, 50, 0), 0);
        expect_numbered(pair.far, 1, 100, 1000);
        ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
        ck_assert_uint_eq(message.descriptor_count, 1);
        ck_assert(is_note(message.descriptors[0], round));
        expect_numbered(pair.far, 2, 20000, 1000);
        expect_numbered(pair.far, 3, 50, 1000);
    }
    close_pair(&pair);
}

/*
 * A wake-up that the kernel had no memory for was not sent again while a message was being written in
 * place: the peer, who waited for room, slept on, and so did the user who waited for the rest of what
 * the peer was sending.
 */
EACH_LANE(test_a_wake_up_is_sent_again_while_a_message_is_being_written)
{
    static char large[MIB];

    meter_install();
    struct pair pair = open_lane(type);
    struct pollfd far = {.fd = dx_channel_fd(pair.far), .events = POLLIN};
    dx_message message;

    ck_assert(in_ring(pair.near, reserve(pair.near, 100)));
    ck_assert_int_eq(dx_send(pair.far, large, sizeof(large), DX_NOW), 0);
    /* What is left of it waits for room. */
    ck_assert_int_eq(dx_channel_events(pair.far), POLLIN);
    meter_fail(CALL_SEND, 1, 1, -ENOBUFS);
    /* Again where a loaded machine has let the time pass between two looks. */
    for (unsigned i = 0; i < 10 && poll(&far, 1, 0) == 0; i++)
        ck_assert_int_eq(dx_recv(pair.near, &message, 100), -ETIMEDOUT);
    ck_assert_uint_eq(meter.failed, 1);
    ck_assert_int_eq(poll(&far, 1, 0), 1);
    close_pair(&pair);
}

HARNESS_MAIN("lane_reserve", OF_EACH_LANE(test_a_message_is_written_into_the_ring_itself),
             OF_EACH_LANE(test_less_may_be_committed_than_was_reserved),
             TEST(test_each_type_and_framing_can_be_written_in_place),
             TEST(test_what_a_framing_cannot_carry_is_refused_at_the_commit),
             TEST(test_nodes_framing_cannot_be_written_in_place),
             OF_EACH_LANE(test_a_reservation_is_used_once_and_in_turn),
             OF_EACH_LANE(test_more_than_the_ring_holds_can_be_reserved),
             OF_EACH_LANE(test_a_reservation_waits_for_room_until_the_deadline),
             OF_EACH_LANE(test_what_is_corked_may_be_written_in_place),
             OF_EACH_LANE(test_a_reservation_crosses_the_switch),
             OF_EACH_LANE(test_a_trusted_peer_is_received_without_a_copy),
             OF_EACH_LANE(test_a_view_is_kept_while_much_is_sent),
             OF_EACH_LANE(test_views_and_copies_keep_their_order),
             OF_EACH_LANE(test_a_wake_up_is_sent_again_while_a_message_is_being_written))
