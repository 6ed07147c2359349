/* SPDX-License-Identifier: MIT */
/*
 * What kind of world a seed makes.
 */
#include "seeds.h"

#include "jobs.h"
#include "talk.h"

#include "channel/lane.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FAILURES_MAX = 10 };

/* The seed that runs, for who finds that it crashed. */
static volatile uint64_t seed_running;

static void choose_kernel(struct randomness *randomness, struct world_options *ret)
{
    static const unsigned switches[] = {0, 1, 2, 8, 32};
    static const unsigned delays[] = {0, 0, 20, 200};
    static const unsigned cuts[] = {0, 0, 1, 4};
    static const unsigned refusals[] = {0, 0, 0, 50};
    static const int buffers[] = {0, 4608, 9216, 40000};

    *ret = (struct world_options){0};
    ret->switch_one_in = switches[random_below(randomness, 5)];
    ret->delay_one_in = delays[random_below(randomness, 4)];
    ret->delay_ns = random_size(randomness, 30000000);
    ret->cut_one_in = cuts[random_below(randomness, 4)];
    ret->refuse_one_in = refusals[random_below(randomness, 4)];
    ret->send_buffer = buffers[random_below(randomness, 4)];
    ret->processors = (unsigned)random_from(randomness, 1, 3);
    ret->threads = random_one_in(randomness, 8);
    ret->old = random_one_in(randomness, 4);
    if (random_one_in(randomness, 3)) {
        ret->victim = (unsigned)random_from(randomness, 1, 2);
        ret->death_at = random_size(randomness, 400);
    }
}

struct world_history seeds_run(uint64_t seed, bool traced)
{
    struct randomness randomness = {.state = seed * UINT64_C(0xD6E8FEB86659FD93)};
    struct world_options options;
    unsigned worth = dxi_lane_worth;

    seed_running = seed;
    talk_prepare();
    choose_kernel(&randomness, &options);
    bool pool = seed % 4 == 0;

    options.programs = pool ? pools_programs() : conversation_programs();
    if (pool && options.victim > 0)
        options.victim = (unsigned)random_from(&randomness, 1, 6);
    struct world_history history =
        world_run(random_next(&randomness), &options, pool ? pools : conversation, NULL, traced);

    dxi_lane_worth = worth;
    return history;
}

struct seeds_figures seeds_run_many(uint64_t first, uint64_t count, uint64_t stride, uint64_t most)
{
    struct seeds_figures figures = {0};

    for (uint64_t seed = first; seed < first + count; seed += stride) {
        struct world_history history = seeds_run(seed, false);

        figures.run++;
        figures.calls += history.calls;
        figures.deaths += history.deaths;
        figures.processes += history.processes;
        if (history.failure == NULL)
            continue;
        printf("seed %" PRIu64 ": %s\n", seed, history.failure);
        fflush(stdout);
        if (++figures.failed == most)
            break;
    }
    return figures;
}

static void tell_seed(int signal)
{
    char text[64];
    int size =
        snprintf(text, sizeof(text), "\nsignal %d in seed %" PRIu64 "\n", signal, seed_running);

    if (size > 0 && write(STDERR_FILENO, text, (size_t)size) < 0)
        _exit(1);
    _exit(1);
}

static void watch_for_crashes(void)
{
    static char stack[64 << 10];
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_handler = tell_seed, .sa_flags = SA_ONSTACK};

    sigaltstack(&other, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGABRT, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* Each process takes every so-manieth seed, and tells its figures by a pipe. */
static struct seeds_figures share(uint64_t first, uint64_t count, unsigned processes)
{
    struct seeds_figures total = {0};
    int ends[2];

    if (processes < 2 || pipe(ends) < 0)
        return seeds_run_many(first, count, 1, FAILURES_MAX);
    for (unsigned i = 0; i < processes; i++) {
        fflush(stdout);
        if (fork() != 0)
            continue;
        struct seeds_figures own = seeds_run_many(first + i, count - i, processes, FAILURES_MAX);

        _exit(write(ends[1], &own, sizeof(own)) != (ssize_t)sizeof(own));
    }
    close(ends[1]);
    for (unsigned i = 0; i < processes; i++) {
        struct seeds_figures own;

        if (read(ends[0], &own, sizeof(own)) != (ssize_t)sizeof(own)) {
            printf("a process has crashed\n");
            total.failed++;
            continue;
        }
        total.run += own.run;
        total.failed += own.failed;
        total.calls += own.calls;
        total.deaths += own.deaths;
        total.processes += own.processes;
    }
    close(ends[0]);
    while (wait(NULL) > 0)
        continue;
    return total;
}

static int run_one(uint64_t seed, bool traced)
{
    struct world_history history = seeds_run(seed, traced);

    printf("seed %" PRIu64 ": %s, %" PRIu64 " calls, %.3f ms, %016" PRIx64 "\n", seed,
           history.failure ? history.failure : "well", history.calls,
           (double)history.lasted_ns / 1e6, history.hash);
    return history.failure != NULL;
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int seeds_main(int argc, char **argv)
{
    uint64_t count = 100000, first = 1, seed = 0, processes = 1;
    bool traced = false;

    for (int i = 1; i < argc; i++) {
        uint64_t number = i + 1 < argc ? strtoull(argv[i + 1], NULL, 10) : 0;

        if (strcmp(argv[i], "--trace") == 0) {
            traced = true;
        } else if (argv[i][0] != '-') {
            count = strtoull(argv[i], NULL, 10);
        } else if (number == 0) {
            fprintf(stderr, "simulate: %s needs a number\n", argv[i]);
            return 2;
        } else {
            uint64_t *option = strcmp(argv[i], "--seed") == 0        ? &seed
                               : strcmp(argv[i], "--first") == 0     ? &first
                               : strcmp(argv[i], "--processes") == 0 ? &processes
                                                                     : NULL;

            if (option == NULL) {
                fprintf(stderr, "simulate: there is no option %s\n", argv[i]);
                return 2;
            }
            *option = number;
            i++;
        }
    }
    watch_for_crashes();
    if (seed > 0)
        return run_one(seed, traced);
    double began = seconds_now();
    struct seeds_figures figures = share(first, count, (unsigned)processes);
    double lasted = seconds_now() - began;

    printf("simulation: %" PRIu64 " seeds, %" PRIu64 " calls, %" PRIu64 " processes, %" PRIu64
           " killed, %" PRIu64 " failed, %.0f seeds/s, in %.0f s\n",
           figures.run, figures.calls, figures.processes, figures.deaths, figures.failed,
           (double)figures.run / lasted, lasted);
    return figures.failed > 0;
}
