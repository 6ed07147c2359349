/* SPDX-License-Identifier: MIT */
/*
 * What a pool counts.
 */
#include "common.h"

#include <sys/mman.h>

START_TEST(test_each_job_is_counted_once)
{
    dx_pool_options options = {.workers = 1, .retries = 1, .backoff_ms = 1};
    dx_pool *pool = open_obedient(&options);
    dx_pool_statistics now = statistics(pool);

    ck_assert_uint_eq(now.submitted + now.done + now.failed + now.cancelled + now.repeated, 0);
    ck_assert_uint_eq(now.queued + now.running + now.waiting, 0);
    ck_assert_uint_eq(now.workers, 1);
    ck_assert_uint_eq(now.starts, 1);
    ask(pool, "first");
    submit(pool, "!sleep 150");
    submit(pool, "!error 1 no");
    submit(pool, "!exit 1");
    submit(pool, "x");
    submit(pool, "last");
    look_until(pool, running, 1);
    ck_assert_uint_eq(statistics(pool).queued, 4);
    ck_assert_int_eq(dx_pool_cancel(pool, 5), 0);
    now = statistics(pool);
    ck_assert_uint_eq(now.submitted, 6);
    ck_assert_uint_eq(now.queued, 3);
    ck_assert_uint_eq(now.cancelled, 1);
    ck_assert_uint_eq(now.waiting, 1);
    look_until(pool, waiting, 5);
    now = statistics(pool);
    ck_assert_uint_eq(now.done, 3);
    ck_assert_uint_eq(now.failed, 2);
    ck_assert_uint_eq(now.repeated, 1);
    ck_assert_uint_eq(now.deaths, 2);
    ck_assert_uint_eq(now.starts, 3);
    for (int i = 0; i < 5; i++)
        next(pool);
    now = finish(pool);
    ck_assert_uint_eq(now.done, 3);
}
END_TEST

START_TEST(test_the_times_of_jobs_are_summed_up)
{
    dx_pool_options options = {.workers = 2, .depth = 1};
    dx_pool *pool = open_obedient(&options);

    ck_assert_uint_eq(statistics(pool).max_ns, 0);
    for (int i = 0; i < 90; i++)
        submit(pool, "!sleep 5");
    for (int i = 0; i < 10; i++)
        submit(pool, "!sleep 60");
    uint64_t longest = 0;

    for (int i = 0; i < 100; i++) {
        dx_result result = next(pool);

        if (result.run_us > longest)
            longest = result.run_us;
    }
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_ge(end.p50_ns, 4700000);
    ck_assert_uint_ge(end.p99_ns, 57000000);
    ck_assert_uint_ge(end.max_ns + 3000000, end.p99_ns);
    /* Within 4 %, and a microsecond. */
    ck_assert_uint_ge(end.max_ns, longest * 960);
    ck_assert_uint_le(end.max_ns, longest * 1040 + 5000);
    if (!is_slow())
        ck_assert_uint_lt(end.p50_ns, 50000000);
}
END_TEST

START_TEST(test_each_place_is_counted)
{
    dx_pool_options options = {.workers = 3, .backoff_ms = 1};
    dx_pool *pool = open_obedient(&options);
    uint64_t jobs = 0, starts = 0, by_place[3] = {0};
    dx_worker_statistics now;

    look_until(pool, ready, 3);
    for (int i = 0; i < 60; i++)
        submit(pool, "!sleep 1");
    for (int i = 0; i < 60; i++) {
        dx_result result = next(pool);

        ck_assert_uint_lt(result.worker, 3);
        by_place[result.worker]++;
        ck_assert_int_eq(result.pid, worker_of(pool, result.worker).pid);
    }
    for (unsigned i = 0; i < 3; i++) {
        now = worker_of(pool, i);
        ck_assert_int_gt(now.pid, 0);
        ck_assert(now.ready);
        ck_assert_uint_eq(now.running, 0);
        ck_assert_uint_eq(now.jobs, by_place[i]);
        ck_assert_uint_ge(now.jobs, 1);
        ck_assert_uint_eq(now.starts, 1);
        ck_assert_uint_ge(now.lived_ms, 15);
        ck_assert_int_eq(now.last_exit.kind, DX_EXIT_UNKNOWN);
        jobs += now.jobs;
    }
    ck_assert_uint_eq(jobs, 60);
    ck_assert_int_eq(dx_pool_worker_get(pool, 3, &now), -ENOENT);

    submit(pool, "!exit 17");
    dx_result result = expect_failure(pool, 61, -EPIPE);
    unsigned place = result.worker;

    look_until(pool, ready, 3);
    now = worker_of(pool, place);
    ck_assert_int_ne(now.pid, result.pid);
    ck_assert_uint_eq(now.starts, 2);
    ck_assert_uint_eq(now.jobs, by_place[place]);
    ck_assert_int_eq(now.last_exit.kind, DX_EXIT_CODE);
    ck_assert_int_eq(now.last_exit.code, 17);
    for (unsigned i = 0; i < 3; i++)
        starts += worker_of(pool, i).starts;
    ck_assert_uint_eq(starts, statistics(pool).starts);
    finish(pool);
}
END_TEST

START_TEST(test_a_place_tells_what_it_does)
{
    dx_pool_options options = {.workers = 1, .depth = 4, .backoff_ms = 300};
    dx_pool *pool = open_obedient(&options);

    submit(pool, "!raise 9");
    look_until(pool, deaths, 1);
    dx_worker_statistics now = worker_of(pool, 0);

    /* Nobody is there for a while. */
    ck_assert_int_eq(now.pid, 0);
    ck_assert(!now.ready);
    ck_assert_uint_eq(statistics(pool).workers, 0);
    expect_failure(pool, 1, -EPIPE);
    for (int i = 0; i < 6; i++)
        submit(pool, "!sleep 100");
    look_until(pool, running, 4);
    now = worker_of(pool, 0);
    ck_assert_uint_eq(now.running, 4);
    ck_assert_int_eq(now.last_exit.signal, SIGKILL);
    ck_assert_uint_eq(statistics(pool).queued, 2);
    for (int i = 0; i < 6; i++)
        expect_answer(pool, 0, "slept");
    finish(pool);
}
END_TEST

START_TEST(test_each_worker_notes_its_pid_in_its_place)
{
    enum { WORKERS = 3 };
    pid_t *notes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    dx_pool_options options = {
        .workers = WORKERS, .retries = 1, .backoff_ms = 1, .process = {.noted_pid = notes}};

    ck_assert_ptr_ne(notes, MAP_FAILED);
    dx_pool *pool = open_obedient(&options);

    look_until(pool, workers, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++)
        ck_assert_int_eq(notes[i], worker_of(pool, i).pid);
    expect_failure(pool, submit(pool, "!exit 1"), -EPIPE);
    look_until(pool, workers, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++)
        ck_assert_int_eq(notes[i], worker_of(pool, i).pid);
    ck_assert_int_eq(notes[WORKERS], 0);
    dx_pool_close(pool);
    for (unsigned i = 0; i < WORKERS; i++)
        ck_assert_int_eq(notes[i], 0);
    munmap(notes, 4096);
}
END_TEST

HARNESS_MAIN("pool: statistics", TEST(test_each_worker_notes_its_pid_in_its_place),
             TEST(test_each_job_is_counted_once), TEST(test_the_times_of_jobs_are_summed_up),
             TEST(test_each_place_is_counted), TEST(test_a_place_tells_what_it_does))
