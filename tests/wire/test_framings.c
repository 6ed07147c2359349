/* SPDX-License-Identifier: MIT */
/*
 * What the framings of other programs promise beside the vectors: bounds, work that grows with the
 * bytes and not with how they are cut, and encoders that refuse.
 */
#include "harness.h"
#include "replay.h"

#include "wire/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct dxi_framing *const framings[] = {
    &dxi_framing_line, &dxi_framing_nul,      &dxi_framing_netstring, &dxi_framing_u8,
    &dxi_framing_u16,  &dxi_framing_u32,      &dxi_framing_python,    &dxi_framing_content_length,
    &dxi_framing_node, &dxi_framing_pkt_line, &dxi_framing_raw,
};

enum { COUNT = sizeof(framings) / sizeof(*framings) };

/* More than the bytes of a frame that are not its message: headers of content-length are the most. */
enum { AROUND_MAX = 8192 + 80 };

static int encode(const struct dxi_framing *framing, const void *data, size_t size,
                  struct dxi_envelope *ret)
{
    struct dxi_letter letter = {.data = data, .size = size, .kind = DXI_KIND_MESSAGE};

    return framing->encode(&letter, ret);
}

/* The frame of a message. The caller frees data, which is NULL if the framing refuses it. */
static struct bytes frame_of(const struct dxi_framing *framing, const void *data, size_t size)
{
    struct dxi_envelope envelope;
    struct bytes frame = {0};

    if (encode(framing, data, size, &envelope) < 0)
        return frame;
    frame.data = malloc(envelope.header_size + size + envelope.trailer_size + 1);
    memcpy(frame.data, envelope.header, envelope.header_size);
    memcpy(frame.data + envelope.header_size, data, size);
    memcpy(frame.data + envelope.header_size + size, envelope.trailer, envelope.trailer_size);
    frame.size = envelope.header_size + size + envelope.trailer_size;
    return frame;
}

START_TEST(test_an_encoder_refuses_what_is_no_plain_message)
{
    static const uint8_t kinds[] = {0, 1, 3, 4, 5, 6, 7, 64, 65, 66, 67, 68, 69, 70, 71, 255};

    for (size_t i = 0; i < COUNT; i++) {
        const struct dxi_framing *framing = framings[i];
        struct dxi_letter letter = {.data = "{}", .size = 2, .kind = DXI_KIND_MESSAGE};
        struct dxi_envelope envelope;

        ck_assert_int_eq(framing->encode(&letter, &envelope), 0);
        letter.more = true;
        ck_assert_int_eq(framing->encode(&letter, &envelope), -EINVAL);
        letter.more = false;
        letter.descriptors = 1;
        ck_assert_int_eq(framing->encode(&letter, &envelope), -EINVAL);
        letter.descriptors = 0;
        for (size_t j = 0; j < sizeof(kinds); j++) {
            letter.kind = kinds[j];
            ck_assert_msg(framing->encode(&letter, &envelope) == -EINVAL,
                          "%s takes a letter of kind %u", framing->name, kinds[j]);
        }
    }
}
END_TEST

START_TEST(test_an_encoder_refuses_what_its_length_cannot_say)
{
    static const struct {
        const struct dxi_framing *framing;
        uint64_t most;
    } table[] = {
        {&dxi_framing_u8, 255},
        {&dxi_framing_u16, 65535},
        {&dxi_framing_u32, UINT32_MAX},
        {&dxi_framing_pkt_line, 65516},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct dxi_envelope envelope;

        ck_assert_uint_eq(table[i].framing->size_max, table[i].most);
        ck_assert_int_eq(encode(table[i].framing, "unread", (size_t)table[i].most, &envelope), 0);
        if (table[i].most < SIZE_MAX)
            ck_assert_int_eq(encode(table[i].framing, "unread", (size_t)table[i].most + 1,
                                    &envelope),
                             -EMSGSIZE);
    }
}
END_TEST

/* The header of a message that is not looked at. */
static void expect_header(const struct dxi_framing *framing, size_t size, const char *header,
                          size_t header_size)
{
    struct dxi_envelope envelope;

    ck_assert_int_eq(encode(framing, "unread", size, &envelope), 0);
    ck_assert_uint_eq(envelope.header_size, header_size);
    ck_assert_mem_eq(envelope.header, header, header_size);
}

START_TEST(test_lengths_are_written_whatever_their_size)
{
    if (sizeof(size_t) == sizeof(uint32_t))
        HARNESS_SKIP("no size is so large here");
    expect_header(&dxi_framing_python, 0x7fffffff, "\x7f\xff\xff\xff", 4);
    expect_header(&dxi_framing_python, (size_t)0x80000000, "\xff\xff\xff\xff\0\0\0\0\x80\0\0\0",
                  12);
    expect_header(&dxi_framing_python, SIZE_MAX, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                  12);
    expect_header(&dxi_framing_netstring, SIZE_MAX, "18446744073709551615:", 21);
    expect_header(&dxi_framing_content_length, SIZE_MAX,
                  "Content-Length: 18446744073709551615\r\n\r\n", 40);
}
END_TEST

/* A channel's limit does not reach so far, but Python does. */
START_TEST(test_a_length_in_the_long_form_of_python_is_read)
{
    struct dxi_decoder decoder = {.message_limit = (size_t)1 << 40};
    const uint8_t header[12] = {255, 255, 255, 255, 0, 0, 0, 1, 0, 0, 0, 2};
    struct dxi_frame frame;

    if (sizeof(size_t) == sizeof(uint32_t))
        HARNESS_SKIP("no size is so large here");
    ck_assert_int_eq(decode_twice(&dxi_framing_python, &decoder, header, 12, false, &frame), 0);
    ck_assert_uint_eq(decoder.needed, 12 + ((size_t)1 << 32) + 2);
}
END_TEST

/* A letter of digits, quotation marks and what else framings are made of. */
static uint8_t random_byte(unsigned *seed)
{
    static const char likely[] =
        "0123456789abcdef:,;\r\n\"\\{}[]u-+.eE \tContent-Lengthnulltruefals";
    unsigned number = (unsigned)rand_r(seed) >> 4;

    if (number % 4 == 0)
        return (uint8_t)(number >> 8);
    if (number % 16 == 1)
        return number % 32 == 1 ? 0 : 255;
    return (uint8_t)likely[(number >> 8) % (sizeof(likely) - 1)];
}

/* Whatever the bytes are: bounds hold, and what is decoded can be encoded to mean the same. */
static void check_bounds(const struct dxi_framing *framing, const struct dxi_decoder *options,
                         const uint8_t *bytes, size_t size)
{
    struct dxi_decoder decoder = *options;
    size_t start = 0;

    for (;;) {
        struct dxi_frame frame;
        int status = decode_twice(framing, &decoder, bytes + start, size - start, false, &frame);

        if (status < 0) {
            ck_assert_int_eq(status, -EPROTO);
            ck_assert_int_ne(decoder.fault.violation, DXI_VIOLATION_NONE);
            return;
        }
        if (status == 0) {
            ck_assert_uint_gt(decoder.needed, size - start);
            ck_assert_uint_le(decoder.needed, AROUND_MAX + decoder.message_limit);
            return;
        }
        ck_assert_uint_gt(dxi_frame_total(&frame), 0);
        ck_assert_uint_le(dxi_frame_total(&frame), size - start);
        ck_assert_uint_le(frame.size, decoder.message_limit);
        ck_assert(frame.descriptors <= decoder.descriptor_limit ||
                  frame.kind == DXI_KIND_NODE_HANDLE);
        framing->consume(&decoder, &frame);
        start += dxi_frame_total(&frame);
    }
}

START_TEST(test_random_bytes_are_bounded)
{
    unsigned seed = 4711;

    for (int round = 0; round < 1500 / WIRE_PART; round++) {
        uint8_t bytes[200];
        size_t size = (size_t)rand_r(&seed) % sizeof(bytes);
        struct dxi_decoder options = {
            .message_limit = 1 + (size_t)rand_r(&seed) % 300,
            .descriptor_limit = (unsigned)rand_r(&seed) % 2,
            .strip_cr = rand_r(&seed) % 2 == 0,
        };

        for (size_t i = 0; i < size; i++)
            bytes[i] = random_byte(&seed);
        for (size_t i = 0; i < COUNT; i++)
            check_bounds(framings[i], &options, bytes, size);
    }
}
END_TEST

/* Messages of many sizes in a row, in portions of many sizes. */
static void cross(const struct dxi_framing *framing, unsigned *seed)
{
    enum { MESSAGES = 8, MOST = 300 };
    uint8_t messages[MESSAGES][MOST];
    size_t sizes[MESSAGES], count = 0;
    struct bytes stream = {.data = malloc(1)};

    for (int i = 0; i < MESSAGES; i++) {
        size_t size = (size_t)rand_r(seed) % MOST;

        for (size_t j = 0; j < size; j++)
            messages[count][j] = random_byte(seed);
        if (framing == &dxi_framing_node && size >= 2) {
            memset(messages[count], ' ' + rand_r(seed) % 2, size);
            messages[count][0] = messages[count][size - 1] = '"';
        }
        struct bytes frame = frame_of(framing, messages[count], size);

        if (frame.data == NULL)
            continue;
        sizes[count++] = size;
        stream.data = realloc(stream.data, stream.size + frame.size + 1);
        memcpy(stream.data + stream.size, frame.data, frame.size);
        stream.size += frame.size;
        free(frame.data);
    }
    struct dxi_decoder decoder = {.message_limit = MOST};
    size_t start = 0, shown = 0, seen = 0;

    while (start < stream.size) {
        struct dxi_frame frame;

        shown += 1 + (size_t)rand_r(seed) % 50;
        shown = shown < stream.size ? shown : stream.size;
        while (decode_twice(framing, &decoder, stream.data + start, shown - start, false, &frame) ==
               1) {
            ck_assert_uint_lt(seen, count);
            ck_assert_uint_eq(frame.size, sizes[seen]);
            ck_assert_mem_eq(stream.data + start + frame.header, messages[seen], frame.size);
            framing->consume(&decoder, &frame);
            start += dxi_frame_total(&frame);
            seen++;
        }
        ck_assert_int_eq(decoder.fault.violation, DXI_VIOLATION_NONE);
    }
    ck_assert_uint_eq(seen, count);
    free(stream.data);
}

START_TEST(test_what_is_encoded_is_decoded)
{
    unsigned seed = 1848;

    for (int round = 0; round < 60 / WIRE_PART; round++)
        for (size_t i = 0; i < COUNT; i++)
            if (!framings[i]->has_no_borders)
                cross(framings[i], &seed);
}
END_TEST

/*
 * Work is counted, not timed. A receiver asks again only when the bytes are there that were said to
 * be needed: so a long message with a length costs a few looks however slowly it comes.
 */
START_TEST(test_a_message_with_a_length_costs_a_few_looks)
{
    size_t size = 60000;
    char *text = malloc(size);

    memset(text, 'x', size);
    for (size_t i = 0; i < COUNT; i++) {
        const struct dxi_framing *framing = framings[i];
        struct dxi_decoder decoder = {.message_limit = size};
        struct dxi_frame frame;
        size_t looks = 0;
        bool by_length = framing != &dxi_framing_line && framing != &dxi_framing_nul &&
                         framing != &dxi_framing_node && !framing->has_no_borders;
        struct bytes bytes = by_length ? frame_of(framing, text, size) : (struct bytes){0};

        if (bytes.data == NULL)
            continue;
        for (size_t shown = 1; shown <= bytes.size; shown++) {
            if (shown < decoder.needed)
                continue;
            looks++;
            ck_assert_int_eq(framing->decode(&decoder, bytes.data, shown, &frame),
                             shown == bytes.size);
        }
        ck_assert_msg(looks <= 26, "%s was asked %zu times", framing->name, looks);
        free(bytes.data);
    }
    free(text);
}
END_TEST

/* What was looked at is not looked at again: that it changes is not noticed. */
static void expect_looked_at_once(const struct dxi_framing *framing, const char *begin, uint8_t end)
{
    struct dxi_decoder decoder = {.message_limit = 1 << 16};
    size_t size = 7000, begun = strlen(begin);
    uint8_t *bytes = malloc(size);
    struct dxi_frame frame;

    memset(bytes, 'x', size);
    memcpy(bytes, begin, begun);
    for (size_t shown = begun; shown < size; shown += 1000) {
        ck_assert_int_eq(framing->decode(&decoder, bytes, shown, &frame), 0);
        ck_assert_uint_eq(decoder.scanned, shown);
        ck_assert_uint_eq(decoder.needed, shown + 1);
        bytes[shown - 1] = end;
    }
    ck_assert_int_eq(framing->decode(&decoder, bytes, size, &frame), 0);
    /* The next frame begins at nothing. */
    framing->consume(&decoder, &(struct dxi_frame){0});
    ck_assert_int_ne(framing->decode(&decoder, bytes, size, &frame), 0);
    free(bytes);
}

START_TEST(test_what_was_searched_is_not_searched_again)
{
    expect_looked_at_once(&dxi_framing_line, "a", '\n');
    expect_looked_at_once(&dxi_framing_nul, "a", '\0');
    expect_looked_at_once(&dxi_framing_node, "\"", '\n');
    expect_looked_at_once(&dxi_framing_content_length, "Content-Length: 2\r\nX:", '\n');
}
END_TEST

START_TEST(test_headers_are_read_once_however_many_there_are)
{
    struct dxi_decoder decoder = {.message_limit = 10};
    uint8_t bytes[8192];
    struct dxi_frame frame;
    size_t size = 0;

    memcpy(bytes, "Content-Length: 2\n", 18);
    for (size = 18; size + 2 < sizeof(bytes); size += 3) {
        memcpy(bytes + size, "a:\n", 3);
        ck_assert_int_eq(dxi_framing_content_length.decode(&decoder, bytes, size + 3, &frame), 0);
        ck_assert_uint_eq(decoder.headers.line, size + 3);
        /* It would be no header, if it was read again. */
        memset(bytes + size, ' ', 2);
    }
    ck_assert_uint_gt(decoder.headers.number, 2700);
}
END_TEST

START_TEST(test_a_line_of_node_is_judged_once)
{
    struct dxi_decoder decoder = {.message_limit = 100, .descriptor_limit = 1};
    char line[] = "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":[1]}\n";
    struct dxi_frame frame, again;

    ck_assert_int_eq(dxi_framing_node.decode(&decoder, (uint8_t *)line, sizeof(line) - 1, &frame),
                     1);
    ck_assert_int_eq(frame.kind, DXI_KIND_NODE_HANDLE);
    memset(line, 'x', sizeof(line));
    ck_assert_int_eq(dxi_framing_node.decode(&decoder, (uint8_t *)line, sizeof(line) - 1, &again),
                     1);
    ck_assert_uint_eq(again.header, frame.header);
    ck_assert_uint_eq(again.size, 3);
    ck_assert_uint_eq(dxi_frame_total(&again), sizeof(line) - 1);
    dxi_framing_node.consume(&decoder, &frame);
    line[5] = '\n';
    ck_assert_int_eq(dxi_framing_node.decode(&decoder, (uint8_t *)line, sizeof(line) - 1, &again),
                     -EPROTO);
}
END_TEST

START_TEST(test_a_handle_says_what_node_needs_to_know)
{
    struct dxi_letter letter = {
        .data = "[1]",
        .size = 3,
        .kind = DXI_KIND_NODE_HANDLE,
        .descriptors = 1,
        .handle_type = "dgram.Socket",
        .dgram_type = "udp4",
    };
    static const char header[] =
        "{\"cmd\":\"NODE_HANDLE\",\"type\":\"dgram.Socket\",\"dgramType\":\"udp4\",\"msg\":";
    struct dxi_envelope envelope;

    ck_assert_int_eq(dxi_framing_node.encode(&letter, &envelope), 0);
    ck_assert_uint_eq(envelope.header_size, sizeof(header) - 1);
    ck_assert_mem_eq(envelope.header, header, sizeof(header) - 1);
    ck_assert_uint_eq(envelope.trailer_size, 2);
    ck_assert_mem_eq(envelope.trailer, "}\n", 2);
    letter.more = true;
    ck_assert_int_eq(dxi_framing_node.encode(&letter, &envelope), -EINVAL);
}
END_TEST

/* Whether it is welcome is for the channel to say, which then refuses it. */
START_TEST(test_a_handle_is_seen_where_none_is_accepted)
{
    struct dxi_decoder decoder = {.message_limit = 100};
    static const uint8_t line[] = "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":1}\n";
    struct dxi_frame frame;

    ck_assert_int_eq(
        decode_twice(&dxi_framing_node, &decoder, line, sizeof(line) - 1, false, &frame), 1);
    ck_assert_int_eq(frame.kind, DXI_KIND_NODE_HANDLE);
    ck_assert_uint_eq(frame.descriptors, 1);
}
END_TEST

START_TEST(test_raw_bytes_are_messages_as_they_come)
{
    struct dxi_decoder decoder = {.message_limit = 5};
    const uint8_t bytes[] = "12345678";
    struct dxi_frame frame;

    ck_assert_int_eq(decode_twice(&dxi_framing_raw, &decoder, bytes, 0, false, &frame), 0);
    ck_assert_uint_eq(decoder.needed, 1);
    ck_assert_int_eq(decode_twice(&dxi_framing_raw, &decoder, bytes, 0, true, &frame), 0);
    ck_assert_int_eq(decode_twice(&dxi_framing_raw, &decoder, bytes, 3, false, &frame), 1);
    ck_assert_uint_eq(frame.size, 3);
    ck_assert_uint_eq(dxi_frame_total(&frame), 3);
    ck_assert_int_eq(decode_twice(&dxi_framing_raw, &decoder, bytes, 8, true, &frame), 1);
    ck_assert_uint_eq(frame.size, 5);
}
END_TEST

struct member {
    const char *name, *value;
    size_t count;
};

static void expect_member(void *context, const uint8_t *text, const struct dxi_json_span *name,
                          const struct dxi_json_span *value)
{
    const struct member *members = context;
    struct member *next = (struct member *)members;

    while (next->count > 0)
        next++;
    ck_assert_ptr_nonnull(next->name);
    ck_assert_uint_eq(name->size, strlen(next->name));
    ck_assert_mem_eq(text + name->start, next->name, name->size);
    ck_assert_uint_eq(value->size, strlen(next->value));
    ck_assert_mem_eq(text + value->start, next->value, value->size);
    next->count++;
}

START_TEST(test_the_members_of_a_json_object_are_shown)
{
    static const char text[] =
        " { \"a\" : 1 , \"b\\n\":[{\"no\":1},{}], \"\":{\"no\":{}} ,\"d\":{},\"e\":\"x\"}";
    struct member members[] = {
        {"\"a\"", "1", 0},          {"\"b\\n\"", "[{\"no\":1},{}]", 0},
        {"\"\"", "{\"no\":{}}", 0}, {"\"d\"", "{}", 0},
        {"\"e\"", "\"x\"", 0},      {NULL, NULL, 0},
    };

    ck_assert_uint_eq(
        dxi_json_judge((const uint8_t *)text, sizeof(text) - 1, expect_member, members), SIZE_MAX);
    ck_assert_uint_eq(members[4].count, 1);
}
END_TEST

START_TEST(test_escapes_in_a_json_string_are_resolved)
{
    static const char text[] = "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00E4\xc3\xa4z\"";
    struct dxi_json_span span = {0, sizeof(text) - 1};
    char room[32];

    ck_assert_uint_eq(dxi_json_judge((const uint8_t *)text, span.size, NULL, NULL), SIZE_MAX);
    ck_assert_uint_eq(dxi_json_read((const uint8_t *)text, &span, room, sizeof(room)), 14);
    ck_assert_mem_eq(room, "a\"\\/\b\f\n\r\tA\0\0\0z", 14);
    ck_assert_uint_eq(dxi_json_read((const uint8_t *)text, &span, room, 2), 2);
}
END_TEST

HARNESS_MAIN("wire framings", TEST(test_an_encoder_refuses_what_is_no_plain_message),
             TEST(test_an_encoder_refuses_what_its_length_cannot_say),
             TEST(test_lengths_are_written_whatever_their_size),
             TEST(test_a_length_in_the_long_form_of_python_is_read),
             TEST(test_random_bytes_are_bounded), TEST(test_what_is_encoded_is_decoded),
             TEST(test_a_message_with_a_length_costs_a_few_looks),
             TEST(test_what_was_searched_is_not_searched_again),
             TEST(test_headers_are_read_once_however_many_there_are),
             TEST(test_a_line_of_node_is_judged_once),
             TEST(test_a_handle_says_what_node_needs_to_know),
             TEST(test_a_handle_is_seen_where_none_is_accepted),
             TEST(test_raw_bytes_are_messages_as_they_come),
             TEST(test_the_members_of_a_json_object_are_shown),
             TEST(test_escapes_in_a_json_string_are_resolved))
