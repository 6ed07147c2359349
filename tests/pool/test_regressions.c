/* SPDX-License-Identifier: MIT */
/*
 * What was wrong once: results that were not true, that never came, or that came too late.
 */
#include "common.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { ANSWER_SIZE = 900 };

static int reply_letter(dx_channel *parent, uint64_t id, char letter)
{
    char bytes[ANSWER_SIZE];

    memset(bytes, letter, sizeof(bytes));
    return dx_reply(parent, id, bytes, sizeof(bytes), DX_FOREVER);
}

/* Answers two jobs at once, each with its letter many times. */
static int answer_in_twos(dx_channel *parent, void *context)
{
    uint64_t ids[2];
    char letters[2];
    int count = 0;
    dx_message job;

    (void)context;
    while (dx_recv(parent, &job, DX_FOREVER) == 1) {
        ids[count] = job.id;
        letters[count] = *(const char *)job.data;
        if (++count < 2)
            continue;
        count = 0;
        pause_ms(100);
        dx_cork(parent);
        for (int i = 0; i < 2; i++)
            if (reply_letter(parent, ids[i], letters[i]) < 0)
                return 1;
        dx_flush(parent, DX_FOREVER);
    }
    return 0;
}

/* That answer of a worker lies in its channel, which is looked at again, and then freed. */
static void lend_behind_a_failure(bool kill_it)
{
    dx_channel_options of_the_child = {.message_limit = 1000};
    dx_pool_options options = {.workers = 1,
                               .depth = 2,
                               .process.child_channel = &of_the_child,
                               .process.channel.socket_only = true};
    dx_pool *pool = open_function(answer_in_twos, NULL, &options);
    char bytes[5000] = {0};
    dx_result result;

    look_until(pool, ready, 1);
    uint64_t first = submit(pool, "a");
    uint64_t second = submit(pool, "b");
    uint64_t large = submit_bytes(pool, bytes, sizeof(bytes));

    for (int i = 0; i < 4 && !kill_it; i++)
        submit(pool, "c");
    ck_assert_int_eq(dx_pool_next(pool, &result, 10), -ETIMEDOUT);
    ck_assert_int_eq(dx_pool_cancel(pool, first), 0);
    expect_failure(pool, first, -ECANCELED);
    expect_failure(pool, large, -EMSGSIZE);
    if (kill_it)
        kill(worker_of(pool, 0).pid, SIGKILL);
    look_after(pool, 300);
    result = next(pool);
    assert_answered(pool, &result);
    ck_assert_uint_eq(result.job, second);
    ck_assert_uint_eq(result.message.size, ANSWER_SIZE);
    for (size_t i = 0; i < ANSWER_SIZE; i++)
        ck_assert_int_eq(((const char *)result.message.data)[i], 'b');
    for (int i = 0; i < 4 && !kill_it; i++)
        ck_assert_int_eq(*(const char *)next(pool).message.data, 'c');
    finish(pool);
}

START_TEST(test_an_answer_behind_a_failure_keeps_its_bytes)
{
    /* Memory that was freed does not look as it did. */
    mallopt(M_PERTURB, 85);
    lend_behind_a_failure(true);
    lend_behind_a_failure(false);
}
END_TEST

/* Answers one job, and reads no other, and stays. */
static int stop_reading(dx_channel *parent, void *context)
{
    dx_message job;

    (void)context;
    alarm(60);
    if (dx_recv(parent, &job, DX_FOREVER) != 1)
        return 0;
    shutdown(dx_channel_fd(parent), SHUT_RD);
    if (dx_reply(parent, job.id, "only", 4, DX_FOREVER) < 0)
        return 1;
    for (;;)
        pause();
}

START_TEST(test_a_worker_that_stops_reading_keeps_no_job_for_ever)
{
    for (int socket_only = 0; socket_only < 2; socket_only++) {
        dx_pool_options options = {
            .workers = 1, .process.stop_end_ms = 50, .process.channel.socket_only = socket_only};
        dx_pool *pool = open_function(stop_reading, NULL, &options);

        ck_assert_str_eq(ask(pool, "x"), "only");
        expect_failure(pool, submit(pool, "y"), -EPIPE);
        ck_assert_str_eq(ask(pool, "x"), "only");
        finish(pool);
    }
}
END_TEST

START_TEST(test_a_program_that_closes_its_input_keeps_no_job_for_ever)
{
    dx_pool_options options = {.workers = 1,
                               .ready = DX_READY_MESSAGE,
                               .process.stop_end_ms = 50,
                               .process.channel.framing = DX_FRAMING_LINE,
                               .process.handover = DX_HANDOVER_PIPES};
    dx_pool *pool = open_program(ARGV("sh", "-c", "exec <&-; echo ready; exec sleep 60"), &options);

    for (int i = 0; i < 3; i++)
        expect_failure(pool, submit(pool, "x"), -EPIPE);
    ck_assert_uint_eq(finish(pool).failed, 3);
}
END_TEST

/* Nobody takes the results for longer than a job may take; then it has its whole time again. */
START_TEST(test_a_worker_whose_answer_nobody_takes_is_not_late)
{
    int limit_ms = is_slow() ? 2000 : 300;
    dx_pool_options options = {.workers = 2, .queue_bytes = MIB, .job_timeout_ms = limit_ms};
    dx_pool *pool = open_obedient(&options);

    look_until(pool, ready, 2);
    submit(pool, "!size 2000000");
    submit(pool, "!size 3000000");
    look_after(pool, 3 * limit_ms);
    for (int i = 0; i < 2; i++) {
        dx_result result = next(pool);

        assert_answered(pool, &result);
        ck_assert_uint_eq(result.tries, 1);
    }
    ck_assert_uint_eq(finish(pool).deaths, 0);
}
END_TEST

START_TEST(test_a_cancelled_job_that_goes_on_keeps_no_worker_from_being_started)
{
    dx_pool_options options = {.workers = 2, .workers_min = 1, .cancel_grace_ms = -1};
    dx_pool *pool = open_obedient(&options);

    ck_assert_str_eq(ask(pool, "x"), "x");
    uint64_t job = submit(pool, "!hang");

    look_until(pool, running, 1);
    ck_assert_int_eq(dx_pool_cancel(pool, job), 0);
    expect_failure(pool, job, -ECANCELED);
    ck_assert_str_eq(ask(pool, "y"), "y");
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_eq(end.starts, 2);
    ck_assert_uint_eq(end.deaths, 0);
}
END_TEST

/* It waited until all that was accepted had ended, and failed then. */
START_TEST(test_submitting_to_a_full_queue_waits_for_one_job)
{
    dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 2, .queue_limit = 4});

    submit(pool, "!sleep 50");
    for (int i = 0; i < 3; i++)
        submit(pool, "!sleep 300");
    ck_assert_int_eq(dx_pool_submit(pool, "x", 1, NULL, DX_FOREVER), 0);
    if (!is_slow())
        ck_assert_uint_ge(statistics(pool).running, 1);
    for (int i = 0; i < 5; i++)
        next(pool);
    finish(pool);
}
END_TEST

/* The place of the worker that has so many jobs, of two workers. */
static unsigned place_with(const dx_pool *pool, unsigned running)
{
    for (unsigned place = 0; place < 2; place++)
        if (worker_of(pool, place).running == running)
            return place;
    ck_abort_msg("no worker has %u jobs", running);
    return 0;
}

START_TEST(test_suspects_do_not_wait_for_a_busy_worker)
{
    dx_pool_options options = {.workers = 2, .depth = 2, .retries = 1};
    volatile char *flags = share(4096);
    dx_pool *pool = open_obedient(&options);

    look_until(pool, ready, 2);
    for (int i = 0; i < 2; i++)
        submitf(pool, "!slow %p again", (void *)(uintptr_t)&flags[i]);
    submit(pool, "x");
    for (uint64_t end = now_ms() + (uint64_t)PATIENCE_MS; !flags[0] || !flags[1];) {
        ck_assert_uint_lt(now_ms(), end);
        look_after(pool, 2);
    }
    unsigned busy = place_with(pool, 1);

    kill(worker_of(pool, place_with(pool, 2)).pid, SIGKILL);
    /* The other one hangs. */
    expect_answer(pool, 0, "again");
    expect_answer(pool, 0, "x");
    kill(worker_of(pool, busy).pid, SIGKILL);
    expect_answer(pool, 0, "again");
    ck_assert_uint_eq(finish(pool).deaths, 2);
    give_back((void *)flags, 4096);
}
END_TEST

START_TEST(test_submitting_without_waiting_goes_on_with_what_there_is)
{
    dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 1, .queue_limit = 2});

    submit(pool, "x");
    submit(pool, "x");
    for (uint64_t end = now_ms() + (uint64_t)PATIENCE_MS; statistics(pool).done == 0;) {
        ck_assert_uint_lt(now_ms(), end);
        dx_pool_submit(pool, "x", 1, NULL, DX_NOW);
        pause_ms(2);
    }
    while (statistics(pool).done < statistics(pool).submitted || statistics(pool).waiting > 0)
        expect_answer(pool, 0, "x");
    finish(pool);
}
END_TEST

START_TEST(test_cancelling_a_job_gives_the_one_before_it_no_more_time)
{
    dx_pool_options options = {
        .workers = 1, .depth = 64, .job_timeout_ms = 300, .cancel_grace_ms = -1};
    dx_pool *pool = open_obedient(&options);
    dx_result result = {0};
    unsigned cancelled = 0;

    ck_assert_str_eq(ask(pool, "x"), "x");
    uint64_t late = submit(pool, "!hang");

    while (result.job != late) {
        uint64_t job = submit(pool, "x");

        ck_assert_int_eq(dx_pool_cancel(pool, job), 0);
        ck_assert_uint_lt(++cancelled, 60);
        look_after(pool, 20);
        while (result.job != late && dx_pool_next(pool, &result, DX_NOW) == 1)
            ck_assert_int_eq(result.error, result.job == late ? -ETIMEDOUT : -ECANCELED);
    }
    finish(pool);
}
END_TEST

/* There is no descriptor for another worker for a while. */
START_TEST(test_a_shortage_ends_no_pool_that_has_a_worker)
{
    dx_pool_options options = {.workers = 2, .restart_limit = 3, .backoff_max_ms = 20};
    struct rlimit whole, few;

    if (harness_valgrind())
        HARNESS_SKIP("valgrind keeps RLIMIT_NOFILE to itself");
    dx_pool *pool = open_obedient(&options);

    look_until(pool, ready, 2);
    getrlimit(RLIMIT_NOFILE, &whole);
    few = (struct rlimit){.rlim_cur = 3, .rlim_max = whole.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    kill(worker_of(pool, 1).pid, SIGKILL);
    look_until(pool, workers, 1);
    look_after(pool, 500);
    ck_assert_uint_eq(statistics(pool).ready, 1);
    ck_assert_str_eq(ask(pool, "x"), "x");
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &whole), 0);
    look_until(pool, ready, 2);
    ck_assert_uint_eq(finish(pool).starts, 3);
}
END_TEST

/* Answers a job, and leaves a moment later without a look at the next one. */
static int answer_and_leave(dx_channel *parent, void *context)
{
    dx_message job;

    (void)context;
    while (dx_recv(parent, &job, DX_FOREVER) == 1) {
        bool leaves = *(const char *)job.data == '!';

        if (dx_reply(parent, job.id, "y", 1, DX_FOREVER) < 0)
            return 1;
        if (leaves) {
            pause_ms(is_slow() ? 2000 : 300);
            _exit(0);
        }
    }
    return 0;
}

/*
 * Half of it had left, which no kernel tells of datagrams: the worker that saw none of it was its try. It
 * is submitted when that has said its last, because a reply by datagrams takes in what has come.
 */
START_TEST(test_a_job_that_was_half_sent_to_a_worker_that_left_was_not_tried)
{
    dx_pool_options options = {.workers = 1, .depth = 2, .process.channel.type = DX_DGRAM};
    dx_pool *pool = open_function(answer_and_leave, NULL, &options);
    char *bytes = calloc(1, MIB);

    submit(pool, "first");
    submit(pool, "!");
    expect_answer(pool, 0, "y");
    expect_answer(pool, 0, "y");
    submit_bytes(pool, bytes, MIB);
    free(bytes);
    dx_result result = next(pool);

    ck_assert_msg(result.error == 0, "%s", result.text);
    ck_assert_uint_eq(result.tries, 2);
    finish(pool);
}
END_TEST

/* The cancelled job is still with a worker that is to leave, and was taken for work of a new one. */
START_TEST(test_a_drain_starts_no_worker_that_would_have_nothing_to_do)
{
    dx_pool_options options = {.workers = 3, .process.stop_end_ms = (int)scaled(700, 5000)};
    dx_pool *pool = open_obedient(&options);

    look_until(pool, ready, 3);
    submit(pool, "!deaf");
    submit(pool, is_slow() ? "!sleep 5000" : "!sleep 700");
    look_until(pool, running, 2);
    ck_assert_int_eq(dx_pool_cancel(pool, 1), 0);
    expect_failure(pool, 1, -ECANCELED);
    ck_assert_int_eq(dx_pool_drain(pool), 0);
    expect_answer(pool, 2, "slept");
    look_until(pool, workers, 0);
    ck_assert_uint_eq(finish(pool).starts, 3);
}
END_TEST

HARNESS_MAIN("pool: regressions", TEST(test_an_answer_behind_a_failure_keeps_its_bytes),
             TEST(test_a_worker_that_stops_reading_keeps_no_job_for_ever),
             TEST(test_a_program_that_closes_its_input_keeps_no_job_for_ever),
             TEST(test_a_worker_whose_answer_nobody_takes_is_not_late),
             TEST(test_a_cancelled_job_that_goes_on_keeps_no_worker_from_being_started),
             TEST(test_submitting_to_a_full_queue_waits_for_one_job),
             TEST(test_suspects_do_not_wait_for_a_busy_worker),
             TEST(test_submitting_without_waiting_goes_on_with_what_there_is),
             TEST(test_cancelling_a_job_gives_the_one_before_it_no_more_time),
             TEST(test_a_shortage_ends_no_pool_that_has_a_worker),
             TEST(test_a_job_that_was_half_sent_to_a_worker_that_left_was_not_tried),
             TEST(test_a_drain_starts_no_worker_that_would_have_nothing_to_do))
