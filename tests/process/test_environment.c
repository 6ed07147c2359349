/* SPDX-License-Identifier: MIT */
/*
 * The environment of a child, and the search along its PATH.
 */
#include "common.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(test_the_environment_is_inherited)
{
    setenv("DUPLEX_TEST_COLOUR", "green", 1);
    ck_assert_str_eq(output_of(ARGV(PROBE, "variable:DUPLEX_TEST_COLOUR"), NULL),
                     "DUPLEX_TEST_COLOUR=green\n");
}
END_TEST

START_TEST(test_a_whole_environment_takes_the_place_of_the_parents)
{
    dx_process_options options = {.environment = ARGV("A=1", "B=2")};

    ck_assert_str_eq(output_of(ARGV(PROBE, "environment"), &options), "A=1\nB=2\nDUPLEX_FD=3\n");
    options.handover = DX_HANDOVER_STDIO;
    options.channel.framing = DX_FRAMING_LINE;
    dx_process *process;

    ck_assert_int_eq(dx_spawn(&process, ARGV(PROBE, "environment"), &options), 0);
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "A=1");
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "B=2");
    dx_message message;

    ck_assert_int_eq(dx_recv(dx_process_channel(process), &message, PATIENCE_MS), 0);
    dx_process_close(process);
}
END_TEST

START_TEST(test_changes_set_and_remove)
{
    dx_process_options options = {
        .environment = ARGV("KEEP=k", "DROP=d", "SET=old", "TWICE=1", "TWICE=2", "SETTING=s"),
        .environment_changes = ARGV("DROP", "SET=new", "TWICE=3", "ADD=a=b", "MISSING", "EMPTY="),
        .channel_target = 9};

    ck_assert_str_eq(output_of(ARGV(PROBE, "environment"), &options),
                     "KEEP=k\nSETTING=s\nSET=new\nTWICE=3\nADD=a=b\nEMPTY=\nDUPLEX_FD=9\n");
}
END_TEST

START_TEST(test_changes_do_not_touch_the_parents_environment)
{
    dx_process_options options = {.environment_changes =
                                      ARGV("DUPLEX_TEST_COLOUR=red", "PATH=/usr/bin:/bin")};
    char *path = strdup(getenv("PATH"));

    setenv("DUPLEX_TEST_COLOUR", "green", 1);
    ck_assert_str_eq(output_of(ARGV(PROBE, "variable:DUPLEX_TEST_COLOUR"), &options),
                     "DUPLEX_TEST_COLOUR=red\n");
    ck_assert_str_eq(getenv("DUPLEX_TEST_COLOUR"), "green");
    ck_assert_str_eq(getenv("PATH"), path);
    ck_assert_ptr_null(getenv("DUPLEX_FD"));
    free(path);
}
END_TEST

/* A promise to one program is not passed on to another. */
START_TEST(test_an_inherited_handover_does_not_reach_a_child_that_is_handed_nothing)
{
    dx_process_options options = {.handover = DX_HANDOVER_STDIO,
                                  .channel.framing = DX_FRAMING_LINE};
    dx_process *process;

    setenv("DUPLEX_FD", "77", 1);
    ck_assert_int_eq(dx_spawn(&process, ARGV(PROBE, "variable:DUPLEX_FD"), &options), 0);
    ck_assert_str_eq(receive_text(dx_process_channel(process)), "DUPLEX_FD=(none)");
    dx_process_close(process);
    ck_assert_str_eq(output_of(ARGV(PROBE, "variable:DUPLEX_FD"), NULL), "DUPLEX_FD=3\n");
    ck_assert_str_eq(getenv("DUPLEX_FD"), "77");
}
END_TEST

START_TEST(test_no_environment_at_all_is_an_environment)
{
    clearenv();
    ck_assert_str_eq(output_of(ARGV(PROBE, "environment"), NULL), "DUPLEX_FD=3\n");
}
END_TEST

START_TEST(test_the_search_goes_along_the_path_of_the_child)
{
    char directory[] = "/tmp/duplex-test-XXXXXX";
    char link[64], path[96];

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(link, sizeof(link), "%s/duplex-test-probe", directory);
    ck_assert_int_eq(symlink(PROBE, link), 0);
    snprintf(path, sizeof(path), "PATH=/nope:/dev/null:%s", directory);
    dx_process_options options = {.environment_changes = ARGV(path)};
    dx_process *process;

    ck_assert_str_eq(output_of(ARGV("duplex-test-probe", "directory"), &options) ? "ran" : "",
                     "ran");
    ck_assert_int_eq(dx_spawn(&process, ARGV("duplex-test-probe"), NULL), -ENOENT);

    /* An empty element is the working directory, the child's. */
    options =
        (dx_process_options){.environment_changes = ARGV("PATH=/nope:"), .directory = directory};
    char expected[64];

    snprintf(expected, sizeof(expected), "%s\n", directory);
    ck_assert_str_eq(output_of(ARGV("duplex-test-probe", "directory"), &options), expected);
    unlink(link);
    rmdir(directory);
}
END_TEST

START_TEST(test_without_a_path_the_usual_places_are_searched)
{
    dx_process_options options = {.environment_changes = ARGV("PATH")};
    dx_process *process;

    ck_assert_int_eq(dx_spawn(&process, ARGV("true"), &options), 0);
    dx_process_close(process);
}
END_TEST

START_TEST(test_a_name_with_a_slash_is_found_from_the_childs_directory)
{
    char expected[sizeof(DUPLEX_TEST_PROGRAMS) + 1];
    dx_process_options options = {.directory = DUPLEX_TEST_PROGRAMS};

    snprintf(expected, sizeof(expected), "%s\n", DUPLEX_TEST_PROGRAMS);
    ck_assert_str_eq(output_of(ARGV("./child_probe", "directory"), &options), expected);
}
END_TEST

HARNESS_MAIN("process: environment", TEST(test_the_environment_is_inherited),
             TEST(test_a_whole_environment_takes_the_place_of_the_parents),
             TEST(test_changes_set_and_remove),
             TEST(test_changes_do_not_touch_the_parents_environment),
             TEST(test_an_inherited_handover_does_not_reach_a_child_that_is_handed_nothing),
             TEST(test_no_environment_at_all_is_an_environment),
             TEST(test_the_search_goes_along_the_path_of_the_child),
             TEST(test_without_a_path_the_usual_places_are_searched),
             TEST(test_a_name_with_a_slash_is_found_from_the_childs_directory))
