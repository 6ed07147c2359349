/* SPDX-License-Identifier: MIT */
/*
 * A pool in a program that does things of its own: with signals, with children, with descriptors.
 */
#include "common.h"

#include <fcntl.h>
#include <sys/time.h>
#include <sys/wait.h>

/* Jobs of every kind; how many of them a worker died of, and how it was told. */
static void use(bool known)
{
    dx_pool_options options = {.workers = 2, .depth = 1, .backoff_ms = 1};
    dx_pool *pool = open_obedient(&options);
    unsigned count = scaled(300, 60), failed = 0;

    for (unsigned i = 1; i <= count; i++)
        submit(pool, i % 30 == 0 ? "!exit 7" : "good");
    for (unsigned i = 1; i <= count; i++) {
        dx_result result = next(pool);

        if (result.job % 30 != 0) {
            assert_answered(pool, &result);
            continue;
        }
        ck_assert_int_eq(result.error, -EPIPE);
        /* Where nobody waits for children, some kernels tell all the same. */
        ck_assert(result.exit->kind == DX_EXIT_CODE ||
                  (!known && result.exit->kind == DX_EXIT_UNKNOWN));
        failed++;
    }
    ck_assert_uint_eq(failed, count / 30);
    ck_assert_uint_eq(finish(pool).deaths, failed);
}

START_TEST(test_a_program_that_ignores_its_children)
{
    signal(SIGCHLD, SIG_IGN);
    use(false);
    signal(SIGCHLD, SIG_DFL);
    use(true);
}
END_TEST

static volatile sig_atomic_t alarms;

static void count_alarm(int signal)
{
    (void)signal;
    alarms++;
}

START_TEST(test_a_storm_of_signals)
{
    struct sigaction action = {.sa_handler = count_alarm}; /* and no SA_RESTART */
    struct itimerval interval = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &interval, NULL);
    use(true);
    /* They do not shorten a wait. */
    dx_pool *pool = open_obedient(NULL);
    dx_result result;

    submit(pool, "!sleep 400");
    uint64_t begun = now_ms();

    ck_assert_int_eq(dx_pool_next(pool, &result, 100), -ETIMEDOUT);
    ck_assert_uint_ge(now_ms() - begun, 100);
    expect_answer(pool, 1, "slept");
    finish(pool);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    ck_assert_int_gt(alarms, 50);
}
END_TEST

START_TEST(test_children_of_the_programs_own)
{
    dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 2});
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(5);
    submit(pool, "!exit 1");
    expect_failure(pool, 1, -EPIPE);
    look_after(pool, 50);
    /* The pool has not waited for it. */
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(WEXITSTATUS(status), 5);
    finish(pool);
}
END_TEST

/* A worker has nothing open but what any child of duplex has that is a function. */
static int count_descriptors(dx_channel *parent, const dx_message *job, void *context)
{
    int count = 0;

    (void)context;
    for (int fd = 0; fd < 200; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    char text[16];

    snprintf(text, sizeof(text), "%d", count);
    return dx_reply(parent, job->id, text, strlen(text), DX_FOREVER);
}

static int work(dx_channel *parent, void *context)
{
    return dx_work(parent, count_descriptors, context);
}

START_TEST(test_workers_have_nothing_that_is_not_theirs)
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0); /* as a careless program does it */
    dx_pool_options options = {
        .workers = 4, .recycle_jobs = 2, .process.channel.socket_only = true};
    dx_pool *pool = open_function(work, NULL, &options);

    dx_process *process;
    dx_message reply;
    char alone[16] = "";

    ck_assert_int_eq(dx_fork(&process, work, NULL, &options.process), 0);
    ck_assert_int_eq(dx_call(dx_process_channel(process), "x", 1, &reply, PATIENCE_MS), 0);
    memcpy(alone, reply.data, reply.size);
    look_until(pool, ready, 4);
    for (int i = 0; i < 30; i++)
        ck_assert_str_eq(ask(pool, "x"), alone);
    finish(pool);
    dx_process_close(process);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

HARNESS_MAIN("pool: host", TEST(test_a_program_that_ignores_its_children),
             TEST(test_a_storm_of_signals), TEST(test_children_of_the_programs_own),
             TEST(test_workers_have_nothing_that_is_not_theirs))
