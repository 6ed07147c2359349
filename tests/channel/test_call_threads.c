/* SPDX-License-Identifier: MIT */
/*
 * Calls by two threads, one that asks and one that receives the answers; and what many calls cost in
 * memory.
 */
#include "callers.h"
#include "meter.h"

#include <errno.h>
#include <pthread.h>

enum { ASKED = 3000 };

static unsigned asked(void)
{
    return ASKED / (unsigned)slowness();
}

static int echo(dx_channel *channel, const dx_message *request, void *context)
{
    (void)context;
    return dx_reply(channel, request->id, request->data, request->size, PATIENCE_MS);
}

static int echo_child(int fd, void *context)
{
    dx_channel *channel = child_channel(fd, NULL);
    dx_message message;
    int status;

    (void)context;
    harness_child_assert(dx_channel_on_request(channel, echo, NULL) == 0);
    while ((status = dx_recv(channel, &message, PATIENCE_MS)) == 1)
        harness_child_assert(message.kind == DX_CANCEL);
    harness_child_assert(status == 0);
    dx_channel_close(channel);
    return 0;
}

struct asker {
    dx_channel *channel;
    unsigned cancelled;
};

/* Ask with as many requests open as are allowed; give up a few of them. */
static void *ask(void *context)
{
    struct asker *asker = context;

    for (unsigned i = 0; i < asked(); i++) {
        uint64_t id;
        int status;

        while ((status = dx_call_start(asker->channel, &i, sizeof(i), &id, DX_FOREVER)) == -EBUSY)
            sleep_ms(1);
        ck_assert_int_eq(status, 0);
        if (i % 50 == 0)
            asker->cancelled += dx_cancel(asker->channel, id) == 0;
    }
    return NULL;
}

EACH_TYPE(test_one_thread_asks_and_another_receives)
{
    dx_channel_options options = {.request_limit = 100};
    struct child child;
    dx_message message;
    pthread_t thread;
    unsigned answered = 0;
    uint64_t last = 0;

    start_child(&child, type, echo_child, NULL);
    struct asker asker = {.channel = channel_to_child(&child, &options)};

    ck_assert_int_eq(pthread_create(&thread, NULL, ask, &asker), 0);
    /* What is not answered was cancelled; the last one is not. */
    while (last < asked()) {
        receive(asker.channel, &message, DX_REPLY);
        ck_assert_uint_gt(message.id, last);
        last = message.id;
        answered++;
    }
    pthread_join(thread, NULL);
    ck_assert_uint_eq(answered + asker.cancelled, asked());
    dx_channel_close(asker.channel);
    child_ended(&child);
}

/* A deadline that is set while the receiver already sleeps wakes it, if not to the millisecond. */
static void *ask_in_vain(void *context)
{
    sleep_ms(50);
    ck_assert_int_eq(dx_call_start(context, "?", 1, NULL, 50), 0);
    return NULL;
}

EACH_TYPE(test_a_sleeping_receiver_learns_of_a_new_deadline)
{
    struct pair pair = open_pair(type);
    uint64_t begun = now_ms();
    dx_message message;
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, ask_in_vain, pair.near), 0);
    receive(pair.near, &message, DX_FAILED);
    ck_assert_int_eq(message.code, -ETIMEDOUT);
    ck_assert_uint_le(now_ms() - begun, 300 * (uint64_t)slowness());
    pthread_join(thread, NULL);
    close_pair(&pair);
}

EACH_TYPE(test_calls_allocate_nothing)
{
    enum { OPEN = 64 };
    unsigned rounds = 300 / (unsigned)slowness();
    dx_message message;

    meter_install();
    struct pair pair = open_pair(type);

    for (unsigned round = 0; round < 2 * rounds; round++) {
        if (round == rounds)
            meter_restart();
        for (unsigned i = 0; i < OPEN; i++)
            start(pair.near, "how are you", PATIENCE_MS);
        for (unsigned i = 0; i < OPEN; i++) {
            receive(pair.far, &message, DX_REQUEST);
            ck_assert_int_eq(dx_reply(pair.far, message.id, "well", 4, DX_NOW), 0);
        }
        for (unsigned i = 0; i < OPEN; i++)
            receive(pair.near, &message, DX_REPLY);
    }
    ck_assert_msg(meter_allocations() == 0, "%lu allocations in %u calls", meter_allocations(),
                  rounds * OPEN);
    close_pair(&pair);
    ck_assert_int_eq(meter.blocks, 0);
}

/* A request is not lost where there is no memory to enter it. */
EACH_TYPE(test_a_request_waits_for_memory)
{
    struct pair pair;
    dx_message message;

    meter_install();
    pair = open_pair(type);
    expect_silence(pair.far);
    meter_fail(CALL_ALLOCATE, 1, 2, 0);
    ck_assert_int_eq(dx_call_start(pair.near, "?", 1, NULL, DX_NOW), -ENOMEM);
    meter_fail_no_more();
    start(pair.near, "?", DX_FOREVER);
    meter_fail(CALL_ALLOCATE, 1, 2, 0);
    ck_assert_int_eq(dx_recv(pair.far, &message, PATIENCE_MS), -ENOMEM);
    meter_fail_no_more();
    receive(pair.far, &message, DX_REQUEST);
    ck_assert(says(&message, "?"));
    close_pair(&pair);
    ck_assert_int_eq(meter.blocks, 0);
}

HARNESS_MAIN("call_threads", OF_EACH_TYPE(test_one_thread_asks_and_another_receives),
             OF_EACH_TYPE(test_a_sleeping_receiver_learns_of_a_new_deadline),
             OF_EACH_TYPE(test_calls_allocate_nothing),
             OF_EACH_TYPE(test_a_request_waits_for_memory))
