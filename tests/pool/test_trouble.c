/* SPDX-License-Identifier: MIT */
/*
 * Workers that misbehave, natively: each ends as it is documented, and the other jobs are answered.
 */
#include "common.h"

#include <sys/mman.h>
#include <sys/resource.h>

/* Good jobs before and after a bad one, which is job 11, with two workers. */
static void submit_among_good_ones(dx_pool *pool, const char *bad)
{
    for (int i = 1; i <= 10; i++)
        submitf(pool, "good %d", i);
    ck_assert_uint_eq(submit(pool, bad), 11);
    for (int i = 12; i <= 30; i++)
        submitf(pool, "good %d", i);
}

/* All are answered but job 11, whose result is returned without what it borrows. */
static dx_result take_among_good_ones(dx_pool *pool)
{
    dx_result bad = {0};

    for (int i = 0; i < 30; i++) {
        dx_result result = next(pool);
        char text[32];

        if (result.job == 11) {
            bad = result;
            continue;
        }
        assert_answered(pool, &result);
        snprintf(text, sizeof(text), "good %d", (int)result.job);
        ck_assert(is_answer(&result, text));
    }
    ck_assert_uint_eq(bad.job, 11);
    return bad;
}

static dx_result suffer(dx_pool *pool, const char *bad)
{
    submit_among_good_ones(pool, bad);
    return take_among_good_ones(pool);
}

static const dx_pool_options two = {.workers = 2};

/* See "!daemon" in obey.h. */
struct daemons {
    int count;
    int pids[8];
};

/* Have forty jobs done, each by a worker that leaves after it, and the pool closed. */
static void have_workers_leave(dx_pool *pool, const char *job)
{
    uint64_t tries = 0;

    for (int i = 0; i < 40; i++)
        submit(pool, job);
    for (int i = 0; i < 40; i++) {
        dx_result result = next(pool);

        assert_answered(pool, &result);
        ck_assert(is_answer(&result, "last"));
        tries += result.tries;
    }
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_eq(end.done, 40);
    ck_assert_uint_ge(end.deaths, 38);
    ck_assert_uint_eq(end.recycled, 0);
    ck_assert_uint_eq(end.repeated, tries - 40);
}

/*
 * What one was given when it was about to leave it has not read, and it is no try of that job. While a
 * fast lane begins nobody can tell.
 */
START_TEST(test_workers_that_leave_after_each_job)
{
    for (unsigned retries = harness_fast() ? 6 : 0; retries < 7; retries += 6) {
        dx_pool_options options = {.workers = 2, .retries = retries};

        have_workers_leave(open_obedient(&options), "!last 0");
    }
}
END_TEST

/*
 * What leaves after an answer takes with it what it was given beside it. Of one job it cannot be known
 * whether it was begun, so it counts as a try.
 */
START_TEST(test_workers_that_leave_after_each_job_with_several)
{
    dx_pool_options options = {.workers = 2, .depth = 8, .retries = 100};

    have_workers_leave(open_obedient(&options), "!last 7");
}
END_TEST

/* The answer and the end are both there when the pool looks: the answer counts. */
START_TEST(test_an_answer_and_the_end_at_once)
{
    static const unsigned sizes[] = {1, 5000, 65000, 80000, 150000};

    for (unsigned depth = 1; depth <= 2; depth++)
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
            dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 1, .depth = depth});

            look_until(pool, ready, 1);
            submitf(pool, "!final %u", sizes[i]);
            pause_ms(20);
            dx_result result = next(pool);

            assert_answered(pool, &result);
            ck_assert_uint_eq(result.message.size, sizes[i]);
            ck_assert_str_eq(ask(pool, "next"), "next");
            finish(pool);
        }
}
END_TEST

START_TEST(test_a_worker_that_leaves_without_an_answer)
{
    dx_pool *pool = open_obedient(&two);

    submit(pool, "!exit 0");
    dx_result result = expect_failure(pool, 1, -EPIPE);

    ck_assert_int_eq(result.exit->kind, DX_EXIT_CODE);
    ck_assert_int_eq(result.exit->code, 0);
    ck_assert_uint_eq(result.tries, 1);
    submit(pool, "!exit 23");
    result = expect_failure(pool, 2, -EPIPE);
    ck_assert_int_eq(result.exit->code, 23);
    ck_assert_msg(strstr(result.text, "23"), "%s", result.text);
    submit(pool, "!raise 11");
    result = expect_failure(pool, 3, -EPIPE);
    ck_assert_int_eq(result.exit->kind, DX_EXIT_SIGNAL);
    ck_assert_int_eq(result.exit->signal, SIGSEGV);
    ck_assert_msg(strstr(result.text, "SIGSEGV"), "%s", result.text);
    ck_assert_msg(strlen(dx_pool_explain(pool)) > 10, "%s", dx_pool_explain(pool));
    ck_assert_str_eq(ask(pool, "goes on"), "goes on");
    ck_assert_uint_eq(finish(pool).deaths, 3);
}
END_TEST

START_TEST(test_one_bad_end_among_good_jobs)
{
    for (unsigned depth = 1; depth <= 16; depth += 5) {
        dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 2, .depth = depth});

        ck_assert_int_eq(suffer(pool, "!exit 5").error, -EPIPE);
        dx_pool_statistics end = finish(pool);

        ck_assert_uint_eq(end.done, 29);
        ck_assert_uint_eq(end.failed, 1);
        ck_assert_uint_ge(end.deaths, 1);
        ck_assert_uint_le(end.deaths, 2);
    }
}
END_TEST

START_TEST(test_a_worker_that_hangs_or_stops_itself)
{
    for (int stops = 0; stops < 2; stops++)
        for (unsigned depth = 1; depth <= 4; depth += 3) {
            dx_pool_options options = {
                .workers = 2, .depth = depth, .job_timeout_ms = (int)scaled(400, 1000)};
            dx_pool *pool = open_obedient(&options);
            uint64_t begun = now_ms();
            dx_result result = suffer(pool, stops ? "!raise 19" : "!hang");

            ck_assert_int_eq(result.error, -ETIMEDOUT);
            ck_assert_uint_ge(now_ms() - begun, 400);
            ck_assert_uint_lt(now_ms() - begun, is_slow() ? 20000 : 5000);
            finish(pool);
        }
}
END_TEST

/* It ends the conversation in the middle of a job, and lives on: it is made to end, and that is a try. */
START_TEST(test_a_worker_that_closes_the_channel)
{
    for (unsigned depth = 1; depth <= 4; depth += 3) {
        dx_pool_options options = {
            .workers = 2, .depth = depth, .process.stop_end_ms = 50, .process.stop_term_ms = 50};
        dx_pool *pool = open_obedient(&options);

        ck_assert_int_eq(suffer(pool, "!deaf").error, -EPIPE);
        ck_assert_uint_ge(finish(pool).deaths, 1);
    }
}
END_TEST

/* A stopped worker is no reason to wait for long when the pool is closed. */
START_TEST(test_a_stopped_worker_does_not_delay_the_end)
{
    dx_pool *pool = open_obedient(&two);

    submit(pool, "!raise 19");
    look_until(pool, running, 1);
    look_after(pool, 50);
    uint64_t begun = now_ms();

    dx_pool_close(pool);
    ck_assert_uint_lt(now_ms() - begun, is_slow() ? 20000 : CLOSE_MS);
}
END_TEST

START_TEST(test_a_daemon_that_holds_the_channel)
{
    struct daemons *daemons = share(sizeof(*daemons));

    adopt_orphans();
    for (unsigned depth = 1; depth <= 4; depth += 3) {
        dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 2, .depth = depth});
        char job[64];
        uint64_t begun = now_ms();

        daemons->count = 0;
        snprintf(job, sizeof(job), "!daemon %llx", (unsigned long long)(uintptr_t)daemons);
        ck_assert_int_eq(suffer(pool, job).error, -EPIPE);
        ck_assert_uint_lt(now_ms() - begun, is_slow() ? 20000 : 5000);
        /* Its standard error is not waited for either. */
        ck_assert_uint_le(finish(pool).deaths, 2);
        ck_assert_int_ge(daemons->count, 1);
        for (int i = 0; i < daemons->count; i++)
            end_orphan(daemons->pids[i]);
    }
    give_back(daemons, sizeof(*daemons));
}
END_TEST

START_TEST(test_a_worker_that_eats_memory_is_limited)
{
    dx_limit limits[] = {{.resource = RLIMIT_AS, .soft = 512 * MIB, .hard = 512 * MIB},
                         {.resource = RLIMIT_CORE}};
    dx_pool_options options = {
        .workers = 2, .process.limits = limits, .process.limit_count = 2, .retries = 1};

    if (is_slow())
        HARNESS_SKIP("what this is built with needs more address space");
    dx_pool *pool = open_program(ARGV(WORKER), &options);
    dx_result result = suffer(pool, "!eat 4096");

    ck_assert_int_eq(result.error, -EPIPE);
    ck_assert_uint_eq(result.tries, 2);
    finish(pool);
}
END_TEST

/* The answers of the stranger: what is wrong fails, and costs a worker; what is odd and allowed does not. */
static void meet(const char *job, int error, bool dies)
{
    for (unsigned retries = 0; retries < 3; retries += 2) {
        dx_pool_options options = {.workers = 1, .retries = retries};
        dx_pool *pool = open_program(ARGV(STRANGER), &options);

        ck_assert_str_eq(ask(pool, "before"), "before");
        pid_t pid = worker_of(pool, 0).pid;

        submit(pool, job);
        dx_result result = next(pool);

        ck_assert_msg(result.error == error, "%s: %d instead of %d: %s", job, result.error, error,
                      result.text);
        ck_assert_uint_eq(result.tries, dies ? 1 + retries : 1);
        look_after(pool, 50);
        ck_assert_str_eq(ask(pool, "after"), "after");
        ck_assert_str_eq(ask(pool, "and again"), "and again");
        ck_assert_msg((worker_of(pool, 0).pid == pid) != dies, "%s: %s", job,
                      dies ? "the worker was kept" : "the worker was replaced");
        ck_assert_uint_eq(finish(pool).deaths, dies ? 1 + retries : 0);
    }
}

START_TEST(test_an_answer_is_heard_once)
{
    meet("twice", 0, false);
}
END_TEST

START_TEST(test_what_is_no_answer)
{
    meet("garbage", -EPROTO, true);
    meet("stranger", -EPROTO, true);
    meet("message", -EPROTO, true);
    meet("request", -EPROTO, true);
}
END_TEST

START_TEST(test_half_an_answer)
{
    meet("mute", -EPIPE, true);
    meet("half", -EPIPE, true);
    meet("unfinished", -EPIPE, true);
}
END_TEST

START_TEST(test_a_whole_answer_in_pieces)
{
    dx_pool *pool = open_program(ARGV(STRANGER), &two);

    ck_assert_str_eq(ask(pool, "pieces"), "onetwo");
    finish(pool);
}
END_TEST

/* The right answer behind it may be heard or not. */
START_TEST(test_messages_and_requests_of_workers_disturb_no_other_job)
{
    static const char *const bad[] = {"!message hello?", "!request hello?"};

    for (int i = 0; i < 2; i++)
        for (unsigned depth = 1; depth <= 8; depth += 7) {
            dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 2, .depth = depth});
            int error = suffer(pool, bad[i]).error;

            ck_assert(error == 0 || error == -EPROTO);
            while (statistics(pool).deaths == 0)
                look_after(pool, 2);
            finish(pool);
        }
}
END_TEST

HARNESS_MAIN("pool: trouble", TEST(test_workers_that_leave_after_each_job),
             TEST(test_workers_that_leave_after_each_job_with_several),
             TEST(test_a_worker_that_leaves_without_an_answer),
             TEST(test_one_bad_end_among_good_jobs), TEST(test_a_worker_that_hangs_or_stops_itself),
             TEST(test_a_worker_that_closes_the_channel),
             TEST(test_a_stopped_worker_does_not_delay_the_end),
             TEST(test_a_daemon_that_holds_the_channel),
             TEST(test_a_worker_that_eats_memory_is_limited), TEST(test_an_answer_is_heard_once),
             TEST(test_what_is_no_answer), TEST(test_half_an_answer),
             TEST(test_a_whole_answer_in_pieces), TEST(test_an_answer_and_the_end_at_once),
             TEST(test_messages_and_requests_of_workers_disturb_no_other_job))
