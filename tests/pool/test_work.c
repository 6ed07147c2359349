/* SPDX-License-Identifier: MIT */
/*
 * A worker's whole loop, dx_work(), by itself and in pools of every framing.
 */
#include "common.h"

#include <pthread.h>
#include <sys/socket.h>

static dx_process *fork_worker(int (*worker)(dx_channel *parent, void *context))
{
    dx_process *process = NULL;

    ck_assert_int_eq(dx_fork(&process, worker, NULL, NULL), 0);
    return process;
}

/* End the conversation: the worker returns from dx_work(), and with this status. */
static void expect_exit(dx_process *process, int code)
{
    dx_exit exit;

    ck_assert_int_eq(dx_process_stop(process, PATIENCE_MS, &exit), 0);
    ck_assert_msg(exit.kind == DX_EXIT_CODE && exit.code == code, "%s", exit.text);
    dx_process_close(process);
}

START_TEST(test_the_loop_answers_until_the_end)
{
    dx_process *process = fork_worker(obey);
    dx_channel *channel = dx_process_channel(process);
    dx_message reply;

    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(dx_call(channel, "hello", 5, &reply, PATIENCE_MS), 0);
        ck_assert_uint_eq(reply.size, 5);
    }
    ck_assert_int_eq(dx_call(channel, "!refuse -17", 11, &reply, PATIENCE_MS), -EREMOTEIO);
    ck_assert_int_eq(reply.code, -17);
    ck_assert_int_eq(dx_call(channel, "!error 5 five", 13, &reply, PATIENCE_MS), -EREMOTEIO);
    ck_assert_int_eq(reply.code, 5);
    ck_assert_int_eq(dx_call(channel, "hello", 5, &reply, PATIENCE_MS), 0);
    expect_exit(process, 0);
}
END_TEST

START_TEST(test_many_at_once_are_all_answered)
{
    enum { COUNT = 500 };

    dx_process *process = fork_worker(obey);
    dx_channel *channel = dx_process_channel(process);
    uint64_t ids[COUNT];
    dx_message message;

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++)
            ck_assert_int_eq(dx_call_start(channel, "x", 1, &ids[i], PATIENCE_MS), 0);
        for (int i = 0; i < COUNT; i++) {
            ck_assert_int_eq(dx_recv(channel, &message, PATIENCE_MS), 1);
            ck_assert_int_eq(message.kind, DX_REPLY);
            ck_assert_uint_eq(message.id, ids[i]);
        }
    }
    expect_exit(process, 0);
}
END_TEST

/*
 * Only where jobs take some microseconds an answer is kept for the next: who has had a slow one
 * keeps a quick answer for no other. The first may have come when all before it had been quick.
 */
START_TEST(test_a_quick_answer_waits_for_no_slow_job)
{
    dx_pool_options options = {.workers = 1, .depth = 4};
    dx_pool *pool = open_obedient(&options);

    /* As many as it takes to know each other well. */
    for (int i = 0; i < 300; i++)
        ask(pool, "x");
    for (int i = 0; i < 2; i++) {
        uint64_t quick = submit(pool, "quick");
        uint64_t slow = submit(pool, "!sleep 1000");
        uint64_t begun = now_ms();

        expect_answer(pool, quick, "quick");
        if (i > 0 && !is_slow())
            ck_assert_uint_lt(now_ms() - begun, 800);
        expect_answer(pool, slow, "slept");
    }
    finish(pool);
}
END_TEST

static int work_without_handler(dx_channel *parent, void *context)
{
    (void)context;
    return dx_work(parent, NULL, NULL) == -EINVAL ? 33 : 34;
}

START_TEST(test_it_needs_a_handler)
{
    dx_process *process = fork_worker(work_without_handler);
    dx_exit exit;

    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    ck_assert_int_eq(exit.code, 33);
    dx_process_close(process);
}
END_TEST

static int count_jobs(dx_channel *channel, const dx_message *job, void *context)
{
    ++*(int *)context;
    return dx_reply(channel, job->id, job->data, job->size, DX_FOREVER);
}

START_TEST(test_it_returns_at_the_end_with_all_answered)
{
    dx_channel *ends[2];
    uint64_t ids[10];
    dx_message message;
    int count = 0;

    ck_assert_int_eq(dx_channel_pair(ends, NULL), 0);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(dx_call_start(ends[0], "x", 1, &ids[i], DX_FOREVER), 0);
    ck_assert_int_eq(dx_channel_end(ends[0], PATIENCE_MS), 0);
    ck_assert_int_eq(dx_work(ends[1], count_jobs, &count), 0);
    ck_assert_int_eq(count, 10);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(dx_recv(ends[0], &message, PATIENCE_MS), 1);
        ck_assert_uint_eq(message.id, ids[i]);
        ck_assert_int_eq(message.kind, DX_REPLY);
    }
    dx_channel_close(ends[0]);
    dx_channel_close(ends[1]);
}
END_TEST

/* A parent that breaks the protocol, or goes away in the middle of a word. */
START_TEST(test_it_ends_as_a_receive_does)
{
    for (int garbage = 0; garbage < 2; garbage++) {
        int sockets[2], count = 0;
        dx_channel *channel;

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
        ck_assert_int_eq(dx_channel_attach(&channel, sockets[0], sockets[0], NULL), 0);
        ck_assert_int_eq(write(sockets[1], "nonsense nonsense", garbage ? 17 : 5),
                         garbage ? 17 : 5);
        shutdown(sockets[1], SHUT_WR);
        ck_assert_int_eq(dx_work(channel, count_jobs, &count), garbage ? -EPROTO : -EPIPE);
        ck_assert_int_eq(count, 0);
        dx_channel_close(channel);
        close(sockets[1]);
    }
}
END_TEST

START_TEST(test_functions_work_in_every_framing)
{
    static const dx_framing framings[] = {
        DX_FRAMING_LINE,    DX_FRAMING_NUL, DX_FRAMING_NETSTRING, DX_FRAMING_U8,
        DX_FRAMING_U16,     DX_FRAMING_U32, DX_FRAMING_PYTHON,    DX_FRAMING_CONTENT_LENGTH,
        DX_FRAMING_PKT_LINE};

    for (unsigned f = 0; f < sizeof(framings) / sizeof(*framings); f++)
        for (unsigned depth = 1; depth <= 8; depth += 7) {
            dx_pool_options options = {
                .workers = 2, .depth = depth, .process.channel.framing = framings[f]};
            dx_pool *pool = open_obedient(&options);

            for (int i = 1; i <= 40; i++)
                submitf(pool, "job %d", i);
            for (int i = 1; i <= 40; i++) {
                dx_result result = next(pool);
                char text[32];

                ck_assert_msg(result.error == 0, "%s: %d: %s", dx_framing_name(framings[f]),
                              result.error, result.text);
                snprintf(text, sizeof(text), "job %d", (int)result.job);
                ck_assert(is_answer(&result, text));
            }
            submit(pool, "!raise 9");
            expect_failure(pool, 41, -EPIPE);
            finish(pool);
        }
}
END_TEST

/* One thread at a time, and not always the same. */
static void *use_pool(void *arg)
{
    dx_pool *pool = arg;
    dx_result result;

    for (int i = 0; i < 50; i++)
        if (dx_pool_submit(pool, i == 20 ? "!exit 1" : "x", i == 20 ? 7 : 1, NULL, PATIENCE_MS) < 0)
            return "it does not submit";
    for (int i = 0; i < 50; i++)
        if (dx_pool_next(pool, &result, PATIENCE_MS) != 1)
            return "it does not receive";
    return NULL;
}

START_TEST(test_a_pool_moves_between_threads)
{
    if (HARNESS_SANITIZED)
        HARNESS_SKIP("the sanitizers' malloc may stay locked in a copy of a program with threads");
    dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 2, .backoff_ms = 1});

    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        void *trouble = NULL;

        ck_assert_int_eq(pthread_create(&thread, NULL, use_pool, pool), 0);
        pthread_join(thread, &trouble);
        ck_assert_msg(trouble == NULL, "%s", (const char *)trouble);
        ck_assert_str_eq(ask(pool, "and here"), "and here");
    }
    finish(pool);
}
END_TEST

HARNESS_MAIN("pool: work", TEST(test_the_loop_answers_until_the_end),
             TEST(test_many_at_once_are_all_answered),
             TEST(test_a_quick_answer_waits_for_no_slow_job), TEST(test_it_needs_a_handler),
             TEST(test_it_returns_at_the_end_with_all_answered),
             TEST(test_it_ends_as_a_receive_does), TEST(test_functions_work_in_every_framing),
             TEST(test_a_pool_moves_between_threads))
