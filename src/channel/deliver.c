/* SPDX-License-Identifier: MIT */
/*
 * From the channel to its user: who gets a message that has come. Most go to dx_recv(); a request
 * goes to the handler, if there is one; an answer goes to the dx_call() that waits for it. What
 * comes while a call waits for something else is kept for later, in order.
 */
#include "channel/internal.h"
#include "channel/quick.h"

#include <errno.h>

enum {
    /* Descriptors that are kept for later, as multiples of what one message may bear. */
    KEPT_MESSAGES = 4,
    /* So many requests are handled before a receive that must not wait returns. */
    HANDLED_MAX = 1024,
    /* Of an error's text, in the sentence that explains it. */
    QUOTED_MAX = 200,
};

/* The message that the user had ends here. One that could not be kept stays where it is. */
static void release(dx_channel *channel)
{
    if (channel->calls.stash.lent != NULL)
        dxi_stash_release(&channel->calls.stash);
    if (!channel->calls.held)
        dxi_inbox_release(&channel->in);
    if (channel->lane.lent)
        dxi_lane_release(channel);
}

/* For whom a message is, if nobody takes it now. */
static enum dxi_keeping keeping_of(const dx_message *message, bool waited)
{
    if (waited)
        return DXI_KEEP_ANSWER;
    return message->kind == DX_REQUEST ? DXI_KEEP_REQUEST : DXI_KEEP_MESSAGE;
}

/* Copy a message into the stash. 0; -EDEADLK if that is full; -ENOMEM. */
static int stash(dx_channel *channel, const dx_message *message, bool waited)
{
    struct dxi_calls *calls = &channel->calls;
    size_t descriptors = calls->stash.descriptor_count + message->descriptor_count;

    if (descriptors > (size_t)channel->descriptor_limit * KEPT_MESSAGES)
        return dxi_channel_fail(
            channel, -EDEADLK,
            "%zu descriptors wait here to be received: what a call waits for is "
            "behind them",
            descriptors);
    if (calls->stash.size + message->size > channel->receive_backlog)
        return dxi_channel_fail(channel, -EDEADLK,
                                "%zu bytes wait here to be received, the limit is %zu: what a call "
                                "waits for is behind them",
                                calls->stash.size + message->size, channel->receive_backlog);
    if (dxi_stash_keep(&calls->stash, message, keeping_of(message, waited)) < 0)
        return dxi_channel_fail(channel, -ENOMEM, "no memory to keep a message of %zu bytes",
                                message->size);
    channel->in.message_descriptor_count = 0;
    return 0;
}

/* Keep the message that was received last for a later receive. What cannot be kept is held. */
static int keep(dx_channel *channel, const dx_message *message)
{
    struct dxi_calls *calls = &channel->calls;
    int status = stash(channel, message, calls->waited);

    calls->held = status < 0;
    if (calls->held) {
        calls->held_message = *message;
        calls->held_waited = calls->waited;
    }
    return status;
}

/* Make way for another message: try again to keep the one that is held. */
static int keep_held(dx_channel *channel)
{
    struct dxi_calls *calls = &channel->calls;
    int status = calls->held ? stash(channel, &calls->held_message, calls->held_waited) : 0;

    if (status == 0 && calls->held) {
        calls->held = false;
        dxi_inbox_release(&channel->in);
    }
    return status;
}

/* Whether a request goes to the handler now. Those that come beyond the bound are kept for later. */
static bool is_handled(const dx_channel *channel, const dx_message *message)
{
    return message->kind == DX_REQUEST && channel->calls.handler != NULL &&
           channel->calls.handling < DX_HANDLERS_MAX;
}

/*
 * Pass a request to its handler. The caller holds in_lock, which is released meanwhile. 0, or -ECHILD
 * in a child that the handler has forked.
 */
static int handle(dx_channel *channel, const dx_message *request)
{
    struct dxi_calls *calls = &channel->calls;
    dx_request_handler *handler = calls->handler;
    void *context = calls->context;
    uint64_t id = request->id;

    calls->handling++;
    dxi_unlock(&channel->in_lock);
    int answer = handler(channel, request, context);
    int status = dxi_channel_check(channel);

    if (status == 0 && answer < 0)
        dxi_calls_refuse(channel, id, answer);
    /* In a forked child whoever held the lock is no more, and nothing but the way out is left. */
    if (status < 0)
        dxi_lock_open(&channel->in_lock);
    dxi_lock(&channel->in_lock);
    calls->handling--;
    return status;
}

/* Lend the message that could not be kept, if nobody else waits for it. */
static bool take_held(dx_channel *channel, dx_message *ret)
{
    struct dxi_calls *calls = &channel->calls;

    if (!calls->held || calls->held_waited)
        return false;
    calls->held = false;
    *ret = calls->held_message;
    return true;
}

/* The next of what was kept: while the handlers are too many, of messages alone. */
static bool take_kept(dx_channel *channel, dx_message *ret)
{
    struct dxi_calls *calls = &channel->calls;

    if (calls->handler != NULL && calls->handling >= DX_HANDLERS_MAX)
        return dxi_stash_first(&calls->stash, DXI_KEEP_MESSAGE, ret);
    return dxi_stash_next(&calls->stash, ret) || take_held(channel, ret);
}

/*
 * A request of ours is over. What has come before we looked is in time: what lies here is delivered
 * first, and the kernel is asked once. 1: a message; -ETIME: nothing, so the request has failed.
 */
static int look_before_expiry(dx_channel *channel, dx_message *ret)
{
    struct dxi_calls *calls = &channel->calls;
    uint64_t id = dxi_requests_first(&calls->ours, DXI_LINE_TIMED)->id;
    int status = dxi_channel_next(channel, ret);

    if (status == -EAGAIN && calls->looked_for != id) {
        status = dxi_channel_fill(channel, SIZE_MAX);
        if (status >= 0) {
            calls->looked_for = id;
            status = dxi_channel_next(channel, ret);
        }
    }
    return status == -EAGAIN ? -ETIME : status;
}

/* The next message, or a request of ours that is over, or the end. As dx_recv(). */
static int receive_next(dx_channel *channel, dx_message *ret, struct dxi_patience *patience)
{
    struct dxi_calls *calls = &channel->calls;
    int status = keep_held(channel);

    calls->waited = false;
    if (status < 0)
        return status;
    uint64_t earliest = dxi_requests_earliest(&calls->ours);

    if (earliest != UINT64_MAX && earliest <= dxi_os->now_ns())
        status = look_before_expiry(channel, ret);
    else
        status = dxi_channel_receive(channel, ret, patience);
    if (status == -ETIME && dxi_calls_expire(channel, ret))
        return 1;
    /* First each request of ours that has no answer is told, one with each call. */
    if ((status == 0 || status == -EPIPE || status == -EPROTO) &&
        dxi_calls_bereave(channel, status, ret))
        return 1;
    return status;
}

/* As dx_recv(), which has looked for what is quick already. */
static int deliver(dx_channel *channel, dx_message *ret, struct dxi_patience *patience)
{
    struct dxi_calls *calls = &channel->calls;
    unsigned handled = 0;
    int status = -ETIME;

    while (status == -ETIME) {
        /* A handler takes its time, and requests may come without end. */
        if (handled > 0 &&
            (patience->timeout_ms == DX_NOW ? handled >= HANDLED_MAX : dxi_patience_over(patience)))
            return dxi_channel_fail(channel, -ETIMEDOUT,
                                    "the peer sent nothing but requests until the deadline");
        release(channel);
        calls->waited = false;
        status = take_kept(channel, ret) ? 1 : receive_next(channel, ret, patience);
        if (status != 1)
            continue;
        if (is_handled(channel, ret)) {
            status = handle(channel, ret);
            handled++;
        } else if (calls->waited || (ret->kind == DX_REQUEST && calls->handler != NULL)) {
            /* It is for a dx_call() further out, or for the handler when there are fewer. */
            status = keep(channel, ret);
        } else {
            return 1;
        }
        if (status == 0)
            status = -ETIME;
    }
    return status;
}

/*
 * Node sends nothing more until it is answered, and what it has answered is open here until that is
 * noted; the user may take his time.
 */
static void answer_node(dx_channel *channel)
{
    if (channel->framing == &dxi_framing_node)
        dxi_channel_flush_now(channel);
}

/* With the lock, and with all that the quick way leaves out. */
static __attribute__((noinline)) int receive_long(dx_channel *channel, dx_message *ret,
                                                  int timeout_ms)
{
    struct dxi_patience patience = {.timeout_ms = timeout_ms, .for_calls = true};
    int status = dxi_channel_check(channel);

    if (status < 0)
        return status;
    if (ret == NULL)
        return dxi_channel_fail(channel, -EINVAL, "dx_recv() needs a message to fill");
    dxi_lock(&channel->in_lock);
    release(channel);
    if (channel->calls.stash.size == 0 && !channel->calls.held &&
        dxi_quick_receive(channel, ret, timeout_ms)) {
        channel->waits_first = 0;
        status = 1;
    } else {
        status = deliver(channel, ret, &patience);
    }
    dxi_unlock(&channel->in_lock);
    if (status != -ECHILD)
        answer_node(channel);
    return status;
}

int dx_recv(dx_channel *channel, dx_message *ret, int timeout_ms)
{
    if (dxi_single_threaded() && dxi_channel_check(channel) == 0 && ret != NULL &&
        dxi_quick_release(channel) && dxi_quick_receive(channel, ret, timeout_ms)) {
        channel->waits_first = 0;
        return 1;
    }
    return receive_long(channel, ret, timeout_ms);
}

/* The answer, if it has come while somebody else received. */
static bool find_answer(dx_channel *channel, uint64_t id, dx_message *ret)
{
    struct dxi_calls *calls = &channel->calls;

    if (calls->held && calls->held_waited && calls->held_message.id == id) {
        calls->held = false;
        *ret = calls->held_message;
        return true;
    }
    return dxi_stash_answer(&calls->stash, id, ret);
}

/* Receive once for a call. 1: it is the answer; 0: something else came, and was dealt with. */
static int await_once(dx_channel *channel, uint64_t id, dx_message *ret,
                      struct dxi_patience *patience)
{
    struct dxi_calls *calls = &channel->calls;
    bool handling = calls->handler != NULL && calls->handling < DX_HANDLERS_MAX;

    calls->waited = false;
    if (!handling || !dxi_stash_first(&calls->stash, DXI_KEEP_REQUEST, ret)) {
        int status = keep_held(channel);

        if (status < 0)
            return status;
        status = dxi_channel_receive(channel, ret, patience);
        if (status == 0)
            return dxi_channel_fail(channel, -EPIPE, "the peer ended without an answer");
        if (status == -EMFILE)
            return 0; /* the message itself comes next, and says so */
        if (status < 0)
            return status;
    }
    if (calls->waited && ret->id == id)
        return 1;
    if (!is_handled(channel, ret))
        return keep(channel, ret);
    int status = handle(channel, ret);

    if (status < 0)
        return status;
    release(channel);
    if (find_answer(channel, id, ret))
        return 1;
    if (dxi_patience_over(patience))
        return dxi_channel_fail(channel, -ETIMEDOUT,
                                "the peer sent requests, and no answer, until the deadline");
    return 0;
}

/* Wait for the answer to a request that was made. The caller holds in_lock. 0, or as dx_call(). */
static int await(dx_channel *channel, uint64_t id, dx_message *ret, struct dxi_patience *patience)
{
    int status = 0;

    while (status == 0) {
        release(channel);
        status = await_once(channel, id, ret, patience);
    }
    return status < 0 ? status : 0;
}

/* The peer's words as a part of a sentence: no more than fits, and nothing that moves a terminal. */
static void quote(const dx_message *error, char *ret, size_t size)
{
    const unsigned char *text = error->data;
    size_t length = error->size < size - 1 ? error->size : size - 1;

    /* Not in the middle of a character of UTF-8. */
    while (length > 0 && length < error->size && (text[length] & 0xC0) == 0x80)
        length--;
    for (size_t i = 0; i < length; i++)
        ret[i] = (char)(text[i] < ' ' || text[i] == 0x7F ? ' ' : text[i]);
    ret[length] = '\0';
}

static int call(dx_channel *channel, const dx_message *request, dx_message *ret, int timeout_ms)
{
    struct dxi_patience patience = {.timeout_ms = timeout_ms};
    char text[QUOTED_MAX];
    uint64_t id;
    int status = dxi_calls_start(channel, request, true, &patience, &id);

    if (status < 0)
        return status;
    dxi_lock(&channel->in_lock);
    status = await(channel, id, ret, &patience);
    if (status < 0 && status != -ECHILD)
        dxi_calls_abandon(channel, id);
    dxi_unlock(&channel->in_lock);
    if (status == -ECHILD)
        return status;
    answer_node(channel);
    if (status < 0 || ret->kind != DX_ERROR)
        return status;
    quote(ret, text, sizeof(text));
    return dxi_channel_fail(channel, -EREMOTEIO, "the peer answered with the error %d: %s",
                            ret->code, text);
}

int dx_call_message(dx_channel *channel, const dx_message *request, dx_message *ret_reply,
                    int timeout_ms)
{
    int status = dxi_channel_check(channel);

    if (status < 0)
        return status;
    if (ret_reply == NULL)
        return dxi_channel_fail(channel, -EINVAL, "dx_call() needs a message to fill");
    status = dxi_channel_check_message(channel, request);
    return status < 0 ? status : call(channel, request, ret_reply, timeout_ms);
}

int dx_call(dx_channel *channel, const void *data, size_t size, dx_message *ret_reply,
            int timeout_ms)
{
    dx_message request = {.data = data, .size = size};

    return dx_call_message(channel, &request, ret_reply, timeout_ms);
}
