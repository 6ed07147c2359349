/* SPDX-License-Identifier: MIT */
/*
 * Jobs go in, results come out: one for each, in the order that was asked for, with what they say.
 */
#include "common.h"

#include <sys/wait.h>

START_TEST(test_a_job_is_answered)
{
    dx_pool *pool = open_obedient(NULL);
    dx_result result;
    uint64_t job = 0;
    int place;

    ck_assert_int_eq(dx_pool_next(pool, &result, DX_FOREVER), 0);
    ck_assert_int_eq(dx_pool_submit(pool, "hello", 5, &job, DX_NOW), 0);
    ck_assert_uint_eq(job, 1);
    result = next(pool);
    assert_answered(pool, &result);
    ck_assert(is_answer(&result, "hello"));
    ck_assert_uint_eq(result.job, 1);
    ck_assert_ptr_null(result.context);
    ck_assert_uint_eq(result.tries, 1);
    ck_assert_uint_eq(result.worker, 0);
    ck_assert_int_eq(result.pid, worker_of(pool, 0).pid);
    ck_assert_ptr_null(result.exit);
    ck_assert_str_eq(result.text, "");
    ck_assert_uint_eq(result.message.descriptor_count, 0);

    dx_job with = {.data = "you", .size = 3, .context = &place};

    ck_assert_int_eq(dx_pool_submit_job(pool, &with, NULL, DX_NOW), 0);
    result = next(pool);
    ck_assert_ptr_eq(result.context, &place);
    ck_assert_uint_eq(result.job, 2);
    ck_assert_int_eq(dx_pool_next(pool, &result, DX_FOREVER), 0);
    finish(pool);
}
END_TEST

/* Many jobs with every depth: each has one result with its own answer. */
static void check_many(unsigned workers, unsigned depth, bool ordered)
{
    dx_pool_options options = {.workers = workers, .depth = depth, .ordered = ordered};
    unsigned count = scaled(2000, 300);
    bool *seen = calloc(count + 1, 1);
    dx_pool *pool = open_obedient(&options);
    char text[64];

    for (unsigned sent = 0, got = 0; got < count;) {
        uint64_t job;
        int error = -ETIMEDOUT;

        if (sent < count) {
            snprintf(text, sizeof(text), "job %u", sent + 1);
            error = dx_pool_submit(pool, text, strlen(text), &job, DX_NOW);
        }
        if (error == 0) {
            ck_assert_uint_eq(job, ++sent);
            continue;
        }
        ck_assert(error == -ETIMEDOUT || error == -EDEADLK);
        dx_result result = next(pool);

        assert_answered(pool, &result);
        snprintf(text, sizeof(text), "job %u", (unsigned)result.job);
        ck_assert(is_answer(&result, text));
        ck_assert_uint_le(result.job, sent);
        ck_assert_msg(!seen[result.job], "job %u has a second result", (unsigned)result.job);
        ck_assert_uint_lt(result.worker, workers);
        seen[result.job] = true;
        got++;
        if (ordered)
            ck_assert_uint_eq(result.job, got);
    }
    ck_assert_uint_eq(statistics(pool).done, count);
    finish(pool);
    free(seen);
}

START_TEST(test_many_jobs_have_one_result_each)
{
    check_many(1, 0, false);
    check_many(3, 1, false);
    check_many(2, 16, false);
    check_many(2, DX_DEPTH_AUTO, false);
    check_many(1, DX_DEPTH_MAX, false);
}
END_TEST

START_TEST(test_ordered_results_come_in_order)
{
    check_many(3, 1, true);
    check_many(2, 16, true);
    check_many(2, DX_DEPTH_AUTO, true);
}
END_TEST

START_TEST(test_a_quick_job_overtakes_a_slow_one_unless_in_order)
{
    for (int ordered = 0; ordered < 2; ordered++) {
        dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 2, .ordered = ordered});

        look_until(pool, ready, 2);
        submit(pool, "!sleep 600");
        submit(pool, "quick");
        if (ordered) {
            dx_result result;

            ck_assert_int_eq(dx_pool_next(pool, &result, 30), -ETIMEDOUT);
            expect_answer(pool, 1, "slept");
            expect_answer(pool, 2, "quick");
        } else {
            expect_answer(pool, 2, "quick");
            expect_answer(pool, 1, "slept");
        }
        finish(pool);
    }
}
END_TEST

/* A worker may answer in any order. */
static int answer_in_pairs(dx_channel *parent, const dx_message *job, void *context)
{
    static uint64_t kept;

    (void)context;
    if (kept == 0) {
        kept = job->id;
        return 0;
    }
    int error = dx_reply(parent, job->id, "second", 6, DX_FOREVER);

    if (error == 0)
        error = dx_reply(parent, kept, "first", 5, DX_FOREVER);
    kept = 0;
    return error;
}

static int work_in_pairs(dx_channel *parent, void *context)
{
    return dx_work(parent, answer_in_pairs, context);
}

START_TEST(test_a_worker_may_answer_in_any_order)
{
    for (int ordered = 0; ordered < 2; ordered++) {
        dx_pool_options options = {.workers = 1, .depth = 2, .ordered = ordered};
        dx_pool *pool = open_function(work_in_pairs, NULL, &options);

        for (unsigned round = 0; round < 20; round++) {
            uint64_t first = submit(pool, "a");
            uint64_t second = submit(pool, "b");

            expect_answer(pool, ordered ? first : second, ordered ? "first" : "second");
            expect_answer(pool, ordered ? second : first, ordered ? "second" : "first");
        }
        finish(pool);
    }
}
END_TEST

static uint8_t byte_at(size_t size, size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7 + size);
}

START_TEST(test_jobs_and_answers_have_any_size)
{
    static const size_t sizes[] = {0,     1,     15,     16,      100,     4095,
                                   65536, 70000, 262144, 1000000, 5 * MIB, 3};
    enum { COUNT = sizeof(sizes) / sizeof(*sizes) };
    uint8_t *bytes = malloc(5 * MIB);

    for (unsigned depth = 1; depth <= 16; depth += 15) {
        dx_pool_options options = {.workers = 2, .depth = depth, .ordered = true};
        dx_pool *pool = open_obedient(&options);

        for (unsigned i = 0; i < COUNT; i++) {
            for (size_t at = 0; at < sizes[i]; at++)
                bytes[at] = byte_at(sizes[i], at);
            submit_bytes(pool, sizes[i] > 0 ? bytes : NULL, sizes[i]);
        }
        for (unsigned i = 0; i < COUNT; i++) {
            dx_result result = next(pool);
            const uint8_t *answer = result.message.data;
            size_t wrong = 0;

            assert_answered(pool, &result);
            ck_assert_uint_eq(result.message.size, sizes[i]);
            for (size_t at = 0; at < sizes[i]; at++)
                wrong += answer[at] != byte_at(sizes[i], at);
            ck_assert_uint_eq(wrong, 0);
        }
        finish(pool);
    }
    free(bytes);
}
END_TEST

START_TEST(test_what_is_larger_than_the_limit_is_refused)
{
    dx_pool_options options = {.workers = 1, .process.channel.message_limit = 10000};
    dx_pool *pool = open_obedient(&options);
    char bytes[10001] = "";
    uint64_t job = 77;

    ck_assert_int_eq(dx_pool_submit(pool, bytes, sizeof(bytes), &job, DX_NOW), -EMSGSIZE);
    ck_assert_str_ne(dx_pool_explain(pool), "");
    expect_empty(pool);
    ck_assert_uint_eq(submit_bytes(pool, bytes, 10000), 1);
    ck_assert_uint_eq(next(pool).message.size, 10000);
    finish(pool);
}
END_TEST

START_TEST(test_an_answer_may_be_the_next_job)
{
    dx_pool *pool = open_obedient(NULL);

    submit(pool, "!size 300000");
    for (unsigned round = 0; round < 20; round++) {
        dx_result result = next(pool);

        assert_answered(pool, &result);
        ck_assert_uint_eq(result.message.size, 300000);
        ck_assert_uint_eq(((const char *)result.message.data)[299999], 'x');
        submit_bytes(pool, result.message.data, result.message.size);
    }
    ck_assert_uint_eq(next(pool).message.size, 300000);
    finish(pool);
}
END_TEST

START_TEST(test_a_worker_answers_with_an_error)
{
    dx_pool *pool = open_obedient(NULL);

    submit(pool, "!error 42 no such thing");
    dx_result result = expect_failure(pool, 1, -EREMOTEIO);

    ck_assert_int_eq(result.message.kind, DX_ERROR);
    ck_assert_int_eq(result.message.code, 42);
    ck_assert_uint_eq(result.message.size, strlen("no such thing"));
    ck_assert_mem_eq(result.message.data, "no such thing", result.message.size);
    ck_assert_uint_eq(result.tries, 1);
    submit(pool, "!refuse -95");
    result = expect_failure(pool, 2, -EREMOTEIO);
    ck_assert_int_eq(result.message.code, -95);
    ck_assert_uint_gt(result.message.size, 0);
    /* An error is an answer: nobody dies of it, and it is not tried again. */
    ck_assert_str_eq(ask(pool, "!count"), "3");
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_eq(end.done + end.failed, 3);
    ck_assert_uint_eq(end.failed, 2);
    ck_assert_uint_eq(end.deaths, 0);
    ck_assert_uint_eq(end.repeated, 0);
}
END_TEST

START_TEST(test_the_times_are_told)
{
    dx_pool *pool = open_obedient(NULL);

    ask(pool, "first");
    uint64_t begun = now_ms();

    submit(pool, "!sleep 100");
    submit(pool, "!sleep 50");
    dx_result result = next(pool);
    uint64_t most = (now_ms() - begun + 1) * 1000, first = result.run_us;

    ck_assert_uint_ge(result.run_us, 95000);
    ck_assert_uint_le(result.wait_us + result.run_us, most);
    result = next(pool);
    most = (now_ms() - begun + 1) * 1000;
    ck_assert_uint_ge(result.run_us, 45000);
    ck_assert_uint_ge(result.wait_us + 5000, first);
    ck_assert_uint_le(result.wait_us + result.run_us, most);
    finish(pool);
}
END_TEST

START_TEST(test_next_waits_as_long_as_it_is_told)
{
    dx_pool *pool = open_obedient(NULL);
    dx_result result;

    ask(pool, "first");
    submit(pool, "!sleep 1500");
    ck_assert_int_eq(dx_pool_next(pool, &result, DX_NOW), -ETIMEDOUT);
    uint64_t begun = now_ms();

    ck_assert_int_eq(dx_pool_next(pool, &result, 100), -ETIMEDOUT);
    ck_assert_uint_ge(now_ms() - begun, 100);
    ck_assert_uint_lt(now_ms() - begun, is_slow() ? 20000 : 1300);
    expect_answer(pool, 2, "slept");
    finish(pool);
}
END_TEST

/* Each function in a child that was forked: it answers, and the parent's pool is what it was. */
static void use_in_child(dx_pool *pool)
{
    dx_pool_statistics now;
    dx_worker_statistics worker;
    dx_result result;
    uint64_t job;

    harness_child_assert(dx_pool_submit(pool, "x", 1, &job, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_pool_submit_job(pool, &(dx_job){0}, NULL, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_pool_next(pool, &result, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_pool_cancel(pool, 1) == -ECHILD);
    harness_child_assert(dx_pool_drain(pool) == -ECHILD);
    harness_child_assert(dx_pool_fd(pool) == -ECHILD);
    harness_child_assert(dx_pool_events(pool) == -ECHILD);
    harness_child_assert(dx_pool_timeout_ms(pool) == -ECHILD);
    harness_child_assert(dx_pool_process(pool) == -ECHILD);
    harness_child_assert(dx_pool_statistics_get(pool, &now) == -ECHILD);
    harness_child_assert(dx_pool_worker_get(pool, 0, &worker) == -ECHILD);
    harness_child_assert(dx_pool_explain(pool) != NULL);
    harness_child_assert(dx_pool_close(pool) == NULL);
    _exit(0);
}

START_TEST(test_a_forked_child_has_no_pool)
{
    dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 2});
    int status;

    ask(pool, "first");
    submit(pool, "!sleep 100");
    pid_t child = fork();

    if (child == 0)
        use_in_child(pool);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    expect_answer(pool, 2, "slept");
    ck_assert_str_eq(ask(pool, "third"), "third");
    ck_assert_uint_eq(finish(pool).deaths, 0);
}
END_TEST

START_TEST(test_misuse_is_refused)
{
    dx_pool *pool = open_obedient(NULL);
    dx_pool_statistics now;
    dx_worker_statistics worker;
    dx_result result;
    int descriptor = 1;

    ck_assert_int_eq(dx_pool_submit(NULL, "x", 1, NULL, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_pool_submit_job(NULL, &(dx_job){0}, NULL, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_pool_next(NULL, &result, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_pool_cancel(NULL, 1), -EINVAL);
    ck_assert_int_eq(dx_pool_drain(NULL), -EINVAL);
    ck_assert_int_eq(dx_pool_fd(NULL), -EINVAL);
    ck_assert_int_eq(dx_pool_events(NULL), -EINVAL);
    ck_assert_int_eq(dx_pool_timeout_ms(NULL), -EINVAL);
    ck_assert_int_eq(dx_pool_process(NULL), -EINVAL);
    ck_assert_int_eq(dx_pool_statistics_get(NULL, &now), -EINVAL);
    ck_assert_int_eq(dx_pool_worker_get(NULL, 0, &worker), -EINVAL);
    ck_assert_ptr_nonnull(dx_pool_explain(NULL));
    ck_assert_ptr_null(dx_pool_close(NULL));
    ck_assert_int_eq(dx_work(NULL, NULL, NULL), -EINVAL);

    ck_assert_int_eq(dx_pool_submit(pool, NULL, 1, NULL, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_pool_submit_job(pool, NULL, NULL, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_pool_next(pool, NULL, DX_NOW), -EINVAL);
    ck_assert_int_eq(dx_pool_statistics_get(pool, NULL), -EINVAL);
    ck_assert_int_eq(dx_pool_worker_get(pool, 0, NULL), -EINVAL);
    ck_assert_int_eq(dx_pool_worker_get(pool, 1, &worker), -ENOENT);
    ck_assert_int_eq(dx_pool_cancel(pool, 0), -ENOENT);
    ck_assert_int_eq(dx_pool_cancel(pool, 1), -ENOENT);
    dx_job job = {.descriptors = NULL, .descriptor_count = 1};

    ck_assert_int_eq(dx_pool_submit_job(pool, &job, NULL, DX_NOW), -EINVAL);
    job = (dx_job){.descriptors = &descriptor, .descriptor_count = DX_DESCRIPTORS_MAX + 1};
    ck_assert_int_lt(dx_pool_submit_job(pool, &job, NULL, DX_NOW), 0);
    ck_assert_int_eq(descriptor, 1);
    expect_empty(pool);
    ck_assert_str_eq(ask(pool, "and goes on"), "and goes on");
    finish(pool);
}
END_TEST

HARNESS_MAIN("pool: basics", TEST(test_a_job_is_answered),
             TEST_WITHIN(test_many_jobs_have_one_result_each, 30),
             TEST_WITHIN(test_ordered_results_come_in_order, 30),
             TEST(test_a_quick_job_overtakes_a_slow_one_unless_in_order),
             TEST(test_a_worker_may_answer_in_any_order),
             TEST_WITHIN(test_jobs_and_answers_have_any_size, 30),
             TEST(test_what_is_larger_than_the_limit_is_refused),
             TEST(test_an_answer_may_be_the_next_job), TEST(test_a_worker_answers_with_an_error),
             TEST(test_the_times_are_told), TEST(test_next_waits_as_long_as_it_is_told),
             TEST(test_a_forked_child_has_no_pool), TEST(test_misuse_is_refused))
