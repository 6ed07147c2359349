/* SPDX-License-Identifier: MIT */
/* Tests that leave something behind, each in its way. test_harness.sh sees them fail. */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(test_leaves_a_descriptor)
{
    ck_assert_int_ge(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
}
END_TEST

START_TEST(test_closes_a_descriptor)
{
    close(STDIN_FILENO);
}
END_TEST

START_TEST(test_replaces_a_descriptor)
{
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    dup2(fd, STDIN_FILENO);
    close(fd);
}
END_TEST

START_TEST(test_leaves_a_child_running)
{
    if (fork() == 0)
        pause();
}
END_TEST

START_TEST(test_leaves_a_zombie)
{
    siginfo_t info;
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
}
END_TEST

static void *sleep_for_ever(void *unused)
{
    pause();
    return unused;
}

START_TEST(test_leaves_a_thread)
{
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, sleep_for_ever, NULL), 0);
}
END_TEST

START_TEST(test_takes_too_long)
{
    pause();
}
END_TEST

static void *return_at_once(void *unused)
{
    return unused;
}

START_TEST(test_leaves_nothing)
{
    pthread_t thread;
    struct rlimit few = {.rlim_cur = 3, .rlim_max = 64};
    pid_t child = fork();

    if (child == 0) {
        harness_child_assert(1 + 1 == 3);
        _exit(0);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), HARNESS_CHILD_FAILED);
    ck_assert_int_eq(pthread_create(&thread, NULL, return_at_once, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
}
END_TEST

START_TEST(test_is_skipped)
{
    HARNESS_SKIP("it is only an example");
}
END_TEST

HARNESS_MAIN("leaks", TEST(test_leaves_a_descriptor), TEST(test_closes_a_descriptor),
             TEST(test_replaces_a_descriptor), TEST(test_leaves_a_child_running),
             TEST(test_leaves_a_zombie), TEST(test_leaves_a_thread),
             TEST_WITHIN(test_takes_too_long, 0.1), TEST(test_leaves_nothing),
             TEST(test_is_skipped))
