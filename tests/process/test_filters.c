/* SPDX-License-Identifier: MIT */
/*
 * In a sandbox: filters of system calls as containers have them, which refuse the newer calls. The
 * next best call takes over.
 */
#include "common.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

static void install(struct sock_filter *code, size_t length)
{
    struct sock_fprog program = {.len = (unsigned short)length, .filter = code};

    harness_child_assert(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    harness_child_assert(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* From now on this call answers so; all others go on. */
static void refuse(long call, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };

    install(code, sizeof(code) / sizeof(code[0]));
}

/* As an emulator that does not know the flag. */
static void refuse_clone_pidfd(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_PIDFD, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };

    install(code, sizeof(code) / sizeof(code[0]));
}

/* As a kernel that knows one flag of this call, and not the other. */
static void refuse_flag(long call, unsigned flag)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flag, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };

    install(code, sizeof(code) / sizeof(code[0]));
}

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

static void converse(dx_process *process)
{
    dx_message message;
    dx_exit exit;

    harness_child_assert(dx_send(dx_process_channel(process), "word", 4, PATIENCE_MS) == 0);
    harness_child_assert(dx_recv(dx_process_channel(process), &message, PATIENCE_MS) == 1);
    harness_child_assert(message.size == 4);
    harness_child_assert(dx_process_stop(process, PATIENCE_MS, &exit) == 0);
    harness_child_assert(exit.kind == DX_EXIT_CODE && exit.code == 0 && exit.stop_signal == 0);
    dx_process_close(process);
}

static void expect_closed(char *const argv[], const char *expected)
{
    dx_process_options options = {.stdio[1].mode = DX_STDIO_PIPE};
    char text[128] = "";
    size_t length = 0;
    dx_process *process;

    harness_child_assert(dx_spawn(&process, argv, &options) == 0);
    int fd = dx_process_take_stdio(process, 1);

    for (ssize_t size = 1; size > 0 && length < sizeof(text) - 1; length += (size_t)size)
        size = read(fd, text + length, sizeof(text) - 1 - length);
    close(fd);
    dx_process_close(process);
    harness_child_assert(strcmp(text, expected) == 0);
}

/* More than a pipe holds, both ways; and then to somebody who has gone, which kills nobody. */
static void converse_over_pipes(void)
{
    static char line[1 << 20];
    dx_process_options options = {.handover = DX_HANDOVER_PIPES,
                                  .channel.framing = DX_FRAMING_LINE};
    dx_process *process;
    dx_message message;

    signal(SIGPIPE, SIG_DFL);
    memset(line, 'x', sizeof(line));
    harness_child_assert(dx_spawn(&process, ARGV("cat"), &options) == 0);
    dx_channel *channel = dx_process_channel(process);

    harness_child_assert(dx_recv(channel, &message, 20) == -ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        harness_child_assert(dx_send(channel, line, sizeof(line), PATIENCE_MS) == 0);
    for (int i = 0; i < 3; i++) {
        harness_child_assert(dx_recv(channel, &message, PATIENCE_MS) == 1);
        harness_child_assert(message.size == sizeof(line));
    }
    dx_process_signal(process, SIGKILL);
    pause_ms(20);
    while (dx_send(channel, line, sizeof(line), PATIENCE_MS) == 0)
        continue;
    harness_child_assert(dx_send(channel, line, 1, PATIENCE_MS) == -EPIPE);
    dx_process_close(process);

    /* Killed by nobody's pidfd: only the pipe tells. */
    int back[2], there[2];

    harness_child_assert(pipe(back) == 0 && pipe(there) == 0);
    harness_child_assert(dx_channel_attach(&channel, back[0], there[1], &options.channel) == 0);
    close(there[0]);
    harness_child_assert(dx_send(channel, line, 1, PATIENCE_MS) == -EPIPE);
    dx_channel_close(channel);
    close(back[1]);
}

/* Everything that a start is asked for must work as elsewhere. */
static void expect_all_well(void)
{
    dx_process_options options = {.group = DX_GROUP_NEW};
    dx_process *process;
    dx_exit exit;

    harness_child_assert(dx_spawn(&process, ARGV(TALKER, "echo"), NULL) == 0);
    converse(process);
    harness_child_assert(dx_fork(&process, echo, NULL, NULL) == 0);
    converse(process);
    converse_over_pipes();
    harness_child_assert(dx_spawn(&process, ARGV("nope"), NULL) == -ENOENT);
    for (int fd = 60; fd < 120; fd += 3)
        harness_child_assert(dup2(2, fd) == fd);
    expect_closed(ARGV(PROBE, "file:4", "file:60", "file:117"),
                  "4: Bad file descriptor\n60: Bad file descriptor\n117: Bad file descriptor\n");
    for (int i = 0; i < 2; i++) {
        dx_message message;

        harness_child_assert(dx_spawn(&process, ARGV(TALKER, "stubborn"), i ? &options : NULL) ==
                             0);
        harness_child_assert(dx_recv(dx_process_channel(process), &message, PATIENCE_MS) == 1);
        harness_child_assert(dx_process_stop(process, 10, &exit) == 0);
        harness_child_assert(exit.signal == SIGKILL);
        dx_process_close(process);
    }
    harness_child_assert(waitpid(-1, NULL, WNOHANG) == -1);
}

/* Filters cannot be taken off again, so each has a process of its own. */
#define WITH(filter)                                                                               \
    do {                                                                                           \
        pid_t pid_ = fork();                                                                       \
        int status_;                                                                               \
                                                                                                   \
        if (pid_ == 0) {                                                                           \
            filter;                                                                                \
            expect_all_well();                                                                     \
            _exit(0);                                                                              \
        }                                                                                          \
        ck_assert_int_eq(waitpid(pid_, &status_, 0), pid_);                                        \
        ck_assert_msg(status_ == 0, "with %s: status %x", #filter, (unsigned)status_);             \
    } while (0)

#define SKIP_UNDER_VALGRIND()                                                                      \
    do {                                                                                           \
        if (harness_valgrind())                                                                    \
            HARNESS_SKIP("valgrind needs calls that the filters refuse");                          \
    } while (0)

START_TEST(test_clone3_may_be_refused)
{
    SKIP_UNDER_VALGRIND();
    WITH(refuse(SYS_clone3, ENOSYS));
    WITH(refuse(SYS_clone3, EPERM));
}
END_TEST

START_TEST(test_close_range_may_be_refused)
{
    SKIP_UNDER_VALGRIND();
    WITH(refuse(SYS_close_range, ENOSYS));
    WITH(refuse(SYS_close_range, EPERM));
}
END_TEST

START_TEST(test_close_range_and_the_list_of_descriptors_may_be_refused)
{
    SKIP_UNDER_VALGRIND();
    WITH(refuse(SYS_close_range, ENOSYS); refuse(SYS_getdents64, EACCES));
}
END_TEST

/* A limit lowered after the fact hides nothing from the list of descriptors. */
START_TEST(test_descriptors_beyond_the_limit_are_closed_without_close_range)
{
    pid_t pid;
    int status;

    SKIP_UNDER_VALGRIND();
    pid = fork();
    if (pid == 0) {
        const struct rlimit low = {500, 500};

        harness_child_assert(dup2(2, 900) == 900);
        harness_child_assert(setrlimit(RLIMIT_NOFILE, &low) == 0);
        refuse(SYS_close_range, ENOSYS);
        expect_closed(ARGV(PROBE, "file:900"), "900: Bad file descriptor\n");
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(test_pidfd_open_may_be_refused)
{
    SKIP_UNDER_VALGRIND();
    WITH(refuse(SYS_pidfd_open, ENOSYS));
    WITH(refuse(SYS_pidfd_open, EPERM));
}
END_TEST

START_TEST(test_pidfd_send_signal_may_be_refused)
{
    SKIP_UNDER_VALGRIND();
    WITH(refuse(SYS_pidfd_send_signal, ENOSYS));
    WITH(refuse(SYS_pidfd_send_signal, EPERM));
}
END_TEST

START_TEST(test_clone_may_know_no_pidfd)
{
    SKIP_UNDER_VALGRIND();
    WITH(refuse_clone_pidfd());
}
END_TEST

/* The flags that pipes are read and written with came in different years. */
START_TEST(test_reading_and_writing_with_flags_may_be_refused)
{
    enum { WITHOUT_WAITING = 0x8, WITHOUT_SIGNAL = 0x100 };

    SKIP_UNDER_VALGRIND();
    WITH(refuse(SYS_preadv2, ENOSYS); refuse(SYS_pwritev2, ENOSYS));
    WITH(refuse(SYS_preadv2, EPERM); refuse(SYS_pwritev2, EPERM));
    WITH(refuse_flag(SYS_pwritev2, WITHOUT_SIGNAL));
    WITH(refuse_flag(SYS_preadv2, WITHOUT_WAITING); refuse_flag(SYS_pwritev2, WITHOUT_WAITING));
}
END_TEST

/* Parent and child agree by a socket on when the child may go on. */
START_TEST(test_a_fork_that_cannot_be_settled_leaves_no_child)
{
    pid_t pid;
    int status;

    SKIP_UNDER_VALGRIND();
    pid = fork();
    if (pid == 0) {
        dx_process *process;

        refuse(SYS_sendto, ENOBUFS);
        harness_child_assert(dx_fork(&process, echo, NULL, NULL) == -ENOBUFS);
        harness_child_assert(waitpid(-1, NULL, WNOHANG) == -1);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* A host that reaps everybody, without the kernel's signals by pidfd: a number is not trusted. */
START_TEST(test_a_reaped_child_is_not_signalled_by_its_number)
{
    pid_t pid;
    int status;

    SKIP_UNDER_VALGRIND();
    pid = fork();
    if (pid == 0) {
        dx_process *process;
        dx_exit exit;

        refuse(SYS_pidfd_send_signal, ENOSYS);
        harness_child_assert(dx_spawn(&process, ARGV("true"), NULL) == 0);
        harness_child_assert(waitpid(-1, NULL, 0) > 0);
        refuse(SYS_kill, ENOTTY);
        harness_child_assert(dxi_linux.signal(dx_process_fd(process), dx_process_pid(process),
                                              SIGTERM) == -ESRCH);
        harness_child_assert(dxi_linux.signal_group(dx_process_fd(process), dx_process_pid(process),
                                                    SIGTERM) == -ESRCH);
        harness_child_assert(dx_process_signal(process, SIGTERM) == -ESRCH);
        harness_child_assert(dx_process_stop(process, 0, &exit) == 0);
        dx_process_close(process);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

static int pid_is_one(dx_channel *parent, void *arg)
{
    (void)parent;
    (void)arg;
    return getpid() == 1 && getppid() == 0 ? 21 : 22;
}

/* There the child sees no parent number: that must not be taken for a dead parent. */
START_TEST(test_a_child_may_be_the_first_of_a_pid_namespace)
{
    pid_t pid;
    int status;

    if (getuid() != 0)
        HARNESS_SKIP("needs root");
    pid = fork();
    if (pid == 0) {
        dx_process_options options = {.die_with_parent = true};
        dx_process *process;
        dx_exit exit;

        harness_child_assert(unshare(CLONE_NEWPID) == 0);
        harness_child_assert(dx_fork(&process, pid_is_one, NULL, &options) == 0);
        harness_child_assert(dx_process_wait(process, &exit, PATIENCE_MS) == 0);
        harness_child_assert(exit.code == 21);
        dx_process_close(process);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

HARNESS_MAIN("process: filters", TEST(test_clone3_may_be_refused),
             TEST(test_close_range_may_be_refused),
             TEST(test_close_range_and_the_list_of_descriptors_may_be_refused),
             TEST(test_descriptors_beyond_the_limit_are_closed_without_close_range),
             TEST(test_pidfd_open_may_be_refused), TEST(test_pidfd_send_signal_may_be_refused),
             TEST(test_clone_may_know_no_pidfd),
             TEST(test_reading_and_writing_with_flags_may_be_refused),
             TEST(test_a_fork_that_cannot_be_settled_leaves_no_child),
             TEST(test_a_reaped_child_is_not_signalled_by_its_number),
             TEST(test_a_child_may_be_the_first_of_a_pid_namespace))
