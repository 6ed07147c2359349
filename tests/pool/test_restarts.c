/* SPDX-License-Identifier: MIT */
/*
 * Workers that end again and again: further and further apart, and then the pool ends, and says why.
 */
#include "common.h"

#include <time.h>

enum { STARTS_KEPT = 64 };

/* When workers were started, in memory that they share. */
struct diary {
    _Atomic unsigned count;
    uint64_t ms[STARTS_KEPT];
};

static void note_start(struct diary *diary)
{
    struct timespec now;
    unsigned place = diary->count++;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (place < STARTS_KEPT)
        diary->ms[place] = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int fall(dx_channel *parent, void *context)
{
    (void)parent;
    note_start(context);
    return 3;
}

/* Answer one job and leave. */
static int answer_one(dx_channel *parent, void *context)
{
    dx_message job;

    note_start(context);
    if (dx_recv(parent, &job, DX_FOREVER) != 1)
        return 0;
    return dx_reply(parent, job.id, "one", 3, DX_FOREVER) < 0;
}

/* What they say is quoted, and need not be seen in the log of the tests. */
static void do_not_hear(void *context, unsigned worker, const char *bytes, size_t size)
{
    (void)context;
    (void)worker;
    (void)bytes;
    (void)size;
}

/* Take the results of all these jobs: each is that the pool has ended. */
static void expect_the_end(dx_pool *pool, unsigned jobs)
{
    dx_result result;

    for (unsigned i = 0; i < jobs; i++) {
        result = next(pool);
        ck_assert_msg(result.error == -ECONNABORTED, "%d: %s", result.error, result.text);
    }
    ck_assert_int_eq(dx_pool_next(pool, &result, DX_NOW), -ECONNABORTED);
    ck_assert_int_eq(dx_pool_next(pool, &result, DX_FOREVER), -ECONNABORTED);
    ck_assert_int_eq(dx_pool_submit(pool, "x", 1, NULL, DX_FOREVER), -ECONNABORTED);
    ck_assert_uint_eq(statistics(pool).failed, jobs);
    look_until(pool, workers, 0);
}

START_TEST(test_a_program_that_breaks_at_its_start_ends_the_pool)
{
    dx_pool_options options = {
        .workers = 2, .restart_limit = 4, .backoff_ms = 1, .on_stderr = do_not_hear};
    dx_pool *pool = open_program(ARGV(WORKER, "broken"), &options);

    for (int i = 0; i < 5; i++)
        submit(pool, "x");
    expect_the_end(pool, 5);
    const char *why = dx_pool_explain(pool);

    ck_assert_msg(strstr(why, "cannot open 'model.bin'"), "%s", why);
    ck_assert_msg(strstr(why, "status 3"), "%s", why);
    ck_assert_uint_eq(statistics(pool).deaths, 5);
    ck_assert_uint_ge(statistics(pool).starts, 5);
    ck_assert_uint_le(statistics(pool).starts, 6);
    ck_assert(worker_of(pool, 0).last_exit.code == 3 || worker_of(pool, 1).last_exit.code == 3);
    dx_pool_close(pool);
}
END_TEST

START_TEST(test_the_end_comes_without_a_job_too)
{
    dx_pool_options options = {
        .workers = 1, .restart_limit = 2, .backoff_ms = 1, .on_stderr = do_not_hear};
    dx_pool *pool = open_program(ARGV(WORKER, "broken"), &options);
    dx_result result;

    look_until(pool, deaths, 3);
    look_after(pool, 50);
    ck_assert_int_eq(dx_pool_next(pool, &result, DX_NOW), -ECONNABORTED);
    ck_assert_int_eq(dx_pool_submit(pool, "x", 1, NULL, DX_NOW), -ECONNABORTED);
    ck_assert_uint_eq(statistics(pool).starts, 3);
    dx_pool_close(pool);
}
END_TEST

START_TEST(test_the_default_limit_is_ten_and_the_workers)
{
    struct diary *diary = share(sizeof(*diary));
    dx_pool_options options = {.workers = 2, .backoff_ms = 1, .backoff_max_ms = 1, .retries = 1000};
    dx_pool *pool = open_function(fall, diary, &options);

    submit(pool, "x");
    expect_the_end(pool, 1);
    /* The thirteenth was one too many; another may have been started beside it. */
    ck_assert_uint_ge(diary->count, 13);
    ck_assert_uint_le(diary->count, 14);
    dx_pool_close(pool);
    give_back(diary, sizeof(*diary));
}
END_TEST

/* Failed jobs are no answers: nobody knows yet that it is not the workers. */
START_TEST(test_the_limit_is_the_same_with_many_jobs_until_one_is_answered)
{
    dx_pool_options options = {.workers = 2, .backoff_ms = 1, .backoff_max_ms = 1};

    for (int proven = 0; proven < 2; proven++) {
        dx_pool *pool = open_obedient(&options);
        unsigned failed = 0;

        if (proven)
            ask(pool, "good");
        for (int i = 0; i < 60; i++)
            submit(pool, "!exit 1");
        for (int i = 0; i < 60; i++)
            failed += next(pool).error == -EPIPE;
        if (proven)
            ck_assert_uint_eq(failed, 60);
        else
            ck_assert_msg(failed == 12 || failed == 13, "%u jobs failed by themselves", failed);
        dx_pool_close(pool);
    }
}
END_TEST

START_TEST(test_the_limit_counts_those_in_a_row)
{
    dx_pool_options options = {.workers = 1, .restart_limit = 3, .backoff_ms = 1};
    dx_pool *pool = open_obedient(&options);

    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 3; i++) {
            submit(pool, "!exit 1");
            expect_failure(pool, 0, -EPIPE);
        }
        ck_assert_str_eq(ask(pool, "good"), "good");
    }
    /* The first of them was useful, so that it need not count. */
    for (int i = 0; i < 4; i++) {
        submit(pool, "!exit 1");
        expect_failure(pool, 0, -EPIPE);
    }
    if (dx_pool_submit(pool, "!exit 1", 7, NULL, DX_NOW) == 0)
        next(pool);
    look_until(pool, workers, 0);
    ck_assert_int_eq(dx_pool_submit(pool, "x", 1, NULL, DX_NOW), -ECONNABORTED);
    dx_pool_close(pool);
}
END_TEST

START_TEST(test_those_far_apart_are_not_counted)
{
    struct diary *diary = share(sizeof(*diary));
    dx_pool_options options = {
        .workers = 1,
        .restart_limit = 2,
        .restart_window_ms = 20,
        .backoff_ms = 60,
        .backoff_max_ms = 60,
    };
    dx_pool *pool = open_function(fall, diary, &options);

    look_after(pool, 600);
    expect_empty(pool);
    ck_assert_uint_ge(diary->count, is_slow() ? 4 : 6);
    dx_pool_close(pool);
    give_back(diary, sizeof(*diary));
}
END_TEST

START_TEST(test_a_place_is_filled_later_and_later)
{
    static const unsigned apart[] = {50, 100, 200, 200, 200};
    struct diary *diary = share(sizeof(*diary));
    dx_pool_options options = {.workers = 1, .backoff_ms = 50, .backoff_max_ms = 200};
    dx_pool *pool = open_function(fall, diary, &options);
    uint64_t begun = now_ms();

    while (diary->count < 6 && now_ms() - begun < (uint64_t)PATIENCE_MS)
        look_after(pool, 5);
    for (unsigned i = 0; i < 5; i++) {
        uint64_t gap = diary->ms[i + 1] - diary->ms[i];

        ck_assert_msg(gap + 1 >= apart[i], "%u ms after the start number %u", (unsigned)gap, i);
    }
    /* 750 ms, and 1550 without the bound. */
    if (!is_slow())
        ck_assert_uint_lt(diary->ms[5] - diary->ms[0], 1500);
    dx_pool_close(pool);
    give_back(diary, sizeof(*diary));
}
END_TEST

START_TEST(test_a_place_whose_worker_was_useful_is_filled_at_once)
{
    struct diary *diary = share(sizeof(*diary));
    dx_pool_options options = {.workers = 1, .backoff_ms = 20000, .backoff_max_ms = 20000};
    dx_pool *pool = open_function(answer_one, diary, &options);
    uint64_t begun = now_ms();

    for (int i = 0; i < 10; i++)
        ck_assert_str_eq(ask(pool, "x"), "one");
    if (!is_slow())
        ck_assert_uint_lt(now_ms() - begun, 8000);
    ck_assert_uint_ge(diary->count, 10);
    finish(pool);
    give_back(diary, sizeof(*diary));
}
END_TEST

/* After a success the wait begins anew. */
START_TEST(test_the_wait_is_short_again_after_an_answer)
{
    dx_pool_options options = {.workers = 1, .backoff_ms = 40, .backoff_max_ms = 4000};
    dx_pool *pool = open_obedient(&options);

    for (int round = 0; round < 2; round++) {
        uint64_t begun = now_ms();

        for (int i = 0; i < 3; i++)
            submit(pool, "!exit 1");
        submit(pool, "good");
        for (int i = 0; i < 3; i++)
            expect_failure(pool, 0, -EPIPE);
        expect_answer(pool, 0, "good");
        /* 40, 80 and 160, unless the first of them had a place that was useful before. */
        ck_assert_uint_ge(now_ms() - begun, 110);
        if (!is_slow())
            ck_assert_uint_lt(now_ms() - begun, 1500);
    }
    finish(pool);
}
END_TEST

/* A program that is gone later counts as a worker that ended. */
START_TEST(test_a_program_that_vanishes_ends_the_pool)
{
    char directory[] = "/tmp/duplex-pool-XXXXXX", path[64], command[512];
    dx_pool_options options = {
        .workers = 1, .restart_limit = 3, .backoff_ms = 1, .recycle_jobs = 1};

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/worker", directory);
    snprintf(command, sizeof(command), "cp %s %s", WORKER, path);
    ck_assert_int_eq(system(command), 0);
    dx_pool *pool = open_program(ARGV(path), &options);

    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(directory), 0);
    ck_assert_str_eq(ask(pool, "last words"), "last words");
    dx_result result;
    int got = 0;

    for (uint64_t end = now_ms() + (uint64_t)PATIENCE_MS; got == 0 && now_ms() < end;) {
        look_after(pool, 5);
        got = dx_pool_next(pool, &result, DX_NOW);
    }
    ck_assert_int_eq(got, -ECONNABORTED);
    ck_assert_msg(strstr(dx_pool_explain(pool), "No such file"), "%s", dx_pool_explain(pool));
    dx_pool_close(pool);
}
END_TEST

HARNESS_MAIN("pool: restarts", TEST(test_a_program_that_breaks_at_its_start_ends_the_pool),
             TEST(test_the_end_comes_without_a_job_too),
             TEST(test_the_default_limit_is_ten_and_the_workers),
             TEST(test_the_limit_is_the_same_with_many_jobs_until_one_is_answered),
             TEST(test_the_limit_counts_those_in_a_row), TEST(test_those_far_apart_are_not_counted),
             TEST(test_a_place_is_filled_later_and_later),
             TEST(test_a_place_whose_worker_was_useful_is_filled_at_once),
             TEST(test_the_wait_is_short_again_after_an_answer),
             TEST(test_a_program_that_vanishes_ends_the_pool))
