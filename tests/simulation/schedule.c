/* SPDX-License-Identifier: MIT */
/*
 * Who runs, when, and for how long: the scheduler, the clock, and what the seed has the kernel do
 * to the processes.
 */
#include "kernel.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    /* What a call takes, at least and at most. */
    CALL_NS = 150,
    CALL_SPREAD_NS = 900,
    /* A world in which nothing comes to an end is over here. */
    CALLS_MAX = 2000000,
};

struct kernel kernel;
struct randomness world_plan;

extern char **environ;

static void become(struct process *process)
{
    static char *none[] = {NULL};

    kernel.running = process;
    environ = process->environment ? process->environment : none;
    /* The page that a fork would empty is ours to write: it is not constant, only the view of it. */
    atomic_store_explicit((_Atomic uint64_t *)dxi_generation_mark(), process->generation,
                          memory_order_relaxed);
}

static _Noreturn void give_up(void)
{
    struct fibre left = {0};

    kernel.failed = true;
    fibre_switch(kernel.running ? &kernel.running->fibre : &left, &kernel.host, true);
    abort();
}

void world_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(kernel.failure, sizeof(kernel.failure), format, arguments);
    va_end(arguments);
    world_say("FAILED: %s", kernel.failure);
    give_up();
}

void world_say(const char *format, ...)
{
    va_list arguments;

    if (!kernel.traced)
        return;
    printf("%14.6f ms  #%-3u ", (double)kernel.now_ns / 1e6,
           kernel.running ? kernel.running->number : 0);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

bool world_is_traced(void)
{
    return kernel.traced;
}

static void count_sleep(struct process *process, uint64_t slept_ns)
{
    if (slept_ns > process->promise_ns)
        world_fail("process #%u slept %" PRIu64 " us longer than it had promised", process->number,
                   (slept_ns - process->promise_ns) / 1000);
    process->promise_ns -= slept_ns;
}

/* Whether it can go on. One that was asleep notes for how long it was. */
static bool is_ready(struct process *process)
{
    if (process->life == LIFE_DYING)
        return true;
    if (process->life != LIFE_RUNS || process->stopped)
        return false;
    if (!process->asleep)
        return true;
    bool due = process->until_ns <= kernel.now_ns;

    if (!due && (!process->willing || process->seen == kernel.changes))
        return false;
    if (!due && !waits_ready(process)) {
        process->seen = kernel.changes;
        return false;
    }
    if (process->willing && process->promised)
        count_sleep(process, (due ? process->until_ns : kernel.now_ns) - process->since_ns);
    process->asleep = false;
    return true;
}

/* Nobody can go on: let the time come at which somebody can. */
static void pass_time(void)
{
    uint64_t earliest = UINT64_MAX;
    unsigned running = 0;
    unsigned hanging = 0;

    for (unsigned i = 0; i < kernel.process_count; i++) {
        struct process *process = kernel.processes[i];

        if (process->life != LIFE_RUNS)
            continue;
        running++;
        hanging += process->hangs || process->stopped;
        if (process->asleep && !process->stopped && process->until_ns < earliest)
            earliest = process->until_ns;
    }
    if (earliest != UINT64_MAX) {
        kernel.now_ns = earliest;
        return;
    }
    /* Who hangs by its own will and whose parent was killed is nobody's to end. */
    if (running > hanging || !kernel.root_killed)
        world_fail("everybody sleeps, and nothing is due: %u processes, of which %u hang at will",
                   running, hanging);
    for (unsigned i = 0; i < kernel.process_count; i++) {
        if (kernel.processes[i]->life == LIFE_RUNS)
            process_end(kernel.processes[i], 0, SIGKILL);
    }
}

/* NULL: no process is left. */
static struct process *choose(void)
{
    for (;;) {
        struct process *ready[PROCESSES];
        unsigned count = 0;
        unsigned alive = 0;

        for (unsigned i = 0; i < kernel.process_count; i++) {
            struct process *process = kernel.processes[i];

            alive += process->life == LIFE_RUNS || process->life == LIFE_DYING;
            if (is_ready(process))
                ready[count++] = process;
        }
        if (alive == 0)
            return NULL;
        if (count == 0) {
            pass_time();
            continue;
        }
        struct process *chosen = ready[random_below(&kernel.choices, count)];

        if (chosen->life == LIFE_RUNS)
            return chosen;
        kernel.running = NULL;
        process_die_further(chosen);
    }
}

void kernel_yield(bool ends)
{
    static struct fibre left;
    struct process *before = kernel.running;
    uint64_t generation = before->generation;
    struct process *next = choose();

    /* Who has ended meanwhile, with its parent for one, may be no more. */
    for (unsigned i = 0; i < kernel.process_count && !ends; i++) {
        if (kernel.processes[i]->generation == generation &&
            kernel.processes[i]->life == LIFE_RUNS) {
            become(next);
            if (next != before)
                fibre_switch(&before->fibre, &next->fibre, false);
            return;
        }
    }
    if (next != NULL)
        become(next);
    fibre_switch(&left, next ? &next->fibre : &kernel.host, true);
    abort();
}

void world_begin(void)
{
    become(kernel.running);
    fibre_switch(&kernel.host, &kernel.running->fibre, false);
}

static void kill_by_chance(struct process *self)
{
    world_say("is killed");
    self->was_killed = true;
    kernel.deaths++;
    if (self == kernel.root)
        kernel.root_killed = true;
    process_end(self, 0, SIGKILL);
    kernel_yield(true);
    abort();
}

static void keep_waiting(struct process *self)
{
    self->asleep = true;
    self->willing = false;
    self->until_ns = kernel.now_ns + random_below(&kernel.choices, kernel.options.delay_ns);
    kernel_yield(false);
}

void kernel_interrupt(void)
{
    if (random_one_in(&kernel.choices, kernel.options.switch_one_in))
        kernel_yield(false);
}

struct process *kernel_enter(void)
{
    struct process *self = kernel.running;
    const struct world_options *options = &kernel.options;

    kernel.now_ns += CALL_NS + random_below(&kernel.choices, CALL_SPREAD_NS);
    if (++kernel.calls > CALLS_MAX)
        world_fail("after %d calls there is no end", CALLS_MAX);
    self->calls++;
    if (self->calls == self->death_at)
        kill_by_chance(self);
    if (random_one_in(&kernel.choices, options->delay_one_in))
        keep_waiting(self);
    else
        kernel_interrupt();
    return self;
}

long kernel_leave(const char *name, int fd, long argument, long result)
{
    uint64_t seen =
        kernel.hash ^ (uint64_t)result ^ kernel.now_ns << 20 ^ (uint64_t)(unsigned)fd << 52;

    kernel.hash = (seen ^ (seen >> 29)) * UINT64_C(0xBF58476D1CE4E5B9) + (unsigned char)name[0];
    if (kernel.traced)
        world_say("%s(%d, %ld) = %ld", name, fd, argument, result);
    return result;
}

size_t kernel_cut(size_t size)
{
    if (size < 2 || !random_one_in(&kernel.choices, kernel.options.cut_one_in))
        return size;
    return 1 + random_below(&kernel.choices, size - 1);
}

bool kernel_refuses(void)
{
    bool refuses = random_one_in(&kernel.choices, kernel.options.refuse_one_in);

    kernel.refusals += refuses;
    return refuses;
}

void kernel_sleep(uint64_t until_ns)
{
    struct process *self = kernel.running;

    self->asleep = true;
    self->willing = true;
    self->until_ns = until_ns;
    self->since_ns = kernel.now_ns;
    self->seen = kernel.changes;
    kernel_yield(false);
}

void world_sleep(uint64_t ns)
{
    kernel_enter();
    waits_poll(NULL, 0, kernel.now_ns + ns);
}

void world_hang(void)
{
    kernel.running->hangs = true;
    for (;;)
        waits_poll(NULL, 0, UINT64_MAX);
}

void world_promise(int timeout_ms, uint64_t slack_ns)
{
    struct process *self = kernel.running;

    self->promised = timeout_ms >= 0;
    self->promise_ns = (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000U + slack_ns;
}

void world_kept(void)
{
    kernel.running->promised = false;
}

uint64_t world_file(int fd)
{
    struct file *file = file_of(kernel.running, fd);

    return file ? file->number : 0;
}

unsigned world_number(void)
{
    return kernel.running->number;
}

bool world_had_death(void)
{
    return kernel.deaths > 0;
}

bool world_is_old(void)
{
    return kernel.options.old;
}

bool world_had_refusal(void)
{
    return kernel.refusals > 0;
}
