/* SPDX-License-Identifier: MIT */
/*
 * How a program learns where its end is: each handover from both sides, and with programs that were
 * never written for it.
 */
#include "common.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLAIMER DUPLEX_TEST_PROGRAMS "/child_claimer"

#define MIB ((size_t)1 << 20)

/* Each handover, and how child_claimer claims it. */
static const struct handing {
    dx_process_options options;
    const char *number, *text;
    const char *variable; /* one that is there before the claim and not after it */
} handings[] = {
    {{.handover = DX_HANDOVER_ENV}, "0", "-", "DUPLEX_FD"},
    {{.handover = DX_HANDOVER_ENV, .channel_target = 17}, "0", "-", "DUPLEX_FD"},
    {{.handover = DX_HANDOVER_ENV, .handover_variable = "MY_CHANNEL"},
     "0",
     "MY_CHANNEL",
     "MY_CHANNEL"},
    {{.handover = DX_HANDOVER_STDIO}, "1", "-", NULL},
    {{.handover = DX_HANDOVER_PIPES}, "2", "-", NULL},
    {{.handover = DX_HANDOVER_FDS}, "3", "-", NULL},
    {{.handover = DX_HANDOVER_FDS, .channel_target = 9, .channel_write_target = 7},
     "3",
     "9,7",
     NULL},
    {{.handover = DX_HANDOVER_LISTEN}, "4", "-", "LISTEN_FDS"},
    {{.handover = DX_HANDOVER_LISTEN, .handover_variable = "a b"}, "4", "a b", "LISTEN_PID"},
    {{.handover = DX_HANDOVER_ARGV, .channel_target = 12}, "5", "{fd}", NULL},
};

enum { HANDINGS = sizeof(handings) / sizeof(handings[0]) };

#define START_CLAIMER(process, handing, ...)                                                       \
    do {                                                                                           \
        dx_failure failure_ = {0};                                                                 \
        dx_process_options options_ = (handing)->options;                                          \
                                                                                                   \
        options_.failure = &failure_;                                                              \
        ASSERT_STARTED(dx_spawn(&(process),                                                        \
                                ARGV(CLAIMER, (char *)(handing)->number, (char *)(handing)->text,  \
                                     __VA_ARGS__),                                                 \
                                &options_),                                                        \
                       failure_);                                                                  \
    } while (0)

static void expect_good_end(dx_process *process)
{
    dx_exit exit;

    ck_assert_int_eq(dx_process_stop(process, PATIENCE_MS, &exit), 0);
    ck_assert_msg(exit.kind == DX_EXIT_CODE && exit.code == 0 && exit.stop_signal == 0, "%s",
                  exit.text);
    dx_process_close(process);
}

START_TEST(test_each_handover_converses)
{
    static char large[3 << 20];
    dx_message message;

    for (int i = 0; i < HANDINGS; i++) {
        dx_process *process;

        START_CLAIMER(process, &handings[i], NULL);
        dx_channel *channel = dx_process_channel(process);

        for (size_t size = 0; size <= sizeof(large); size = size * 7 + 1) {
            memset(large, (int)size, size);
            ck_assert_int_eq(dx_send(channel, large, size, PATIENCE_MS), 0);
        }
        for (size_t size = 0; size <= sizeof(large); size = size * 7 + 1) {
            int status = dx_recv(channel, &message, PATIENCE_MS);

            ck_assert_msg(status == 1, "%d: %d: %s", i, status, dx_channel_explain(channel));
            ck_assert_uint_eq(message.size, size);
            ck_assert(size == 0 || ((const char *)message.data)[size - 1] == (char)size);
        }
        expect_good_end(process);
    }
}
END_TEST

/* Only 0, 1 and 2 reach its own children, and no promise does. */
START_TEST(test_a_claim_is_for_one_program_and_once)
{
    for (int i = 0; i < HANDINGS; i++) {
        const char *variable = handings[i].variable;
        dx_process *process;

        START_CLAIMER(process, &handings[i], "inherited", variable ? (char *)variable : "PATH",
                      "again");
        dx_channel *channel = dx_process_channel(process);

        ck_assert_str_eq(receive_text(channel), "0 1 2");
        if (variable)
            ck_assert_str_eq(receive_text(channel), "(none)");
        else
            (void)receive_text(channel);
        ck_assert_str_ne(receive_text(channel), "claimed twice");
        expect_good_end(process);
    }
}
END_TEST

/* What a library prints does not become part of the conversation. */
START_TEST(test_standard_input_and_output_are_vacated)
{
    for (int i = 0; i < 2; i++) {
        dx_process_options options = {.handover = i == 0 ? DX_HANDOVER_STDIO : DX_HANDOVER_PIPES,
                                      .stdio[2].mode = DX_STDIO_PIPE};
        dx_process *process;

        ck_assert_int_eq(
            dx_spawn(&process, ARGV(CLAIMER, i == 0 ? "1" : "2", "-", "stdin", "print"), &options),
            0);
        int complaints = dx_process_take_stdio(process, 2);

        ck_assert_str_eq(receive_text(dx_process_channel(process)), "the end");
        ck_assert_str_eq(receive_text(dx_process_channel(process)), "printed");
        expect_good_end(process);
        ck_assert_str_eq(read_to_end(complaints), "printed\n");
    }
}
END_TEST

/* "0,1" is for programs behind ssh: the same, by a variable. */
START_TEST(test_a_variable_can_name_two_numbers)
{
    dx_process_options options = {.handover = DX_HANDOVER_PIPES,
                                  .environment_changes = ARGV("DUPLEX_FD=0,1")};
    dx_process *process;

    ck_assert_int_eq(dx_spawn(&process, ARGV(CLAIMER, "0", "-", "stdin", "inherited", "DUPLEX_FD"),
                              &options),
                     0);
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "the end");
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "0 1 2");
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "(none)");
    expect_good_end(process);
}
END_TEST

static const char *first_line(dx_handover handover, const char *script)
{
    static char line[512];
    dx_process_options options = {.handover = handover, .channel.framing = DX_FRAMING_LINE};
    dx_process *process;

    ck_assert_int_eq(dx_spawn(&process, ARGV("sh", "-c", (char *)script), &options), 0);
    ck_assert_int_eq(dx_send(dx_process_channel(process), "word", 4, PATIENCE_MS) & ~EPIPE, 0);
    snprintf(line, sizeof(line), "%s", receive_text(dx_process_channel(process)));
    dx_process_close(process);
    return line;
}

START_TEST(test_pipes_can_be_opened_by_name)
{
    const char *script = "exec 2>&1; read word </dev/stdin; sleep 0.1; "
                         "if test \"$word\"; then echo \"read $word\" >/dev/stdout; fi";

    ck_assert_str_eq(first_line(DX_HANDOVER_PIPES, script), "read word");
    ck_assert_ptr_nonnull(strstr(first_line(DX_HANDOVER_STDIO, script),
                                 "No such device or address"));
    ck_assert_str_eq(first_line(DX_HANDOVER_PIPES, "test -p /dev/stdin && echo a pipe; cat"),
                     "a pipe");
}
END_TEST

START_TEST(test_a_foreign_child_gets_blocking_pipes)
{
    dx_process_options options = {.handover = DX_HANDOVER_PIPES,
                                  .channel.framing = DX_FRAMING_LINE};
    dx_process *process;

    ck_assert_int_eq(
        dx_spawn(&process, ARGV("sh", "-c", "read line; echo \"got $line\""), &options), 0);
    pause_ms(100);
    ck_assert_int_eq(dx_send(dx_process_channel(process), "word", 4, PATIENCE_MS), 0);
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "got word");
    expect_good_end(process);
}
END_TEST

/* Both pipes fill: a line of 8 MiB through cat, whose own buffer is small. */
START_TEST(test_much_goes_through_a_filter_and_comes_back)
{
    size_t size = 8 * MIB;
    char *line = malloc(size);
    dx_message message;

    memset(line, 'x', size);
    for (int handover = DX_HANDOVER_STDIO; handover <= DX_HANDOVER_PIPES; handover++) {
        dx_process_options options = {.handover = (dx_handover)handover,
                                      .channel.framing = DX_FRAMING_LINE};
        dx_process *process;

        ck_assert_int_eq(dx_spawn(&process, ARGV("cat"), &options), 0);
        dx_channel *channel = dx_process_channel(process);

        ck_assert_int_eq(dx_send(channel, line, size, PATIENCE_MS), 0);
        ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
        ck_assert_int_eq(dx_recv(channel, &message, PATIENCE_MS), 1);
        ck_assert(message.size == size && memcmp(message.data, line, size) == 0);
        ck_assert_int_eq(dx_recv(channel, &message, PATIENCE_MS), 0);
        expect_good_end(process);
    }
    free(line);
}
END_TEST

/* The sleeper has the pipes, and no end comes by them. */
START_TEST(test_a_grandchild_that_holds_the_pipes_hides_no_end)
{
    dx_process_options options = {
        .handover = DX_HANDOVER_PIPES, .channel.framing = DX_FRAMING_LINE, .group = DX_GROUP_NEW};
    dx_process *process;
    dx_message message;

    adopt_orphans();
    ck_assert_int_eq(
        dx_spawn(&process, ARGV("sh", "-c", "sleep 60 & echo $!; echo last words"), &options), 0);
    dx_channel *channel = dx_process_channel(process);
    pid_t sleeper = (pid_t)receive_number(channel);

    ck_assert_str_eq(receive_text(channel), "last words");
    ck_assert_int_eq(dx_recv(channel, &message, PATIENCE_MS), 0);
    for (int status = 0; status == 0;)
        status = dx_send(channel, "who hears this?", 15, 0);
    dx_process_close(process);
    ck_assert(orphan_ended(sleeper, PATIENCE_MS));
}
END_TEST

/* Nobody else has the parent's ends: the first child's end is not up to the second. */
START_TEST(test_the_pipes_of_one_child_do_not_reach_another)
{
    static const dx_handover handovers[] = {DX_HANDOVER_PIPES, DX_HANDOVER_FDS};
    dx_process *first, *second;
    dx_message message;

    for (int i = 0; i < 2; i++) {
        dx_process_options options = {.handover = handovers[i]};
        char *number = i == 0 ? "2" : "3";

        ck_assert_int_eq(dx_spawn(&first, ARGV(CLAIMER, number, "-"), &options), 0);
        ck_assert_int_eq(dx_spawn(&second, ARGV(CLAIMER, number, "-"), &options), 0);
        ck_assert_int_eq(dx_channel_end(dx_process_channel(first), PATIENCE_MS), 0);
        ck_assert_int_eq(dx_recv(dx_process_channel(first), &message, PATIENCE_MS), 0);
        expect_good_end(first);
        expect_good_end(second);
    }
}
END_TEST

START_TEST(test_only_the_channel_is_open_besides_stdio)
{
    dx_process_options options = {.handover = DX_HANDOVER_FDS};

    ck_assert_str_eq(output_of(ARGV(PROBE, "descriptors"), &options), "0 1 2 3 4\n");
    options.channel_target = 20;
    options.channel_write_target = 10;
    ck_assert_str_eq(output_of(ARGV(PROBE, "descriptors"), &options), "0 1 2 10 20\n");
    options = (dx_process_options){.handover = DX_HANDOVER_LISTEN};
    ck_assert_str_eq(output_of(ARGV(PROBE, "descriptors"), &options), "0 1 2 3\n");
}
END_TEST

START_TEST(test_passed_descriptors_are_told_as_systemd_tells_them)
{
    dx_process_options options = {.handover = DX_HANDOVER_LISTEN, .stdio[1].mode = DX_STDIO_PIPE};
    char expected[128];
    dx_process *process;

    setenv("LISTEN_PIDFDID", "7", 1);
    setenv("LISTEN_FDNAMES", "another", 1);
    ck_assert_int_eq(dx_spawn(&process,
                              ARGV(PROBE, "variable:LISTEN_FDS", "variable:LISTEN_PID",
                                   "variable:LISTEN_FDNAMES", "variable:LISTEN_PIDFDID"),
                              &options),
                     0);
    snprintf(expected, sizeof(expected),
             "LISTEN_FDS=1\nLISTEN_PID=%d\nLISTEN_FDNAMES=duplex\nLISTEN_PIDFDID=(none)\n",
             (int)dx_process_pid(process));
    ck_assert_str_eq(read_to_end(dx_process_take_stdio(process, 1)), expected);
    dx_process_close(process);
}
END_TEST

START_TEST(test_node_is_told_by_its_own_variables)
{
    dx_process_options options = {.channel.framing = DX_FRAMING_NODE, .environment = ARGV("A=1")};

    ck_assert_str_eq(output_of(ARGV(PROBE, "environment"), &options),
                     "A=1\nNODE_CHANNEL_FD=3\nNODE_CHANNEL_SERIALIZATION_MODE=json\n");
    options.handover_variable = "ANOTHER";
    options.channel.framing = DX_FRAMING_LINE;
    ck_assert_str_eq(output_of(ARGV(PROBE, "environment"), &options), "A=1\nANOTHER=3\n");
}
END_TEST

/* A promise to one program is not passed on, unless somebody means it. */
START_TEST(test_no_promise_of_a_descriptor_is_inherited)
{
    static const char *const names[] = {
        "DUPLEX_FD",      "NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE",
        "WAYLAND_SOCKET", "LISTEN_FDS",      "LISTEN_PID",
        "LISTEN_FDNAMES", "LISTEN_PIDFDID"};
    dx_process_options options = {.handover = DX_HANDOVER_FDS};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char question[64], meant[64], expected[64];

        setenv(names[i], "77", 1);
        snprintf(question, sizeof(question), "variable:%s", names[i]);
        snprintf(expected, sizeof(expected), "%s=(none)\n", names[i]);
        ck_assert_str_eq(output_of(ARGV(PROBE, question), &options), expected);
        ck_assert_str_eq(getenv(names[i]), "77");

        snprintf(meant, sizeof(meant), "%s=5", names[i]);
        snprintf(expected, sizeof(expected), "%s=5\n", names[i]);
        dx_process_options meaning = options;

        meaning.environment_changes = ARGV(meant);
        ck_assert_str_eq(output_of(ARGV(PROBE, question), &meaning), expected);
        meaning = options;
        meaning.environment = ARGV(meant);
        ck_assert_str_eq(output_of(ARGV(PROBE, question), &meaning), expected);
    }
}
END_TEST

START_TEST(test_the_number_takes_its_place_in_each_argument)
{
    char *argv[] = {"sh", "-c", "echo $0 $1 $2 $3", "{fd}", "a{fd}b{fd}", "{{fd}}", "{fd", NULL};
    dx_process_options options = {.handover = DX_HANDOVER_ARGV, .channel_target = 123};

    ck_assert_str_eq(output_of(argv, &options), "123 a123b123 {123} {fd\n");
    ck_assert_str_eq(argv[3], "{fd}");
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

START_TEST(test_a_function_needs_no_handover)
{
    for (int handover = DX_HANDOVER_ENV; handover <= DX_HANDOVER_ARGV; handover++) {
        dx_process_options options = {.handover = (dx_handover)handover,
                                      .handover_variable = "=",
                                      .channel.type = DX_SEQPACKET};
        dx_process *process;

        ck_assert_int_eq(dx_fork(&process, echo, NULL, &options), 0);
        ck_assert_int_eq(dx_send(dx_process_channel(process), "word", 4, PATIENCE_MS), 0);
        ck_assert_str_eq(receive_text(dx_process_channel(process)), "word");
        expect_good_end(process);
    }
}
END_TEST

START_TEST(test_what_does_not_go_together_is_refused_in_words)
{
    static const dx_descriptor clash[] = {{0, 4}};
    static const struct {
        dx_process_options options;
        int error;
        const char *text;
    } refusals[] = {
        {{.handover = (dx_handover)6}, -EINVAL, "there is no handover 6"},
        {{.handover = DX_HANDOVER_PIPES, .channel.type = DX_SEQPACKET}, -EINVAL, "are streams"},
        {{.handover = DX_HANDOVER_FDS, .channel.type = DX_DGRAM}, -EINVAL, "are streams"},
        {{.handover = DX_HANDOVER_PIPES, .channel.descriptor_limit = 1},
         -EOPNOTSUPP,
         "pipes carry no descriptors"},
        {{.handover = DX_HANDOVER_FDS, .channel.descriptor_limit = 1},
         -EOPNOTSUPP,
         "pipes carry no descriptors"},
        {{.handover_variable = ""}, -EINVAL, "cannot name an environment variable"},
        {{.handover_variable = "A=B"}, -EINVAL, "'A=B' cannot name an environment variable"},
        {{.handover_variable = "NODE_CHANNEL_FD", .channel.type = DX_SEQPACKET},
         -EINVAL,
         "Node takes a stream"},
        {{.handover = DX_HANDOVER_LISTEN, .handover_variable = "a:b"}, -EINVAL, "'a:b' cannot"},
        {{.handover = DX_HANDOVER_LISTEN, .handover_variable = ""}, -EINVAL, "cannot name"},
        {{.handover = DX_HANDOVER_LISTEN, .channel_target = 4}, -EINVAL, "as number 3, and not 4"},
        {{.handover = DX_HANDOVER_FDS, .channel_target = 4}, -EINVAL, "under one number, 4"},
        {{.handover = DX_HANDOVER_FDS, .channel_write_target = 3}, -EINVAL, "under one number, 3"},
        {{.handover = DX_HANDOVER_FDS, .channel_write_target = 2}, -EINVAL, "3 or greater"},
        {{.handover = DX_HANDOVER_FDS, .channel_target = -1}, -EINVAL, "3 or greater"},
        {{.handover = DX_HANDOVER_FDS, .channel_write_target = 2147483647},
         -EINVAL,
         "no descriptor number 2147483647"},
        {{.handover = DX_HANDOVER_FDS, .descriptors = clash, .descriptor_count = 1},
         -EINVAL,
         "two descriptors with the number 4"},
        {{.handover = DX_HANDOVER_ARGV}, -EINVAL, "none of its arguments has a {fd}"},
    };

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        dx_process_options options = refusals[i].options;
        dx_failure failure = {0};
        dx_process *process = NULL;

        options.failure = &failure;
        int status = dx_spawn(&process, ARGV("true", "{f}d"), &options);

        ck_assert_msg(status == refusals[i].error, "%zu: %d: %s", i, status, failure.text);
        ck_assert_msg(strstr(failure.text, refusals[i].text), "%zu: %s", i, failure.text);
        ck_assert_ptr_nonnull(strstr(failure.text, "cannot start 'true': "));
        ck_assert_ptr_null(process);
    }
}
END_TEST

HARNESS_MAIN("process: handovers", TEST_WITHIN(test_each_handover_converses, 40),
             TEST(test_a_claim_is_for_one_program_and_once),
             TEST(test_standard_input_and_output_are_vacated),
             TEST(test_a_variable_can_name_two_numbers), TEST(test_pipes_can_be_opened_by_name),
             TEST(test_a_foreign_child_gets_blocking_pipes),
             TEST(test_much_goes_through_a_filter_and_comes_back),
             TEST(test_a_grandchild_that_holds_the_pipes_hides_no_end),
             TEST(test_the_pipes_of_one_child_do_not_reach_another),
             TEST(test_only_the_channel_is_open_besides_stdio),
             TEST(test_passed_descriptors_are_told_as_systemd_tells_them),
             TEST(test_node_is_told_by_its_own_variables),
             TEST(test_no_promise_of_a_descriptor_is_inherited),
             TEST(test_the_number_takes_its_place_in_each_argument),
             TEST(test_a_function_needs_no_handover),
             TEST(test_what_does_not_go_together_is_refused_in_words))
