/* SPDX-License-Identifier: MIT */
/*
 * How long a worker may have a job.
 */
#include "common.h"

START_TEST(test_a_job_may_have_a_deadline_of_its_own)
{
    dx_pool_options options = {.workers = 1, .job_timeout_ms = 150};
    dx_pool *pool = open_obedient(&options);
    dx_job patient = {.data = "!sleep 400", .size = 10, .timeout_ms = -1};
    dx_job hasty = {.data = "!sleep 120", .size = 10, .timeout_ms = 40};

    ask(pool, "first");
    ck_assert_int_eq(dx_pool_submit_job(pool, &patient, NULL, DX_NOW), 0);
    expect_answer(pool, 2, "slept");
    ck_assert_int_eq(dx_pool_submit_job(pool, &hasty, NULL, DX_NOW), 0);
    dx_result result = expect_failure(pool, 3, -ETIMEDOUT);

    ck_assert_uint_ge(result.run_us, 38000);
    ck_assert_uint_eq(result.tries, 1);
    submit(pool, "!sleep 400");
    expect_failure(pool, 4, -ETIMEDOUT);
    submit(pool, "!sleep 10");
    expect_answer(pool, 5, "slept");
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_eq(end.failed, 2);
    ck_assert_uint_eq(end.done, 3);
}
END_TEST

/* It is counted from when the job is the oldest of its worker: the others are not at fault. */
START_TEST(test_the_time_counts_for_the_oldest_job)
{
    dx_pool_options options = {.workers = 1, .depth = 4, .job_timeout_ms = scaled(500, 900)};
    dx_pool *pool = open_obedient(&options);

    for (int i = 0; i < 6; i++)
        submit(pool, is_slow() ? "!sleep 300" : "!sleep 150");
    for (int i = 0; i < 6; i++)
        expect_answer(pool, 0, "slept");
    ck_assert_uint_eq(finish(pool).deaths, 0);
}
END_TEST

START_TEST(test_a_hung_job_takes_no_other_with_it)
{
    for (unsigned retries = 0; retries < 3; retries += 2) {
        dx_pool_options options = {
            .workers = 2, .depth = 8, .job_timeout_ms = 300, .retries = retries};
        dx_pool *pool = open_obedient(&options);
        uint64_t begun = now_ms();

        for (int i = 1; i <= 40; i++)
            submit(pool, i == 5 ? "!hang" : "good");
        for (int i = 0; i < 40; i++) {
            dx_result result = next(pool);

            if (result.job != 5) {
                assert_answered(pool, &result);
                continue;
            }
            ck_assert_int_eq(result.error, -ETIMEDOUT);
            ck_assert_uint_ge(result.tries, 1 + retries);
            ck_assert_uint_le(result.tries, 2 + retries);
            ck_assert_uint_ge(now_ms() - begun, 300 * (1 + retries));
        }
        finish(pool);
    }
}
END_TEST

/* The deadline holds also while the caller does nothing but submit, or waits for room. */
START_TEST(test_deadlines_pass_while_submitting)
{
    dx_pool_options options = {.workers = 1, .job_timeout_ms = 80, .queue_limit = 2};
    dx_pool *pool = open_obedient(&options);

    submit(pool, "!hang");
    submit(pool, "x");
    /* There is room when the first has ended. */
    ck_assert_int_eq(dx_pool_submit(pool, "y", 1, NULL, PATIENCE_MS), 0);
    expect_failure(pool, 1, -ETIMEDOUT);
    expect_answer(pool, 2, "x");
    expect_answer(pool, 3, "y");
    finish(pool);
}
END_TEST

START_TEST(test_a_job_waits_without_a_deadline_in_the_queue)
{
    dx_pool_options options = {.workers = 1, .job_timeout_ms = scaled(300, 600)};
    dx_pool *pool = open_obedient(&options);

    for (int i = 0; i < 6; i++)
        submit(pool, "!sleep 100");
    for (int i = 0; i < 6; i++)
        expect_answer(pool, 0, "slept");
    ck_assert_uint_eq(finish(pool).failed, 0);
}
END_TEST

/* A worker that takes nothing in is noticed by its deadline, too: this is more than the socket holds. */
START_TEST(test_a_worker_that_does_not_read)
{
    dx_pool_options options = {.workers = 1, .depth = 4, .job_timeout_ms = (int)scaled(400, 2500)};
    dx_pool *pool = open_obedient(&options);
    char *large = calloc(1, 4 * MIB);

    submit(pool, "!raise 19");
    for (int i = 0; i < 3; i++)
        submit_bytes(pool, large, 4 * MIB);
    for (int i = 0; i < 4; i++) {
        dx_result result = next(pool);

        if (result.job == 1)
            ck_assert_int_eq(result.error, -ETIMEDOUT);
        else
            assert_answered(pool, &result);
    }
    free(large);
    finish(pool);
}
END_TEST

HARNESS_MAIN("pool: deadlines", TEST(test_a_job_may_have_a_deadline_of_its_own),
             TEST(test_the_time_counts_for_the_oldest_job),
             TEST(test_a_hung_job_takes_no_other_with_it),
             TEST(test_deadlines_pass_while_submitting),
             TEST(test_a_job_waits_without_a_deadline_in_the_queue),
             TEST(test_a_worker_that_does_not_read))
