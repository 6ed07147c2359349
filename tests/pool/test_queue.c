/* SPDX-License-Identifier: MIT */
/*
 * The queue is bounded: in jobs and in bytes, of what waits for a worker and of what waits to be taken.
 */
#include "common.h"

/* Submit this until it is refused, and say how many were accepted; *ret is the refusal. */
static unsigned fill(dx_pool *pool, const void *data, size_t size, unsigned most, int *ret)
{
    for (unsigned count = 0; count < most; count++) {
        *ret = dx_pool_submit(pool, data, size, NULL, DX_NOW);
        if (*ret < 0)
            return count;
    }
    return most;
}

START_TEST(test_a_full_queue_is_a_wait)
{
    dx_pool_options options = {.workers = 2, .queue_limit = 7};
    dx_pool *pool = open_obedient(&options);
    int error = 0;
    uint64_t job = 77;

    ck_assert_uint_eq(fill(pool, "!sleep 400", 10, 100, &error), 7);
    ck_assert_int_eq(error, -ETIMEDOUT);
    uint64_t begun = now_ms();

    ck_assert_int_eq(dx_pool_submit(pool, "x", 1, &job, 50), -ETIMEDOUT);
    ck_assert_uint_ge(now_ms() - begun, 50);
    ck_assert_uint_eq(job, 77);
    /* A result that waits is in nobody's way. */
    ck_assert_int_eq(dx_pool_submit(pool, "x", 1, &job, PATIENCE_MS), 0);
    ck_assert_uint_eq(job, 8);
    ck_assert_uint_ge(statistics(pool).waiting, 1);
    for (int i = 0; i < 8; i++)
        next(pool);
    finish(pool);
}
END_TEST

/* As many results may wait as jobs; when nobody takes them there is nothing to wait for. */
START_TEST(test_a_queue_full_of_results_is_no_wait)
{
    for (int ordered = 0; ordered < 2; ordered++) {
        dx_pool_options options = {.workers = 2, .queue_limit = 5, .ordered = ordered};
        dx_pool *pool = open_obedient(&options);
        unsigned count = 0;
        int error;

        while ((error = dx_pool_submit(pool, "x", 1, NULL, PATIENCE_MS)) == 0 && count < 100)
            count++;
        ck_assert_int_eq(error, -EDEADLK);
        ck_assert_uint_ge(count, 5);
        ck_assert_uint_le(count, 10);
        ck_assert_int_eq(dx_pool_submit(pool, "x", 1, NULL, DX_NOW), -EDEADLK);
        look_after(pool, 30);
        ck_assert_uint_ge(statistics(pool).waiting, 5);
        ck_assert_uint_le(statistics(pool).waiting, 10);
        ck_assert_uint_eq(statistics(pool).submitted, count);
        for (unsigned i = 0; i < count; i++)
            expect_answer(pool, 0, "x");
        ck_assert_uint_eq(fill(pool, "x", 1, 5, &error), 5);
        ck_assert_int_eq(error, 0);
        for (int i = 0; i < 5; i++)
            expect_answer(pool, 0, "x");
        finish(pool);
    }
}
END_TEST

/* Answers larger than their jobs: the workers wait with them, and nothing is lost. */
START_TEST(test_workers_are_not_listened_to_when_the_results_are_too_large)
{
    for (int ordered = 0; ordered < 2; ordered++) {
        dx_pool_options options = {.workers = 2, .queue_bytes = 100000, .ordered = ordered};
        dx_pool *pool = open_obedient(&options);
        const char *sleep = is_slow() ? "!sleep 2000" : "!sleep 200";

        look_until(pool, ready, 2);
        for (int i = 0; i < 2; i++)
            submit(pool, sleep);
        for (int i = 0; i < 20; i++)
            submit(pool, "!size 60000");
        /* One that slept may be late, and is not listened to when the other has said two. */
        while (statistics(pool).waiting < 3)
            look_after(pool, 2);
        look_after(pool, 200);
        /* Those of the two that slept, two that are too much, and one that another worker had said. */
        ck_assert_uint_le(statistics(pool).waiting, 5);
        for (int i = 0; i < 22; i++) {
            dx_result result = next(pool);

            assert_answered(pool, &result);
        }
        finish(pool);
    }
}
END_TEST

START_TEST(test_one_job_is_a_queue)
{
    dx_pool_options options = {.workers = 3, .depth = 16, .queue_limit = 1, .queue_bytes = 1};
    dx_pool *pool = open_obedient(&options);
    char bytes[100000] = "";

    for (int i = 0; i < 20; i++) {
        submit_bytes(pool, bytes, sizeof(bytes));
        int error = dx_pool_submit(pool, "x", 1, NULL, DX_NOW);

        ck_assert(error == -ETIMEDOUT || error == -EDEADLK);
        ck_assert_uint_eq(next(pool).message.size, sizeof(bytes));
    }
    finish(pool);
}
END_TEST

START_TEST(test_the_queue_is_1024_jobs_or_twice_what_the_workers_can_have)
{
    int error = 0;
    dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 1});

    ck_assert_uint_eq(fill(pool, "!hang", 5, 5000, &error), 1024);
    ck_assert_int_eq(error, -ETIMEDOUT);
    dx_pool_close(pool);
    pool = open_obedient(&(dx_pool_options){.workers = 2, .depth = DX_DEPTH_MAX});
    ck_assert_uint_eq(fill(pool, "!hang", 5, 9000, &error), 4096);
    ck_assert_int_eq(error, -ETIMEDOUT);
    dx_pool_close(pool);
}
END_TEST

START_TEST(test_the_bytes_of_jobs_that_wait_are_bounded)
{
    dx_pool_options options = {.workers = 1, .queue_bytes = 100000};
    dx_pool *pool = open_obedient(&options);
    char bytes[30000] = "";
    int error = 0;

    submit(pool, "!sleep 300");
    unsigned count = fill(pool, bytes, sizeof(bytes), 100, &error);

    ck_assert_uint_ge(count, 2);
    ck_assert_uint_le(count, 4);
    ck_assert_int_eq(error, -ETIMEDOUT);
    expect_answer(pool, 1, "slept");
    for (unsigned i = 0; i < count; i++)
        ck_assert_uint_eq(next(pool).message.size, sizeof(bytes));
    /* Of a larger one than the bound, one is accepted. */
    char *large = calloc(1, 500000);

    submit_bytes(pool, large, 500000);
    ck_assert_uint_eq(next(pool).message.size, 500000);
    free(large);
    finish(pool);
}
END_TEST

/*
 * Nobody takes the results of small jobs with large answers. The pool takes in no more of them than
 * there is room for, and when the queue is full of jobs nothing can move: that is no wait either.
 */
static void check_large_answers(bool ordered)
{
    dx_pool_options options = {
        .workers = 2, .depth = 2, .queue_bytes = 1000000, .queue_limit = 20, .ordered = ordered};
    dx_pool *pool = open_obedient(&options);
    unsigned count = 0;
    int error;

    do
        error = dx_pool_submit(pool, "!size 300000", 12, NULL, 2000);
    while (error == 0 && ++count < 100);
    ck_assert_msg(error == -EDEADLK, "%d after %u jobs", error, count);
    ck_assert_uint_ge(count, 3);
    ck_assert_uint_le(statistics(pool).waiting, 6);
    for (unsigned i = 0; i < count; i++)
        ck_assert_uint_eq(next(pool).message.size, 300000);
    ck_assert_str_eq(ask(pool, "room"), "room");
    finish(pool);
}

START_TEST(test_the_bytes_of_results_that_wait_are_bounded)
{
    check_large_answers(false);
    check_large_answers(true);
}
END_TEST

HARNESS_MAIN("pool: queue", TEST(test_a_full_queue_is_a_wait),
             TEST(test_a_queue_full_of_results_is_no_wait),
             TEST(test_workers_are_not_listened_to_when_the_results_are_too_large),
             TEST(test_one_job_is_a_queue),
             TEST(test_the_queue_is_1024_jobs_or_twice_what_the_workers_can_have),
             TEST(test_the_bytes_of_jobs_that_wait_are_bounded),
             TEST(test_the_bytes_of_results_that_wait_are_bounded))
