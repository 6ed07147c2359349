/* SPDX-License-Identifier: MIT */
/*
 * What a job is given that its workers die of: so many tries, and then a failure of its own.
 */
#include "common.h"

#include "channel/lane.h"
#include "obey.h"
#include "os/os.h"

#include <poll.h>
#include <stdatomic.h>

enum { JOBS = 200 };

static const char *poison_of(uint64_t job)
{
    return job % 50 == 7 ? "!raise 11" : NULL;
}

struct tally {
    unsigned poisoned;
    uint64_t tries;
};

static void check_one(const dx_pool *pool, const dx_result *result, unsigned depth,
                      unsigned retries, struct tally *tally)
{
    tally->tries += result->tries;
    if (!poison_of(result->job)) {
        char text[32];

        assert_answered(pool, result);
        snprintf(text, sizeof(text), "good %d", (int)result->job);
        ck_assert(is_answer(result, text));
        /* Once by itself after it was with a poisoned one. */
        ck_assert_uint_le(result->tries, depth > 1 ? 2 : 1);
        return;
    }
    tally->poisoned++;
    ck_assert_int_eq(result->error, -EPIPE);
    ck_assert_int_eq(result->exit->kind, DX_EXIT_SIGNAL);
    ck_assert_int_eq(result->exit->signal, SIGSEGV);
    ck_assert_msg(strstr(result->text, "SIGSEGV"), "%s", result->text);
    ck_assert_uint_ge(result->tries, 1 + retries);
    ck_assert_uint_le(result->tries, 1 + retries + (depth > 1));
}

static void poison(unsigned depth, unsigned retries, bool ordered)
{
    dx_pool_options options = {
        .workers = 3, .depth = depth, .retries = retries, .ordered = ordered, .backoff_ms = 1};
    dx_pool *pool = open_obedient(&options);
    struct tally tally = {0};

    for (uint64_t job = 1; job <= JOBS; job++) {
        if (poison_of(job))
            submit(pool, poison_of(job));
        else
            submitf(pool, "good %d", (int)job);
    }
    for (uint64_t got = 1; got <= JOBS; got++) {
        dx_result result = next(pool);

        if (ordered)
            ck_assert_uint_eq(result.job, got);
        check_one(pool, &result, depth, retries, &tally);
    }
    ck_assert_uint_eq(tally.poisoned, 4);
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_eq(end.done, JOBS - 4);
    ck_assert_uint_eq(end.failed, 4);
    ck_assert_uint_eq(end.repeated, tally.tries - JOBS);
    ck_assert_uint_ge(end.deaths, 4 * (1 + retries));
    ck_assert_uint_le(end.deaths, 4 * (2 + retries));
}

START_TEST(test_a_poisoned_job_fails_by_itself)
{
    poison(1, 0, false);
    poison(1, 3, false);
    poison(1, 3, true);
}
END_TEST

START_TEST(test_a_poisoned_job_among_several_fails_by_itself)
{
    poison(16, 0, false);
    poison(16, 3, false);
    poison(16, 0, true);
    poison(DX_DEPTH_AUTO, 1, false);
}
END_TEST

START_TEST(test_the_second_try_may_succeed)
{
    char *flags = share(4);

    for (int hangs = 0; hangs < 2; hangs++) {
        dx_pool_options options = {
            .workers = 1, .retries = 1, .job_timeout_ms = hangs ? 100 : 0, .depth = 1};
        dx_pool *pool = open_obedient(&options);

        submitf(pool, "!%s %llx done", hangs ? "slow" : "once",
                (unsigned long long)(uintptr_t)&flags[hangs]);
        dx_result result = next(pool);

        assert_answered(pool, &result);
        ck_assert(is_answer(&result, "done"));
        ck_assert_uint_eq(result.tries, 2);
        ck_assert_ptr_null(result.exit);
        ck_assert_int_eq(result.pid, worker_of(pool, 0).pid);
        dx_pool_statistics end = finish(pool);

        ck_assert_uint_eq(end.repeated, 1);
        ck_assert_uint_eq(end.done, 1);
        ck_assert_uint_eq(end.deaths, 1);
        ck_assert_uint_eq(end.starts, 2);
    }
    give_back(flags, 4);
}
END_TEST

/* Also in the middle of a conversation, where there is more between the two than the job. */
static int count_or_die(dx_channel *parent, const dx_message *job, void *context)
{
    _Atomic int *count = context;

    if (job->size == 3) {
        ++*count;
        raise(SIGKILL);
    }
    return dx_reply(parent, job->id, job->data, job->size, DX_FOREVER);
}

static int work_or_die(dx_channel *parent, void *context)
{
    return dx_work(parent, count_or_die, context);
}

START_TEST(test_a_job_is_run_once_without_retries)
{
    _Atomic int *count = share(sizeof(*count));
    dx_pool_options options = {.workers = 1};
    dx_pool *pool = open_function(work_or_die, (void *)count, &options);

    for (unsigned i = 0; i < scaled(150, 50); i++) {
        for (unsigned good = 0; good < i; good++)
            ck_assert_str_eq(ask(pool, "good"), "good");
        *count = 0;
        submit(pool, "bad");
        dx_result result = expect_failure(pool, 0, -EPIPE);

        ck_assert_msg(*count == 1, "after %u good ones it was run %d times", i, (int)*count);
        ck_assert_uint_eq(result.tries, 1);
    }
    finish(pool);
    give_back((void *)count, sizeof(*count));
}
END_TEST

/* With depth 1, and by itself with more, a job is run no more than 1 + retries times. */
static int count_and_die(dx_channel *parent, void *context)
{
    _Atomic int *count = context;
    dx_message job;

    if (dx_recv(parent, &job, DX_FOREVER) != 1)
        return 0;
    ++*count;
    return 6;
}

START_TEST(test_a_job_is_run_so_often_and_no_more)
{
    _Atomic int *count = share(sizeof(*count));

    for (unsigned retries = 0; retries < 4; retries++) {
        dx_pool_options options = {.workers = 3, .retries = retries, .backoff_ms = 1};
        dx_pool *pool = open_function(count_and_die, (void *)count, &options);

        *count = 0;
        submit(pool, "x");
        dx_result result = expect_failure(pool, 1, -EPIPE);

        ck_assert_uint_eq(result.tries, 1 + retries);
        ck_assert_int_eq(result.exit->code, 6);
        ck_assert_int_eq(*count, (int)(1 + retries));
        finish(pool);
    }
    give_back((void *)count, sizeof(*count));
}
END_TEST

START_TEST(test_all_jobs_poisoned_is_all_jobs_failed)
{
    dx_pool_options options = {.workers = 2, .depth = 8, .backoff_ms = 1, .backoff_max_ms = 2};
    dx_pool *pool = open_obedient(&options);

    /* One answer, and then it may be the jobs: the pool bears more. */
    ask(pool, "good");
    for (int i = 0; i < 30; i++)
        submit(pool, "!exit 9");
    for (int i = 0; i < 30; i++)
        expect_failure(pool, 0, -EPIPE);
    ck_assert_str_eq(ask(pool, "goes on"), "goes on");
    finish(pool);
}
END_TEST

/*
 * Each of the first workers answers one job, waits for another and leaves without having read it. Those
 * after them are never ready.
 */
enum { LEAVERS = 68, SPARED = 64 };

struct leavers {
    _Atomic unsigned busy; /* have their first job */
    _Atomic bool all;      /* of them have had */
};

static int leave_unread(dx_channel *parent, void *context)
{
    struct leavers *leavers = context;
    struct pollfd next_job = {.fd = dx_channel_fd(parent), .events = POLLIN};
    dx_message job;

    alarm(60);
    if (leavers->all || dx_send(parent, "ready", 5, DX_FOREVER) < 0 ||
        dx_recv(parent, &job, DX_FOREVER) != 1)
        return dx_recv(parent, &job, DX_FOREVER);
    leavers->busy++;
    while (leavers->busy < LEAVERS)
        pause_ms(1);
    leavers->all = true;
    if (dx_reply(parent, job.id, "one", 3, DX_FOREVER) < 0)
        return 1;
    return poll(&next_job, 1, -1) == 1 ? 0 : 2;
}

/* Who says of itself that it had not read the job keeps it from its end so often, and no more. */
START_TEST(test_a_job_that_is_never_read_is_spared_so_often)
{
    struct leavers *leavers = share(sizeof(*leavers));
    dx_pool_options options = {
        .workers = LEAVERS,
        .workers_min = LEAVERS,
        .depth = 1,
        .ready = DX_READY_MESSAGE,
        .ready_timeout_ms = 60000,
        .restart_limit = 1000,
        .process.channel.socket_only = true,
    };
    dx_pool *pool = open_function(leave_unread, leavers, &options);

    look_until(pool, ready, LEAVERS);
    for (int i = 0; i < LEAVERS; i++)
        submit(pool, "first");
    for (int i = 0; i < LEAVERS; i++)
        expect_answer(pool, 0, "one");
    dx_result result = expect_failure(pool, submit(pool, "second"), -EPIPE);

    ck_assert_uint_eq(result.tries, SPARED + 1);
    ck_assert_int_eq(result.exit->kind, DX_EXIT_CODE);
    ck_assert_int_eq(result.exit->code, 0);
    ck_assert_uint_eq(finish(pool).deaths, SPARED + 1);
    give_back(leavers, sizeof(*leavers));
}
END_TEST

/* Shared with the worker. */
static struct {
    _Atomic int busy;     /* it has a job */
    _Atomic int offering; /* the parent has begun to offer the lane */
} * moment;

static int leave_at_the_offer(dx_channel *parent, const dx_message *job, void *context)
{
    (void)context;
    moment->busy = 1;
    for (unsigned i = 0; i < scaled(100, 1000) && moment->offering == 0; i++)
        obey_pause(1);
    if (moment->offering == 1)
        _exit(5);
    moment->busy = 0;
    return dx_reply(parent, job->id, job->data, job->size, PATIENCE_MS);
}

static int work_until_the_offer(dx_channel *parent, void *context)
{
    alarm(WORKER_LIFE_SECONDS);
    return dx_work(parent, leave_at_the_offer, context) < 0 ? 98 : 0;
}

/* The kernel takes a part of the offer while a job is done, and the rest when nobody is there any more. */
static ssize_t offer_in_part(int fd, const struct iovec *parts, size_t part_count,
                             const int *descriptors, size_t descriptor_count)
{
    struct pollfd gone = {.fd = fd};
    struct iovec part = {.iov_base = parts[0].iov_base, .iov_len = 10};

    if (descriptor_count == 0 || moment->offering > 0)
        return dxi_linux.send(fd, parts, part_count, descriptors, descriptor_count);
    for (int i = 0; i < 20 && moment->busy == 0; i++)
        obey_pause(1);
    if (moment->busy == 0)
        return -EAGAIN;
    ssize_t sent = dxi_linux.send(fd, &part, 1, descriptors, descriptor_count);

    moment->offering = 1;
    for (int i = 0; i < 100 && (gone.revents & POLLHUP) == 0; i++)
        poll(&gone, 1, 50);
    return sent;
}

/* A job had left, and was read, before the channel could not say something of its own. */
START_TEST(test_a_job_that_left_before_the_offer_of_a_lane_was_lost_is_tried_once)
{
    struct dxi_os table = dxi_linux;
    dx_pool_options options = {.workers = 1, .depth = 1};
    dx_result result = {0};

    moment = share(sizeof(*moment));
    dxi_lane_worth = 8;
    dx_pool *pool = open_function(work_until_the_offer, NULL, &options);

    ck_assert_str_eq(ask(pool, "first"), "first");
    table.send = offer_in_part;
    dxi_os = &table;
    for (int i = 0; i < 50 && result.error == 0; i++) {
        submit(pool, "next");
        result = next(pool);
    }
    dxi_os = &dxi_linux;
    ck_assert_int_eq(result.error, -EPIPE);
    ck_assert_int_eq(result.exit->code, 5);
    ck_assert_uint_eq(result.tries, 1);
    ck_assert_uint_eq(finish(pool).deaths, 1);
    give_back(moment, sizeof(*moment));
}
END_TEST

HARNESS_MAIN("pool: retries",
             TEST(test_a_job_that_left_before_the_offer_of_a_lane_was_lost_is_tried_once),
             TEST(test_a_poisoned_job_fails_by_itself),
             TEST(test_a_poisoned_job_among_several_fails_by_itself),
             TEST(test_the_second_try_may_succeed), TEST(test_a_job_is_run_once_without_retries),
             TEST(test_a_job_is_run_so_often_and_no_more),
             TEST(test_all_jobs_poisoned_is_all_jobs_failed),
             TEST_WITHIN(test_a_job_that_is_never_read_is_spared_so_often, 60))
