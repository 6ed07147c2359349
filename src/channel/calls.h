/* SPDX-License-Identifier: MIT */
/*
 * Calls as the rest of the channel sees them.
 */
#ifndef DUPLEX_CHANNEL_CALLS_H
#define DUPLEX_CHANNEL_CALLS_H

#include "channel/requests.h"
#include "channel/stash.h"

#include <duplex/call.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    DXI_REQUEST_LIMIT_DEFAULT = 1024,
    /* So many may be open before the peer's greeting has come, and so every end accepts as many. */
    DXI_REQUESTS_UNGREETED = 16,
};

struct dxi_patience;

/* All but `due` belongs to the inbox's lock; `last_id` is written under the outbox's, too. */
struct dxi_calls {
    struct dxi_requests ours, theirs;
    unsigned their_limit; /* open requests of theirs; the table has a place more, see leaving_id */
    /*
     * The one of theirs that is being answered. The answer may reach the peer, and its next request
     * us, before dx_reply() has returned: it no longer counts. 0: none.
     */
    uint64_t leaving_id;
    unsigned quick_limit; /* open requests of ours that both sides allow; 0: not known yet */
    uint64_t last_id;     /* of ours */
    uint64_t answered;    /* where there are no ids: how many of ours have been, in order */
    bool elsewhere;       /* the pool keeps the books of ours: `ours` stays empty */
    unsigned open;        /* then, how many are open, as it says with each */
    uint64_t looked_for;  /* of ours that is over: the kernel was asked once more for its answer */
    bool waited;          /* what was sorted last is the answer that a dx_call() waits for */
    struct dxi_stash stash;
    bool held; /* a message that the stash had no room for, still lent by the inbox */
    bool held_waited;
    dx_message held_message;
    unsigned handling; /* handlers that have not returned */
    dx_request_handler *handler;
    void *context;

    _Atomic unsigned due; /* requests of both sides of which the peer is to be told something */
};

/*
 * What a message that has come means for the calls. The caller holds in_lock. 1: it is for the user;
 * 0: it is to be dropped, an answer that is late for one; -EPROTO: see the decoder's fault.
 */
int dxi_calls_sort(dx_channel *channel, dx_message *message);

/* The caller holds in_lock. The request that is over first, as a message; false if none is yet. */
bool dxi_calls_expire(dx_channel *channel, dx_message *ret);

/*
 * The caller holds in_lock. The conversation is over, with this result: the next request that will
 * have no answer, as a message; false if there is none.
 */
bool dxi_calls_bereave(dx_channel *channel, int result, dx_message *ret);

/* The caller holds in_lock. Strike a request from its book. */
void dxi_calls_strike(struct dxi_calls *calls, struct dxi_requests *requests,
                      struct dxi_request *request);

/* The caller holds in_lock. The peer is to be told something of a request of this book. */
void dxi_calls_note_due(dx_channel *channel, struct dxi_requests *requests,
                        struct dxi_request *request);

/*
 * The caller holds out_lock, and no message is half sent: put into the outbox what the peer is to be
 * told of requests that have ended here. Takes in_lock.
 */
void dxi_calls_write_due(dx_channel *channel);

/*
 * Send a request. waited: its sender will look for the answer by itself. Its descriptors are handed
 * over on success.
 */
int dxi_calls_start(dx_channel *channel, const dx_message *request, bool waited,
                    struct dxi_patience *patience, uint64_t *ret_id);

/* The caller holds in_lock. Nobody waits for this request any longer. */
void dxi_calls_abandon(dx_channel *channel, uint64_t id);

/* Have a request answered with an error, without waiting; fine if it is open no longer. */
void dxi_calls_refuse(dx_channel *channel, uint64_t id, int code);

#endif
