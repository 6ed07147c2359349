/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a child's end, in one call or from an event loop.
 */
#include "common.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"

START_TEST(test_a_wait_ends_at_its_deadline)
{
    dx_process *process;
    uint64_t begun;

    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "deaf"), NULL), 0);
    ck_assert_int_eq(dx_process_wait(process, NULL, DX_NOW), -ETIMEDOUT);
    begun = now_ms();
    ck_assert_int_eq(dx_process_wait(process, NULL, 200), -ETIMEDOUT);
    ck_assert_uint_ge(now_ms() - begun, 200);
    ck_assert_uint_lt(now_ms() - begun, 2000);
    ck_assert_ptr_nonnull(strstr(dx_process_explain(process), "it still runs"));
    dx_process_close(process);
}
END_TEST

START_TEST(test_a_wait_takes_in_what_the_child_says)
{
    const long size = 10 * 1024 * 1024;
    dx_process *process;
    dx_message message;
    dx_exit exit;
    long received = 0;
    int got;

    /* The default backlog has room for 16 MiB, the kernel for far less. */
    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "flood", "10485760"), NULL), 0);
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    ck_assert_int_eq(exit.code, 5);
    while ((got = dx_recv(dx_process_channel(process), &message, PATIENCE_MS)) == 1)
        received += (long)message.size;
    ck_assert_int_eq(got, 0);
    ck_assert_int_eq(received, size);
    dx_process_close(process);
}
END_TEST

START_TEST(test_a_wait_does_not_take_in_more_than_the_backlog)
{
    dx_process_options options = {.channel.message_limit = 1 << 20};
    dx_process *process;
    dx_message message;
    long received = 0;

    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "flood", "10485760"), &options), 0);
    ck_assert_int_eq(dx_process_wait(process, NULL, 500), -ETIMEDOUT);
    while (received < 10 * 1024 * 1024 &&
           dx_recv(dx_process_channel(process), &message, PATIENCE_MS) == 1)
        received += (long)message.size;
    ck_assert_int_eq(dx_process_wait(process, NULL, PATIENCE_MS), 0);
    ck_assert_int_eq(received, 10 * 1024 * 1024);
    dx_process_close(process);
}
END_TEST

START_TEST(test_a_wait_sends_what_is_pending)
{
    dx_process *process;
    dx_message message;

    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "echo"), NULL), 0);
    ck_assert_int_eq(dx_cork(dx_process_channel(process)), 0);
    ck_assert_int_eq(dx_send(dx_process_channel(process), "word", 4, DX_NOW), 0);
    ck_assert_int_eq(dx_process_wait(process, NULL, 300), -ETIMEDOUT);
    ck_assert_int_eq(dx_recv(dx_process_channel(process), &message, DX_NOW), 1);
    ck_assert_uint_eq(message.size, 4);
    dx_process_close(process);
}
END_TEST

START_TEST(test_a_child_that_never_stops_talking_does_not_hold_a_wait)
{
    dx_process_options options = {
        .handover = DX_HANDOVER_STDIO,
        .channel = {.framing = DX_FRAMING_LINE, .receive_backlog = (size_t)32 << 20}};
    dx_process *process;
    uint64_t begun = now_ms();

    ck_assert_int_eq(dx_spawn(&process, ARGV("yes"), &options), 0);
    ck_assert_int_eq(dx_process_wait(process, NULL, 50), -ETIMEDOUT);
    ck_assert_uint_lt(now_ms() - begun, 3000);
    ck_assert_int_eq(dx_process_stop(process, 0, NULL), 0);
    dx_process_close(process);
}
END_TEST

static long used_ms(const struct timespec *since)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000;
}

START_TEST(test_a_wait_sleeps)
{
    struct timespec before;
    dx_process *process;

    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "deaf"), NULL), 0);
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "here");
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    ck_assert_int_eq(dx_process_wait(process, NULL, 500), -ETIMEDOUT);
    ck_assert_int_lt(used_ms(&before), 150);
    dx_process_close(process);
}
END_TEST

START_TEST(test_an_event_loop_learns_of_the_end)
{
    dx_process *process;
    dx_exit exit;

    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "echo"), NULL), 0);
    struct pollfd source = {.fd = dx_process_fd(process),
                            .events = (short)dx_process_events(process)};

    ck_assert_int_eq(source.events, POLLIN);
    ck_assert_int_eq(fcntl(source.fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(dx_process_timeout_ms(process), DX_FOREVER);
    ck_assert_int_eq(dx_process_process(process), 0);
    ck_assert_int_eq(poll(&source, 1, 100), 0);
    ck_assert_int_eq(dx_channel_end(dx_process_channel(process), PATIENCE_MS), 0);
    ck_assert_int_eq(poll(&source, 1, PATIENCE_MS), 1);
    ck_assert_int_eq(dx_process_process(process), 1);
    ck_assert_int_eq(dx_process_events(process), 0);
    ck_assert_int_eq(dx_process_process(process), 1);
    ck_assert_int_eq(dx_process_wait(process, &exit, DX_NOW), 0);
    ck_assert_int_eq(exit.code, 0);
    dx_process_close(process);
}
END_TEST

START_TEST(test_a_grandchild_cannot_hide_the_end_of_its_parent)
{
    dx_process *process;
    dx_message message;
    dx_exit exit;

    adopt_orphans();
    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "family"), NULL), 0);
    pid_t grandchild = (pid_t)receive_number(dx_process_channel(process));

    ck_assert_int_eq(dx_process_signal(process, SIGKILL), 0);
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    ck_assert_int_eq(exit.signal, SIGKILL);
    ck_assert_int_eq(kill(grandchild, 0), 0);
    ck_assert_int_eq(dx_recv(dx_process_channel(process), &message, PATIENCE_MS), 0);
    dx_process_close(process);
    kill(grandchild, SIGKILL);
    ck_assert(orphan_ended(grandchild, PATIENCE_MS));
}
END_TEST

START_TEST(test_what_is_left_of_a_group_ends_with_its_leader)
{
    dx_process_options options = {.group = DX_GROUP_NEW};
    dx_process *process;

    adopt_orphans();
    for (int way = 0; way < 3; way++) {
        ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "family"), &options), 0);
        pid_t grandchild = (pid_t)receive_number(dx_process_channel(process));
        struct pollfd end = {.fd = dx_process_fd(process), .events = POLLIN};

        ck_assert_int_eq(kill(dx_process_pid(process), SIGKILL), 0);
        ck_assert_int_eq(poll(&end, 1, PATIENCE_MS), 1);
        if (way == 0)
            ck_assert_int_eq(dx_process_wait(process, NULL, PATIENCE_MS), 0);
        else if (way == 1)
            ck_assert_int_eq(dx_process_process(process), 1);
        else
            ck_assert_int_eq(dx_process_stop(process, 0, NULL), 0);
        ck_assert(orphan_ended(grandchild, PATIENCE_MS));
        dx_process_close(process);
    }
}
END_TEST

static pid_t dying;

/* To a look without waiting the child still runs, and the moment after that it has ended. */
static int ends_after_a_look(struct pollfd *sources, size_t count, uint64_t deadline_ns)
{
    int ready = dxi_linux.poll(sources, count, deadline_ns);

    if (count == 1 && sources->events == POLLIN && deadline_ns == 0 && ready == 0) {
        kill(dying, SIGKILL);
        dxi_linux.poll(sources, count, UINT64_MAX);
        sources->revents = 0;
    }
    return ready;
}

START_TEST(test_a_leader_that_ends_between_two_looks_takes_its_group_along)
{
    dx_process_options options = {.group = DX_GROUP_NEW};
    struct dxi_os late = dxi_linux;
    dx_process *process;

    adopt_orphans();
    late.poll = ends_after_a_look;
    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "family"), &options), 0);
    pid_t grandchild = (pid_t)receive_number(dx_process_channel(process));

    dying = dx_process_pid(process);
    dxi_os = &late;
    dx_process_process(process);
    dxi_os = &dxi_linux;
    ck_assert_int_eq(dx_process_wait(process, NULL, PATIENCE_MS), 0);
    ck_assert(orphan_ended(grandchild, PATIENCE_MS));
    dx_process_close(process);
}
END_TEST

START_TEST(test_a_child_that_ends_between_two_looks_leaves_no_number_behind)
{
    /* Shared: under a sanitizer a child has a copy of all else. */
    pid_t *note =
        mmap(NULL, sizeof(*note), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    dx_process_options options = {.noted_pid = note};
    struct dxi_os late = dxi_linux;
    dx_process *process;

    ck_assert_ptr_ne(note, MAP_FAILED);
    late.poll = ends_after_a_look;
    ck_assert_int_eq(dx_spawn(&process, ARGV("sleep", "100"), &options), 0);
    dying = dx_process_pid(process);
    ck_assert_int_eq(*note, dying);
    dxi_os = &late;
    dx_process_process(process);
    dxi_os = &dxi_linux;
    ck_assert_int_eq(dx_process_wait(process, NULL, PATIENCE_MS), 0);
    ck_assert_int_eq(*note, 0);
    dx_process_close(process);
    munmap(note, sizeof(*note));
}
END_TEST

/* A tracer is told of the end first, and until it has looked the child cannot be reaped. */
static int trace(int ready, pid_t child)
{
    char word = 'x';

    if (ptrace(PTRACE_SEIZE, child, 0, 0) < 0)
        return 1;
    if (write(ready, &word, 1) != 1)
        return 2;
    pause_ms(600);
    return 0;
}

START_TEST(test_a_traced_child_is_waited_for_without_spinning)
{
    dx_process_options options = {.handover = DX_HANDOVER_STDIO,
                                  .channel.framing = DX_FRAMING_LINE};
    struct timespec before;
    dx_process *process;
    int ends[2];
    char word = 0;

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(dx_spawn(&process, ARGV("cat"), &options), 0);
    pid_t child = dx_process_pid(process);
    pid_t tracer = fork();

    if (tracer == 0) {
        close(ends[0]);
        _exit(trace(ends[1], child));
    }
    close(ends[1]);
    bool traced = read(ends[0], &word, 1) == 1;

    close(ends[0]);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    ck_assert_int_eq(dx_channel_end(dx_process_channel(process), PATIENCE_MS), 0);
    if (traced)
        ck_assert_int_eq(dx_process_wait(process, NULL, 100), -ETIMEDOUT);
    ck_assert_int_eq(dx_process_wait(process, NULL, PATIENCE_MS), 0);
    ck_assert_int_lt(used_ms(&before), 200);
    ck_assert_int_eq(waitpid(tracer, NULL, 0), tracer);
    dx_process_close(process);
    if (!traced)
        HARNESS_SKIP("tracing is not permitted here");
}
END_TEST

/* As if the child never paused: there is always something to read. */
static int always_ready(struct pollfd *descriptors, size_t count, uint64_t deadline_ns)
{
    (void)deadline_ns;
    int ready = dxi_linux.poll(descriptors, count, 0);

    if (ready < 0 || count < 2)
        return ready;
    descriptors[1].revents |= POLLIN;
    return ready + 1;
}

START_TEST(test_a_child_that_never_pauses_does_not_hold_a_wait)
{
    struct dxi_os busy = dxi_linux;
    dx_process *process;
    uint64_t begun = now_ms();

    busy.poll = always_ready;
    ck_assert_int_eq(dx_spawn(&process, ARGV(TALKER, "deaf"), NULL), 0);
    dxi_os = &busy;
    ck_assert_int_eq(dx_process_wait(process, NULL, 100), -ETIMEDOUT);
    ck_assert_int_eq(dx_process_wait(process, NULL, DX_NOW), -ETIMEDOUT);
    dxi_os = &dxi_linux;
    ck_assert_uint_ge(now_ms() - begun, 100);
    ck_assert_uint_lt(now_ms() - begun, 3000);
    ck_assert_int_eq(dx_process_stop(process, 0, NULL), 0);
    dx_process_close(process);
}
END_TEST

HARNESS_MAIN("process: wait", TEST(test_a_wait_ends_at_its_deadline),
             TEST(test_a_wait_takes_in_what_the_child_says),
             TEST(test_a_wait_does_not_take_in_more_than_the_backlog),
             TEST(test_a_wait_sends_what_is_pending),
             TEST(test_a_child_that_never_stops_talking_does_not_hold_a_wait),
             TEST(test_a_wait_sleeps), TEST(test_an_event_loop_learns_of_the_end),
             TEST(test_a_grandchild_cannot_hide_the_end_of_its_parent),
             TEST(test_what_is_left_of_a_group_ends_with_its_leader),
             TEST(test_a_leader_that_ends_between_two_looks_takes_its_group_along),
             TEST(test_a_child_that_ends_between_two_looks_leaves_no_number_behind),
             TEST(test_a_traced_child_is_waited_for_without_spinning),
             TEST(test_a_child_that_never_pauses_does_not_hold_a_wait))
