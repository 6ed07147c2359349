/* SPDX-License-Identifier: MIT */
/*
 * Run one measurement in a process and a process group of its own: it starts with little memory and
 * no pinning, it has a time limit, and when it is over nothing of it is left. A peer that leaves a
 * process behind has failed.
 */
#include "bench.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SWEEP_LIMIT_MS = 2000 };

static void sleep_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

/* The body's answer is the exit status: 0, or an errno value. */
static _Noreturn void run_body(const struct alone *alone, void *shared, pid_t parent)
{
    sigset_t none;
    int error;

    setpgid(0, 0);
    /* Signals are the caller's business; the children of a peer inherit what is set here. */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(EOWNERDEAD);
    error = alone->body(shared, alone->argument);
    _exit(error < 0 ? (-error & 0xff ? -error & 0xff : EIO) : 0);
}

/*
 * Whether it ended in time: 0, -ETIMEDOUT, or -EINTR. It is left unreaped, so that its process group
 * keeps its number.
 */
static int await_end(pid_t child, unsigned limit_s, int interrupt_fd)
{
    struct pollfd pollers[] = {
        {.fd = pidfd_open(child, 0), .events = POLLIN},
        {.fd = interrupt_fd, .events = POLLIN},
    };
    int got;

    if (pollers[0].fd < 0)
        return -errno;
    do
        got = poll(pollers, 2, (int)limit_s * 1000);
    while (got < 0 && errno == EINTR);
    close(pollers[0].fd);
    if (got > 0 && pollers[1].revents != 0)
        return -EINTR;
    return got > 0 ? 0 : -ETIMEDOUT;
}

/*
 * Kill every child of this process. Only orphans of a measurement that left its process group are
 * here by now; being unreaped children, their numbers cannot have become somebody else's.
 */
static void kill_orphans(void)
{
    char path[64];
    char numbers[4096] = "";
    char *place = numbers;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    file = fopen(path, "re");
    if (!file)
        return;
    /* Those that do not fit are killed the next time round. */
    if (!fgets(numbers, sizeof(numbers), file))
        numbers[0] = '\0';
    fclose(file);
    for (;;) {
        char *end;
        long pid = strtol(place, &end, 10);

        if (end == place || *end != ' ' || pid <= 1)
            return;
        kill((pid_t)pid, SIGKILL);
        place = end;
    }
}

/*
 * Kill and reap what the measurement left; being the subreaper, this process inherits it. Returns
 * how many processes there were besides the measurement itself.
 */
static unsigned sweep(pid_t group, int *ret_status)
{
    unsigned left = 0;

    kill(-group, SIGKILL);
    while (waitpid(group, ret_status, 0) < 0 && errno == EINTR)
        ;
    for (int waited = 0; waited < SWEEP_LIMIT_MS; waited++) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);

        if (pid < 0 && errno == ECHILD)
            return left;
        if (pid > 0) {
            left++;
            continue;
        }
        kill_orphans();
        sleep_ms(1);
    }
    return left + 1;
}

static int judge(int ended, int status, unsigned left, unsigned limit_s, char *reason)
{
    if (ended == -EINTR) {
        snprintf(reason, REASON_SIZE, "broken off");
        return -EINTR;
    }
    if (ended == -ETIMEDOUT)
        snprintf(reason, REASON_SIZE, "not done within %u s, killed", limit_s);
    else if (WIFSIGNALED(status))
        snprintf(reason, REASON_SIZE, "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        snprintf(reason, REASON_SIZE, "failed: %s", strerror(WEXITSTATUS(status)));
    else if (left > 0)
        snprintf(reason, REASON_SIZE, "left %u process%s behind", left, left > 1 ? "es" : "");
    else
        return 0;
    return -EIO;
}

int alone_run(const struct alone *alone, void *ret_shared, char reason[REASON_SIZE])
{
    pid_t parent = getpid();
    pid_t child;
    int status = 0;
    int ended;
    int error;
    unsigned left;
    void *shared =
        mmap(NULL, alone->shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED) {
        snprintf(reason, REASON_SIZE, "no memory to share: %s", strerror(errno));
        return -ENOMEM;
    }
    child = fork();
    if (child < 0) {
        error = -errno;
        snprintf(reason, REASON_SIZE, "cannot start a process: %s", strerror(-error));
        munmap(shared, alone->shared_size);
        return error;
    }
    if (child == 0)
        run_body(alone, shared, parent);
    setpgid(child, child);
    ended = await_end(child, alone->limit_s, alone->interrupt_fd);
    left = sweep(child, &status);
    error = judge(ended, status, left, alone->limit_s, reason);
    memcpy(ret_shared, shared, alone->shared_size);
    munmap(shared, alone->shared_size);
    return error;
}
