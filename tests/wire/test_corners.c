/* SPDX-License-Identifier: MIT */
/*
 * What a conversation never asks of the wire, because somebody looks before: each part keeps its word
 * all the same.
 */
#include "harness.h"

#include "wire/json.h"
#include "wire/native.h"
#include "wire/ring.h"

#include <errno.h>
#include <string.h>

static size_t judge(const char *text)
{
    return dxi_json_judge((const uint8_t *)text, strlen(text), NULL, NULL);
}

/* Node ends a text with it, and JSON has it for space. */
START_TEST(test_a_new_line_is_space_in_json)
{
    ck_assert_uint_eq(judge("\n[\n1\n,\n{\n\"a\"\n:\n2\n}\n]\n"), SIZE_MAX);
    ck_assert_uint_eq(judge("[1\n2]"), 3);
}
END_TEST

START_TEST(test_nobody_need_visit_the_members_of_an_object)
{
    ck_assert_uint_eq(judge("{\"a\":{\"b\":1},\"c\":[]}"), SIZE_MAX);
    ck_assert_uint_eq(judge("{\"a\":1,}"), 7);
}
END_TEST

START_TEST(test_a_greeting_of_a_wrong_size_is_none)
{
    static const size_t sizes[] = {0, DXI_HELLO_SIZE_MIN - 1, DXI_HELLO_SIZE_MAX + 1};
    uint8_t payload[DXI_HELLO_SIZE_MAX + 1] = {0, DXI_VERSION};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct dxi_hello hello;
        struct dxi_fault fault = {0};

        ck_assert_int_eq(dxi_hello_decode(payload, sizes[i], &hello, &fault), -EPROTO);
        ck_assert_int_eq(fault.violation, DXI_VIOLATION_HELLO_SIZE);
        ck_assert_uint_eq(fault.value, sizes[i]);
    }
}
END_TEST

/* What is neither a message nor one of its packets, in the framings that have some. */
START_TEST(test_no_framing_carries_a_packet_with_something_on_it)
{
    static const struct dxi_letter letters[] = {
        {.kind = DXI_KIND_FLUSH, .more = true},
        {.kind = DXI_KIND_FLUSH, .descriptors = 1},
        {.kind = DXI_KIND_FLUSH, .data = "1", .size = 1},
    };
    struct dxi_envelope envelope;

    for (size_t i = 0; i < sizeof(letters) / sizeof(*letters); i++) {
        ck_assert_int_eq(dxi_framing_pkt_line.encode(&letters[i], &envelope), -EINVAL);
        ck_assert_int_eq(dxi_framing_node.encode(&letters[i], &envelope), -EINVAL);
    }
    for (int more = 0; more < 2; more++) {
        struct dxi_letter letter = {
            .kind = DXI_KIND_MESSAGE, .data = "1", .size = 1, .more = more, .descriptors = !more};

        ck_assert_int_eq(dxi_framing_pkt_line.encode(&letter, &envelope), -EINVAL);
        ck_assert_int_eq(dxi_framing_node.encode(&letter, &envelope), -EINVAL);
    }
    /* A handle must be said to be something, whether it comes along or not. */
    for (uint16_t descriptors = 0; descriptors < 2; descriptors++) {
        struct dxi_letter handle = {
            .kind = DXI_KIND_NODE_HANDLE, .data = "1", .size = 1, .descriptors = descriptors};

        ck_assert_int_eq(dxi_framing_node.encode(&handle, &envelope), -EINVAL);
    }
}
END_TEST

START_TEST(test_an_answer_to_a_handle_of_node_bears_nothing)
{
    static const struct dxi_letter letters[] = {
        {.kind = DXI_KIND_NODE_ACK, .data = "1", .size = 1},
        {.kind = DXI_KIND_NODE_ACK, .more = true},
        {.kind = DXI_KIND_NODE_NACK, .descriptors = 1},
    };
    struct dxi_envelope envelope;

    for (size_t i = 0; i < sizeof(letters) / sizeof(*letters); i++)
        ck_assert_int_eq(dxi_framing_node.encode(&letters[i], &envelope), -EINVAL);
}
END_TEST

/* Less than what stands before the first whole line of the ring. */
START_TEST(test_a_few_bytes_are_copied_past_the_caches_and_no_more)
{
    _Alignas(64) uint8_t to[192];
    uint8_t from[192];

    for (size_t i = 0; i < sizeof(from); i++)
        from[i] = (uint8_t)(i + 1);
    for (size_t start = 0; start < 64; start++)
        for (size_t size = 0; size <= 128; size += 1 + size / 8) {
            memset(to, 0, sizeof(to));
            dxi_ring_copy_past_caches(to + start, from, size);
            ck_assert_mem_eq(to + start, from, size);
            for (size_t i = 0; i < sizeof(to); i++)
                ck_assert(to[i] == 0 || (i >= start && i < start + size));
        }
}
END_TEST

HARNESS_MAIN("corners", TEST(test_a_new_line_is_space_in_json),
             TEST(test_nobody_need_visit_the_members_of_an_object),
             TEST(test_a_greeting_of_a_wrong_size_is_none),
             TEST(test_no_framing_carries_a_packet_with_something_on_it),
             TEST(test_an_answer_to_a_handle_of_node_bears_nothing),
             TEST(test_a_few_bytes_are_copied_past_the_caches_and_no_more))
