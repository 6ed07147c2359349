/* SPDX-License-Identifier: MIT */
/*
 * What a pool can be asked to be: nonsense is refused with a sentence, and what is asked for is copied.
 */
#include "common.h"

#include <limits.h>
#include <sys/resource.h>

static void refused_for(const dx_pool_options *options, int error, const char *what)
{
    dx_failure failure = {0};
    dx_pool_options own = *options;
    dx_pool *pool = NULL;

    own.failure = &failure;
    int got = dx_pool_open(&pool, ARGV(WORKER), &own);

    ck_assert_msg(got == error, "%s: %d instead of %d: %s", what, got, error, failure.text);
    ck_assert_int_eq(failure.error, error);
    ck_assert_msg(strlen(failure.text) > 10, "%s: it says '%s'", what, failure.text);
}

#define REFUSED(...) refused_for(&(dx_pool_options){__VA_ARGS__}, -EINVAL, #__VA_ARGS__)

START_TEST(test_nonsense_is_refused)
{
    REFUSED(.workers = DX_WORKERS_MAX + 1);
    REFUSED(.workers = 2, .workers_min = 3);
    REFUSED(.depth = DX_DEPTH_AUTO + 1);
    REFUSED(.depth = UINT_MAX);
    REFUSED(.ready = (dx_ready)7);
    REFUSED(.process.stdio[0].mode = DX_STDIO_PIPE);
    REFUSED(.process.stdio[1].mode = DX_STDIO_PIPE);
    REFUSED(.process.stdio[2].mode = DX_STDIO_PIPE);
    REFUSED(.process.channel.framing = (dx_framing)99);
    REFUSED(.process.channel.framing = DX_FRAMING_RAW);
    REFUSED(.process.channel.message_limit = DX_MESSAGE_LIMIT_MAX + 1);
    REFUSED(.process.handover = (dx_handover)99);
}
END_TEST

START_TEST(test_nonsense_is_refused_with_functions)
{
    dx_failure failure = {0};
    dx_pool_options options = {.workers = DX_WORKERS_MAX + 1, .failure = &failure};
    dx_pool *pool = NULL;

    ck_assert_int_eq(dx_pool_open_function(&pool, obey, NULL, &options), -EINVAL);
    ck_assert_str_ne(failure.text, "");
    ck_assert_int_eq(dx_pool_open_function(&pool, NULL, NULL, NULL), -EINVAL);
    ck_assert_int_eq(dx_pool_open_function(NULL, obey, NULL, NULL), -EINVAL);
    ck_assert_int_eq(dx_pool_open(NULL, ARGV(WORKER), NULL), -EINVAL);
    ck_assert_int_eq(dx_pool_open(&pool, NULL, NULL), -EINVAL);
    ck_assert_int_eq(dx_pool_open(&pool, (char *[]){NULL}, NULL), -EINVAL);
}
END_TEST

START_TEST(test_what_cannot_be_started_is_told_at_once)
{
    dx_failure failure = {0};
    dx_pool_options options = {.workers = 3, .failure = &failure};
    dx_pool *pool = NULL;

    ck_assert_int_eq(dx_pool_open(&pool, ARGV("/nowhere/at-all"), &options), -ENOENT);
    ck_assert_int_eq(failure.error, -ENOENT);
    ck_assert_msg(strstr(failure.text, "/nowhere/at-all"), "%s", failure.text);
    ck_assert_int_eq(dx_pool_open(&pool, ARGV("/etc/passwd"), &options), -EACCES);
    ck_assert_int_eq(dx_pool_open(&pool, ARGV("no-such-program-here"), NULL), -ENOENT);
    options.process.directory = "/nowhere";
    ck_assert_int_eq(dx_pool_open(&pool, ARGV(WORKER), &options), -ENOENT);
    ck_assert_int_eq(dx_pool_open_function(&pool, obey, NULL, &options), -ENOENT);
}
END_TEST

START_TEST(test_no_options_are_a_pool_of_all_processors)
{
    dx_pool *pool = NULL;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    dx_worker_statistics worker;

    ck_assert_int_eq(dx_pool_open(&pool, ARGV(WORKER), NULL), 0);
    ck_assert_str_eq(ask(pool, "hello"), "hello");
    unsigned workers = statistics(pool).workers;

    ck_assert_uint_ge(workers, 1);
    ck_assert_int_le(workers, processors);
    look_until(pool, ready, workers);
    ck_assert_int_eq(dx_pool_worker_get(pool, (unsigned)processors, &worker), -ENOENT);
    finish(pool);
}
END_TEST

/* Replace what the options were made of; the second worker is started from what the pool has. */
START_TEST(test_what_is_asked_for_is_copied)
{
    char program[] = WORKER, variable[] = "POOL_TEST=first", directory[] = "/usr";
    char *argv[] = {program, NULL};
    char *changes[] = {variable, NULL};
    dx_limit limit = {.resource = RLIMIT_CORE, .soft = 0, .hard = 0};
    dx_pool_options options = {
        .workers = 1,
        .recycle_jobs = 3,
        .process.environment_changes = changes,
        .process.directory = directory,
        .process.limits = &limit,
        .process.limit_count = 1,
    };
    dx_pool *pool = open_program(argv, &options);

    memset(program, 'z', sizeof(program) - 1);
    memset(variable, 'z', sizeof(variable) - 1);
    memset(directory, 'z', sizeof(directory) - 1);
    limit.resource = 9999;
    argv[0] = changes[0] = NULL;
    memset(&options, 0xee, sizeof(options));
    for (int worker = 0; worker < 3; worker++) {
        ck_assert_str_eq(ask(pool, "!env POOL_TEST"), "first");
        ck_assert_str_eq(ask(pool, "!where"), "/usr");
        ck_assert_str_eq(ask(pool, "!env DUPLEX_FD"), "-");
    }
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_ge(end.recycled, 2);
    ck_assert_uint_eq(end.deaths, 0);
}
END_TEST

static int tell_number(dx_channel *parent, void *context)
{
    dx_message job;

    while (dx_recv(parent, &job, DX_FOREVER) == 1)
        if (dx_reply(parent, job.id, context, sizeof(int), DX_FOREVER) < 0)
            return 1;
    return 0;
}

/* A function's context is what it was when its worker was started. */
START_TEST(test_a_function_sees_the_parent_as_it_was)
{
    int number = 1;
    dx_pool_options options = {.workers = 1, .recycle_jobs = 1};
    dx_pool *pool = open_function(tell_number, &number, &options);

    for (int expected = 1; expected < 6; expected++) {
        int got;

        number++;
        submit(pool, "?");
        dx_result result = next(pool);

        assert_answered(pool, &result);
        memcpy(&got, result.message.data, sizeof(got));
        /* It was started with the first number, or some time since. */
        ck_assert_int_ge(got, expected == 1 ? 1 : 2);
        ck_assert_int_le(got, number);
        if (expected == 1)
            ck_assert_int_eq(got, 1);
        look_after(pool, 5);
    }
    submit(pool, "?");
    dx_result result = next(pool);
    int last;

    memcpy(&last, result.message.data, sizeof(last));
    ck_assert_int_gt(last, 2);
    finish(pool);
}
END_TEST

/* The child's end has options of its own, which are copied, too. */
START_TEST(test_the_workers_end_has_its_own_options)
{
    dx_channel_options end = {.message_limit = 1000};
    dx_pool_options options = {.workers = 1, .recycle_jobs = 2, .process.child_channel = &end};
    dx_pool *pool = open_obedient(&options);
    char bytes[2000] = "";

    end.message_limit = 0;
    for (int i = 0; i < 4; i++) {
        ck_assert_str_eq(ask(pool, "fits"), "fits");
        /* The worker said in its greeting that it takes no more. */
        int error = dx_pool_submit(pool, bytes, sizeof(bytes), NULL, DX_NOW);

        if (error == 0)
            error = next(pool).error;
        ck_assert_int_eq(error, -EMSGSIZE);
    }
    ck_assert_uint_eq(finish(pool).deaths, 0);
}
END_TEST

START_TEST(test_opening_waits_for_no_worker_to_be_ready)
{
    uint64_t begun = now_ms();
    dx_pool *pool = open_program(ARGV(WORKER, "slow", "1200"), &(dx_pool_options){.workers = 2});

    ck_assert_uint_lt(now_ms() - begun, is_slow() ? 20000 : 900);
    ck_assert_uint_ge(statistics(pool).workers, 1);
    ck_assert_uint_eq(statistics(pool).ready, 0);
    ck_assert_str_eq(ask(pool, "in time"), "in time");
    ck_assert_uint_ge(now_ms() - begun, 1200);
    finish(pool);
}
END_TEST

START_TEST(test_every_type_of_channel_serves)
{
    for (int type = DX_STREAM; type <= DX_DGRAM; type++) {
        dx_pool_options options = {
            .workers = 2, .depth = 4, .process.channel.type = (dx_channel_type)type};
        dx_pool *pool = open_obedient(&options);

        for (int i = 0; i < 50; i++)
            submitf(pool, "job %d", i);
        for (int i = 0; i < 50; i++) {
            dx_result result = next(pool);
            char text[32];

            snprintf(text, sizeof(text), "job %d", (int)result.job - 1);
            ck_assert(is_answer(&result, text));
        }
        submit(pool, "!raise 9");
        expect_failure(pool, 51, -EPIPE);
        ck_assert_str_eq(ask(pool, "goes on"), "goes on");
        finish(pool);
    }
}
END_TEST

HARNESS_MAIN(
    "pool: options", TEST(test_nonsense_is_refused), TEST(test_nonsense_is_refused_with_functions),
    TEST(test_what_cannot_be_started_is_told_at_once),
    TEST(test_no_options_are_a_pool_of_all_processors), TEST(test_what_is_asked_for_is_copied),
    TEST(test_a_function_sees_the_parent_as_it_was), TEST(test_the_workers_end_has_its_own_options),
    TEST(test_opening_waits_for_no_worker_to_be_ready), TEST(test_every_type_of_channel_serves))
