/* SPDX-License-Identifier: MIT */
/*
 * Where, as whom and within which bounds a child runs.
 */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(test_a_child_runs_in_its_directory)
{
    dx_process_options options = {.directory = "/usr/bin"};

    ck_assert_str_eq(output_of(ARGV(PROBE, "directory"), &options), "/usr/bin\n");
}
END_TEST

START_TEST(test_a_child_leads_the_group_that_it_is_given)
{
    dx_process_options options = {.group = DX_GROUP_INHERIT};

    ck_assert_str_eq(output_of(ARGV(PROBE, "group"), &options), "member no session\n");
    options.group = DX_GROUP_NEW;
    ck_assert_str_eq(output_of(ARGV(PROBE, "group"), &options), "leader no session\n");
    options.group = DX_GROUP_SESSION;
    ck_assert_str_eq(output_of(ARGV(PROBE, "group"), &options), "leader session\n");
}
END_TEST

START_TEST(test_the_group_is_there_when_the_start_returns)
{
    dx_process_options options = {.group = DX_GROUP_NEW};
    dx_process *process;

    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(dx_spawn(&process, ARGV("sleep", "100"), &options), 0);
        ck_assert_int_eq(getpgid(dx_process_pid(process)), dx_process_pid(process));
        ck_assert_int_eq(dx_process_stop(process, 0, NULL), 0);
        dx_process_close(process);
    }
}
END_TEST

static int wait_for_the_end(dx_channel *parent, void *context)
{
    dx_message message;

    (void)context;
    return dx_recv(parent, &message, DX_FOREVER) == 0 ? 0 : 1;
}

static int see_own_note(dx_channel *parent, void *context)
{
    (void)parent;
    return *(pid_t *)context == getpid() ? 0 : 1;
}

START_TEST(test_a_child_notes_its_pid_before_it_does_anything)
{
    pid_t *note = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    dx_process_options options = {.group = DX_GROUP_NEW, .noted_pid = note};
    dx_process *process;
    dx_exit end;

    ck_assert_ptr_ne(note, MAP_FAILED);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(dx_spawn(&process, ARGV("sleep", "100"), &options), 0);
        ck_assert_int_eq(*note, dx_process_pid(process));
        ck_assert_int_eq(dx_process_stop(process, 0, NULL), 0);
        ck_assert_int_eq(*note, 0);
        dx_process_close(process);
        options.group = DX_GROUP_INHERIT;
    }
    ck_assert_int_eq(dx_fork(&process, see_own_note, note, &options), 0);
    ck_assert_int_eq(dx_process_wait(process, &end, PATIENCE_MS), 0);
    ck_assert_int_eq(end.kind, DX_EXIT_CODE);
    ck_assert_int_eq(end.code, 0);
    ck_assert_int_eq(*note, 0);
    dx_process_close(process);
    ck_assert_int_eq(dx_spawn(&process, ARGV("/nowhere/nothing"), &options), -ENOENT);
    ck_assert_int_eq(*note, 0);
    munmap(note, 4096);

    /* Of memory that is not shared, a function's child has a copy. */
    pid_t own = 0;

    options.noted_pid = &own;
    ck_assert_int_eq(dx_fork(&process, wait_for_the_end, NULL, &options), 0);
    ck_assert_int_eq(own, dx_process_pid(process));
    ck_assert_int_eq(dx_process_stop(process, PATIENCE_MS, NULL), 0);
    ck_assert_int_eq(own, 0);
    dx_process_close(process);
}
END_TEST

START_TEST(test_limits_are_set)
{
    const dx_limit limits[] = {{RLIMIT_CORE, 0, 0}, {RLIMIT_FSIZE, 1 << 20, 2 << 20}};
    dx_process_options options = {.limits = limits, .limit_count = 2};
    char core[32], size[32];

    snprintf(core, sizeof(core), "limit:%d", (int)RLIMIT_CORE);
    snprintf(size, sizeof(size), "limit:%d", (int)RLIMIT_FSIZE);
    ck_assert_str_eq(output_of(ARGV(PROBE, core, size), &options), "0 0\n1048576 2097152\n");
}
END_TEST

START_TEST(test_a_limit_below_the_childs_own_numbers_is_its_own_affair)
{
    const dx_limit limits[] = {{RLIMIT_NOFILE, 10, 10}};
    const dx_descriptor list[] = {{.fd = 0, .target = 50}};
    dx_process_options options = {
        .limits = limits, .limit_count = 1, .descriptors = list, .descriptor_count = 1};
    char limit[32];

    if (harness_valgrind())
        HARNESS_SKIP("valgrind keeps RLIMIT_NOFILE to itself");
    snprintf(limit, sizeof(limit), "limit:%d", (int)RLIMIT_NOFILE);
    const char *text = output_of(ARGV(PROBE, limit, "file:50"), &options);

    ck_assert_msg(strncmp(text, "10 10\n50: ", 10) == 0 && !strstr(text, "Bad"), "%s", text);
}
END_TEST

START_TEST(test_a_child_runs_as_whom_it_is_told)
{
    const gid_t groups[] = {4242, 4343};
    const dx_identity identity = {.user = 65534, .group = 4141, .groups = groups, .group_count = 2};
    const dx_identity bare = {.user = 65534, .group = 4141};
    dx_process_options options = {.identity = &identity};

    if (getuid() != 0)
        HARNESS_SKIP("needs root");
    ck_assert_str_eq(output_of(ARGV("sh", "-c", "id -u; id -g; id -G"), &options),
                     "65534\n4141\n4141 4242 4343\n");
    options.identity = &bare;
    ck_assert_str_eq(output_of(ARGV("sh", "-c", "id -u; id -g; id -G"), &options),
                     "65534\n4141\n4141\n");
    ck_assert_int_eq(getuid(), 0);
}
END_TEST

START_TEST(test_the_directory_is_entered_as_whom_the_child_runs)
{
    const dx_identity identity = {.user = 65534, .group = 65534};
    dx_failure failure = {0};
    char directory[] = "/tmp/duplex-test-XXXXXX";
    dx_process_options options = {
        .identity = &identity, .directory = directory, .failure = &failure};
    dx_process *process;

    if (getuid() != 0)
        HARNESS_SKIP("needs root");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(dx_spawn(&process, ARGV("true"), &options), -EACCES);
    ck_assert_ptr_nonnull(strstr(failure.text, "cannot enter the directory"));
    rmdir(directory);
}
END_TEST

START_TEST(test_privileges_can_be_renounced)
{
    dx_process_options options = {.no_new_privileges = true};

    ck_assert_str_eq(output_of(ARGV(PROBE, "no-new-privileges"), NULL), "0\n");
    ck_assert_str_eq(output_of(ARGV(PROBE, "no-new-privileges"), &options), "1\n");
}
END_TEST

static int wait_for_ever(dx_channel *parent, void *arg)
{
    (void)parent;
    (void)arg;
    signal(SIGTERM, SIG_IGN);
    while (pause() < 0)
        continue;
    return 0;
}

/* A process between us and the child, which is killed: the child's pid, for us to watch. */
static pid_t orphan(dx_process_options options, bool by_function)
{
    int ends[2];
    pid_t child = -1;
    pid_t between;

    ck_assert_int_eq(pipe(ends), 0);
    between = fork();
    if (between == 0) {
        dx_process *process;
        int error = by_function ? dx_fork(&process, wait_for_ever, NULL, &options)
                                : dx_spawn(&process, ARGV(TALKER, "stubborn"), &options);

        child = error < 0 ? -1 : dx_process_pid(process);
        harness_child_assert(write(ends[1], &child, sizeof(child)) == sizeof(child));
        for (;;)
            pause();
    }
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &child, sizeof(child)), sizeof(child));
    close(ends[0]);
    ck_assert_int_gt(child, 0);
    kill(between, SIGKILL);
    ck_assert_int_eq(waitpid(between, NULL, 0), between);
    return child;
}

START_TEST(test_a_child_dies_with_its_parent_if_asked_to)
{
    const dx_identity identity = {.user = 65534, .group = 65534};
    dx_process_options options = {.die_with_parent = true};

    adopt_orphans();
    ck_assert(orphan_ended(orphan(options, false), 1000));
    ck_assert(orphan_ended(orphan(options, true), 1000));
    /* A change of user would have the kernel forget it. */
    if (getuid() == 0) {
        options.identity = &identity;
        options.no_new_privileges = true;
        ck_assert(orphan_ended(orphan(options, true), 1000));
    }
}
END_TEST

START_TEST(test_a_child_outlives_its_parent_otherwise)
{
    adopt_orphans();
    pid_t child = orphan((dx_process_options){0}, true);

    ck_assert(!orphan_ended(child, 300));
    kill(child, SIGKILL);
    ck_assert(orphan_ended(child, 1000));
}
END_TEST

HARNESS_MAIN("process: attributes", TEST(test_a_child_runs_in_its_directory),
             TEST(test_a_child_leads_the_group_that_it_is_given),
             TEST(test_the_group_is_there_when_the_start_returns),
             TEST(test_a_child_notes_its_pid_before_it_does_anything), TEST(test_limits_are_set),
             TEST(test_a_limit_below_the_childs_own_numbers_is_its_own_affair),
             TEST(test_a_child_runs_as_whom_it_is_told),
             TEST(test_the_directory_is_entered_as_whom_the_child_runs),
             TEST(test_privileges_can_be_renounced),
             TEST(test_a_child_dies_with_its_parent_if_asked_to),
             TEST(test_a_child_outlives_its_parent_otherwise))
