/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that go along with jobs and come with answers.
 */
#include "common.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

static const dx_pool_options four_each = {.workers = 1, .process.channel.descriptor_limit = 4};

/* A job with the writing end of a new pipe, whose reading end is *ret. */
static uint64_t submit_pipe(dx_pool *pool, const char *text, int *ret)
{
    uint64_t number = 0;
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    dx_job job = {
        .data = text, .size = strlen(text), .descriptors = &ends[1], .descriptor_count = 1};
    int error = dx_pool_submit_job(pool, &job, &number, PATIENCE_MS);

    ck_assert_msg(error == 0, "%d: %s", error, dx_pool_explain(pool));
    ck_assert_int_eq(ends[1], -1);
    *ret = ends[0];
    return number;
}

/* Everything that was written to the pipe, whose writing end nobody has any more. */
static const char *read_all(int fd)
{
    static char text[1024];
    size_t size = 0;

    for (;;) {
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};

        ck_assert_msg(poll(&pollfd, 1, PATIENCE_MS) == 1,
                      "somebody still holds the pipe after '%.*s'", (int)size, text);
        ssize_t got = read(fd, text + size, sizeof(text) - 1 - size);

        ck_assert_int_ge(got, 0);
        if (got == 0)
            break;
        size += (size_t)got;
    }
    text[size] = '\0';
    close(fd);
    return text;
}

START_TEST(test_a_descriptor_reaches_the_worker)
{
    size_t open = harness_open_descriptors();
    dx_pool *pool = open_obedient(&four_each);

    for (int round = 0; round < 20; round++) {
        int end;
        uint64_t job = submit_pipe(pool, "!write hello", &end);

        expect_answer(pool, job, "1");
        ck_assert_str_eq(read_all(end), "hello");
    }
    finish(pool);
    ck_assert_uint_eq(harness_open_descriptors(), open);
}
END_TEST

/* With depth 1 and no retries the pool keeps no copy: the end comes while the worker still works. */
static int write_and_close(dx_channel *parent, const dx_message *job, void *context)
{
    (void)context;
    if (job->descriptor_count == 1) {
        int fd = dx_message_take((dx_message *)job, 0);

        if (write(fd, "mine", 4) != 4)
            return -EIO;
        close(fd);
    }
    struct timespec pause = {.tv_nsec = 300000000};

    nanosleep(&pause, NULL);
    return dx_reply(parent, job->id, "done", 4, DX_FOREVER);
}

static int work_and_close(dx_channel *parent, void *context)
{
    return dx_work(parent, write_and_close, context);
}

START_TEST(test_the_worker_has_the_only_copies)
{
    dx_pool *pool = open_function(work_and_close, NULL, &four_each);
    int end;

    submit_pipe(pool, "x", &end);
    while (statistics(pool).running == 0)
        look_after(pool, 2);
    ck_assert_str_eq(read_all(end), "mine");
    ck_assert_uint_eq(statistics(pool).done, 0);
    expect_answer(pool, 1, "done");
    finish(pool);
}
END_TEST

/* It had not read the job, and so is not to blame; but nobody else can do that without the descriptor. */
START_TEST(test_a_job_that_lost_its_only_copies_tells_how_the_worker_ended)
{
    dx_pool *pool = open_obedient(&four_each);
    int end;

    ck_assert_str_eq(ask(pool, "x"), "x");
    pid_t worker = worker_of(pool, 0).pid;

    ck_assert_int_eq(kill(worker, SIGSTOP), 0);
    uint64_t job = submit_pipe(pool, "y", &end);

    look_until(pool, running, 1);
    ck_assert_int_eq(kill(worker, SIGKILL), 0);
    dx_result result = expect_failure(pool, job, -EPIPE);

    ck_assert_int_eq(result.pid, worker);
    ck_assert_ptr_nonnull(result.exit);
    ck_assert_str_eq(result.exit->text, "killed by SIGKILL");
    ck_assert_str_eq(read_all(end), "");
    finish(pool);
}
END_TEST

START_TEST(test_several_descriptors_go_in_their_order)
{
    dx_pool *pool = open_program(ARGV(WORKER), &four_each);
    int first[2], second[2];

    ck_assert_int_eq(pipe2(first, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(second, O_CLOEXEC), 0);
    int both[2] = {first[1], second[1]};
    dx_job job = {
        .data = "!write x", .size = 8, .descriptors = both, .descriptor_count = 2, .context = &job};

    ck_assert_int_eq(dx_pool_submit_job(pool, &job, NULL, DX_NOW), 0);
    ck_assert_int_eq(both[0], -1);
    ck_assert_int_eq(both[1], -1);
    expect_answer(pool, 1, "2");
    ck_assert_str_eq(read_all(first[0]), "x");
    ck_assert_str_eq(read_all(second[0]), "x");
    finish(pool);
}
END_TEST

START_TEST(test_a_job_that_is_tried_again_still_has_them)
{
    char *flags = share(64);
    unsigned used = 0;

    for (unsigned depth = 1; depth <= 8; depth += 7) {
        dx_pool_options options = four_each;

        options.retries = 2;
        options.depth = depth;
        options.workers = 2;
        dx_pool *pool = open_obedient(&options);
        int ends[6];

        /* A stranger to them is killed in their midst, when there are several with a worker. */
        for (int i = 0; i < 6; i++) {
            submitf(pool, "!once %llx x", (unsigned long long)(uintptr_t)&flags[used++]);
            submit_pipe(pool, "!write again", &ends[i]);
        }
        for (int i = 0; i < 12; i++) {
            dx_result result = next(pool);

            assert_answered(pool, &result);
            ck_assert(is_answer(&result, result.job % 2 ? "x" : "1"));
        }
        for (int i = 0; i < 6; i++)
            ck_assert_msg(strstr(read_all(ends[i]), "again"), "it was not written to");
        finish(pool);
    }
    give_back(flags, 64);
}
END_TEST

/* Write a byte each time, and die of it the first two times. */
static int write_and_die(dx_channel *parent, const dx_message *job, void *context)
{
    _Atomic int *count = context;

    if (job->descriptor_count != 1 || write(job->descriptors[0], "x", 1) != 1)
        return -EIO;
    if (++*count < 3)
        _exit(1);
    return dx_reply(parent, job->id, "at last", 7, DX_FOREVER);
}

static int work_and_die(dx_channel *parent, void *context)
{
    return dx_work(parent, write_and_die, context);
}

START_TEST(test_each_try_has_the_same_pipe)
{
    _Atomic int *count = share(sizeof(*count));
    dx_pool_options options = four_each;
    int end;

    options.retries = 2;
    dx_pool *pool = open_function(work_and_die, (void *)count, &options);

    submit_pipe(pool, "x", &end);
    expect_answer(pool, 1, "at last");
    ck_assert_str_eq(read_all(end), "xxx");
    finish(pool);
    give_back((void *)count, sizeof(*count));
}
END_TEST

/* However a job ends, its descriptors are closed: failed, cancelled, or the pool closed with it. */
START_TEST(test_nothing_is_left_of_jobs_that_were_not_done)
{
    for (unsigned retries = 0; retries < 2; retries++) {
        dx_pool_options options = four_each;

        options.retries = retries;
        dx_pool *pool = open_obedient(&options);
        int failed, cancelled, busy, queued;

        submit_pipe(pool, "!exit 3", &failed);
        expect_failure(pool, 1, -EPIPE);
        ck_assert_str_eq(read_all(failed), "");
        submit_pipe(pool, "!hang", &busy);
        look_until(pool, running, 1);
        ck_assert_int_eq(dx_pool_cancel(pool, submit_pipe(pool, "x", &cancelled)), 0);
        expect_failure(pool, 3, -ECANCELED);
        ck_assert_str_eq(read_all(cancelled), "");
        submit_pipe(pool, "x", &queued);
        dx_pool_close(pool);
        ck_assert_str_eq(read_all(busy), "");
        ck_assert_str_eq(read_all(queued), "");
    }
}
END_TEST

START_TEST(test_what_was_not_accepted_stays_the_callers)
{
    dx_pool_options options = four_each;

    options.queue_limit = 1;
    dx_pool *pool = open_obedient(&options);
    int ends[2];

    submit(pool, "!sleep 100");
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    int end = ends[1], bad = 9999;
    dx_job job = {.data = "x", .size = 1, .descriptors = &end, .descriptor_count = 1};

    ck_assert_int_eq(dx_pool_submit_job(pool, &job, NULL, DX_NOW), -ETIMEDOUT);
    ck_assert_int_eq(dx_pool_submit_job(pool, &job, NULL, PATIENCE_MS), -EDEADLK);
    ck_assert_int_eq(end, ends[1]);
    ck_assert_int_ge(fcntl(end, F_GETFD), 0);
    expect_answer(pool, 1, "slept");
    ck_assert_int_eq(dx_pool_drain(pool), 0);
    ck_assert_int_eq(dx_pool_submit_job(pool, &job, NULL, DX_NOW), -ESHUTDOWN);
    ck_assert_int_ge(fcntl(end, F_GETFD), 0);
    close(ends[0]);
    close(ends[1]);
    finish(pool);

    /* One that is not open is told at once, or by the result. */
    options.retries = 1;
    for (unsigned retries = 0; retries < 2; retries++) {
        options.retries = retries;
        pool = open_obedient(&options);
        bad = 9999;
        job = (dx_job){.data = "x", .size = 1, .descriptors = &bad, .descriptor_count = 1};
        int error = dx_pool_submit_job(pool, &job, NULL, DX_NOW);

        if (error == 0)
            error = next(pool).error;
        ck_assert_int_eq(error, -EBADF);
        ck_assert_str_eq(ask(pool, "goes on"), "goes on");
        ck_assert_uint_eq(finish(pool).deaths, 0);
    }
}
END_TEST

/* More than the worker accepts, or where there is no place for them at all. */
START_TEST(test_who_takes_no_descriptors_is_sent_none)
{
    for (int line = 0; line < 2; line++) {
        dx_pool_options options = {.workers = 1};

        if (line) {
            options.process.channel.framing = DX_FRAMING_LINE;
            options.process.handover = DX_HANDOVER_STDIO;
        }
        dx_pool *pool = line ? open_program(ARGV(FILTER), &options) : open_obedient(&options);
        int ends[2];

        look_until(pool, ready, 1);
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        dx_job job = {.data = "x", .size = 1, .descriptors = &ends[1], .descriptor_count = 1};
        int error = dx_pool_submit_job(pool, &job, NULL, DX_NOW);

        if (error == 0) {
            ck_assert_int_eq(ends[1], -1);
            error = next(pool).error;
        } else
            close(ends[1]);
        ck_assert_int_eq(error, line ? -EOPNOTSUPP : -EPERM);
        ck_assert_str_eq(read_all(ends[0]), "");
        ck_assert_str_eq(ask(pool, "goes on"), line ? "<goes on>" : "goes on");
        ck_assert_uint_eq(finish(pool).deaths, 0);
    }
}
END_TEST

START_TEST(test_an_answer_may_have_descriptors)
{
    for (int ordered = 0; ordered < 2; ordered++) {
        dx_pool_options options = four_each;

        options.ordered = ordered;
        options.depth = 4;
        options.workers = 2;
        dx_pool *pool = open_obedient(&options);

        for (int i = 0; i < 12; i++)
            submitf(pool, "!pipe number %d", i);
        look_until(pool, waiting, 12);
        for (int i = 0; i < 12; i++) {
            dx_result result = next(pool);
            char text[32];

            assert_answered(pool, &result);
            ck_assert_uint_eq(result.message.descriptor_count, 1);
            if (i % 3 == 0)
                continue; /* it is closed by the library */
            int fd = dx_message_take(&result.message, 0);

            ck_assert_int_ge(fd, 0);
            ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
            snprintf(text, sizeof(text), "number %d", (int)result.job - 1);
            ck_assert_str_eq(read_all(fd), text);
        }
        finish(pool);
        /* Nobody takes these. */
        pool = open_obedient(&options);
        for (int i = 0; i < 5; i++)
            submit(pool, "!pipe x");
        look_until(pool, waiting, 5);
        next(pool);
        dx_pool_close(pool);
    }
}
END_TEST

/* A connection is handed on, as a server does it. */
START_TEST(test_accepted_connections_are_handed_to_workers)
{
    dx_pool_options options = four_each;

    options.workers = 2;
    dx_pool *pool = open_obedient(&options);

    for (unsigned i = 0; i < scaled(300, 30); i++) {
        int ends[2];
        char text[8] = "";

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        dx_job job = {
            .data = "!write hello", .size = 12, .descriptors = &ends[1], .descriptor_count = 1};

        ck_assert_int_eq(dx_pool_submit_job(pool, &job, NULL, PATIENCE_MS), 0);
        expect_answer(pool, 0, "1");
        ck_assert_int_eq(read(ends[0], text, sizeof(text)), 5);
        ck_assert_str_eq(text, "hello");
        ck_assert_int_eq(read(ends[0], text, sizeof(text)), 0);
        close(ends[0]);
    }
    finish(pool);
}
END_TEST

/* What this process starts besides must not inherit what waits for a worker. */
START_TEST(test_what_waits_for_a_worker_is_close_on_exec)
{
    dx_pool *pool = open_obedient(&four_each);
    uint64_t number = 0;
    int ends[2];

    submit(pool, "!sleep 100");
    ck_assert_int_eq(pipe2(ends, 0), 0);
    int kept = ends[1];
    dx_job job = {.data = "x", .size = 1, .descriptors = &ends[1], .descriptor_count = 1};

    ck_assert_int_eq(dx_pool_submit_job(pool, &job, &number, PATIENCE_MS), 0);
    ck_assert_int_eq(fcntl(kept, F_GETFD), FD_CLOEXEC);
    expect_answer(pool, 0, "slept");
    expect_answer(pool, number, "x");
    close(ends[0]);
    finish(pool);
}
END_TEST

HARNESS_MAIN("pool: descriptors", TEST(test_a_descriptor_reaches_the_worker),
             TEST(test_the_worker_has_the_only_copies),
             TEST(test_a_job_that_lost_its_only_copies_tells_how_the_worker_ended),
             TEST(test_several_descriptors_go_in_their_order),
             TEST(test_a_job_that_is_tried_again_still_has_them),
             TEST(test_each_try_has_the_same_pipe),
             TEST(test_nothing_is_left_of_jobs_that_were_not_done),
             TEST(test_what_was_not_accepted_stays_the_callers),
             TEST(test_what_waits_for_a_worker_is_close_on_exec),
             TEST(test_who_takes_no_descriptors_is_sent_none),
             TEST(test_an_answer_may_have_descriptors),
             TEST(test_accepted_connections_are_handed_to_workers))
