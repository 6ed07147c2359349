/* SPDX-License-Identifier: MIT */
/*
 * What it costs to start /bin/true from a parent of a given size: by dx_spawn(), by posix_spawn(3),
 * and by fork(2) and execv(2). Two times are taken of each: how long the parent is blocked in the
 * call that starts the child, and the whole round until the child is reaped. Within a pass each way
 * has its turn.
 */
#include "bench.h"
#include "peers/peer.h"

#include <duplex.h>

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WAY_COUNT = 3, ROUNDS_MIN = 5, ROUNDS_MAX = VALUES_MAX, TIME_LIMIT_S = 60 };

extern char **environ;

static char *const program[] = {"/bin/true", NULL};

/* One start, in seconds. */
struct start {
    double blocked;
    double whole;
    double parent_cpu; /* during the call that starts */
    double child_cpu;
};

struct sample {
    unsigned rounds[WAY_COUNT];
    struct start starts[WAY_COUNT][ROUNDS_MAX];
};

struct watch {
    double started;
    double cpu;
};

static struct watch watch_start(void)
{
    struct watch watch = {.cpu = side_cpu()};

    watch.started = side_now();
    return watch;
}

static void watch_started(const struct watch *watch, struct start *ret)
{
    ret->blocked = side_now() - watch->started;
    ret->parent_cpu = side_cpu() - watch->cpu;
}

static int start_by_duplex(struct start *ret)
{
    struct watch watch = watch_start();
    dx_process_options options = {.die_with_parent = true};
    dx_process *process;
    dx_exit end;
    int error = dx_spawn(&process, program, &options);

    if (error < 0)
        return error;
    watch_started(&watch, ret);
    error = dx_process_wait(process, &end, DX_FOREVER);
    dx_process_close(process);
    ret->whole = side_now() - watch.started;
    if (error < 0)
        return error;
    ret->child_cpu = (double)(end.user_us + end.system_us) * 1e-6;
    return end.kind == DX_EXIT_CODE && end.code == 0 ? 0 : -ECONNABORTED;
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

static int reap(pid_t child, const struct watch *watch, struct start *ret)
{
    struct rusage usage;
    int status;

    while (wait4(child, &status, 0, &usage) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    ret->whole = side_now() - watch->started;
    ret->child_cpu = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECONNABORTED;
}

static int start_by_posix_spawn(struct start *ret)
{
    struct watch watch = watch_start();
    pid_t child;
    int error = posix_spawn(&child, program[0], NULL, NULL, program, environ);

    if (error != 0)
        return -error;
    watch_started(&watch, ret);
    return reap(child, &watch, ret);
}

static int start_by_fork(struct start *ret)
{
    struct watch watch = watch_start();
    pid_t child = fork();

    if (child < 0)
        return -errno;
    if (child == 0) {
        execv(program[0], program);
        _exit(127);
    }
    watch_started(&watch, ret);
    return reap(child, &watch, ret);
}

static const struct way {
    const char *name;
    int (*start)(struct start *ret);
    bool reference;
} ways[WAY_COUNT] = {
    {"posix_spawn", start_by_posix_spawn, true},
    {"dx_spawn", start_by_duplex, false},
    {"fork_exec", start_by_fork, false},
};

/*
 * Small pages: with large ones fork(2) copies a table five hundred times shorter, which a heap that
 * has grown in small steps does not have.
 */
static int occupy_memory(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return -ENOMEM;
    madvise(memory, size, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < size; i += page)
        memory[i] = 1;
    return 0;
}

struct assignment {
    enum placement placement;
    size_t memory;
    double seconds;
    unsigned pass; /* which way has the first turn */
};

/*
 * All rounds of one way in a row, and the first not counted: fork(2) write-protects the parent's
 * memory and empties its caches, and whoever came after it would pay. The pause has the scheduler
 * forget a busy past, because of which it would put the first children on the other CPU, and later
 * ones not.
 */
static int take_turn(unsigned way, double seconds, struct sample *sample)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    struct start ignored;
    unsigned round = 0;
    double stop;
    int error;

    nanosleep(&pause, NULL);
    error = ways[way].start(&ignored);
    stop = side_now() + seconds;

    while (error == 0 && round < ROUNDS_MAX && (round < ROUNDS_MIN || side_now() < stop))
        error = ways[way].start(&sample->starts[way][round++]);
    sample->rounds[way] = round;
    return error;
}

static int take_sample(void *shared, const void *argument)
{
    const struct assignment *assignment = argument;
    struct sample *sample = shared;
    int error = side_place(assignment->placement, false);

    if (error == 0)
        error = occupy_memory(assignment->memory);
    for (unsigned i = 0; i < WAY_COUNT && error == 0; i++)
        error = take_turn((assignment->pass + i) % WAY_COUNT, assignment->seconds, sample);
    return error;
}

static double median_of(const struct start *starts, unsigned count, size_t member)
{
    double values[ROUNDS_MAX];

    for (unsigned i = 0; i < count; i++)
        memcpy(&values[i], (const char *)&starts[i] + member, sizeof(values[i]));
    return stats_median(values, count);
}

static void note(struct group *group, const struct sample *sample)
{
    for (unsigned way = 0; way < WAY_COUNT; way++) {
        const struct start *starts = sample->starts[way];
        struct row *row = &group->rows[way];
        unsigned rounds = sample->rounds[way];
        unsigned pass = row->passes++;

        row->seconds[pass] = median_of(starts, rounds, offsetof(struct start, blocked));
        row->whole[pass] = median_of(starts, rounds, offsetof(struct start, whole));
        row->parent_cpu[pass] = median_of(starts, rounds, offsetof(struct start, parent_cpu));
        row->child_cpu[pass] = median_of(starts, rounds, offsetof(struct start, child_cpu));
        row->count += rounds;
    }
}

static size_t available_memory(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128];
    static const char name[] = "MemAvailable:";
    unsigned long kib = 0;

    while (file && kib == 0 && fgets(line, sizeof(line), file)) {
        if (strncmp(line, name, sizeof(name) - 1) == 0)
            kib = strtoul(line + sizeof(name) - 1, NULL, 10);
    }
    if (file)
        fclose(file);
    return (size_t)kib << 10;
}

static void skip_all(struct group *group, const char *reason, bool failed)
{
    for (unsigned i = 0; i < group->row_count; i++) {
        struct row *row = &group->rows[i];

        snprintf(row->skipped, sizeof(row->skipped), "%s", reason);
        row->failed = failed;
    }
}

unsigned spawn_add_rows(struct group *group)
{
    for (unsigned way = 0; way < WAY_COUNT; way++) {
        group->rows[way].name = ways[way].name;
        group->rows[way].reference = ways[way].reference;
    }
    return WAY_COUNT;
}

int spawn_measure_group(struct group *group, const struct effort *effort)
{
    struct assignment assignment = {
        .placement = group->placement,
        .memory = group->size,
        .seconds = effort->seconds,
    };
    struct alone alone = {
        .body = take_sample,
        .argument = &assignment,
        .shared_size = sizeof(struct sample),
        .limit_s = TIME_LIMIT_S,
        .interrupt_fd = effort->interrupt_fd,
    };
    static struct sample sample;
    char reason[REASON_SIZE];
    int error;

    if (available_memory() < group->size + group->size / 4) {
        skip_all(group, "too little memory is available", false);
        return 0;
    }
    for (; assignment.pass < effort->passes; assignment.pass++) {
        error = alone_run(&alone, &sample, reason);
        if (error == -EINTR)
            return error;
        if (error < 0) {
            skip_all(group, reason, true);
            return 0;
        }
        note(group, &sample);
    }
    return 0;
}
