/* SPDX-License-Identifier: MIT */
/*
 * Children that send descriptors as they should not.
 */
#include "common.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

static const char *needs_many_files(void)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return limit.rlim_cur < 4096 ? "needs a limit of 4096 open files" : NULL;
}

static const char *needs_a_kernel_that_refuses(void)
{
    int ends[2], off = 0;

    raw_pair(DX_STREAM, ends);
    int status = setsockopt(ends[0], SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));

    close(ends[0]);
    close(ends[1]);
    return status < 0 ? "needs SO_PASSRIGHTS, of Linux 6.16" : NULL;
}

#define GIVER .program = "child_giver", .descriptor_limit = 2

MISDEED(test_a_descriptor_that_was_not_announced, GIVER,
        .does = "sends a descriptor that it has not announced", .act = "undeclared",
        .over = ANY_WAY, .answer = -EPROTO,
        .says = "the peer sent descriptors that it had not announced")

MISDEED(test_fewer_descriptors_than_announced, GIVER, .does = "announces 2 descriptors and sends 1",
        .act = "too-few", .over = BY_SOCKET, .answer = -EPROTO,
        .says = "the peer announced 2 descriptors with a message and sent 1")

MISDEED(test_no_descriptor_although_announced, GIVER,
        .does = "announces a descriptor and sends none", .act = "none", .over = ANY_WAY,
        .answer = -EPROTO, .says = "the peer announced 1 descriptors with a message and sent 0")

MISDEED(test_more_descriptors_than_announced, GIVER, .does = "announces a descriptor and sends 2",
        .act = "too-many", .over = ANY_WAY, .answer = -EPROTO,
        .says = "the peer sent descriptors that it had not announced")

MISDEED(test_more_descriptors_than_welcome, GIVER,
        .does = "sends 3 descriptors with a message, to a parent that accepts 2",
        .act = "over-the-limit", .over = ANY_WAY, .answer = -EPROTO,
        .says = "the peer announced 3 descriptors with a message; this end accepts 2")

MISDEED(test_as_many_descriptors_as_can_be, GIVER,
        .does = "sends 253 descriptors with a message, to a parent that accepts 2",
        .act = "as-many-as-can-be", .over = ANY_WAY, .answer = -EPROTO,
        .says = "the peer announced 253 descriptors with a message; this end accepts 2")

/* What waits in the parent is bounded: four messages of the greatest number, and one that it looks at. */
static void expect_few_descriptors(struct scene *scene)
{
    (void)scene;
    ck_assert_uint_le(harness_open_descriptors(), 6 * DX_DESCRIPTORS_MAX + 64);
}

MISDEED(test_a_flood_of_descriptors, .program = "child_giver", .descriptor_limit = 253,
        .does = "floods with messages of 253 descriptors each", .act = "flood", .over = ANY_WAY,
        .needs = needs_many_files, .answer = 1, .messages = UNTIL_IT_ENDS,
        .then = expect_few_descriptors)

MISDEED(test_a_flood_of_descriptors_and_a_sender, .program = "child_giver", .descriptor_limit = 253,
        .manner = SENDS, .at = AT_WAITING,
        .does = "floods with messages of 253 descriptors each and reads nothing", .act = "flood",
        .over = ANY_WAY, .needs = needs_many_files, .answer = -EDEADLK,
        .says = "both sides send and neither receives: … bytes wait here to be received, the limit "
                "is 131072",
        .then = expect_few_descriptors)

/* The limit of open files is near: two messages of them have room, with what the test has open. */
static void lower_the_limit(dx_process_options *options)
{
    struct rlimit limit;

    (void)options;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 100;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Once; the message comes then, and says that it lost them. */
static void expect_the_message(struct scene *scene)
{
    dx_message message;

    ck_assert_int_eq(dx_recv(scene->channel, &message, wait_ms_of(scene)), 1);
    ck_assert_uint_eq(message.descriptors_lost, DX_DESCRIPTORS_MAX);
    ck_assert_uint_eq(message.descriptor_count, 0);
}

MISDEED(
    test_more_descriptors_than_there_is_room_for, .program = "child_giver", .descriptor_limit = 253,
    .prepare = lower_the_limit, .does = "sends 253 descriptors to a parent that may open 100 files",
    .needs = needs_no_valgrind, .act = "as-many-as-can-be", .over = ANY_WAY, .answer = -EMFILE,
    .says = "253 descriptors came with a message and were lost: this process is at its limit of "
            "open files (RLIMIT_NOFILE)",
    .then = expect_the_message)

MISDEED(test_descriptors_where_none_is_welcome, .program = "child_giver",
        .does = "sends a descriptor to a parent that accepts none, and is refused by the kernel",
        .act = "unwelcome", .over = ANY_WAY, .needs = needs_a_kernel_that_refuses, .answer = 0,
        .messages = 1)

/* The kernel says no end then: the parent holds the other side itself. */
MISDEED(test_its_own_end_of_the_conversation, GIVER,
        .does = "sends its own end of the conversation and exits", .act = "own-end",
        .over = ANY_WAY, .answer = 0, .messages = 1, .ends = "exited with status 0")

/* The end lies in the parent's own queue, unread, when the child has gone. */
static int wait_and_receive(struct scene *scene)
{
    dx_exit exit;

    ck_assert_int_eq(dx_process_wait(scene->process, &exit, 10000), 0);
    return receive_all(scene);
}

MISDEED(test_its_own_end_in_the_queue, GIVER,
        .does = "sends its own end of the conversation, and has exited when that is read",
        .act = "own-end", .over = ANY_WAY, .meet = wait_and_receive, .answer = 0, .messages = 1)

/* The parent keeps what it got: even so the conversation ends. */
static int keep_the_end(struct scene *scene)
{
    dx_message message;

    ck_assert_int_eq(dx_recv(scene->channel, &message, 10000), 1);
    int end = dx_message_take(&message, 0);

    ck_assert_int_ge(end, 0);
    scene->messages = 1;
    receive_all(scene);
    close(end);
    return scene->answer;
}

MISDEED(test_its_own_end_for_the_parent_to_keep, GIVER,
        .does = "sends its own end of the conversation, which the parent keeps, and exits",
        .act = "own-end", .over = ANY_WAY, .meet = keep_the_end, .answer = 0, .messages = 1)

HOSTILE_MAIN("Descriptors")
