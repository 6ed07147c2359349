/* SPDX-License-Identifier: MIT */
/*
 * Bringing about a child's end: the end of the conversation, SIGTERM, SIGKILL, each with its time.
 */
#include "common.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"

/* Start the talker, and wait for its "here" if it is of that kind. */
static dx_process *talker(const char *manner, bool greets, const dx_process_options *options)
{
    dx_process *process;
    int error = dx_spawn(&process, ARGV(TALKER, (char *)manner), options);

    ck_assert_int_eq(error, 0);
    if (greets)
        ck_assert_str_eq(receive_text(dx_process_channel(process)), "here");
    return process;
}

static void ends_by_code(dx_process *process, int grace_ms, int code, int stop_signal)
{
    dx_exit exit;

    ck_assert_int_eq(dx_process_stop(process, grace_ms, &exit), 0);
    ck_assert_msg(exit.kind == DX_EXIT_CODE && exit.code == code, "%s", exit.text);
    ck_assert_int_eq(exit.stop_signal, stop_signal);
    dx_process_close(process);
}

static void ends_by_signal(dx_process *process, int grace_ms, int signal)
{
    dx_exit exit;

    ck_assert_int_eq(dx_process_stop(process, grace_ms, &exit), 0);
    ck_assert_msg(exit.kind == DX_EXIT_SIGNAL && exit.signal == signal, "%s", exit.text);
    ck_assert_int_eq(exit.stop_signal, signal);
    dx_process_close(process);
}

START_TEST(test_the_end_of_the_conversation_is_enough_for_a_good_child)
{
    ends_by_code(talker("echo", false, NULL), PATIENCE_MS, 0, 0);
    for (int type = DX_STREAM; type <= DX_DGRAM; type++) {
        dx_process_options options = {.channel.type = (dx_channel_type)type};

        ends_by_code(talker("echo", false, &options), PATIENCE_MS, 0, 0);
    }
}
END_TEST

START_TEST(test_the_end_of_standard_input_is_one_too)
{
    dx_process_options options = {.stdio[0].mode = DX_STDIO_PIPE};

    ends_by_code(talker("stdin", false, &options), PATIENCE_MS, 0, 0);
    options =
        (dx_process_options){.handover = DX_HANDOVER_STDIO, .channel.framing = DX_FRAMING_LINE};
    dx_process *process;

    ck_assert_int_eq(dx_spawn(&process, ARGV("cat"), &options), 0);
    ends_by_code(process, PATIENCE_MS, 0, 0);
}
END_TEST

START_TEST(test_a_child_that_does_not_listen_gets_sigterm)
{
    uint64_t begun = now_ms();

    ends_by_signal(talker("deaf", true, NULL), 100, SIGTERM);
    ck_assert_uint_ge(now_ms() - begun, 100);
    ends_by_code(talker("catching", true, NULL), 1000, 6, SIGTERM);
}
END_TEST

START_TEST(test_a_child_that_ignores_sigterm_gets_sigkill)
{
    uint64_t begun = now_ms();

    ends_by_signal(talker("stubborn", true, NULL), 100, SIGKILL);
    ck_assert_uint_ge(now_ms() - begun, 200);
    ck_assert_uint_lt(now_ms() - begun, 5000);
}
END_TEST

START_TEST(test_a_stopped_child_is_stopped_for_good)
{
    dx_process *process = talker("stopped", true, NULL);
    int status;

    ck_assert_int_eq(waitpid(dx_process_pid(process), &status, WUNTRACED), dx_process_pid(process));
    ck_assert(WIFSTOPPED(status));
    /* SIGTERM alone would wait for SIGCONT. */
    ends_by_signal(process, 300, SIGTERM);
    process = talker("stubborn", true, NULL);
    ck_assert_int_eq(dx_process_signal(process, SIGSTOP), 0);
    ends_by_signal(process, 50, SIGKILL);
}
END_TEST

START_TEST(test_no_grace_is_no_wait)
{
    uint64_t begun = now_ms();

    ck_assert_int_eq(dx_process_stop(NULL, 0, NULL), -EINVAL);
    dx_process *process = talker("stubborn", true, NULL);

    ck_assert_int_eq(dx_process_stop(process, -2, NULL), -EINVAL);
    ends_by_signal(process, 0, SIGKILL);
    ck_assert_uint_lt(now_ms() - begun, 2000);
}
END_TEST

START_TEST(test_the_options_times_are_the_default_and_a_step_can_be_skipped)
{
    dx_process_options options = {.stop_end_ms = 150, .stop_term_ms = 100};
    uint64_t begun = now_ms();

    ends_by_signal(talker("stubborn", true, &options), DX_GRACE_DEFAULT, SIGKILL);
    ck_assert_uint_ge(now_ms() - begun, 250);
    ck_assert_uint_lt(now_ms() - begun, 1500);

    options = (dx_process_options){.stop_end_ms = -1};
    ends_by_signal(talker("deaf", true, &options), DX_GRACE_DEFAULT, SIGTERM);
    options = (dx_process_options){.stop_end_ms = -1, .stop_term_ms = -1};
    ends_by_signal(talker("catching", true, &options), DX_GRACE_DEFAULT, SIGKILL);
    options = (dx_process_options){.stop_end_ms = 50, .stop_term_ms = -1};
    ends_by_signal(talker("deaf", true, &options), DX_GRACE_DEFAULT, SIGKILL);
}
END_TEST

START_TEST(test_closing_stops_and_reaps)
{
    dx_process_options options = {.stop_end_ms = 50, .stop_term_ms = 50};
    dx_process *process = talker("stubborn", true, &options);
    pid_t pid = dx_process_pid(process);

    ck_assert_ptr_null(dx_process_close(process));
    ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), -1);
    ck_assert_int_eq(kill(pid, 0), -1);
    ck_assert_ptr_null(dx_process_close(NULL));
}
END_TEST

START_TEST(test_what_the_child_still_says_can_be_received)
{
    dx_process *process;
    dx_message message;
    dx_exit exit;
    size_t received = 0;

    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "flood", "4194304"), NULL), 0);
    ck_assert_int_eq(dx_process_stop(process, PATIENCE_MS, &exit), 0);
    ck_assert_int_eq(exit.code, 5);
    ck_assert_int_eq(exit.stop_signal, 0);
    while (dx_recv(dx_process_channel(process), &message, PATIENCE_MS) == 1)
        received += message.size;
    ck_assert_uint_eq(received, 4194304);
    dx_process_close(process);
}
END_TEST

START_TEST(test_what_was_still_to_be_sent_arrives_before_the_end)
{
    dx_process *process = talker("echo", false, NULL);
    dx_channel *channel = dx_process_channel(process);
    dx_message message;
    dx_exit exit;

    ck_assert_int_eq(dx_cork(channel), 0);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(dx_send(channel, "words", 5, PATIENCE_MS), 0);
    ck_assert_int_eq(dx_process_stop(process, PATIENCE_MS, &exit), 0);
    ck_assert_str_eq(exit.text, "exited with status 0");
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(dx_recv(channel, &message, PATIENCE_MS), 1);
    ck_assert_int_eq(dx_recv(channel, &message, PATIENCE_MS), 0);
    dx_process_close(process);
}
END_TEST

/* More than the kernel takes at once: the end must wait for the rest. */
START_TEST(test_a_long_rest_arrives_before_the_end)
{
    static char block[3 << 20];
    dx_process *process = talker("echo", false, NULL);
    dx_channel *channel = dx_process_channel(process);
    dx_message message;
    dx_exit exit;

    memset(block, 'b', sizeof(block));
    ck_assert_int_eq(dx_send(channel, block, sizeof(block), DX_NOW), 0);
    ck_assert_int_eq(dx_process_stop(process, PATIENCE_MS, &exit), 0);
    ck_assert_str_eq(exit.text, "exited with status 0");
    ck_assert_int_eq(dx_recv(channel, &message, PATIENCE_MS), 1);
    ck_assert_uint_eq(message.size, sizeof(block));
    dx_process_close(process);
}
END_TEST

START_TEST(test_a_whole_group_is_stopped)
{
    static const dx_group groups[] = {DX_GROUP_NEW, DX_GROUP_SESSION};

    adopt_orphans();
    for (int i = 0; i < 2; i++) {
        dx_process_options options = {.group = groups[i]};
        dx_process *process = talker("family", false, &options);
        pid_t grandchild = (pid_t)receive_number(dx_process_channel(process));

        /* The child ends by itself; the grandchild, which ignores SIGTERM, is killed. */
        ends_by_code(process, PATIENCE_MS, 0, 0);
        ck_assert(orphan_ended(grandchild, PATIENCE_MS));
    }
}
END_TEST

START_TEST(test_a_signal_reaches_the_whole_group)
{
    dx_process_options options = {.group = DX_GROUP_NEW, .channel.framing = DX_FRAMING_LINE};
    dx_process *process;

    adopt_orphans();
    ck_assert_int_eq(
        dx_spawn(&process, ARGV("sh", "-c", "sleep 100 & echo $! >&3; wait"), &options), 0);
    pid_t grandchild = (pid_t)receive_number(dx_process_channel(process));

    ck_assert_int_eq(dx_process_signal(process, SIGTERM), 0);
    ck_assert_int_eq(dx_process_wait(process, NULL, PATIENCE_MS), 0);
    ck_assert(orphan_ended(grandchild, PATIENCE_MS));
    ck_assert_int_eq(dx_process_signal(process, SIGTERM), -ESRCH);
    dx_process_close(process);
}
END_TEST

START_TEST(test_without_a_group_a_grandchild_is_left_alone)
{
    dx_process *process;

    adopt_orphans();
    process = talker("family", false, NULL);
    pid_t grandchild = (pid_t)receive_number(dx_process_channel(process));

    ends_by_code(process, PATIENCE_MS, 0, 0);
    ck_assert(!orphan_ended(grandchild, 100));
    kill(grandchild, SIGKILL);
    ck_assert(orphan_ended(grandchild, PATIENCE_MS));
}
END_TEST

/* What kernels before 6.9 and filters answer. */
static int no_signals_by_pidfd(int pidfd, pid_t leader, int signal)
{
    (void)pidfd;
    return kill(-leader, signal) < 0 ? -errno : 0;
}

START_TEST(test_a_group_is_stopped_on_an_old_kernel_too)
{
    struct dxi_os old = dxi_linux;
    dx_process_options options = {.group = DX_GROUP_NEW};

    adopt_orphans();
    old.signal_group = no_signals_by_pidfd;
    dxi_os = &old;
    dx_process *process = talker("family", false, &options);
    pid_t grandchild = (pid_t)receive_number(dx_process_channel(process));

    ends_by_code(process, PATIENCE_MS, 0, 0);
    dxi_os = &dxi_linux;
    ck_assert(orphan_ended(grandchild, PATIENCE_MS));
}
END_TEST

START_TEST(test_a_signal_that_does_not_exist_is_refused)
{
    dx_process *process = talker("echo", false, NULL);

    ck_assert_int_eq(dx_process_signal(process, 12345), -EINVAL);
    ck_assert_int_eq(dx_process_signal(process, -1), -EINVAL);
    ck_assert_int_eq(dx_process_signal(process, 0), 0);
    ends_by_code(process, PATIENCE_MS, 0, 0);
}
END_TEST

static int not_permitted(int pidfd, pid_t pid, int signal)
{
    (void)pidfd;
    (void)pid;
    (void)signal;
    return -EPERM;
}

START_TEST(test_a_child_that_may_not_be_signalled_is_told)
{
    struct dxi_os strict = dxi_linux;
    dx_process *process = talker("stubborn", true, NULL);

    strict.signal = not_permitted;
    dxi_os = &strict;
    ck_assert_int_eq(dx_process_signal(process, SIGTERM), -EPERM);
    ck_assert_int_eq(dx_process_stop(process, 10, NULL), -EPERM);
    ck_assert_ptr_nonnull(strstr(dx_process_explain(process), "may not signal"));
    dxi_os = &dxi_linux;
    ck_assert_int_eq(dx_process_stop(process, 10, NULL), 0);
    dx_process_close(process);
}
END_TEST

HARNESS_MAIN("process: stop", TEST(test_the_end_of_the_conversation_is_enough_for_a_good_child),
             TEST(test_the_end_of_standard_input_is_one_too),
             TEST(test_a_child_that_does_not_listen_gets_sigterm),
             TEST(test_a_child_that_ignores_sigterm_gets_sigkill),
             TEST(test_a_stopped_child_is_stopped_for_good), TEST(test_no_grace_is_no_wait),
             TEST(test_the_options_times_are_the_default_and_a_step_can_be_skipped),
             TEST(test_closing_stops_and_reaps),
             TEST(test_what_the_child_still_says_can_be_received),
             TEST(test_what_was_still_to_be_sent_arrives_before_the_end),
             TEST(test_a_long_rest_arrives_before_the_end), TEST(test_a_whole_group_is_stopped),
             TEST(test_a_signal_reaches_the_whole_group),
             TEST(test_without_a_group_a_grandchild_is_left_alone),
             TEST(test_a_group_is_stopped_on_an_old_kernel_too),
             TEST(test_a_signal_that_does_not_exist_is_refused),
             TEST(test_a_child_that_may_not_be_signalled_is_told))
