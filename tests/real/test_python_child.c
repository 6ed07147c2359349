/* SPDX-License-Identifier: MIT */
/* A child in Python that speaks by multiprocessing.connection: see connection_child.py. */
#include "partner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHILD SCRIPT("connection_child.py")

static dx_process *start_scene(char *scene, size_t message_limit)
{
    const dx_process_options options = {
        .channel = {.framing = DX_FRAMING_PYTHON, .message_limit = message_limit},
        .handover = DX_HANDOVER_ARGV,
    };

    return start(ARGV("python3", CHILD, scene, "{fd}"), &options);
}

/* It answers with the bytes in reverse, so it has seen them as one message. */
static void send_and_expect_reverse(dx_channel *channel, size_t size)
{
    unsigned char *bytes = pattern(size);

    send_bytes(channel, bytes, size);
    dx_message message = receive(channel);
    const unsigned char *answer = message.data;
    size_t same = 0;

    ck_assert_uint_eq(message.size, size);
    while (same < size && answer[same] == bytes[size - 1 - same])
        same++;
    ck_assert_msg(same == size, "byte %zu of %zu differs", same, size);
    free(bytes);
}

/* Python sends the length alone if the message is longer than 16,384 bytes. */
static const size_t sizes[] = {0,     1,     3,     4,      16383,  16384,   16385,
                               65535, 65536, 65537, 102400, 212992, 1 << 20, 5 << 20};

static void reverse_all(dx_process *process)
{
    dx_channel *channel = dx_process_channel(process);

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        send_and_expect_reverse(channel, sizes[i]);
    ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
    expect_text(channel, "late");
    expect_end(channel);
    expect_exit(process, 3);
}

START_TEST(test_bytes_of_every_size_go_both_ways)
{
    NEED("python3");
    reverse_all(start_scene("reverse", 0));
}
END_TEST

START_TEST(test_two_one_way_pipes_do_as_well)
{
    const dx_process_options options = {
        .channel.framing = DX_FRAMING_PYTHON,
        .handover = DX_HANDOVER_FDS,
    };

    NEED("python3");
    reverse_all(start(ARGV("python3", CHILD, "reverse", "3", "4"), &options));
}
END_TEST

START_TEST(test_messages_sent_ahead_are_answered_in_order)
{
    NEED("python3");
    dx_process *process = start_scene("reverse", 0);
    dx_channel *channel = dx_process_channel(process);

    for (char c = 'a'; c <= 'z'; c++)
        send_text(channel, (char[]){c, '.', '\0'});
    for (char c = 'a'; c <= 'z'; c++)
        expect_text(channel, (char[]){'.', c, '\0'});
    ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
    expect_text(channel, "late");
    expect_end(channel);
    expect_exit(process, 3);
}
END_TEST

/* Five MiB while nobody reads: neither side waits for the other. */
START_TEST(test_both_sides_may_send_much_before_either_receives)
{
    const size_t size = 5 << 20;

    NEED("python3");
    unsigned char *bytes = pattern(size);
    dx_process *process = start_scene("reverse", 0);
    dx_channel *channel = dx_process_channel(process);

    for (int i = 0; i < 3; i++)
        send_bytes(channel, bytes, size);
    for (int i = 0; i < 3; i++) {
        dx_message message = receive(channel);

        ck_assert_uint_eq(message.size, size);
        ck_assert_uint_eq(((const unsigned char *)message.data)[0], bytes[size - 1]);
        ck_assert_uint_eq(((const unsigned char *)message.data)[size - 1], bytes[0]);
    }
    free(bytes);
    ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
    expect_text(channel, "late");
    expect_end(channel);
    expect_exit(process, 3);
}
END_TEST

/* What send() pickled is bytes to us, and the same object again to recv(). */
START_TEST(test_objects_survive_the_way_through_us)
{
    NEED("python3");
    dx_process *process = start_scene("objects", 0);
    dx_channel *channel = dx_process_channel(process);
    dx_message message = receive(channel);

    ck_assert_uint_gt(message.size, 200000);
    send_bytes(channel, message.data, message.size);
    expect_end(channel);
    expect_exit(process, 0);
}
END_TEST

START_TEST(test_a_last_message_arrives_after_its_sender_has_gone)
{
    NEED("python3");
    dx_process *process = start_scene("large", 0);
    dx_channel *channel = dx_process_channel(process);
    dx_message message = receive(channel);

    ck_assert_uint_eq(message.size, 5 << 20);
    expect_end(channel);
    expect_exit(process, 0);
}
END_TEST

/* A receiver in Python bounds a message too, and then closes its end. */
START_TEST(test_a_message_over_pythons_own_bound_ends_the_conversation)
{
    NEED("python3");
    dx_process *process = start_scene("limit", 0);
    dx_channel *channel = dx_process_channel(process);

    send_text(channel, "0123456789");
    send_text(channel, "0123456789a");
    expect_end(channel);
    expect_exit(process, 5);
}
END_TEST

START_TEST(test_a_length_of_two_gib_is_understood_and_refused)
{
    dx_message message;

    NEED("python3");
    dx_process *process = start_scene("length", 0);
    dx_channel *channel = dx_process_channel(process);

    ck_assert_int_eq(dx_recv(channel, &message, PATIENCE_MS), -EPROTO);
    const char *sentence = dx_channel_explain(channel);

    ck_assert_msg(strstr(sentence, "2147483648") != NULL, "%s", sentence);
    dx_process_close(process);
}
END_TEST

START_TEST(test_a_message_over_the_limit_is_refused_before_it_is_stored)
{
    dx_message message;

    NEED("python3");
    dx_process *process = start_scene("large", 1 << 20);
    dx_channel *channel = dx_process_channel(process);

    ck_assert_int_eq(dx_recv(channel, &message, PATIENCE_MS), -EPROTO);
    ck_assert_msg(strstr(dx_channel_explain(channel), "5242880") != NULL, "%s",
                  dx_channel_explain(channel));
    dx_process_close(process);
}
END_TEST

HARNESS_MAIN("real: python as a child", TEST_WITHIN(test_bytes_of_every_size_go_both_ways, 60),
             TEST_WITHIN(test_two_one_way_pipes_do_as_well, 60),
             TEST(test_messages_sent_ahead_are_answered_in_order),
             TEST_WITHIN(test_both_sides_may_send_much_before_either_receives, 60),
             TEST(test_objects_survive_the_way_through_us),
             TEST(test_a_last_message_arrives_after_its_sender_has_gone),
             TEST(test_a_message_over_pythons_own_bound_ends_the_conversation),
             TEST(test_a_length_of_two_gib_is_understood_and_refused),
             TEST(test_a_message_over_the_limit_is_refused_before_it_is_stored))
