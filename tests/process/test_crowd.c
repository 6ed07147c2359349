/* SPDX-License-Identifier: MIT */
/*
 * Many starts: by several threads at once, under a storm of signals, and again and again.
 */
#include "common.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { STARTERS = 2, STARTS = 200 };

/* Threads report by this: ck_assert() is for the test's own thread. */
static const char *_Atomic trouble;

static bool check_one_child(void)
{
    dx_process_options options = {.stdio[1].mode = DX_STDIO_PIPE};
    char text[64] = "";
    size_t length = 0;
    dx_process *process;
    dx_exit exit;

    if (dx_spawn(&process, ARGV(PROBE, "descriptors"), &options) < 0)
        return false;
    int fd = dx_process_take_stdio(process, 1);

    for (ssize_t size = 1; size > 0 && length < sizeof(text) - 1; length += (size_t)size)
        size = read(fd, text + length, sizeof(text) - 1 - length);
    close(fd);
    bool good = dx_process_wait(process, &exit, PATIENCE_MS) == 0 && exit.code == 0 &&
                strncmp(text, "0 1 2 3\n", 8) == 0;

    dx_process_close(process);
    return good;
}

static void *start_many(void *arg)
{
    int starts = *(int *)arg;

    for (int i = 0; i < starts && !trouble; i++) {
        if (!check_one_child())
            trouble = "a child inherited a stray descriptor, or did not start";
    }
    return NULL;
}

START_TEST(test_threads_that_start_children_give_them_no_stray_descriptor)
{
    int starts = HARNESS_TSAN || harness_valgrind() ? 20 : STARTS;
    pthread_t threads[STARTERS];

    for (int i = 0; i < STARTERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, start_many, &starts), 0);
    for (int i = 0; i < STARTERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_msg(!trouble, "%s", trouble);
}
END_TEST

static int echo(dx_channel *parent, void *arg)
{
    dx_message message;

    (void)arg;
    while (dx_recv(parent, &message, DX_FOREVER) == 1) {
        if (dx_send(parent, message.data, message.size, DX_FOREVER) < 0)
            return 1;
    }
    return 0;
}

static void *fork_many(void *arg)
{
    int starts = *(int *)arg;

    for (int i = 0; i < starts && !trouble; i++) {
        dx_process *process;
        dx_exit exit;

        if (dx_fork(&process, echo, NULL, NULL) < 0) {
            trouble = "a function did not start";
            break;
        }
        if (dx_process_stop(process, PATIENCE_MS, &exit) < 0 || exit.kind != DX_EXIT_CODE ||
            exit.code != 0)
            trouble = "a function did not see the end of its conversation";
        dx_process_close(process);
    }
    return NULL;
}

/*
 * Functions and programs at once: a forked child holds no end of another child's channel for long.
 */
START_TEST(test_threads_may_fork_and_spawn_at_once)
{
    int starts = HARNESS_TSAN || harness_valgrind() ? 10 : 100;
    pthread_t threads[2];

    if (HARNESS_ASAN || HARNESS_MSAN)
        HARNESS_SKIP("the sanitizer's malloc may stay locked in a copy of a program with threads");

    ck_assert_int_eq(pthread_create(&threads[0], NULL, start_many, &starts), 0);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, fork_many, &starts), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_msg(!trouble, "%s", trouble);
}
END_TEST

static volatile sig_atomic_t alarms;

static void count_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static void storm(bool on)
{
    struct sigaction action = {.sa_handler = count_alarm}; /* and no SA_RESTART */
    struct itimerval interval = {.it_interval.tv_usec = on ? 1000 : 0,
                                 .it_value.tv_usec = on ? 1000 : 0};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &interval, NULL);
}

START_TEST(test_a_storm_of_signals_disturbs_nothing)
{
    int rounds = HARNESS_TSAN || harness_valgrind() ? 3 : 30;

    storm(true);
    for (int i = 0; i < rounds; i++) {
        bool by_function = i % 2;
        dx_process *process;
        dx_exit exit;
        int error = by_function ? dx_fork(&process, echo, NULL, NULL)
                                : dx_spawn(&process, ARGV(TALKER, "echo"), NULL);

        ck_assert_int_eq(error, 0);
        ck_assert_int_eq(dx_send(dx_process_channel(process), "word", 4, PATIENCE_MS), 0);
        ck_assert_str_eq(receive_text(dx_process_channel(process)), "word");
        uint64_t begun = now_ms();

        ck_assert_int_eq(dx_process_wait(process, NULL, 20), -ETIMEDOUT);
        ck_assert_uint_ge(now_ms() - begun, 20);
        ck_assert_int_eq(dx_process_stop(process, PATIENCE_MS, &exit), 0);
        ck_assert_str_eq(exit.text, "exited with status 0");
        dx_process_close(process);

        ck_assert_int_eq(dx_spawn(&process, ARGV("nope"), NULL), -ENOENT);
        ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "stubborn"), NULL), 0);
        ck_assert_str_eq(receive_text(dx_process_channel(process)), "here");
        ck_assert_int_eq(dx_process_stop(process, 5, &exit), 0);
        ck_assert_int_eq(exit.signal, SIGKILL);
        dx_process_close(process);
    }
    storm(false);
    ck_assert_int_gt(alarms, rounds);
}
END_TEST

/* DUPLEX_ROUNDS=100000 is the long form of the next test. */
static long round_count(void)
{
    const char *value = getenv("DUPLEX_ROUNDS");
    long count = value ? atol(value) : 0;

    if (count > 0)
        return count;
    return HARNESS_TSAN || harness_valgrind() ? 20 : 1000;
}

START_TEST(test_rounds_of_spawn_and_close_leave_nothing)
{
    long rounds = round_count();
    size_t open = harness_open_descriptors();
    char line[256];
    long before = 0, after = 0;

    for (long i = 0; i < rounds; i++) {
        dx_process *process;
        long *resident = i == rounds / 10 ? &before : &after;

        ck_assert_int_eq(dx_spawn(&process, ARGV("/bin/true"), NULL), 0);
        dx_process_close(process);
        if (i != rounds / 10 && i != rounds - 1)
            continue;
        ck_assert_uint_eq(harness_open_descriptors(), open);
        FILE *status = fopen("/proc/self/status", "re");

        while (fgets(line, sizeof(line), status))
            sscanf(line, "VmRSS: %ld", resident);
        fclose(status);
    }
    /* The sanitizers keep freed memory for a while. */
    if (!HARNESS_SANITIZED && !harness_valgrind())
        ck_assert_int_le(after - before, 256);
}
END_TEST

int main(void)
{
    double seconds = 60 + (double)round_count() * 0.05;
    const struct harness_test tests[] = {
        TEST_WITHIN(test_threads_that_start_children_give_them_no_stray_descriptor, 60),
        TEST_WITHIN(test_threads_may_fork_and_spawn_at_once, 60),
        TEST_WITHIN(test_a_storm_of_signals_disturbs_nothing, 60),
        TEST_WITHIN(test_rounds_of_spawn_and_close_leave_nothing, seconds),
    };

    return harness_main("process: crowd", tests, sizeof(tests) / sizeof(*tests));
}
