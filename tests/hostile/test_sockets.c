/* SPDX-License-Identifier: MIT */
/*
 * Children that do to a socket what the protocol knows nothing of.
 */
#include "common.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WRECKER .program = "child_wrecker"

/*
 * The last byte out of band is not of the stream, and is dropped when the reader passes by. An earlier one
 * becomes one of the stream when the next comes (Linux, af_unix).
 */
MISDEED(test_a_byte_out_of_band, WRECKER, .does = "sends a byte out of band (MSG_OOB)",
        .act = "urgent", .over = BY_STREAM | BY_FAST_STREAM, .answer = -ETIMEDOUT,
        .says = "the peer said nothing until the deadline")

MISDEED(test_a_message_that_ends_out_of_band, WRECKER,
        .does = "sends the last byte of a message out of band", .act = "urgent-in-message",
        .over = BY_STREAM, .answer = -ETIMEDOUT,
        .says = "the peer has not finished a message until the deadline")

MISDEED(test_a_flood_out_of_band, WRECKER, .does = "floods with bytes out of band",
        .act = "urgent-flood", .over = BY_STREAM | BY_FAST_STREAM, .stirs = true, .answer = -EPROTO,
        .says = "the peer sent a frame of the unknown kind 33")

/* The child has shut it when it says so. */
static int send_when_told(struct scene *scene)
{
    dx_message message;

    ck_assert_int_eq(dx_recv(scene->channel, &message, 10000), 1);
    uint64_t begun = begin_call();
    int status = send_numbered(scene->channel, 0, 1000, wait_ms_of(scene));

    end_call(scene, "dx_send()", begun, 0);
    return keep_answer(scene, status, NULL);
}

MISDEED(test_a_child_that_shuts_its_ear, WRECKER, .does = "shuts its reading side (SHUT_RD)",
        .act = "shut-reading", .over = BY_SOCKET, .manner = SENDS, .meet = send_when_told,
        .answer = -EPIPE, .says = "the peer has gone, or takes nothing more")

/* Linux tells a sender nothing that waits for room already: it is as one that reads nothing. */
MISDEED(test_a_child_that_shuts_its_ear_to_a_sender, WRECKER,
        .does = "shuts its reading side while its parent waits for room",
        .act = "shut-reading-late", .needs = needs_no_valgrind, .over = BY_SOCKET, .manner = SENDS,
        .at = AT_WAITING, .answer = -ETIMEDOUT, .says = "the peer took nothing until the deadline")

MISDEED(test_a_child_that_shuts_its_mouth, WRECKER, .does = "shuts its writing side (SHUT_WR)",
        .act = "shut-writing", .over = ANY_WAY, .answer = 0)

MISDEED(test_a_child_that_shuts_its_mouth_hears_on, WRECKER,
        .does = "shuts its writing side and reads nothing", .act = "shut-writing",
        .over = BY_SOCKET, .manner = SENDS, .answer = -ETIMEDOUT,
        .says = "the peer took nothing until the deadline")

MISDEED(test_a_child_that_shuts_both, WRECKER, .does = "shuts both sides (SHUT_RDWR)",
        .act = "shut-both", .over = ANY_WAY, .answer = 0)

MISDEED(test_a_child_that_shuts_both_is_sent_to, WRECKER,
        .does = "shuts both sides, and is sent to", .act = "shut-both", .over = ANY_WAY,
        .manner = SENDS, .answer = -EPIPE, .says = "the peer has gone, or takes nothing more")

MISDEED(test_a_child_that_shuts_both_in_a_message, WRECKER,
        .does = "shuts both sides in the middle of a message", .act = "shut-in-message",
        .over = ANY_WAY, .answer = -EPIPE,
        .says = "the conversation ended in the middle of a message: 22 of 116 bytes came")

MISDEED(test_a_child_that_closes_and_lives_on, WRECKER, .does = "closes its end and lives on",
        .act = "close", .over = ANY_WAY, .answer = 0)

MISDEED(test_a_flag_that_is_flipped_under_a_receiver, WRECKER,
        .does = "flips O_NONBLOCK of its end, and of its parent's if it can get at it",
        .act = "flip-blocking", .over = ANY_WAY, .answer = -ETIMEDOUT,
        .says = "the peer said nothing until the deadline")

MISDEED(test_a_flag_that_is_flipped_under_a_sender, WRECKER,
        .does = "flips O_NONBLOCK of its end, and of its parent's if it can get at it, and reads "
                "nothing",
        .act = "flip-blocking", .over = ANY_WAY, .manner = SENDS, .answer = -ETIMEDOUT,
        .says = "the peer took nothing until the deadline")

/*
 * Who has these privileges is not counted, and would not be refused. Root without them is, and so no
 * other process of root is disturbed, nor any of another user.
 */
static const char *needs_root(void)
{
    if (harness_valgrind())
        return needs_no_valgrind();
    return geteuid() == 0 ? NULL : "needs root: it would disturb all processes of this user";
}

static void set_privileges(bool on, rlim_t files)
{
    const uint32_t privileges = 1U << CAP_SYS_RESOURCE | 1U << CAP_SYS_ADMIN;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    struct rlimit limit;

    ck_assert_int_eq(syscall(SYS_capget, &header, sets), 0);
    sets[0].effective =
        on ? sets[0].effective | (sets[0].permitted & privileges) : sets[0].effective & ~privileges;
    ck_assert_int_eq(syscall(SYS_capset, &header, sets), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = files < limit.rlim_max ? files : limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int pass_when_full(struct scene *scene)
{
    dx_message message;

    ck_assert_int_eq(dx_recv(scene->channel, &message, PATIENCE_MS), 1);
    ck_assert_uint_eq(message.size, 4);
    set_privileges(false, 300);
    pass(scene, wait_ms_of(scene));
    set_privileges(true, 1024);
    return scene->answer;
}

/* Messages without descriptors go on. */
static void say_something(struct scene *scene)
{
    ck_assert_int_eq(dx_send(scene->channel, "x", 1, wait_ms_of(scene)), 0);
}

MISDEED(test_too_many_descriptors_in_flight, WRECKER,
        .does = "has as many descriptors in flight as its user may", .act = "exhaust",
        .over = ANY_WAY, .manner = PASSES, .needs = needs_root, .meet = pass_when_full,
        .answer = -ETOOMANYREFS, .says = "too many descriptors of this user are in flight",
        .then = say_something)

HOSTILE_MAIN("Sockets")
