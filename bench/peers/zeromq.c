/* SPDX-License-Identifier: MIT */
/*
 * ZeroMQ: a PAIR socket at each end over ipc://, with messages of its own making. It collects what
 * its sender's queue holds by itself. Many requests are open at once as that many messages. It has
 * a thread of its own in each process, which runs on the processor of its side.
 */
#include "peers/whole.h"

#include <errno.h>

#ifdef HAVE_ZEROMQ

#include <stdio.h>
#include <zmq.h>

struct end {
    struct whole whole;
    void *context;
    void *socket;
    zmq_msg_t last; /* received */
};

static int send_new(void *context, size_t size, uint64_t number)
{
    struct end *end = context;
    zmq_msg_t message;

    if (zmq_msg_init_size(&message, size) < 0)
        return -errno;
    message_stamp(zmq_msg_data(&message), size, number);
    return zmq_msg_send(&message, end->socket, 0) < 0 ? -errno : 0;
}

/* Sending empties the message, which is then ready to receive into. */
static int send_back(void *context)
{
    struct end *end = context;

    return zmq_msg_send(&end->last, end->socket, 0) < 0 ? -errno : 0;
}

static int receive(void *context, size_t size, uint64_t number)
{
    struct end *end = context;

    if (zmq_msg_recv(&end->last, end->socket, 0) < 0)
        return -errno;
    if (zmq_msg_size(&end->last) != size)
        return -EBADMSG;
    return message_check(zmq_msg_data(&end->last), size, number) ? 0 : -EBADMSG;
}

static int end_open(void *context, const char *name, const struct task *task, bool child)
{
    struct end *end = context;
    char address[WHOLE_NAME_SIZE + 16];
    int queue = whole_queue(task->size);
    int result;

    /* The at-sign stands for the abstract namespace. */
    snprintf(address, sizeof(address), "ipc://@%s", name);
    zmq_msg_init(&end->last);
    end->context = zmq_ctx_new();
    end->socket = end->context ? zmq_socket(end->context, ZMQ_PAIR) : NULL;
    if (!end->socket)
        return -errno;
    if (zmq_setsockopt(end->socket, ZMQ_SNDHWM, &queue, sizeof(queue)) < 0 ||
        zmq_setsockopt(end->socket, ZMQ_RCVHWM, &queue, sizeof(queue)) < 0)
        return -errno;
    result = child ? zmq_bind(end->socket, address) : zmq_connect(end->socket, address);
    return result < 0 ? -errno : 0;
}

static void end_close(void *context)
{
    struct end *end = context;

    zmq_msg_close(&end->last);
    if (end->socket)
        zmq_close(end->socket);
    if (end->context)
        zmq_ctx_term(end->context);
}

static const struct whole_functions functions = {send_new, receive, send_back, NULL};
static const struct whole_named named = {sizeof(struct end), &functions, end_open, end_close};

static const char *unavailable(const struct peer *peer, const struct task *task)
{
    (void)peer;
    return task->corked ? "it collects messages by itself: see the row that is not corked" : NULL;
}

static int open_pair(const struct peer *peer, const struct trial *trial, void **ret)
{
    (void)peer;
    return whole_named_open(&named, trial, ret);
}

static int close_pair(void *end)
{
    return whole_named_close(&named, end);
}

#else
#define PEER_IS_ABSENT "libzmq3-dev"
#include "peers/absent.h"
#endif

const struct peer peer_zeromq = {
    .name = "zeromq",
    .about = "ZeroMQ: PAIR over ipc:// with an abstract name",
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = whole_round_trip,
    .one_way = whole_one_way,
    .calls = whole_calls,
    .close = close_pair,
};
