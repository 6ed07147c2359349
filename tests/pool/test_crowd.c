/* SPDX-License-Identifier: MIT */
/*
 * A thousand workers.
 */
#include "common.h"

#include <sys/resource.h>

static unsigned crowd_size(void)
{
    if (harness_valgrind())
        return 30;
    return scaled(1000, 100);
}

/* Descriptors for so many workers: the soft limit is raised to the hard one. */
static bool can_have(unsigned workers)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < (rlim_t)workers * 5 + 100)
        return false;
    ck_assert_int_eq(getrlimit(RLIMIT_NPROC, &limit), 0);
    return limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > workers * 4;
}

static void check_crowd(dx_pool *pool, unsigned workers)
{
    unsigned count = workers * 5, answered = 0;
    bool *seen = calloc(workers, sizeof(*seen));

    look_until(pool, ready, workers);
    ck_assert_uint_eq(statistics(pool).workers, workers);
    for (unsigned i = 0; i < count; i++)
        submit(pool, i < workers ? "!sleep 100" : "x");
    for (unsigned i = 0; i < count; i++) {
        dx_result result = next(pool);

        assert_answered(pool, &result);
        ck_assert_uint_lt(result.worker, workers);
        answered += !seen[result.worker];
        seen[result.worker] = true;
    }
    free(seen);
    ck_assert_uint_eq(answered, workers);
    uint64_t begun = now_ms();
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_eq(end.deaths, 0);
    ck_assert_uint_eq(end.starts, workers);
    ck_assert_uint_lt(now_ms() - begun, is_slow() ? 60000 : 10000);
}

START_TEST(test_a_thousand_functions_answer_and_leave)
{
    unsigned workers = crowd_size();

    if (!can_have(workers))
        HARNESS_SKIP("the limit of open descriptors or of processes is too low");
    dx_pool_options options = {.workers = workers, .queue_limit = workers * 5};

    check_crowd(open_obedient(&options), workers);
}
END_TEST

START_TEST(test_hundreds_of_programs_answer_and_leave)
{
    unsigned workers = crowd_size() / 4;

    if (!can_have(workers))
        HARNESS_SKIP("the limit of open descriptors or of processes is too low");
    dx_pool_options options = {.workers = workers, .queue_limit = workers * 5};

    check_crowd(open_program(ARGV(WORKER), &options), workers);
}
END_TEST

/* More than there are descriptors for: what can be started serves, or the pool says why not. */
START_TEST(test_more_workers_than_descriptors)
{
    struct rlimit limit;
    unsigned served = 0;

    if (harness_valgrind())
        HARNESS_SKIP("valgrind needs descriptors of its own");
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 60;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 64, .backoff_ms = 1});

    for (unsigned i = 0; i < 100; i++)
        submit(pool, "!sleep 10");
    look_after(pool, 200);
    for (unsigned i = 0; i < 100; i++) {
        dx_result result = next(pool);

        ck_assert_msg(result.error == 0 || result.error == -ECONNABORTED, "%d: %s", result.error,
                      result.text);
        served += result.error == 0;
    }
    if (served < 100)
        ck_assert_str_ne(dx_pool_explain(pool), "");
    dx_pool_close(pool);
}
END_TEST

HARNESS_MAIN("pool: crowd", TEST_WITHIN(test_a_thousand_functions_answer_and_leave, 60),
             TEST_WITHIN(test_hundreds_of_programs_answer_and_leave, 60),
             TEST(test_more_workers_than_descriptors))
