/* SPDX-License-Identifier: MIT */
/*
 * Conversations and pools in a simulated kernel, thousands of them, each made by a number. With
 * arguments it is the command behind ./dev simulate.
 */
#include "harness.h"

#include "seeds.h"

enum { SEEDS = 20000, SEEDS_SANITIZED = 1500, SEEDS_VALGRIND = 60, SEEDS_TWICE = 300 };

START_TEST(test_promises_are_kept_whatever_the_kernel_chooses)
{
    unsigned seeds = harness_valgrind()  ? SEEDS_VALGRIND
                     : HARNESS_SANITIZED ? SEEDS_SANITIZED
                                         : SEEDS;

    if (HARNESS_TSAN)
        HARNESS_SKIP("it has one thread");
    ck_assert_uint_eq(seeds_run_many(1, seeds, 1, 10).failed, 0);
}
END_TEST

/* Else a failure could not be looked at. */
START_TEST(test_a_seed_is_the_same_history_each_time)
{
    if (HARNESS_TSAN || harness_valgrind())
        HARNESS_SKIP("it has one thread, and is looked at without");
    for (unsigned seed = 1; seed <= SEEDS_TWICE; seed++) {
        struct world_history first = seeds_run(seed, false);
        struct world_history second = seeds_run(seed, false);

        ck_assert_uint_eq(first.hash, second.hash);
        ck_assert_uint_eq(first.calls, second.calls);
    }
}
END_TEST

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST_WITHIN(test_promises_are_kept_whatever_the_kernel_chooses, 60),
        TEST(test_a_seed_is_the_same_history_each_time),
    };

    if (argc > 1)
        return seeds_main(argc, argv);
    return harness_main("simulation", tests, sizeof(tests) / sizeof(tests[0]));
}
