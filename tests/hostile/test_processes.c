/* SPDX-License-Identifier: MIT */
/*
 * Children that stop, die, or leave others behind.
 */
#include "common.h"

#include <sys/resource.h>

#define BREEDER .program = "child_breeder", .over = ANY_WAY

MISDEED(test_a_child_that_stops_itself, BREEDER, .does = "stops itself (SIGSTOP)", .act = "stop",
        .answer = -ETIMEDOUT, .says = "the peer said nothing until the deadline")

MISDEED(test_a_child_that_stops_itself_is_sent_to, BREEDER, .does = "stops itself, and is sent to",
        .act = "stop", .manner = SENDS, .answer = -ETIMEDOUT,
        .says = "the peer took nothing until the deadline")

MISDEED(test_a_child_that_stops_itself_is_called, BREEDER, .does = "stops itself, and is called",
        .act = "stop", .manner = ASKS, .answer = -ETIMEDOUT, .messages = UNTIL_IT_ENDS,
        .says = "the peer … until the deadline")

static int wait_for_its_end(struct scene *scene)
{
    dx_exit exit;
    uint64_t begun = begin_call();
    int status = dx_process_wait(scene->process, &exit, wait_ms_of(scene));

    end_call(scene, "dx_process_wait()", begun, wait_ms_of(scene));
    return keep_answer(scene, status, dx_process_explain(scene->process));
}

MISDEED(test_a_child_that_stops_itself_is_waited_for, BREEDER,
        .does = "stops itself, and is waited for", .act = "stop", .meet = wait_for_its_end,
        .call = "dx_process_wait", .answer = -ETIMEDOUT,
        .says = "cannot wait for the child …: it still runs")

/* Each step has its time, and the last is SIGKILL. */
static int stop_with_grace(struct scene *scene)
{
    enum { GRACE_MS = 50 };
    dx_message message;
    dx_exit exit;

    ck_assert_int_eq(dx_recv(scene->channel, &message, PATIENCE_MS), 1);
    uint64_t begun = begin_call();
    int status = dx_process_stop(scene->process, GRACE_MS, &exit);

    end_call(scene, "dx_process_stop()", begun, 2 * GRACE_MS);
    ck_assert_str_eq(exit.text, "killed by SIGKILL");
    return keep_answer(scene, status, NULL);
}

MISDEED(test_a_child_that_blocks_all_signals, BREEDER,
        .does = "blocks all signals and does not leave when it is asked to", .act = "cling",
        .meet = stop_with_grace, .call = "dx_process_stop", .answer = 0)

MISDEED(test_a_grandchild_that_holds_the_end, BREEDER,
        .does = "exits and leaves a grandchild with its end", .act = "leave-grandchild",
        .leaves = 1, .answer = 0, .messages = 1, .ends = "exited with status 0")

MISDEED(test_a_grandchild_that_holds_the_end_is_sent_to, BREEDER,
        .does = "exits and leaves a grandchild with its end, and is sent to",
        .act = "leave-grandchild", .leaves = 1, .manner = SENDS, .answer = -EPIPE,
        .ends = "exited with status 0", .says = "the peer has …")

/* What the grandchild says may be cut where the child's conversation is: that is an end, too. */
static int receive_to_a_cut(struct scene *scene)
{
    int status = receive_all(scene);

    if (status == -EPIPE && strstr(scene->text, "in the middle of a message") != NULL)
        keep_answer(scene, 0, NULL);
    return scene->answer;
}

MISDEED(test_a_grandchild_that_talks_on, BREEDER,
        .does = "exits and leaves a grandchild that floods with messages", .act = "leave-talker",
        .meet = receive_to_a_cut, .leaves = 1, .stirs = true, .answer = 0,
        .messages = UNTIL_IT_ENDS, .ends = "exited with status 0")

MISDEED(test_a_daemon_that_holds_the_end, BREEDER,
        .does = "forks twice and exits: a daemon in a session of its own holds its end",
        .act = "leave-daemon", .leaves = 1, .answer = 0, .messages = 1,
        .ends = "exited with status 0")

/* As many processes as it may have, in one group, which ends with its leader. */
static void limit_processes(dx_process_options *options)
{
    static const dx_limit limits[] = {{RLIMIT_NPROC, 40, 40}};

    options->group = DX_GROUP_NEW;
    options->limits = limits;
    options->limit_count = 1;
}

MISDEED(test_a_storm_of_forks, BREEDER,
        .does = "forks as often as it may (RLIMIT_NPROC), in a group of its own, and exits",
        .act = "fork-storm", .prepare = limit_processes, .answer = 0, .messages = 1,
        .ends = "exited with status 0")

MISDEED(test_an_exit_without_a_word, BREEDER, .does = "exits without having said the end",
        .act = "leave", .answer = 0, .ends = "exited with status 0")

/* Of what was sent to it the child reads nothing; what it said is received all the same. */
static int send_and_receive(struct scene *scene)
{
    for (unsigned i = 0; i < 20; i++) {
        int status = send_numbered(scene->channel, i, 1000, wait_ms_of(scene));

        ck_assert(status == 0 || status == -EPIPE);
    }
    return receive_all(scene);
}

MISDEED(test_an_exit_with_words_unread, BREEDER, .does = "exits with messages unread",
        .act = "speak-and-leave", .meet = send_and_receive, .answer = 0, .messages = 1,
        .ends = "exited with status 0")

MISDEED(test_an_exit_under_a_sender, BREEDER, .does = "exits, and is sent to", .act = "leave",
        .manner = SENDS, .answer = -EPIPE, .ends = "exited with status 0", .says = "the peer has …")

static void leave_no_core(dx_process_options *options)
{
    static const dx_limit limits[] = {{RLIMIT_CORE, 0, 0}};

    options->limits = limits;
    options->limit_count = 1;
}

MISDEED(test_a_crash, BREEDER, .does = "crashes", .act = "crash", .prepare = leave_no_core,
        .answer = 0, .ends = "killed by SIGSEGV")

HOSTILE_MAIN("Processes")
