/* SPDX-License-Identifier: MIT */
/*
 * Standard input, output and error, and descriptors under chosen numbers, in every arrangement.
 */
#include "common.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* How child_probe calls this descriptor of ours under another number. */
static const char *known_as(int fd, int number)
{
    static char text[2][96];
    static int turn;
    struct stat status;

    turn = !turn;
    ck_assert_int_eq(fstat(fd, &status), 0);
    snprintf(text[turn], sizeof(text[turn]), "%d: %llu/%llu\n", number,
             (unsigned long long)status.st_dev, (unsigned long long)status.st_ino);
    return text[turn];
}

START_TEST(test_stdio_is_inherited)
{
    char expected[200];

    snprintf(expected, sizeof(expected), "%s%s", known_as(0, 0), known_as(2, 2));
    ck_assert_str_eq(output_of(ARGV(PROBE, "file:0", "file:2"), NULL), expected);
}
END_TEST

START_TEST(test_stdio_can_be_nothing)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dx_process_options options = {
        .stdio = {{.mode = DX_STDIO_NULL}, {.mode = DX_STDIO_INHERIT}, {.mode = DX_STDIO_NULL}}};
    char expected[200];

    snprintf(expected, sizeof(expected), "read: the end\n%s%s", known_as(null, 0),
             known_as(null, 2));
    ck_assert_str_eq(output_of(ARGV(PROBE, "read", "file:0", "file:2"), &options), expected);
    close(null);
}
END_TEST

START_TEST(test_stdio_can_be_a_descriptor_that_stays_ours)
{
    int ends[2];
    dx_process *process;
    dx_process_options options = {.stdio[2] = {.mode = DX_STDIO_DESCRIPTOR}};

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    options.stdio[2].fd = ends[1];
    ck_assert_int_eq(dx_spawn(&process, ARGV(PROBE, "complain"), &options), 0);
    ck_assert_int_ge(fcntl(ends[1], F_GETFD), 0);
    close(ends[1]);
    ck_assert_str_eq(read_to_end(ends[0]), "a complaint\n");
    dx_process_close(process);
}
END_TEST

START_TEST(test_stdio_can_be_pipes)
{
    dx_process_options options = {
        .stdio = {{.mode = DX_STDIO_PIPE}, {.mode = DX_STDIO_PIPE}, {.mode = DX_STDIO_PIPE}}};
    dx_process *process;
    char said[64];

    ck_assert_int_eq(dx_spawn(&process, ARGV(PROBE, "read", "complain"), &options), 0);
    int in = dx_process_take_stdio(process, 0);
    int out = dx_process_take_stdio(process, 1);
    int err = dx_process_take_stdio(process, 2);

    for (int fd = in; fd >= 0; fd = fd == in ? out : fd == out ? err : -1)
        ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(dx_process_take_stdio(process, 1), -EINVAL);
    ck_assert_str_ne(dx_process_explain(process), "");
    ck_assert_int_eq(dx_process_take_stdio(process, 3), -EINVAL);
    ck_assert_int_eq(dx_process_take_stdio(process, -1), -EINVAL);
    ck_assert_int_eq(write(in, "a line\n", 7), 7);
    close(in);
    snprintf(said, sizeof(said), "%s", read_to_end(out));
    ck_assert_str_eq(said, "read: a line\n\n");
    ck_assert_str_eq(read_to_end(err), "a complaint\n");
    dx_process_close(process);
}
END_TEST

START_TEST(test_pipes_that_nobody_took_are_closed_with_the_process)
{
    dx_process_options options = {
        .stdio = {{.mode = DX_STDIO_PIPE}, {.mode = DX_STDIO_PIPE}, {.mode = DX_STDIO_PIPE}}};
    dx_process *process;

    ck_assert_int_eq(dx_spawn(&process, ARGV("cat"), &options), 0);
    dx_process_close(process);
}
END_TEST

static int say_on_stdout(dx_channel *parent, void *arg)
{
    (void)parent;
    return printf("%s\n", (char *)arg) < 0;
}

START_TEST(test_a_function_has_its_stdio_too)
{
    dx_process_options options = {.stdio[1].mode = DX_STDIO_PIPE};
    dx_process *process;

    ck_assert_int_eq(dx_fork(&process, say_on_stdout, "said", &options), 0);
    ck_assert_str_eq(read_to_end(dx_process_take_stdio(process, 1)), "said\n");
    dx_process_close(process);
}
END_TEST

/* In a process of its own: without its standard descriptors no test could report. */
static void without_stdio(void (*check)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        int report = fcntl(2, F_DUPFD_CLOEXEC, 100);

        for (int fd = 0; fd < 3; fd++)
            close(fd);
        check();
        (void)report;
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

static void inherit_what_is_closed(void)
{
    dx_process_options options = {.stdio[1].mode = DX_STDIO_PIPE};
    char text[256] = "";
    dx_process *process;
    struct stat null;
    char expected[256];

    if (dx_spawn(&process, ARGV(PROBE, "descriptors", "file:0", "file:2"), &options) < 0)
        _exit(1);
    int out = dx_process_take_stdio(process, 1);

    for (size_t length = 0; length < sizeof(text) - 1;) {
        ssize_t size = read(out, text + length, sizeof(text) - 1 - length);

        if (size <= 0)
            break;
        length += (size_t)size;
    }
    close(out);
    dx_process_close(process);
    if (stat("/dev/null", &null) < 0)
        _exit(2);
    snprintf(expected, sizeof(expected), "0 1 2 3\n0: %llu/%llu\n2: %llu/%llu\n",
             (unsigned long long)null.st_dev, (unsigned long long)null.st_ino,
             (unsigned long long)null.st_dev, (unsigned long long)null.st_ino);
    if (strcmp(text, expected) != 0)
        _exit(3);
    /* Nothing of ours took the places for good. */
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            _exit(4);
    }
}

START_TEST(test_what_the_parent_has_closed_is_dev_null_in_the_child)
{
    without_stdio(inherit_what_is_closed);
}
END_TEST

static void converse_on_low_numbers(void)
{
    dx_process *process;
    dx_message message;

    /* Every descriptor of the library lands on 0, 1, 2: all overlap with targets. */
    if (dx_spawn(&process, ARGV(TALKER, "echo"), NULL) < 0)
        _exit(1);
    if (dx_send(dx_process_channel(process), "hello", 5, PATIENCE_MS) < 0 ||
        dx_recv(dx_process_channel(process), &message, PATIENCE_MS) != 1 || message.size != 5)
        _exit(2);
    dx_exit exit;

    if (dx_process_stop(process, PATIENCE_MS, &exit) < 0 || exit.kind != DX_EXIT_CODE ||
        exit.code != 0)
        _exit(3);
    dx_process_close(process);
}

START_TEST(test_the_librarys_own_descriptors_may_have_low_numbers)
{
    without_stdio(converse_on_low_numbers);
}
END_TEST

/* Four files of ours, at numbers that we choose. */
static void open_at(const int *numbers, int count)
{
    for (int i = 0; i < count; i++) {
        char name[32] = "/tmp/duplex-test-XXXXXX";
        int fd = mkstemp(name);

        ck_assert_int_ge(fd, 0);
        unlink(name);
        /* The harness knows what it found under the low numbers, which these may not be. */
        ck_assert_int_lt(fcntl(numbers[i], F_GETFD), 0);
        ck_assert_int_eq(dup2(fd, numbers[i]), numbers[i]);
        close(fd);
    }
}

START_TEST(test_numbers_can_be_swapped)
{
    const int numbers[] = {43, 44, 45};
    char expected[300];

    open_at(numbers, 3);
    /* A cycle of three, the last of them as the channel's number would be without it. */
    dx_descriptor list[] = {{43, 44}, {44, 45}, {45, 43}};
    dx_process_options options = {.descriptors = list, .descriptor_count = 3};

    snprintf(expected, sizeof(expected), "%s", known_as(45, 43));
    strcat(expected, known_as(43, 44));
    strcat(expected, known_as(44, 45));
    strcat(expected, "0 1 2 3 43 44 45\n");
    ck_assert_str_eq(
        output_of(ARGV(PROBE, "file:43", "file:44", "file:45", "descriptors"), &options), expected);
    for (int i = 0; i < 3; i++)
        close(numbers[i]);
}
END_TEST

START_TEST(test_a_descriptor_that_has_its_number_already_stays)
{
    const int numbers[] = {50};
    dx_descriptor list[] = {{50, 50}, {50, 51}};
    dx_process_options options = {.descriptors = list, .descriptor_count = 2};
    char expected[200];

    open_at(numbers, 1);
    /* dup2(50, 50) would leave it close-on-exec. */
    fcntl(50, F_SETFD, FD_CLOEXEC);
    snprintf(expected, sizeof(expected), "%s", known_as(50, 50));
    strcat(expected, known_as(50, 51));
    ck_assert_str_eq(output_of(ARGV(PROBE, "file:50", "file:51"), &options), expected);
    ck_assert_int_eq(fcntl(50, F_GETFD), FD_CLOEXEC);
    close(50);
}
END_TEST

START_TEST(test_stdio_can_be_swapped)
{
    dx_process_options options = {
        .stdio = {{DX_STDIO_DESCRIPTOR, 2}, {DX_STDIO_INHERIT, 0}, {DX_STDIO_DESCRIPTOR, 0}}};
    char expected[200];

    snprintf(expected, sizeof(expected), "%s%s", known_as(2, 0), known_as(0, 2));
    ck_assert_str_eq(output_of(ARGV(PROBE, "file:0", "file:2"), &options), expected);
}
END_TEST

/*
 * The channel's socket in the parent may have the number of a target, and the targets each other's.
 */
START_TEST(test_any_arrangement_arrives)
{
    unsigned seed = 1;

    for (int round = 0; round < 40; round++) {
        dx_descriptor list[6];
        dx_process_options options = {
            .descriptors = list, .descriptor_count = 6, .channel_target = 3 + rand_r(&seed) % 4};
        char expected[700] = "";
        char question[6][16];
        char *argv[] = {PROBE,       question[0], question[1], question[2],
                        question[3], question[4], question[5], NULL};
        int numbers[6];

        for (int i = 0; i < 6; i++) {
            numbers[i] = 60 + i * 2 + rand_r(&seed) % 2;
            list[i].fd = numbers[i];
        }
        open_at(numbers, 6);
        for (int i = 0; i < 6; i++)
            list[i].target = 58 + (i + round) % 6 * 3 + rand_r(&seed) % 3;
        for (int i = 0; i < 6; i++) {
            strcat(expected, known_as(list[i].fd, list[i].target));
            snprintf(question[i], sizeof(question[i]), "file:%d", list[i].target);
        }
        ck_assert_str_eq(output_of(argv, &options), expected);
        for (int i = 0; i < 6; i++)
            close(numbers[i]);
    }
}
END_TEST

START_TEST(test_a_foreign_child_gets_a_blocking_socket)
{
    dx_process_options options = {.handover = DX_HANDOVER_STDIO,
                                  .channel.framing = DX_FRAMING_LINE};
    dx_process *process;

    ck_assert_int_eq(
        dx_spawn(&process, ARGV("sh", "-c", "read line; echo \"got $line\""), &options), 0);
    pause_ms(100);
    ck_assert_int_eq(dx_send(dx_process_channel(process), "word", 4, PATIENCE_MS), 0);
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "got word");
    dx_process_close(process);
}
END_TEST

HARNESS_MAIN("process: descriptors", TEST(test_stdio_is_inherited), TEST(test_stdio_can_be_nothing),
             TEST(test_stdio_can_be_a_descriptor_that_stays_ours), TEST(test_stdio_can_be_pipes),
             TEST(test_pipes_that_nobody_took_are_closed_with_the_process),
             TEST(test_a_function_has_its_stdio_too),
             TEST(test_what_the_parent_has_closed_is_dev_null_in_the_child),
             TEST(test_the_librarys_own_descriptors_may_have_low_numbers),
             TEST(test_numbers_can_be_swapped),
             TEST(test_a_descriptor_that_has_its_number_already_stays),
             TEST(test_stdio_can_be_swapped), TEST(test_any_arrangement_arrives),
             TEST(test_a_foreign_child_gets_a_blocking_socket))
