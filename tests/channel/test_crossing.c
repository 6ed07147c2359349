/* SPDX-License-Identifier: MIT */
/*
 * Messages of random sizes from 0 to 1 MiB, with random descriptors, cross in both directions at once
 * between two processes, and each arrives: once, in order, byte for byte, with its own descriptors.
 *
 * DUPLEX_MESSAGES says how many in each direction; 1000000 takes minutes for each test.
 */
#include "support.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MESSAGES_DEFAULT = 5000, SLICES = 8192, DESCRIPTORS = 3 };

static unsigned message_count(void)
{
    const char *value = getenv("DUPLEX_MESSAGES");
    unsigned count = value != NULL ? (unsigned)strtoul(value, NULL, 10) : 0;

    return count > 0 ? count : MESSAGES_DEFAULT / (unsigned)slowness();
}

/* What the message of this number is, known to both ends. */
struct plan {
    size_t size;
    size_t descriptor_count;
    const uint8_t *data;
};

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

static struct plan plan_message(unsigned number, bool from_child)
{
    uint64_t chance = mix((uint64_t)number * 2 + from_child);
    unsigned bits = (unsigned)(chance % 21);
    uint64_t more = mix(chance);
    struct plan plan = {.data = pattern(MIB + SLICES) + (more >> 32) % SLICES};

    /* Each power of two is as likely as any other; of the greatest there is but one size. */
    plan.size = bits == 20 ? MIB : (((size_t)1 << bits) | (more & (((size_t)1 << bits) - 1))) - 1;
    if ((chance >> 32) % 50 == 0)
        plan.descriptor_count = 1 + (chance >> 40) % DESCRIPTORS;
    return plan;
}

/* One end of the crossing. The first thing that is not as it should be is kept as a sentence. */
struct end {
    dx_channel *channel;
    bool is_child;
    unsigned count;
    unsigned sent, received;
    char failure[200];
};

static bool went_wrong(struct end *end, const char *what, unsigned number, int status)
{
    snprintf(end->failure, sizeof(end->failure), "%s, message %u: %d: %s", what, number, status,
             dx_channel_explain(end->channel));
    return false;
}

/* 1: sent; 0: not in time; -1: failed. */
static int send_next(struct end *end, int timeout_ms)
{
    struct plan plan = plan_message(end->sent, end->is_child);
    int notes[DESCRIPTORS];
    dx_message message = with_descriptors(plan.data, plan.size, notes, plan.descriptor_count);

    for (size_t i = 0; i < plan.descriptor_count; i++)
        notes[i] = make_note(end->sent * 4 + (unsigned)i);
    int status = dx_send_message(end->channel, &message, timeout_ms);

    if (status == 0) {
        end->sent++;
        return 1;
    }
    for (size_t i = 0; i < plan.descriptor_count; i++)
        close(notes[i]);
    if (status == -ETIMEDOUT)
        return 0;
    went_wrong(end, "sending", end->sent, status);
    return -1;
}

static int receive_next(struct end *end, int timeout_ms)
{
    struct plan plan = plan_message(end->received, !end->is_child);
    dx_message message;
    int status = dx_recv(end->channel, &message, timeout_ms);

    if (status == -ETIMEDOUT)
        return 0;
    if (status != 1) {
        went_wrong(end, "receiving", end->received, status);
        return -1;
    }
    bool same = message.size == plan.size && memcmp(message.data, plan.data, plan.size) == 0 &&
                message.descriptor_count == plan.descriptor_count && message.descriptors_lost == 0;

    for (size_t i = 0; same && i < plan.descriptor_count; i++)
        same = is_note(message.descriptors[i], end->received * 4 + (unsigned)i);
    if (!same) {
        went_wrong(end, "another message came", end->received, (int)message.size);
        return -1;
    }
    end->received++;
    return 1;
}

/* One thread for both directions, as an event loop has it: nothing waits but poll(2). */
static bool cross_in_a_loop(struct end *end)
{
    while (end->sent < end->count || end->received < end->count ||
           (dx_channel_events(end->channel) & POLLOUT) != 0) {
        int moved = 0, status;

        (void)dx_channel_process(end->channel);
        while (end->received < end->count && (status = receive_next(end, DX_NOW)) != 0) {
            if (status < 0)
                return false;
            moved++;
        }
        for (int i = 0; i < 20 && end->sent < end->count; i++) {
            status = send_next(end, DX_NOW);
            if (status < 0)
                return false;
            if (status == 0)
                break;
            moved++;
        }
        if (moved > 0)
            continue;
        struct pollfd polled = {
            .fd = dx_channel_fd(end->channel),
            .events = (short)dx_channel_events(end->channel),
        };

        if (end->sent < end->count)
            polled.events |= POLLOUT;
        if (poll(&polled, 1, dx_channel_timeout_ms(end->channel) == 0 ? 0 : 60000) == 0 &&
            dx_channel_timeout_ms(end->channel) != 0)
            return went_wrong(end, "nothing moves", end->received, 0);
    }
    return true;
}

static void *send_everything(void *context)
{
    struct end *end = context;

    while (end->sent < end->count && send_next(end, DX_FOREVER) > 0)
        ;
    return NULL;
}

/* Two threads, one for each direction, both waiting as long as it takes. */
static bool cross_in_two_threads(struct end *end)
{
    pthread_t sender;

    (void)pattern(MIB + SLICES);
    if (pthread_create(&sender, NULL, send_everything, end) != 0)
        return went_wrong(end, "no thread", 0, 0);
    while (end->received < end->count && receive_next(end, 60000) > 0)
        ;
    pthread_join(sender, NULL);
    return end->sent == end->count && end->received == end->count;
}

/* Send, and receive now and then: what comes meanwhile is taken in by the sender. */
static bool cross_by_turns(struct end *end)
{
    while (end->sent < end->count || end->received < end->count) {
        int turns = 1 + (int)(mix(end->sent) % 8);

        for (int i = 0; i < turns && end->sent < end->count; i++)
            if (send_next(end, DX_FOREVER) < 0)
                return false;
        while (end->received < end->count) {
            int status = receive_next(end, end->sent < end->count ? DX_NOW : 60000);

            if (status < 0)
                return false;
            if (status == 0 && end->sent == end->count)
                return went_wrong(end, "nothing comes", end->received, 0);
            if (status == 0)
                break;
        }
    }
    return dx_flush(end->channel, DX_FOREVER) == 0;
}

struct crossing {
    bool (*cross)(struct end *end);
    unsigned count;
};

static const dx_channel_options options = {.descriptor_limit = DESCRIPTORS};

/* Cross, and then both say the end and hear it. */
static bool take_part(struct end *end, const struct crossing *crossing)
{
    dx_message message;

    if (!crossing->cross(end)) {
        if (end->failure[0] == '\0')
            went_wrong(end, "not everything crossed", end->received, 0);
        return false;
    }
    int status = dx_channel_end(end->channel, DX_FOREVER);

    if (status == 0)
        status = dx_recv(end->channel, &message, 60000);
    return status == 0 || went_wrong(end, "ending", end->received, status);
}

static int be_the_child(int fd, void *context)
{
    const struct crossing *crossing = context;
    struct end end = {
        .channel = child_channel(fd, &options), .is_child = true, .count = crossing->count};
    bool good = take_part(&end, crossing);

    if (!good)
        dprintf(STDERR_FILENO, "the child: %s\n", end.failure);
    dx_channel_close(end.channel);
    return !good;
}

static void cross(dx_channel_type type, bool (*how)(struct end *end))
{
    struct crossing crossing = {how, message_count()};
    struct child child;

    start_child(&child, type, be_the_child, &crossing);
    struct end end = {.channel = channel_to_child(&child, &options), .count = crossing.count};
    bool good = take_part(&end, &crossing);

    dx_channel_close(end.channel);
    if (!good)
        kill_child(&child);
    ck_assert_msg(good, "the parent: %s", end.failure);
    child_ended(&child);
}

EACH_TYPE(test_messages_cross_in_an_event_loop)
{
    cross(type, cross_in_a_loop);
}

EACH_TYPE(test_messages_cross_in_two_threads_at_each_end)
{
    cross(type, cross_in_two_threads);
}

EACH_TYPE(test_messages_cross_by_turns)
{
    cross(type, cross_by_turns);
}

int main(void)
{
    double seconds = 30 + message_count() * 0.002;
    const struct harness_test tests[] = {
        OF_EACH_TYPE_WITHIN(test_messages_cross_in_an_event_loop, seconds),
        OF_EACH_TYPE_WITHIN(test_messages_cross_in_two_threads_at_each_end, seconds),
        OF_EACH_TYPE_WITHIN(test_messages_cross_by_turns, seconds),
    };

    return harness_main("crossing", tests, sizeof(tests) / sizeof(*tests));
}
