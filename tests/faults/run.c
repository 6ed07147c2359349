/* SPDX-License-Identifier: MIT */
/*
 * One point: a process plays the scenario, and what it leaves is looked at, by itself and by its parent.
 */
#include "run.h"

#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 10000, /* of each call: who meets it has missed something */
    LIMIT_MS = 30000,    /* of a point */
    ORPHAN_MS = 500,     /* in which who was left alone may end */
};

static int slowness(void)
{
    return HARNESS_TSAN || harness_valgrind() ? 4 : 1;
}

void run_begin(void)
{
    stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage == MAP_FAILED)
        abort();
    faults = &stage->faults;
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    /* Made here, and not by each point. */
    (void)words(0, 8);
    fault_mute();
}

void run_end(void)
{
    fault_unmute();
    munmap(stage, sizeof(*stage));
    stage = NULL;
    faults = NULL;
}

static long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What the scenario has not given back. */
static void check_remains(uint64_t open)
{
    siginfo_t info = {0};

    if (fault_blocks != 0)
        complain("%ld blocks of memory were not released", fault_blocks);
    if (fault_regions != 0)
        complain("%ld regions of shared memory are still mapped", fault_regions);
    if (open_descriptors() != open)
        complain("open descriptors are %#llx, and were %#llx",
                 (unsigned long long)open_descriptors(), (unsigned long long)open);
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0)
        complain("a child was left, %s", info.si_pid != 0 ? "not reaped" : "running");
}

_Noreturn static void play(const struct scenario *scenario)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    fault_install();
    uint64_t open = open_descriptors();

    faults->own = getpid();
    faults->active = true;
    fault_unmute();
    scenario->play();
    fault_mute();
    faults->active = false;
    check_talks();
    check_remains(open);
    _exit(0);
}

/* Kill what is left of a point: its processes have become ours. */
static void kill_all(void)
{
    char list[512] = "";
    FILE *children = fopen("/proc/thread-self/children", "re");

    if (children != NULL) {
        if (!fgets(list, sizeof(list), children))
            list[0] = '\0';
        fclose(children);
    }
    for (char *rest = list, *word; (word = strtok_r(rest, " \n", &rest)) != NULL;)
        kill(atoi(word), SIGKILL);
}

/* Whoever the point has left alone is given a moment. */
static void reap_orphans(void)
{
    long end = now_ms() + ORPHAN_MS * slowness();

    for (bool killed = false;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG | __WALL);

        if (pid < 0)
            return;
        if (pid > 0)
            continue;
        if (now_ms() >= end && !killed) {
            complain("an orphan was left running");
            killed = true;
        }
        if (killed)
            kill_all();
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* Wait for the point's end, and kill it when it takes too long. */
static void await(pid_t pid)
{
    struct pollfd source = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    int status = 0;

    if (source.fd < 0 || poll(&source, 1, LIMIT_MS * slowness()) == 0) {
        complain("it has not ended within %d s", LIMIT_MS * slowness() / 1000);
        kill(pid, SIGKILL);
    }
    close(source.fd);
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        complain("it was killed by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        complain("it exited with %d", WEXITSTATUS(status));
}

bool run_point(const struct scenario *scenario, const struct fault *fault, long *ret_ms)
{
    long start = now_ms();

    memset(stage, 0, sizeof(*stage));
    stage->faults.fault = *fault;
    stage->patience_ms = PATIENCE_MS * slowness();
    pid_t pid = fork();

    if (pid < 0) {
        complain("no process can be made: %s", strerror(errno));
        return false;
    }
    if (pid == 0)
        play(scenario);
    await(pid);
    faults->active = false;
    reap_orphans();
    *ret_ms = now_ms() - start;
    return !stage->complained;
}
