/* SPDX-License-Identifier: MIT */
/*
 * When a worker may be given its first job, and those that never may.
 */
#include "common.h"

START_TEST(test_a_native_worker_is_ready_when_it_has_greeted)
{
    dx_pool *pool = open_program(ARGV(WORKER, "slow", "200"), NULL);
    uint64_t begun = now_ms();

    submit(pool, "x");
    look_after(pool, 50);
    ck_assert_uint_eq(statistics(pool).ready, 0);
    ck_assert_uint_eq(statistics(pool).workers, 1);
    ck_assert_uint_eq(statistics(pool).running, 0);
    ck_assert_uint_eq(statistics(pool).queued, 1);
    ck_assert(!worker_of(pool, 0).ready);
    dx_result result = next(pool);

    assert_answered(pool, &result);
    ck_assert_uint_ge(now_ms() - begun, 150);
    ck_assert_uint_ge(result.wait_us, 150000);
    ck_assert_uint_eq(statistics(pool).ready, 1);
    ck_assert(worker_of(pool, 0).ready);
    finish(pool);
}
END_TEST

START_TEST(test_the_first_message_may_say_it)
{
    dx_pool_options options = {.workers = 2, .ready = DX_READY_MESSAGE, .recycle_jobs = 2};
    dx_pool *pool = open_program(ARGV(WORKER, "late", "100"), &options);

    submit(pool, "x");
    look_after(pool, 40);
    ck_assert_uint_eq(statistics(pool).ready, 0);
    ck_assert_uint_eq(statistics(pool).queued, 1);
    expect_answer(pool, 1, "x");
    /* What it says is dropped, of each worker. */
    for (int i = 0; i < 6; i++)
        ck_assert_str_eq(ask(pool, "again"), "again");
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_eq(end.deaths, 0);
    ck_assert_uint_ge(end.starts, 4);
}
END_TEST

START_TEST(test_a_worker_may_be_ready_at_once)
{
    dx_pool_options options = {.workers = 1, .ready = DX_READY_AT_ONCE};
    dx_pool *pool = open_program(ARGV(WORKER, "slow", "200"), &options);

    submit(pool, "x");
    look_after(pool, 30);
    ck_assert_uint_eq(statistics(pool).ready, 1);
    ck_assert_uint_eq(statistics(pool).running, 1);
    dx_result result = next(pool);

    assert_answered(pool, &result);
    ck_assert_uint_ge(result.run_us, 100000);
    finish(pool);
}
END_TEST

/* What they say is quoted, and need not be seen in the log of the tests. */
static void do_not_hear(void *context, unsigned worker, const char *bytes, size_t size)
{
    (void)context;
    (void)worker;
    (void)bytes;
    (void)size;
}

static void expect_never_ready(char *const argv[], dx_ready ready, const char *words)
{
    dx_pool_options options = {
        .workers = 1,
        .ready = ready,
        .ready_timeout_ms = (int)scaled(100, 300),
        .restart_limit = 1,
        .backoff_ms = 1,
        .on_stderr = do_not_hear,
    };
    dx_pool *pool = open_program(argv, &options);
    uint64_t begun = now_ms();

    submit(pool, "x");
    dx_result result = expect_failure(pool, 1, -ECONNABORTED);

    ck_assert_uint_ge(now_ms() - begun, 200);
    if (!is_slow())
        ck_assert_uint_lt(now_ms() - begun, 5000);
    ck_assert_uint_eq(result.tries, 0);
    ck_assert_msg(strstr(dx_pool_explain(pool), words), "%s", dx_pool_explain(pool));
    ck_assert_int_eq(dx_pool_next(pool, &result, DX_NOW), -ECONNABORTED);
    ck_assert_uint_eq(statistics(pool).starts, 2);
    dx_pool_close(pool);
}

START_TEST(test_who_is_never_ready_is_killed)
{
    expect_never_ready(ARGV(WORKER, "mute"), DX_READY_DEFAULT, "waiting for the licence server");
    expect_never_ready(ARGV(WORKER, "mute"), DX_READY_MESSAGE, "waiting for the licence server");
    expect_never_ready(ARGV(WORKER), DX_READY_MESSAGE, "ready");
    if (!is_slow())
        expect_never_ready(ARGV(STRANGER, "silent"), DX_READY_DEFAULT, "ready");
}
END_TEST

START_TEST(test_it_may_take_as_long_as_it_likes)
{
    dx_pool_options options = {.workers = 1, .ready_timeout_ms = -1};
    dx_pool *pool = open_program(ARGV(WORKER, "slow", "150"), &options);

    ck_assert_str_eq(ask(pool, "x"), "x");
    ck_assert_uint_eq(finish(pool).deaths, 0);
    /* And a time that is long enough. */
    options.ready_timeout_ms = PATIENCE_MS;
    pool = open_program(ARGV(WORKER, "slow", "150"), &options);
    ck_assert_str_eq(ask(pool, "x"), "x");
    ck_assert_uint_eq(finish(pool).deaths, 0);
}
END_TEST

START_TEST(test_a_pool_with_nobody_ready_is_closed_soon)
{
    dx_pool_options options = {.workers = 5, .on_stderr = do_not_hear, .process.stop_end_ms = 1000};
    dx_pool *pool = open_program(ARGV(WORKER, "mute"), &options);

    look_after(pool, 30);
    uint64_t begun = now_ms();

    dx_pool_close(pool);
    /* They are asked to leave, for stop_end_ms, and then sent SIGTERM. */
    if (!is_slow())
        ck_assert_uint_lt(now_ms() - begun, 4000);
}
END_TEST

HARNESS_MAIN("pool: ready", TEST(test_a_native_worker_is_ready_when_it_has_greeted),
             TEST(test_the_first_message_may_say_it), TEST(test_a_worker_may_be_ready_at_once),
             TEST(test_who_is_never_ready_is_killed), TEST(test_it_may_take_as_long_as_it_likes),
             TEST(test_a_pool_with_nobody_ready_is_closed_soon))
