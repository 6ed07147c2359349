/* SPDX-License-Identifier: MIT */
/*
 * How a conversation comes into the fast lane, who stays on the socket, and that nothing but the
 * speed changes on the way: every message and descriptor arrives, once and in order.
 */
#include "lanes.h"

#include <sys/resource.h>
#include <unistd.h>

START_TEST(test_a_conversation_moves_when_it_has_shown_to_be_worth_it)
{
    struct pair pair = open_pair(DX_STREAM);
    unsigned rounds = 0;

    ck_assert_uint_eq(dxi_lane_worth, 32);
    ck_assert_int_eq(dx_channel_is_fast(pair.near), 0);
    for (; rounds < 200 && dx_channel_is_fast(pair.near) == 0; rounds++) {
        ck_assert_uint_eq(rounds < 10 ? lane_mappings() : 0, 0);
        carry(pair.near, pair.far, rounds, 100);
        carry(pair.far, pair.near, rounds, 100);
    }
    ck_assert_uint_ge(rounds, 10);
    ck_assert_uint_lt(rounds, 60);
    make_fast(&pair);
    close_pair(&pair);
    ck_assert_uint_eq(lane_mappings(), 0);
}
END_TEST

START_TEST(test_a_short_conversation_costs_no_memory)
{
    struct pair pair = open_pair(DX_STREAM);

    for (unsigned i = 0; i < 5; i++) {
        carry(pair.near, pair.far, i, 100);
        carry(pair.far, pair.near, i, 100);
    }
    ck_assert_uint_eq(lane_mappings(), 0);
    close_pair(&pair);
}
END_TEST

/* What has no lane has none after any number of messages. */
static void expect_none(const dx_channel_options *options)
{
    struct pair pair = open_pair_with(options);

    for (unsigned i = 0; i < 200; i++) {
        carry(pair.near, pair.far, i, 100);
        carry(pair.far, pair.near, i, 100);
    }
    ck_assert_int_eq(dx_channel_is_fast(pair.near), 0);
    ck_assert_int_eq(dx_channel_is_fast(pair.far), 0);
    ck_assert_uint_eq(lane_mappings(), 0);
    close_pair(&pair);
}

START_TEST(test_datagrams_and_other_framings_stay_on_the_socket)
{
    dxi_lane_worth = 0;
    expect_none(&(dx_channel_options){.type = DX_DGRAM});
    expect_none(&(dx_channel_options){.framing = DX_FRAMING_U32});
    expect_none(&(dx_channel_options){.framing = DX_FRAMING_NETSTRING});
}
END_TEST

EACH_LANE(test_whoever_asks_for_it_stays_on_the_socket)
{
    expect_none(&(dx_channel_options){.type = type, .socket_only = true});
}

START_TEST(test_a_size_that_is_no_power_of_two_is_refused)
{
    const size_t wrong[] = {1,
                            4096,
                            DX_RING_SIZE_MIN - 1,
                            DX_RING_SIZE_MIN + 1,
                            DX_RING_SIZE_MIN * 3,
                            DX_RING_SIZE_MAX + 1,
                            DX_RING_SIZE_MAX * 2,
                            SIZE_MAX};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        dx_failure failure = {0};
        dx_channel *ends[2];

        ck_assert_int_eq(dx_channel_pair(ends, &(dx_channel_options){.ring_size = wrong[i],
                                                                     .failure = &failure}),
                         -EINVAL);
        ck_assert_int_eq(failure.error, -EINVAL);
        ck_assert_msg(strstr(failure.text, "no power of two") != NULL, "it says '%s'",
                      failure.text);
    }
}
END_TEST

EACH_LANE(test_rings_of_each_size_carry_messages_that_are_larger)
{
    const size_t sizes[] = {DX_RING_SIZE_MIN, DX_RING_SIZE_MIN * 2, MIB * 2, DX_RING_SIZE_MAX};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct pair pair =
            open_lane_with(&(dx_channel_options){.type = type, .ring_size = sizes[i]});

        ck_assert_uint_eq(pair.near->lane.region.ring_size, sizes[i]);
        ck_assert_uint_eq(pair.far->lane.region.ring_size, sizes[i]);
        carry(pair.near, pair.far, 1, 5 * MIB);
        carry(pair.far, pair.near, 2, 5 * MIB);
        close_pair(&pair);
    }
}

static const size_t edges[] = {0,     1,     15,     16,     17,     255,    4095,   4096,
                               16367, 16368, 16369,  16384,  32767,  65519,  65520,  65536,
                               65537, 1000,  131072, 262128, 262144, 300000, 524289, 1048576};

/* Of numbers that are tried: all of them, where that takes no longer than the rest. */
static unsigned step(void)
{
    return slowness() > 1 ? 3 : 1;
}

/* Each number of messages under way when the switch comes. */
EACH_LANE(test_messages_of_every_size_cross_the_switch)
{
    size_t count = sizeof(edges) / sizeof(*edges);

    for (unsigned worth = 0; worth < 40; worth += step()) {
        struct pair pair = open_pair(type);

        dxi_lane_worth = worth;
        for (unsigned i = 0; i < 60; i++) {
            carry(pair.near, pair.far, i, edges[(i + worth) % count]);
            if (i % 3 != worth % 3)
                carry(pair.far, pair.near, i, edges[(i * 7 + worth) % count]);
        }
        ck_assert_int_eq(dx_channel_is_fast(pair.near), 1);
        ck_assert_int_eq(dx_channel_is_fast(pair.far), 1);
        close_pair(&pair);
    }
}

/* Many are on their way in both directions at once while it happens. */
EACH_LANE(test_what_is_on_its_way_stays_in_order_across_the_switch)
{
    for (unsigned ahead = 1; ahead < 40; ahead += step()) {
        struct pair pair = open_pair(type);
        unsigned sent = 0;
        unsigned heard = 0;

        for (; heard < 200; heard++) {
            for (; sent < heard + ahead && sent < 200; sent++) {
                ck_assert_int_eq(send_numbered(pair.near, sent, sent * 37 % 500, 1000), 0);
                ck_assert_int_eq(send_numbered(pair.far, sent, sent * 41 % 500, 1000), 0);
            }
            expect_numbered(pair.far, heard, heard * 37 % 500, 1000);
            expect_numbered(pair.near, heard, heard * 41 % 500, 1000);
        }
        ck_assert_int_eq(dx_channel_is_fast(pair.near), 1);
        ck_assert_int_eq(dx_channel_is_fast(pair.far), 1);
        close_pair(&pair);
    }
}

static void send_notes(dx_channel *channel, unsigned number, size_t count)
{
    int notes[253];
    dx_message message =
        with_descriptors(numbered_payload(number, number % 700), number % 700, notes, count);

    for (size_t i = 0; i < count; i++)
        notes[i] = make_note(number + (unsigned)i);
    int status = dx_send_message(channel, &message, 1000);

    ck_assert_msg(status == 0, "message %u: %d: %s", number, status, dx_channel_explain(channel));
}

static void expect_notes(dx_channel *channel, unsigned number, size_t count)
{
    dx_message message;
    int status = dx_recv(channel, &message, 1000);

    ck_assert_msg(status == 1, "message %u: %d: %s", number, status, dx_channel_explain(channel));
    ck_assert(is_numbered(&message, number, number % 700));
    ck_assert_uint_eq(message.descriptor_count, count);
    for (size_t i = 0; i < count; i++) {
        ck_assert(is_note(message.descriptors[i], number + (unsigned)i));
        ck_assert(is_cloexec(message.descriptors[i]));
    }
}

EACH_LANE(test_descriptors_keep_to_their_message_across_the_switch)
{
    const dx_channel_options options = {.type = type, .descriptor_limit = 8};

    for (unsigned ahead = 1; ahead < 12; ahead++) {
        struct pair pair = open_pair_with(&options);
        unsigned sent = 0;

        dxi_lane_worth = ahead;
        for (unsigned heard = 0; heard < 100; heard++) {
            for (; sent < heard + ahead && sent < 100; sent++) {
                send_notes(pair.near, sent, sent % 4);
                send_notes(pair.far, sent, (sent + 1) % 3);
            }
            expect_notes(pair.far, heard, heard % 4);
            expect_notes(pair.near, heard, (heard + 1) % 3);
        }
        ck_assert_int_eq(dx_channel_is_fast(pair.near), 1);
        ck_assert_int_eq(dx_channel_is_fast(pair.far), 1);
        close_pair(&pair);
    }
}

EACH_LANE(test_as_many_descriptors_as_there_may_be_come_at_once)
{
    struct pair pair =
        open_lane_with(&(dx_channel_options){.type = type, .descriptor_limit = DX_DESCRIPTORS_MAX});

    for (unsigned i = 0; i < 3; i++) {
        send_notes(pair.near, i * 5, DX_DESCRIPTORS_MAX);
        send_notes(pair.near, i * 5 + 1, 0);
        expect_notes(pair.far, i * 5, DX_DESCRIPTORS_MAX);
        expect_notes(pair.far, i * 5 + 1, 0);
    }
    /* Those that nobody receives are closed with the channel: the harness looks. */
    send_notes(pair.near, 1, 200);
    send_notes(pair.far, 1, 200);
    close_pair(&pair);
}

EACH_LANE(test_descriptors_that_are_not_welcome_are_refused_to_the_sender)
{
    struct pair pair = open_lane(type);
    int note = make_note(1);
    dx_message message = with_descriptors("x", 1, &note, 1);

    ck_assert_int_eq(dx_send_message(pair.near, &message, 1000), -EPERM);
    ck_assert_int_eq(dx_send_message(pair.far, &message, 1000), -EPERM);
    ck_assert(is_note(note, 1));
    close(note);
    carry(pair.near, pair.far, 1, 10);
    carry(pair.far, pair.near, 1, 10);
    close_pair(&pair);
}

EACH_LANE(test_the_bounds_of_messages_hold_in_the_lane)
{
    struct pair pair = open_lane_with(&(dx_channel_options){.type = type, .message_limit = 5000});

    ck_assert_int_eq(send_numbered(pair.near, 1, 5001, 1000), -EMSGSIZE);
    carry(pair.near, pair.far, 2, 5000);
    carry(pair.far, pair.near, 3, 5000);
    close_pair(&pair);
}

static int no_region(size_t ring_size, struct dxi_region *ret, int *ret_fd)
{
    (void)ring_size, (void)ret, (void)ret_fd;
    return -ENOMEM;
}

static int no_mapping(int fd, size_t ring_size, struct dxi_region *ret)
{
    (void)fd, (void)ring_size, (void)ret;
    return -EPERM;
}

EACH_LANE(test_memory_that_cannot_be_had_is_no_failure)
{
    static struct dxi_os table;

    for (int maker = 0; maker < 2; maker++) {
        table = dxi_linux;
        if (maker)
            table.region_create = no_region;
        else
            table.region_map = no_mapping;
        dxi_os = &table;
        expect_none(&(dx_channel_options){.type = type});
        expect_none(&(dx_channel_options){.type = type, .descriptor_limit = 2});
    }
}

/* The offer's descriptor is lost on its way. */
EACH_LANE(test_a_full_table_of_descriptors_is_no_failure)
{
    struct pair pair = open_pair(type);
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = (rlim_t)dup(0);
    close((int)limit.rlim_cur);
    setrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned i = 0; i < 100; i++) {
        carry(pair.near, pair.far, i, 100);
        carry(pair.far, pair.near, i, 100);
    }
    ck_assert_int_eq(dx_channel_is_fast(pair.near), 0);
    close_pair(&pair);
}

static int stay_and_count(dx_channel *parent, void *context)
{
    dx_message message;
    int count = 0;

    (void)context;
    while (dx_recv(parent, &message, DX_FOREVER) == 1)
        harness_child_assert(is_numbered(&message, (unsigned)count++, 100));
    harness_child_assert(dx_channel_is_fast(parent) == 0);
    harness_child_assert(lane_mappings() == 0);
    return 0;
}

static void one_side_only(dx_channel_type type, bool parent_only, bool child_only)
{
    const dx_channel_options ours = {.type = type, .socket_only = parent_only};
    const dx_channel_options theirs = {.socket_only = child_only};
    struct family family = start_family_with(&ours, &theirs, stay_and_count, NULL);

    for (unsigned i = 0; i < 200; i++)
        ck_assert_int_eq(send_numbered(family.channel, i, 100, 1000), 0);
    ck_assert_int_eq(dx_channel_is_fast(family.channel), 0);
    ck_assert_uint_eq(lane_mappings(), 0);
    end_family(&family);
}

EACH_LANE(test_one_side_that_declines_is_enough)
{
    one_side_only(type, true, false);
    one_side_only(type, false, true);
    one_side_only(type, true, true);
}

HARNESS_MAIN("lane", TEST(test_a_conversation_moves_when_it_has_shown_to_be_worth_it),
             TEST(test_a_short_conversation_costs_no_memory),
             TEST(test_datagrams_and_other_framings_stay_on_the_socket),
             OF_EACH_LANE(test_whoever_asks_for_it_stays_on_the_socket),
             TEST(test_a_size_that_is_no_power_of_two_is_refused),
             OF_EACH_LANE(test_rings_of_each_size_carry_messages_that_are_larger),
             OF_EACH_LANE_WITHIN(test_messages_of_every_size_cross_the_switch, 60),
             OF_EACH_LANE(test_what_is_on_its_way_stays_in_order_across_the_switch),
             OF_EACH_LANE(test_descriptors_keep_to_their_message_across_the_switch),
             OF_EACH_LANE(test_as_many_descriptors_as_there_may_be_come_at_once),
             OF_EACH_LANE(test_descriptors_that_are_not_welcome_are_refused_to_the_sender),
             OF_EACH_LANE(test_the_bounds_of_messages_hold_in_the_lane),
             OF_EACH_LANE(test_memory_that_cannot_be_had_is_no_failure),
             OF_EACH_LANE(test_a_full_table_of_descriptors_is_no_failure),
             OF_EACH_LANE(test_one_side_that_declines_is_enough))
