/* SPDX-License-Identifier: MIT */
/*
 * Runs one point: forks the parent, follows all that happens to the end of the last process, and
 * notes how each has ended. The runner is the reaper of its descendants: whoever is left behind by a
 * parent becomes its child.
 */
#include "run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 50, TRIES_TO_END = 500 };

unsigned slowness = 1;

uint64_t run_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

long run_trace(int request, pid_t pid, uintptr_t address, uintptr_t data)
{
    return syscall(SYS_ptrace, request, pid, address, data);
}

int run_place(const struct run *run, pid_t pid)
{
    for (int i = 0; i <= run->births; i++) {
        if (run->pids[i] == pid)
            return i;
    }
    return -1;
}

bool run_has_ended(const struct run *run, int who)
{
    if (who > run->births)
        return true;
    struct pollfd pidfd = {.fd = run->pidfds[who], .events = POLLIN};

    return poll(&pidfd, 1, 0) != 0;
}

void run_condemn(struct run *run)
{
    struct outcome *outcome = run->outcome;
    int side = run->point->victim == PARENT ? PARENT : CHILD;
    int life = atomic_load(&run->board->sides[side].life);

    outcome->reached = true;
    outcome->victim_began = life != UNBORN;
    outcome->was_leaving = life == LEAVING;
    atomic_fetch_or(&run->board->killed, 1u << side);
    run->died_ns = run_now_ns();
    run->over = true;
}

static size_t count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;

    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

static _Noreturn void be_parent(struct run *run, int board_fd, _Atomic bool *go)
{
    struct play play = {
        .scenario = run->point->scenario, .board = run->board, .board_fd = board_fd};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    atomic_store(&run->board->parent, getpid());
    signal(SIGALRM, SIG_DFL);
    vary(&play.is, play.scenario, run->point->round);
    while (!atomic_load(go))
        sched_yield();
    size_t before = count_descriptors();

    mark(MARK_BEGIN);
    play.scenario->parent(&play);
    mark(MARK_END);
    size_t after = count_descriptors();

    if (after != before)
        complain(&play, "the parent has %zu descriptors open, and had %zu", after, before);
    _exit(0);
}

static void note_end(struct run *run, pid_t pid, int status)
{
    struct outcome *outcome = run->outcome;
    int place = run_place(run, pid);

    if (place == PARENT) {
        run->parent_ended = true;
        outcome->parent_status = status;
        return;
    }
    for (int i = 0; i < run->thread_count; i++) {
        if (run->threads[i] == pid)
            return;
    }
    /* It is still its parent's to reap; we are told as the tracer. */
    if (place > 0 && run->held[place])
        return;
    outcome->left++;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        outcome->killed++;
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        outcome->early++;
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        outcome->bad++;
        outcome->bad_status = status;
    }
}

static void nothing(int signal)
{
    (void)signal;
}

/* Have waitpid(2) look up now and then. */
static void tick(bool on)
{
    struct timeval pause = {.tv_usec = on ? TICK_MS * 1000 : 0};
    struct itimerval timer = {.it_interval = pause, .it_value = pause};
    struct sigaction action = {.sa_handler = nothing};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void kill_children(void)
{
    char path[64], list[512];

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, list, sizeof(list) - 1);

    if (fd >= 0)
        close(fd);
    list[size > 0 ? size : 0] = '\0';
    for (char *at = list, *end;; at = end) {
        long pid = strtol(at, &end, 10);

        if (end == at)
            return;
        kill((pid_t)pid, SIGKILL);
    }
}

/* Nobody may survive a run that hangs, so that the next one is alone. */
static void end_all(struct run *run)
{
    run->outcome->hung = true;
    run->over = true;
    for (int i = 0; i <= run->births; i++)
        syscall(SYS_pidfd_send_signal, run->pidfds[i], SIGKILL, NULL, 0);
    for (int tries = 0; tries < TRIES_TO_END; tries++) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL | WNOHANG);

        if (pid < 0 && errno == ECHILD)
            return;
        if (pid > 0)
            continue;
        kill_children();
        poll(NULL, 0, 1);
    }
}

/* The time has come, or this process sleeps until it does. */
static void kill_in_time(struct run *run)
{
    uint64_t now = run_now_ns();
    int victim = run->point->victim;

    if (run->time_ns > now)
        nanosleep(&(struct timespec){.tv_nsec = (long)(run->time_ns - now)}, NULL);
    if (run_has_ended(run, victim)) {
        run->over = true;
        return;
    }
    run_condemn(run);
    syscall(SYS_kill, run->pids[victim], SIGKILL);
}

static void follow(struct run *run)
{
    for (;;) {
        int status;

        if (run_now_ns() - run->begun_ns > (uint64_t)RUN_MS * slowness * 1000000u) {
            end_all(run);
            return;
        }
        /* Not before all have been let go. */
        if (run->point->stop == AT_TIME && run->time_ns != 0 && !run->over &&
            !run->held[run->births])
            kill_in_time(run);
        pid_t pid = waitpid(-1, &status, __WALL);

        if (pid < 0 && errno == ECHILD)
            return;
        if (pid < 0)
            continue;
        if (WIFSTOPPED(status))
            tracer_stopped(run, pid, status);
        else
            note_end(run, pid, status);
    }
}

void run_point(const struct point *point, struct board *board, int board_fd, struct sightings *list,
               struct outcome *ret)
{
    struct run run = {.point = point, .board = board, .list = list, .outcome = ret};
    const unsigned long options =
        PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;

    memset(board, 0, sizeof(*board));
    *ret = (struct outcome){0};
    run.begun_ns = run_now_ns();
    run.pids[PARENT] = fork();
    if (run.pids[PARENT] == 0)
        be_parent(&run, board_fd, &board->go);
    run.pidfds[PARENT] = (int)syscall(SYS_pidfd_open, run.pids[PARENT], 0);
    run_trace(PTRACE_SEIZE, run.pids[PARENT], 0, options);
    run.held[PARENT] = true;
    /* From its first system call on, which is a mark. */
    if (point->watched == PARENT && point->stop <= AT_STEP) {
        run_trace(PTRACE_INTERRUPT, run.pids[PARENT], 0, 0);
        waitpid(run.pids[PARENT], NULL, __WALL);
        run_trace(PTRACE_SYSCALL, run.pids[PARENT], 0, 0);
    }
    tick(true);
    atomic_store(&board->go, true);
    follow(&run);
    tick(false);
    if (ret->reached)
        ret->took_ms = (run_now_ns() - run.died_ns) / 1000000u;
    for (int i = 0; i <= run.births; i++)
        close(run.pidfds[i]);
}

const char *tracing_forbidden(void)
{
    pid_t child = fork();
    const char *reason = NULL;
    int status;

    if (child == 0) {
        pause();
        _exit(0);
    }
    if (run_trace(PTRACE_SEIZE, child, 0, PTRACE_O_TRACESYSGOOD) < 0) {
        reason = "this system forbids ptrace(2)";
    } else {
        struct ptrace_syscall_info info;

        run_trace(PTRACE_INTERRUPT, child, 0, 0);
        if (waitpid(child, &status, __WALL) == child && WIFSTOPPED(status) &&
            run_trace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), (uintptr_t)&info) <= 0)
            reason = "this kernel is older than 5.3, and does not tell a tracer of system calls";
    }
    kill(child, SIGKILL);
    while (waitpid(child, &status, __WALL) == child && !WIFEXITED(status) && !WIFSIGNALED(status))
        continue;
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    return reason;
}
