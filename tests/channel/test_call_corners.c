/* SPDX-License-Identifier: MIT */
/*
 * Calls in narrow places: handlers inside of handlers up to their bound, answers that there is no room
 * for, refusals that cannot leave.
 */
#include "callers.h"
#include "meter.h"
#include "stranger.h"

#include "wire/bytes.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say_kind(struct stranger *stranger, uint8_t kind, uint64_t id, const void *data,
                     size_t size)
{
    struct header header = {.length = (uint32_t)size, .kind = kind, .id = id};

    ck_assert_int_eq(say_frame(stranger, &header, data, size, NULL, 0), 0);
}

/* An answer that says to which call it belongs: the first byte. */
static void say_answer(struct stranger *stranger, uint64_t id, size_t size)
{
    static uint8_t bytes[16 * KIB];

    bytes[0] = (uint8_t)id;
    say_kind(stranger, DXI_KIND_REPLY, id, bytes, size);
}

struct nest {
    unsigned depth;   /* handlers that have not returned */
    unsigned deepest; /* and how many there were at most */
    unsigned handled;
    unsigned bottom; /* so deep handlers call */
    void (*at_bottom)(dx_channel *channel);
};

/* Call, and be called meanwhile, down to the bottom. Each call has the number of its depth. */
static int go_down(dx_channel *channel, const dx_message *request, void *context)
{
    struct nest *nest = context;
    uint64_t id = request->id;
    dx_message reply;

    nest->depth++;
    nest->handled++;
    if (nest->depth > nest->deepest) {
        nest->deepest = nest->depth;
        if (nest->depth == nest->bottom) {
            nest->at_bottom(channel);
        } else {
            uint8_t depth = (uint8_t)nest->depth;

            ck_assert_int_eq(dx_call(channel, "?", 1, &reply, PATIENCE_MS), 0);
            ck_assert_uint_eq(((const uint8_t *)reply.data)[0], depth);
        }
    }
    nest->depth--;
    return dx_reply(channel, id, NULL, 0, PATIENCE_MS);
}

/* As many handlers as there may be are under way: of what comes, requests wait. */
static void receive_at_the_bound(dx_channel *channel)
{
    dx_message message;

    expect_text(channel, "between requests");
    expect_text(channel, "and after them");
    ck_assert_int_eq(dx_call(channel, "?", 1, &message, PATIENCE_MS), 0);
    ck_assert_uint_eq(((const uint8_t *)message.data)[0], DX_HANDLERS_MAX);
    expect_text(channel, "kept by a call");
}

START_TEST(test_handlers_inside_of_handlers_are_bounded)
{
    struct stranger stranger = meet_greeted(DX_STREAM, NULL);
    struct nest nest = {.bottom = DX_HANDLERS_MAX, .at_bottom = receive_at_the_bound};
    unsigned requests = 0, replies = 0;
    struct header header;
    uint8_t payload[16];

    ck_assert_int_eq(dx_channel_on_request(stranger.channel, go_down, &nest), 0);
    for (uint64_t id = 1; id <= DX_HANDLERS_MAX + 1; id++)
        say_kind(&stranger, DXI_KIND_REQUEST, id, NULL, 0);
    say_message(&stranger, "between requests");
    say_kind(&stranger, DXI_KIND_REQUEST, DX_HANDLERS_MAX + 2, NULL, 0);
    say_message(&stranger, "and after them");
    say_kind(&stranger, DXI_KIND_REQUEST, DX_HANDLERS_MAX + 3, NULL, 0);
    say_message(&stranger, "kept by a call");
    say_answer(&stranger, 1, 1);
    for (uint64_t id = DX_HANDLERS_MAX; id > 1; id--)
        say_answer(&stranger, id, 1);
    expect_silence(stranger.channel);
    ck_assert_uint_eq(nest.depth, 0);
    ck_assert_uint_eq(nest.deepest, DX_HANDLERS_MAX);
    ck_assert_uint_eq(nest.handled, DX_HANDLERS_MAX + 3);
    while (hear(&stranger, &header, payload, sizeof(payload)) >= 0) {
        requests += header.kind == DXI_KIND_REQUEST;
        replies += header.kind == DXI_KIND_REPLY;
    }
    ck_assert_uint_eq(requests, DX_HANDLERS_MAX);
    ck_assert_uint_eq(replies, DX_HANDLERS_MAX + 3);
    part(&stranger);
}
END_TEST

/* The answers to calls further out have taken all the room there is, but for the last. */
enum { OUTER_CALLS = 5, ANSWER_SIZE = 16 * KIB };

static void call_without_room(dx_channel *channel)
{
    dx_message message;

    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(dx_call(channel, "?", 1, &message, PATIENCE_MS), -EDEADLK);
        expect_explained(channel, "wait here to be received");
    }
    /* Nothing of it is for who receives here, or for an event loop. */
    ck_assert_int_eq(dx_channel_timeout_ms(channel), DX_FOREVER);
    expect_error(channel, -EDEADLK, "wait here to be received", DX_NOW);
}

static void unwind(const uint64_t order[OUTER_CALLS])
{
    dx_channel_options options = {.message_limit = ANSWER_SIZE};
    struct stranger stranger = meet_greeted(DX_STREAM, &options);
    struct nest nest = {.bottom = OUTER_CALLS + 1, .at_bottom = call_without_room};

    ck_assert_int_eq(dx_channel_on_request(stranger.channel, go_down, &nest), 0);
    for (uint64_t id = 1; id <= OUTER_CALLS + 1; id++)
        say_kind(&stranger, DXI_KIND_REQUEST, id, NULL, 0);
    for (int i = 0; i < OUTER_CALLS; i++)
        say_answer(&stranger, order[i], ANSWER_SIZE);
    ck_assert_uint_gt(OUTER_CALLS * ANSWER_SIZE, stranger.channel->receive_backlog - 1000);
    expect_silence(stranger.channel);
    ck_assert_uint_eq(nest.handled, OUTER_CALLS + 1);
    part(&stranger);
}

START_TEST(test_an_answer_that_there_is_no_room_for_reaches_its_call)
{
    unwind((uint64_t[]){1, 2, 3, 4, 5});
    unwind((uint64_t[]){5, 4, 3, 2, 1});
    unwind((uint64_t[]){3, 1, 4, 5, 2});
}
END_TEST

/* Descriptors that a call has no use for are kept, as far as that is bearable. */
EACH_TYPE(test_descriptors_that_a_call_keeps_are_bounded_and_not_lost)
{
    dx_channel_options options = {.type = type, .descriptor_limit = 1};
    struct pair pair = open_pair_with(&options);
    dx_message message;

    expect_silence(pair.near);
    expect_silence(pair.far);
    for (unsigned i = 0; i < 5; i++) {
        int note = make_note(i);

        message = with_descriptors(&i, sizeof(i), &note, 1);
        ck_assert_int_eq(dx_send_message(pair.far, &message, DX_NOW), 0);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(dx_call(pair.near, "?", 1, &message, PATIENCE_MS), -EDEADLK);
        expect_explained(pair.near, "5 descriptors wait here to be received");
    }
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_eq(dx_recv(pair.near, &message, DX_NOW), 1);
        ck_assert_mem_eq(message.data, &i, sizeof(i));
        ck_assert_uint_eq(message.descriptor_count, 1);
        ck_assert(is_note(message.descriptors[0], i));
    }
    expect_silence(pair.near);
    close_pair(&pair);
}

/* The child that a handler has forked waits for no answer, and the parent has its own. */
static int fork_and_answer(dx_channel *channel, const dx_message *request, void *context)
{
    *(pid_t *)context = fork();
    return *(pid_t *)context == 0 ? -EIO : dx_reply(channel, request->id, NULL, 0, PATIENCE_MS);
}

START_TEST(test_a_child_that_a_handler_forked_calls_nobody)
{
    struct stranger stranger = meet_greeted(DX_STREAM, NULL);
    pid_t child = -1;
    dx_message reply;
    int ended;

    ck_assert_int_eq(dx_channel_on_request(stranger.channel, fork_and_answer, &child), 0);
    say_kind(&stranger, DXI_KIND_REQUEST, 1, NULL, 0);
    say_answer(&stranger, 1, 1);
    int status = dx_call(stranger.channel, "?", 1, &reply, PATIENCE_MS);

    if (child == 0)
        _exit(status == -ECHILD && dx_call(stranger.channel, "?", 1, &reply, 0) == -ECHILD ? 0 : 1);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(((const uint8_t *)reply.data)[0], 1);
    ck_assert_int_eq(waitpid(child, &ended, 0), child);
    ck_assert_int_eq(ended, 0);
    part(&stranger);
}
END_TEST

/* A text without any place where a character begins is not quoted at all. */
START_TEST(test_a_text_of_halves_of_characters_is_not_quoted)
{
    struct stranger stranger = meet_greeted(DX_STREAM, NULL);
    uint8_t payload[DXI_ERROR_SIZE_MIN + 600];
    dx_message message;

    memset(payload, 0x80, sizeof(payload));
    memcpy(payload, "\0\0\0\7", 4);
    say_kind(&stranger, DXI_KIND_ERROR, 1, payload, sizeof(payload));
    ck_assert_int_eq(dx_call(stranger.channel, "?", 1, &message, PATIENCE_MS), -EREMOTEIO);
    ck_assert_str_eq(dx_channel_explain(stranger.channel), "the peer answered with the error 7: ");
    ck_assert_uint_eq(message.size, 600);
    part(&stranger);
}
END_TEST

static int refuse(dx_channel *channel, const dx_message *request, void *context)
{
    (void)channel;
    (void)request;
    ++*(unsigned *)context;
    return -EACCES;
}

/* A peer whose message comes slowly, and is never finished as long as anybody looks. */
static ssize_t receive_slowly(int fd, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    struct timespec pause = {.tv_nsec = 100 * 1000};

    nanosleep(&pause, NULL);
    return dxi_linux.receive(fd, bytes, size > 0 ? 1 : 0, arrival);
}

START_TEST(test_a_deadline_is_told_in_the_middle_of_a_message)
{
    struct stranger stranger = meet_greeted(DX_STREAM, NULL);
    struct dxi_os table = dxi_linux;
    dx_message message;

    expect_silence(stranger.channel);
    uint64_t id = start(stranger.channel, "?", 20);

    say_kind(&stranger, DXI_KIND_MESSAGE, 0, pattern(2000), 2000);
    table.receive = receive_slowly;
    dxi_os = &table;
    receive(stranger.channel, &message, DX_FAILED);
    ck_assert_uint_eq(message.id, id);
    ck_assert_int_eq(message.code, -ETIMEDOUT);
    dxi_os = &dxi_linux;
    receive(stranger.channel, &message, DX_MESSAGE);
    ck_assert_uint_eq(message.size, 2000);
    ck_assert_mem_eq(message.data, pattern(2000), 2000);
    part(&stranger);
}
END_TEST

/* A request whose refusal waits for room: most of a message stays before it. */
static uint64_t refuse_behind_a_message(const struct pair *pair, unsigned *count)
{
    uint64_t id = start(pair->near, "?", DX_FOREVER);

    ck_assert_int_eq(dx_channel_on_request(pair->far, refuse, count), 0);
    ck_assert_int_eq(send_numbered(pair->far, 1, MIB, DX_NOW), 0);
    expect_silence(pair->far);
    ck_assert_uint_eq(*count, 1);
    return id;
}

/* A refusal that waits for room is an answer already. */
EACH_TYPE(test_what_is_refused_is_not_answered_besides)
{
    struct pair pair = open_pair(type);
    unsigned count = 0;
    uint64_t id = refuse_behind_a_message(&pair, &count);
    dx_message message;

    ck_assert_int_eq(dx_reply(pair.far, id, "!", 1, DX_NOW), -ENOENT);
    expect_explained(pair.far, "answered or cancelled");
    while (dx_recv(pair.near, &message, DX_NOW) == -ETIMEDOUT)
        dx_channel_process(pair.far);
    ck_assert(is_numbered(&message, 1, MIB));
    dx_channel_process(pair.far);
    receive(pair.near, &message, DX_ERROR);
    ck_assert_uint_eq(message.id, id);
    expect_silence(pair.near);
    close_pair(&pair);
}

/* It is over for the peer before it has heard of the refusal. */
EACH_TYPE(test_what_is_cancelled_before_its_refusal_leaves_is_no_news)
{
    struct pair pair = open_pair(type);
    unsigned count = 0;
    uint64_t id = refuse_behind_a_message(&pair, &count);
    dx_message message;

    ck_assert_int_eq(dx_cancel(pair.near, id), 0);
    dx_channel_process(pair.near);
    expect_silence(pair.far);
    while (dx_recv(pair.near, &message, DX_NOW) == -ETIMEDOUT)
        dx_channel_process(pair.far);
    ck_assert(is_numbered(&message, 1, MIB));
    dx_channel_process(pair.far);
    expect_silence(pair.near);
    ck_assert(!is_pending(pair.far));
    close_pair(&pair);
}

/* The request is cancelled while it is handled, and another takes its id: that alone is refused. */
static int refuse_both(dx_channel *channel, const dx_message *request, void *context)
{
    uint64_t id = request->id;
    dx_message message;

    if (++*(unsigned *)context == 1) {
        receive(channel, &message, DX_CANCEL);
        ck_assert_uint_eq(message.id, id);
        expect_silence(channel);
    }
    return -EACCES;
}

/* All that the channel still has to say; how many errors are among it. */
static unsigned count_errors(struct stranger *stranger)
{
    static uint8_t bytes[2 * MIB];
    size_t size = 0;
    unsigned errors = 0;
    ssize_t part;

    while ((part = recv(stranger->fd, bytes + size, sizeof(bytes) - size, MSG_DONTWAIT)) > 0) {
        size += (size_t)part;
        dx_channel_process(stranger->channel);
    }
    for (size_t at = 0; at < size; at += DXI_HEADER_SIZE + dxi_load32(bytes + at))
        errors += bytes[at + 4] == DXI_KIND_ERROR;
    return errors;
}

START_TEST(test_a_handler_refuses_nothing_twice)
{
    struct stranger stranger = meet_greeted(DX_STREAM, NULL);
    unsigned count = 0;

    expect_silence(stranger.channel);
    ck_assert_int_eq(dx_channel_on_request(stranger.channel, refuse_both, &count), 0);
    ck_assert_int_eq(send_numbered(stranger.channel, 1, MIB, DX_NOW), 0);
    say_kind(&stranger, DXI_KIND_REQUEST, 7, NULL, 0);
    say_kind(&stranger, DXI_KIND_CANCEL, 7, NULL, 0);
    say_kind(&stranger, DXI_KIND_REQUEST, 7, NULL, 0);
    expect_silence(stranger.channel);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(count_errors(&stranger), 1);
    ck_assert(!is_pending(stranger.channel));
    part(&stranger);
}
END_TEST

static int leave_open(dx_channel *channel, const dx_message *request, void *context)
{
    (void)channel;
    (void)request;
    ++*(unsigned *)context;
    return 0;
}

/* Handlers take their time: who must not wait is given the rest the next time. */
START_TEST(test_a_receive_that_must_not_wait_handles_so_many_requests)
{
    enum { AT_A_TIME = 1024, REQUESTS = AT_A_TIME + 10 };
    static uint8_t bytes[REQUESTS * DXI_HEADER_SIZE];
    dx_channel_options options = {.request_limit = REQUESTS};
    struct stranger stranger = meet_greeted(DX_STREAM, &options);
    unsigned count = 0;

    expect_silence(stranger.channel);
    ck_assert_int_eq(dx_channel_on_request(stranger.channel, leave_open, &count), 0);
    for (unsigned i = 0; i < REQUESTS; i++)
        encode_header(&(struct header){.kind = DXI_KIND_REQUEST, .id = i + 1},
                      bytes + (size_t)i * DXI_HEADER_SIZE);
    ck_assert_int_eq(say(&stranger, bytes, sizeof(bytes)), 0);
    expect_error(stranger.channel, -ETIMEDOUT, "nothing but requests", DX_NOW);
    ck_assert_uint_eq(count, AT_A_TIME);
    expect_silence(stranger.channel);
    ck_assert_uint_eq(count, REQUESTS);
    part(&stranger);
}
END_TEST

START_TEST(test_a_refusal_that_there_is_no_memory_for_leaves_later)
{
    meter_install();
    struct stranger stranger = meet_greeted(DX_STREAM, NULL);
    uint8_t payload[256];
    struct header header;
    unsigned count = 0;

    /* Once with all the memory there is, so that afterwards the outbox alone needs any. */
    ck_assert_int_eq(dx_channel_on_request(stranger.channel, refuse, &count), 0);
    say_kind(&stranger, DXI_KIND_REQUEST, 2, NULL, 0);
    expect_silence(stranger.channel);
    while (hear(&stranger, &header, payload, sizeof(payload)) >= 0)
        continue;
    dxi_os->release(stranger.channel->out.bytes);
    stranger.channel->out.bytes = NULL;
    stranger.channel->out.capacity = 0;
    say_kind(&stranger, DXI_KIND_REQUEST, 3, NULL, 0);
    meter_fail(CALL_RESIZE, 1, 1, 0);
    expect_silence(stranger.channel);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(meter.failed, 1);
    dx_channel_process(stranger.channel);
    ck_assert_int_ge(hear(&stranger, &header, payload, sizeof(payload)), 0);
    ck_assert_uint_eq(header.kind, DXI_KIND_ERROR);
    ck_assert_uint_eq(header.id, 3);
    ck_assert_int_lt(hear(&stranger, &header, payload, sizeof(payload)), 0);
    part(&stranger);
}
END_TEST

START_TEST(test_an_answer_without_its_bytes_is_none)
{
    struct pair pair = open_pair(DX_STREAM);
    dx_message message;

    expect_silence(pair.far);
    /* Small answers are quick then. */
    ck_assert_int_eq(dx_cork(pair.far), 0);
    start(pair.near, "?", DX_FOREVER);
    receive(pair.far, &message, DX_REQUEST);
    uint64_t id = message.id;

    ck_assert_int_eq(dx_reply(pair.far, id, NULL, 1, DX_NOW), -EINVAL);
    expect_silence(pair.near);
    ck_assert_int_eq(dx_reply(pair.far, id, NULL, 0, DX_NOW), 0);
    ck_assert_int_eq(dx_flush(pair.far, DX_NOW), 0);
    receive(pair.near, &message, DX_REPLY);
    ck_assert_uint_eq(message.size, 0);
    close_pair(&pair);
}
END_TEST

HARNESS_MAIN("call corners", TEST(test_a_deadline_is_told_in_the_middle_of_a_message),
             TEST(test_handlers_inside_of_handlers_are_bounded),
             TEST(test_an_answer_that_there_is_no_room_for_reaches_its_call),
             OF_EACH_TYPE(test_descriptors_that_a_call_keeps_are_bounded_and_not_lost),
             TEST(test_a_child_that_a_handler_forked_calls_nobody),
             TEST(test_a_text_of_halves_of_characters_is_not_quoted),
             OF_EACH_TYPE(test_what_is_refused_is_not_answered_besides),
             OF_EACH_TYPE(test_what_is_cancelled_before_its_refusal_leaves_is_no_news),
             TEST(test_a_handler_refuses_nothing_twice),
             TEST(test_a_receive_that_must_not_wait_handles_so_many_requests),
             TEST(test_a_refusal_that_there_is_no_memory_for_leaves_later),
             TEST(test_an_answer_without_its_bytes_is_none))
