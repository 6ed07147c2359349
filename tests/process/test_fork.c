/* SPDX-License-Identifier: MIT */
/*
 * A child that runs a function.
 */
#include "common.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int echo(dx_channel *parent, void *arg)
{
    dx_message message;

    while (dx_recv(parent, &message, DX_FOREVER) == 1)
        harness_child_assert(dx_send(parent, message.data, message.size, DX_FOREVER) == 0);
    return *(int *)arg;
}

START_TEST(test_a_function_converses_and_its_result_is_the_status)
{
    for (int type = DX_STREAM; type <= DX_DGRAM; type++) {
        dx_process_options options = {.channel.type = (dx_channel_type)type};
        int status = 40 + type;
        dx_process *process;
        dx_exit exit;

        ck_assert_int_eq(dx_fork(&process, echo, &status, &options), 0);
        for (int i = 0; i < 100; i++) {
            ck_assert_int_eq(dx_send(dx_process_channel(process), "hello", 5, PATIENCE_MS), 0);
            ck_assert_str_eq(receive_text(dx_process_channel(process)), "hello");
        }
        ck_assert_int_eq(dx_process_stop(process, PATIENCE_MS, &exit), 0);
        ck_assert_int_eq(exit.kind, DX_EXIT_CODE);
        ck_assert_int_eq(exit.code, status);
        ck_assert_int_eq(exit.stop_signal, 0);
        dx_process_close(process);
    }
}
END_TEST

START_TEST(test_the_low_eight_bits_are_the_status)
{
    int status = 0x1234;
    dx_process *process;
    dx_exit exit;

    ck_assert_int_eq(dx_fork(&process, echo, &status, NULL), 0);
    ck_assert_int_eq(dx_process_stop(process, PATIENCE_MS, &exit), 0);
    ck_assert_int_eq(exit.code, 0x34);
    dx_process_close(process);
}
END_TEST

static void unwanted(void)
{
    printf("a handler of atexit ran");
    _exit(77);
}

static int say_more(dx_channel *parent, void *arg)
{
    (void)parent;
    (void)arg;
    printf("by the child");
    return 0;
}

START_TEST(test_nothing_is_printed_twice_and_no_exit_handler_runs)
{
    int ends[2];
    pid_t pid;

    ck_assert_int_eq(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        dx_process_options options = {.stdio[1] = {DX_STDIO_DESCRIPTOR, ends[1]}};
        dx_process *process;
        dx_exit exit;

        harness_child_assert(dup2(ends[1], 1) == 1);
        harness_child_assert(atexit(unwanted) == 0);
        printf("buffered by the parent, ");
        harness_child_assert(dx_fork(&process, say_more, NULL, &options) == 0);
        harness_child_assert(dx_process_wait(process, &exit, PATIENCE_MS) == 0);
        harness_child_assert(exit.code == 0);
        dx_process_close(process);
        fflush(stdout);
        _exit(0);
    }
    close(ends[1]);
    ck_assert_str_eq(read_to_end(ends[0]), "by the childbuffered by the parent, ");
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

static int wait_for_the_end(dx_channel *parent, void *arg)
{
    dx_message message;

    (void)arg;
    signal(SIGTERM, SIG_IGN);
    return dx_recv(parent, &message, DX_FOREVER) == 0 ? 0 : 1;
}

/* The parent's own end lies in no child: neither in this one nor in one forked later. */
START_TEST(test_a_function_sees_the_end_of_the_conversation_despite_its_siblings)
{
    dx_process *first, *second;
    dx_exit exit;

    ck_assert_int_eq(dx_fork(&first, wait_for_the_end, NULL, NULL), 0);
    ck_assert_int_eq(dx_fork(&second, wait_for_the_end, NULL, NULL), 0);
    ck_assert_int_eq(dx_process_stop(first, PATIENCE_MS, &exit), 0);
    ck_assert_int_eq(exit.code, 0);
    ck_assert_int_eq(exit.stop_signal, 0);
    ck_assert_int_eq(dx_process_stop(second, PATIENCE_MS, &exit), 0);
    ck_assert_int_eq(exit.code, 0);
    dx_process_close(first);
    dx_process_close(second);
}
END_TEST

/* A bystander that holds a copy of the parent's end does not hide the parent's death. */
START_TEST(test_a_function_sees_its_parents_death_behind_a_bystander)
{
    int ends[2];
    pid_t pids[2] = {-1, -1};
    pid_t between;

    if (harness_valgrind())
        HARNESS_SKIP("valgrind knows no pidfd_open(2)");
    adopt_orphans();
    ck_assert_int_eq(pipe(ends), 0);
    between = fork();
    if (between == 0) {
        dx_process *process;

        harness_child_assert(dx_fork(&process, wait_for_the_end, NULL, NULL) == 0);
        pids[0] = dx_process_pid(process);
        pids[1] = fork();
        if (pids[1] == 0)
            for (;;)
                pause();
        harness_child_assert(write(ends[1], pids, sizeof(pids)) == sizeof(pids));
        for (;;)
            pause();
    }
    ck_assert_int_eq(read(ends[0], pids, sizeof(pids)), sizeof(pids));
    close(ends[0]);
    close(ends[1]);
    kill(between, SIGKILL);
    ck_assert_int_eq(waitpid(between, NULL, 0), between);
    ck_assert(orphan_ended(pids[0], PATIENCE_MS));
    kill(pids[1], SIGKILL);
    ck_assert(orphan_ended(pids[1], PATIENCE_MS));
}
END_TEST

static int send_large(dx_channel *parent, void *arg)
{
    static char block[100000];

    (void)arg;
    return dx_send(parent, block, sizeof(block), PATIENCE_MS) == -EMSGSIZE ? 21 : 0;
}

START_TEST(test_the_childs_end_has_options_of_its_own)
{
    dx_channel_options own = {.message_limit = 50000};
    dx_process_options options = {.child_channel = &own};
    dx_failure failure = {0};
    dx_process *process;
    dx_exit exit;

    ck_assert_int_eq(dx_fork(&process, send_large, NULL, &options), 0);
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    ck_assert_int_eq(exit.code, 21);
    dx_process_close(process);

    own.framing = DX_FRAMING_LINE;
    options.failure = &failure;
    ck_assert_int_eq(dx_fork(&process, send_large, NULL, &options), -EINVAL);
    ck_assert_str_ne(failure.text, "");
}
END_TEST

static int attributes(dx_channel *parent, void *arg)
{
    char path[4096];
    struct stat status;

    (void)parent;
    (void)arg;
    harness_child_assert(strcmp(getcwd(path, sizeof(path)), "/usr") == 0);
    harness_child_assert(getpgrp() == getpid());
    harness_child_assert(fstat(33, &status) == 0);
    /* What is the library's goes no further than this process. */
    harness_child_assert(fcntl(12, F_GETFD) == FD_CLOEXEC);
    return 0;
}

START_TEST(test_a_function_has_the_attributes_that_it_is_given)
{
    dx_descriptor list[] = {{.fd = 0, .target = 33}};
    dx_process_options options = {.directory = "/usr",
                                  .group = DX_GROUP_NEW,
                                  .descriptors = list,
                                  .descriptor_count = 1,
                                  .channel_target = 12};
    dx_process *process;
    dx_exit exit;

    ck_assert_int_eq(dx_fork(&process, attributes, NULL, &options), 0);
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    ck_assert_str_eq(exit.text, "exited with status 0");
    dx_process_close(process);
}
END_TEST

static int start_another(dx_channel *parent, void *arg)
{
    dx_process *process;
    dx_message message;
    dx_exit exit;

    (void)arg;
    harness_child_assert(dx_spawn(&process, ARGV(TALKER, "echo"), NULL) == 0);
    harness_child_assert(dx_send(dx_process_channel(process), "deep", 4, PATIENCE_MS) == 0);
    harness_child_assert(dx_recv(dx_process_channel(process), &message, PATIENCE_MS) == 1);
    harness_child_assert(message.size == 4 && memcmp(message.data, "deep", 4) == 0);
    harness_child_assert(dx_process_stop(process, PATIENCE_MS, &exit) == 0);
    dx_process_close(process);
    return dx_send(parent, "done", 4, PATIENCE_MS) == 0 && exit.code == 0 ? 0 : 1;
}

START_TEST(test_a_child_may_have_children)
{
    dx_process *process;
    dx_exit exit;

    ck_assert_int_eq(dx_fork(&process, start_another, NULL, NULL), 0);
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "done");
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    ck_assert_str_eq(exit.text, "exited with status 0");
    dx_process_close(process);
}
END_TEST

static int close_it(dx_channel *parent, void *arg)
{
    (void)arg;
    dx_channel_close(parent);
    return dx_send(parent, "still here", 10, PATIENCE_MS);
}

START_TEST(test_a_function_cannot_close_what_is_the_librarys)
{
    dx_process *process;

    ck_assert_int_eq(dx_fork(&process, close_it, NULL, NULL), 0);
    dx_channel_close(dx_process_channel(process));
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "still here");
    dx_process_close(process);
}
END_TEST

/* Handles of the parent in a forked child: they answer -ECHILD and touch nothing. */
static int use_the_parents(dx_channel *parent, void *arg)
{
    dx_process *process = arg;
    dx_message message;
    dx_exit exit;

    (void)parent;
    harness_child_assert(dx_process_wait(process, &exit, 0) == -ECHILD);
    harness_child_assert(dx_process_stop(process, 0, &exit) == -ECHILD);
    harness_child_assert(dx_process_signal(process, SIGKILL) == -ECHILD);
    harness_child_assert(dx_process_process(process) == -ECHILD);
    harness_child_assert(dx_process_fd(process) == -ECHILD);
    harness_child_assert(dx_process_events(process) == -ECHILD);
    harness_child_assert(dx_process_timeout_ms(process) == -ECHILD);
    harness_child_assert(dx_process_pid(process) == -ECHILD);
    harness_child_assert(dx_process_take_stdio(process, 1) == -ECHILD);
    harness_child_assert(dx_process_explain(process)[0] != '\0');
    harness_child_assert(dx_recv(dx_process_channel(process), &message, 0) == -ECHILD);
    harness_child_assert(dx_process_close(process) == NULL);
    return 0;
}

static void still_works(dx_process *process)
{
    dx_exit exit;

    ck_assert_int_eq(dx_send(dx_process_channel(process), "alive", 5, PATIENCE_MS), 0);
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "alive");
    ck_assert_int_eq(dx_process_stop(process, PATIENCE_MS, &exit), 0);
    ck_assert_str_eq(exit.text, "exited with status 0");
    dx_process_close(process);
}

START_TEST(test_a_handle_is_of_no_use_in_a_forked_child)
{
    dx_process_options options = {.stdio[1].mode = DX_STDIO_PIPE};
    dx_process *process, *child;
    dx_exit exit;

    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "echo"), &options), 0);
    ck_assert_int_eq(dx_fork(&child, use_the_parents, process, NULL), 0);
    ck_assert_int_eq(dx_process_wait(child, &exit, PATIENCE_MS), 0);
    ck_assert_str_eq(exit.text, "exited with status 0");
    dx_process_close(child);
    still_works(process);

    /* The same in a child of the host's own fork(2). */
    int status;

    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "echo"), &options), 0);
    pid_t pid = fork();

    if (pid == 0)
        _exit(use_the_parents(NULL, process));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    still_works(process);
}
END_TEST

START_TEST(test_no_process_is_no_crash)
{
    ck_assert_int_eq(dx_process_wait(NULL, NULL, 0), -EINVAL);
    ck_assert_int_eq(dx_process_signal(NULL, 0), -EINVAL);
    ck_assert_int_eq(dx_process_process(NULL), -EINVAL);
    ck_assert_int_eq(dx_process_fd(NULL), -EINVAL);
    ck_assert_int_eq(dx_process_events(NULL), -EINVAL);
    ck_assert_int_eq(dx_process_pid(NULL), -EINVAL);
    ck_assert_int_eq(dx_process_take_stdio(NULL, 0), -EINVAL);
    ck_assert_ptr_null(dx_process_channel(NULL));
    ck_assert_str_ne(dx_process_explain(NULL), "");
}
END_TEST

static int prepared, in_parent, in_child;

static void note_prepare(void)
{
    prepared++;
}

static void note_parent(void)
{
    in_parent++;
}

static void note_child(void)
{
    in_child++;
}

static int tell_handlers(dx_channel *parent, void *arg)
{
    (void)parent;
    (void)arg;
    return in_child;
}

START_TEST(test_handlers_of_fork_run)
{
    dx_process *process;
    dx_exit exit;

    if (harness_valgrind())
        HARNESS_SKIP("valgrind knows no pidfd_open(2)");
    ck_assert_int_eq(pthread_atfork(note_prepare, note_parent, note_child), 0);
    ck_assert_int_eq(dx_fork(&process, tell_handlers, NULL, NULL), 0);
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    ck_assert_int_eq(exit.code, 1);
    ck_assert_int_eq(prepared, 1);
    ck_assert_int_eq(in_parent, 1);
    dx_process_close(process);
    ck_assert_int_eq(dx_spawn(&process, ARGV("true"), NULL), 0);
    ck_assert_int_eq(prepared, 1);
    dx_process_close(process);
}
END_TEST

static int return_at_once(dx_channel *parent, void *arg)
{
    (void)parent;
    (void)arg;
    return 11;
}

START_TEST(test_a_child_that_ends_at_once_is_not_lost)
{
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 200; i++) {
        dx_process *process;
        dx_exit exit;

        ck_assert_int_eq(dx_fork(&process, return_at_once, NULL, NULL), 0);
        ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
        ck_assert(exit.kind == DX_EXIT_UNKNOWN || exit.code == 11);
        dx_process_close(process);
    }
    signal(SIGCHLD, SIG_DFL);
}
END_TEST

static void *sleep_long(void *arg)
{
    (void)arg;
    pause();
    return NULL;
}

static void cancel_a_thread(void)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, sleep_long, NULL), 0);
    ck_assert_int_eq(pthread_cancel(thread), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

static int cancel_in_child(dx_channel *parent, void *arg)
{
    pthread_t thread;

    (void)parent;
    (void)arg;
    harness_child_assert(pthread_create(&thread, NULL, sleep_long, NULL) == 0);
    harness_child_assert(pthread_cancel(thread) == 0);
    harness_child_assert(pthread_join(thread, NULL) == 0);
    return 7;
}

/* The C library installs the handlers of its own signals once, and the child is the same program. */
START_TEST(test_a_child_may_cancel_threads_though_its_parent_has)
{
    dx_process *process;
    dx_exit exit;

    cancel_a_thread();
    ck_assert_int_eq(dx_fork(&process, cancel_in_child, NULL, NULL), 0);
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    ck_assert_msg(exit.kind == DX_EXIT_CODE && exit.code == 7, "%s", exit.text);
    dx_process_close(process);
}
END_TEST

HARNESS_MAIN("process: fork", TEST(test_a_function_converses_and_its_result_is_the_status),
             TEST(test_the_low_eight_bits_are_the_status),
             TEST(test_nothing_is_printed_twice_and_no_exit_handler_runs),
             TEST(test_a_function_sees_the_end_of_the_conversation_despite_its_siblings),
             TEST(test_a_function_sees_its_parents_death_behind_a_bystander),
             TEST(test_the_childs_end_has_options_of_its_own),
             TEST(test_a_function_has_the_attributes_that_it_is_given),
             TEST(test_a_child_may_have_children),
             TEST(test_a_child_may_cancel_threads_though_its_parent_has),
             TEST(test_a_function_cannot_close_what_is_the_librarys),
             TEST(test_a_handle_is_of_no_use_in_a_forked_child), TEST(test_no_process_is_no_crash),
             TEST(test_handlers_of_fork_run), TEST(test_a_child_that_ends_at_once_is_not_lost))
