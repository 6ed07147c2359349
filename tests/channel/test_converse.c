/* SPDX-License-Identifier: MIT */
/*
 * Messages arrive whole, in order, of every size, both ways; what is no message is refused.
 */
#include "support.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Around the borders of headers, pages, the kernel's buffers and the cut into packets. */
static const size_t sizes[] = {
    0,      1,      2,      15,     16,     17,     255,     4079,   4080,    4095,   4096,
    4097,   16383,  16384,  16385,  65519,  65520,  65535,   65536,  65537,   131072, 212943,
    212944, 212945, 212959, 212960, 212961, 219263, 219264,  219265, 262127,  262128, 262129,
    262143, 262144, 262145, 425887, 425888, 425889, MIB - 1, MIB,    MIB + 1, 5 * MIB};

#define SIZES (sizeof(sizes) / sizeof(*sizes))

EACH_TYPE(test_every_size_arrives_whole)
{
    struct pair pair = open_pair(type);

    for (unsigned i = 0; i < SIZES; i++) {
        carry(pair.near, pair.far, i, sizes[i]);
        carry(pair.far, pair.near, i + 1000, sizes[SIZES - 1 - i]);
    }
    close_pair(&pair);
}

EACH_TYPE(test_every_small_size_arrives_whole)
{
    struct pair pair = open_pair(type);

    for (unsigned size = 0; size < 600; size++) {
        ck_assert_int_eq(send_numbered(pair.near, size, size, DX_NOW), 0);
        expect_numbered(pair.far, size, size, DX_NOW);
    }
    close_pair(&pair);
}

EACH_TYPE(test_an_empty_message_is_a_message)
{
    struct pair pair = open_pair(type);
    dx_message message = {.size = 99};

    ck_assert_int_eq(dx_send(pair.near, NULL, 0, DX_NOW), 0);
    ck_assert_int_eq(dx_send(pair.near, "", 0, DX_NOW), 0);
    ck_assert_int_eq(dx_send_message(pair.near, &(dx_message){0}, DX_NOW), 0);
    for (int i = 0; i < 3; i++) {
        message.data = NULL;
        ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
        ck_assert_uint_eq(message.size, 0);
        ck_assert_ptr_nonnull(message.data);
        ck_assert_uint_eq(message.descriptor_count, 0);
        ck_assert_uint_eq(message.descriptors_lost, 0);
    }
    expect_silence(pair.far);
    close_pair(&pair);
}

EACH_TYPE(test_empty_messages_before_the_end_are_not_the_end)
{
    struct pair pair = open_pair(type);

    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(dx_send(pair.near, NULL, 0, DX_NOW), 0);
    pair.near = dx_channel_close(pair.near);
    for (unsigned i = 0; i < 3; i++)
        expect_numbered(pair.far, i, 0, DX_NOW);
    expect_end(pair.far, DX_NOW);
    expect_end(pair.far, DX_NOW);
    close_pair(&pair);
}

EACH_TYPE(test_messages_keep_their_order_both_ways)
{
    struct pair pair = open_pair(type);

    srandom(1);
    for (unsigned round = 0; round < 100; round++) {
        size_t there[10], back[10];

        for (unsigned i = 0; i < 10; i++) {
            there[i] = (size_t)random() % 3000;
            back[i] = (size_t)random() % 3000;
            ck_assert_int_eq(send_numbered(pair.near, round * 10 + i, there[i], 1000), 0);
            ck_assert_int_eq(send_numbered(pair.far, round * 10 + i + 7, back[i], 1000), 0);
        }
        for (unsigned i = 0; i < 10; i++) {
            expect_numbered(pair.far, round * 10 + i, there[i], DX_NOW);
            expect_numbered(pair.near, round * 10 + i + 7, back[i], DX_NOW);
        }
    }
    expect_silence(pair.near);
    expect_silence(pair.far);
    close_pair(&pair);
}

EACH_TYPE(test_the_bytes_are_copied_on_sending)
{
    struct pair pair = open_pair(type);
    char text[] = "before";

    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(dx_send(pair.near, text, 6, DX_NOW), 0);
    memcpy(text, "after.", 6);
    ck_assert_int_eq(dx_flush(pair.near, DX_NOW), 0);
    dx_message message;

    ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
    ck_assert_mem_eq(message.data, "before", 6);
    close_pair(&pair);
}

EACH_TYPE(test_a_message_of_the_limit_passes_and_one_byte_more_is_refused)
{
    struct pair pair = open_pair(type);

    carry(pair.near, pair.far, 1, DX_MESSAGE_LIMIT_DEFAULT);
    ck_assert_int_eq(send_numbered(pair.near, 2, DX_MESSAGE_LIMIT_DEFAULT + 1, DX_FOREVER),
                     -EMSGSIZE);
    expect_explained(pair.near, "a message of 16777217 bytes; the limit is 16777216");
    expect_silence(pair.far);
    carry(pair.near, pair.far, 3, 100);
    carry(pair.far, pair.near, 4, DX_MESSAGE_LIMIT_DEFAULT);
    close_pair(&pair);
}

EACH_TYPE(test_a_small_limit_holds_to_the_byte)
{
    static const size_t limits[] = {1, 2, 15, 16, 17, 1000, 65536, 262128, 300000};

    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        struct pair pair =
            open_pair_with(&(dx_channel_options){.type = type, .message_limit = limits[i]});

        carry(pair.near, pair.far, 1, limits[i]);
        ck_assert_int_eq(send_numbered(pair.near, 2, limits[i] + 1, DX_NOW), -EMSGSIZE);
        carry(pair.near, pair.far, 3, 0);
        close_pair(&pair);
    }
}

EACH_TYPE(test_a_limit_above_the_default_is_kept)
{
    dx_channel_options options = {.type = type, .message_limit = DX_MESSAGE_LIMIT_MAX};
    struct pair pair = open_pair_with(&options);

    carry(pair.near, pair.far, 1, DX_MESSAGE_LIMIT_DEFAULT + 1);
    carry(pair.near, pair.far, 2, 20 * MIB + 3);
    close_pair(&pair);
}

EACH_TYPE(test_the_smaller_limit_of_the_peer_is_learnt_from_its_greeting)
{
    int fds[2];
    struct pair pair;

    raw_pair(type, fds);
    ck_assert_int_eq(dx_channel_attach(&pair.near, fds[0], fds[0], NULL), 0);
    ck_assert_int_eq(dx_channel_attach(&pair.far, fds[1], fds[1],
                                       &(dx_channel_options){.message_limit = 1000}),
                     0);
    expect_silence(pair.near);
    ck_assert_int_eq(send_numbered(pair.near, 1, 1001, DX_NOW), -EMSGSIZE);
    expect_explained(pair.near, "a message of 1001 bytes; the peer accepts at most 1000");
    carry(pair.near, pair.far, 2, 1000);
    ck_assert_int_eq(send_numbered(pair.far, 3, 1001, DX_NOW), -EMSGSIZE);
    expect_explained(pair.far, "a message of 1001 bytes; the limit is 1000");
    close_pair(&pair);
}

/* Large messages are worth a look at the greeting before they leave, even if nobody received yet. */
EACH_TYPE(test_a_large_first_message_meets_the_limit_of_the_peer)
{
    int fds[2];
    struct pair pair;

    raw_pair(type, fds);
    ck_assert_int_eq(dx_channel_attach(&pair.near, fds[0], fds[0], NULL), 0);
    ck_assert_int_eq(dx_channel_attach(&pair.far, fds[1], fds[1],
                                       &(dx_channel_options){.message_limit = 1000}),
                     0);
    ck_assert_int_eq(send_numbered(pair.near, 1, MIB, DX_NOW), -EMSGSIZE);
    carry(pair.near, pair.far, 2, 10);
    close_pair(&pair);
}

EACH_TYPE(test_a_small_send_buffer_makes_no_difference)
{
    struct pair pair = open_pair_with(&(dx_channel_options){.type = type, .socket_buffer = 1});

    for (unsigned i = 0; i < SIZES - 1; i++)
        if (sizes[i] < 300000)
            carry(pair.near, pair.far, i, sizes[i]);
    close_pair(&pair);
}

EACH_TYPE(test_a_large_send_buffer_makes_no_difference)
{
    dx_channel_options options = {.type = type, .socket_buffer = 4 * MIB};
    struct pair pair = open_pair_with(&options);

    for (unsigned i = 0; i < SIZES; i++)
        carry(pair.near, pair.far, i, sizes[i]);
    close_pair(&pair);
}

EACH_TYPE(test_two_sockets_make_one_channel)
{
    int first[2], second[2];
    struct pair pair;

    raw_pair(type, first);
    raw_pair(type, second);
    ck_assert_int_eq(dx_channel_attach(&pair.near, first[0], second[0], NULL), 0);
    ck_assert_int_eq(dx_channel_attach(&pair.far, second[1], first[1], NULL), 0);
    ck_assert_int_eq(dx_channel_fd(pair.near), first[0]);
    ck_assert_int_eq(dx_channel_write_fd(pair.near), second[0]);
    for (unsigned i = 0; i < SIZES; i += 3) {
        carry(pair.near, pair.far, i, sizes[i]);
        carry(pair.far, pair.near, i, sizes[i]);
    }
    ck_assert_int_eq(dx_channel_end(pair.near, 1000), 0);
    expect_end(pair.far, 1000);
    carry(pair.far, pair.near, 99, 1000);
    pair.far = dx_channel_close(pair.far);
    expect_end(pair.near, 1000);
    close_pair(&pair);
}

EACH_TYPE(test_a_message_without_its_bytes_is_refused)
{
    struct pair pair = open_pair(type);

    ck_assert_int_eq(dx_send(pair.near, NULL, 1, DX_NOW), -EINVAL);
    expect_explained(pair.near, "without its bytes");
    ck_assert_int_eq(dx_send_message(pair.near, NULL, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_send_message(pair.near, &(dx_message){.descriptor_count = 1}, DX_NOW),
                     -EINVAL);
    ck_assert_int_eq(dx_recv(pair.near, NULL, DX_NOW), -EINVAL);
    expect_explained(pair.near, "needs a message");
    carry(pair.near, pair.far, 1, 10);
    close_pair(&pair);
}

START_TEST(test_no_channel_is_an_invalid_argument_everywhere)
{
    dx_message message = {0};

    ck_assert_int_eq(dx_send(NULL, "a", 1, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_send_message(NULL, &message, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_recv(NULL, &message, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_cork(NULL), -EINVAL);
    ck_assert_int_eq(dx_flush(NULL, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_channel_end(NULL, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_channel_fd(NULL), -EINVAL);
    ck_assert_int_eq(dx_channel_write_fd(NULL), -EINVAL);
    ck_assert_int_eq(dx_channel_events(NULL), -EINVAL);
    ck_assert_int_eq(dx_channel_timeout_ms(NULL), -EINVAL);
    ck_assert_int_eq(dx_channel_process(NULL), -EINVAL);
    ck_assert_ptr_null(dx_channel_close(NULL));
    ck_assert_str_ne(dx_channel_explain(NULL), "");
    ck_assert_int_eq(dx_message_take(NULL, 0), -EINVAL);
    ck_assert_int_eq(dx_message_take(&message, 0), -EINVAL);
}
END_TEST

EACH_TYPE(test_nothing_is_explained_before_anything_failed)
{
    struct pair pair = open_pair(type);

    carry(pair.near, pair.far, 1, 100);
    ck_assert_str_eq(dx_channel_explain(pair.far), "");
    close_pair(&pair);
}

EACH_TYPE(test_an_end_can_be_passed_on_and_attached_again)
{
    int fds[2];
    dx_channel *near, *far;

    /* What one process cannot know: whether its socket came from dx_channel_pair(). */
    raw_pair(type, fds);
    ck_assert_int_eq(dx_channel_attach(&near, fds[0], fds[0], NULL), 0);
    ck_assert_int_eq(send_numbered(near, 1, 500, DX_NOW), 0);
    ck_assert_int_eq(dx_channel_attach(&far, fds[1], fds[1], NULL), 0);
    expect_numbered(far, 1, 500, DX_NOW);
    carry(far, near, 2, 500);
    dx_channel_close(near);
    dx_channel_close(far);
}

HARNESS_MAIN("converse", OF_EACH_TYPE(test_every_size_arrives_whole),
             OF_EACH_TYPE(test_every_small_size_arrives_whole),
             OF_EACH_TYPE(test_an_empty_message_is_a_message),
             OF_EACH_TYPE(test_empty_messages_before_the_end_are_not_the_end),
             OF_EACH_TYPE(test_messages_keep_their_order_both_ways),
             OF_EACH_TYPE(test_the_bytes_are_copied_on_sending),
             OF_EACH_TYPE(test_a_message_of_the_limit_passes_and_one_byte_more_is_refused),
             OF_EACH_TYPE(test_a_small_limit_holds_to_the_byte),
             OF_EACH_TYPE(test_a_limit_above_the_default_is_kept),
             OF_EACH_TYPE(test_the_smaller_limit_of_the_peer_is_learnt_from_its_greeting),
             OF_EACH_TYPE(test_a_large_first_message_meets_the_limit_of_the_peer),
             OF_EACH_TYPE(test_a_small_send_buffer_makes_no_difference),
             OF_EACH_TYPE(test_a_large_send_buffer_makes_no_difference),
             OF_EACH_TYPE(test_two_sockets_make_one_channel),
             OF_EACH_TYPE(test_a_message_without_its_bytes_is_refused),
             OF_EACH_TYPE(test_nothing_is_explained_before_anything_failed),
             OF_EACH_TYPE(test_an_end_can_be_passed_on_and_attached_again),
             TEST(test_no_channel_is_an_invalid_argument_everywhere))
