/* SPDX-License-Identifier: MIT */
/*
 * What was wrong once: a pool that could only wait, and took a whole processor for it; and one that
 * had nothing to do, and started workers again and again.
 */
#include "common.h"

#include "channel/internal.h"
#include "os/os.h"

#include <sched.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

/* The next result, which comes late, and is slept for. */
static dx_result next_asleep(dx_pool *pool)
{
    uint64_t begun = now_ms(), used = processor_ms();
    dx_result result = next(pool);

    used = processor_ms() - used;
    begun = now_ms() - begun;
    if (!is_slow()) {
        ck_assert_msg(begun >= 300, "it came after %u ms already", (unsigned)begun);
        ck_assert_msg(used < begun / 4, "%u ms of processor time in %u ms", (unsigned)used,
                      (unsigned)begun);
    }
    return result;
}

/* Have a worker traced for so long by a process, which is not waited for. Its pid; 0: it may not. */
static pid_t trace(pid_t worker, long options, int ms)
{
    int ends[2];
    char word;

    ck_assert_int_eq(pipe(ends), 0);
    pid_t tracer = fork();

    if (tracer == 0) {
        if (ptrace(PTRACE_SEIZE, worker, NULL, options) < 0 || write(ends[1], "y", 1) != 1)
            _exit(1);
        close(ends[0]);
        close(ends[1]);
        pause_ms(ms);
        _exit(0);
    }
    close(ends[1]);
    bool traced = read(ends[0], &word, 1) == 1;

    close(ends[0]);
    if (traced)
        return tracer;
    ck_assert_int_eq(waitpid(tracer, NULL, 0), tracer);
    return 0;
}

/* Its pidfd says that it has ended, and waitid(2) does not before the tracer lets go. */
START_TEST(test_a_dead_worker_that_is_traced_takes_no_processor_time)
{
    dx_pool *pool = open_obedient(NULL);

    look_until(pool, ready, 1);
    uint64_t job = submit(pool, "!hang");

    look_until(pool, running, 1);
    pid_t worker = worker_of(pool, 0).pid;
    pid_t tracer = trace(worker, 0, 700);

    kill(worker, SIGKILL);
    dx_result result = tracer > 0 ? next_asleep(pool) : next(pool);

    ck_assert_uint_eq(result.job, job);
    ck_assert_int_eq(result.error, -EPIPE);
    finish(pool);
    if (tracer == 0)
        HARNESS_SKIP("tracing is not permitted here");
    ck_assert_int_eq(waitpid(tracer, NULL, 0), tracer);
}
END_TEST

/* Says more than it was asked, as often as it can. */
static int babble(dx_channel *parent, void *context)
{
    dx_message job;

    (void)context;
    alarm(60);
    if (dx_recv(parent, &job, DX_FOREVER) != 1)
        return 0;
    while (dx_send(parent, "unasked", 7, DX_FOREVER) == 0)
        continue;
    return 1;
}

START_TEST(test_a_faulty_worker_that_takes_long_to_die_takes_no_processor_time)
{
    dx_pool_options options = {.workers = 1, .process.channel.socket_only = true};
    dx_pool *pool = open_function(babble, NULL, &options);

    look_until(pool, ready, 1);
    pid_t tracer = trace(worker_of(pool, 0).pid, PTRACE_O_TRACEEXIT, 700);
    uint64_t job = submit(pool, "x");
    dx_result result = tracer > 0 ? next_asleep(pool) : next(pool);

    ck_assert_uint_eq(result.job, job);
    ck_assert_int_eq(result.error, -EPROTO);
    finish(pool);
    if (tracer == 0)
        HARNESS_SKIP("tracing is not permitted here");
    ck_assert_int_eq(waitpid(tracer, NULL, 0), tracer);
}
END_TEST

/* The first result is late, the second fills what there is room for, the third job is half sent. */
START_TEST(test_a_muted_worker_that_is_sent_a_job_takes_no_processor_time)
{
    size_t size = 3 * MIB;
    char *bytes = calloc(1, size);

    for (int socket_only = 0; socket_only < 2; socket_only++) {
        dx_pool_options options = {.workers = 2,
                                   .ordered = true,
                                   .queue_bytes = 4 * MIB,
                                   .process.channel.socket_only = socket_only};
        dx_pool *pool = open_obedient(&options);

        look_until(pool, ready, 2);
        submit(pool, "!sleep 1000");
        submit(pool, "!size 4194304");
        uint64_t large = submit_bytes(pool, bytes, size);
        dx_result result = next_asleep(pool);

        ck_assert(is_answer(&result, "slept"));
        ck_assert_uint_eq(next(pool).message.size, 4 * MIB);
        result = next(pool);
        ck_assert_uint_eq(result.job, large);
        ck_assert_uint_eq(result.message.size, size);
        finish(pool);
    }
    free(bytes);
}
END_TEST

/* Each worker is larger than that. */
static const dx_pool_options small = {.workers = 1, .depth = 2, .recycle_bytes = 1};

START_TEST(test_a_large_worker_that_still_works_takes_no_processor_time)
{
    dx_pool *pool = open_obedient(&small);

    look_until(pool, ready, 1);
    submit(pool, "x");
    submit(pool, "!sleep 700");
    expect_answer(pool, 0, "x");
    dx_result result = next_asleep(pool);

    ck_assert(is_answer(&result, "slept"));
    look_until(pool, recycled, 1);
    finish(pool);
}
END_TEST

START_TEST(test_a_large_worker_that_has_done_nothing_stays)
{
    dx_pool *pool = open_obedient(&small);

    look_until(pool, ready, 1);
    look_after(pool, 500);
    ck_assert_uint_eq(statistics(pool).starts, 1);
    ck_assert_str_eq(ask(pool, "x"), "x");
    finish(pool);
}
END_TEST

static unsigned looks; /* at the events of the workers, without a wait */

static int count_looks(int watch_fd, struct dxi_event *ret, size_t count, uint64_t deadline_ns)
{
    looks += deadline_ns == 0;
    return dxi_linux.watched(watch_fd, ret, count, deadline_ns);
}

/* Looks that a pool takes for a job of 20 ms, when it had none for long. */
static unsigned looks_for_one_job(int spin_us)
{
    dx_pool_options options = {
        .workers = 1, .process.channel.socket_only = true, .process.channel.spin_us = spin_us};
    struct dxi_os table = dxi_linux;
    dx_pool *pool = open_obedient(&options);

    look_until(pool, ready, 1);
    table.watched = count_looks;
    dxi_os = &table;
    looks = 0;
    submit(pool, "!sleep 20");
    expect_answer(pool, 0, "slept");
    dxi_os = &dxi_linux;
    finish(pool);
    return looks;
}

/* spin_us of the workers' channels is the pool's, too. */
START_TEST(test_a_pool_that_shall_not_look_sleeps_at_once)
{
    unsigned most = looks_for_one_job(-1);

    ck_assert_uint_lt(most, 10);
    if (dxi_os->several_processors() && !is_slow())
        ck_assert_uint_gt(looks_for_one_job(1000), 2 * most + 20);
}
END_TEST

static uint64_t refused_until_ms;

static ssize_t refuse(int fd, const struct iovec *parts, size_t part_count, const int *descriptors,
                      size_t descriptor_count)
{
    if (now_ms() < refused_until_ms)
        return -ENOBUFS;
    return dxi_linux.send(fd, parts, part_count, descriptors, descriptor_count);
}

/* The kernel has no memory for a job, or in the fast lane for the wake-up that it needs. */
START_TEST(test_a_job_that_the_kernel_refuses_for_a_while_takes_no_processor_time)
{
    for (int socket_only = 0; socket_only < 2; socket_only++) {
        dx_pool_options options = {.workers = 1, .process.channel.socket_only = socket_only};
        struct dxi_os table = dxi_linux;
        dx_pool *pool = open_obedient(&options);

        look_until(pool, ready, 1);
        for (int i = 0; i < 100; i++)
            ck_assert_str_eq(ask(pool, "x"), "x");
        /* Until the worker sleeps. */
        look_after(pool, 50);
        table.send = refuse;
        dxi_os = &table;
        refused_until_ms = now_ms() + 400;
        submit(pool, "y");
        dx_result result = next_asleep(pool);

        ck_assert(is_answer(&result, "y"));
        dxi_os = &dxi_linux;
        finish(pool);
    }
}
END_TEST

/* A look that has time: what is about to come is found by it, and not by the sleep after it. */
static int look_patiently(int watch_fd, struct dxi_event *ret, size_t count, uint64_t deadline_ns)
{
    if (deadline_ns == 0)
        deadline_ns = dxi_linux.now_ns() + (uint64_t)50 * 1000 * 1000;
    return dxi_linux.watched(watch_fd, ret, count, deadline_ns);
}

/* It ends the conversation in the middle of a job, and lives on until it is told to end. */
START_TEST(test_a_worker_that_has_let_go_takes_no_processor_time)
{
    dx_pool_options options = {
        .workers = 2, .process.channel.socket_only = true, .process.stop_end_ms = 2000};
    struct dxi_os table = dxi_linux;
    dx_pool *pool = open_obedient(&options);

    look_until(pool, ready, 2);
    table.watched = look_patiently;
    dxi_os = &table;
    /* Until it pays to look. */
    for (int i = 0; i < 20; i++)
        ck_assert_str_eq(ask(pool, "x"), "x");
    submit(pool, "!sleep 1000");
    submit(pool, "!deaf");
    dx_result result = next_asleep(pool);

    dxi_os = &dxi_linux;
    ck_assert(is_answer(&result, "slept"));
    ck_assert_int_eq(next(pool).error, -EPIPE);
    finish(pool);
}
END_TEST

/* So that a worker is not beside its pool: then it would not be looked for. */
static bool stay_on_processor(unsigned number)
{
    cpu_set_t allowed, one;

    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
        return false;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && number-- == 0)
            CPU_SET(cpu, &one);
    return CPU_COUNT(&one) == 0 || sched_setaffinity(0, sizeof(one), &one) == 0;
}

static dx_channel *halting;
static uint64_t halting_at; /* of what it published in the ring */

/* Asked while it waits for room, awake. By then the ring is full of half an answer. */
static uint64_t pause_once(void)
{
    if (halting != NULL && halting->lane.out.published > halting_at) {
        halting = NULL;
        pause_ms(700);
    }
    return dxi_linux.now_ns();
}

static int answer_in_two_parts(dx_channel *parent, const dx_message *job, void *context)
{
    static struct dxi_os table;
    static char bytes[4 * MIB];

    (void)context;
    if (job->size == 1)
        return dx_reply(parent, job->id, job->data, job->size, DX_FOREVER);
    table = dxi_linux;
    table.now_ns = pause_once;
    dxi_os = &table;
    halting = parent;
    halting_at = parent->lane.out.published;
    return dx_reply(parent, job->id, bytes, sizeof(bytes), DX_FOREVER);
}

static int work_in_two_parts(dx_channel *parent, void *context)
{
    if (!stay_on_processor(1))
        return 1;
    return dx_work(parent, answer_in_two_parts, context);
}

START_TEST(test_half_an_answer_takes_no_processor_time)
{
    dx_pool *pool = open_function(work_in_two_parts, NULL, &(dx_pool_options){.workers = 1});

    look_until(pool, ready, 1);
    ck_assert(stay_on_processor(0));
    for (int i = 0; i < 100; i++)
        ck_assert_str_eq(ask(pool, "x"), "x");
    submit(pool, "much");
    ck_assert_uint_eq(next_asleep(pool).message.size, 4 * MIB);
    finish(pool);
}
END_TEST

HARNESS_MAIN("pool: spinning", TEST(test_a_worker_that_has_let_go_takes_no_processor_time),
             TEST(test_half_an_answer_takes_no_processor_time),
             TEST(test_a_job_that_the_kernel_refuses_for_a_while_takes_no_processor_time),
             TEST(test_a_pool_that_shall_not_look_sleeps_at_once),
             TEST(test_a_dead_worker_that_is_traced_takes_no_processor_time),
             TEST(test_a_faulty_worker_that_takes_long_to_die_takes_no_processor_time),
             TEST(test_a_muted_worker_that_is_sent_a_job_takes_no_processor_time),
             TEST(test_a_large_worker_that_still_works_takes_no_processor_time),
             TEST(test_a_large_worker_that_has_done_nothing_stays))
