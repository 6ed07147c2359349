/* SPDX-License-Identifier: MIT */
/*
 * Waiting: the only places where a channel sleeps. Each wait watches the peer's pidfd too, so that
 * a death that the socket hides ends it, and each lets the other direction get on meanwhile.
 */
#include "channel/internal.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    /* A sender with a full backlog who sees nothing move for so long is in a deadlock. */
    STALL_MS = 100,
    /*
     * Where another thread may work on the other direction, a sleeper looks up this often: the
     * thread may have left something to send, or have stopped taking in.
     */
    LOOK_UP_MS = 100,
    /* A sender by the ring whose wake-ups another thread may read looks up this often, and less. */
    OTHER_PAUSE_NS = 50 * 1000,
    OTHER_PAUSE_MAX_NS = 5 * 1000 * 1000,
};

uint64_t dxi_patience_deadline(struct dxi_patience *patience)
{
    if (!patience->started) {
        patience->started = true;
        patience->deadline_ns = dxi_deadline(patience->timeout_ms);
    }
    return patience->deadline_ns;
}

static bool passed(uint64_t deadline_ns)
{
    return deadline_ns != UINT64_MAX && (deadline_ns == 0 || dxi_os->now_ns() >= deadline_ns);
}

bool dxi_patience_over(struct dxi_patience *patience)
{
    return passed(dxi_patience_deadline(patience));
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The sockets and the pidfd of a channel as poll(2) wants them. */
struct watch {
    struct pollfd polled[3];
    size_t count;
    size_t read_at, write_at; /* places in polled */
    size_t death_at;          /* or count, when nothing tells of a death */
};

static void watch_begin(struct watch *watch, const dx_channel *channel, bool reading, bool writing)
{
    int write_fd = channel->write_fd;

    *watch = (struct watch){.count = 1};
    watch->polled[0] = (struct pollfd){
        .fd = channel->read_fd,
        .events = reading ? POLLIN : 0,
    };
    if (write_fd == channel->read_fd) {
        if (writing)
            watch->polled[0].events |= POLLOUT;
    } else {
        watch->write_at = watch->count;
        watch->polled[watch->count++] = (struct pollfd){
            .fd = write_fd,
            .events = writing ? POLLOUT : 0,
        };
        /* POLLHUP cannot be masked: leave out what nobody waits for. */
        if (!reading)
            watch->polled[0].fd = -1;
        if (!writing)
            watch->polled[watch->write_at].fd = -1;
    }
    watch->death_at = watch->count;
    if (channel->peer_pidfd >= 0)
        watch->polled[watch->count++] =
            (struct pollfd){.fd = channel->peer_pidfd, .events = POLLIN};
}

static bool watch_death(const struct watch *watch)
{
    return watch->death_at < watch->count && watch->polled[watch->death_at].revents != 0;
}

/* Read what the socket says of the ring. Whether a poll of it will tell what comes next. */
static bool attend(dx_channel *channel, enum dxi_taking taking)
{
    bool drained = false;

    if (taking == DXI_TAKING_OTHER)
        return false;
    dxi_lock(&channel->in_lock);
    if (atomic_load_explicit(&channel->lane.in_is_fast, memory_order_relaxed) &&
        !channel->lane.socket_over && !channel->receiver_waits)
        drained = dxi_lane_attend(channel) != DXI_ATTEND_FULL;
    dxi_unlock(&channel->in_lock);
    return drained;
}

size_t dxi_channel_backlog(dx_channel *channel)
{
    dxi_lock(&channel->in_lock);
    size_t size = dxi_inbox_size(&channel->in);

    dxi_unlock(&channel->in_lock);
    return size;
}

/* Whether a poll tells a sender to try again: 1; 0: not yet; or a failure, which is explained. */
static int told_to_send(dx_channel *channel, const struct watch *watch, bool ring)
{
    short told = watch->polled[watch->write_at].revents;

    if (watch_death(watch)) {
        atomic_store_explicit(&channel->peer_gone, true, memory_order_relaxed);
        return dxi_channel_fail(channel, -EPIPE, "the peer has died");
    }
    if ((told & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)) == 0)
        return 0;
    if (ring && (watch->polled[0].revents & (POLLERR | POLLHUP)) != 0)
        atomic_store_explicit(&channel->peer_gone, true, memory_order_relaxed);
    channel->lane.wants_socket = false;
    return 1;
}

int dxi_wait_to_send(dx_channel *channel, struct dxi_patience *patience)
{
    uint64_t deadline = dxi_patience_deadline(patience);
    uint64_t stalled = 0; /* when it is a deadlock; 0: the backlog has room */
    uint64_t pause = OTHER_PAUSE_NS;
    bool ring = channel->lane.course == DXI_COURSE_RING;

    for (bool first = true;; first = false) {
        enum dxi_taking taking = dxi_channel_take_in(channel);
        bool listening = taking == DXI_TAKING;
        uint64_t until = deadline;
        struct watch watch;

        if (ring)
            listening = attend(channel, taking);
        if (atomic_load_explicit(&channel->broken, memory_order_relaxed))
            return -EPROTO;
        if (ring && atomic_load_explicit(&channel->peer_gone, memory_order_relaxed))
            return 0; /* the send will say so */
        int room = ring ? dxi_lane_expect_room(channel, taking == DXI_TAKING,
                                               first && patience->timeout_ms != DX_NOW)
                        : 0;

        if (room == 1 || room < 0)
            return room < 0 ? room : 0;
        /* The peer that is to make room may sleep, and the kernel have no memory to wake it. */
        if (ring && !dxi_lane_pay_wake(channel))
            until = earlier(until, dxi_deadline(DXI_RETRY_MS));
        /* A peer that never pauses must not keep us past the deadline, though. */
        if ((room == 2 || (!ring && taking == DXI_TAKING && !dxi_channel_doze(channel))) &&
            (first || !passed(deadline)))
            continue;
        if (taking != DXI_TAKING_FULL)
            stalled = 0;
        else if (stalled == 0)
            stalled = dxi_deadline(STALL_MS);
        if (stalled != 0)
            until = earlier(until, stalled);
        /* No event tells that another thread found the protocol broken, unless a socket is shut. */
        bool untold = channel->write_medium > DXI_MEDIUM_SOCKET && !dxi_os->single_threaded();

        if (taking == DXI_TAKING_OTHER || untold)
            until = earlier(until, dxi_deadline(LOOK_UP_MS));
        /* A receiver in another thread may read our wake-up, or nobody can. */
        if (ring && (!listening || !dxi_os->single_threaded())) {
            until = earlier(until, dxi_os->now_ns() + pause);
            pause = pause < OTHER_PAUSE_MAX_NS ? pause * 2 : pause;
        }
        watch_begin(&watch, channel, listening, !ring || channel->lane.wants_socket);
        int ready = dxi_os->poll(watch.polled, watch.count, until);

        if (ring)
            dxi_lane_feed(channel);
        if (ready < 0)
            return dxi_channel_fail(channel, ready, "cannot wait: %s", dx_error_text(ready));
        int told = told_to_send(channel, &watch, ring);

        if (told != 0)
            return told < 0 ? told : 0;
        /* Looked at each time: a peer that talks without pause must not keep us past it. */
        if (passed(deadline))
            return dxi_channel_fail(channel, -ETIMEDOUT,
                                    "the peer took nothing until the deadline");
        if (stalled != 0 && passed(stalled))
            return dxi_channel_fail(
                channel, -EDEADLK,
                "both sides send and neither receives: %zu bytes wait here to be "
                "received, the limit is %zu",
                dxi_channel_backlog(channel), channel->receive_backlog);
    }
}

bool dxi_channel_flush_between(dx_channel *channel, enum dxi_flush *ret)
{
    uint64_t before = channel->in.position + dxi_inbox_size(&channel->in);

    *ret = DXI_FLUSHED;
    if (!atomic_load_explicit(&channel->out_pending, memory_order_relaxed))
        return false;
    dxi_unlock(&channel->in_lock);
    *ret = dxi_channel_flush_now(channel);
    dxi_lock(&channel->in_lock);
    return channel->inbound != DXI_INBOUND_OPEN ||
           channel->in.position + dxi_inbox_size(&channel->in) != before;
}

/* When a sleep for this must end early: one of our requests is over. */
static uint64_t calls_end(const dx_channel *channel, const struct dxi_patience *patience)
{
    return patience->for_calls ? dxi_requests_earliest(&channel->calls.ours) : UINT64_MAX;
}

/* One sleep. 1: something happened that a read will tell; 0: look again; or an error. */
static int sleep_once(dx_channel *channel, struct dxi_patience *patience, enum dxi_flush flushed)
{
    bool pending = atomic_load_explicit(&channel->out_pending, memory_order_relaxed);
    uint64_t deadline = dxi_patience_deadline(patience);
    uint64_t until = earlier(deadline, calls_end(channel, patience));
    uint64_t before = channel->in.position + dxi_inbox_size(&channel->in);
    struct watch watch;

    if (!dxi_os->single_threaded())
        until = earlier(until, dxi_deadline(LOOK_UP_MS));
    /* The kernel calls the socket ready all the same; only time helps. */
    if (flushed == DXI_FLUSH_REFUSED)
        until = earlier(until, dxi_deadline(DXI_RETRY_MS));
    /* Who is sending in another thread sends what is pending, or leaves it to our next look. */
    bool ring = atomic_load_explicit(&channel->lane.out_is_fast, memory_order_relaxed);

    /* For room in the ring the socket tells, too; if there is some by now, send again. */
    enum dxi_prospect prospect = pending && flushed == DXI_FLUSHED && ring
                                     ? dxi_lane_prospect(channel)
                                     : DXI_PROSPECT_SOCKET;

    if (prospect == DXI_PROSPECT_NOW)
        return 0;
    watch_begin(&watch, channel, true,
                pending && flushed == DXI_FLUSHED && prospect == DXI_PROSPECT_SOCKET);
    if (atomic_load_explicit(&channel->lane.in_is_fast, memory_order_relaxed) &&
        !dxi_lane_doze(channel))
        return 1;

    channel->receiver_waits = true;
    dxi_unlock(&channel->in_lock);
    int ready = dxi_os->poll(watch.polled, watch.count, until);

    dxi_lock(&channel->in_lock);
    channel->receiver_waits = false;
    if (ready < 0)
        return dxi_channel_fail(channel, ready, "cannot wait: %s", dx_error_text(ready));
    if ((watch.polled[0].revents & ~POLLOUT) != 0)
        return 1;
    /* A sender has taken it in, who could not wait until we had. */
    if (channel->in.position + dxi_inbox_size(&channel->in) != before)
        return 1;
    if (watch_death(&watch)) {
        dxi_channel_mourn(channel);
        return 1;
    }
    if (passed(deadline))
        return dxi_channel_out_of_time(channel);
    return passed(calls_end(channel, patience)) ? -ETIME : 0;
}

int dxi_wait_to_receive(dx_channel *channel, struct dxi_patience *patience)
{
    int status = 0;

    while (status == 0) {
        enum dxi_flush flushed;

        if (dxi_channel_flush_between(channel, &flushed))
            return 0;
        /* Of a datagram peer only the sender learns that it is no more; the socket stays silent. */
        if (channel->type == SOCK_DGRAM &&
            atomic_load_explicit(&channel->peer_dead, memory_order_relaxed))
            return 0;
        status = sleep_once(channel, patience, flushed);
    }
    return status < 0 ? status : 0;
}
