/* SPDX-License-Identifier: MIT */
/*
 * For those who wait elsewhere: an event loop of the user's, or the process floor.
 *
 * Nothing here waits, not even for a lock that a sender in another thread holds while it waits.
 */
#include "channel/internal.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

/* Who waits for what no event tells looks up this often. */
enum { LOOK_UP_MS = 5 };

int dx_channel_fd(const dx_channel *channel)
{
    int error = dxi_channel_check(channel);

    return error < 0 ? error : channel->read_fd;
}

int dx_channel_write_fd(const dx_channel *channel)
{
    int error = dxi_channel_check(channel);

    int fd = error < 0 ? error : channel->write_fd;

    return error == 0 && fd < 0 ? -ESHUTDOWN : fd;
}

/* Whether what this side says leaves by the ring. */
static bool is_fast(const dx_channel *channel)
{
    return atomic_load_explicit(&channel->lane.out_is_fast, memory_order_relaxed);
}

/* Whether something lies here to be sent, or a send was refused for want of room. */
static bool wants_to_send(const dx_channel *channel)
{
    return atomic_load_explicit(&channel->out_pending, memory_order_relaxed) ||
           atomic_load_explicit(&channel->out_wanted, memory_order_relaxed);
}

bool dxi_channel_must_retry(const dx_channel *channel)
{
    return atomic_load_explicit(&channel->out_pending, memory_order_relaxed) &&
           atomic_load_explicit(&channel->out_refused, memory_order_relaxed);
}

/*
 * Whether no wake-up can come: the peer said its end by the socket, before it took part in the lane. Who
 * waits for room in the ring must look up by himself. The caller holds in_lock.
 */
static bool is_deaf(const dx_channel *channel)
{
    return is_fast(channel) && channel->inbound != DXI_INBOUND_OPEN &&
           !atomic_load_explicit(&channel->lane.in_is_fast, memory_order_relaxed);
}

int dx_channel_events(dx_channel *channel)
{
    int error = dxi_channel_check(channel);

    if (error < 0)
        return error;
    dxi_lock(&channel->in_lock);
    int events = channel->inbound == DXI_INBOUND_OPEN ? POLLIN : 0;
    bool deaf = is_deaf(channel);

    dxi_unlock(&channel->in_lock);
    if (!wants_to_send(channel) || dxi_channel_must_retry(channel))
        return events;
    if (!is_fast(channel))
        return events | POLLOUT;
    /* By the ring: the socket is nearly always ready to be written, and a wake-up tells of room. */
    if (dxi_lane_prospect(channel) != DXI_PROSPECT_WAKE)
        return events | POLLOUT;
    return deaf ? 0 : POLLIN;
}

/* Whether dx_recv() has something to say that came before. The caller holds in_lock. */
static bool owed(const dx_channel *channel)
{
    const struct dxi_calls *calls = &channel->calls;
    bool waiting = dxi_requests_first(&calls->ours, DXI_LINE_TIMED) != NULL ||
                   dxi_requests_first(&calls->ours, DXI_LINE_UNTIMED) != NULL;

    return dxi_stash_has(&calls->stash, DXI_KEEP_MESSAGE) ||
           dxi_stash_has(&calls->stash, DXI_KEEP_REQUEST) || (calls->held && !calls->held_waited) ||
           (waiting && channel->inbound == DXI_INBOUND_OVER);
}

/* As poll(2) wants it: no less than the time that is left. */
static int milliseconds_until(uint64_t deadline_ns)
{
    if (deadline_ns == UINT64_MAX)
        return DX_FOREVER;
    uint64_t now = dxi_os->now_ns();
    uint64_t left = deadline_ns > now ? (deadline_ns - now + 999999) / 1000000 : 0;

    return left < INT_MAX ? (int)left : INT_MAX;
}

/* Whether dx_recv() has something to say without reading. The caller holds in_lock. */
static bool ready(dx_channel *channel)
{
    return owed(channel) || channel->inbound != DXI_INBOUND_OPEN || dxi_inbox_ready(&channel->in);
}

/* Of a time that may be DX_FOREVER and one that is not. */
static int sooner(int left_ms, int other_ms)
{
    return left_ms < 0 || left_ms > other_ms ? other_ms : left_ms;
}

int dx_channel_timeout_ms(dx_channel *channel)
{
    int error = dxi_channel_check(channel);

    if (error < 0)
        return error;
    dxi_lock(&channel->in_lock);
    /* An end that was reported is no news, but for the requests that it ends. */
    bool news = channel->inbound != DXI_INBOUND_OVER ? ready(channel) : owed(channel);
    bool deaf = is_deaf(channel);
    uint64_t earliest = dxi_requests_earliest(&channel->calls.ours);

    dxi_unlock(&channel->in_lock);
    /* A poll tells of nothing that is in the ring already, nor of room there. */
    if (news || !dxi_channel_doze(channel))
        return 0;
    int left = milliseconds_until(earliest);

    if (dxi_channel_must_retry(channel))
        return sooner(left, DXI_RETRY_MS);
    if (is_fast(channel) && wants_to_send(channel) &&
        dxi_lane_prospect(channel) == DXI_PROSPECT_NOW)
        return 0;
    return deaf && wants_to_send(channel) ? sooner(left, LOOK_UP_MS) : left;
}

void dxi_channel_peer_died(dx_channel *channel)
{
    dxi_lock(&channel->in_lock);
    dxi_channel_mourn(channel);
    dxi_unlock(&channel->in_lock);
}

/* Whether the peer has died, which its socket need not tell. */
static bool dead(const dx_channel *channel)
{
    struct pollfd death = {.fd = channel->peer_pidfd, .events = POLLIN};

    return dxi_os->poll(&death, 1, 0) > 0;
}

int dx_channel_process(dx_channel *channel)
{
    int error = dxi_channel_check(channel);

    if (error < 0)
        return error;
    /* Whoever was refused is told by this event, and is refused again or not. */
    if (!is_fast(channel) || dxi_lane_prospect(channel) != DXI_PROSPECT_WAKE)
        atomic_store_explicit(&channel->out_wanted, false, memory_order_relaxed);
    dxi_channel_serve(channel);
    if (!dxi_channel_doze(channel))
        dxi_channel_serve(channel);
    dxi_lock(&channel->in_lock);
    bool news =
        ready(channel) || milliseconds_until(dxi_requests_earliest(&channel->calls.ours)) == 0;
    bool silent = !news && !channel->drain_limited && channel->peer_pidfd >= 0;

    dxi_unlock(&channel->in_lock);
    if (silent && dead(channel)) {
        dxi_channel_peer_died(channel);
        dxi_channel_take_in(channel);
        news = true;
    }
    return news ? 1 : 0;
}

size_t dxi_channel_poll_set(dx_channel *channel, struct pollfd ret[2], bool *ret_idle)
{
    bool pending = atomic_load_explicit(&channel->out_pending, memory_order_relaxed);
    bool taking = dxi_channel_take_in(channel) == DXI_TAKING;
    size_t count = 0;

    *ret_idle = !taking || dxi_channel_doze(channel);
    bool refused = dxi_channel_must_retry(channel);
    bool writes = pending && !refused;
    bool listens = taking;

    if (is_fast(channel) && writes) {
        enum dxi_prospect prospect = dxi_lane_prospect(channel);

        dxi_lock(&channel->in_lock);
        bool deaf = is_deaf(channel);

        dxi_unlock(&channel->in_lock);
        writes = prospect == DXI_PROSPECT_SOCKET;
        listens = listens || (prospect == DXI_PROSPECT_WAKE && !deaf);
        *ret_idle = *ret_idle && prospect != DXI_PROSPECT_NOW;
        if (deaf && prospect == DXI_PROSPECT_WAKE) {
            dxi_os->poll(NULL, 0, dxi_deadline(1));
            *ret_idle = false;
        }
    }
    if (listens)
        ret[count++] = (struct pollfd){.fd = channel->read_fd, .events = POLLIN};
    if (!writes)
        return count;
    if (count > 0 && channel->write_fd == channel->read_fd)
        ret[0].events |= POLLOUT;
    else
        ret[count++] = (struct pollfd){.fd = channel->write_fd, .events = POLLOUT};
    return count;
}

void dxi_channel_serve(dx_channel *channel)
{
    dxi_channel_flush_now(channel);
    dxi_channel_attend(channel);
    dxi_channel_take_in(channel);
}
