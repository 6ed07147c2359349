/* SPDX-License-Identifier: MIT */
/*
 * Workers that know nothing of duplex: one message in, one out, in order. And those that misbehave.
 */
#include "common.h"

#include <sys/stat.h>

static dx_pool_options framed(dx_framing framing, unsigned workers, unsigned depth)
{
    return (dx_pool_options){
        .workers = workers,
        .depth = depth,
        .process.handover = DX_HANDOVER_STDIO,
        .process.channel.framing = framing,
    };
}

static dx_pool *open_filter(dx_framing framing, unsigned workers, unsigned depth)
{
    dx_pool_options options = framed(framing, workers, depth);

    return open_program(ARGV(FILTER, (char *)dx_framing_name(framing)), &options);
}

static const dx_framing framings[] = {DX_FRAMING_LINE, DX_FRAMING_NUL, DX_FRAMING_NETSTRING,
                                      DX_FRAMING_U32};

#define EACH_FRAMING(f) for (unsigned f = 0; f < sizeof(framings) / sizeof(*framings); f++)

static void check_answers(dx_pool *pool, unsigned count)
{
    for (unsigned i = 1; i <= count; i++)
        submitf(pool, "job %u", i);
    for (unsigned i = 1; i <= count; i++) {
        dx_result result = next(pool);
        char text[32];

        ck_assert_msg(result.error == 0, "%d: %s", result.error, result.text);
        snprintf(text, sizeof(text), "<job %u>", (unsigned)result.job);
        ck_assert(is_answer(&result, text));
    }
}

START_TEST(test_filters_answer_in_every_framing)
{
    EACH_FRAMING(f)
    for (unsigned depth = 1; depth <= 32; depth += 31) {
        dx_pool *pool = open_filter(framings[f], 2, depth);

        check_answers(pool, scaled(300, 60));
        ck_assert_uint_eq(finish(pool).deaths, 0);
    }
}
END_TEST

START_TEST(test_filters_over_pipes)
{
    dx_pool_options options = framed(DX_FRAMING_LINE, 2, 8);

    options.process.handover = DX_HANDOVER_PIPES;
    dx_pool *pool = open_program(ARGV(FILTER), &options);

    check_answers(pool, 200);
    submit(pool, "!exit 3");
    ck_assert_int_eq(expect_failure(pool, 201, -EPIPE).exit->code, 3);
    finish(pool);
}
END_TEST

START_TEST(test_programs_that_everybody_has)
{
    dx_pool_options options = framed(DX_FRAMING_LINE, 2, 4);
    dx_pool *pool = open_program(ARGV("cat"), &options);

    ck_assert_str_eq(ask(pool, "meow"), "meow");
    ck_assert_str_eq(ask(pool, ""), "");
    finish(pool);
    pool = open_program(ARGV("sed", "-u", "s/father/child/"), &options);
    ck_assert_str_eq(ask(pool, "I am your father"), "I am your child");
    finish(pool);
}
END_TEST

/* What the framing cannot carry is refused, and no job. */
START_TEST(test_what_a_line_cannot_carry)
{
    dx_pool *pool = open_filter(DX_FRAMING_LINE, 1, 1);

    ck_assert_int_eq(dx_pool_submit(pool, "two\nlines", 9, NULL, DX_NOW), -EINVAL);
    ck_assert_str_ne(dx_pool_explain(pool), "");
    expect_empty(pool);
    ck_assert_uint_eq(submit(pool, "one line"), 1);
    expect_answer(pool, 1, "<one line>");
    finish(pool);
    pool = open_filter(DX_FRAMING_NUL, 1, 1);
    ck_assert_int_eq(dx_pool_submit(pool, "two\0words", 9, NULL, DX_NOW), -EINVAL);
    ck_assert_str_eq(ask(pool, "two\nlines"), "<two\nlines>");
    finish(pool);
}
END_TEST

START_TEST(test_large_jobs_and_answers)
{
    EACH_FRAMING(f)
    {
        dx_pool *pool = open_filter(framings[f], 2, 4);
        char *bytes = malloc(MIB);

        memset(bytes, 'y', MIB);
        for (int i = 0; i < 6; i++)
            submit_bytes(pool, bytes, MIB);
        for (int i = 0; i < 6; i++)
            ck_assert_uint_eq(next(pool).message.size, MIB + 2);
        free(bytes);
        finish(pool);
    }
}
END_TEST

START_TEST(test_a_filter_says_when_it_is_ready)
{
    EACH_FRAMING(f)
    {
        dx_pool_options options = framed(framings[f], 2, 2);

        options.ready = DX_READY_MESSAGE;
        options.recycle_jobs = 5;
        dx_pool *pool =
            open_program(ARGV(FILTER, (char *)dx_framing_name(framings[f]), "ready"), &options);

        check_answers(pool, 30);
        dx_pool_statistics end = finish(pool);

        ck_assert_uint_eq(end.deaths, 0);
        ck_assert_uint_ge(end.recycled, 4);
    }
}
END_TEST

/* A bad job among good ones, with so many tries: all others are answered, each with its own. */
static dx_result suffer(dx_pool *pool, const char *bad)
{
    dx_result ret = {0};

    /* What it borrows is gone when it is returned. */
    for (int i = 1; i <= 24; i++)
        if (i == 9)
            submit(pool, bad);
        else
            submitf(pool, "good %d", i);
    for (int i = 1; i <= 24; i++) {
        dx_result result = next(pool);
        char text[32];

        if (result.job == 9) {
            ret = result;
            continue;
        }
        ck_assert_msg(result.error == 0, "beside '%s', job %d: %d: %s", bad, (int)result.job,
                      result.error, result.text);
        snprintf(text, sizeof(text), "<good %d>", (int)result.job);
        ck_assert_msg(is_answer(&result, text), "beside '%s', job %d: '%.*s'", bad, (int)result.job,
                      (int)result.message.size, (const char *)result.message.data);
    }
    return ret;
}

static void check_once(dx_framing framing, const char *job, int error,
                       const dx_pool_options *options)
{
    char *const argv[] = {FILTER, (char *)dx_framing_name(framing), NULL};
    dx_pool *pool = open_program(argv, options);
    dx_result result = suffer(pool, job);

    ck_assert_msg(result.error == error, "%s, '%s', depth %u: %d instead of %d",
                  dx_framing_name(framing), job, options->depth, result.error, error);
    if (error != 0) {
        ck_assert_uint_ge(result.tries, 1 + options->retries);
        ck_assert_uint_le(result.tries, 1 + options->retries + (options->depth > 1));
    }
    finish(pool);
}

static void check_bad(dx_framing framing, const char *job, int error)
{
    for (unsigned depth = 1; depth <= 6; depth += 5)
        for (unsigned retries = 0; retries < 2; retries++) {
            dx_pool_options options = framed(framing, 2, depth);

            options.retries = retries;
            check_once(framing, job, error, &options);
        }
}

static void check_late(dx_framing framing, const char *job)
{
    for (unsigned depth = 1; depth <= 6; depth += 5) {
        dx_pool_options options = framed(framing, 2, depth);

        options.job_timeout_ms = 300;
        check_once(framing, job, -ETIMEDOUT, &options);
    }
}

START_TEST(test_filters_that_end)
{
    EACH_FRAMING(f)
    {
        check_bad(framings[f], "!exit 0", -EPIPE);
        check_bad(framings[f], "!raise 11", -EPIPE);
        check_bad(framings[f], "!last 0", 0);
    }
}
END_TEST

START_TEST(test_filters_that_hang)
{
    check_late(DX_FRAMING_LINE, "!hang");
    check_late(DX_FRAMING_NETSTRING, "!raise 19");
}
END_TEST

/* A line that the end cut off counts as one: nobody can tell. Where there is a length, one can. */
START_TEST(test_half_an_answer)
{
    check_bad(DX_FRAMING_LINE, "!half", -EPIPE);
    check_bad(DX_FRAMING_NETSTRING, "!half", -EPIPE);
    check_bad(DX_FRAMING_U32, "!half", -EPIPE);
}
END_TEST

/* The answer and the end are both there when the pool looks: the answer counts. */
START_TEST(test_an_answer_and_the_end_at_once)
{
    static const unsigned sizes[] = {1, 5000, 65000, 80000, 150000};

    EACH_FRAMING(f)
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        dx_pool *pool = open_filter(framings[f], 1, 1 + i % 2);

        look_until(pool, ready, 1);
        submitf(pool, "!final %u", sizes[i]);
        pause_ms(20);
        dx_result result = next(pool);

        ck_assert_msg(result.error == 0, "%s, %u bytes: %d: %s", dx_framing_name(framings[f]),
                      sizes[i], result.error, result.text);
        ck_assert_uint_eq(result.message.size, sizes[i]);
        ck_assert_str_eq(ask(pool, "next"), "<next>");
        finish(pool);
    }
}
END_TEST

/* Its writer may have been killed in the middle of it: a line that was not ended is no answer. */
START_TEST(test_the_last_line_without_its_end)
{
    for (unsigned i = 0; i < scaled(30, 10); i++) {
        dx_pool *pool = open_filter(DX_FRAMING_LINE, 1, 1);

        look_until(pool, ready, 1);
        submit(pool, "!half");
        if (i % 2)
            pause_ms((int)i / 2);
        ck_assert_int_eq(next(pool).error, -EPIPE);
        finish(pool);
    }
}
END_TEST

START_TEST(test_what_is_no_message)
{
    check_bad(DX_FRAMING_NETSTRING, "!garbage", -EPROTO);
    check_bad(DX_FRAMING_U32, "!garbage", -EPROTO);
}
END_TEST

/* Nobody asked for the second answer: the worker cannot be believed any more. */
START_TEST(test_a_second_answer)
{
    EACH_FRAMING(f)
    {
        dx_pool *pool = open_filter(framings[f], 1, 1);

        for (int i = 0; i < 3; i++) {
            ck_assert_str_eq(ask(pool, "!twice"), "once");
            look_after(pool, scaled(40, 300));
            ck_assert_str_eq(ask(pool, "next"), "<next>");
        }
        ck_assert_uint_eq(finish(pool).deaths, 3);
    }
}
END_TEST

START_TEST(test_an_answer_over_the_limit)
{
    EACH_FRAMING(f)
    {
        dx_pool_options options = framed(framings[f], 1, 1);

        options.process.channel.message_limit = 5000;
        dx_pool *pool = open_program(ARGV(FILTER, (char *)dx_framing_name(framings[f])), &options);

        submit(pool, "!long 4000");
        ck_assert_uint_eq(next(pool).message.size, 4000);
        submit(pool, "!long 6000");
        expect_failure(pool, 2, -EPROTO);
        ck_assert_str_eq(ask(pool, "next"), "<next>");
        finish(pool);
    }
}
END_TEST

START_TEST(test_the_second_try_of_a_filter)
{
    char directory[] = "/tmp/duplex-pool-XXXXXX", path[64];

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/flag", directory);
    dx_pool_options options = framed(DX_FRAMING_LINE, 2, 4);

    options.retries = 1;
    dx_pool *pool = open_program(ARGV(FILTER), &options);

    for (int i = 1; i <= 10; i++)
        if (i == 3)
            submitf(pool, "!once %s", path);
        else
            submitf(pool, "%d", i);
    for (int i = 1; i <= 10; i++) {
        dx_result result = next(pool);
        char text[16];

        ck_assert_msg(result.error == 0, "%d: %s", result.error, result.text);
        snprintf(text, sizeof(text), "<%d>", (int)result.job);
        ck_assert(is_answer(&result, result.job == 3 ? "<done>" : text));
    }
    ck_assert_uint_eq(finish(pool).deaths, 1);
    unlink(path);
    rmdir(directory);
}
END_TEST

/* It leaves after one job; the next lay in its pipe, and nobody is to blame for that. */
START_TEST(test_a_job_that_a_filter_did_not_read_is_given_to_another)
{
    dx_pool_options options = {.workers = 1,
                               .process.channel.framing = DX_FRAMING_LINE,
                               .process.handover = DX_HANDOVER_PIPES};
    dx_pool *pool =
        open_program(ARGV("sh", "-c", "read job; echo \"$job\"; sleep 0.4; exit 0"), &options);

    for (int i = 0; i < 3; i++) {
        submit(pool, "x");
        expect_answer(pool, 0, "x");
    }
    ck_assert_uint_eq(statistics(pool).failed, 0);
    dx_pool_close(pool);
}
END_TEST

HARNESS_MAIN("pool: filters", TEST(test_a_job_that_a_filter_did_not_read_is_given_to_another),
             TEST(test_filters_answer_in_every_framing), TEST(test_filters_over_pipes),
             TEST(test_programs_that_everybody_has), TEST(test_what_a_line_cannot_carry),
             TEST(test_large_jobs_and_answers), TEST(test_a_filter_says_when_it_is_ready),
             TEST_WITHIN(test_filters_that_end, 30), TEST(test_filters_that_hang),
             TEST(test_half_an_answer), TEST(test_what_is_no_message), TEST(test_a_second_answer),
             TEST(test_an_answer_over_the_limit), TEST(test_the_second_try_of_a_filter),
             TEST(test_an_answer_and_the_end_at_once), TEST(test_the_last_line_without_its_end))
