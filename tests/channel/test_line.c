/* SPDX-License-Identifier: MIT */
/*
 * The framing of lines: what filters and shells speak, and what it cannot carry.
 */
#include "support.h"

#include "meter.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const dx_channel_options lines = {.framing = DX_FRAMING_LINE};

static void say_bytes(int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void expect_line(dx_channel *channel, const char *text)
{
    dx_message message;
    int status = dx_recv(channel, &message, 1000);

    ck_assert_msg(status == 1, "%d instead of '%s': %s", status, text, dx_channel_explain(channel));
    ck_assert_uint_eq(message.size, strlen(text));
    if (message.size > 0)
        ck_assert_mem_eq(message.data, text, message.size);
    ck_assert_ptr_nonnull(message.data);
    ck_assert_uint_eq(message.descriptor_count, 0);
}

START_TEST(test_a_message_is_a_line)
{
    char bytes[64] = "";
    int peer;
    dx_channel *channel = open_with_raw_peer(DX_STREAM, &lines, &peer);

    ck_assert_int_eq(dx_send(channel, "one", 3, DX_NOW), 0);
    ck_assert_int_eq(dx_send(channel, NULL, 0, DX_NOW), 0);
    ck_assert_int_eq(dx_send(channel, "three\r", 6, DX_NOW), 0);
    /* Nobody greets: the first byte is the user's. */
    ck_assert_int_eq(recv(peer, bytes, sizeof(bytes), 0), 12);
    ck_assert_mem_eq(bytes, "one\n\nthree\r\n", 12);

    say_bytes(peer, "eins\n\nzwei und drei\nvier");
    expect_line(channel, "eins");
    expect_line(channel, "");
    expect_line(channel, "zwei und drei");
    expect_silence(channel);
    say_bytes(peer, "zehn\n");
    expect_line(channel, "vierzehn");
    close(peer);
    expect_end(channel, 1000);
    dx_channel_close(channel);
}
END_TEST

START_TEST(test_a_last_line_without_its_end_counts)
{
    int peer;
    dx_channel *channel = open_with_raw_peer(DX_STREAM, &lines, &peer);

    say_bytes(peer, "first\nlast");
    ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
    expect_line(channel, "first");
    expect_line(channel, "last");
    expect_end(channel, 1000);
    ck_assert_int_eq(dx_send(channel, "late", 4, DX_NOW), 0);
    close(peer);
    dx_channel_close(channel);
}
END_TEST

START_TEST(test_bytes_that_hold_an_end_of_line_are_refused)
{
    struct pair pair = open_pair_with(&lines);

    ck_assert_int_eq(dx_send(pair.near, "a\nb", 3, DX_NOW), -EINVAL);
    expect_explained(pair.near, "the framing 'line' cannot carry these bytes");
    ck_assert_int_eq(dx_send(pair.near, "\n", 1, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(dx_send(pair.near, "a\n", 2, DX_NOW), -EINVAL);
    expect_explained(pair.near, "cannot carry");
    ck_assert_int_eq(dx_send(pair.near, "ab", 2, DX_NOW), 0);
    ck_assert_int_eq(dx_flush(pair.near, DX_NOW), 0);
    expect_line(pair.far, "ab");
    expect_silence(pair.far);
    close_pair(&pair);
}
END_TEST

START_TEST(test_lines_carry_no_descriptors)
{
    struct pair pair = open_pair_with(&lines);
    int note = make_note(1);
    dx_message message = with_descriptors("x", 1, &note, 1);

    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -EOPNOTSUPP);
    expect_explained(pair.near, "the framing 'line' carries no descriptors");
    ck_assert(is_note(note, 1));
    close(note);
    close_pair(&pair);
}
END_TEST

START_TEST(test_a_line_over_the_limit_breaks_the_protocol)
{
    dx_channel_options options = {.framing = DX_FRAMING_LINE, .message_limit = 10};

    for (int ended = 0; ended < 2; ended++) {
        int peer;
        dx_channel *channel = open_with_raw_peer(DX_STREAM, &options, &peer);

        ck_assert_int_eq(dx_send(channel, "0123456789x", 11, DX_NOW), -EMSGSIZE);
        say_bytes(peer, "0123456789\n");
        say_bytes(peer, ended ? "0123456789x\n" : "0123456789x");
        expect_line(channel, "0123456789");
        for (int i = 0; i < 2; i++)
            expect_error(channel, -EPROTO,
                         "the peer sent a line of more than 10 bytes, which is the limit", DX_NOW);
        ck_assert_int_eq(dx_send(channel, "x", 1, DX_NOW), -EPROTO);
        close(peer);
        dx_channel_close(channel);
    }
}
END_TEST

START_TEST(test_a_line_without_end_costs_the_limit)
{
    meter_install();
    dx_channel_options options = {.framing = DX_FRAMING_LINE, .message_limit = MIB};
    int peer;
    dx_channel *channel = open_with_raw_peer(DX_STREAM, &options, &peer);
    char bytes[KIB];
    dx_message message;
    int status = -ETIMEDOUT;

    memset(bytes, 'x', sizeof(bytes));
    for (int i = 0; i < 1100 && status == -ETIMEDOUT; i++) {
        ck_assert_int_eq(send(peer, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
        status = dx_recv(channel, &message, DX_NOW);
    }
    ck_assert_int_eq(status, -EPROTO);
    ck_assert_uint_le(meter.peak, 2 * MIB);
    close(peer);
    dx_channel_close(channel);
}
END_TEST

/* Each byte is looked at once: a long line that goes on byte by byte is not searched from its start. */
START_TEST(test_a_line_that_comes_byte_by_byte_takes_no_longer)
{
    if (harness_valgrind())
        HARNESS_SKIP("valgrind looks at the whole buffer for each byte");
    int peer;
    dx_channel *channel = open_with_raw_peer(DX_STREAM, &lines, &peer);
    size_t size = 15 * MIB, piece = 64 * KIB;
    char *text = malloc(size + 1);
    uint64_t start = now_ms();

    memset(text, 'y', size);
    text[size] = '\0';
    for (size_t i = 0; i < size; i += i + piece < size ? piece : 1) {
        /* The last of the pieces comes in bytes. */
        size_t part = i + piece < size ? piece : 1;

        ck_assert_int_eq(send(peer, text + i, part, MSG_NOSIGNAL), (ssize_t)part);
        ck_assert_int_eq(dx_channel_process(channel), 0);
    }
    say_bytes(peer, "\n");
    ck_assert_int_eq(dx_channel_process(channel), 1);
    expect_line(channel, text);
    ck_assert_uint_le(now_ms() - start, 2000 * (uint64_t)slowness());
    free(text);
    close(peer);
    dx_channel_close(channel);
}
END_TEST

START_TEST(test_large_lines_cross_in_pieces)
{
    struct pair pair = open_pair_with(&lines);
    size_t size = 3 * MIB;
    char *text = malloc(size);
    dx_message message;
    int status;

    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + i % 23);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(dx_send(pair.near, text, size, DX_NOW), 0);
        ck_assert_int_eq(dx_send(pair.near, "x", 1, DX_NOW), -ETIMEDOUT);
        while ((status = dx_recv(pair.far, &message, DX_NOW)) == -ETIMEDOUT)
            (void)dx_flush(pair.near, DX_NOW);
        ck_assert_int_eq(status, 1);
        ck_assert_uint_eq(message.size, size);
        ck_assert_mem_eq(message.data, text, size);
    }
    free(text);
    close_pair(&pair);
}
END_TEST

START_TEST(test_collected_lines_leave_together)
{
    meter_install();
    struct pair pair = open_pair_with(&lines);

    meter_restart();
    ck_assert_int_eq(dx_cork(pair.near), 0);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(dx_send(pair.near, "a line of some length", 21, DX_NOW), 0);
    ck_assert_int_eq(dx_flush(pair.near, DX_NOW), 0);
    ck_assert_uint_eq(meter.count[CALL_SEND], 1);
    for (int i = 0; i < 1000; i++)
        expect_line(pair.far, "a line of some length");
    close_pair(&pair);
}
END_TEST

START_TEST(test_every_other_byte_is_carried)
{
    struct pair pair = open_pair_with(&lines);
    unsigned char bytes[255];

    for (int i = 0; i < 255; i++)
        bytes[i] = (unsigned char)(i < '\n' ? i : i + 1);
    dx_message message;

    ck_assert_int_eq(dx_send(pair.near, bytes, sizeof(bytes), DX_NOW), 0);
    ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
    ck_assert_uint_eq(message.size, sizeof(bytes));
    ck_assert_mem_eq(message.data, bytes, sizeof(bytes));
    close_pair(&pair);
}
END_TEST

HARNESS_MAIN("line", TEST(test_a_message_is_a_line), TEST(test_a_last_line_without_its_end_counts),
             TEST(test_bytes_that_hold_an_end_of_line_are_refused),
             TEST(test_lines_carry_no_descriptors),
             TEST(test_a_line_over_the_limit_breaks_the_protocol),
             TEST(test_a_line_without_end_costs_the_limit),
             TEST(test_a_line_that_comes_byte_by_byte_takes_no_longer),
             TEST(test_large_lines_cross_in_pieces), TEST(test_collected_lines_leave_together),
             TEST(test_every_other_byte_is_carried))
