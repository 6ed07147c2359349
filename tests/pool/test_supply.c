/* SPDX-License-Identifier: MIT */
/*
 * How many workers there are, and when they leave: grown and shrunk on demand, recycled.
 */
#include "common.h"

START_TEST(test_all_workers_are_kept_by_default)
{
    dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 3, .idle_ms = 30});

    look_until(pool, ready, 3);
    look_after(pool, 150);
    ck_assert_uint_eq(statistics(pool).workers, 3);
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_eq(end.starts, 3);
}
END_TEST

START_TEST(test_a_worker_is_started_when_all_are_busy)
{
    dx_pool_options options = {.workers = 4, .workers_min = 1, .idle_ms = 60000};
    dx_pool *pool = open_obedient(&options);

    for (int i = 0; i < 10; i++)
        ck_assert_str_eq(ask(pool, "one at a time"), "one at a time");
    ck_assert_uint_eq(statistics(pool).workers, 1);
    submit(pool, "!sleep 300");
    submit(pool, "!sleep 300");
    look_after(pool, 100);
    ck_assert_uint_eq(statistics(pool).workers, 2);
    for (int i = 0; i < 10; i++)
        submit(pool, "!sleep 200");
    look_until(pool, workers, 4);
    for (int i = 0; i < 12; i++)
        expect_answer(pool, 0, "slept");
    ck_assert_uint_eq(finish(pool).starts, 4);
}
END_TEST

static bool is_one_of(pid_t pid, const pid_t *pids, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (pids[i] == pid)
            return true;
    }
    return false;
}

START_TEST(test_a_worker_with_nothing_to_do_leaves)
{
    dx_pool_options options = {.workers = 4, .workers_min = 2, .idle_ms = 100};
    dx_pool *pool = open_obedient(&options);
    pid_t pids[4];

    for (int round = 0; round < 2; round++) {
        uint64_t begun = now_ms();

        for (int i = 0; i < 8; i++)
            submit(pool, "!sleep 100");
        look_until(pool, workers, 4);
        for (unsigned i = 0; i < 4; i++)
            pids[i] = worker_of(pool, i).pid;
        for (int i = 0; i < 8; i++)
            expect_answer(pool, 0, "slept");
        look_until(pool, workers, 2);
        /* Two had nothing to do after 200 ms at the earliest, however late we heard of it. */
        ck_assert_uint_ge(now_ms() - begun, 250);
        look_after(pool, 200);
        ck_assert_uint_eq(statistics(pool).workers, 2);
        /* Those who are to be there have stayed, and were not replaced. */
        for (unsigned i = 0; i < 4; i++) {
            pid_t pid = worker_of(pool, i).pid;

            ck_assert(pid == 0 || is_one_of(pid, pids, 4));
        }
    }
    dx_pool_statistics end = finish(pool);

    /* They left because they were asked to. */
    ck_assert_uint_eq(end.deaths, 0);
    ck_assert_uint_eq(end.recycled, 0);
    ck_assert_uint_ge(end.starts, 6);
}
END_TEST

/* Who is busy leaves for no idleness. */
START_TEST(test_a_busy_worker_stays)
{
    dx_pool_options options = {.workers = 2, .workers_min = 1, .idle_ms = 40};
    dx_pool *pool = open_obedient(&options);

    for (int i = 0; i < 2; i++)
        submit(pool, "!sleep 300");
    expect_answer(pool, 0, "slept");
    expect_answer(pool, 0, "slept");
    ck_assert_uint_eq(finish(pool).deaths, 0);
}
END_TEST

/* How many answers in a row are from the same process. */
static void check_recycled(unsigned workers, unsigned depth, unsigned jobs, unsigned count)
{
    dx_pool_options options = {.workers = workers, .depth = depth, .recycle_jobs = jobs};
    dx_pool *pool = open_obedient(&options);
    unsigned most = 0;

    for (unsigned i = 0; i < count; i++)
        submit(pool, "!count");
    for (unsigned i = 0; i < count; i++) {
        dx_result result = next(pool);
        char text[16];

        assert_answered(pool, &result);
        ck_assert_uint_eq(result.tries, 1);
        /* An answer has a size, and no zero at its end. */
        ck_assert_uint_lt(result.message.size, sizeof(text));
        memcpy(text, result.message.data, result.message.size);
        text[result.message.size] = '\0';
        unsigned number = (unsigned)strtoul(text, NULL, 10);

        if (number > most)
            most = number;
    }
    ck_assert_uint_eq(most, jobs);
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_eq(end.deaths, 0);
    ck_assert_uint_eq(end.repeated, 0);
    ck_assert_uint_ge(end.recycled, count / jobs - workers);
    ck_assert_uint_le(end.recycled, count / jobs);
}

START_TEST(test_a_worker_leaves_after_so_many_jobs)
{
    check_recycled(1, 1, 5, 40);
    check_recycled(2, 1, 1, 30);
    check_recycled(2, 16, 5, 60);
    check_recycled(1, 16, 40, 100);
}
END_TEST

START_TEST(test_a_worker_leaves_when_it_has_grown)
{
    dx_pool_options options = {.workers = 1, .recycle_bytes = 400 * MIB};
    char pid[32];

    if (is_slow())
        HARNESS_SKIP("what this is built with takes memory of its own");
    dx_pool *pool = open_obedient(&options);

    snprintf(pid, sizeof(pid), "%s", ask(pool, "!pid"));
    ck_assert_str_eq(ask(pool, "!eat 100"), "full");
    look_after(pool, 250);
    ck_assert_str_eq(ask(pool, "!pid"), pid);
    ck_assert_str_eq(ask(pool, "!eat 350"), "full");
    /* It is looked at ten times a second at most, after a job. */
    for (int i = 0; i < 30 && strcmp(ask(pool, "!pid"), pid) == 0; i++)
        look_after(pool, 20);
    ck_assert_str_ne(ask(pool, "!pid"), pid);
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_eq(end.recycled, 1);
    ck_assert_uint_eq(end.deaths, 0);
    ck_assert_uint_eq(end.failed, 0);
}
END_TEST

/* A worker that does not leave when asked to is made to, and nobody waits for it. */
static int stay(dx_channel *parent, void *context)
{
    dx_message job;

    (void)context;
    signal(SIGTERM, SIG_IGN);
    while (dx_recv(parent, &job, DX_FOREVER) == 1)
        if (dx_reply(parent, job.id, "here", 4, DX_FOREVER) < 0)
            return 1;
    for (;;)
        pause();
}

START_TEST(test_who_does_not_leave_is_made_to_while_the_others_go_on)
{
    dx_pool_options options = {
        .workers = 2,
        .recycle_jobs = 10,
        .process.stop_end_ms = 200,
        .process.stop_term_ms = 200,
    };
    dx_pool *pool = open_function(stay, NULL, &options);
    uint64_t begun = now_ms(), longest = 0;

    for (int i = 0; i < 60; i++) {
        uint64_t start = now_ms();

        submit(pool, "x");
        expect_answer(pool, 0, "here");
        if (now_ms() - start > longest)
            longest = now_ms() - start;
    }
    /* One of the two places may wait for its worker to be killed; the rest may not wait much. */
    if (!is_slow()) {
        ck_assert_uint_lt(longest, 3000);
        ck_assert_uint_lt(now_ms() - begun, 10000);
    }
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_ge(end.recycled, 3);
    ck_assert_uint_eq(end.deaths, 0);
}
END_TEST

HARNESS_MAIN("pool: supply", TEST(test_all_workers_are_kept_by_default),
             TEST(test_a_worker_is_started_when_all_are_busy),
             TEST(test_a_worker_with_nothing_to_do_leaves), TEST(test_a_busy_worker_stays),
             TEST(test_a_worker_leaves_after_so_many_jobs),
             TEST(test_a_worker_leaves_when_it_has_grown),
             TEST(test_who_does_not_leave_is_made_to_while_the_others_go_on))
