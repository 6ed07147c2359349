/* SPDX-License-Identifier: MIT */
/*
 * Calls: requests that are answered. Both ends may call, with any number of requests open.
 *
 *   1. dx_call() asks and waits for the answer. dx_call_start() asks, and dx_recv() brings the
 *      answer, as a message of the kind DX_REPLY, DX_ERROR or DX_FAILED with the id of the request.
 *   2. At the other end dx_recv() brings a message of the kind DX_REQUEST, to be answered with
 *      dx_reply() or dx_reply_error(), now or later, in any order. Or a handler is called for each,
 *      see dx_channel_on_request(): then a call may be answered while its receiver itself calls.
 *
 * Each request ends exactly once: with a reply, an error, dx_cancel(), its deadline, or the end of
 * the conversation. An answer that comes after that is recognised and dropped. An id is never used
 * twice on a channel.
 *
 * Other framings than the native have no ids. There each message that arrives answers the oldest
 * request that is open, ended by its deadline or cancel or not; if none is, it is a DX_MESSAGE, and
 * whoever answers it does so by dx_send(), or by dx_reply() with the id 0; no handler is called.
 *
 * Two ends that both wait in dx_call() answer each other only by their handlers.
 *
 * Threads: dx_call() sends and receives, so that no other thread may do either meanwhile. The
 * others are sends: one thread may make them while another is in dx_recv().
 */
#ifndef DUPLEX_CALL_H
#define DUPLEX_CALL_H

#include <duplex/channel.h>
#include <duplex/error.h>
#include <duplex/message.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most bytes of text that dx_reply_error() sends. */
#define DX_ERROR_TEXT_MAX 4096

/* The most handlers under way in one channel, one inside the other. */
#define DX_HANDLERS_MAX 32

/*
 * Send a request and wait for its answer.
 *
 * What else arrives meanwhile is kept for dx_recv(), up to the channel's receive_backlog; requests
 * go to the handler of dx_channel_on_request(), if there is one.
 *
 * Ownership: as of dx_send(), and of dx_recv() for the answer; the last received message ends with
 * this call. Of an answer whose descriptors were lost descriptors_lost tells. Blocking: up to timeout_ms for all of
 * it. Returns 0 and the reply. Errors: -EREMOTEIO when the peer answered with an error, and then
 * *ret_reply is that (DX_ERROR, with code and text); -ETIMEDOUT; -EPIPE, also when the peer ends
 * without an answer; -EPROTO; -EDEADLK when the backlog is full; -EBUSY when too many requests are
 * open; -EOPNOTSUPP if the peer takes no requests, or the framing is raw; else as dx_send().
 */
DX_API int dx_call(dx_channel *channel, const void *data, size_t size, dx_message *ret_reply,
                   int timeout_ms);

/* The same with descriptors. The request's kind and id are ignored. */
DX_API int dx_call_message(dx_channel *channel, const dx_message *request, dx_message *ret_reply,
                           int timeout_ms);

/*
 * Send a request. dx_recv() will bring its answer, or DX_FAILED with -ETIMEDOUT when timeout_ms have
 * passed since this call. With DX_NOW it is sent if that needs no wait, and has no deadline; see
 * dx_call_deadline().
 *
 * Blocking: as dx_send(). Returns 0 and the id of the request, never 0. Errors: as dx_call(); the
 * request was then not made, and nothing more is heard of it.
 */
DX_API int dx_call_start(dx_channel *channel, const void *data, size_t size, uint64_t *ret_id,
                         int timeout_ms);

/* The same with descriptors. The request's kind and id are ignored. */
DX_API int dx_call_start_message(dx_channel *channel, const dx_message *request, uint64_t *ret_id,
                                 int timeout_ms);

/*
 * Give an open request of ours another deadline: timeout_ms from now. A thread that is in dx_recv()
 * meanwhile may learn of it up to 100 ms late. Returns 0. Blocking: never.
 * Errors: -ENOENT if no request of dx_call_start() with this id is open.
 */
DX_API int dx_call_deadline(dx_channel *channel, uint64_t id, int timeout_ms);

/*
 * End a request of ours: nothing more is heard of it, and a native peer is told.
 *
 * Blocking: never; the word leaves with what is sent next, or before the next wait. Returns 0.
 * Errors: -ENOENT if no request of dx_call_start() with this id is open.
 */
DX_API int dx_cancel(dx_channel *channel, uint64_t id);

/*
 * Answer a request of the peer.
 *
 * Blocking: as dx_send(). Returns 0; the request is closed. Errors: -ENOENT if no request of the
 * peer with this id is open: it was answered or cancelled; else as dx_send(), and the request is
 * still open.
 */
DX_API int dx_reply(dx_channel *channel, uint64_t id, const void *data, size_t size,
                    int timeout_ms);

/* The same with descriptors. The reply's kind and id are ignored. */
DX_API int dx_reply_message(dx_channel *channel, uint64_t id, const dx_message *reply,
                            int timeout_ms);

/*
 * Answer a request of the peer with an error: a code of your own choice, and a text for people,
 * which may be NULL. As dx_reply(). Errors besides: -EMSGSIZE for a text of more than
 * DX_ERROR_TEXT_MAX bytes; -EOPNOTSUPP if the framing is not native.
 */
DX_API int dx_reply_error(dx_channel *channel, uint64_t id, int code, const char *text,
                          int timeout_ms);

/*
 * Answers a request: with dx_reply() or dx_reply_error() before it returns, or later. The request is
 * borrowed until the next receive or call on the channel. A negative answer is sent to the peer as
 * an error with that code and dx_error_text(), if the request is still open.
 */
typedef int dx_request_handler(dx_channel *channel, const dx_message *request, void *context);

/*
 * Have a handler called for each request of the peer. It is called by dx_recv() and dx_call(), on
 * the thread that receives, and may use the channel in every way, dx_call() and dx_recv() included,
 * but not close it or its process. A reply in it is a send, so no other thread may send then.
 * Requests that come while DX_HANDLERS_MAX are under way, one called by the other, are kept until
 * one has returned. NULL: dx_recv() brings the requests again. Returns 0. Blocking: never.
 */
DX_API int dx_channel_on_request(dx_channel *channel, dx_request_handler *handler, void *context);

#ifdef __cplusplus
}
#endif
#endif
