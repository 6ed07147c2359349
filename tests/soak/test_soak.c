/* SPDX-License-Identifier: MIT */
/*
 * The soak for some seconds, and the test of this test: what it is to find is planted. With arguments
 * it is the long run instead: test_soak MINUTES [SEED].
 */
#include "harness.h"
#include "soak.h"

#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SECONDS = 5, SECONDS_SLOW = 3, PLANTED_SECONDS = 8, REPORT_SECONDS = 10 };

const char *const soak_program = DUPLEX_TEST_PROGRAMS "/child_soak";

static uint64_t seed_of_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000) % 1000000000;
}

/* Under a sanitizer or valgrind, which look for leaks themselves. */
static bool is_slow(void)
{
    return HARNESS_SANITIZED || harness_valgrind();
}

START_TEST(test_a_soak_of_some_seconds_leaves_nothing)
{
    struct soak soak = {.seed = seed_of_now()};

    printf("soak: seed %llu\n", (unsigned long long)soak.seed);
    ck_assert(soak_run(&soak, is_slow() ? SECONDS_SLOW : SECONDS, 1));
    ck_assert_uint_gt(soak.messages, 0);
}
END_TEST

#define PLANTED_ELSEWHERE "what is planted is looked for without sanitizers and valgrind"

/* It must be found, and what was planted is taken away again. */
static void plant(enum soak_plant what)
{
    struct soak soak = {.seed = 1, .plant = what, .quiet = true};

    /* What was never sent is not waited for as long as what is slow. */
    if (what == SOAK_PLANT_LOSS)
        soak_patience_ms = 1000;
    bool passed = soak_run(&soak, PLANTED_SECONDS, 0.3);

    if (soak.planted_fd > 0)
        close(soak.planted_fd);
    if (soak.planted_pid > 0)
        waitpid(soak.planted_pid, NULL, 0);
    if (what == SOAK_PLANT_RESIDENT)
        free(soak.planted_memory);
    while (what == SOAK_PLANT_MEMORY && soak.planted_memory) {
        void *block = soak.planted_memory;

        soak.planted_memory = *(void **)block;
        free(block);
    }
    ck_assert(!passed);
}

START_TEST(test_a_descriptor_left_open_is_found)
{
    if (is_slow())
        HARNESS_SKIP(PLANTED_ELSEWHERE);
    plant(SOAK_PLANT_DESCRIPTOR);
}
END_TEST

START_TEST(test_a_child_that_is_not_reaped_is_found)
{
    if (is_slow())
        HARNESS_SKIP(PLANTED_ELSEWHERE);
    plant(SOAK_PLANT_CHILD);
}
END_TEST

START_TEST(test_memory_that_is_not_released_is_found)
{
    if (is_slow())
        HARNESS_SKIP(PLANTED_ELSEWHERE);
    plant(SOAK_PLANT_MEMORY);
}
END_TEST

START_TEST(test_memory_that_grows_is_found)
{
    if (is_slow())
        HARNESS_SKIP(PLANTED_ELSEWHERE);
    plant(SOAK_PLANT_RESIDENT);
}
END_TEST

START_TEST(test_a_lost_message_is_found)
{
    if (is_slow())
        HARNESS_SKIP(PLANTED_ELSEWHERE);
    plant(SOAK_PLANT_LOSS);
}
END_TEST

START_TEST(test_a_changed_message_is_found)
{
    if (is_slow())
        HARNESS_SKIP(PLANTED_ELSEWHERE);
    plant(SOAK_PLANT_CHANGE);
}
END_TEST

/* The long run. */
static int run_long(double minutes, uint64_t seed)
{
    struct soak soak = {.seed = seed};
    struct timespec begin, end;

    if (minutes <= 0) {
        fprintf(stderr, "usage: test_soak MINUTES [SEED]\n");
        return 2;
    }
    printf("soak: seed %llu\n", (unsigned long long)seed);
    soak_catch_signals();
    clock_gettime(CLOCK_MONOTONIC, &begin);
    bool passed = soak_run(&soak, minutes * 60, REPORT_SECONDS);

    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("soak: %lld s, %llu operations, %llu messages, %llu children, descriptors %zu to %zu, "
           "children left %zu, resident %+.1f MiB since warm, %u failed%s\n",
           (long long)(end.tv_sec - begin.tv_sec), (unsigned long long)soak.operations,
           (unsigned long long)soak.messages, (unsigned long long)soak.started,
           soak.begin.descriptors, soak.last.descriptors, soak.last.children,
           ((double)soak.last.resident - (double)soak.warm.resident) / (1 << 20), soak.failures,
           soak_interrupted() ? ", interrupted" : "");
    return passed ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST_WITHIN(test_a_soak_of_some_seconds_leaves_nothing, 90),
        TEST_WITHIN(test_a_descriptor_left_open_is_found, 60),
        TEST_WITHIN(test_a_child_that_is_not_reaped_is_found, 60),
        TEST_WITHIN(test_memory_that_is_not_released_is_found, 60),
        TEST_WITHIN(test_memory_that_grows_is_found, 60),
        TEST_WITHIN(test_a_lost_message_is_found, 60),
        TEST_WITHIN(test_a_changed_message_is_found, 60),
    };

    if (argc > 1)
        return run_long(atof(argv[1]), argc > 2 ? strtoull(argv[2], NULL, 10) : seed_of_now());
    return harness_main("soak", tests, sizeof(tests) / sizeof(*tests));
}
