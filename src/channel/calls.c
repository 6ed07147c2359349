/* SPDX-License-Identifier: MIT */
/*
 * Calls: the books of open requests, ours and the peer's, and what is sent for them.
 *
 * A request of ours is entered before it is sent, because its answer may be there before the send
 * returns; one that could not be sent is struck out, and its id given to the next. The receiver
 * never sends by itself what a sender in another thread might be in the middle of: that a request
 * has ended here is noted as due, and leaves with whatever is sent next.
 */
#include "channel/internal.h"

#include "os/os.h"
#include "wire/bytes.h"
#include "wire/native.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int violation(dx_channel *channel, enum dxi_violation what, uint64_t value, uint64_t limit)
{
    channel->in.decoder.fault = (struct dxi_fault){what, value, limit};
    return -EPROTO;
}

/* Receiving. */

static int sort_request(dx_channel *channel, const dx_message *message)
{
    struct dxi_requests *theirs = &channel->calls.theirs;

    if (theirs->count >= theirs->limit)
        return violation(channel, DXI_VIOLATION_REQUEST_LIMIT, theirs->limit, theirs->limit);
    if (dxi_requests_find(theirs, message->id) != NULL)
        return violation(channel, DXI_VIOLATION_DUPLICATE_REQUEST, message->id, 0);
    dxi_requests_add(theirs, message->id);
    return 1;
}

static int sort_answer(dx_channel *channel, const dx_message *message)
{
    struct dxi_calls *calls = &channel->calls;
    struct dxi_request *request = dxi_requests_find(&calls->ours, message->id);

    if (message->id > calls->last_id)
        return violation(channel, DXI_VIOLATION_UNKNOWN_REPLY, message->id, 0);
    if (request == NULL || request->line == DXI_LINE_DUE)
        return 0;
    calls->waited = request->waited;
    dxi_requests_remove(&calls->ours, request);
    return 1;
}

static int sort_cancel(dx_channel *channel, const dx_message *message)
{
    struct dxi_requests *theirs = &channel->calls.theirs;
    struct dxi_request *request = dxi_requests_find(theirs, message->id);

    if (request == NULL)
        return 0;
    dxi_requests_remove(theirs, request);
    return 1;
}

int dxi_calls_sort(dx_channel *channel, dx_message *message)
{
    struct dxi_calls *calls = &channel->calls;

    calls->waited = false;
    switch (message->kind) {
    case DX_REQUEST:
        return sort_request(channel, message);
    case DX_REPLY:
    case DX_ERROR:
        return sort_answer(channel, message);
    case DX_CANCEL:
        return sort_cancel(channel, message);
    case DX_MESSAGE:
        if (channel->framing->has_ids || calls->answered == calls->last_id)
            return 1;
        /* Without ids answers come in the order of the requests, those included that have ended. */
        message->kind = DX_REPLY;
        message->id = ++calls->answered;
        return sort_answer(channel, message);
    default:
        return 1;
    }
}

/* Our request has ended, and its answer may still come. */
static void end_early(dx_channel *channel, struct dxi_request *request)
{
    struct dxi_calls *calls = &channel->calls;

    if (!channel->framing->has_ids) {
        dxi_requests_remove(&calls->ours, request);
        return;
    }
    dxi_requests_line_up(&calls->ours, request, DXI_LINE_DUE);
    atomic_fetch_add_explicit(&calls->due, 1, memory_order_relaxed);
    atomic_store_explicit(&channel->out_pending, true, memory_order_relaxed);
}

void dxi_calls_abandon(dx_channel *channel, uint64_t id)
{
    struct dxi_request *request = dxi_requests_find(&channel->calls.ours, id);

    if (request != NULL)
        end_early(channel, request);
}

static void fail_request(uint64_t id, int code, const char *text, dx_message *ret)
{
    *ret =
        (dx_message){.data = text, .size = strlen(text), .kind = DX_FAILED, .code = code, .id = id};
}

bool dxi_calls_expire(dx_channel *channel, dx_message *ret)
{
    struct dxi_request *first = dxi_requests_first(&channel->calls.ours, DXI_LINE_TIMED);

    if (first == NULL || first->deadline_ns > dxi_os->now_ns())
        return false;
    fail_request(first->id, -ETIMEDOUT, "the peer did not answer until the deadline", ret);
    end_early(channel, first);
    return true;
}

bool dxi_calls_bereave(dx_channel *channel, int result, dx_message *ret)
{
    struct dxi_requests *ours = &channel->calls.ours;
    struct dxi_request *first = dxi_requests_first(ours, DXI_LINE_TIMED);

    if (first == NULL)
        first = dxi_requests_first(ours, DXI_LINE_UNTIMED);
    if (first == NULL)
        return false;
    if (result == -EPROTO)
        fail_request(first->id, -EPROTO, "the peer broke the protocol before it answered", ret);
    else
        fail_request(first->id, -EPIPE, "the peer ended without an answer", ret);
    dxi_requests_remove(ours, first);
    return true;
}

/* Sending. */

/* How many requests of ours may be open now. 0 and -EOPNOTSUPP; the limit may be the peer's. */
static int limit_now(dx_channel *channel, unsigned *ret)
{
    *ret = channel->request_limit;
    if (channel->framing->has_no_borders)
        return dxi_channel_fail(channel, -EOPNOTSUPP,
                                "the framing '%s' has no messages that could be answers",
                                channel->framing->name);
    if (!channel->framing->greets)
        return 0;
    /* Pairs with the release in receive.c: what the peer said besides is there when this is. */
    if (atomic_load_explicit(&channel->peer_limit, memory_order_acquire) == 0)
        dxi_channel_take_in(channel);
    bool greeted = atomic_load_explicit(&channel->peer_limit, memory_order_acquire) != 0;
    unsigned accepted = greeted
                            ? atomic_load_explicit(&channel->peer_requests, memory_order_relaxed)
                            : (unsigned)DXI_REQUESTS_UNGREETED;

    if (accepted == 0)
        return dxi_channel_fail(channel, -EOPNOTSUPP, "the peer takes no requests");
    if (accepted < *ret)
        *ret = accepted;
    return 0;
}

/* Enter a request of ours that is about to be sent. The caller holds out_lock. */
static int enter(dx_channel *channel, unsigned limit, bool waited)
{
    struct dxi_calls *calls = &channel->calls;

    pthread_mutex_lock(&channel->in_lock);
    size_t open = channel->framing->has_ids ? calls->ours.count : calls->last_id - calls->answered;
    int status = open >= limit ? -EBUSY : dxi_requests_reserve(&calls->ours);

    if (status == 0)
        dxi_requests_add(&calls->ours, ++calls->last_id)->waited = waited;
    pthread_mutex_unlock(&channel->in_lock);
    if (status == -EBUSY)
        return dxi_channel_fail(channel, status, "%zu requests are open, which is the limit", open);
    if (status < 0)
        return dxi_channel_fail(channel, status, "no memory for a request");
    return 0;
}

/* It was sent, or was not and never existed. The caller holds out_lock. */
static void settle(dx_channel *channel, int status, const struct dxi_patience *patience)
{
    struct dxi_calls *calls = &channel->calls;

    pthread_mutex_lock(&channel->in_lock);
    struct dxi_request *request = dxi_requests_find(&calls->ours, calls->last_id);

    if (status < 0) {
        if (request != NULL)
            dxi_requests_remove(&calls->ours, request);
        calls->last_id--;
        /* What came meanwhile was taken for its answer. */
        if (calls->answered > calls->last_id)
            calls->answered = calls->last_id;
    } else if (request != NULL && !request->waited) {
        request->deadline_ns = patience->deadline_ns;
        dxi_requests_line_up(&calls->ours, request,
                             patience->timeout_ms > 0 ? DXI_LINE_TIMED : DXI_LINE_UNTIMED);
    }
    pthread_mutex_unlock(&channel->in_lock);
}

int dxi_calls_start(dx_channel *channel, const dx_message *request, bool waited,
                    struct dxi_patience *patience, uint64_t *ret_id)
{
    enum dxi_kind kind = channel->framing->has_ids ? DXI_KIND_REQUEST : DXI_KIND_MESSAGE;
    unsigned limit;

    /* The deadline is the whole call's, from its beginning. */
    (void)dxi_patience_deadline(patience);
    pthread_mutex_lock(&channel->out_lock);
    int status = dxi_channel_check_open(channel);

    if (status == 0)
        status = limit_now(channel, &limit);
    if (status == 0)
        status = enter(channel, limit, waited);
    if (status == 0) {
        uint64_t id = channel->calls.last_id;

        status =
            dxi_channel_send(channel, request, kind, channel->framing->has_ids ? id : 0, patience);
        settle(channel, status, patience);
        *ret_id = id;
    }
    pthread_mutex_unlock(&channel->out_lock);
    if (status == 0)
        dxi_channel_hand_over(request);
    return status;
}

int dx_call_start_message(dx_channel *channel, const dx_message *request, uint64_t *ret_id,
                          int timeout_ms)
{
    struct dxi_patience patience = {.timeout_ms = timeout_ms};
    uint64_t id;
    int status = dxi_channel_check(channel);

    if (status == 0)
        status = dxi_channel_check_message(channel, request);
    if (status == 0)
        status = dxi_calls_start(channel, request, false, &patience, &id);
    if (status == 0 && ret_id != NULL)
        *ret_id = id;
    return status;
}

int dx_call_start(dx_channel *channel, const void *data, size_t size, uint64_t *ret_id,
                  int timeout_ms)
{
    dx_message request = {.data = data, .size = size};

    return dx_call_start_message(channel, &request, ret_id, timeout_ms);
}

/* The open request with this id whose answer dx_recv() is to bring, or NULL. Under in_lock. */
static struct dxi_request *find_started(dx_channel *channel, uint64_t id)
{
    struct dxi_request *request = dxi_requests_find(&channel->calls.ours, id);

    return request != NULL && (request->line == DXI_LINE_TIMED || request->line == DXI_LINE_UNTIMED)
               ? request
               : NULL;
}

static int not_open(dx_channel *channel, uint64_t id)
{
    return dxi_channel_fail(channel, -ENOENT, "no request of ours with the id %" PRIu64 " is open",
                            id);
}

int dx_call_deadline(dx_channel *channel, uint64_t id, int timeout_ms)
{
    int status = dxi_channel_check(channel);

    if (status < 0)
        return status;
    pthread_mutex_lock(&channel->in_lock);
    struct dxi_request *request = find_started(channel, id);

    if (request != NULL) {
        request->deadline_ns = dxi_deadline(timeout_ms);
        dxi_requests_line_up(&channel->calls.ours, request,
                             timeout_ms < 0 ? DXI_LINE_UNTIMED : DXI_LINE_TIMED);
    }
    pthread_mutex_unlock(&channel->in_lock);
    return request != NULL ? 0 : not_open(channel, id);
}

int dx_cancel(dx_channel *channel, uint64_t id)
{
    int status = dxi_channel_check(channel);

    if (status < 0)
        return status;
    pthread_mutex_lock(&channel->in_lock);
    struct dxi_request *request = find_started(channel, id);

    if (request != NULL)
        end_early(channel, request);
    pthread_mutex_unlock(&channel->in_lock);
    if (request == NULL)
        return not_open(channel, id);
    dxi_channel_flush_now(channel);
    return 0;
}

void dxi_calls_write_due(dx_channel *channel)
{
    struct dxi_calls *calls = &channel->calls;
    struct dxi_request *request;

    if (atomic_load_explicit(&calls->due, memory_order_relaxed) == 0)
        return;
    pthread_mutex_lock(&channel->in_lock);
    while ((request = dxi_requests_first(&calls->ours, DXI_LINE_DUE)) != NULL) {
        struct dxi_letter letter = {.kind = DXI_KIND_CANCEL, .id = request->id};

        /* For want of memory the peer is told later; where nothing can be sent, never. */
        if (channel->out.error == 0 && !channel->out.ended &&
            dxi_channel_leave(channel, &letter) < 0)
            break;
        dxi_requests_remove(&calls->ours, request);
        atomic_fetch_sub_explicit(&calls->due, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&channel->in_lock);
}

static bool is_open(dx_channel *channel, uint64_t id)
{
    pthread_mutex_lock(&channel->in_lock);
    bool open = dxi_requests_find(&channel->calls.theirs, id) != NULL;

    pthread_mutex_unlock(&channel->in_lock);
    return open;
}

static void close_request(dx_channel *channel, uint64_t id)
{
    struct dxi_requests *theirs = &channel->calls.theirs;

    pthread_mutex_lock(&channel->in_lock);
    struct dxi_request *request = dxi_requests_find(theirs, id);

    /* It may have been cancelled meanwhile. */
    if (request != NULL)
        dxi_requests_remove(theirs, request);
    pthread_mutex_unlock(&channel->in_lock);
}

/* The caller holds out_lock. */
static int answer(dx_channel *channel, uint64_t id, const dx_message *reply, enum dxi_kind kind,
                  struct dxi_patience *patience)
{
    if (!channel->framing->has_ids && kind == DXI_KIND_REPLY && id == 0)
        return dxi_channel_send(channel, reply, DXI_KIND_MESSAGE, 0, patience);
    if (!is_open(channel, id))
        return dxi_channel_fail(channel, -ENOENT,
                                "no request of the peer with the id %" PRIu64
                                " is open: it was answered or cancelled, or never came",
                                id);
    int status = dxi_channel_send(channel, reply, kind, id, patience);

    if (status == 0)
        close_request(channel, id);
    return status;
}

int dx_reply_message(dx_channel *channel, uint64_t id, const dx_message *reply, int timeout_ms)
{
    struct dxi_patience patience = {.timeout_ms = timeout_ms};
    int status = dxi_channel_check(channel);

    if (status == 0)
        status = dxi_channel_check_message(channel, reply);
    if (status < 0)
        return status;
    pthread_mutex_lock(&channel->out_lock);
    status = answer(channel, id, reply, DXI_KIND_REPLY, &patience);
    pthread_mutex_unlock(&channel->out_lock);
    if (status == 0)
        dxi_channel_hand_over(reply);
    return status;
}

int dx_reply(dx_channel *channel, uint64_t id, const void *data, size_t size, int timeout_ms)
{
    dx_message reply = {.data = data, .size = size};

    return dx_reply_message(channel, id, &reply, timeout_ms);
}

/* There must be room for the text and its NUL, which does not count. */
static size_t write_error(uint8_t *to, int code, const char *text)
{
    size_t size = strlen(text);

    dxi_store32(to, (uint32_t)code);
    memcpy(to + DXI_ERROR_SIZE_MIN, text, size + 1);
    return DXI_ERROR_SIZE_MIN + size;
}

int dx_reply_error(dx_channel *channel, uint64_t id, int code, const char *text, int timeout_ms)
{
    struct dxi_patience patience = {.timeout_ms = timeout_ms};
    uint8_t bytes[DXI_ERROR_SIZE_MAX + 1];
    int status = dxi_channel_check(channel);

    if (status < 0)
        return status;
    if (!channel->framing->has_ids)
        return dxi_channel_fail(channel, -EOPNOTSUPP, "the framing '%s' knows no errors",
                                channel->framing->name);
    if (text == NULL)
        text = "";
    if (strlen(text) > DX_ERROR_TEXT_MAX)
        return dxi_channel_fail(channel, -EMSGSIZE, "an error's text of %zu bytes; the most is %d",
                                strlen(text), DX_ERROR_TEXT_MAX);
    dx_message reply = {.data = bytes, .size = write_error(bytes, code, text)};

    pthread_mutex_lock(&channel->out_lock);
    status = answer(channel, id, &reply, DXI_KIND_ERROR, &patience);
    pthread_mutex_unlock(&channel->out_lock);
    return status;
}

void dxi_calls_refuse(dx_channel *channel, uint64_t id, int code)
{
    const char *text = dx_error_text(code);
    uint8_t bytes[DXI_ERROR_SIZE_MAX + 1];
    struct dxi_letter letter = {
        .data = bytes,
        .size = write_error(bytes, code, text),
        .kind = DXI_KIND_ERROR,
        .id = id,
    };
    int status = dx_reply_error(channel, id, code, text, DX_NOW);

    if (status != -ETIMEDOUT && status != -EDEADLK)
        return;
    /* There is no room for it now: it leaves later. So many are bounded by the requests open. */
    pthread_mutex_lock(&channel->out_lock);
    if (dxi_channel_leave(channel, &letter) == 0)
        close_request(channel, id);
    pthread_mutex_unlock(&channel->out_lock);
}

int dx_channel_on_request(dx_channel *channel, dx_request_handler *handler, void *context)
{
    int status = dxi_channel_check(channel);

    if (status < 0)
        return status;
    pthread_mutex_lock(&channel->in_lock);
    channel->calls.handler = handler;
    channel->calls.context = context;
    pthread_mutex_unlock(&channel->in_lock);
    return 0;
}
