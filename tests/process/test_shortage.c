/* SPDX-License-Identifier: MIT */
/*
 * When descriptors, memory or the system run short in the middle of a start: a clean error, and
 * nothing left. The harness counts descriptors and children after each test.
 */
#include "common.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"

static int say_hello(dx_channel *parent, void *arg)
{
    (void)arg;
    return dx_send(parent, "hello", 5, DX_FOREVER);
}

/* How what is started gets its channel. */
enum way { AS_FUNCTION = -1, AS_PROGRAM = DX_HANDOVER_ENV };

static int start_something(dx_process **ret, int way, dx_failure *failure)
{
    dx_process_options options = {
        .failure = failure, .stdio = {{DX_STDIO_PIPE, 0}, {DX_STDIO_PIPE, 0}, {DX_STDIO_NULL, 0}}};

    if (way == AS_FUNCTION)
        return dx_fork(ret, say_hello, NULL, &options);
    options.handover = (dx_handover)way;
    return dx_spawn(ret, ARGV(TALKER, "exit", "0", "{fd}"), &options);
}

static void with_few_descriptors(int way)
{
    struct rlimit whole, few;
    bool started = false;

    if (harness_valgrind())
        HARNESS_SKIP("valgrind itself needs descriptors");

    getrlimit(RLIMIT_NOFILE, &whole);
    int next = dup(0);
    size_t open = harness_open_descriptors() - 1;

    close(next);
    for (int free = 0; free < 24; free++) {
        dx_failure failure = {0};
        dx_process *process = NULL;

        /* Numbers from the first free one up to the limit: the harness opens no gaps. */
        few = (struct rlimit){.rlim_cur = (rlim_t)(next + free), .rlim_max = whole.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
        int error = start_something(&process, way, &failure);

        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &whole), 0);
        if (error == 0) {
            started = true;
            dx_process_close(process);
        } else {
            ck_assert_msg(error == -EMFILE, "%d: %s", error, failure.text);
            ck_assert_int_eq(failure.error, -EMFILE);
            ck_assert_ptr_nonnull(strstr(failure.text, "cannot start "));
            ck_assert_msg(!started, "it failed with more descriptors than were enough before");
        }
        ck_assert_uint_eq(harness_open_descriptors(), open);
    }
    ck_assert(started);
}

START_TEST(test_each_count_of_free_descriptors_starts_a_program_or_fails_cleanly)
{
    with_few_descriptors(AS_PROGRAM);
    with_few_descriptors(DX_HANDOVER_FDS);
}
END_TEST

START_TEST(test_each_count_of_free_descriptors_starts_a_function_or_fails_cleanly)
{
    with_few_descriptors(AS_FUNCTION);
}
END_TEST

/* Fault injection: the call that makes the countdown reach 0 fails. */
static int countdown;
static struct dxi_os faulty;

static bool fails(void)
{
    return countdown > 0 && --countdown == 0;
}

static void *faulty_allocate(size_t size)
{
    return fails() ? NULL : dxi_linux.allocate(size);
}

static void *faulty_resize(void *memory, size_t size)
{
    return fails() ? NULL : dxi_linux.resize(memory, size);
}

static int faulty_socketpair(int type, int ret[2])
{
    return fails() ? -ENFILE : dxi_linux.socketpair(type, ret);
}

static int faulty_pipe(int ret[2])
{
    return fails() ? -ENFILE : dxi_linux.pipe(ret);
}

static int faulty_open(const char *path, int flags)
{
    return fails() ? -ENFILE : dxi_linux.open(path, flags);
}

static int faulty_start(const struct dxi_start *start, struct dxi_started *ret)
{
    *ret = (struct dxi_started){.step = DXI_STEP_CLONE};
    return fails() ? -EAGAIN : dxi_linux.start(start, ret);
}

static int faulty_fork(const struct dxi_start *start, struct dxi_started *ret)
{
    *ret = (struct dxi_started){.step = DXI_STEP_CLONE};
    return fails() ? -EAGAIN : dxi_linux.fork(start, ret);
}

static void with_one_failure(int way)
{
    bool failed = true;

    faulty = dxi_linux;
    faulty.allocate = faulty_allocate;
    faulty.resize = faulty_resize;
    faulty.socketpair = faulty_socketpair;
    faulty.pipe = faulty_pipe;
    faulty.open = faulty_open;
    faulty.start = faulty_start;
    faulty.fork = faulty_fork;
    dxi_os = &faulty;
    size_t open = harness_open_descriptors();

    for (int i = 1; failed; i++) {
        dx_failure failure = {0};
        dx_process *process = NULL;

        ck_assert_int_lt(i, 100);
        countdown = i;
        int error = start_something(&process, way, &failure);

        failed = error < 0;
        countdown = 0;
        if (failed) {
            ck_assert_msg(error == -ENOMEM || error == -ENFILE || error == -EAGAIN, "%d: %s", error,
                          failure.text);
            ck_assert_ptr_nonnull(strstr(failure.text, "cannot start "));
            ck_assert_uint_eq(harness_open_descriptors(), open);
        }
        dx_process_close(process);
    }
    dxi_os = &dxi_linux;
}

START_TEST(test_each_call_that_fails_once_fails_the_start_of_a_program_cleanly)
{
    for (int handover = DX_HANDOVER_ENV; handover <= DX_HANDOVER_ARGV; handover++)
        with_one_failure(handover);
}
END_TEST

/* The countdown goes on in the child, whose own failure then reaches the parent. */
START_TEST(test_each_call_that_fails_once_fails_the_start_of_a_function_cleanly)
{
    with_one_failure(AS_FUNCTION);
}
END_TEST

START_TEST(test_no_more_processes_is_an_error_with_a_name)
{
    pid_t pid;
    int status;

    if (getuid() != 0)
        HARNESS_SKIP("needs root");
    pid = fork();
    if (pid == 0) {
        const struct rlimit none = {0, 0};
        dx_failure failure = {0};
        dx_process_options options = {.failure = &failure};
        dx_process *process;

        harness_child_assert(setrlimit(RLIMIT_NPROC, &none) == 0);
        harness_child_assert(setuid(65533) == 0);
        harness_child_assert(dx_spawn(&process, ARGV("true"), &options) == -EAGAIN);
        harness_child_assert(strcmp(failure.text, "cannot start 'true': Resource temporarily "
                                                  "unavailable") == 0);
        harness_child_assert(dx_fork(&process, say_hello, NULL, &options) == -EAGAIN);
        harness_child_assert(strcmp(failure.text, "cannot start the child: Resource temporarily "
                                                  "unavailable") == 0);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

HARNESS_MAIN("process: shortage",
             TEST_WITHIN(test_each_count_of_free_descriptors_starts_a_program_or_fails_cleanly, 60),
             TEST_WITHIN(test_each_count_of_free_descriptors_starts_a_function_or_fails_cleanly,
                         60),
             TEST_WITHIN(test_each_call_that_fails_once_fails_the_start_of_a_program_cleanly, 60),
             TEST_WITHIN(test_each_call_that_fails_once_fails_the_start_of_a_function_cleanly, 60),
             TEST(test_no_more_processes_is_an_error_with_a_name))
