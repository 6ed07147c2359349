/* SPDX-License-Identifier: MIT */
/*
 * The end of a pool: drained, or closed at once; with many pools beside each other.
 */
#include "common.h"

#include "os/os.h"

#include <stdatomic.h>

START_TEST(test_what_was_accepted_is_done_after_a_drain)
{
    for (unsigned depth = 1; depth <= 16; depth += 15) {
        dx_pool_options options = {.workers = 3, .depth = depth};
        dx_pool *pool = open_obedient(&options);
        uint64_t job = 77;

        for (int i = 0; i < 50; i++)
            submit(pool, i % 10 ? "x" : "!sleep 10");
        ck_assert_int_eq(dx_pool_drain(pool), 0);
        ck_assert_int_eq(dx_pool_submit(pool, "x", 1, &job, DX_FOREVER), -ESHUTDOWN);
        for (int i = 0; i < 50; i++) {
            dx_result result = next(pool);

            assert_answered(pool, &result);
        }
        expect_empty(pool);
        ck_assert_int_eq(dx_pool_drain(pool), 0);
        /* Who has nothing more to do leaves. */
        look_until(pool, workers, 0);
        dx_pool_statistics end = finish(pool);

        ck_assert_uint_eq(end.deaths, 0);
        ck_assert_uint_eq(end.done, 50);
        ck_assert_uint_le(end.starts, 3);
    }
}
END_TEST

START_TEST(test_workers_leave_one_by_one_in_a_drain)
{
    dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 3});

    look_until(pool, ready, 3);
    submit(pool, "!sleep 500");
    ck_assert_int_eq(dx_pool_drain(pool), 0);
    look_until(pool, workers, 1);
    ck_assert_uint_eq(statistics(pool).running, 1);
    expect_answer(pool, 1, "slept");
    look_until(pool, workers, 0);
    finish(pool);
}
END_TEST

/* A worker that dies during a drain is replaced as long as there are jobs. */
START_TEST(test_a_drain_outlives_its_workers)
{
    dx_pool_options options = {
        .workers = 2, .retries = 1, .restart_limit = 100, .backoff_max_ms = 10};
    dx_pool *pool = open_obedient(&options);

    for (int i = 0; i < 10; i++)
        submit(pool, "!exit 1");
    submit(pool, "good");
    ck_assert_int_eq(dx_pool_drain(pool), 0);
    unsigned good = 0;

    for (int i = 0; i < 11; i++) {
        dx_result result = next(pool);

        ck_assert(result.error == 0 || result.error == -EPIPE);
        good += result.error == 0;
    }
    ck_assert_uint_eq(good, 1);
    look_until(pool, workers, 0);
    finish(pool);
}
END_TEST

START_TEST(test_a_drained_pool_without_jobs)
{
    dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 2});
    dx_result result;

    ck_assert_int_eq(dx_pool_drain(pool), 0);
    ck_assert_int_eq(dx_pool_next(pool, &result, DX_FOREVER), 0);
    look_until(pool, workers, 0);
    finish(pool);
}
END_TEST

/* Who has a job is sent SIGTERM at once; stop_end_ms is for those who have none. */
START_TEST(test_closing_waits_for_no_job)
{
    dx_pool_options options = {.workers = 4, .process.stop_end_ms = 6000};
    dx_pool *pool = open_obedient(&options);

    for (int i = 0; i < 20; i++)
        submit(pool, i % 2 ? "!hang" : "!sleep 5000");
    look_until(pool, running, 4);
    uint64_t begun = now_ms();

    ck_assert_ptr_null(dx_pool_close(pool));
    ck_assert_uint_lt(now_ms() - begun, is_slow() ? 5000 : CLOSE_MS);
}
END_TEST

START_TEST(test_who_ignores_sigterm_is_killed_all_at_the_same_time)
{
    enum { COUNT = 12 };

    dx_pool_options options = {
        .workers = COUNT, .process.stop_end_ms = 100, .process.stop_term_ms = 200};
    dx_pool *pool = open_obedient(&options);

    for (int i = 0; i < COUNT; i++)
        submit(pool, "!stubborn");
    look_until(pool, running, COUNT);
    look_after(pool, scaled(50, 500));
    uint64_t begun = now_ms();

    ck_assert_ptr_null(dx_pool_close(pool));
    ck_assert_uint_ge(now_ms() - begun, 200);
    if (!is_slow())
        ck_assert_uint_lt(now_ms() - begun, 2000);
}
END_TEST

/* Those without a job are asked first, and may do what they do in their end. */
static int leave_a_mark(dx_channel *parent, void *context)
{
    int status = obey(parent, NULL);

    ++*(_Atomic int *)context;
    return status;
}

START_TEST(test_who_has_no_job_is_asked_to_leave)
{
    _Atomic int *marks = share(sizeof(*marks));
    dx_pool_options options = {.workers = 3};
    dx_pool *pool = open_function(leave_a_mark, (void *)marks, &options);

    look_until(pool, ready, 3);
    submit(pool, "!hang");
    look_until(pool, running, 1);
    uint64_t begun = now_ms();

    dx_pool_close(pool);
    if (!is_slow())
        ck_assert_uint_lt(now_ms() - begun, CLOSE_MS);
    ck_assert_int_eq(*marks, 2);
    give_back((void *)marks, sizeof(*marks));
}
END_TEST

START_TEST(test_a_pool_is_closed_with_results_that_nobody_took)
{
    dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 2, .depth = 4});

    for (int i = 0; i < 30; i++)
        submit(pool, "!size 100000");
    look_until(pool, waiting, 30);
    next(pool);
    dx_pool_close(pool);
    pool = open_obedient(NULL);
    dx_pool_close(pool);
}
END_TEST

START_TEST(test_many_pools_at_once)
{
    enum { POOLS = 8 };

    dx_pool *pools[POOLS];

    for (int i = 0; i < POOLS; i++)
        pools[i] = open_obedient(&(dx_pool_options){.workers = 2, .depth = 1 + (unsigned)i % 3});
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < POOLS; i++)
            submitf(pools[i], "pool %d round %d", i, round);
        for (int i = POOLS; i-- > 0;) {
            char text[64];

            snprintf(text, sizeof(text), "pool %d round %d", i, round);
            expect_answer(pools[i], (uint64_t)round + 1, text);
        }
    }
    /* A worker of one holds nothing of another: each sees its own end at once. */
    for (int i = 0; i < POOLS; i++)
        ck_assert_uint_eq(finish(pools[i]).deaths, 0);
}
END_TEST

START_TEST(test_pools_come_and_go_and_leave_nothing)
{
    size_t open = harness_open_descriptors();

    for (unsigned i = 0; i < scaled(60, 10); i++) {
        dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 3, .depth = 2});

        for (unsigned job = 0; job < i % 7; job++)
            submit(pool, job == 3 ? "!exit 1" : "x");
        for (unsigned job = 0; job < i % 5 && job < i % 7; job++)
            next(pool);
        dx_pool_close(pool);
        ck_assert_uint_eq(harness_open_descriptors(), open);
    }
}
END_TEST

static uint64_t refused_until_ms;

static ssize_t refuse(int fd, const struct iovec *parts, size_t part_count, const int *descriptors,
                      size_t descriptor_count)
{
    if (now_ms() < refused_until_ms)
        return -ENOBUFS;
    return dxi_linux.send(fd, parts, part_count, descriptors, descriptor_count);
}

/* Tells that it saw the end of the conversation. */
static int note_the_end(dx_channel *parent, void *context)
{
    int status = obey(parent, NULL);

    *(_Atomic int *)context = 1;
    return status;
}

/* The end lies in the ring, and the kernel has no memory for the wake-up. */
START_TEST(test_who_sleeps_is_asked_to_leave_although_the_kernel_refuses_for_a_while)
{
    dx_pool_options options = {.workers = 1, .process.stop_end_ms = PATIENCE_MS};
    _Atomic int *ended = share(sizeof(*ended));
    struct dxi_os table = dxi_linux;
    dx_pool *pool = open_function(note_the_end, ended, &options);

    for (int i = 0; i < 100; i++)
        ck_assert_str_eq(ask(pool, "x"), "x");
    look_after(pool, 50);
    table.send = refuse;
    dxi_os = &table;
    refused_until_ms = now_ms() + 50;
    uint64_t begun = now_ms();

    dx_pool_close(pool);
    if (!is_slow())
        ck_assert_uint_lt(now_ms() - begun, CLOSE_MS);
    dxi_os = &dxi_linux;
    ck_assert_int_eq(*ended, 1);
    give_back(ended, sizeof(*ended));
}
END_TEST

HARNESS_MAIN("pool: close", TEST(test_what_was_accepted_is_done_after_a_drain),
             TEST(test_workers_leave_one_by_one_in_a_drain),
             TEST(test_a_drain_outlives_its_workers), TEST(test_a_drained_pool_without_jobs),
             TEST(test_closing_waits_for_no_job),
             TEST(test_who_ignores_sigterm_is_killed_all_at_the_same_time),
             TEST(test_who_has_no_job_is_asked_to_leave),
             TEST(test_who_sleeps_is_asked_to_leave_although_the_kernel_refuses_for_a_while),
             TEST(test_a_pool_is_closed_with_results_that_nobody_took),
             TEST(test_many_pools_at_once), TEST(test_pools_come_and_go_and_leave_nothing))
