/* SPDX-License-Identifier: MIT */
/*
 * Receiving: from the kernel into the inbox, and from the inbox to the user.
 *
 * The end of a conversation has several faces. An orderly end is a read of 0 bytes; an empty packet
 * is the same, because no frame is empty. A peer that died with our bytes unread shows as one
 * ECONNRESET: on a stream after its last bytes, on packets before them (Linux). A peer whose socket
 * a grandchild holds open shows nothing at all: only its pidfd tells. In each case what it had sent
 * is read first, and only then the end reported.
 */
#include "channel/internal.h"

#include "channel/parcels.h"
#include "wire/native.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    /*
     * A dead peer's datagrams: FIONREAD tells the size of the first only. This many are more than
     * the largest send buffer holds (8 MiB after net.core.wmem_max, at 768 bytes or more for each).
     */
    DATAGRAMS_MAX = 16384,
    /* After a read that found nothing, so many receives wait before they read. */
    WAITS_FIRST = 16,
    /* So many reads in a row that bring something go by without a look whether the peer lives. */
    READS_BLIND = 64,
    /* So many reads go by without a look at the clock or at what lies there: what a short message takes. */
    READS_UNTIMED = 2,
    /* A call that must not wait makes so many reads, also of a peer of whom nobody can tell what lies there. */
    READS_AT_ONCE = 512,
    /*
     * A read of a stream goes on while the peer sends, until it has what it asked for. Of a peer that
     * sends byte by byte this much takes some 10 ms; whatever is more has to be there already.
     */
    READ_UNSEEN = 8192,
};

/* Whether what comes next comes by the ring. */
static bool is_fast(const dx_channel *channel)
{
    return atomic_load_explicit(&channel->lane.in_is_fast, memory_order_relaxed);
}

void dxi_channel_mourn(dx_channel *channel)
{
    atomic_store_explicit(&channel->peer_gone, true, memory_order_relaxed);
    atomic_store_explicit(&channel->peer_dead, true, memory_order_relaxed);
    if (channel->drain_limited)
        return;
    if (is_fast(channel))
        dxi_lane_mourn(channel);
    ssize_t queued = dxi_os->queued(channel->read_fd);

    channel->drain_limited = true;
    if (channel->type == SOCK_DGRAM)
        channel->drain_left = DATAGRAMS_MAX;
    else
        channel->drain_left = queued > 0 ? (size_t)queued : 0;
}

static void close_inbound(dx_channel *channel)
{
    if (channel->inbound == DXI_INBOUND_OPEN)
        channel->inbound = DXI_INBOUND_LAST;
}

int dxi_channel_break(dx_channel *channel, const struct dxi_fault *fault)
{
    /* An end that was told stays: what came after it is for who sends. */
    if (channel->inbound != DXI_INBOUND_OVER)
        channel->inbound = DXI_INBOUND_BROKEN;
    atomic_store_explicit(&channel->broken, true, memory_order_relaxed);
    /* Nothing is sent or taken any more; a peer that goes on sending learns it at once. */
    if (channel->read_medium <= DXI_MEDIUM_SOCKET)
        dxi_os->shutdown(channel->read_fd, SHUT_RDWR);
    if (channel->write_medium <= DXI_MEDIUM_SOCKET) {
        if (channel->write_fd != channel->read_fd)
            dxi_os->shutdown(channel->write_fd, SHUT_RDWR);
    } else if (dxi_trylock(&channel->out_lock)) {
        /* If a send holds the lock, it finds out and closes the pipe itself. */
        dxi_channel_stop_writing(channel);
        dxi_unlock(&channel->out_lock);
    }
    return dxi_channel_fail_fault(channel, fault);
}

static int greet(dx_channel *channel, const uint8_t *payload, size_t size)
{
    struct dxi_hello hello;
    int error = dxi_hello_decode(payload, size, &hello, &channel->in.decoder.fault);

    if (error < 0)
        return error;
    unsigned descriptors =
        hello.descriptor_limit < DX_DESCRIPTORS_MAX ? hello.descriptor_limit : DX_DESCRIPTORS_MAX;
    size_t limit = hello.message_limit < DX_MESSAGE_LIMIT_MAX ? (size_t)hello.message_limit
                                                              : DX_MESSAGE_LIMIT_MAX;

    atomic_store_explicit(&channel->peer_descriptors, descriptors, memory_order_relaxed);
    atomic_store_explicit(&channel->peer_requests, hello.request_limit, memory_order_relaxed);
    /* Stored with release, after the descriptors: pairs with the acquire in send.c. */
    atomic_store_explicit(&channel->peer_limit, limit > 0 ? limit : 1, memory_order_release);
    channel->calls.quick_limit =
        hello.request_limit < channel->request_limit ? hello.request_limit : channel->request_limit;
    dxi_lane_greeted(channel, hello.features);
    return 0;
}

int dxi_channel_hear(void *context, const struct dxi_frame *frame, const uint8_t *payload)
{
    dx_channel *channel = context;

    return frame->kind == DXI_KIND_HELLO ? greet(channel, payload, frame->size)
                                         : dxi_lane_hear(channel, frame, payload);
}

/* What a read says besides bytes. Returns as dxi_channel_fill(). */
static int read_nothing(dx_channel *channel, ssize_t status, bool was_dead)
{
    switch (status) {
    case 0:
        close_inbound(channel);
        return 0;
    case -EAGAIN:
        /* A stream whose peer is no more says so by a read of 0 bytes, unless somebody else holds
         * it. */
        if (!atomic_load_explicit(&channel->peer_dead, memory_order_relaxed) ||
            (!channel->drain_limited && channel->type != SOCK_DGRAM))
            return 0;
        /* A sender may have learnt of the death after we read, and the peer have spoken before it. */
        if (!was_dead)
            return 1; /* worth another read */
        close_inbound(channel);
        return 0;
    case -ECONNRESET:
    case -ECONNREFUSED:
    case -ETIMEDOUT: /* of TCP, and so the next three */
    case -EHOSTUNREACH:
    case -ENETUNREACH:
    case -ENETRESET:
        channel->was_reset = true;
        /* The kernel says it once, and on packets before what is still to be read. */
        atomic_store_explicit(&channel->peer_gone, true, memory_order_relaxed);
        atomic_store_explicit(&channel->peer_dead, true, memory_order_relaxed);
        return 1; /* worth another read */
    case -EIO:
        /* A terminal whose other side has gone. */
        if (channel->read_medium == DXI_MEDIUM_PIPE) {
            close_inbound(channel);
            return 0;
        }
        /* fall through */
    default:
        return dxi_channel_fail(channel, (int)status, "cannot receive: %s",
                                dx_error_text((int)status));
    }
}

void dxi_channel_look_for_death(dx_channel *channel)
{
    struct pollfd death = {.fd = channel->peer_pidfd, .events = POLLIN};

    if (channel->peer_pidfd >= 0 && !channel->drain_limited && dxi_os->poll(&death, 1, 0) > 0)
        dxi_channel_mourn(channel);
}

static void look_now_and_then(dx_channel *channel)
{
    if (++channel->reads_blind < READS_BLIND)
        return;
    channel->reads_blind = 0;
    dxi_channel_look_for_death(channel);
}

/*
 * Of SOCK_SEQPACKET Linux tells the end before the last packets if they and the end come between its look
 * for a packet and its look for the end (unix_dgram_recvmsg() of 6.18): only a second read is to be
 * believed, as nothing comes behind an end. After an empty packet, which passes for one, it says -EAGAIN.
 */
ssize_t dxi_channel_confirm_end(dx_channel *channel, void *bytes, size_t size,
                                struct dxi_arrival *arrival)
{
    if (channel->type != SOCK_SEQPACKET || arrival->count > 0 || arrival->lost)
        return 0;
    ssize_t received = dxi_os->receive(channel->read_fd, bytes, size, arrival);

    return received == -EAGAIN ? 0 : received;
}

/* How much of this a read may ask for, so that the peer cannot make it last. */
static size_t limit_read(const dx_channel *channel, size_t size)
{
    if (size <= READ_UNSEEN || channel->read_medium > DXI_MEDIUM_SOCKET)
        return size;
    ssize_t queued = channel->reads_much ? dxi_os->queued(channel->read_fd) : 0;

    if (queued <= READ_UNSEEN)
        return READ_UNSEEN;
    return size < (size_t)queued ? size : (size_t)queued;
}

static ssize_t read_once(dx_channel *channel, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    if (channel->read_medium <= DXI_MEDIUM_SOCKET) {
        ssize_t received = dxi_os->receive(channel->read_fd, bytes, size, arrival);

        return received != 0 ? received : dxi_channel_confirm_end(channel, bytes, size, arrival);
    }
    arrival->count = 0;
    arrival->lost = false;
    arrival->cut = false;
    return dxi_os->read(channel->read_fd, bytes, size, channel->read_medium == DXI_MEDIUM_PIPE);
}

/* By the ring, and if that is empty, by what the socket says of it. As dxi_channel_fill(). */
static int fill_fast(dx_channel *channel, size_t most)
{
    int filled = dxi_lane_fill(channel, most);

    if (filled > 0)
        look_now_and_then(channel);
    if (filled != 0)
        return filled;
    int attended = dxi_lane_attend(channel);

    /* Whoever has let go, or has died, had published before; and so had who has sent descriptors. */
    filled = attended < 0 ? attended : 0;
    if (filled == 0)
        filled = dxi_lane_fill(channel, most);
    /* More descriptors than messages can bear that are on their way: no wait would end. */
    if (filled == 0 && attended == DXI_ATTEND_FULL && !dxi_inbox_ready(&channel->in)) {
        struct dxi_fault surplus = {DXI_VIOLATION_DESCRIPTORS_SURPLUS, 0, 0};

        return dxi_channel_break(channel, &surplus);
    }
    if (filled == 0 && channel->lane.socket_over)
        close_inbound(channel);
    if (filled > 0)
        look_now_and_then(channel);
    return filled;
}

int dxi_channel_fill(dx_channel *channel, size_t most)
{
    if (is_fast(channel))
        return fill_fast(channel, most);

    struct dxi_inbox *in = &channel->in;
    struct dxi_arrival arrival;
    int place[DX_DESCRIPTORS_MAX + 1];
    uint8_t *bytes;
    size_t size;
    int error = dxi_inbox_room(in, &bytes, &size);

    if (error < 0)
        return dxi_channel_fail(channel, error, "no memory to receive a message of %zu bytes",
                                in->decoder.needed);
    if (!dxi_inbox_expect(in, &arrival, place)) {
        struct dxi_fault surplus = {DXI_VIOLATION_DESCRIPTORS_SURPLUS, 0, 0};

        return dxi_channel_break(channel, &surplus);
    }
    if (channel->drain_limited && most > channel->drain_left)
        most = channel->drain_left;
    /* A packet must be read whole, whatever it takes; one over the limit is to be seen as such. */
    if (channel->type != SOCK_STREAM)
        size = DXI_PACKET_MAX;
    else
        size = limit_read(channel, size < most ? size : most);
    if (channel->drain_limited && channel->drain_left == 0) {
        close_inbound(channel);
        return 0;
    }
    bool was_dead = atomic_load_explicit(&channel->peer_dead, memory_order_acquire);
    ssize_t received = read_once(channel, bytes, size, &arrival);

    if (received <= 0) {
        dxi_parcels_discard(&arrival);
        return read_nothing(channel, received, was_dead);
    }
    if (arrival.cut) {
        struct dxi_fault cut = {DXI_VIOLATION_PACKET, DXI_PACKET_MAX, DXI_PACKET_MAX};

        dxi_parcels_discard(&arrival);
        return dxi_channel_break(channel, &cut);
    }
    channel->read_short = channel->type == SOCK_STREAM && (size_t)received < size;
    channel->reads_much = received >= READ_UNSEEN;
    dxi_inbox_arrived(in, (size_t)received, &arrival);
    dxi_lane_note_move(channel);
    /* What came before the switch is received before what is wrong behind it is told. */
    if (dxi_lane_look_for_switch(channel, arrival.count > 0 || arrival.lost) < 0)
        dxi_channel_break(channel, &in->decoder.fault);
    if (channel->drain_limited) {
        size_t drained = channel->type == SOCK_DGRAM ? 1 : (size_t)received;

        channel->drain_left -= drained < channel->drain_left ? drained : channel->drain_left;
    }
    look_now_and_then(channel);
    return 1;
}

/* How much lies there to be read; UINT64_MAX where nobody can tell. */
static uint64_t lying(dx_channel *channel)
{
    if (is_fast(channel)) {
        /* What is wrong with the ring the next read says. */
        (void)dxi_ring_look(&channel->lane.in);
        return dxi_ring_filled(&channel->lane.in);
    }
    if (channel->type == SOCK_DGRAM)
        return UINT64_MAX;
    ssize_t queued = dxi_os->queued(channel->read_fd);

    return queued < 0 ? UINT64_MAX : (uint64_t)queued;
}

/*
 * Whether a call that must not wait may read once more. It gets what was there when it was made, up to
 * so many reads, however long it is kept from its processor; and little more of a peer that goes on sending.
 */
static bool is_at_once(dx_channel *channel, unsigned reads, uint64_t *end)
{
    uint64_t position = channel->in.position + dxi_inbox_size(&channel->in);

    if (reads <= READS_UNTIMED)
        return true;
    if (*end == 0) {
        uint64_t rest = lying(channel);

        *end = rest == UINT64_MAX ? rest : position + rest;
    }
    /* Behind the last of it an end may lie. */
    return reads < READS_AT_ONCE && position <= *end;
}

/* anyway: although another thread waits to receive, who then finds it when he next looks up. */
static enum dxi_taking take_in(dx_channel *channel, bool anyway)
{
    struct dxi_inbox *in = &channel->in;
    enum dxi_taking taking = DXI_TAKING;
    uint64_t end = 0;

    dxi_lock(&channel->in_lock);
    for (unsigned reads = 0; is_at_once(channel, reads, &end); reads++) {
        struct dxi_arrival arrival;
        int place[DX_DESCRIPTORS_MAX + 1];

        if (channel->inbound != DXI_INBOUND_OPEN)
            taking = DXI_TAKING_OVER;
        else if (channel->receiver_waits && !anyway)
            taking = DXI_TAKING_OTHER;
        else if (dxi_inbox_size(in) >= channel->receive_backlog ||
                 !dxi_inbox_expect(in, &arrival, place))
            taking = DXI_TAKING_FULL;
        if (taking != DXI_TAKING)
            break;
        int filled = dxi_channel_fill(channel, channel->receive_backlog - dxi_inbox_size(in));

        /* What cannot be taken in for want of memory is as if there were no room for it. */
        if (filled < 0)
            taking = DXI_TAKING_FULL;
        if (filled <= 0)
            break;
        if (dxi_inbox_words(in, dxi_channel_hear, channel) < 0)
            dxi_channel_break(channel, &in->decoder.fault);
        /* A read more would nearly always find nothing. */
        if (channel->is_watched && channel->read_short && !is_fast(channel))
            break;
    }
    /* A message that is lent from the ring holds up all that is behind it. */
    if (taking == DXI_TAKING && channel->lane.lent &&
        channel->lane.in.tail - channel->lane.in.given >= channel->lane.in.size)
        taking = DXI_TAKING_FULL;
    dxi_unlock(&channel->in_lock);
    return taking;
}

void dxi_channel_attend(dx_channel *channel)
{
    dxi_lock(&channel->in_lock);
    if (is_fast(channel) && !channel->lane.socket_over && !channel->receiver_waits)
        (void)dxi_lane_attend(channel);
    dxi_unlock(&channel->in_lock);
}

enum dxi_taking dxi_channel_take_in(dx_channel *channel)
{
    return take_in(channel, false);
}

void dxi_channel_take_in_anyway(dx_channel *channel)
{
    take_in(channel, true);
}

bool dxi_channel_doze(dx_channel *channel)
{
    bool dozes = true;

    dxi_lock(&channel->in_lock);
    if (is_fast(channel) && channel->inbound == DXI_INBOUND_OPEN)
        dozes = dxi_lane_doze(channel);
    dxi_unlock(&channel->in_lock);
    return dozes;
}

/*
 * Look for an answer without sleeping: to be woken takes ten times as long as an answer from a peer
 * that is awake, and lets its processor fall asleep too. What is there at the first glance proves
 * nothing: the peer may have had our processor meanwhile. Returns as dxi_channel_fill(); 0: in vain.
 */
static int look(dx_channel *channel, struct dxi_patience *patience)
{
    struct dxi_spin *spin = &channel->spin;

    if (is_fast(channel))
        return dxi_lane_look(channel, patience);
    if (spin->limit_ns == 0 || patience->timeout_ms == DX_NOW)
        return 0;
    if (dxi_spin_skips(spin))
        return 0;
    enum dxi_flush flushed;

    /* What the peer may be waiting for must be on its way. */
    if (dxi_channel_flush_between(channel, &flushed))
        return 1;
    int filled = dxi_channel_fill(channel, SIZE_MAX);

    if (filled != 0 || channel->inbound != DXI_INBOUND_OPEN) {
        spin->skip = spin->penalty;
        return filled;
    }
    uint64_t end = dxi_os->now_ns() + spin->limit_ns;
    uint64_t deadline = dxi_patience_deadline(patience);

    if (end > deadline)
        end = deadline;
    while (dxi_os->now_ns() < end) {
        filled = dxi_channel_fill(channel, SIZE_MAX);
        if (filled != 0 || channel->inbound != DXI_INBOUND_OPEN) {
            dxi_spin_paid(spin);
            spin->skip = spin->penalty;
            return filled;
        }
    }
    dxi_spin_was_in_vain(spin);
    return 0;
}

int dxi_channel_receive(dx_channel *channel, dx_message *ret, struct dxi_patience *patience)
{
    /*
     * In a conversation of question and answer nothing is there before it was waited for: to read
     * first would be a system call for nothing, each time but now and then, to see whether that
     * holds.
     */
    bool read_now = channel->waits_first == 0 ||
                    atomic_load_explicit(&channel->peer_dead, memory_order_relaxed);
    uint64_t end_at_once = 0;
    unsigned reads = 0;
    int status = dxi_channel_next(channel, ret);

    while (status == -EAGAIN) {
        /* The ring is looked at for nothing, the socket behind it only when it is empty. */
        bool fast = is_fast(channel);
        int filled = fast       ? dxi_lane_fill(channel, SIZE_MAX)
                     : read_now ? dxi_channel_fill(channel, SIZE_MAX)
                                : 0;

        if (filled == 0 && channel->inbound == DXI_INBOUND_OPEN) {
            channel->waits_first =
                read_now || fast ? (unsigned)WAITS_FIRST : channel->waits_first - 1;
            filled = look(channel, patience);
        }
        if (fast && filled == 0 && channel->inbound == DXI_INBOUND_OPEN)
            filled = dxi_channel_fill(channel, SIZE_MAX);
        if (filled < 0)
            return filled;
        if (filled == 0 && channel->inbound == DXI_INBOUND_OPEN) {
            status = dxi_wait_to_receive(channel, patience);
            if (status < 0)
                return status;
        }
        read_now = true;
        status = dxi_channel_next(channel, ret);
        /* A message that comes without end and without pause must not keep us past the deadline. */
        if (status != -EAGAIN || ++reads <= READS_UNTIMED ||
            (patience->timeout_ms == DX_NOW && is_at_once(channel, reads, &end_at_once)))
            continue;
        if (dxi_patience_over(patience))
            return dxi_channel_out_of_time(channel);
        if (patience->for_calls && dxi_requests_earliest(&channel->calls.ours) <= dxi_os->now_ns())
            return -ETIME;
    }
    return status;
}
