/* SPDX-License-Identifier: MIT */
#include "common.h"

#include "obey.h"

#include <poll.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

unsigned scaled(unsigned natively, unsigned instrumented)
{
    return is_slow() ? instrumented : natively;
}

bool is_slow(void)
{
    return HARNESS_SANITIZED || harness_valgrind();
}

int obey(dx_channel *parent, void *context)
{
    alarm(WORKER_LIFE_SECONDS);
    return dx_work(parent, obey_job, context) < 0 ? 98 : 0;
}

static const dx_pool_options one_worker = {.workers = 1};

/* Who leaves when asked to does so long before; who does not is seen by the time that it takes. */
static void take_time(dx_pool_options *options)
{
    if (options->process.stop_end_ms == 0)
        options->process.stop_end_ms = 2 * CLOSE_MS;
}

dx_pool *open_function(int (*worker)(dx_channel *parent, void *context), void *context,
                       const dx_pool_options *options)
{
    dx_failure failure = {0};
    dx_pool_options own = options ? *options : one_worker;
    dx_pool *pool = NULL;

    own.failure = &failure;
    take_time(&own);
    int error = dx_pool_open_function(&pool, worker, context, &own);

    ck_assert_msg(error == 0, "no pool: %d: %s", error, failure.text);
    ck_assert_ptr_nonnull(pool);
    return pool;
}

dx_pool *open_obedient(const dx_pool_options *options)
{
    return open_function(obey, NULL, options);
}

dx_pool *open_program(char *const argv[], const dx_pool_options *options)
{
    dx_failure failure = {0};
    dx_pool_options own = options ? *options : one_worker;
    dx_pool *pool = NULL;

    own.failure = &failure;
    take_time(&own);
    int error = dx_pool_open(&pool, argv, &own);

    ck_assert_msg(error == 0, "no pool of %s: %d: %s", argv[0], error, failure.text);
    ck_assert_ptr_nonnull(pool);
    return pool;
}

uint64_t submit_bytes(dx_pool *pool, const void *data, size_t size)
{
    uint64_t job = 0;
    int error = dx_pool_submit(pool, data, size, &job, PATIENCE_MS);

    ck_assert_msg(error == 0, "a job of %zu bytes was not accepted: %d: %s", size, error,
                  dx_pool_explain(pool));
    ck_assert_uint_gt(job, 0);
    return job;
}

uint64_t submit(dx_pool *pool, const char *text)
{
    return submit_bytes(pool, text, strlen(text));
}

uint64_t submitf(dx_pool *pool, const char *format, ...)
{
    char text[1024];
    va_list words;

    va_start(words, format);
    vsnprintf(text, sizeof(text), format, words);
    va_end(words);
    return submit(pool, text);
}

dx_result next(dx_pool *pool)
{
    dx_result result = {0};
    int got = dx_pool_next(pool, &result, PATIENCE_MS);

    ck_assert_msg(got == 1, "no result: %d: %s", got, dx_pool_explain(pool));
    ck_assert_ptr_nonnull(result.text);
    ck_assert_msg((result.error == 0) == (result.text[0] == '\0'),
                  "job %llu: its error is %d and its text '%s'", (unsigned long long)result.job,
                  result.error, result.text);
    ck_assert_msg((result.error == -EPIPE) == (result.exit != NULL),
                  "job %llu: its error is %d and its exit %p", (unsigned long long)result.job,
                  result.error, (const void *)result.exit);
    return result;
}

void assert_answered(const dx_pool *pool, const dx_result *result)
{
    ck_assert_msg(result->error == 0, "job %llu failed: %d: %s; the pool says '%s'",
                  (unsigned long long)result->job, result->error, result->text,
                  dx_pool_explain(pool));
    ck_assert_int_eq(result->message.kind, DX_REPLY);
    ck_assert_ptr_nonnull(result->message.data);
    ck_assert_uint_ge(result->tries, 1);
}

bool is_answer(const dx_result *result, const char *text)
{
    return result->message.size == strlen(text) &&
           memcmp(result->message.data, text, result->message.size) == 0;
}

void expect_answer(dx_pool *pool, uint64_t job, const char *text)
{
    dx_result result = next(pool);

    assert_answered(pool, &result);
    if (job > 0)
        ck_assert_uint_eq(result.job, job);
    ck_assert_msg(is_answer(&result, text), "job %llu: '%.*s' instead of '%s'",
                  (unsigned long long)result.job, (int)result.message.size,
                  (const char *)result.message.data, text);
}

static const char *text_of(dx_pool *pool, uint64_t job)
{
    static char text[8192];
    dx_result result = next(pool);

    assert_answered(pool, &result);
    if (job > 0)
        ck_assert_uint_eq(result.job, job);
    ck_assert_uint_lt(result.message.size, sizeof(text));
    memcpy(text, result.message.data, result.message.size);
    text[result.message.size] = '\0';
    return text;
}

long expect_number(dx_pool *pool, uint64_t job)
{
    return strtol(text_of(pool, job), NULL, 10);
}

const char *ask(dx_pool *pool, const char *text)
{
    return text_of(pool, submit(pool, text));
}

dx_result expect_failure(dx_pool *pool, uint64_t job, int error)
{
    dx_result result = next(pool);

    ck_assert_msg(result.error == error, "job %llu: %d instead of %d: %s",
                  (unsigned long long)result.job, result.error, error, result.text);
    if (job > 0)
        ck_assert_uint_eq(result.job, job);
    return result;
}

void expect_empty(dx_pool *pool)
{
    dx_result result;
    int got = dx_pool_next(pool, &result, DX_NOW);

    ck_assert_msg(got == 0, "%d instead of no more results: %s", got, dx_pool_explain(pool));
}

dx_pool_statistics statistics(const dx_pool *pool)
{
    dx_pool_statistics now;

    memset(&now, 0xee, sizeof(now));
    ck_assert_int_eq(dx_pool_statistics_get(pool, &now), 0);
    return now;
}

dx_worker_statistics worker_of(const dx_pool *pool, unsigned worker)
{
    dx_worker_statistics now;

    memset(&now, 0xee, sizeof(now));
    ck_assert_int_eq(dx_pool_worker_get(pool, worker, &now), 0);
    return now;
}

void look_after(dx_pool *pool, int ms)
{
    uint64_t end = now_ms() + (uint64_t)ms;

    for (uint64_t now = now_ms(); now < end; now = now_ms()) {
        struct pollfd pollfd = {.fd = dx_pool_fd(pool), .events = (short)dx_pool_events(pool)};
        int left = (int)(end - now), own = dx_pool_timeout_ms(pool);

        ck_assert_int_ge(pollfd.fd, 0);
        ck_assert_int_ge(dx_pool_events(pool), 0);
        /* Results that nobody takes here are no reason to look again at once. */
        if (own < 0 || own > left || own == 0)
            own = own == 0 ? 1 : left;
        poll(&pollfd, 1, own);
        ck_assert_int_ge(dx_pool_process(pool), 0);
        if (pollfd.revents)
            pause_ms(1);
    }
}

dx_pool_statistics finish(dx_pool *pool)
{
    dx_pool_statistics end = statistics(pool);

    expect_empty(pool);
    ck_assert_uint_eq(end.submitted, end.done + end.failed + end.cancelled);
    ck_assert_uint_eq(end.queued, 0);
    ck_assert_uint_eq(end.running, 0);
    ck_assert_uint_eq(end.waiting, 0);
    ck_assert_uint_ge(end.starts, end.deaths + end.recycled);
    ck_assert_uint_ge(end.workers, end.ready);
    uint64_t begun = now_ms();

    ck_assert_ptr_null(dx_pool_close(pool));
    if (!is_slow())
        ck_assert_uint_lt(now_ms() - begun, CLOSE_MS);
    return end;
}

void *share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

void give_back(void *memory, size_t size)
{
    munmap(memory, size);
}

void adopt_orphans(void)
{
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
}

void end_orphan(pid_t pid)
{
    ck_assert_int_gt(pid, 0);
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

void pause_ms(int ms)
{
    obey_pause(ms);
}

static uint64_t read_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t now_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

uint64_t processor_ms(void)
{
    return read_ms(CLOCK_PROCESS_CPUTIME_ID);
}
