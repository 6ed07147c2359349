/* SPDX-License-Identifier: MIT */
/*
 * The soak's turns: which activity is next, when all of them end, and what may be left then.
 */
#include "soak.h"
#include "harness.h"

#include "os/os.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    /* An activity has so many steps at the most. */
    STEPS_MAX = 200,
    FAILURES_TOLD = 10,
    /*
     * What may be in use of the library's memory besides what was at the beginning: what the veteran's
     * channel has taken for large messages and not given back yet (its buffer, a spare one, one that is
     * lent, a message in pieces, kept messages and requests).
     */
    BLOCKS_MAX = 8,
    /*
     * Memory that is used lies between memory that is free, so that pages are shared: by this much the
     * resident size may differ, with messages of half a MiB. A leak of a byte an operation is more than
     * that within minutes.
     */
    RESIDENT_SLACK = 8 << 20,
};

int soak_patience_ms = 60 * 1000;

/* The memory of sanitizers and valgrind is theirs: they look for leaks by themselves. */
static bool resident_counts(void)
{
    return !HARNESS_SANITIZED && !harness_valgrind();
}

static volatile sig_atomic_t interrupted;

static void note_signal(int number)
{
    (void)number;
    interrupted = 1;
}

bool soak_interrupted(void)
{
    return interrupted != 0;
}

void soak_catch_signals(void)
{
    struct sigaction action = {.sa_handler = note_signal};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void soak_fail(struct soak *soak, const char *format, ...)
{
    va_list arguments;

    if (soak_interrupted() || ++soak->failures > FAILURES_TOLD || soak->quiet)
        return;
    fprintf(stderr, "soak: seed %llu, operation %llu, %s: ", (unsigned long long)soak->seed,
            (unsigned long long)soak->operations, soak->about ? soak->about : "at rest");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* xorshift64*: what comes depends on all of the seed. */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

unsigned soak_random(struct soak *soak, unsigned below)
{
    return (unsigned)((draw(&soak->state) >> 32) % below);
}

bool soak_one_in(struct soak *soak, unsigned many)
{
    return soak_random(soak, many) == 0;
}

size_t soak_size(struct soak *soak, size_t most)
{
    static const size_t sizes[] = {16, 200, 200, 1000, 1000, 8 << 10, 64 << 10};
    size_t limit = soak_one_in(soak, 50) ? most : sizes[soak_random(soak, 7)];

    return soak_random(soak, (unsigned)(limit < most ? limit : most) + 1);
}

const char *soak_letters(void)
{
    static char letters[SOAK_MESSAGE_MAX + SOAK_OFFSETS + 1];
    uint64_t state = 88172645463325252U;

    if (letters[0] == '\0') {
        for (size_t i = 0; i < sizeof(letters) - 1; i++)
            letters[i] = (char)('a' + (draw(&state) >> 40) % 26);
    }
    return letters;
}

struct slot {
    struct soak_talk *talk;
    struct soak_pool *pool;
    unsigned steps; /* still to come */
};

static void end_slot(struct soak *soak, struct slot *slot, bool orderly)
{
    if (slot->talk)
        soak_talk_end(soak, slot->talk, orderly);
    if (slot->pool)
        soak_pool_end(soak, slot->pool, orderly);
    *slot = (struct slot){0};
    soak->about = NULL;
}

static unsigned count_pools(const struct slot *slots)
{
    unsigned count = 0;

    for (int i = 0; i < SOAK_SLOTS; i++)
        count += slots[i].pool != NULL;
    return count;
}

static void plant(struct soak *soak)
{
    static char *memory;

    if (soak->plant == SOAK_PLANT_DESCRIPTOR && soak->planted_fd == 0)
        soak->planted_fd = dup(2);
    if (soak->plant == SOAK_PLANT_CHILD && soak->planted_pid == 0) {
        soak->planted_pid = fork();
        if (soak->planted_pid == 0)
            _exit(0);
    }
    if (soak->plant == SOAK_PLANT_MEMORY) {
        void **block = dxi_os->allocate(64);

        *block = soak->planted_memory;
        soak->planted_memory = block;
    }
    if (soak->plant == SOAK_PLANT_RESIDENT && soak->warmed && !memory) {
        memory = malloc(2 * RESIDENT_SLACK);
        memset(memory, 1, 2 * RESIDENT_SLACK);
        soak->planted_memory = memory;
    }
}

static void step(struct soak *soak, struct slot *slots)
{
    struct slot *slot = &slots[soak_random(soak, SOAK_SLOTS)];

    soak->operations++;
    if (soak->plant != SOAK_PLANT_NOTHING && soak_one_in(soak, 50))
        plant(soak);
    if (slot->steps > 0) {
        slot->steps--;
        if (slot->talk)
            soak_talk_step(soak, slot->talk);
        else
            soak_pool_step(soak, slot->pool);
        return;
    }
    end_slot(soak, slot, soak_one_in(soak, 2));
    if (soak_one_in(soak, 5)) {
        soak_start(soak);
        return;
    }
    if (soak_one_in(soak, 4) && count_pools(slots) < SOAK_POOLS_MAX)
        slot->pool = soak_pool_open(soak);
    else
        slot->talk = soak_talk_open(soak);
    if (slot->talk || slot->pool)
        slot->steps = 1 + soak_random(soak, STEPS_MAX);
}

static void note_most(struct soak *soak)
{
    struct soak_figures now = {
        .descriptors = soak_count_descriptors(),
        .children = soak_count_children(),
    };

    if (now.descriptors > soak->most.descriptors)
        soak->most.descriptors = now.descriptors;
    if (now.children > soak->most.children)
        soak->most.children = now.children;
    if (now.children > SOAK_CHILDREN_MAX)
        soak_fail(soak, "%zu children at a time; there may be %d", now.children, SOAK_CHILDREN_MAX);
}

/* Compare what is left with what there was. */
static void compare(struct soak *soak)
{
    const struct soak_figures *first = &soak->first, *warm = &soak->warm, *last = &soak->last;

    if (last->descriptors != first->descriptors)
        soak_fail(soak, "%zu descriptors are open, and %zu were", last->descriptors,
                  first->descriptors);
    if (last->children != first->children)
        soak_fail(soak, "%zu children are there, and %zu were", last->children, first->children);
    if (last->blocks > first->blocks + BLOCKS_MAX)
        soak_fail(soak, "%zu blocks of memory are in use, and %zu were", last->blocks,
                  first->blocks);
    if (!resident_counts() || !soak->warmed)
        return;
    if (last->resident > warm->resident + RESIDENT_SLACK)
        soak_fail(soak, "%zu bytes are resident, and %zu were", last->resident, warm->resident);
    if (last->veteran > warm->veteran + RESIDENT_SLACK)
        soak_fail(soak, "%zu bytes of the oldest child are resident, and %zu were", last->veteran,
                  warm->veteran);
}

static void rest(struct soak *soak, struct slot *slots, struct soak_talk *veteran)
{
    for (int i = 0; i < SOAK_SLOTS; i++)
        end_slot(soak, &slots[i], soak_one_in(soak, 2));
    soak_talk_rest(soak, veteran);
    soak_measure(&soak->last);
    soak->last.veteran = soak_resident(soak_talk_pid(veteran));
    compare(soak);
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void report(const struct soak *soak, double seconds)
{
    if (soak->quiet)
        return;
    printf(
        "soak: %.0f s: %llu operations, %llu messages, %llu children started, %llu pools; at most "
        "%zu descriptors, %zu children; at rest %zu descriptors, %zu children, %zu blocks, "
        "%.1f MiB resident, %.1f the oldest child\n",
        seconds, (unsigned long long)soak->operations, (unsigned long long)soak->messages,
        (unsigned long long)soak->started, (unsigned long long)soak->pools, soak->most.descriptors,
        soak->most.children, soak->last.descriptors, soak->last.children, soak->last.blocks,
        (double)soak->last.resident / (1 << 20), (double)soak->last.veteran / (1 << 20));
    fflush(stdout);
}

static void run(struct soak *soak, struct soak_talk *veteran, double seconds, double report_seconds)
{
    struct slot slots[SOAK_SLOTS] = {0};
    double begin = seconds_now();
    /* What is used for the first time is taken for good, the C library's own memory among it. */
    double warm = begin + (seconds / 4 < 30 ? seconds / 4 : 30);
    double due = begin + report_seconds;

    while (soak->failures == 0 && !soak_interrupted() && seconds_now() < begin + seconds) {
        for (int i = 0; i < 100 && soak->failures == 0; i++) {
            step(soak, slots);
            soak_talk_step(soak, veteran);
        }
        note_most(soak);
        double now = seconds_now();

        if (now < due && (soak->warmed || now < warm))
            continue;
        rest(soak, slots, veteran);
        if (!soak->warmed && now >= warm) {
            soak->warmed = true;
            soak->warm = soak->last;
        }
        if (now >= due)
            report(soak, now - begin);
        due = now < due ? due : now + report_seconds;
    }
    rest(soak, slots, veteran);
    report(soak, seconds_now() - begin);
}

bool soak_run(struct soak *soak, double seconds, double report_seconds)
{
    struct soak_talk *veteran;

    /* No state may be zero. */
    soak->state = soak->seed * 2 + 1;
    soak_letters();
    soak_meter_open();
    soak_measure(&soak->begin);
    veteran = soak_talk_veteran(soak);
    if (!veteran) {
        soak_fail(soak, "the first child cannot be started");
        return false;
    }
    soak_measure(&soak->first);
    run(soak, veteran, seconds, report_seconds);
    soak_talk_end(soak, veteran, true);
    if (!soak->warmed)
        soak->warm = soak->last;
    soak_measure(&soak->last);
    if (soak->failures == 0 &&
        (soak->last.blocks != soak->begin.blocks || soak->last.children != soak->begin.children ||
         soak->last.descriptors != soak->begin.descriptors))
        soak_fail(soak,
                  "%zu blocks of memory, %zu children and %zu descriptors are left at the end",
                  soak->last.blocks, soak->last.children, soak->last.descriptors);
    soak_meter_close();
    return soak->failures == 0;
}
