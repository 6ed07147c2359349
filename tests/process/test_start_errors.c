/* SPDX-License-Identifier: MIT */
/*
 * A start that fails answers with the real errno and a sentence that names what failed, and leaves
 * nothing: the harness counts descriptors and children after each test.
 */
#include "common.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Start this, and see it fail so. */
static void refused(char *const argv[], dx_process_options options, int error, const char *text)
{
    dx_failure failure = {0};
    dx_process *untouched = (dx_process *)&failure;
    dx_process *process = untouched;

    options.failure = &failure;
    ck_assert_int_eq(dx_spawn(&process, argv, &options), error);
    ck_assert_ptr_eq(process, untouched);
    ck_assert_int_eq(failure.error, error);
    if (text)
        ck_assert_str_eq(failure.text, text);
}

/* A file that is there for this test. */
static const char *make_file(const char *content, mode_t mode)
{
    static char path[64];
    int fd;

    strcpy(path, "/tmp/duplex-test-XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    fchmod(fd, mode);
    close(fd);
    return path;
}

START_TEST(test_a_missing_program_is_told_by_name)
{
    refused(ARGV("nope"), (dx_process_options){0}, -ENOENT,
            "cannot start 'nope': No such file or directory");
    refused(ARGV("/nope/nope"), (dx_process_options){0}, -ENOENT,
            "cannot start '/nope/nope': No such file or directory");
    refused(ARGV(""), (dx_process_options){0}, -ENOENT,
            "cannot start '': No such file or directory");
}
END_TEST

START_TEST(test_the_reason_is_that_of_execve)
{
    const char *path = make_file("neither a program nor a script\n", 0755);

    refused(ARGV((char *)path), (dx_process_options){0}, -ENOEXEC, NULL);
    chmod(path, 0644);
    refused(ARGV((char *)path), (dx_process_options){0}, -EACCES, NULL);
    refused(ARGV("/dev/null/x"), (dx_process_options){0}, -ENOTDIR,
            "cannot start '/dev/null/x': Not a directory");
    refused(ARGV("/"), (dx_process_options){0}, -EACCES, "cannot start '/': Permission denied");
    unlink(path);
}
END_TEST

START_TEST(test_a_missing_interpreter_is_told_apart_from_a_missing_program)
{
    if (harness_valgrind())
        HARNESS_SKIP("valgrind does not survive this failure of execve(2)");
    const char *path = make_file("#!/nope/interpreter\n", 0755);
    char text[256];

    snprintf(text, sizeof(text),
             "cannot start '%s': the program that interprets it is missing: No such file or "
             "directory",
             path);
    refused(ARGV((char *)path), (dx_process_options){0}, -ENOENT, text);
    unlink(path);
}
END_TEST

START_TEST(test_a_refusal_along_the_path_is_remembered)
{
    char directory[] = "/tmp/duplex-test-XXXXXX";
    char program[64], path[64];

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(program, sizeof(program), "%s/tool", directory);
    close(open(program, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    snprintf(path, sizeof(path), "PATH=%s:/nope:/dev/null", directory);
    refused(ARGV("tool"), (dx_process_options){.environment_changes = ARGV(path)}, -EACCES,
            "cannot start 'tool': Permission denied");
    unlink(program);
    rmdir(directory);
}
END_TEST

START_TEST(test_arguments_too_long_are_the_kernels_to_refuse)
{
    if (harness_valgrind())
        HARNESS_SKIP("valgrind does not survive this failure of execve(2)");
    size_t size = (size_t)1 << 20;
    char *argument = malloc(size);

    memset(argument, 'x', size - 1);
    argument[size - 1] = '\0';
    refused(ARGV("true", argument), (dx_process_options){0}, -E2BIG, NULL);
    free(argument);
}
END_TEST

START_TEST(test_a_missing_directory_is_told_by_name)
{
    refused(ARGV("true"), (dx_process_options){.directory = "/nope"}, -ENOENT,
            "cannot start 'true': cannot enter the directory '/nope': No such file or directory");
}
END_TEST

START_TEST(test_a_descriptor_that_is_not_open_is_told_by_number)
{
    const dx_descriptor list[] = {{.fd = 999, .target = 5}};
    dx_process_options options = {.descriptors = list, .descriptor_count = 1};

    refused(ARGV("true"), options, -EBADF,
            "cannot start 'true': cannot give it descriptor 999 as its number 5: Bad file "
            "descriptor");
    options = (dx_process_options){.stdio[2] = {DX_STDIO_DESCRIPTOR, 998}};
    refused(ARGV("true"), options, -EBADF,
            "cannot start 'true': cannot give it descriptor 998 as its number 2: Bad file "
            "descriptor");
}
END_TEST

START_TEST(test_a_number_beyond_the_limit_is_told)
{
    const dx_descriptor list[] = {{.fd = 0, .target = 1 << 20}};
    dx_process_options options = {.descriptors = list, .descriptor_count = 1};
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 256;
    setrlimit(RLIMIT_NOFILE, &limit);
    refused(ARGV("true"), options, -EMFILE, NULL);
}
END_TEST

START_TEST(test_a_limit_that_cannot_be_set_is_told_by_name)
{
    const dx_limit inverted[] = {{.resource = RLIMIT_NOFILE, .soft = 100, .hard = 50}};
    const dx_limit unknown[] = {{.resource = RLIMIT_CORE}, {.resource = 99}};
    dx_process_options options = {.limits = inverted, .limit_count = 1};

    refused(ARGV("true"), options, -EINVAL,
            "cannot start 'true': cannot set its RLIMIT_NOFILE: Invalid argument");
    options = (dx_process_options){.limits = unknown, .limit_count = 2};
    refused(ARGV("true"), options, -EINVAL,
            "cannot start 'true': cannot set its resource limit 99: Invalid argument");
}
END_TEST

START_TEST(test_an_identity_out_of_reach_is_refused)
{
    const dx_identity identity = {.user = 12345, .group = 12345};
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        dx_failure failure = {0};
        dx_process_options options = {.identity = &identity, .failure = &failure};
        dx_process *process;

        /* Whoever we are, user 65534 may not become user 12345. */
        harness_child_assert(setgid(65534) == 0 || getuid() != 0);
        harness_child_assert(setuid(65534) == 0 || getuid() != 0);
        harness_child_assert(dx_spawn(&process, ARGV("/bin/true"), &options) == -EPERM);
        harness_child_assert(strcmp(failure.text, "cannot start '/bin/true': cannot become user "
                                                  "12345 and group 12345: Operation not "
                                                  "permitted") == 0);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(test_options_that_make_no_sense_are_refused)
{
    const dx_descriptor twice[] = {{.fd = 0, .target = 7}, {.fd = 1, .target = 7}};
    const dx_descriptor channels[] = {{.fd = 0, .target = 3}};
    const dx_descriptor low[] = {{.fd = 0, .target = 2}};
    const dx_descriptor highest[] = {{.fd = 0, .target = INT_MAX}};
    dx_process *process;

#define REFUSED(...) refused(ARGV("true"), (dx_process_options){__VA_ARGS__}, -EINVAL, NULL)
    REFUSED(.descriptors = twice, .descriptor_count = 2);
    REFUSED(.descriptors = channels, .descriptor_count = 1);
    REFUSED(.descriptors = low, .descriptor_count = 1);
    REFUSED(.descriptors = highest, .descriptor_count = 1);
    REFUSED(.descriptor_count = 1);
    REFUSED(.limit_count = 1);
    REFUSED(.channel_target = 2);
    REFUSED(.channel_target = INT_MAX);
    REFUSED(.child_channel = &(dx_channel_options){0});
    REFUSED(.channel.spin_us = 1001);
    REFUSED(.handover = (dx_handover)7);
    REFUSED(.group = (dx_group)7);
    REFUSED(.stdio[1].mode = (dx_stdio_mode)7);
    REFUSED(.channel.type = (dx_channel_type)7);
    REFUSED(.channel = {.type = DX_DGRAM, .framing = DX_FRAMING_LINE});
    REFUSED(.environment_changes = ARGV("=value"));
    ck_assert_int_eq(dx_spawn(&process, (char *[]){NULL}, NULL), -EINVAL);
    ck_assert_int_eq(dx_spawn(&process, NULL, NULL), -EINVAL);
    ck_assert_int_eq(dx_spawn(NULL, ARGV("true"), NULL), -EINVAL);
    ck_assert_int_eq(dx_fork(&process, NULL, NULL, NULL), -EINVAL);
}
END_TEST

static volatile sig_atomic_t deaths;

static void count_death(int signal)
{
    (void)signal;
    deaths++;
}

START_TEST(test_a_failed_start_is_not_a_death_to_the_host)
{
    dx_process *process;

    signal(SIGCHLD, count_death);
    ck_assert_int_eq(dx_spawn(&process, ARGV("nope"), NULL), -ENOENT);
    ck_assert_int_eq(deaths, 0);
    ck_assert_int_eq(dx_spawn(&process, ARGV("true"), NULL), 0);
    ck_assert_int_eq(dx_process_wait(process, NULL, PATIENCE_MS), 0);
    dx_process_close(process);
    ck_assert_int_eq(deaths, 1);
}
END_TEST

static int never_run(dx_channel *parent, void *arg)
{
    (void)parent;
    *(int *)arg = 1;
    return 0;
}

START_TEST(test_a_failed_fork_is_explained_and_runs_nothing)
{
    dx_failure failure = {0};
    dx_process_options options = {.directory = "/nope", .failure = &failure};
    dx_process *process;
    int ran = 0;

    ck_assert_int_eq(dx_fork(&process, never_run, &ran, &options), -ENOENT);
    ck_assert_str_eq(failure.text, "cannot start the child: cannot enter the directory '/nope': No "
                                   "such file or directory");
    ck_assert_int_eq(ran, 0);
}
END_TEST

START_TEST(test_a_long_name_leaves_room_for_the_reason)
{
    dx_failure failure = {0};
    dx_process_options options = {.failure = &failure};
    dx_process *process;
    char name[2000];

    memset(name, 'n', sizeof(name) - 1);
    name[0] = '/';
    name[sizeof(name) - 1] = '\0';
    ck_assert_int_eq(dx_spawn(&process, ARGV(name), &options), -ENAMETOOLONG);
    ck_assert_ptr_nonnull(strstr(failure.text, "File name too long"));
}
END_TEST

HARNESS_MAIN("process: start errors", TEST(test_a_missing_program_is_told_by_name),
             TEST(test_the_reason_is_that_of_execve),
             TEST(test_a_missing_interpreter_is_told_apart_from_a_missing_program),
             TEST(test_a_refusal_along_the_path_is_remembered),
             TEST(test_arguments_too_long_are_the_kernels_to_refuse),
             TEST(test_a_missing_directory_is_told_by_name),
             TEST(test_a_descriptor_that_is_not_open_is_told_by_number),
             TEST(test_a_number_beyond_the_limit_is_told),
             TEST(test_a_limit_that_cannot_be_set_is_told_by_name),
             TEST(test_an_identity_out_of_reach_is_refused),
             TEST(test_options_that_make_no_sense_are_refused),
             TEST(test_a_failed_start_is_not_a_death_to_the_host),
             TEST(test_a_failed_fork_is_explained_and_runs_nothing),
             TEST(test_a_long_name_leaves_room_for_the_reason))
