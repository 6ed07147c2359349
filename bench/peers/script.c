/* SPDX-License-Identifier: MIT */
#include "peers/script.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A just-in-time compiler needs more than the driver's warm-up to show what it can do. */
#define WARM_UP_SECONDS 0.2

struct pair {
    const struct trial *trial;
    const char *name;
    pid_t parent; /* the script, which is the parent of the pair */
    FILE *to, *from;
    clockid_t parent_clock;
    clockid_t child_clocks[POOL_WORKERS];
    unsigned children;
    char line[256]; /* that came last */
};

static bool is_in_path(const char *program)
{
    const char *place = getenv("PATH");

    for (; place && *place; place += strcspn(place, ":"), place += *place == ':') {
        char name[4096];

        snprintf(name, sizeof(name), "%.*s/%s", (int)strcspn(place, ":"), place, program);
        if (access(name, X_OK) == 0)
            return true;
    }
    return false;
}

static void script_path(const struct script *script, char *ret, size_t size)
{
    snprintf(ret, size, "%s/%s", BENCH_SCRIPTS, script->file);
}

const char *script_unavailable(const struct peer *peer, const struct task *task)
{
    const struct script *script = peer->argument;

    char file[4096];

    if (!is_in_path(script->program))
        return script->missing;
    script_path(script, file, sizeof(file));
    if (access(file, R_OK) < 0)
        return "its script is not where the benchmark was built";
    return task->corked ? "it has no way to collect messages" : NULL;
}

static double seconds_of(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double seconds_of_children(const struct pair *pair)
{
    double seconds = 0;

    for (unsigned i = 0; i < pair->children; i++)
        seconds += seconds_of(pair->child_clocks[i]);
    return seconds;
}

static int read_line(struct pair *pair)
{
    if (!fgets(pair->line, sizeof(pair->line), pair->from)) {
        trial_fails(pair->trial, "%s ended before it was done", pair->name);
        return -EPIPE;
    }
    pair->line[strcspn(pair->line, "\n")] = '\0';
    return 0;
}

static int run(struct pair *pair, uint64_t count)
{
    struct figures *figures = pair->trial->figures;
    double parent_cpu = seconds_of(pair->parent_clock);
    double child_cpu = seconds_of_children(pair);
    int error;

    fprintf(pair->to, "%" PRIu64 "\n", count);
    if (fflush(pair->to) != 0)
        return -errno;
    error = read_line(pair);
    if (error < 0)
        return error;
    figures->parent_cpu = seconds_of(pair->parent_clock) - parent_cpu;
    figures->child_cpu = seconds_of_children(pair) - child_cpu;
    if (strcmp(pair->line, "ok") != 0) {
        trial_fails(pair->trial, "%s: %s", pair->name, pair->line);
        return -EIO;
    }
    return 0;
}

static _Noreturn void become_script(const struct script *script, const struct task *task, int input,
                                    int output)
{
    static const char *const works[] = {
        [WORK_ROUND_TRIP] = "round_trip",
        [WORK_ONE_WAY] = "one_way",
        [WORK_CALLS] = "calls",
        [WORK_POOL] = "pool",
    };
    char file[4096];
    char size[32];
    char workers[16];
    const char *argv[] = {script->program, file, works[task->work], size, script->way,
                          workers,         NULL};

    script_path(script, file, sizeof(file));
    snprintf(size, sizeof(size), "%zu", task->size);
    snprintf(workers, sizeof(workers), "%u", placement_workers(task->placement));
    signal(SIGPIPE, SIG_DFL);
    if (dup2(input, 0) >= 0 && dup2(output, 1) >= 0)
        execvp(argv[0], (char **)argv);
    _exit(127);
}

static int start(struct pair *pair, const struct script *script)
{
    int there[2];
    int back[2];

    if (pipe2(there, O_CLOEXEC) < 0 || pipe2(back, O_CLOEXEC) < 0)
        return -errno;
    pair->parent = hand_made_fork();
    if (pair->parent < 0)
        return -errno;
    if (pair->parent == 0)
        become_script(script, &pair->trial->task, there[0], back[1]);
    close(there[0]);
    close(back[1]);
    pair->to = fdopen(there[1], "w");
    pair->from = fdopen(back[0], "r");
    return pair->to && pair->from ? 0 : -ENOMEM;
}

/* Their pids are in the text. */
static int meet_children(struct pair *pair, const char *pids)
{
    char *end;
    long pid;
    int error = 0;

    while (error == 0 && (pid = strtol(pids, &end, 10)) > 0 && pair->children < POOL_WORKERS) {
        clockid_t *clock = &pair->child_clocks[pair->children];

        if (clock_getcpuclockid((pid_t)pid, clock) != 0)
            return -ESRCH;
        pair->children++;
        error = side_place_process(pair->trial->task.placement, (pid_t)pid);
        pids = end;
    }
    return error;
}

static int get_ready(struct pair *pair)
{
    static const char ready[] = "ready ";
    double stop;
    int error = read_line(pair);

    if (error < 0)
        return error;
    if (strncmp(pair->line, ready, strlen(ready)) != 0) {
        trial_fails(pair->trial, "%s: %s", pair->name, pair->line);
        return -EIO;
    }
    if (clock_getcpuclockid(pair->parent, &pair->parent_clock) != 0)
        return -ESRCH;
    error = meet_children(pair, pair->line + strlen(ready));
    stop = side_now() + WARM_UP_SECONDS;
    for (uint64_t count = 8; error == 0 && side_now() < stop; count *= 2)
        error = run(pair, count);
    return error;
}

/* After a failure the process ends, and what it started with it. */
int script_open(const struct peer *peer, const struct trial *trial, void **ret)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    int error;

    if (!pair)
        return -ENOMEM;
    *ret = pair;
    pair->trial = trial;
    pair->name = peer->name;
    signal(SIGPIPE, SIG_IGN);
    error = start(pair, peer->argument);
    return error < 0 ? error : get_ready(pair);
}

int script_round_trip(void *pair, size_t size, uint64_t count)
{
    (void)size;
    return run(pair, count);
}

int script_one_way(void *pair, size_t size, uint64_t count, bool corked)
{
    (void)size;
    (void)corked;
    return run(pair, count);
}

int script_calls(void *pair, size_t size, uint64_t count, bool corked)
{
    (void)size;
    (void)corked;
    return run(pair, count);
}

int script_jobs(void *pair, size_t size, uint64_t count)
{
    (void)size;
    return run(pair, count);
}

int script_close(void *context)
{
    struct pair *pair = context;
    int error;

    fclose(pair->to);
    error = hand_made_reap(pair->parent);
    fclose(pair->from);
    free(pair);
    return error;
}
