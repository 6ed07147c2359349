/* SPDX-License-Identifier: MIT */
/* A child in Node that speaks by process.send(): see node_child.mjs. JSON only. */
#include "partner.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const dx_process_options for_node = {.channel.framing = DX_FRAMING_NODE};

static dx_process *start_node(void)
{
    dx_process *process = start(ARGV("node", SCRIPT("node_child.mjs")), &for_node);

    expect_text(dx_process_channel(process), "\"ready\"");
    return process;
}

/* It still listens, and then ends because we do. */
static void part(dx_process *process)
{
    dx_channel *channel = dx_process_channel(process);

    send_text(channel, "{\"do\":\"echo\",\"value\":\"alive\"}");
    expect_text(channel, "{\"value\":\"alive\"}");
    ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
    expect_end(channel);
    expect_exit(process, 5);
}

START_TEST(test_json_goes_both_ways)
{
    /* Each as JSON.stringify() writes it. */
    static const char *const texts[] = {
        "null",
        "true",
        "-12.5e-7",
        "\"\"",
        "\"plain\"",
        "[]",
        "[1,[2,[3,{}]]]",
        "{}",
        "{\"a\":{\"cmd\":\"NODE_HANDLE_ACK\"}}",
        "{\"cmd\":\"NODE_\"}",
        "{\"cmd\":\"node_handle\"}",
        "{\"cmd\":5}",
        ("\"gr\xc3\xbc\xc3\x9f"
         "e \xf0\x9f\xa6\x80 \xe2\x82\xac\""),
        "\"\\u0000\\n\\\"\\\\\\u001f\"",
        "\"\\ud800\"",
        "\"\xe2\x80\xa8\"",
    };

    NEED("node");
    dx_process *process = start_node();

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        send_text(dx_process_channel(process), texts[i]);
        expect_text(dx_process_channel(process), texts[i][0] == '-' ? "-0.00000125" : texts[i]);
    }
    part(process);
}
END_TEST

START_TEST(test_five_megabytes_go_both_ways)
{
    static const char start_text[] = "{\"do\":\"measure\",\"value\":\"";
    static const char unit[] =
        "\xc3\xbc\xe2\x82\xac\xf0\x9f\xa6\x80."; /* 10 bytes, 5 units of 16 bits */
    const size_t count = 500000, head = sizeof(start_text) - 1, size = head + 10 * count + 2;

    NEED("node");
    char *text = malloc(size + 1);
    dx_process *process = start_node();
    dx_channel *channel = dx_process_channel(process);

    memcpy(text, start_text, head);
    for (size_t i = 0; i < count; i++)
        memcpy(text + head + 10 * i, unit, 10);
    memcpy(text + size - 2, "\"}", 3);
    send_bytes(channel, text, size);
    free(text);
    expect_text(channel, "{\"length\":2500000,\"last\":\"\xf0\x9f\xa6\x80.\"}");

    /* 17 bytes a unit: Node escapes the two control characters. */
    static const char theirs[] = "\xc3\xbc\xe2\x82\xac\xf0\x9f\xa6\x80\\u0007\\n";

    send_text(channel, "{\"do\":\"large\",\"count\":300000}");
    dx_message message = receive(channel);
    const char *data = message.data;
    size_t unit_size = sizeof(theirs) - 1, same = 0;

    ck_assert_uint_eq(message.size, 300000 * unit_size + 2);
    while (same < 300000 && memcmp(data + 1 + same * unit_size, theirs, unit_size) == 0)
        same++;
    ck_assert_uint_eq(same, 300000);
    part(process);
}
END_TEST

START_TEST(test_many_messages_keep_their_order)
{
    char text[64];

    NEED("node");
    dx_process *process = start_node();
    dx_channel *channel = dx_process_channel(process);

    send_text(channel, "{\"do\":\"burst\",\"count\":2000}");
    for (int i = 0; i < 2000; i++) {
        snprintf(text, sizeof(text), "[%d]", i);
        send_text(channel, text);
    }
    for (int i = 0; i < 2000; i++) {
        snprintf(text, sizeof(text), "{\"number\":%d}", i);
        expect_text(channel, text);
    }
    for (int i = 0; i < 2000; i++) {
        snprintf(text, sizeof(text), "[%d]", i);
        expect_text(channel, text);
    }
    part(process);
}
END_TEST

/* Replies answer requests in order, as the framing has no ids. */
START_TEST(test_a_call_is_answered)
{
    dx_message reply;

    NEED("node");
    dx_process *process = start_node();
    dx_channel *channel = dx_process_channel(process);

    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(
            dx_call(channel, "{\"do\":\"echo\",\"value\":[7]}", 25, &reply, PATIENCE_MS), 0);
        ck_assert_int_eq(reply.kind, DX_REPLY);
        ck_assert_uint_eq(reply.size, 13);
        ck_assert_int_eq(memcmp(reply.data, "{\"value\":[7]}", 13), 0);
    }
    part(process);
}
END_TEST

START_TEST(test_node_may_disconnect_first)
{
    NEED("node");
    dx_process *process = start_node();
    dx_channel *channel = dx_process_channel(process);

    send_text(channel, "{\"do\":\"disconnect\"}");
    expect_text(channel, "\"last words\"");
    expect_end(channel);
    expect_exit(process, 5);
}
END_TEST

START_TEST(test_an_exit_code_comes_after_the_last_message)
{
    NEED("node");
    dx_process *process = start_node();

    send_text(dx_process_channel(process), "{\"do\":\"late\"}");
    expect_text(dx_process_channel(process), "\"late\"");
    expect_end(dx_process_channel(process));
    expect_exit(process, 6);

    process = start_node();
    send_text(dx_process_channel(process), "{\"do\":\"exit\",\"code\":7}");
    expect_end(dx_process_channel(process));
    expect_exit(process, 7);
}
END_TEST

START_TEST(test_an_exception_is_exit_code_1)
{
    dx_process_options options = for_node;

    NEED("node");
    options.stdio[2].mode = DX_STDIO_PIPE;
    dx_process *process = start(ARGV("node", SCRIPT("node_child.mjs")), &options);
    int complaints = dx_process_take_stdio(process, 2);

    expect_text(dx_process_channel(process), "\"ready\"");
    send_text(dx_process_channel(process), "{\"do\":\"throw\"}");
    expect_end(dx_process_channel(process));
    expect_exit(process, 1);
    ck_assert_ptr_nonnull(strstr(read_to_end(complaints), "on purpose"));
}
END_TEST

START_TEST(test_stop_is_a_disconnect_first)
{
    dx_exit exit;

    NEED("node");
    dx_process *process = start_node();

    ck_assert_int_eq(dx_process_stop(process, PATIENCE_MS, &exit), 0);
    ck_assert_int_eq(exit.kind, DX_EXIT_CODE);
    ck_assert_int_eq(exit.code, 5);
    ck_assert_int_eq(exit.stop_signal, 0);
    dx_process_close(process);
}
END_TEST

/* Without a listener an open channel does not keep Node alive. */
START_TEST(test_node_without_a_listener_just_ends)
{
    NEED("node");
    dx_process *process = start(ARGV("node", "-e", "process.send({pid: process.pid})"), &for_node);
    char text[32];

    snprintf(text, sizeof(text), "{\"pid\":%d}", (int)dx_process_pid(process));
    expect_text(dx_process_channel(process), text);
    expect_end(dx_process_channel(process));
    expect_exit(process, 0);
}
END_TEST

/* What would kill Node is refused, and Node lives on. */
START_TEST(test_what_would_kill_node_does_not_leave)
{
    static const char *const deadly[] = {
        "",
        " ",
        "no JSON",
        "{\"a\":1",
        "{\"a\":1}\n",
        "{}\n{}",
        "{} {}",
        "'single'",
        "NaN",
        "\"\t\"",
        "{\"cmd\":\"NODE_HANDLE_ACK\"}",
        "{\"cmd\":\"NODE_HANDLE_NACK\"}",
        "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":1}",
        "{\"cmd\":\"NODE_HANDLE\"}",
        "{\"cmd\":\"NODE_x\"}",
        "{ \"a\" : 1 , \"cmd\" : \"NODE_HANDLE_ACK\" }",
        "{\"\\u0063md\":\"\\u004eODE_HANDLE_ACK\"}",
        "{\"cmd\":\"mine\",\"cmd\":\"NODE_HANDLE_ACK\"}",
        "{\"cm\\u0064\":\"NODE\\u005fHANDLE_ACK\"}",
    };

    NEED("node");
    dx_process *process = start_node();
    dx_channel *channel = dx_process_channel(process);

    for (size_t i = 0; i < sizeof(deadly) / sizeof(*deadly); i++) {
        int error = dx_send(channel, deadly[i], strlen(deadly[i]), PATIENCE_MS);

        ck_assert_msg(error == -EINVAL, "'%s': %d", deadly[i], error);
        ck_assert_str_ne(dx_channel_explain(channel), "");
    }
    ck_assert_int_eq(dx_send(channel, "\"\xff\"", 3, PATIENCE_MS), -EINVAL);
    ck_assert_int_eq(dx_send(channel, "\"\0\"", 3, PATIENCE_MS), -EINVAL);
    part(process);
}
END_TEST

/* Node aborts if its variable holds no number, or its mode is unknown: neither is inherited. */
START_TEST(test_node_is_not_killed_by_what_we_inherited)
{
    NEED("node");
    setenv("NODE_CHANNEL_FD", "abc", 1);
    setenv("NODE_CHANNEL_SERIALIZATION_MODE", "advanced", 1);
    dx_process *process = start_node();

    part(process);
    process =
        start(ARGV("node", "-e", ""), &(dx_process_options){.channel.framing = DX_FRAMING_RAW});
    expect_end(dx_process_channel(process));
    expect_exit(process, 0);
}
END_TEST

START_TEST(test_node_is_given_a_stream_only)
{
    dx_failure failure = {0};
    dx_process_options options = {
        .channel = {.framing = DX_FRAMING_NODE, .type = DX_SEQPACKET},
        .failure = &failure,
    };
    dx_process *process;

    ck_assert_int_eq(dx_spawn(&process, ARGV("node", SCRIPT("node_child.mjs")), &options), -EINVAL);
    ck_assert_str_ne(failure.text, "");
}
END_TEST

HARNESS_MAIN("real: node as a child", TEST_WITHIN(test_json_goes_both_ways, 60),
             TEST_WITHIN(test_five_megabytes_go_both_ways, 60),
             TEST_WITHIN(test_many_messages_keep_their_order, 60),
             TEST_WITHIN(test_a_call_is_answered, 60),
             TEST_WITHIN(test_node_may_disconnect_first, 60),
             TEST_WITHIN(test_an_exit_code_comes_after_the_last_message, 60),
             TEST_WITHIN(test_an_exception_is_exit_code_1, 60),
             TEST_WITHIN(test_stop_is_a_disconnect_first, 60),
             TEST_WITHIN(test_node_without_a_listener_just_ends, 60),
             TEST_WITHIN(test_what_would_kill_node_does_not_leave, 60),
             TEST_WITHIN(test_node_is_not_killed_by_what_we_inherited, 60),
             TEST(test_node_is_given_a_stream_only))
