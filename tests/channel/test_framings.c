/* SPDX-License-Identifier: MIT */
/*
 * The framings of other programs over channels: conversing, what is refused before a byte leaves,
 * what comes of bytes that are wrong, and how each ends. Lines have a file of their own, and so has
 * what Node does with descriptors.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* All but native, and raw, which has no messages. */
enum { FIRST = DX_FRAMING_LINE, LAST = DX_FRAMING_NODE };

static struct pair open_framing(dx_framing framing)
{
    return open_pair_with(&(dx_channel_options){.framing = framing});
}

static void say_bytes(int fd, const char *text, size_t size)
{
    ck_assert_int_eq(send(fd, text, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void expect_bytes(dx_channel *channel, const char *bytes, size_t size)
{
    dx_message message;
    int status = dx_recv(channel, &message, 1000);

    ck_assert_msg(status == 1, "%d instead of '%.*s': %s", status, (int)size, bytes,
                  dx_channel_explain(channel));
    ck_assert_uint_eq(message.size, size);
    ck_assert_mem_eq(message.data, bytes, size);
    ck_assert_int_eq(message.kind, DX_MESSAGE);
    ck_assert_uint_eq(message.id, 0);
    ck_assert_uint_eq(message.descriptor_count, 0);
}

static void expect_string(dx_channel *channel, const char *text)
{
    expect_bytes(channel, text, strlen(text));
}

static void send_string(dx_channel *channel, const char *text)
{
    ck_assert_msg(dx_send(channel, text, strlen(text), 1000) == 0, "'%s': %s", text,
                  dx_channel_explain(channel));
}

START_TEST(test_each_framing_has_a_name)
{
    static const char *const names[] = {"native", "line", "nul",    "netstring",      "u8",
                                        "u16",    "u32",  "python", "content-length", "pkt-line",
                                        "node",   "raw"};
    dx_framing framing = DX_FRAMING_NATIVE;

    for (int i = DX_FRAMING_NATIVE; i <= DX_FRAMING_RAW; i++) {
        ck_assert_str_eq(dx_framing_name((dx_framing)i), names[i]);
        ck_assert_int_eq(dx_framing_by_name(&framing, names[i]), 0);
        ck_assert_int_eq(framing, i);
    }
    ck_assert_ptr_null(dx_framing_name((dx_framing)(DX_FRAMING_RAW + 1)));
    ck_assert_ptr_null(dx_framing_name((dx_framing)-1));
    ck_assert_int_eq(dx_framing_by_name(&framing, "lines"), -EINVAL);
    ck_assert_int_eq(dx_framing_by_name(&framing, ""), -EINVAL);
    ck_assert_int_eq(dx_framing_by_name(&framing, NULL), -EINVAL);
    ck_assert_int_eq(dx_framing_by_name(NULL, "line"), -EINVAL);
    ck_assert_int_eq(framing, DX_FRAMING_RAW);
}
END_TEST

START_TEST(test_other_framings_need_a_stream)
{
    dx_channel *ends[2];
    dx_failure failure;

    for (int i = FIRST; i <= DX_FRAMING_RAW; i++) {
        for (int type = DX_SEQPACKET; type <= DX_DGRAM; type++) {
            dx_channel_options options = {
                .type = (dx_channel_type)type,
                .framing = (dx_framing)i,
                .failure = &failure,
            };
            char expected[64];

            snprintf(expected, sizeof(expected), "the framing '%s' needs a stream",
                     dx_framing_name(options.framing));
            ck_assert_int_eq(dx_channel_pair(ends, &options), -EINVAL);
            ck_assert_str_eq(failure.text, expected);
        }
    }
}
END_TEST

START_TEST(test_a_conversation_in_each_framing)
{
    static const char *const texts[] = {"{\"a\":[1,2]}", "[]", "\"\\u00e4\"", "1", "{\"b\":null}"};

    for (int i = FIRST; i <= LAST; i++) {
        struct pair pair = open_framing((dx_framing)i);

        for (int round = 0; round < 3; round++) {
            for (size_t j = 0; j < 5; j++) {
                send_string(pair.near, texts[j]);
                send_string(pair.far, texts[4 - j]);
            }
            for (size_t j = 0; j < 5; j++) {
                expect_string(pair.far, texts[j]);
                expect_string(pair.near, texts[4 - j]);
            }
            expect_silence(pair.near);
        }
        ck_assert_int_eq(dx_cork(pair.near), 0);
        for (int j = 0; j < 200; j++)
            send_string(pair.near, texts[j % 5]);
        ck_assert_int_eq(dx_flush(pair.near, DX_NOW), 0);
        for (int j = 0; j < 200; j++)
            expect_string(pair.far, texts[j % 5]);
        ck_assert_int_eq(dx_channel_end(pair.near, DX_NOW), 0);
        expect_end(pair.far, 1000);
        send_string(pair.far, "\"late\"");
        expect_string(pair.near, "\"late\"");
        close_pair(&pair);
    }
}
END_TEST

START_TEST(test_an_empty_message_is_a_message_where_there_is_one)
{
    for (int i = FIRST; i <= LAST; i++) {
        struct pair pair = open_framing((dx_framing)i);
        bool has_none = i == DX_FRAMING_NODE || i == DX_FRAMING_PKT_LINE;

        ck_assert_int_eq(dx_send(pair.near, NULL, 0, DX_NOW), has_none ? -EINVAL : 0);
        send_string(pair.near, "1");
        if (!has_none)
            expect_string(pair.far, "");
        expect_string(pair.far, "1");
        close_pair(&pair);
    }
}
END_TEST

START_TEST(test_any_bytes_of_any_size_cross_in_framings_with_a_length)
{
    static const dx_framing framings[] = {DX_FRAMING_NETSTRING, DX_FRAMING_U32, DX_FRAMING_PYTHON,
                                          DX_FRAMING_CONTENT_LENGTH};
    static const size_t sizes[] = {1,     9,     10,    99,    100,     255, 256, 4096,    65535,
                                   65536, 65537, 66000, 69632, 3 << 20, 0,   1,   5 << 20, 7};

    for (size_t i = 0; i < sizeof(framings) / sizeof(*framings); i++) {
        struct pair pair = open_framing(framings[i]);

        for (unsigned j = 0; j < sizeof(sizes) / sizeof(*sizes); j++) {
            carry(pair.near, pair.far, j, sizes[j]);
            carry(pair.far, pair.near, j + 100, sizes[j]);
        }
        close_pair(&pair);
    }
}
END_TEST

START_TEST(test_a_large_json_text_crosses)
{
    struct pair pair = open_framing(DX_FRAMING_NODE);
    size_t size = 5 * MIB;
    char *text = malloc(size);
    dx_message message;
    int status;

    memset(text, 'x', size);
    text[0] = text[size - 1] = '"';
    ck_assert_int_eq(dx_send(pair.near, text, size, DX_NOW), 0);
    while ((status = dx_recv(pair.far, &message, DX_NOW)) == -ETIMEDOUT)
        (void)dx_flush(pair.near, DX_NOW);
    ck_assert_int_eq(status, 1);
    ck_assert_uint_eq(message.size, size);
    ck_assert_mem_eq(message.data, text, size);
    free(text);
    close_pair(&pair);
}
END_TEST

/* What a framing refuses, and how it says so. */
static const struct refusal {
    dx_framing framing;
    const char *data;
    size_t size;
    int error;
    const char *sentence;
} refusals[] = {
    {DX_FRAMING_LINE, "a\nb", 3, -EINVAL, "the framing 'line' cannot carry these bytes"},
    {DX_FRAMING_NUL, "a\0b", 3, -EINVAL, "the framing 'nul' cannot carry these bytes"},
    {DX_FRAMING_U8, NULL, 256, -EMSGSIZE,
     "a message of 256 bytes; the framing 'u8' carries at most 255"},
    {DX_FRAMING_U16, NULL, 65536, -EMSGSIZE,
     "a message of 65536 bytes; the framing 'u16' carries at most 65535"},
    {DX_FRAMING_PKT_LINE, NULL, 65517, -EMSGSIZE,
     "a message of 65517 bytes; the framing 'pkt-line' carries at most 65516"},
    {DX_FRAMING_PKT_LINE, "", 0, -EINVAL, "the framing 'pkt-line' cannot carry these bytes"},
    {DX_FRAMING_NODE, "", 0, -EINVAL, "the framing 'node' cannot carry these bytes"},
    {DX_FRAMING_NODE, "hello", 5, -EINVAL, "the framing 'node' cannot carry these bytes"},
    {DX_FRAMING_NODE, "[1,\n2]", 6, -EINVAL, "the framing 'node' cannot carry these bytes"},
    {DX_FRAMING_NODE, "{\"cmd\":\"NODE_X\"}", 16, -EINVAL,
     "the framing 'node' cannot carry these bytes"},
    {DX_FRAMING_RAW, "", 0, -EINVAL, "the framing 'raw' cannot carry these bytes"},
};

enum { REFUSALS = sizeof(refusals) / sizeof(*refusals) };

START_TEST(test_what_is_refused_has_not_left)
{
    char *much = calloc(1, 65537);

    for (size_t i = 0; i < REFUSALS; i++) {
        const struct refusal *refusal = &refusals[i];
        struct pair pair = open_framing(refusal->framing);
        const char *data = refusal->data != NULL ? refusal->data : much;

        for (int corked = 0; corked < 2; corked++) {
            if (corked)
                ck_assert_int_eq(dx_cork(pair.near), 0);
            ck_assert_int_eq(dx_send(pair.near, data, refusal->size, DX_NOW), refusal->error);
            expect_explained(pair.near, refusal->sentence);
            ck_assert_int_eq(dx_flush(pair.near, DX_NOW), 0);
            expect_silence(pair.far);
        }
        send_string(pair.near, "\"and on\"");
        expect_string(pair.far, "\"and on\"");
        close_pair(&pair);
    }
    free(much);
}
END_TEST

START_TEST(test_messages_as_large_as_a_framing_carries_arrive)
{
    static const struct {
        dx_framing framing;
        size_t most;
    } table[] = {{DX_FRAMING_U8, 255}, {DX_FRAMING_U16, 65535}, {DX_FRAMING_PKT_LINE, 65516}};

    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct pair pair = open_framing(table[i].framing);

        carry(pair.near, pair.far, 1, table[i].most);
        carry(pair.far, pair.near, 2, table[i].most);
        close_pair(&pair);
    }
}
END_TEST

START_TEST(test_the_message_limit_counts_the_data_in_each_framing)
{
    for (int i = FIRST; i <= LAST; i++) {
        struct pair pair =
            open_pair_with(&(dx_channel_options){.framing = (dx_framing)i, .message_limit = 10});

        send_string(pair.near, "\"12345678\"");
        ck_assert_int_eq(dx_send(pair.near, "\"123456789\"", 11, DX_NOW), -EMSGSIZE);
        expect_explained(pair.near, "a message of 11 bytes; the limit is 10");
        send_string(pair.near, "\"87654321\"");
        expect_string(pair.far, "\"12345678\"");
        expect_string(pair.far, "\"87654321\"");
        expect_silence(pair.far);
        close_pair(&pair);
    }
}
END_TEST

/* A message over the receiver's limit, and what the receiver says of it. */
START_TEST(test_more_than_the_limit_breaks_the_protocol_in_each_framing)
{
    for (int i = FIRST; i <= LAST; i++) {
        dx_channel_options small = {.framing = (dx_framing)i, .message_limit = 10};
        dx_channel_options large = {.framing = (dx_framing)i};
        dx_channel *receiver, *sender;
        const char *text =
            "\"0123456789012345678901234567890123456789012345678901234567890123456789"
            "012345678901234567890123456789\"";
        int fds[2];

        raw_pair(DX_STREAM, fds);
        ck_assert_int_eq(dx_channel_attach(&receiver, fds[0], fds[0], &small), 0);
        ck_assert_int_eq(dx_channel_attach(&sender, fds[1], fds[1], &large), 0);
        send_string(sender, "\"12345678\"");
        send_string(sender, text);
        expect_string(receiver, "\"12345678\"");
        expect_error(receiver, -EPROTO, "10", DX_NOW);
        expect_error(receiver, -EPROTO, "limit", DX_NOW);
        ck_assert_int_eq(dx_send(receiver, "1", 1, DX_NOW), -EPROTO);
        expect_end(sender, 1000);
        dx_channel_close(receiver);
        dx_channel_close(sender);
    }
}
END_TEST

#define BYTES(text) text, sizeof(text) - 1

/* How a conversation ends that ends behind these bytes: a message before, perhaps one at the end. */
static const struct ending {
    dx_framing framing;
    const char *bytes;
    size_t size;
    const char *last; /* NULL: no message more */
    int status;
    const char *sentence;
} endings[] = {
    {DX_FRAMING_LINE, BYTES("[1]\n"), NULL, 0, NULL},
    {DX_FRAMING_LINE, BYTES("[1]\nlast"), "last", 0, NULL},
    {DX_FRAMING_NUL, BYTES("[1]\0"), NULL, 0, NULL},
    {DX_FRAMING_NUL, BYTES("[1]\0last"), "last", 0, NULL},
    {DX_FRAMING_NETSTRING, BYTES("3:[1],"), NULL, 0, NULL},
    {DX_FRAMING_NETSTRING, BYTES("3:[1],4:last"), NULL, -EPIPE, "6 of 7 bytes came"},
    {DX_FRAMING_NETSTRING, BYTES("3:[1],4"), NULL, -EPIPE, "in the middle of a message"},
    {DX_FRAMING_U8, BYTES("\3[1]"), NULL, 0, NULL},
    {DX_FRAMING_U8, BYTES("\3[1]\5last"), NULL, -EPIPE, "5 of 6 bytes came"},
    {DX_FRAMING_U16, BYTES("\0\3[1]"), NULL, 0, NULL},
    {DX_FRAMING_U16, BYTES("\0\3[1]\0"), NULL, -EPIPE, "1 of 2 bytes came"},
    {DX_FRAMING_U32, BYTES("\0\0\0\3[1]"), NULL, 0, NULL},
    {DX_FRAMING_U32, BYTES("\0\0\0\3[1]\0\0\0\5last"), NULL, -EPIPE, "8 of 9 bytes came"},
    {DX_FRAMING_PYTHON, BYTES("\0\0\0\3[1]"), NULL, 0, NULL},
    {DX_FRAMING_PYTHON, BYTES("\0\0\0\3[1]\0\0\0\5last"), NULL, -EPIPE, "8 of 9 bytes came"},
    {DX_FRAMING_CONTENT_LENGTH, BYTES("Content-Length: 3\r\n\r\n[1]"), NULL, 0, NULL},
    {DX_FRAMING_CONTENT_LENGTH, BYTES("Content-Length: 3\r\n\r\n[1]Content-Length: 5\r\n\r\nlast"),
     NULL, -EPIPE, "25 of 26 bytes came"},
    {DX_FRAMING_CONTENT_LENGTH, BYTES("Content-Length: 3\r\n\r\n[1]Content"), NULL, -EPIPE,
     "in the middle of a message"},
    {DX_FRAMING_PKT_LINE, BYTES("0007[1]"), NULL, 0, NULL},
    {DX_FRAMING_PKT_LINE, BYTES("0007[1]000"), NULL, -EPIPE, "3 of 4 bytes came"},
    {DX_FRAMING_PKT_LINE, BYTES("0007[1]0009last"), NULL, -EPIPE, "8 of 9 bytes came"},
    {DX_FRAMING_NODE, BYTES("[1]\n"), NULL, 0, NULL},
    {DX_FRAMING_NODE, BYTES("[1]\n[2]"), NULL, -EPIPE, "in the middle of a message"},
    {DX_FRAMING_RAW, BYTES("[1]"), NULL, 0, NULL},
};

START_TEST(test_what_ends_is_whole_or_was_cut)
{
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        const struct ending *ending = &endings[i];
        dx_channel_options options = {.framing = ending->framing};
        int peer;
        dx_channel *channel = open_with_raw_peer(DX_STREAM, &options, &peer);

        say_bytes(peer, ending->bytes, ending->size);
        ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
        expect_string(channel, "[1]");
        if (ending->last != NULL)
            expect_string(channel, ending->last);
        if (ending->status == 0)
            expect_end(channel, 1000);
        else
            expect_error(channel, ending->status, ending->sentence, 1000);
        /* The other direction goes on. */
        send_string(channel, "[2]");
        close(peer);
        dx_channel_close(channel);
    }
}
END_TEST

START_TEST(test_each_framing_is_understood_byte_by_byte)
{
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        const struct ending *ending = &endings[i];
        dx_channel_options options = {.framing = ending->framing};
        int peer;

        if (ending->status != 0 || ending->last != NULL || ending->framing == DX_FRAMING_RAW)
            continue;
        dx_channel *channel = open_with_raw_peer(DX_STREAM, &options, &peer);

        for (int round = 0; round < 3; round++) {
            for (size_t j = 0; j < ending->size; j++) {
                expect_silence(channel);
                say_bytes(peer, ending->bytes + j, 1);
            }
            expect_string(channel, "[1]");
        }
        close(peer);
        expect_end(channel, 1000);
        dx_channel_close(channel);
    }
}
END_TEST

START_TEST(test_packets_without_data_are_kinds_of_messages)
{
    static const dx_kind kinds[] = {DX_FLUSH, DX_DELIMITER, DX_RESPONSE_END, DX_FLUSH};
    struct pair pair = open_framing(DX_FRAMING_PKT_LINE);
    dx_message message;

    for (size_t i = 0; i < 4; i++) {
        send_string(pair.near, "version=2\n");
        ck_assert_int_eq(dx_send_message(pair.near, &(dx_message){.kind = kinds[i]}, DX_NOW), 0);
    }
    ck_assert_int_eq(
        dx_send_message(pair.near, &(dx_message){.kind = DX_FLUSH, .data = "x", .size = 1}, DX_NOW),
        -EINVAL);
    for (size_t i = 0; i < 4; i++) {
        expect_string(pair.far, "version=2\n");
        ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
        ck_assert_int_eq(message.kind, kinds[i]);
        ck_assert_uint_eq(message.size, 0);
        ck_assert_ptr_nonnull(message.data);
    }
    expect_silence(pair.far);
    close_pair(&pair);
}
END_TEST

START_TEST(test_only_packets_have_kinds_without_data)
{
    for (int i = DX_FRAMING_NATIVE; i <= DX_FRAMING_RAW; i++) {
        struct pair pair = open_framing((dx_framing)i);

        if (i != DX_FRAMING_PKT_LINE)
            for (int kind = DX_FLUSH; kind <= DX_RESPONSE_END; kind++)
                ck_assert_int_eq(dx_send_message(pair.near, &(dx_message){.kind = (dx_kind)kind},
                                                 DX_NOW),
                                 -EINVAL);
        expect_silence(pair.far);
        close_pair(&pair);
    }
}
END_TEST

START_TEST(test_raw_bytes_arrive_as_they_come)
{
    dx_channel_options options = {.framing = DX_FRAMING_RAW, .message_limit = 8};
    int peer;
    dx_channel *channel = open_with_raw_peer(DX_STREAM, &options, &peer);
    char bytes[16];

    expect_silence(channel);
    say_bytes(peer, BYTES("one\0\n"));
    expect_bytes(channel, BYTES("one\0\n"));
    expect_silence(channel);
    say_bytes(peer, BYTES("0123456789"));
    expect_string(channel, "01234567");
    expect_string(channel, "89");
    ck_assert_int_eq(dx_send(channel, BYTES("a\n\0b"), DX_NOW), 0);
    ck_assert_int_eq(dx_send(channel, "012345678", 9, DX_NOW), -EMSGSIZE);
    ck_assert_int_eq(dx_send(channel, "c", 1, DX_NOW), 0);
    ck_assert_int_eq(recv(peer, bytes, sizeof(bytes), 0), 5);
    ck_assert_mem_eq(bytes, "a\n\0bc", 5);
    close(peer);
    expect_end(channel, 1000);
    dx_channel_close(channel);
}
END_TEST

START_TEST(test_carriage_returns_are_removed_on_request)
{
    dx_channel_options options = {.framing = DX_FRAMING_LINE, .strip_cr = true};
    int peer;
    dx_channel *channel = open_with_raw_peer(DX_STREAM, &options, &peer);
    char bytes[16];

    say_bytes(peer, BYTES("one\r\n\r\ntwo\nthree\r"));
    expect_string(channel, "one");
    expect_string(channel, "");
    expect_string(channel, "two");
    ck_assert_int_eq(dx_send(channel, "a\r", 2, DX_NOW), 0);
    ck_assert_int_eq(dx_send(channel, "b", 1, DX_NOW), 0);
    ck_assert_int_eq(recv(peer, bytes, sizeof(bytes), 0), 5);
    ck_assert_mem_eq(bytes, "a\r\nb\n", 5);
    close(peer);
    expect_string(channel, "three\r");
    expect_end(channel, 1000);
    dx_channel_close(channel);
    options = (dx_channel_options){.framing = DX_FRAMING_NUL, .strip_cr = true};
    ck_assert_int_eq(dx_channel_pair(&(dx_channel *[2]){0}[0], &options), -EINVAL);
}
END_TEST

HARNESS_MAIN("framings", TEST(test_each_framing_has_a_name),
             TEST(test_other_framings_need_a_stream), TEST(test_a_conversation_in_each_framing),
             TEST(test_an_empty_message_is_a_message_where_there_is_one),
             TEST(test_any_bytes_of_any_size_cross_in_framings_with_a_length),
             TEST(test_a_large_json_text_crosses), TEST(test_what_is_refused_has_not_left),
             TEST(test_messages_as_large_as_a_framing_carries_arrive),
             TEST(test_the_message_limit_counts_the_data_in_each_framing),
             TEST(test_more_than_the_limit_breaks_the_protocol_in_each_framing),
             TEST(test_what_ends_is_whole_or_was_cut),
             TEST(test_each_framing_is_understood_byte_by_byte),
             TEST(test_packets_without_data_are_kinds_of_messages),
             TEST(test_only_packets_have_kinds_without_data),
             TEST(test_raw_bytes_arrive_as_they_come),
             TEST(test_carriage_returns_are_removed_on_request))
