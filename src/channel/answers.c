/* SPDX-License-Identifier: MIT */
/*
 * What is said of requests besides asking: answers to the peer's, by the user or for him, and that ours
 * have ended here.
 *
 * A request of the peer stays in its book until the answer has left, but while it leaves it no longer
 * counts: the peer may have the answer, and have asked again, before the send has returned.
 */
#include "channel/internal.h"
#include "channel/quick.h"

#include "os/os.h"
#include "wire/bytes.h"
#include "wire/native.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Write the payload of an ERROR into so much room; a text that is too long for it is cut. */
static size_t write_error(uint8_t *to, size_t room, int code, const char *text)
{
    size_t size = strnlen(text, room - DXI_ERROR_SIZE_MIN);

    dxi_store32(to, (uint32_t)code);
    memcpy(to + DXI_ERROR_SIZE_MIN, text, size);
    return DXI_ERROR_SIZE_MIN + size;
}

/* Put what is due of one book into the outbox, as far as that has room. */
static void write_book(dx_channel *channel, struct dxi_requests *requests, enum dxi_kind kind)
{
    bool possible = channel->out.error == 0 && !channel->out.ended;
    struct dxi_request *request;

    while ((request = dxi_requests_first(requests, DXI_LINE_DUE)) != NULL) {
        uint8_t bytes[DX_TEXT_SIZE];
        struct dxi_letter letter = {.kind = (uint8_t)kind, .id = request->id};

        if (kind == DXI_KIND_ERROR) {
            letter.data = bytes;
            letter.size =
                write_error(bytes, sizeof(bytes), request->code, dx_error_text(request->code));
        }
        /* What does not fit now leaves later; where nothing can be sent, never. */
        if (possible && (dxi_outbox_size(&channel->out) >= DXI_COALESCE ||
                         dxi_channel_leave(channel, &letter) < 0))
            return;
        dxi_calls_strike(&channel->calls, requests, request);
    }
}

void dxi_calls_write_due(dx_channel *channel)
{
    struct dxi_calls *calls = &channel->calls;

    if (atomic_load_explicit(&calls->due, memory_order_seq_cst) == 0)
        return;
    dxi_lock(&channel->in_lock);
    write_book(channel, &calls->ours, DXI_KIND_CANCEL);
    write_book(channel, &calls->theirs, DXI_KIND_ERROR);
    dxi_unlock(&channel->in_lock);
}

/* Begin to answer a request of theirs. false if it is not open. The caller holds out_lock. */
static bool begin_answer(dx_channel *channel, uint64_t id)
{
    struct dxi_calls *calls = &channel->calls;

    dxi_lock(&channel->in_lock);
    struct dxi_request *request = dxi_requests_find(&calls->theirs, id);
    bool open = request != NULL && request->line == DXI_LINE_NONE;

    calls->leaving_id = open ? id : 0;
    dxi_unlock(&channel->in_lock);
    return open;
}

/* It was answered, or was not and is still open. It may have been cancelled meanwhile. */
static void end_answer(dx_channel *channel, bool answered)
{
    struct dxi_calls *calls = &channel->calls;

    dxi_lock(&channel->in_lock);
    struct dxi_request *request = dxi_requests_find(&calls->theirs, calls->leaving_id);

    if (answered && request != NULL)
        dxi_calls_strike(calls, &calls->theirs, request);
    calls->leaving_id = 0;
    dxi_unlock(&channel->in_lock);
}

/* The caller holds out_lock. */
static int answer(dx_channel *channel, uint64_t id, const dx_message *reply, enum dxi_kind kind,
                  struct dxi_patience *patience)
{
    if (!channel->framing->has_ids && kind == DXI_KIND_REPLY && id == 0)
        return dxi_channel_send(channel, reply, DXI_KIND_MESSAGE, 0, patience);
    if (!begin_answer(channel, id))
        return dxi_channel_fail(channel, -ENOENT,
                                "no request of the peer with the id %" PRIu64
                                " is open: it was answered or cancelled, or never came",
                                id);
    int status = dxi_channel_send(channel, reply, kind, id, patience);

    end_answer(channel, status == 0);
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
    dxi_lock(&channel->out_lock);
    status = answer(channel, id, reply, DXI_KIND_REPLY, &patience);
    dxi_unlock(&channel->out_lock);
    if (status == 0)
        dxi_channel_hand_over(reply);
    return status;
}

/* The quick way of dx_reply(), where there is one thread. False: the long one must be gone. */
static bool reply_quick(dx_channel *channel, uint64_t id, const void *data, size_t size)
{
    struct dxi_requests *theirs = &channel->calls.theirs;
    struct dxi_request *request = dxi_requests_find(theirs, id);

    if (request == NULL || request->line != DXI_LINE_NONE || !channel->framing->has_ids ||
        !dxi_quick_send(channel, data, size, DXI_KIND_REPLY, id))
        return false;
    dxi_requests_remove(theirs, request);
    return true;
}

int dx_reply(dx_channel *channel, uint64_t id, const void *data, size_t size, int timeout_ms)
{
    if (dxi_single_threaded() && dxi_channel_check(channel) == 0 && (data != NULL || size == 0) &&
        reply_quick(channel, id, data, size))
        return 0;

    dx_message reply = {.data = data, .size = size};

    return dx_reply_message(channel, id, &reply, timeout_ms);
}

int dx_reply_error(dx_channel *channel, uint64_t id, int code, const char *text, int timeout_ms)
{
    struct dxi_patience patience = {.timeout_ms = timeout_ms};
    uint8_t bytes[DXI_ERROR_SIZE_MAX];
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
    dx_message reply = {.data = bytes, .size = write_error(bytes, sizeof(bytes), code, text)};

    dxi_lock(&channel->out_lock);
    status = answer(channel, id, &reply, DXI_KIND_ERROR, &patience);
    dxi_unlock(&channel->out_lock);
    return status;
}

void dxi_calls_refuse(dx_channel *channel, uint64_t id, int code)
{
    struct dxi_calls *calls = &channel->calls;

    dxi_lock(&channel->in_lock);
    struct dxi_request *request = dxi_requests_find(&calls->theirs, id);

    if (request != NULL && request->line == DXI_LINE_NONE && id != calls->leaving_id) {
        request->code = code;
        dxi_calls_note_due(channel, &calls->theirs, request);
    }
    dxi_unlock(&channel->in_lock);
    dxi_channel_flush_now(channel);
}

int dx_channel_on_request(dx_channel *channel, dx_request_handler *handler, void *context)
{
    int status = dxi_channel_check(channel);

    if (status < 0)
        return status;
    dxi_lock(&channel->in_lock);
    channel->calls.handler = handler;
    channel->calls.context = context;
    dxi_unlock(&channel->in_lock);
    return 0;
}
