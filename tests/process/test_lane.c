/* SPDX-License-Identifier: MIT */
/*
 * The fast lane between a parent and the programs that it starts: those that take part in it
 * without having been changed for it, and those that cannot.
 */
#include "common.h"

#include <duplex/call.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGES = 200 };

/* Names under which a folder of /proc/self, or a file there, has a lane's memory. */
static size_t count_memory(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    DIR *descriptors = opendir("/proc/self/fd");
    char text[512];
    size_t count = 0;

    ck_assert(maps != NULL && descriptors != NULL);
    while (fgets(text, sizeof(text), maps))
        count += strstr(text, "/memfd:duplex") != NULL;
    for (struct dirent *entry; (entry = readdir(descriptors));) {
        ssize_t size = readlinkat(dirfd(descriptors), entry->d_name, text, sizeof(text) - 1);

        text[size < 0 ? 0 : size] = '\0';
        /* A descriptor of it is no longer needed once it is mapped. */
        ck_assert_msg(strstr(text, "memfd:duplex") == NULL, "descriptor %s is open", entry->d_name);
    }
    closedir(descriptors);
    fclose(maps);
    return count;
}

static char *text_of(unsigned number, size_t *ret_size)
{
    static char text[70000];

    *ret_size = number * 7919U % sizeof(text);
    memset(text, 'a' + (int)(number % 26), *ret_size);
    return text;
}

/* Whatever is said comes back. */
static void converse(dx_channel *channel)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        dx_message message;
        size_t size;
        const char *text = text_of(i, &size);

        ck_assert_int_eq(dx_send(channel, text, size, PATIENCE_MS), 0);
        int got = dx_recv(channel, &message, PATIENCE_MS);

        ck_assert_msg(got == 1, "message %u: %d: %s", i, got, dx_channel_explain(channel));
        ck_assert_uint_eq(message.size, size);
        ck_assert_mem_eq(message.data, text, size);
    }
}

static void expect_conversation(char *const argv[], const dx_process_options *options, bool fast)
{
    dx_failure failure = {0};
    dx_process_options own = *options;
    dx_process *process;
    dx_exit exit;
    size_t before = count_memory();

    own.failure = &failure;
    ASSERT_STARTED(dx_spawn(&process, argv, &own), failure);
    dx_channel *channel = dx_process_channel(process);

    converse(channel);
    ck_assert_int_eq(dx_channel_is_fast(channel), fast);
    ck_assert(fast == (count_memory() > before));
    converse(channel);
    ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    ck_assert_msg(exit.kind == DX_EXIT_CODE && exit.code == 0, "%s", exit.text);
    dx_message message;

    ck_assert_int_eq(dx_recv(channel, &message, PATIENCE_MS), 0);
    dx_process_close(process);
    ck_assert_uint_eq(count_memory(), before);
}

START_TEST(test_a_program_that_was_started_takes_part)
{
    for (int type = DX_STREAM; type <= DX_SEQPACKET; type++)
        expect_conversation(ARGV(TALKER, "echo"), &(dx_process_options){.channel.type = type},
                            true);
}
END_TEST

START_TEST(test_a_parent_that_does_not_want_it_stays_on_the_socket)
{
    for (int type = DX_STREAM; type <= DX_DGRAM; type++)
        expect_conversation(ARGV(TALKER, "echo"),
                            &(dx_process_options){.channel = {.type = type, .socket_only = true}},
                            false);
}
END_TEST

START_TEST(test_the_parents_size_of_the_ring_counts)
{
    expect_conversation(ARGV(TALKER, "echo"),
                        &(dx_process_options){.channel.ring_size = DX_RING_SIZE_MIN}, true);
    expect_conversation(ARGV(TALKER, "echo"),
                        &(dx_process_options){.channel.ring_size = (size_t)4 << 20}, true);
}
END_TEST

START_TEST(test_a_parent_that_trusts_its_program)
{
    expect_conversation(ARGV(TALKER, "echo"), &(dx_process_options){.channel.trust_peer = true},
                        true);
}
END_TEST

static bool python_is_here(void)
{
    return system("python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null") == 0;
}

START_TEST(test_a_child_in_python_stays_on_the_socket)
{
    static char script[] = "import sys\n"
                           "sys.dont_write_bytecode = True\n"
                           "sys.path.insert(0, sys.argv[1])\n"
                           "import duplex\n"
                           "with duplex.parent() as parent:\n"
                           "    for message in parent:\n"
                           "        parent.send(message.data)\n";

    if (!python_is_here())
        HARNESS_SKIP("python3: version 3.8 or later is not here");
    for (int type = DX_STREAM; type <= DX_SEQPACKET; type++)
        expect_conversation(ARGV("python3", "-c", script, DUPLEX_TEST_SOURCE "/clients/python"),
                            &(dx_process_options){.channel.type = type}, false);
}
END_TEST

/* A child that talks on does not wait for a parent that waits for its end. */
START_TEST(test_a_wait_takes_in_what_a_program_says)
{
    const dx_process_options options = {.channel.receive_backlog = (size_t)8 << 20};
    dx_process *process;
    dx_message message;
    dx_exit exit;
    unsigned count = 0;

    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "flood", "4194304"), &options), 0);
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    ck_assert_int_eq(exit.code, 5);
    while (dx_recv(dx_process_channel(process), &message, PATIENCE_MS) == 1)
        count++;
    ck_assert_uint_eq(count, 64);
    dx_process_close(process);
    ck_assert_uint_eq(count_memory(), 0);
}
END_TEST

START_TEST(test_a_program_is_stopped_by_the_end_of_the_conversation)
{
    dx_process *process;
    dx_exit exit;

    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "echo"), NULL), 0);
    converse(dx_process_channel(process));
    ck_assert_int_eq(dx_channel_is_fast(dx_process_channel(process)), 1);
    ck_assert_int_eq(dx_process_stop(process, PATIENCE_MS, &exit), 0);
    ck_assert_int_eq(exit.stop_signal, 0);
    ck_assert_int_eq(exit.code, 0);
    dx_process_close(process);
    ck_assert_uint_eq(count_memory(), 0);
}
END_TEST

/* The child of a child has a lane of its own. */
static int middle(dx_channel *parent, void *context)
{
    dx_process *process;
    dx_message message;

    (void)context;
    harness_child_assert(dx_spawn(&process, ARGV(TALKER, "echo"), NULL) == 0);
    dx_channel *child = dx_process_channel(process);

    while (dx_recv(parent, &message, PATIENCE_MS) == 1) {
        harness_child_assert(dx_send(child, message.data, message.size, PATIENCE_MS) == 0);
        harness_child_assert(dx_recv(child, &message, PATIENCE_MS) == 1);
        harness_child_assert(dx_send(parent, message.data, message.size, PATIENCE_MS) == 0);
    }
    harness_child_assert(dx_channel_is_fast(parent) == 1);
    harness_child_assert(dx_channel_is_fast(child) == 1);
    dx_process_close(process);
    return 0;
}

START_TEST(test_a_child_converses_with_a_child_of_its_own)
{
    dx_process *process;
    dx_exit exit;

    ck_assert_int_eq(dx_fork(&process, middle, NULL, NULL), 0);
    converse(dx_process_channel(process));
    ck_assert_int_eq(dx_channel_end(dx_process_channel(process), PATIENCE_MS), 0);
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    ck_assert_msg(exit.code == 0, "%s", exit.text);
    dx_process_close(process);
}
END_TEST

/* Twenty lanes at a time, each its own. */
START_TEST(test_many_children_each_have_a_lane)
{
    enum { CHILDREN = 20 };
    dx_process *children[CHILDREN];
    size_t size;

    for (unsigned i = 0; i < CHILDREN; i++)
        ck_assert_int_eq(dx_spawn(&children[i], ARGV(TALKER, "echo"), NULL), 0);
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < CHILDREN; i++) {
            const char *text = text_of(i + round, &size);

            ck_assert_int_eq(dx_send(dx_process_channel(children[i]), text, size, PATIENCE_MS), 0);
        }
        for (unsigned i = 0; i < CHILDREN; i++) {
            dx_message message;
            const char *text = text_of(i + round, &size);

            ck_assert_int_eq(dx_recv(dx_process_channel(children[i]), &message, PATIENCE_MS), 1);
            ck_assert_uint_eq(message.size, size);
            ck_assert_mem_eq(message.data, text, size);
        }
    }
    for (unsigned i = 0; i < CHILDREN; i++) {
        ck_assert_int_eq(dx_channel_is_fast(dx_process_channel(children[i])), 1);
        dx_process_close(children[i]);
    }
    ck_assert_uint_eq(count_memory(), 0);
}
END_TEST

HARNESS_MAIN("lane", TEST(test_a_program_that_was_started_takes_part),
             TEST(test_a_parent_that_does_not_want_it_stays_on_the_socket),
             TEST(test_the_parents_size_of_the_ring_counts),
             TEST(test_a_parent_that_trusts_its_program),
             TEST(test_a_child_in_python_stays_on_the_socket),
             TEST(test_a_wait_takes_in_what_a_program_says),
             TEST(test_a_program_is_stopped_by_the_end_of_the_conversation),
             TEST(test_a_child_converses_with_a_child_of_its_own),
             TEST_WITHIN(test_many_children_each_have_a_lane, 40))
