/* SPDX-License-Identifier: MIT */
/*
 * Jobs that are cancelled: in the queue, with a worker, and when they have ended.
 */
#include "common.h"

START_TEST(test_a_job_in_the_queue)
{
    for (int ordered = 0; ordered < 2; ordered++) {
        dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 1, .ordered = ordered});

        submit(pool, "!sleep 100");
        submit(pool, "second");
        submit(pool, "third");
        ck_assert_int_eq(dx_pool_cancel(pool, 2), 0);
        ck_assert_int_eq(dx_pool_cancel(pool, 4), -ENOENT);
        if (!ordered) {
            dx_result result = expect_failure(pool, 2, -ECANCELED);

            ck_assert_uint_eq(result.tries, 0);
            ck_assert_int_eq(result.pid, 0);
        }
        expect_answer(pool, 1, "slept");
        if (ordered)
            expect_failure(pool, 2, -ECANCELED);
        expect_answer(pool, 3, "third");
        dx_pool_statistics end = finish(pool);

        ck_assert_uint_eq(end.cancelled, 1);
        ck_assert_uint_eq(end.failed, 0);
        ck_assert_uint_eq(end.done, 2);
    }
}
END_TEST

START_TEST(test_a_job_with_a_worker)
{
    dx_pool *pool = open_obedient(NULL);
    dx_result result;
    uint64_t begun;

    ask(pool, "first");
    submit(pool, "!sleep 1000");
    look_until(pool, running, 1);
    begun = now_ms();
    ck_assert_int_eq(dx_pool_cancel(pool, 2), 0);
    expect_failure(pool, 2, -ECANCELED);
    ck_assert_uint_lt(now_ms() - begun, is_slow() ? 20000 : 800);
    /* Its answer is dropped, and the next job has its own. */
    submit(pool, "third");
    expect_answer(pool, 3, "third");
    ck_assert_int_eq(dx_pool_next(pool, &result, 50), 0);
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_eq(end.cancelled, 1);
    ck_assert_uint_eq(end.deaths, 0);
}
END_TEST

START_TEST(test_a_job_that_has_ended)
{
    dx_pool *pool = open_obedient(NULL);

    submit(pool, "first");
    look_until(pool, waiting, 1);
    ck_assert_int_eq(dx_pool_cancel(pool, 1), -ENOENT);
    expect_answer(pool, 1, "first");
    ck_assert_int_eq(dx_pool_cancel(pool, 1), -ENOENT);
    ck_assert_int_eq(dx_pool_cancel(pool, 2), -ENOENT);
    ck_assert_uint_eq(finish(pool).cancelled, 0);
}
END_TEST

START_TEST(test_a_worker_that_does_not_mind_is_killed)
{
    dx_pool_options options = {.workers = 1, .cancel_grace_ms = 150};
    dx_pool *pool = open_obedient(&options);
    char pid[32];

    snprintf(pid, sizeof(pid), "%s", ask(pool, "!pid"));
    submit(pool, "!hang");
    look_until(pool, running, 1);
    uint64_t begun = now_ms();

    ck_assert_int_eq(dx_pool_cancel(pool, 2), 0);
    submit(pool, "!pid");
    expect_failure(pool, 2, -ECANCELED);
    dx_result result = next(pool);

    assert_answered(pool, &result);
    ck_assert(!is_answer(&result, pid));
    ck_assert_uint_ge(now_ms() - begun, 150);
    if (!is_slow())
        ck_assert_uint_lt(now_ms() - begun, 5000);
    finish(pool);
}
END_TEST

START_TEST(test_what_else_it_had_is_given_to_others)
{
    for (int ordered = 0; ordered < 2; ordered++) {
        dx_pool_options options = {
            .workers = 1, .depth = 4, .cancel_grace_ms = 100, .ordered = ordered};
        dx_pool *pool = open_obedient(&options);

        ask(pool, "first");
        submit(pool, "!hang");
        for (int i = 0; i < 6; i++)
            submit(pool, "good");
        look_until(pool, running, 4);
        ck_assert_int_eq(dx_pool_cancel(pool, 2), 0);
        expect_failure(pool, 2, -ECANCELED);
        for (int i = 0; i < 6; i++)
            expect_answer(pool, 0, "good");
        ck_assert_uint_eq(finish(pool).failed, 0);
    }
}
END_TEST

START_TEST(test_it_may_work_on_as_long_as_it_likes)
{
    dx_pool_options options = {.workers = 1, .cancel_grace_ms = -1};
    dx_pool *pool = open_obedient(&options);
    char pid[32];

    snprintf(pid, sizeof(pid), "%s", ask(pool, "!pid"));
    submit(pool, "!sleep 1300");
    look_until(pool, running, 1);
    ck_assert_int_eq(dx_pool_cancel(pool, 2), 0);
    expect_failure(pool, 2, -ECANCELED);
    ck_assert_str_eq(ask(pool, "!pid"), pid);
    ck_assert_uint_eq(finish(pool).deaths, 0);
}
END_TEST

/* Among many, at random: each has one result, and it is one of the two. */
START_TEST(test_many)
{
    enum { COUNT = 400 };

    for (unsigned depth = 1; depth <= 16; depth += 15) {
        dx_pool_options options = {.workers = 2, .depth = depth, .ordered = depth > 1};
        dx_pool *pool = open_obedient(&options);
        bool cancelled[COUNT + 1] = {false};
        unsigned count = 0;

        for (unsigned i = 1; i <= COUNT; i++) {
            submit(pool, i % 10 == 0 ? "!sleep 1" : "x");
            unsigned victim = i * 7 % 11 == 3 ? i - i % 5 : 0;

            if (victim > 0 && dx_pool_cancel(pool, victim) == 0 && !cancelled[victim]) {
                cancelled[victim] = true;
                count++;
            }
        }
        for (unsigned i = 1; i <= COUNT; i++) {
            dx_result result = next(pool);

            if (options.ordered)
                ck_assert_uint_eq(result.job, i);
            ck_assert_int_eq(result.error, cancelled[result.job] ? -ECANCELED : 0);
        }
        dx_pool_statistics end = finish(pool);

        ck_assert_uint_eq(end.cancelled, count);
        ck_assert_uint_eq(end.done, COUNT - count);
        ck_assert_uint_eq(end.deaths, 0);
    }
}
END_TEST

/* In a framing without ids, the answer to what was cancelled is not taken for the next one's. */
START_TEST(test_without_ids)
{
    dx_pool_options options = {
        .workers = 1,
        .depth = 3,
        .process.handover = DX_HANDOVER_STDIO,
        .process.channel.framing = DX_FRAMING_LINE,
    };
    dx_pool *pool = open_program(ARGV(FILTER), &options);

    for (int i = 0; i < 50; i++) {
        uint64_t first = submit(pool, "first");

        uint64_t second = submit(pool, "second");

        dx_pool_process(pool);
        if (dx_pool_cancel(pool, first) == 0)
            expect_failure(pool, first, -ECANCELED);
        else
            expect_answer(pool, first, "<first>");
        expect_answer(pool, second, "<second>");
    }
    finish(pool);
}
END_TEST

HARNESS_MAIN("pool: cancel", TEST(test_a_job_in_the_queue), TEST(test_a_job_with_a_worker),
             TEST(test_a_job_that_has_ended), TEST(test_a_worker_that_does_not_mind_is_killed),
             TEST(test_what_else_it_had_is_given_to_others),
             TEST(test_it_may_work_on_as_long_as_it_likes), TEST(test_many), TEST(test_without_ids))
