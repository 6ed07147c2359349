/* SPDX-License-Identifier: MIT */
/*
 * A random worker is killed every 10 ms, and every job has its one result, with the right answer.
 */
#include "common.h"

enum { WORKERS = 4, KILL_EVERY_MS = 10, NOISE_MAX = 48 };

/* Under valgrind a worker takes longer to start than it has to live. */
static uint64_t jobs(unsigned natively, unsigned instrumented)
{
    return harness_valgrind() ? instrumented / 10 : scaled(natively, instrumented);
}

struct question {
    uint64_t number;
    uint8_t noise[NOISE_MAX];
};

struct answer {
    uint64_t number;
    uint64_t sum;
};

struct storm {
    dx_pool *pool;
    uint64_t count, submitted, received;
    bool ordered;
    uint8_t *seen; /* a bit for each job */
    uint64_t tries, killed, last_kill_ms;
    uint64_t random;
};

static uint64_t scramble(uint64_t number)
{
    number = (number ^ number >> 31) * 0x9e3779b97f4a7c15u;
    return number ^ number >> 29;
}

static size_t noise_size(uint64_t number)
{
    return scramble(number) % NOISE_MAX;
}

static uint64_t sum_of(const uint8_t *bytes, size_t size)
{
    uint64_t sum = size;

    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

static size_t make_question(uint64_t number, struct question *ret)
{
    size_t size = noise_size(number);

    ret->number = number;
    memset(ret->noise, (int)(number * 13 + 5), size);
    return sizeof(number) + size;
}

static int answer_question(dx_channel *parent, const dx_message *job, void *context)
{
    struct question question;
    size_t size = job->size - sizeof(question.number);

    (void)context;
    if (size > NOISE_MAX)
        return -EINVAL;
    memcpy(&question, job->data, job->size);
    struct answer answer = {.number = question.number, .sum = sum_of(question.noise, size)};

    return dx_reply(parent, job->id, &answer, sizeof(answer), DX_FOREVER);
}

static int work(dx_channel *parent, void *context)
{
    return dx_work(parent, answer_question, context) < 0 ? 98 : 0;
}

static void kill_somebody(struct storm *storm)
{
    uint64_t now = now_ms();

    if (now < storm->last_kill_ms + KILL_EVERY_MS)
        return;
    storm->last_kill_ms = now;
    storm->random = scramble(storm->random + now);
    pid_t pid = worker_of(storm->pool, storm->random % WORKERS).pid;

    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    storm->killed++;
}

static void submit_some(struct storm *storm)
{
    while (storm->submitted < storm->count) {
        struct question question;
        size_t size = make_question(storm->submitted + 1, &question);
        uint64_t job;
        int error = dx_pool_submit(storm->pool, &question, size, &job, DX_NOW);

        if (error == -ETIMEDOUT || error == -EDEADLK)
            return;
        if (error < 0)
            ck_abort_msg("%d: %s", error, dx_pool_explain(storm->pool));
        storm->submitted++;
        if (job != storm->submitted)
            ck_abort_msg("job %llu has the number %llu", (unsigned long long)storm->submitted,
                         (unsigned long long)job);
        kill_somebody(storm);
    }
}

/* Assertions are noted one by one, which takes longer than a job: one for all that must hold. */
static void check_result(struct storm *storm, const dx_result *result)
{
    struct question question;
    struct answer answer;

    if (result->error != 0)
        ck_abort_msg("job %llu: %d after %u tries: %s", (unsigned long long)result->job,
                     result->error, result->tries, result->text);
    if (result->job < 1 || result->job > storm->submitted)
        ck_abort_msg("there is no job %llu", (unsigned long long)result->job);
    if (storm->seen[result->job / 8] & 1 << result->job % 8)
        ck_abort_msg("job %llu has two results", (unsigned long long)result->job);
    storm->seen[result->job / 8] |= (uint8_t)(1 << result->job % 8);
    if (storm->ordered && result->job != storm->received + 1)
        ck_abort_msg("job %llu comes after job %llu", (unsigned long long)result->job,
                     (unsigned long long)storm->received);
    size_t size = make_question(result->job, &question) - sizeof(question.number);

    if (result->message.size != sizeof(answer))
        ck_abort_msg("the answer has %zu bytes", result->message.size);
    memcpy(&answer, result->message.data, sizeof(answer));
    if (answer.number != result->job || answer.sum != sum_of(question.noise, size))
        ck_abort_msg("job %llu has the answer of job %llu", (unsigned long long)result->job,
                     (unsigned long long)answer.number);
}

static void check_end(const struct storm *storm)
{
    dx_pool_statistics end = statistics(storm->pool);

    ck_assert_uint_eq(end.submitted, storm->count);
    ck_assert_uint_eq(end.done, storm->count);
    ck_assert_uint_eq(end.failed, 0);
    ck_assert_uint_eq(end.recycled, 0);
    ck_assert_uint_eq(end.repeated, storm->tries - storm->count);
    ck_assert_uint_ge(storm->killed, 1);
    /* One may have been killed twice, or so late that the pool has not seen it yet. */
    ck_assert_uint_le(end.deaths, storm->killed);
    ck_assert_uint_ge(end.deaths, storm->killed / 2);
    ck_assert_uint_le(end.starts, end.deaths + WORKERS);
}

static void rage(dx_pool_options options, uint64_t count)
{
    options.workers = WORKERS;
    options.retries = 100;
    struct storm storm = {
        .pool = open_function(work, NULL, &options),
        .count = count,
        .ordered = options.ordered,
        .seen = calloc(count / 8 + 1, 1),
        .random = 20260101,
    };

    while (storm.received < count) {
        dx_result result;

        submit_some(&storm);
        int got = dx_pool_next(storm.pool, &result, PATIENCE_MS);

        if (got != 1)
            ck_abort_msg("%d after %llu results: %s", got, (unsigned long long)storm.received,
                         dx_pool_explain(storm.pool));
        check_result(&storm, &result);
        storm.tries += result.tries;
        storm.received++;
        kill_somebody(&storm);
    }
    check_end(&storm);
    free(storm.seen);
    finish(storm.pool);
}

/* DUPLEX_JOBS=20000000 is the long form. */
static uint64_t a_million(void)
{
    const char *value = getenv("DUPLEX_JOBS");

    return value ? strtoull(value, NULL, 10) : jobs(1000000, 20000);
}

START_TEST(test_a_million_jobs_outlive_their_workers)
{
    rage((dx_pool_options){.depth = 16, .ordered = true}, a_million());
}
END_TEST

START_TEST(test_one_job_at_a_time)
{
    for (int ordered = 0; ordered < 2; ordered++)
        rage((dx_pool_options){.depth = 1, .ordered = ordered}, jobs(40000, 2000));
}
END_TEST

START_TEST(test_several_jobs_at_a_time)
{
    for (int ordered = 0; ordered < 2; ordered++)
        rage((dx_pool_options){.depth = 3, .ordered = ordered}, jobs(40000, 2000));
    rage((dx_pool_options){.depth = 16}, jobs(60000, 2000));
}
END_TEST

START_TEST(test_as_many_jobs_as_the_pool_likes)
{
    for (int ordered = 0; ordered < 2; ordered++)
        rage((dx_pool_options){.depth = DX_DEPTH_AUTO, .ordered = ordered}, jobs(40000, 2000));
}
END_TEST

/* Workers that leave after 50 jobs, besides. */
static void rage_at_recycled(unsigned depth)
{
    dx_pool_options options = {
        .workers = WORKERS, .depth = depth, .retries = 100, .recycle_jobs = 50};
    uint64_t count = jobs(10000, 1000), got = 0, sent = 0, last = now_ms();
    dx_pool *pool = open_function(work, NULL, &options);
    unsigned place = 0;

    while (got < count) {
        struct question question;
        struct answer answer = {0};

        while (sent < count && dx_pool_submit(pool, &question, make_question(sent + 1, &question),
                                              NULL, DX_NOW) == 0)
            sent++;
        dx_result result = next(pool);

        if (result.error == 0)
            memcpy(&answer, result.message.data, sizeof(answer));
        if (answer.number != result.job)
            ck_abort_msg("job %llu: %d: %s", (unsigned long long)result.job, result.error,
                         result.text);
        got++;
        if (now_ms() < last + KILL_EVERY_MS)
            continue;
        last = now_ms();
        pid_t pid = worker_of(pool, place++ % WORKERS).pid;

        if (pid > 0)
            kill(pid, SIGKILL);
    }
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_eq(end.done, count);
    /* Where starting takes long, none lives long enough. */
    ck_assert_uint_ge(end.recycled, scaled(10, 0));
}

START_TEST(test_workers_that_leave_by_themselves_besides)
{
    rage_at_recycled(1);
    rage_at_recycled(8);
}
END_TEST

HARNESS_MAIN("pool: storm", TEST_WITHIN(test_a_million_jobs_outlive_their_workers, 60),
             TEST_WITHIN(test_one_job_at_a_time, 60), TEST_WITHIN(test_several_jobs_at_a_time, 60),
             TEST_WITHIN(test_as_many_jobs_as_the_pool_likes, 60),
             TEST_WITHIN(test_workers_that_leave_by_themselves_besides, 60))
