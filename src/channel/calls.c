/* SPDX-License-Identifier: MIT */
/*
 * Calls: the books of open requests, ours and the peer's, and how ours begin and end.
 *
 * A request of ours is entered before it is sent, because its answer may be there before the send
 * returns; one that could not be sent is struck out, and its id given to the next. The receiver
 * never sends by itself what a sender in another thread might be in the middle of: that a request
 * has ended here is noted as due, and leaves with whatever is sent next. See answers.c.
 */
#include "channel/internal.h"
#include "channel/quick.h"

#include "os/os.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int violation(dx_channel *channel, enum dxi_violation what, uint64_t value, uint64_t limit)
{
    channel->in.decoder.fault = (struct dxi_fault){what, value, limit};
    return -EPROTO;
}

/* Receiving. */

void dxi_calls_strike(struct dxi_calls *calls, struct dxi_requests *requests,
                      struct dxi_request *request)
{
    if (request->line == DXI_LINE_DUE)
        atomic_fetch_sub_explicit(&calls->due, 1, memory_order_seq_cst);
    dxi_requests_remove(requests, request);
}

static int sort_request(dx_channel *channel, const dx_message *message)
{
    struct dxi_calls *calls = &channel->calls;
    struct dxi_requests *theirs = &calls->theirs;
    bool leaving = calls->leaving_id != 0 && dxi_requests_find(theirs, calls->leaving_id) != NULL;

    if (leaving && message->id == calls->leaving_id) {
        /* The peer has the answer already, and uses the id again: the place is the new one's. */
        calls->leaving_id = 0;
        return 1;
    }
    if (theirs->count - leaving >= calls->their_limit)
        return violation(channel, DXI_VIOLATION_REQUEST_LIMIT, calls->their_limit, 0);
    if (dxi_requests_add(theirs, message->id) == NULL)
        return violation(channel, DXI_VIOLATION_DUPLICATE_REQUEST, message->id, 0);
    return 1;
}

static int sort_answer(dx_channel *channel, const dx_message *message)
{
    struct dxi_calls *calls = &channel->calls;
    struct dxi_request *request = dxi_requests_find(&calls->ours, message->id);

    if (message->id > calls->last_id)
        return violation(channel, DXI_VIOLATION_UNKNOWN_REPLY, message->id, 0);
    if (calls->elsewhere)
        return 1;
    if (request == NULL || request->line == DXI_LINE_DUE)
        return 0;
    calls->waited = request->waited;
    dxi_requests_remove(&calls->ours, request);
    return 1;
}

static int sort_cancel(dx_channel *channel, const dx_message *message)
{
    struct dxi_calls *calls = &channel->calls;
    struct dxi_request *request = dxi_requests_find(&calls->theirs, message->id);

    if (request == NULL)
        return 0;
    bool refused = request->line == DXI_LINE_DUE;

    /* Its answer may be leaving. The peer may use the id again: whoever does is another. */
    if (calls->leaving_id == message->id)
        calls->leaving_id = 0;
    dxi_calls_strike(calls, &calls->theirs, request);
    return refused ? 0 : 1;
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

void dxi_calls_note_due(dx_channel *channel, struct dxi_requests *requests,
                        struct dxi_request *request)
{
    dxi_requests_line_up(requests, request, DXI_LINE_DUE);
    dxi_channel_note_due(channel, &channel->calls.due);
}

/* Our request has ended, and its answer may still come. */
static void end_early(dx_channel *channel, struct dxi_request *request)
{
    struct dxi_calls *calls = &channel->calls;

    if (!channel->framing->has_ids) {
        dxi_requests_remove(&calls->ours, request);
        return;
    }
    dxi_calls_note_due(channel, &calls->ours, request);
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

    dxi_lock(&channel->in_lock);
    size_t open = !channel->framing->has_ids ? calls->last_id - calls->answered
                  : calls->elsewhere         ? calls->open
                                             : calls->ours.count;
    int status = open >= limit ? -EBUSY : calls->elsewhere ? 0 : dxi_requests_reserve(&calls->ours);

    if (channel->inbound == DXI_INBOUND_OVER)
        status = -EPIPE;
    if (status == 0)
        calls->last_id++;
    if (status == 0 && !calls->elsewhere)
        dxi_requests_add(&calls->ours, calls->last_id)->waited = waited;
    dxi_unlock(&channel->in_lock);
    if (status == -EBUSY)
        return dxi_channel_fail(channel, status, "%zu requests are open, which is the limit", open);
    if (status == -EPIPE)
        return dxi_channel_fail(channel, status, "the peer has ended, and will not answer");
    if (status < 0)
        return dxi_channel_fail(channel, status, "no memory for a request");
    return 0;
}

/*
 * It was sent, or was not and never existed. The caller holds out_lock. Returns status, or -EPIPE if
 * the end has come meanwhile, and was told: nobody would tell of this one.
 */
static int settle(dx_channel *channel, int status, const struct dxi_patience *patience)
{
    struct dxi_calls *calls = &channel->calls;

    dxi_lock(&channel->in_lock);
    struct dxi_request *request = dxi_requests_find(&calls->ours, calls->last_id);

    if (status == 0 && request != NULL && channel->inbound == DXI_INBOUND_OVER)
        status = dxi_channel_fail(channel, -EPIPE, "the peer ended without an answer");
    else if (status == 0 && request != NULL && !request->waited) {
        request->deadline_ns = patience->deadline_ns;
        dxi_requests_line_up(&calls->ours, request,
                             patience->timeout_ms > 0 ? DXI_LINE_TIMED : DXI_LINE_UNTIMED);
    }
    if (status < 0) {
        if (request != NULL)
            dxi_calls_strike(calls, &calls->ours, request);
        calls->last_id--;
        /* What came meanwhile was taken for its answer. */
        if (calls->answered > calls->last_id)
            calls->answered = calls->last_id;
    }
    dxi_unlock(&channel->in_lock);
    return status;
}

int dxi_calls_start(dx_channel *channel, const dx_message *request, bool waited,
                    struct dxi_patience *patience, uint64_t *ret_id)
{
    enum dxi_kind kind = channel->framing->has_ids ? DXI_KIND_REQUEST : DXI_KIND_MESSAGE;
    unsigned limit;

    /* The deadline is the whole call's, from its beginning. */
    (void)dxi_patience_deadline(patience);
    dxi_lock(&channel->out_lock);
    int status = dxi_channel_check_open(channel);

    if (status == 0)
        status = limit_now(channel, &limit);
    if (status == 0)
        status = enter(channel, limit, waited);
    if (status == 0) {
        uint64_t id = channel->calls.last_id;

        status =
            dxi_channel_send(channel, request, kind, channel->framing->has_ids ? id : 0, patience);
        status = settle(channel, status, patience);
        *ret_id = id;
    }
    dxi_unlock(&channel->out_lock);
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

/* The quick way of dx_call_start(), where there is one thread. False: the long one must be gone. */
static bool start_quick(dx_channel *channel, const void *data, size_t size, uint64_t *ret_id,
                        int timeout_ms)
{
    struct dxi_calls *calls = &channel->calls;

    if (calls->ours.count >= calls->quick_limit || calls->ours.free == 0 ||
        channel->inbound == DXI_INBOUND_OVER)
        return false;
    /* From the beginning of the call. */
    uint64_t deadline_ns = timeout_ms > 0 ? dxi_deadline(timeout_ms) : UINT64_MAX;

    if (!dxi_quick_send(channel, data, size, DXI_KIND_REQUEST, calls->last_id + 1))
        return false;
    struct dxi_request *request = dxi_requests_add(&calls->ours, ++calls->last_id);

    request->deadline_ns = deadline_ns;
    dxi_requests_line_up(&calls->ours, request, timeout_ms > 0 ? DXI_LINE_TIMED : DXI_LINE_UNTIMED);
    if (ret_id != NULL)
        *ret_id = calls->last_id;
    return true;
}

int dx_call_start(dx_channel *channel, const void *data, size_t size, uint64_t *ret_id,
                  int timeout_ms)
{
    if (dxi_single_threaded() && dxi_channel_check(channel) == 0 && (data != NULL || size == 0) &&
        start_quick(channel, data, size, ret_id, timeout_ms))
        return 0;

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
    dxi_lock(&channel->in_lock);
    struct dxi_request *request = find_started(channel, id);

    if (request != NULL) {
        request->deadline_ns = dxi_deadline(timeout_ms);
        dxi_requests_line_up(&channel->calls.ours, request,
                             timeout_ms < 0 ? DXI_LINE_UNTIMED : DXI_LINE_TIMED);
    }
    dxi_unlock(&channel->in_lock);
    return request != NULL ? 0 : not_open(channel, id);
}

static void flush_unless_corked(dx_channel *channel)
{
    if (!dxi_trylock(&channel->out_lock))
        return;
    bool corked = channel->out.corked;

    dxi_unlock(&channel->out_lock);
    if (!corked)
        dxi_channel_flush_now(channel);
}

int dx_cancel(dx_channel *channel, uint64_t id)
{
    int status = dxi_channel_check(channel);

    if (status < 0)
        return status;
    dxi_lock(&channel->in_lock);
    struct dxi_request *request = find_started(channel, id);

    if (request != NULL)
        end_early(channel, request);
    dxi_unlock(&channel->in_lock);
    if (request == NULL)
        return not_open(channel, id);
    flush_unless_corked(channel);
    return 0;
}
