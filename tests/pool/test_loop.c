/* SPDX-License-Identifier: MIT */
/*
 * A pool in a loop of somebody else's; and who submits and receives in one loop never waits for ever.
 */
#include "common.h"

#include <poll.h>

/* poll(2) as long as the pool says; at most as long as a test may hang. */
static void wait_for(dx_pool *pool)
{
    struct pollfd pollfd = {.fd = dx_pool_fd(pool), .events = (short)dx_pool_events(pool)};
    int timeout = dx_pool_timeout_ms(pool);

    ck_assert_int_ge(pollfd.fd, 0);
    ck_assert_int_ge(dx_pool_events(pool), 0);
    if (timeout < 0 || timeout > PATIENCE_MS)
        timeout = PATIENCE_MS;
    int got = poll(&pollfd, 1, timeout);

    ck_assert_int_ge(got, 0);
    ck_assert_msg(got > 0 || timeout < PATIENCE_MS, "nothing happens any more");
    got = dx_pool_process(pool);
    ck_assert_msg(got == 0 || got == 1, "%d: %s", got, dx_pool_explain(pool));
}

static void converse(const dx_pool_options *options, size_t size, unsigned count)
{
    dx_pool *pool = open_obedient(options);
    char *bytes = calloc(1, size);
    unsigned sent = 0, got = 0, rounds = 0;
    dx_result result;

    while (got < count) {
        bool moved = false;
        int error = 0;

        while (sent < count && (error = dx_pool_submit(pool, bytes, size, NULL, DX_NOW)) == 0) {
            sent++;
            moved = true;
        }
        ck_assert(error == 0 || error == -ETIMEDOUT || error == -EDEADLK);
        while ((error = dx_pool_next(pool, &result, DX_NOW)) == 1) {
            assert_answered(pool, &result);
            ck_assert_uint_eq(result.message.size, size);
            got++;
            moved = true;
        }
        ck_assert(error == -ETIMEDOUT || (error == 0 && sent == got));
        if (!moved)
            wait_for(pool);
        ck_assert_uint_lt(rounds++, 2000000);
    }
    free(bytes);
    finish(pool);
}

START_TEST(test_a_loop_of_its_own_never_waits_for_ever)
{
    converse(&(dx_pool_options){.workers = 4}, MIB, scaled(120, 20));
    converse(&(dx_pool_options){.workers = 4, .depth = 4, .queue_limit = 3}, MIB, scaled(80, 20));
    converse(&(dx_pool_options){.workers = 2, .depth = 16, .queue_bytes = 2 * MIB}, MIB,
             scaled(80, 20));
    converse(&(dx_pool_options){.workers = 2, .depth = 16, .ordered = true}, 100,
             scaled(20000, 500));
    converse(&(dx_pool_options){.workers = 3, .queue_limit = 1}, 100, scaled(1000, 100));
}
END_TEST

/* The same with small channels, by functions that wait. */
static void submit_and_take(const dx_pool_options *options, size_t size, unsigned count)
{
    dx_pool *pool = open_obedient(options);
    char *bytes = calloc(1, size);
    unsigned got = 0;

    for (unsigned sent = 0; sent < count;) {
        int error = dx_pool_submit(pool, bytes, size, NULL, PATIENCE_MS);

        ck_assert_msg(error != -ETIMEDOUT, "it waits for room that will not come: %s",
                      dx_pool_explain(pool));
        if (error == 0) {
            sent++;
            continue;
        }
        ck_assert_int_eq(error, -EDEADLK);
        ck_assert_uint_eq(next(pool).message.size, size);
        got++;
    }
    for (; got < count; got++)
        ck_assert_uint_eq(next(pool).message.size, size);
    free(bytes);
    finish(pool);
}

START_TEST(test_submitting_for_ever_never_waits_for_ever)
{
    submit_and_take(&(dx_pool_options){.workers = 4, .queue_limit = 10}, MIB, scaled(100, 20));
    submit_and_take(&(dx_pool_options){.workers = 4, .depth = 8, .queue_bytes = 10 * MIB}, MIB,
                    scaled(100, 20));
    submit_and_take(&(dx_pool_options){.workers = 2,
                                       .depth = 8,
                                       .process.channel.socket_buffer = 4096,
                                       .process.channel.socket_only = true},
                    300000, scaled(60, 10));
    submit_and_take(&(dx_pool_options){.workers = 2, .ordered = true, .queue_limit = 3}, 10, 1000);
}
END_TEST

/* Workers that begin to read late, so that what is sent to them gets stuck in its middle. */
static int work_late(dx_channel *parent, void *context)
{
    pause_ms(50);
    return obey(parent, context);
}

START_TEST(test_jobs_that_get_stuck_in_their_middle)
{
    char *bytes = calloc(1, MIB);

    for (unsigned depth = 1; depth <= 4; depth += 3)
        for (int loop = 0; loop < 2; loop++) {
            dx_pool_options options = {.workers = 4, .depth = depth, .recycle_jobs = 3};
            dx_pool *pool = open_function(work_late, NULL, &options);
            unsigned count = scaled(24, 12);

            for (unsigned i = 0; i < count; i++)
                submit_bytes(pool, bytes, MIB);
            if (loop)
                look_until(pool, waiting, count);
            for (unsigned i = 0; i < count; i++)
                ck_assert_uint_eq(next(pool).message.size, MIB);
            finish(pool);
        }
    free(bytes);
}
END_TEST

/* Small jobs, large answers, and the other way round; nobody takes a result before all are in. */
START_TEST(test_answers_that_are_larger_than_the_jobs)
{
    dx_pool_options options = {.workers = 4, .depth = 16, .queue_bytes = 512 * MIB};
    dx_pool *pool = open_obedient(&options);
    unsigned count = scaled(100, 20);

    for (unsigned i = 0; i < count; i++)
        submit(pool, "!size 1000000");
    for (unsigned i = 0; i < count; i++)
        ck_assert_uint_eq(next(pool).message.size, 1000000);
    finish(pool);
}
END_TEST

/* The loop sleeps while nothing happens, and wakes for answers, deaths and deadlines. */
START_TEST(test_the_loop_sleeps_while_nothing_happens)
{
    dx_pool_options options = {.workers = 2, .job_timeout_ms = 200};
    dx_pool *pool = open_obedient(&options);
    dx_result result;
    unsigned wakes = 0;

    look_until(pool, ready, 2);
    submit(pool, "!sleep 150");
    while (dx_pool_next(pool, &result, DX_NOW) != 1) {
        wait_for(pool);
        wakes++;
    }
    ck_assert_uint_le(wakes, 20);
    submit(pool, "!exit 3");
    wakes = 0;
    while (dx_pool_next(pool, &result, DX_NOW) != 1) {
        wait_for(pool);
        wakes++;
    }
    ck_assert_int_eq(result.error, -EPIPE);
    ck_assert_uint_le(wakes, 20);
    look_until(pool, ready, 2);
    submit(pool, "!hang");
    wakes = 0;
    while (dx_pool_next(pool, &result, DX_NOW) != 1) {
        wait_for(pool);
        wakes++;
    }
    ck_assert_int_eq(result.error, -ETIMEDOUT);
    ck_assert_uint_le(wakes, 30);
    /* With nothing to do, nothing is to be waited for but the end of some worker. */
    look_until(pool, ready, 2);
    look_after(pool, 100);
    struct pollfd pollfd = {.fd = dx_pool_fd(pool), .events = (short)dx_pool_events(pool)};

    ck_assert_int_eq(poll(&pollfd, 1, 100), 0);
    ck_assert(dx_pool_timeout_ms(pool) < 0 || dx_pool_timeout_ms(pool) > 100);
    finish(pool);
}
END_TEST

/* Whoever waits sleeps, whatever there is besides: finished jobs, busy workers, a crash. */
START_TEST(test_waiting_takes_no_processor_time)
{
    for (int ordered = 0; ordered < 2; ordered++)
        for (unsigned depth = 1; depth <= 4; depth += 3) {
            dx_pool_options options = {.workers = 2,
                                       .depth = depth,
                                       .queue_limit = 2,
                                       .recycle_bytes = 1024 * MIB,
                                       .job_timeout_ms = 60000,
                                       .ordered = ordered};
            dx_pool *pool = open_obedient(&options);
            dx_result result;

            look_until(pool, ready, 2);
            submit(pool, "!sleep 900");
            submit(pool, "!exit 3");
            look_until(pool, waiting, 1);
            submit(pool, "!sleep 900");
            look_after(pool, 100);
            uint64_t begun = processor_ms();

            ck_assert_int_eq(dx_pool_submit(pool, "x", 1, NULL, 200), -ETIMEDOUT);
            uint64_t submitting = processor_ms() - begun;

            while (dx_pool_next(pool, &result, 200) == 1)
                continue;
            uint64_t receiving = processor_ms() - begun - submitting;

            if (!is_slow())
                ck_assert_msg(submitting < 60 && receiving < 60,
                              "depth %u, ordered %d: %u ms to submit, %u ms to receive", depth,
                              ordered, (unsigned)submitting, (unsigned)receiving);
            dx_pool_close(pool);
        }
}
END_TEST

/* dx_pool_process() alone does all: what it takes in waits for dx_pool_next(). */
START_TEST(test_process_says_when_there_is_a_result)
{
    dx_pool *pool = open_obedient(NULL);
    dx_result result;

    look_until(pool, ready, 1);
    ck_assert_int_eq(dx_pool_process(pool), 0);
    submit(pool, "x");
    for (uint64_t end = now_ms() + (uint64_t)PATIENCE_MS; dx_pool_process(pool) == 0;) {
        ck_assert_uint_lt(now_ms(), end);
        wait_for(pool);
    }
    /* It does not wait for more then. */
    ck_assert_int_eq(dx_pool_timeout_ms(pool), 0);
    ck_assert_int_eq(dx_pool_process(pool), 1);
    ck_assert_int_eq(dx_pool_next(pool, &result, DX_NOW), 1);
    ck_assert(is_answer(&result, "x"));
    ck_assert_int_eq(dx_pool_process(pool), 0);
    finish(pool);
}
END_TEST

/* Two pools in one loop, and one is fed by the other. */
START_TEST(test_a_pipeline_of_two_pools)
{
    dx_pool *first = open_obedient(&(dx_pool_options){.workers = 2, .queue_limit = 4});
    dx_pool *second = open_obedient(&(dx_pool_options){.workers = 2, .queue_limit = 4});
    unsigned count = scaled(500, 50), sent = 0, got = 0;
    bool carried = true;
    dx_result result;

    while (got < count) {
        struct pollfd both[2] = {
            {.fd = dx_pool_fd(first), .events = (short)dx_pool_events(first)},
            {.fd = dx_pool_fd(second), .events = (short)dx_pool_events(second)}};

        while (sent < count && dx_pool_submit(first, "!size 50000", 11, NULL, DX_NOW) == 0)
            sent++;
        while (dx_pool_next(second, &result, DX_NOW) == 1) {
            ck_assert_uint_eq(result.message.size, 50000);
            got++;
        }
        if (carried && dx_pool_next(first, &result, DX_NOW) == 1)
            carried = false;
        if (!carried && dx_pool_submit(second, result.message.data, 50000, NULL, DX_NOW) == 0)
            carried = true;
        poll(both, 2, 1);
        if (carried)
            dx_pool_process(first);
        dx_pool_process(second);
    }
    finish(first);
    finish(second);
}
END_TEST

HARNESS_MAIN("pool: loop", TEST_WITHIN(test_a_loop_of_its_own_never_waits_for_ever, 30),
             TEST_WITHIN(test_submitting_for_ever_never_waits_for_ever, 30),
             TEST(test_jobs_that_get_stuck_in_their_middle),
             TEST(test_answers_that_are_larger_than_the_jobs),
             TEST(test_the_loop_sleeps_while_nothing_happens),
             TEST(test_waiting_takes_no_processor_time),
             TEST(test_process_says_when_there_is_a_result), TEST(test_a_pipeline_of_two_pools))
