/* SPDX-License-Identifier: MIT */
/*
 * The truth about how a child ended, whatever the host program does with its children's deaths.
 */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"

static dx_exit run(char *const argv[], const dx_process_options *options)
{
    dx_process *process;
    dx_exit exit;

    ck_assert_int_eq(dx_spawn(&process, argv, options), 0);
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    dx_process_close(process);
    return exit;
}

static dx_exit raise_in_child(int signal)
{
    const dx_limit no_core[] = {{RLIMIT_CORE, 0, 0}};
    dx_process_options options = {.limits = no_core, .limit_count = 1};
    char number[16];

    snprintf(number, sizeof(number), "%d", signal);
    return run(ARGV(TALKER, "raise", number), &options);
}

START_TEST(test_an_exit_code_is_reported)
{
    dx_exit exit = run(ARGV(TALKER, "exit", "3"), NULL);

    ck_assert_int_eq(exit.kind, DX_EXIT_CODE);
    ck_assert_int_eq(exit.code, 3);
    ck_assert_int_eq(exit.signal, 0);
    ck_assert_int_eq(exit.stop_signal, 0);
    ck_assert_str_eq(exit.text, "exited with status 3");
    ck_assert_int_eq(run(ARGV(TALKER, "exit", "255"), NULL).code, 255);
    ck_assert_str_eq(run(ARGV("true"), NULL).text, "exited with status 0");
}
END_TEST

START_TEST(test_a_signal_is_reported_by_name)
{
    char real_time[32];
    dx_exit exit = raise_in_child(SIGKILL);

    ck_assert_int_eq(exit.kind, DX_EXIT_SIGNAL);
    ck_assert_int_eq(exit.signal, SIGKILL);
    ck_assert_int_eq(exit.code, 0);
    ck_assert(!exit.core_dumped);
    ck_assert_str_eq(exit.text, "killed by SIGKILL");
    ck_assert_str_eq(raise_in_child(SIGPIPE).text, "killed by SIGPIPE");
    ck_assert_str_eq(raise_in_child(SIGSEGV).text, "killed by SIGSEGV");
    ck_assert_str_eq(raise_in_child(SIGRTMIN).text, "killed by SIGRTMIN");
    ck_assert_str_eq(raise_in_child(SIGRTMIN + 3).text, "killed by SIGRTMIN+3");
    snprintf(real_time, sizeof(real_time), "killed by SIGRTMIN+%d", SIGRTMAX - SIGRTMIN);
    ck_assert_str_eq(raise_in_child(SIGRTMAX).text, real_time);
}
END_TEST

START_TEST(test_a_core_dump_is_reported)
{
    char directory[] = "/tmp/duplex-test-XXXXXX";
    const dx_limit limits[] = {{RLIMIT_CORE, 1 << 20, 1 << 20}};
    dx_process_options options = {.limits = limits, .limit_count = 1, .directory = directory};
    char number[16];
    char command[64];
    struct rlimit limit;

    getrlimit(RLIMIT_CORE, &limit);
    if (limit.rlim_max < 1 << 20)
        HARNESS_SKIP("core dumps are forbidden here");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(number, sizeof(number), "%d", SIGSEGV);
    dx_exit exit = run(ARGV(TALKER, "raise", number), &options);

    snprintf(command, sizeof(command), "rm -r %s", directory);
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_eq(exit.signal, SIGSEGV);
    if (!exit.core_dumped)
        HARNESS_SKIP("this system dumps no core");
    ck_assert_str_eq(exit.text, "killed by SIGSEGV (core dumped)");
}
END_TEST

START_TEST(test_the_use_of_resources_is_reported)
{
    dx_exit exit = run(ARGV(TALKER, "burn", "200"), NULL);

    ck_assert_uint_ge(exit.user_us + exit.system_us, 150000);
    ck_assert_uint_ge(exit.elapsed_us, 150000);
    ck_assert_uint_lt(exit.elapsed_us, 20000000);
    ck_assert_uint_ge(exit.peak_memory_bytes, 16 << 20);
    ck_assert_uint_lt(exit.peak_memory_bytes, (uint64_t)4 << 30);
    ck_assert_uint_ge(run(ARGV("sleep", "0.2"), NULL).elapsed_us, 150000);
}
END_TEST

START_TEST(test_the_report_is_the_same_each_time)
{
    dx_process *process;
    dx_exit first, second, third;

    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "exit", "4"), NULL), 0);
    ck_assert_int_eq(dx_process_wait(process, &first, PATIENCE_MS), 0);
    ck_assert_int_eq(dx_process_wait(process, &second, DX_NOW), 0);
    ck_assert_int_eq(dx_process_stop(process, 0, &third), 0);
    ck_assert_mem_eq(&first, &second, sizeof(first));
    ck_assert_mem_eq(&first, &third, sizeof(first));
    ck_assert_int_eq(dx_process_wait(process, NULL, DX_NOW), 0);
    dx_process_close(process);
}
END_TEST

/* Linux 6.15 keeps the status by the pidfd whoever reaped; before, it is lost. */
static bool records_are_kept(void)
{
    struct utsname name;
    int major = 0, minor = 0;

    uname(&name);
    return sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 15));
}

static void expect_lost(const dx_exit *exit)
{
    ck_assert_int_eq(exit->kind, DX_EXIT_UNKNOWN);
    ck_assert_ptr_nonnull(strstr(exit->text, "ignores SIGCHLD"));
}

static void expect_status_or_the_reason(const dx_exit *exit, int code)
{
    if (records_are_kept())
        ck_assert_msg(exit->kind == DX_EXIT_CODE && exit->code == code, "%s", exit->text);
    else
        expect_lost(exit);
}

START_TEST(test_a_host_that_ignores_sigchld_learns_of_the_end)
{
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 100; i++) {
        dx_exit exit = run(ARGV(TALKER, "exit", "7"), NULL);

        expect_status_or_the_reason(&exit, 7);
    }
    dx_process *process;
    dx_exit exit;

    /* While it runs it is not taken for ended. */
    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "deaf"), NULL), 0);
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "here");
    ck_assert_int_eq(dx_process_wait(process, NULL, 50), -ETIMEDOUT);
    ck_assert_int_eq(dx_process_process(process), 0);
    /* Long enough for SIGTERM to end it on a machine that has other things to do. */
    ck_assert_int_eq(dx_process_stop(process, 500, &exit), 0);
    ck_assert(exit.kind == DX_EXIT_UNKNOWN || exit.signal == SIGTERM);
    ck_assert_int_eq(exit.stop_signal, SIGTERM);
    dx_process_close(process);
    signal(SIGCHLD, SIG_DFL);
}
END_TEST

START_TEST(test_a_host_that_reaps_everybody_learns_of_the_end)
{
    dx_process *process;
    dx_exit exit;

    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "exit", "8"), NULL), 0);
    ck_assert_int_eq(waitpid(-1, NULL, 0), dx_process_pid(process));
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    expect_status_or_the_reason(&exit, 8);
    ck_assert_int_eq(dx_process_signal(process, SIGKILL), -ESRCH);
    dx_process_close(process);
}
END_TEST

static void reap_everybody(int signal)
{
    int saved = errno;

    (void)signal;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    errno = saved;
}

START_TEST(test_a_host_whose_handler_reaps_everybody_learns_of_the_end)
{
    signal(SIGCHLD, reap_everybody);
    for (int i = 0; i < 100; i++) {
        dx_exit exit = run(ARGV(TALKER, "exit", "9"), NULL);

        expect_status_or_the_reason(&exit, 9);
        dx_process *process;

        ck_assert_int_eq(dx_spawn(&process, ARGV("nope"), NULL), -ENOENT);
    }
    signal(SIGCHLD, SIG_DFL);
}
END_TEST

START_TEST(test_a_process_that_is_not_our_child_is_not_taken_for_ended)
{
    struct dxi_ended ended;
    int pidfd = dxi_linux.pidfd_open(getppid());

    if (pidfd < 0)
        HARNESS_SKIP("needs pidfd_open(2)");
    ck_assert_int_eq(dxi_linux.reap(pidfd, &ended), -EAGAIN);
    close(pidfd);
}
END_TEST

/* What an old kernel answers, which keeps no record. */
static int reap_without_record(int pidfd, struct dxi_ended *ret)
{
    int error = dxi_linux.reap(pidfd, ret);

    if (error == 0)
        *ret = (struct dxi_ended){0};
    return error;
}

START_TEST(test_a_lost_status_is_no_error)
{
    struct dxi_os old = dxi_linux;

    old.reap = reap_without_record;
    dxi_os = &old;
    dx_exit exit = run(ARGV(TALKER, "exit", "8"), NULL);

    dxi_os = &dxi_linux;
    expect_lost(&exit);
    ck_assert_uint_gt(exit.elapsed_us, 0);
}
END_TEST

HARNESS_MAIN("process: exit", TEST(test_an_exit_code_is_reported),
             TEST(test_a_signal_is_reported_by_name), TEST(test_a_core_dump_is_reported),
             TEST(test_the_use_of_resources_is_reported),
             TEST(test_the_report_is_the_same_each_time),
             TEST(test_a_host_that_ignores_sigchld_learns_of_the_end),
             TEST(test_a_host_that_reaps_everybody_learns_of_the_end),
             TEST(test_a_host_whose_handler_reaps_everybody_learns_of_the_end),
             TEST(test_a_process_that_is_not_our_child_is_not_taken_for_ended),
             TEST(test_a_lost_status_is_no_error))
