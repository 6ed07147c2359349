/* SPDX-License-Identifier: MIT */
/*
 * GNU parallel and xargs: a command reads all jobs as lines from a file that was made before, starts
 * what it needs, and its output is read and looked at until it ends. Its own start and that of its
 * workers are part of each run. What `parallel` runs is the filter of lines that pools of duplex run.
 */
#include "peers/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HELPERS_LIMIT_MS = 1000 };

#define LINE_FILTER BENCH_PROGRAMS "/bench_line_filter"

/* What peer->argument points to. */
struct command {
    const char *argv[12];
    const char *probe; /* for a shell: whether it is here */
    const char *missing;
};

struct lines {
    const struct trial *trial;
    const struct command *command;
    int input;
};

/* The output so far. */
struct tally {
    size_t size; /* of a line without its end */
    size_t offset;
    char first, last; /* byte of the line that is under way */
    uint64_t digits[10];
};

static const char *unavailable(const struct peer *peer, const struct task *task)
{
    const struct command *command = peer->argument;

    (void)task;
    if (access(LINE_FILTER, X_OK) < 0)
        return "its worker is not where the benchmark was built";
    return system(command->probe) == 0 ? NULL : command->missing;
}

/* What they start runs where they do. */
static bool has_part(const struct group *group, bool corked)
{
    (void)corked;
    return group->placement != PLACEMENT_PINNED;
}

static int make_input(int fd, size_t size, uint64_t count)
{
    FILE *file = fdopen(dup(fd), "w");
    char *line = malloc(size + 1);
    bool failed;

    if (!file || !line)
        return -ENOMEM;
    memset(line, 'x', size);
    line[size] = '\n';
    for (uint64_t i = 0; i < count; i++) {
        job_stamp(line, size, i);
        fwrite(line, size + 1, 1, file);
    }
    free(line);
    failed = ferror(file);
    return fclose(file) != 0 || failed ? -ENOSPC : 0;
}

static int open_lines(const struct peer *peer, const struct trial *trial, void **ret)
{
    struct lines *lines = calloc(1, sizeof(*lines));
    int error;

    if (!lines)
        return -ENOMEM;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return -errno;
    lines->trial = trial;
    lines->command = peer->argument;
    lines->input = memfd_create("duplex-bench-jobs", MFD_CLOEXEC);
    error =
        lines->input < 0 ? -errno : make_input(lines->input, trial->task.size, trial->task.count);
    if (error == 0)
        *ret = lines;
    return error;
}

static int tally_piece(struct tally *tally, const char *bytes, size_t size)
{
    while (size > 0) {
        size_t part = tally->size - tally->offset;

        if (part == 0) {
            if (*bytes != '\n' || tally->first != tally->last || tally->first < '0' ||
                tally->first > '9')
                return -EBADMSG;
            tally->digits[tally->first - '0']++;
            tally->offset = 0;
            bytes++;
            size--;
            continue;
        }
        part = part < size ? part : size;
        if (tally->offset == 0)
            tally->first = bytes[0];
        tally->last = bytes[part - 1];
        tally->offset += part;
        bytes += part;
        size -= part;
    }
    return 0;
}

static int read_output(int fd, size_t size, uint64_t count)
{
    static char buffer[READ_SIZE];
    struct tally tally = {.size = size};
    ssize_t got;
    int error = 0;

    while (error == 0 && (got = read(fd, buffer, sizeof(buffer))) != 0) {
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got > 0)
            error = tally_piece(&tally, buffer, (size_t)got);
    }
    for (unsigned digit = 0; digit < 10 && error == 0; digit++) {
        if (tally.digits[digit] != (count + 9 - digit) / 10)
            error = -EBADMSG;
    }
    return error;
}

/* The processor time of a process that has ended but was not reaped, and of those it has reaped. */
static void note_time(pid_t pid, struct figures *figures)
{
    unsigned long own_user;
    unsigned long own_system;
    unsigned long user;
    unsigned long system;
    double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    file = fopen(path, "re");
    if (!file)
        return;
    if (fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu",
               &own_user, &own_system, &user, &system) == 4) {
        figures->parent_cpu = (double)(own_user + own_system) * tick;
        figures->child_cpu = (double)(user + system) * tick;
    }
    fclose(file);
}

static _Noreturn void become_command(const struct command *command, int input, int output)
{
    setenv("PARALLEL_SHELL", "/bin/sh", 1);
    if (dup2(input, 0) >= 0 && dup2(output, 1) >= 0)
        execvp(command->argv[0], (char **)command->argv);
    _exit(127);
}

static int jobs(void *context, size_t size, uint64_t count)
{
    struct lines *lines = context;
    siginfo_t end;
    int ends[2];
    int error;
    pid_t child;

    if (lseek(lines->input, 0, SEEK_SET) < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    child = hand_made_fork();
    if (child < 0)
        return -errno;
    if (child == 0)
        become_command(lines->command, lines->input, ends[1]);
    close(ends[1]);
    error = read_output(ends[0], size, count);
    close(ends[0]);
    if (waitid(P_PID, (id_t)child, &end, WEXITED | WNOWAIT) == 0)
        note_time(child, lines->trial->figures);
    if (hand_made_reap(child) < 0 && error == 0)
        error = -ECONNABORTED;
    return error;
}

/* `parallel` leaves helpers behind that end by themselves a moment later. */
static void await_helpers(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    pid_t pid;

    for (int waited = 0; waited < HELPERS_LIMIT_MS; waited += pid == 0) {
        pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0)
            return;
        if (pid == 0)
            nanosleep(&pause, NULL);
    }
}

static int close_lines(void *context)
{
    struct lines *lines = context;

    await_helpers();
    close(lines->input);
    free(lines);
    return 0;
}

#define PARALLEL(...)                                                                              \
    .argument = &(const struct command)                                                            \
    {                                                                                              \
        .argv = {"parallel", "--will-cite", "-j2", __VA_ARGS__, LINE_FILTER},                      \
        .probe = "parallel --version 2>/dev/null | grep -q '^GNU'",                                \
        .missing = "there is no GNU parallel: install it"                                          \
    }

const struct peer peer_parallel_each = {
    .name = "parallel_each",
    .about = "GNU parallel -j2 --pipe -N1: a process for each job",
    PARALLEL("--pipe", "-N1"),
    .has_part = has_part,
    .unavailable = unavailable,
    .open = open_lines,
    .jobs = jobs,
    .run_seconds = 0.8,
    .first_count = 64,
    .close = close_lines,
};

const struct peer peer_parallel_round_robin_each = {
    .name = "parallel_round_robin_each",
    .about = "GNU parallel -j2 --pipe --round-robin -N1: workers that stay, a job at a time",
    PARALLEL("--pipe", "--round-robin", "-N1"),
    .has_part = has_part,
    .unavailable = unavailable,
    .open = open_lines,
    .jobs = jobs,
    .run_seconds = 0.8,
    .first_count = 4000,
    .close = close_lines,
};

const struct peer peer_parallel_round_robin = {
    .name = "parallel_round_robin",
    .about = "GNU parallel -j2 --pipe --round-robin: workers that stay, 1 MiB of jobs at a time",
    PARALLEL("--pipe", "--round-robin"),
    .has_part = has_part,
    .unavailable = unavailable,
    .open = open_lines,
    .jobs = jobs,
    .run_seconds = 0.8,
    .first_count = 500000,
    .close = close_lines,
};

const struct peer peer_xargs_each = {
    .name = "xargs_each",
    .about = "xargs -P2 -n1 echo: a process for each job",
    .argument = &(const struct command){.argv = {"xargs", "-d", "\\n", "-P2", "-n1", "echo"},
                                        .probe = "command -v xargs >/dev/null",
                                        .missing = "there is no program xargs: install findutils"},
    .has_part = has_part,
    .unavailable = unavailable,
    .open = open_lines,
    .jobs = jobs,
    .run_seconds = 0.8,
    .first_count = 500,
    .close = close_lines,
};
