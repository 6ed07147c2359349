/* SPDX-License-Identifier: MIT */
/*
 * Faults of calls and of Node's descriptors that were found by reading, each with what showed it.
 */
#include "callers.h"
#include "meter.h"
#include "stranger.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int refuse(dx_channel *channel, const dx_message *request, void *context)
{
    (void)channel;
    (void)request;
    (void)context;
    return -EACCES;
}

static int count(dx_channel *channel, const dx_message *request, void *context)
{
    ++*(unsigned *)context;
    return dx_reply(channel, request->id, NULL, 0, DX_NOW);
}

static void ask_as(struct stranger *stranger, uint64_t id)
{
    struct header header = {.kind = DXI_KIND_REQUEST, .id = id};

    ck_assert_int_eq(say_frame(stranger, &header, NULL, 0, NULL, 0), 0);
}

/* A peer that asks without end and reads nothing costs no more than its open requests. */
START_TEST(test_refusals_that_nobody_reads_are_bounded)
{
    struct stranger stranger = meet_greeted(DX_STREAM, NULL);
    dx_message message;
    int status = -ETIMEDOUT;

    expect_silence(stranger.channel);
    ck_assert_int_eq(dx_channel_on_request(stranger.channel, refuse, NULL), 0);
    for (uint64_t id = 1; id <= 60000 && status == -ETIMEDOUT; id++) {
        ask_as(&stranger, id);
        if (id % 64 == 0)
            status = dx_recv(stranger.channel, &message, DX_NOW);
    }
    ck_assert_uint_lt(dxi_outbox_size(&stranger.channel->out), 256 * KIB);
    part(&stranger);
}
END_TEST

/* It is the user's, by his handler: a flush must not call it sent. */
START_TEST(test_a_refusal_that_never_left_is_not_called_sent)
{
    struct stranger stranger = meet_greeted(DX_STREAM, NULL);
    dx_message message;

    expect_silence(stranger.channel);
    ck_assert_int_eq(dx_channel_on_request(stranger.channel, refuse, NULL), 0);
    ask_as(&stranger, 1);
    ck_assert_int_eq(shutdown(stranger.fd, SHUT_RD), 0);
    ck_assert_int_eq(dx_recv(stranger.channel, &message, DX_NOW), -ETIMEDOUT);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(dx_flush(stranger.channel, DX_NOW), -EPIPE);
    part(&stranger);
}
END_TEST

/* The answer may bring the next request before dx_reply() has returned. */
struct answerer {
    dx_channel *channel;
    _Atomic uint64_t ids[64];
    _Atomic bool over;
};

static void *answer_all(void *context)
{
    struct answerer *answerer = context;

    for (unsigned i = 0; !answerer->over; i++) {
        uint64_t id;

        while ((id = atomic_exchange(&answerer->ids[i % 64], 0)) == 0)
            if (answerer->over)
                return NULL;
        ck_assert_int_eq(dx_reply(answerer->channel, id, "!", 1, PATIENCE_MS), 0);
    }
    return NULL;
}

static int ask_at_the_limit(int fd, void *context)
{
    dx_channel_options options = {.request_limit = 16};
    dx_channel *channel = child_channel(fd, &options);
    dx_message message;
    unsigned open = 0;

    for (unsigned i = 0; i < *(unsigned *)context; i++) {
        for (; open < 16; open++)
            harness_child_assert(dx_call_start(channel, "?", 1, NULL, PATIENCE_MS) == 0);
        harness_child_assert(dx_recv(channel, &message, PATIENCE_MS) == 1);
        harness_child_assert(message.kind == DX_REPLY);
        open--;
    }
    dx_channel_close(channel);
    return 0;
}

START_TEST(test_an_answer_makes_room_for_the_next_request)
{
    dx_channel_options options = {.request_limit = 16};
    unsigned rounds = 20000 / (unsigned)slowness();
    struct answerer answerer = {0};
    struct child child;
    dx_message message;
    pthread_t thread;
    int status;

    start_child(&child, DX_STREAM, ask_at_the_limit, &rounds);
    answerer.channel = channel_to_child(&child, &options);
    ck_assert_int_eq(pthread_create(&thread, NULL, answer_all, &answerer), 0);
    unsigned i = 0;

    while ((status = dx_recv(answerer.channel, &message, PATIENCE_MS)) == 1 && i < rounds)
        answerer.ids[i++ % 64] = message.id;
    answerer.over = true;
    pthread_join(thread, NULL);
    ck_assert_msg(status != -EPROTO, "after %u: %s", i, dx_channel_explain(answerer.channel));
    dx_channel_close(answerer.channel);
    kill_child(&child);
}
END_TEST

/* Who has cancelled may use the id again, though the answer is still on its way to it. */
static void *answer_at_length(void *context)
{
    struct answerer *answerer = context;

    ck_assert_int_eq(
        dx_reply(answerer->channel, answerer->ids[0], pattern(8 * MIB), 8 * MIB, PATIENCE_MS), 0);
    answerer->over = true;
    return NULL;
}

START_TEST(test_an_id_that_was_cancelled_while_its_answer_leaves_can_be_used_again)
{
    struct stranger stranger = meet_greeted(DX_STREAM, NULL);
    struct answerer answerer = {.channel = stranger.channel};
    struct header cancel = {.kind = DXI_KIND_CANCEL, .id = 1};
    uint8_t bytes[4096];
    dx_message message;
    pthread_t thread;

    ask_as(&stranger, 1);
    receive(stranger.channel, &message, DX_REQUEST);
    answerer.ids[0] = message.id;
    ck_assert_int_eq(pthread_create(&thread, NULL, answer_at_length, &answerer), 0);
    /* It has begun to leave. */
    ck_assert_int_eq(poll(&(struct pollfd){.fd = stranger.fd, .events = POLLIN}, 1, PATIENCE_MS),
                     1);
    ck_assert_int_eq(say_frame(&stranger, &cancel, NULL, 0, NULL, 0), 0);
    ask_as(&stranger, 1);
    receive(stranger.channel, &message, DX_CANCEL);
    receive(stranger.channel, &message, DX_REQUEST);
    while (!answerer.over)
        (void)recv(stranger.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    pthread_join(thread, NULL);
    ck_assert_int_eq(dx_reply(stranger.channel, 1, "!", 1, PATIENCE_MS), 0);
    part(&stranger);
}
END_TEST

/* What the handler refuses is not waited for where another thread sends. */
static void *send_large(void *context)
{
    size_t size = 8 * MIB;

    (void)dx_send(context, pattern(size), size, 2000);
    return NULL;
}

START_TEST(test_a_refusal_does_not_wait_for_a_sender)
{
    struct stranger stranger = meet_greeted(DX_STREAM, NULL);
    dx_message message;
    pthread_t thread;

    expect_silence(stranger.channel);
    ck_assert_int_eq(dx_channel_on_request(stranger.channel, refuse, NULL), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, send_large, stranger.channel), 0);
    sleep_ms(200);
    ask_as(&stranger, 1);
    uint64_t begun = now_ms();

    ck_assert_int_eq(dx_recv(stranger.channel, &message, 100), -ETIMEDOUT);
    ck_assert_uint_lt(now_ms() - begun, 1000);
    pthread_join(thread, NULL);
    part(&stranger);
}
END_TEST

/* A request that a dx_call() kept goes to the handler that was set since. */
START_TEST(test_a_kept_request_goes_to_the_handler)
{
    struct stranger stranger = meet_greeted(DX_STREAM, NULL);
    struct header reply = {.kind = DXI_KIND_REPLY, .id = 1};
    dx_message message;
    unsigned called = 0;

    ask_as(&stranger, 1);
    ck_assert_int_eq(say_frame(&stranger, &reply, NULL, 0, NULL, 0), 0);
    ck_assert_int_eq(dx_call(stranger.channel, "?", 1, &message, PATIENCE_MS), 0);
    ck_assert_int_eq(dx_channel_on_request(stranger.channel, count, &called), 0);
    ck_assert_int_eq(dx_recv(stranger.channel, &message, DX_NOW), -ETIMEDOUT);
    ck_assert_uint_eq(called, 1);
    part(&stranger);
}
END_TEST

#define ACK "{\"cmd\":\"NODE_HANDLE_ACK\"}\n"
#define HANDLE "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":1}\n"

static dx_channel *meet_node(int *ret_fd)
{
    dx_channel_options options = {.framing = DX_FRAMING_NODE, .descriptor_limit = 1};

    return open_with_raw_peer(DX_STREAM, &options, ret_fd);
}

/* Hand over a handle to Node, or have Node do it. */
static void pass_handle(dx_channel *channel, int node)
{
    struct iovec part = {HANDLE, strlen(HANDLE)};
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    dx_message message = with_descriptors("1", 1, &ends[0], 1);

    if (channel != NULL)
        ck_assert_int_eq(dx_send_message(channel, &message, DX_NOW), 0);
    else
        ck_assert_int_gt(dxi_os->send(node, &part, 1, ends, 1), 0);
    if (channel == NULL)
        close(ends[0]);
    close(ends[1]);
}

START_TEST(test_a_handle_that_answers_a_call_is_acknowledged_at_once)
{
    char heard[128];
    dx_message message;
    int node;
    dx_channel *channel = meet_node(&node);

    pass_handle(NULL, node);
    ck_assert_int_eq(dx_call(channel, "2", 1, &message, PATIENCE_MS), 0);
    ssize_t size = recv(node, heard, sizeof(heard), MSG_DONTWAIT);

    ck_assert_int_eq(size, 2 + (ssize_t)strlen(ACK));
    close(node);
    dx_channel_close(channel);
}
END_TEST

/* Who was refused for want of an ACK is told when it has come. */
START_TEST(test_an_event_loop_learns_of_the_answer_to_a_handle)
{
    int node;
    dx_channel *channel = meet_node(&node);

    pass_handle(channel, node);
    ck_assert_int_eq(dx_send(channel, "2", 1, DX_NOW), -ETIMEDOUT);
    ck_assert_int_eq(dx_channel_events(channel), POLLIN);
    ck_assert_int_eq(send(node, ACK, strlen(ACK), 0), (ssize_t)strlen(ACK));
    dx_channel_process(channel);
    expect_silence(channel);
    ck_assert_int_eq(dx_channel_events(channel), POLLIN | POLLOUT);
    close(node);
    dx_channel_close(channel);
}
END_TEST

static void *receive_for_a_while(void *context)
{
    dx_message message;

    while (dx_recv(context, &message, 700) == 1)
        continue;
    return NULL;
}

static double cpu_seconds(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A sender waits for an ACK, and a receiver in another thread has one to send: neither spins. */
START_TEST(test_a_receiver_sleeps_while_a_sender_waits_for_an_answer)
{
    pthread_t thread;
    int node;
    dx_channel *channel = meet_node(&node);

    pass_handle(channel, node);
    pass_handle(NULL, node);
    double begun = cpu_seconds();

    ck_assert_int_eq(pthread_create(&thread, NULL, receive_for_a_while, channel), 0);
    ck_assert_int_eq(dx_send(channel, "2", 1, 1000), -ETIMEDOUT);
    pthread_join(thread, NULL);
    pass_handle(NULL, node);
    ck_assert_int_eq(pthread_create(&thread, NULL, receive_for_a_while, channel), 0);
    ck_assert_int_eq(dx_send(channel, "2", 1, 1000), -ETIMEDOUT);
    pthread_join(thread, NULL);
    ck_assert_msg(cpu_seconds() - begun < 0.3, "%.2f s", cpu_seconds() - begun);
    close(node);
    dx_channel_close(channel);
}
END_TEST

/* A child that a handler has forked must not go on receiving in its parent's place. */
static int fork_in_handler(dx_channel *channel, const dx_message *request, void *context)
{
    *(pid_t *)context = fork();
    return *(pid_t *)context == 0 ? -EIO : dx_reply(channel, request->id, NULL, 0, PATIENCE_MS);
}

START_TEST(test_a_child_that_a_handler_forked_receives_nothing)
{
    struct pair pair = open_pair(DX_STREAM);
    dx_message message;
    pid_t child = -1;
    int ended;

    ck_assert_int_eq(dx_channel_on_request(pair.far, fork_in_handler, &child), 0);
    start(pair.near, "?", PATIENCE_MS);
    int status = dx_recv(pair.far, &message, 200);

    if (child == 0)
        _exit(status == -ECHILD && dx_recv(pair.far, &message, DX_NOW) == -ECHILD ? 0 : 1);
    ck_assert_int_eq(status, -ETIMEDOUT);
    ck_assert_int_eq(waitpid(child, &ended, 0), child);
    ck_assert_int_eq(ended, 0);
    receive(pair.near, &message, DX_REPLY);
    expect_silence(pair.near);
    close_pair(&pair);
}
END_TEST

/* Calls within calls: the answer to an outer one may come before that to an inner one, or after it. */
START_TEST(test_answers_that_wait_are_found_whichever_is_taken_first)
{
    struct dxi_stash stash = {0};
    dx_message message = {.data = "x", .size = 1, .kind = DX_REPLY};

    for (uint64_t id = 1; id <= 2; id++) {
        message.id = id;
        ck_assert_int_eq(dxi_stash_keep(&stash, &message, DXI_KEEP_ANSWER), 0);
    }
    ck_assert(dxi_stash_answer(&stash, 2, &message));
    dxi_stash_release(&stash);
    message = (dx_message){.data = "x", .size = 1, .kind = DX_REPLY, .id = 3};
    ck_assert_int_eq(dxi_stash_keep(&stash, &message, DXI_KEEP_ANSWER), 0);
    ck_assert(dxi_stash_answer(&stash, 3, &message));
    ck_assert_uint_eq(message.id, 3);
    ck_assert(dxi_stash_answer(&stash, 1, &message));
    ck_assert_uint_eq(message.id, 1);
    ck_assert(!dxi_stash_has(&stash, DXI_KEEP_ANSWER));
    ck_assert_uint_eq(stash.size, 0);
    dxi_stash_close(&stash);
}
END_TEST

/* A receive fails in the moment in which a deadline is looked at: what had come by then is in time. */
START_TEST(test_an_answer_in_time_outlives_a_receive_that_fails)
{
    static const int errors[] = {-ENOMEM, -ENOBUFS};

    meter_install();
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct stranger stranger = meet_greeted(DX_STREAM, NULL);
        dx_message message;

        expect_silence(stranger.channel);
        uint64_t id = start(stranger.channel, "?", 20);

        ck_assert_int_eq(say_frame(&stranger, &(struct header){.kind = DXI_KIND_REPLY, .id = id},
                                   NULL, 0, NULL, 0),
                         0);
        sleep_ms(30);
        meter_fail(CALL_RECEIVE, 1, 1, errors[i]);
        expect_error(stranger.channel, errors[i], "cannot receive", DX_NOW);
        ck_assert_uint_eq(meter.failed, 1);
        receive(stranger.channel, &message, DX_REPLY);
        ck_assert_uint_eq(message.id, id);
        part(&stranger);
    }
}
END_TEST

/* The socket could be written all the time, and what was to be said could not be put together. */
START_TEST(test_a_word_that_finds_no_memory_does_not_keep_its_receiver_awake)
{
    const dx_channel_options options = {.framing = DX_FRAMING_NODE, .descriptor_limit = 1};
    dx_channel *ends[2];
    dx_message message = {.data = "1", .size = 1, .descriptor_count = 1};
    int pipes[2];

    meter_install();
    ck_assert_int_eq(dx_channel_pair(ends, &options), 0);
    ck_assert_int_eq(dx_send(ends[0], "0", 1, DX_FOREVER), 0);
    ck_assert_int_eq(dx_recv(ends[1], &message, DX_FOREVER), 1);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    message = (dx_message){.data = "1", .size = 1, .descriptors = pipes, .descriptor_count = 1};
    ck_assert_int_eq(dx_send_message(ends[0], &message, DX_FOREVER), 0);
    meter_restart();
    meter_fail(CALL_RESIZE, 1, 1000000, -ENOMEM);
    ck_assert_int_eq(dx_recv(ends[1], &message, DX_FOREVER), 1);
    ck_assert_int_eq(dx_recv(ends[1], &message, 200), -ETIMEDOUT);
    ck_assert_uint_gt(meter.failed, 0);
    ck_assert_uint_lt(meter.count[CALL_POLL], 50);
    meter_fail_no_more();
    /* Then it is acknowledged, and the next may follow. */
    ck_assert_int_eq(dx_recv(ends[1], &message, 20), -ETIMEDOUT);
    ck_assert_int_eq(dx_send(ends[0], "2", 1, PATIENCE_MS), 0);
    close(pipes[1]);
    dx_channel_close(ends[0]);
    dx_channel_close(ends[1]);
}
END_TEST

HARNESS_MAIN("call regressions",
             TEST(test_a_word_that_finds_no_memory_does_not_keep_its_receiver_awake),
             TEST(test_an_answer_in_time_outlives_a_receive_that_fails),
             TEST(test_a_child_that_a_handler_forked_receives_nothing),
             TEST(test_answers_that_wait_are_found_whichever_is_taken_first),
             TEST(test_refusals_that_nobody_reads_are_bounded),
             TEST(test_a_refusal_that_never_left_is_not_called_sent),
             TEST(test_an_answer_makes_room_for_the_next_request),
             TEST(test_an_id_that_was_cancelled_while_its_answer_leaves_can_be_used_again),
             TEST(test_a_refusal_does_not_wait_for_a_sender),
             TEST(test_a_kept_request_goes_to_the_handler),
             TEST(test_a_handle_that_answers_a_call_is_acknowledged_at_once),
             TEST(test_an_event_loop_learns_of_the_answer_to_a_handle),
             TEST(test_a_receiver_sleeps_while_a_sender_waits_for_an_answer))
