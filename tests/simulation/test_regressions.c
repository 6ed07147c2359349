/* SPDX-License-Identifier: MIT */
/*
 * What seeds have found, made on purpose: in a kernel that in the end lets nobody else run before one
 * sleeps, so that whoever waits without sleeping does so for ever.
 */
#include "harness.h"

#include "jobs.h"
#include "kernel.h"

#include "channel/internal.h"
#include "channel/lane.h"
#include "wire/native.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { SEEDS = 100, ROUNDS = 50, CALLS_OF_A_FEW_LOOKS = 3000 };

/* From now on nobody else runs before one sleeps. */
static void be_alone(void)
{
    kernel.options.switch_one_in = 0;
}

/* Answers each job by its first letter. */
static int handle(dx_channel *parent, const dx_message *job, void *context)
{
    char letter = *(const char *)job->data;

    (void)context;
    if (letter == 'd') { /* deaf: end the conversation, and live */
        dxi_os->shutdown(dx_channel_fd(parent), SHUT_RDWR);
        be_alone();
        world_hang();
    }
    if (letter == 's')
        world_sleep(5000000);
    if (letter == 'h' && dx_channel_is_fast(parent) == 1) {
        struct dxi_ring_out *out = &parent->lane.out;
        uint8_t *place = dxi_ring_place(out);

        /* The frame without its last byte, and that later. */
        dxi_native_plain_header(place, 1, DXI_KIND_REPLY, job->id);
        place[DXI_HEADER_SIZE] = 'h';
        out->tail += DXI_HEADER_SIZE;
        dxi_lane_publish(parent);
        be_alone();
        world_sleep(5000000);
        out->tail += 1;
        dxi_lane_publish(parent);
        return 0;
    }
    return dx_reply(parent, job->id, job->data, job->size, DX_FOREVER);
}

static int work(dx_channel *parent, void *context)
{
    while (true) {
        dx_message job;

        if (dx_recv(parent, &job, DX_FOREVER) != 1)
            return 0;
        handle(parent, &job, context);
    }
}

static dx_pool *open_pool(bool socket_only)
{
    const dx_pool_options options = {
        .workers = 2,
        .process = {.channel.socket_only = socket_only, .stop_end_ms = 20, .stop_term_ms = 20},
    };
    dx_pool *pool;

    world_check(dx_pool_open_function(&pool, work, NULL, &options) == 0, "no pool");
    return pool;
}

static void submit(dx_pool *pool, const char *letter)
{
    world_check(dx_pool_submit(pool, letter, 1, NULL, 1000) == 0, "no job");
}

static void expect(dx_pool *pool, int error)
{
    dx_result result;

    world_check(dx_pool_next(pool, &result, DX_FOREVER) == 1, "no result");
    world_check(result.error == error, "a result says %d: %s", result.error, result.text);
}

/* Looks for answers have paid lately, and so the pool looks before it sleeps. */
static void warm_up(dx_pool *pool)
{
    for (int i = 0; i < ROUNDS; i++) {
        submit(pool, "x");
        submit(pool, "x");
        expect(pool, 0);
        expect(pool, 0);
    }
}

static void find_a_deaf_worker(void *context)
{
    dx_pool *pool = open_pool(true);

    (void)context;
    warm_up(pool);
    uint64_t before = kernel.calls;

    submit(pool, "s");
    submit(pool, "d");
    expect(pool, 0);
    world_say("%d calls", (int)(kernel.calls - before));
    world_check(kernel.calls - before < CALLS_OF_A_FEW_LOOKS, "%d calls for one answer",
                (int)(kernel.calls - before));
    expect(pool, -EPIPE);
    dx_pool_close(pool);
}

static void find_half_an_answer(void *context)
{
    dx_pool *pool = open_pool(false);

    (void)context;
    warm_up(pool);
    uint64_t before = kernel.calls;

    submit(pool, "h");
    expect(pool, 0);
    world_say("%d calls", (int)(kernel.calls - before));
    world_check(kernel.calls - before < CALLS_OF_A_FEW_LOOKS, "%d calls for one answer",
                (int)(kernel.calls - before));
    dx_pool_close(pool);
}

/* Echoes, until there is nothing in it; then says something with a descriptor, and leaves. */
static int say_and_leave(dx_channel *parent, void *context)
{
    dx_message message;

    (void)context;
    while (dx_recv(parent, &message, DX_FOREVER) == 1 && message.size > 0)
        world_check(dx_send(parent, message.data, message.size, DX_FOREVER) == 0, "no echo");
    int fd = dxi_os->open("/dev/null", 0);
    dx_message last = {.data = "last", .size = 4, .descriptors = &fd, .descriptor_count = 1};

    be_alone();
    world_check(dx_send_message(parent, &last, DX_FOREVER) == 0, "the last is not sent");
    world_check(dx_channel_end(parent, DX_FOREVER) == 0, "the end fails");
    return 0;
}

static void hear_the_last(bool socket_only)
{
    const dx_process_options options = {.channel = {.type = DX_SEQPACKET,
                                                    .descriptor_limit = 1,
                                                    .socket_only = socket_only,
                                                    .spin_us = socket_only ? 1000 : -1}};
    dx_process *process;
    dx_message message;

    world_check(dx_fork(&process, say_and_leave, NULL, &options) == 0, "no child");
    dx_channel *child = dx_process_channel(process);

    for (int i = 0; i < 9; i++)
        world_check(dx_send(child, "x", 1, DX_FOREVER) == 0 &&
                        dx_recv(child, &message, DX_FOREVER) == 1,
                    "no echo");
    world_check((dx_channel_is_fast(child) == 1) != socket_only, "not in the lane, or not by it");
    world_check(dx_send(child, NULL, 0, DX_FOREVER) == 0, "no word");
    int status = dx_recv(child, &message, DX_FOREVER);

    world_check(status == 1 && message.descriptor_count == 1, "instead of the last: %d: %s", status,
                dx_channel_explain(child));
    status = dx_recv(child, &message, DX_FOREVER);
    world_check(status == 0, "instead of the end: %d", status);
    dx_process_close(process);
}

static void hear_the_last_by_packets(void *context)
{
    (void)context;
    hear_the_last(true);
}

static void hear_the_last_by_lane(void *context)
{
    (void)context;
    hear_the_last(false);
}

/* More than a socket takes at a time. */
static char large[400000];

/* A job has half left when there is no memory for the next, which then is not wanted any more. */
static void run_short_of_memory(void *context)
{
    dx_pool_options options = {
        .workers = 1,
        .depth = 2,
        .process = {.channel.socket_only = true, .stop_end_ms = 20, .stop_term_ms = 20},
    };
    dx_pool *pool;
    dx_result result;
    uint64_t second;

    (void)context;
    world_check(dx_pool_open_function(&pool, work, NULL, &options) == 0, "no pool");
    submit(pool, "x");
    expect(pool, 0);
    be_alone();
    memset(large, 'x', sizeof(large));
    world_check(dx_pool_submit(pool, large, sizeof(large), NULL, 1000) == 0, "no job");
    kernel.options.refuse_one_in = 1;
    world_check(dx_pool_submit(pool, "x", 1, &second, 1000) == 0, "no job");
    kernel.options.refuse_one_in = 0;
    world_check(kernel.refusals == 1, "%u sends were refused", kernel.refusals);
    world_check(dx_pool_cancel(pool, second) == 0, "a job that waits cannot be cancelled");
    expect(pool, -ECANCELED);
    world_check(dx_pool_next(pool, &result, 1000) == 1, "half a job has stayed here");
    world_check(result.error == 0, "a result says %d: %s", result.error, result.text);
    world_check(result.message.size == sizeof(large), "%zu bytes", result.message.size);
    dx_pool_close(pool);
}

static void run(void (*root)(void *context))
{
    const struct world_options options = {.processors = 4, .switch_one_in = 2};
    unsigned worth = dxi_lane_worth;

    dxi_lane_worth = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world_history history = world_run(seed, &options, root, NULL, false);

        ck_assert_msg(history.failure == NULL, "seed %d: %s", (int)seed, history.failure);
    }
    dxi_lane_worth = worth;
}

/* The kernel told of the end again and again, and each look for the answers of others found that. */
START_TEST(test_a_worker_that_is_deaf_and_lives_does_not_keep_the_pool_awake)
{
    if (HARNESS_TSAN)
        HARNESS_SKIP("it has one thread");
    run(find_a_deaf_worker);
}
END_TEST

/* What lay in the inbox already, and was not whole, was news at each look. */
START_TEST(test_half_an_answer_in_the_lane_does_not_keep_the_pool_awake)
{
    if (HARNESS_TSAN)
        HARNESS_SKIP("it has one thread");
    run(find_half_an_answer);
}
END_TEST

/*
 * Linux looks for a packet, and then for the end: what came in between was lost. The kill matrix has met
 * that on a busy machine.
 */
START_TEST(test_packets_that_come_with_the_end_are_received)
{
    if (HARNESS_TSAN)
        HARNESS_SKIP("it has one thread");
    run(hear_the_last_by_packets);
    run(hear_the_last_by_lane);
}
END_TEST

/* The room of a worker that is left alone for a moment is not watched, and was not watched afterwards. */
START_TEST(test_the_rest_of_a_job_leaves_after_a_shortage)
{
    if (HARNESS_TSAN)
        HARNESS_SKIP("it has one thread");
    run(run_short_of_memory);
}
END_TEST

HARNESS_MAIN("simulation: regressions", TEST(test_the_rest_of_a_job_leaves_after_a_shortage),
             TEST(test_packets_that_come_with_the_end_are_received),
             TEST(test_a_worker_that_is_deaf_and_lives_does_not_keep_the_pool_awake),
             TEST(test_half_an_answer_in_the_lane_does_not_keep_the_pool_awake))
