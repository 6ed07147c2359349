/* SPDX-License-Identifier: MIT */
/*
 * A child starts clean: whatever its parent has open, ignores or blocks.
 */
#include "common.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPENED = 200 };

/* Many descriptors, none close-on-exec, one of them far up. */
static void open_many(int opened[OPENED])
{
    for (int i = 0; i < OPENED; i++) {
        opened[i] = open("/dev/null", O_RDWR);
        ck_assert_int_ge(opened[i], 0);
    }
    ck_assert_int_eq(dup2(opened[0], 900), 900);
}

static void close_many(const int opened[OPENED])
{
    for (int i = 0; i < OPENED; i++)
        close(opened[i]);
    close(900);
}

START_TEST(test_only_stdio_and_the_channel_are_open_in_a_program)
{
    int opened[OPENED];

    open_many(opened);
    ck_assert_str_eq(output_of(ARGV(PROBE, "descriptors"), NULL), "0 1 2 3\n");
    close_many(opened);
}
END_TEST

START_TEST(test_the_gaps_between_chosen_numbers_are_closed)
{
    int opened[OPENED];
    dx_descriptor list[] = {{.fd = 0, .target = 40}, {.fd = 0, .target = 6}};
    dx_process_options options = {.channel_target = 20, .descriptors = list, .descriptor_count = 2};

    open_many(opened);
    ck_assert_str_eq(output_of(ARGV(PROBE, "descriptors"), &options), "0 1 2 6 20 40\n");
    close_many(opened);
}
END_TEST

START_TEST(test_a_channel_as_stdio_is_the_only_one)
{
    dx_process_options options = {.handover = DX_HANDOVER_STDIO,
                                  .channel.framing = DX_FRAMING_LINE};
    dx_process *process;

    ck_assert_int_eq(dx_spawn(&process, ARGV(PROBE, "descriptors"), &options), 0);
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "0 1 2");
    dx_process_close(process);
}
END_TEST

static int list_descriptors(dx_channel *parent, void *arg)
{
    char list[256] = "";
    size_t length = 0;
    struct rlimit limit;

    (void)arg;
    getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = 0; fd < 4096 && (rlim_t)fd < limit.rlim_cur; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            length += (size_t)snprintf(list + length, sizeof(list) - length, "%d ", fd);
    }
    return dx_send(parent, list, length, DX_FOREVER) < 0;
}

START_TEST(test_only_stdio_and_the_channel_are_open_in_a_function)
{
    int opened[OPENED];
    dx_process *process;

    open_many(opened);
    ck_assert_int_eq(dx_fork(&process, list_descriptors, NULL, NULL), 0);
    const char *text = receive_text(dx_process_channel(process));

    /* 4, where the kernel gives one, is the parent's pidfd: the channel watches it. */
    ck_assert_msg(strcmp(text, "0 1 2 3 4 ") == 0 || strcmp(text, "0 1 2 3 ") == 0, "open: %s",
                  text);
    dx_process_close(process);
    close_many(opened);
}
END_TEST

static void misbehave(void)
{
    sigset_t all;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

/* cat(1) installs no handler, as a sanitizer in a program of ours would. */
START_TEST(test_signals_are_as_new_in_a_program)
{
    static const char *const sets[] = {"SigBlk:", "SigIgn:", "SigCgt:"};

    misbehave();
    const char *text = output_of(ARGV("cat", "/proc/self/status"), NULL);

    for (int i = 0; i < 3; i++) {
        const char *set = strstr(text, sets[i]);

        ck_assert_ptr_nonnull(set);
        ck_assert_msg(strncmp(set + 7, "\t0000000000000000\n", 18) == 0, "%.26s", set);
    }
}
END_TEST

static int look_at_signals(dx_channel *parent, void *arg)
{
    sigset_t blocked;
    int wrong = 0;

    (void)parent;
    (void)arg;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;

        if (sigaction(number, NULL, &action) == 0)
            wrong += action.sa_handler != SIG_DFL || sigismember(&blocked, number) == 1;
    }
    return wrong;
}

START_TEST(test_signals_are_as_new_in_a_function)
{
    dx_process *process;
    dx_exit exit;

    misbehave();
    ck_assert_int_eq(dx_fork(&process, look_at_signals, NULL, NULL), 0);
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    ck_assert_str_eq(exit.text, "exited with status 0");
    dx_process_close(process);
}
END_TEST

static void mask_of_this_thread(char ret[64])
{
    char line[256];
    FILE *status = fopen("/proc/thread-self/status", "re");

    ck_assert_ptr_nonnull(status);
    while (fgets(line, sizeof(line), status) && strncmp(line, "SigBlk:", 7) != 0)
        continue;
    snprintf(ret, 64, "%.60s", line);
    fclose(status);
}

START_TEST(test_the_parents_own_mask_and_errno_are_as_before)
{
    char before[64], after[64];
    dx_process *process;

    mask_of_this_thread(before);
    errno = 12345;
    ck_assert_int_eq(dx_spawn(&process, ARGV("nope"), NULL), -ENOENT);
    ck_assert_int_eq(dx_spawn(&process, ARGV("true"), NULL), 0);
    ck_assert_int_eq(errno, 12345);
    mask_of_this_thread(after);
    ck_assert_str_eq(after, before);
    dx_process_close(process);
}
END_TEST

static volatile sig_atomic_t handled_here, handled_elsewhere;
static pid_t here;

static void note_where(int signal)
{
    (void)signal;
    if (getpid() == here)
        handled_here = 1;
    else
        handled_elsewhere = 1;
}

/* The handler must run here and not in the child that borrows our memory or is our copy. */
START_TEST(test_no_handler_of_the_parent_runs_in_the_child)
{
    dx_process *process;

    here = getpid();
    signal(SIGUSR1, note_where);
    for (int i = 0; i < 100; i++) {
        pid_t poker = fork();

        if (poker == 0) {
            signal(SIGUSR1, SIG_IGN);
            for (int n = 0; n < 20; n++)
                kill(0, SIGUSR1);
            _exit(0);
        }
        int error = dx_spawn(&process, ARGV("true"), NULL);

        ck_assert_msg(error == 0, "%d", error);
        dx_process_wait(process, NULL, PATIENCE_MS);
        dx_process_close(process);
        while (waitpid(poker, NULL, 0) < 0)
            ck_assert_int_eq(errno, EINTR);
        ck_assert(handled_here && !handled_elsewhere);
    }
}
END_TEST

HARNESS_MAIN("process: clean start", TEST(test_only_stdio_and_the_channel_are_open_in_a_program),
             TEST(test_the_gaps_between_chosen_numbers_are_closed),
             TEST(test_a_channel_as_stdio_is_the_only_one),
             TEST(test_only_stdio_and_the_channel_are_open_in_a_function),
             TEST(test_signals_are_as_new_in_a_program),
             TEST(test_signals_are_as_new_in_a_function),
             TEST(test_the_parents_own_mask_and_errno_are_as_before),
             TEST(test_no_handler_of_the_parent_runs_in_the_child))
