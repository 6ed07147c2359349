/* SPDX-License-Identifier: MIT */
/*
 * sd-bus, the D-Bus library of systemd, without a bus: the two ends of a socketpair talk to each
 * other. Messages are method calls with an array of bytes, which is written in place. A round trip
 * is sd_bus_call(); many requests are open by sd_bus_call_async(); one way, calls say that they
 * want no reply.
 */
#include "peers/peer.h"

#include <errno.h>

#ifdef HAVE_SDBUS

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

static const char path[] = "/duplex/bench";
static const char interface[] = "duplex.Bench";

struct end {
    sd_bus *bus;
    size_t size;
    uint64_t number; /* of messages that were received in this run */
    int error;
};

struct pair {
    struct hand_made hand_made;
    struct end end;
};

static int end_open(struct end *end, int fd, bool server)
{
    static const sd_id128_t id = {.bytes = {1}};
    int error = sd_bus_new(&end->bus);

    if (error >= 0)
        error = sd_bus_set_fd(end->bus, fd, fd);
    if (error >= 0 && server)
        error = sd_bus_set_server(end->bus, 1, id);
    /* The two know each other: no questions about users, no descriptors, no bus's greeting. */
    if (error >= 0)
        error = sd_bus_set_anonymous(end->bus, 1);
    if (error >= 0)
        error = sd_bus_set_trusted(end->bus, 1);
    if (error >= 0)
        error = sd_bus_negotiate_fds(end->bus, 0);
    if (error >= 0)
        error = sd_bus_start(end->bus);
    return error < 0 ? error : 0;
}

static int new_call(struct end *end, sd_bus_message **ret, const char *member, size_t size,
                    uint64_t number)
{
    void *bytes;
    int error = sd_bus_message_new_method_call(end->bus, ret, NULL, path, interface, member);

    if (error < 0)
        return error;
    error = sd_bus_message_append_array_space(*ret, 'y', size, &bytes);
    if (error < 0) {
        sd_bus_message_unref(*ret);
        return error;
    }
    message_stamp(bytes, size, number);
    return 0;
}

static int check(sd_bus_message *message, size_t size, uint64_t number, const void **ret)
{
    size_t got;
    int error = sd_bus_message_read_array(message, 'y', ret, &got);

    if (error <= 0)
        return error < 0 ? error : -EBADMSG;
    return got == size && message_check(*ret, size, number) ? 0 : -EBADMSG;
}

/* What the socket did not take at once is kept in a queue, and no call looks at the socket then. */
static int drain(struct end *end)
{
    uint64_t queued;
    int error = sd_bus_get_n_queued_write(end->bus, &queued);

    if (error >= 0 && queued > 0)
        error = sd_bus_flush(end->bus);
    return error < 0 ? error : 0;
}

/* Receive until so many messages have been handled. */
static int work(struct end *end, uint64_t number)
{
    while (end->error == 0 && end->number < number) {
        int done = sd_bus_process(end->bus, NULL);

        if (done == 0)
            done = sd_bus_wait(end->bus, UINT64_MAX);
        if (done < 0 && done != -EINTR)
            return done;
    }
    return end->error;
}

/* In the child. */
static int on_call(sd_bus_message *message, void *context, sd_bus_error *error_details)
{
    struct end *end = context;
    const void *bytes;
    sd_bus_message *reply;
    int error;

    (void)error_details;
    if (!sd_bus_message_is_method_call(message, interface, NULL))
        return 0;
    error = check(message, end->size, end->number, &bytes);
    if (error == 0 && sd_bus_message_get_expect_reply(message)) {
        error = sd_bus_message_new_method_return(message, &reply);
        if (error >= 0) {
            error = sd_bus_message_append_array(reply, 'y', bytes, end->size);
            if (error >= 0)
                error = sd_bus_send(end->bus, reply, NULL);
            sd_bus_message_unref(reply);
        }
    }
    end->number++;
    if (error < 0)
        end->error = error;
    return 1;
}

static int phase(void *context, const struct task *task, uint64_t count)
{
    struct end *end = context;
    sd_bus_message *message;
    int error;

    end->number = 0;
    end->size = task->size;
    error = work(end, count);
    if (error == 0 && task->work == WORK_ONE_WAY) {
        error = new_call(end, &message, "Done", ACKNOWLEDGEMENT_SIZE, count);
        if (error < 0)
            return error;
        error = sd_bus_message_set_expect_reply(message, 0);
        if (error >= 0)
            error = sd_bus_send(end->bus, message, NULL);
        sd_bus_message_unref(message);
    }
    return error < 0 ? error : drain(end);
}

static int child(int fd, const struct trial *trial)
{
    struct end end = {0};
    int error = end_open(&end, fd, true);

    if (error == 0)
        error = sd_bus_add_filter(end.bus, NULL, on_call, &end);
    return error < 0 ? error : side_serve(trial, phase, &end);
}

static const char *unavailable(const struct peer *peer, const struct task *task)
{
    (void)peer;
    return task->corked ? "it has no way to collect messages" : NULL;
}

static int open_pair(const struct peer *peer, const struct trial *trial, void **ret)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    int error;

    (void)peer;
    if (!pair)
        return -ENOMEM;
    signal(SIGPIPE, SIG_IGN);
    error = hand_made_open(&pair->hand_made, SOCK_STREAM, 0, child, trial);
    if (error < 0) {
        free(pair);
        return error;
    }
    *ret = pair;
    /* The bus closes its descriptors by itself. */
    return end_open(&pair->end, dup(pair->hand_made.fd), false);
}

static int round_trip(void *context, size_t size, uint64_t count)
{
    struct end *end = &((struct pair *)context)->end;
    int error = 0;

    for (uint64_t i = 0; i < count && error == 0; i++) {
        sd_bus_message *message;
        sd_bus_message *reply;
        const void *bytes;

        error = new_call(end, &message, "Echo", size, i);
        if (error < 0)
            return error;
        error = sd_bus_call(end->bus, message, UINT64_MAX, NULL, &reply);
        sd_bus_message_unref(message);
        if (error < 0)
            return error;
        error = check(reply, size, i, &bytes);
        sd_bus_message_unref(reply);
    }
    return error;
}

static int one_way(void *context, size_t size, uint64_t count, bool corked)
{
    struct end *end = &((struct pair *)context)->end;
    sd_bus_message *done = NULL;
    const void *bytes;
    int error = 0;

    (void)corked;
    for (uint64_t i = 0; i < count && error >= 0; i++) {
        sd_bus_message *message;

        error = new_call(end, &message, "Take", size, i);
        if (error < 0)
            return error;
        error = sd_bus_message_set_expect_reply(message, 0);
        if (error >= 0)
            error = sd_bus_send(end->bus, message, NULL);
        sd_bus_message_unref(message);
        if (error >= 0)
            error = drain(end);
    }
    while (error >= 0 && !done) {
        error = sd_bus_process(end->bus, &done);
        if (error == 0)
            error = sd_bus_wait(end->bus, UINT64_MAX);
    }
    if (error >= 0)
        error = check(done, ACKNOWLEDGEMENT_SIZE, count, &bytes);
    sd_bus_message_unref(done);
    return error;
}

static int on_reply(sd_bus_message *reply, void *context, sd_bus_error *error_details)
{
    struct end *end = context;
    const void *bytes;
    int error = sd_bus_message_is_method_error(reply, NULL) ? -EREMOTEIO : 0;

    (void)error_details;
    if (error == 0)
        error = check(reply, end->size, end->number, &bytes);
    end->number++;
    if (error < 0)
        end->error = error;
    return 1;
}

static int calls(void *context, size_t size, uint64_t count, bool corked)
{
    struct end *end = &((struct pair *)context)->end;
    uint64_t asked = 0;
    int error = 0;

    (void)corked;
    end->number = 0;
    end->size = size;
    while (end->number < count && error >= 0) {
        while (asked < count && asked < end->number + CALLS_OPEN && error >= 0) {
            sd_bus_message *message;

            error = new_call(end, &message, "Echo", size, asked++);
            if (error < 0)
                return error;
            error = sd_bus_call_async(end->bus, NULL, message, on_reply, end, UINT64_MAX);
            sd_bus_message_unref(message);
        }
        if (error >= 0)
            error = work(end, end->number + 1);
    }
    return error < 0 ? error : 0;
}

static int close_pair(void *context)
{
    struct pair *pair = context;
    int error;

    sd_bus_close(pair->end.bus);
    error = hand_made_close(&pair->hand_made);
    sd_bus_unref(pair->end.bus);
    free(pair);
    return error;
}

#else
#define PEER_IS_ABSENT "libsystemd-dev"
#include "peers/absent.h"
#include "peers/absent_work.h"
#endif

const struct peer peer_sdbus = {
    .name = "sdbus",
    .about = "sd-bus from end to end of a socketpair: method calls with arrays of bytes",
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = round_trip,
    .one_way = one_way,
    .calls = calls,
    .close = close_pair,
};
