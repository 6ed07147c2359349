/* SPDX-License-Identifier: MIT */
/*
 * Workers that never come to work. A pool ends by itself then, and says why; what else its process does goes
 * on.
 */
#include "common.h"

#include <duplex/pool.h>

#include <poll.h>
#include <sys/resource.h>

enum { RESTARTS = 5, POOL_MS = 8000 };

#define CRASHER DUPLEX_TEST_PROGRAMS "/child_breeder"

static int open_pool(struct scene *scene, dx_pool **ret, char *const argv[])
{
    static const dx_limit no_core[] = {{RLIMIT_CORE, 0, 0}};
    dx_failure failure = {0};
    dx_pool_options options = {
        .workers = 2,
        .backoff_ms = 1,
        .backoff_max_ms = 10,
        .restart_limit = RESTARTS,
        .process = {.limits = no_core, .limit_count = 1},
        .failure = &failure,
    };
    uint64_t begun = begin_call();
    int status = dx_pool_open(ret, argv, &options);

    end_call(scene, "dx_pool_open()", begun, 0);
    return keep_answer(scene, status, status < 0 ? failure.text : "");
}

/* One turn of a loop with the bystander: 1, 0 or an error of dx_pool_next(), or -ETIMEDOUT. */
static int turn(struct scene *scene, dx_pool *pool, dx_result *result)
{
    int timeout_ms = dx_pool_timeout_ms(pool);
    struct pollfd polled = {dx_pool_fd(pool), (short)dx_pool_events(pool), 0};

    poll(&polled, 1, timeout_ms < 0 || timeout_ms > 2 ? 2 : timeout_ms);
    uint64_t begun = begin_call();

    dx_pool_process(pool);
    int status = dx_pool_next(pool, result, DX_NOW);

    end_call(scene, "dx_pool_next()", begun, 0);
    rally(scene);
    return status;
}

static void give_work(struct scene *scene, char *const argv[])
{
    dx_pool_statistics statistics;
    dx_result result = {0};
    dx_pool *pool;
    int status = open_pool(scene, &pool, argv);

    ck_assert_msg(status == 0, "%d: %s", status, scene->text);
    ck_assert_int_eq(dx_pool_submit(pool, "work", 4, NULL, DX_NOW), 0);
    uint64_t end = now_ms() + POOL_MS * (uint64_t)slowness();

    status = -ETIMEDOUT;
    while (status == -ETIMEDOUT && now_ms() < end)
        status = turn(scene, pool, &result);
    /* The job has ended, once, and said why. */
    ck_assert_int_eq(status, 1);
    ck_assert_int_eq(result.error, -ECONNABORTED);
    keep_answer(scene, dx_pool_next(pool, &result, DX_NOW), dx_pool_explain(pool));
    ck_assert_int_eq(dx_pool_statistics_get(pool, &statistics), 0);
    ck_assert_uint_le(statistics.starts, RESTARTS + 4);
    ck_assert_uint_ge(statistics.deaths, RESTARTS);
    uint64_t begun = begin_call();

    dx_pool_close(pool);
    end_call(scene, "dx_pool_close()", begun, 0);
}

static void meet_crashers(struct scene *scene)
{
    give_work(scene, (char *[]){CRASHER, "crash-at-once", NULL});
}

static void meet_leavers(struct scene *scene)
{
    give_work(scene, (char *[]){CRASHER, "leave-at-once", NULL});
}

/* The first worker is started at once. */
static void meet_nobody(struct scene *scene)
{
    dx_pool *pool;

    open_pool(scene, &pool, (char *[]){DUPLEX_TEST_PROGRAMS "/no_such_program", NULL});
}

#define WORKERS .over = BY_STREAM, .at = AT_LOOPING

MISDEED(
    test_workers_that_crash_at_once, WORKERS, .does = "crashes as soon as it runs, as a worker",
    .play = meet_crashers, .call = "dx_pool_next", .answer = -ECONNABORTED,
    .says =
        "6 workers in a row ended without having answered anything; of the last: it was killed by SIGSEGV")

MISDEED(
    test_workers_that_exit_at_once, WORKERS, .does = "exits as soon as it runs, as a worker",
    .play = meet_leavers, .call = "dx_pool_next", .answer = -ECONNABORTED,
    .says =
        "6 workers in a row ended without having answered anything; of the last: it exited with status 0")

MISDEED(test_workers_that_cannot_be_executed, WORKERS, .does = "cannot be executed, as a worker",
        .play = meet_nobody, .call = "dx_pool_open", .answer = -ENOENT,
        .says = "cannot start '…': No such file or directory")

HOSTILE_MAIN("Pools")
