/* SPDX-License-Identifier: MIT */
/*
 * Starting a program: a child that borrows the parent's memory and stops the calling thread until
 * it has become the program, so that the cost does not grow with what the parent has mapped.
 *
 * It uses clone(2) and not clone3(2), which filters of containers refuse and which offers nothing
 * that is needed here. Emulators, valgrind and the thread sanitizer make a child with a copy of the
 * memory instead; then the same child reports through the same pipe, and the parent waits for it
 * there.
 */
#include "os/child.h"
#include "os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define BORROW_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BORROW_MEMORY 0
#endif
#endif
#ifndef BORROW_MEMORY
#define BORROW_MEMORY CLONE_VM
#endif

/*
 * The child's stack lies in the frame of the caller, which waits for it: a mapping made and taken
 * down each time costs a tenth of the whole start. The child's calls take 3 KiB at most, of which 2
 * are the buffer for a listing of descriptors; binding a symbol for the first time may save 3 KiB
 * of registers. No handler comes on top: signals are blocked until all have their default
 * dispositions.
 */
enum { STACK_SIZE = 16 * 1024 };

/* What parent and child have in common. */
struct birth {
    const struct dxi_start *start;
    pid_t parent;
    int report_fd;
    volatile bool memory_is_shared; /* false, and the child makes it true in what memory it has */
};

DXI_IN_CHILD static int live(void *context)
{
    struct birth *birth = context;
    struct dxi_report report;

    birth->memory_is_shared = true;
    int kept = birth->report_fd;

    if (dxi_child_become_clean(birth->start, birth->parent, &kept, &report) == 0) {
        dxi_child_unblock_signals();
        dxi_child_execute(birth->start, &report);
    }
    syscall(SYS_write, kept, &report, sizeof(report));
    dxi_child_exit(127);
}

static pid_t make_child(struct birth *birth, char *stack, int *ret_pidfd)
{
    char *top = stack + STACK_SIZE; /* downwards, as on all machines but one of the past */
    int borrowing = BORROW_MEMORY | CLONE_VFORK;

    /*
     * No signal at its end: exec restores SIGCHLD, so that a child which never becomes a program is
     * nobody's business: no handler of the host hears of it, no waitpid(-1) finds it.
     */
    pid_t pid = clone(live, top, borrowing | CLONE_PIDFD, birth, ret_pidfd, NULL, NULL);

    if (pid >= 0 || errno != EINVAL)
        return pid < 0 ? -errno : pid;
    /* Emulators know neither CLONE_PIDFD nor an end without a signal. */
    pid = clone(live, top, borrowing | SIGCHLD, birth, NULL, NULL, NULL);
    return pid < 0 ? -errno : pid;
}

/*
 * Learn from the pipe what became of the child. With shared memory it is past its exec by now, and
 * the report lies there or never will: a process that another thread forked meanwhile may hold a
 * copy of the pipe, so nobody waits for the end of it. Else the end of the pipe is the sign of
 * exec.
 */
static int hear_report(int fd, bool memory_is_shared, int pidfd, struct dxi_report *ret)
{
    struct pollfd sources[] = {{.fd = fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};

    if (!memory_is_shared)
        dxi_linux_poll(sources, 2, UINT64_MAX);
    for (;;) {
        ssize_t size = read(fd, ret, sizeof(*ret));

        if (size == (ssize_t)sizeof(*ret))
            return ret->error;
        if (size >= 0 || errno != EINTR)
            return 0;
    }
}

/* 0 or an error. */
static int collect(idtype_t kind, id_t id)
{
    siginfo_t info;
    long status;

    do
        status = syscall(SYS_waitid, kind, id, &info, WEXITED | __WALL, NULL);
    while (status < 0 && errno == EINTR);
    return status < 0 ? -errno : 0;
}

void dxi_collect(pid_t pid, int pidfd)
{
    int error = pidfd >= 0 ? collect((idtype_t)3 /* P_PIDFD */, (id_t)pidfd) : -EINVAL;

    /* ECHILD: somebody else has reaped it, and the number may be another's by now. */
    if (error < 0 && error != -ECHILD)
        (void)collect(P_PID, (id_t)pid);
}

void dxi_block_signals(struct dxi_signal_set *ret_old)
{
    struct dxi_signal_set all;

    for (size_t i = 0; i < sizeof(all.bits) / sizeof(all.bits[0]); i++)
        all.bits[i] = ~0UL;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, ret_old, sizeof(all.bits));
}

void dxi_restore_signals(const struct dxi_signal_set *old)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, old, NULL, sizeof(old->bits));
}

/* The child is there; see whether it lives, and leave nothing of it if not. */
static int settle(struct birth *birth, int report_fd, struct dxi_started *ret)
{
    struct dxi_report report;
    siginfo_t ended;
    int error = 0;

    if (ret->pidfd < 0) {
        ret->pidfd = dxi_linux_pidfd_open(ret->pid);
        if (ret->pidfd < 0) {
            error = ret->pidfd;
            /* As long as it can be waited for, the pid is its own. */
            if (waitid(P_PID, (id_t)ret->pid, &ended, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0)
                kill(ret->pid, SIGKILL);
        }
    }
    if (error == 0) {
        error = hear_report(report_fd, birth->memory_is_shared, ret->pidfd, &report);
        if (error < 0) {
            ret->step = report.step;
            ret->step_index = report.index;
        }
    }
    if (error < 0) {
        dxi_collect(ret->pid, ret->pidfd);
        if (ret->pidfd >= 0)
            close(ret->pidfd);
        ret->pidfd = -1;
    }
    return error;
}

int dxi_linux_start(const struct dxi_start *start, struct dxi_started *ret)
{
    _Alignas(64) char stack[STACK_SIZE];
    struct birth birth = {.start = start, .parent = getpid()};
    struct dxi_signal_set mask;
    int saved_errno = errno;
    int report[2];
    int error;

    *ret = (struct dxi_started){.pid = -1, .pidfd = -1, .step = DXI_STEP_CLONE};
    if (pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0) {
        error = -errno;
        errno = saved_errno;
        return error;
    }
    birth.report_fd = report[1];
    dxi_block_signals(&mask);
    ret->pid = make_child(&birth, stack, &ret->pidfd);
    dxi_restore_signals(&mask);

    close(report[1]);
    error = ret->pid < 0 ? ret->pid : settle(&birth, report[0], ret);
    close(report[0]);
    errno = saved_errno;
    return error;
}
