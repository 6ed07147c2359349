/* SPDX-License-Identifier: MIT */
/*
 * nng: the pair protocol over its transport for processes of one machine, with messages of its own
 * making, which its manual prefers to copied buffers, and queues for those that are under way. Many
 * requests are open at once as that many messages. It has threads of its own, which run on the
 * processor of their side.
 */
#include "peers/whole.h"

#include <errno.h>

#ifdef HAVE_NNG

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdio.h>

struct end {
    struct whole whole;
    nng_socket socket;
    nng_msg *last; /* received, and not sent back */
};

static int as_errno(int result)
{
    if (result == 0)
        return 0;
    return result == NNG_ECLOSED || result == NNG_ECONNSHUT ? -EPIPE : -EIO;
}

static int send_message(struct end *end, nng_msg *message)
{
    int result = nng_sendmsg(end->socket, message, 0);

    if (result != 0)
        nng_msg_free(message);
    return as_errno(result);
}

static int send_new(void *context, size_t size, uint64_t number)
{
    struct end *end = context;
    nng_msg *message = end->last;

    end->last = NULL;
    if (message && nng_msg_len(message) != size) {
        nng_msg_free(message);
        message = NULL;
    }
    if (!message && nng_msg_alloc(&message, size) != 0)
        return -ENOMEM;
    message_stamp(nng_msg_body(message), size, number);
    return send_message(end, message);
}

static int send_back(void *context)
{
    struct end *end = context;
    nng_msg *message = end->last;

    end->last = NULL;
    return send_message(end, message);
}

static int receive(void *context, size_t size, uint64_t number)
{
    struct end *end = context;
    int result;

    if (end->last)
        nng_msg_free(end->last);
    end->last = NULL;
    result = nng_recvmsg(end->socket, &end->last, 0);
    if (result != 0)
        return as_errno(result);
    if (nng_msg_len(end->last) != size)
        return -EBADMSG;
    return message_check(nng_msg_body(end->last), size, number) ? 0 : -EBADMSG;
}

static int end_open(void *context, const char *name, const struct task *task, bool child)
{
    struct end *end = context;
    char address[WHOLE_NAME_SIZE + 16];
    int result = nng_pair0_open(&end->socket);

    snprintf(address, sizeof(address), "abstract://%s", name);
    if (result == 0)
        result = nng_socket_set_int(end->socket, NNG_OPT_SENDBUF, whole_queue(task->size));
    if (result == 0)
        result = nng_socket_set_int(end->socket, NNG_OPT_RECVBUF, whole_queue(task->size));
    if (result == 0)
        result = child ? nng_listen(end->socket, address, NULL, 0)
                       : nng_dial(end->socket, address, NULL, 0);
    return as_errno(result);
}

static void end_close(void *context)
{
    struct end *end = context;

    nng_close(end->socket);
}

static const struct whole_functions functions = {send_new, receive, send_back, NULL};
static const struct whole_named named = {sizeof(struct end), &functions, end_open, end_close};

static const char *unavailable(const struct peer *peer, const struct task *task)
{
    (void)peer;
    return task->corked ? "it has no way to collect messages" : NULL;
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
#define PEER_IS_ABSENT "libnng-dev"
#include "peers/absent.h"
#endif

const struct peer peer_nng = {
    .name = "nng",
    .about = "nng: pair0 over abstract://",
    .unavailable = unavailable,
    .open = open_pair,
    .round_trip = whole_round_trip,
    .one_way = whole_one_way,
    .calls = whole_calls,
    .close = close_pair,
};
