/* SPDX-License-Identifier: MIT */
/*
 * Where channels come from and how they end.
 */
#include "channel/internal.h"

#include "os/os.h"
#include "wire/native.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Linux 6.16; the headers of Debian 12 lack it. */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

enum {
    /* The kernel refuses a packet that leaves less than this of the send buffer (Linux, af_unix).
     */
    PACKET_OVERHEAD = 32,
    PACKET_MIN = 512,
    BACKLOG_SLACK = 64 << 10,

    /* More than empty a socket's buffer. */
    UNREAD_READS = 16384,
    UNREAD_BYTES = 4096,
};

static const dx_channel_options defaults;

int dxi_channel_socket_type(dx_channel_type type)
{
    switch (type) {
    case DX_STREAM:
        return SOCK_STREAM;
    case DX_SEQPACKET:
        return SOCK_SEQPACKET;
    case DX_DGRAM:
        return SOCK_DGRAM;
    }
    return -EINVAL;
}

uint64_t dxi_channel_spin_limit(const dx_channel_options *options)
{
    if (options->spin_us < 0 || !dxi_os->several_processors())
        return 0;
    return options->spin_us > 0 ? (uint64_t)options->spin_us * 1000 : DXI_SPIN_NS;
}

int dxi_channel_check_options(const dx_channel_options *options)
{
    const struct dxi_framing *framing = dxi_framing_of(options->framing);

    if (dxi_channel_socket_type(options->type) < 0)
        return dxi_fail(options->failure, -EINVAL, "there is no channel type %d",
                        (int)options->type);
    if (framing == NULL)
        return dxi_fail(options->failure, -EINVAL, "there is no framing %d", (int)options->framing);
    if (options->type != DX_STREAM && !framing->fragments)
        return dxi_fail(options->failure, -EINVAL, "the framing '%s' needs a stream",
                        framing->name);
    if (options->message_limit > DX_MESSAGE_LIMIT_MAX)
        return dxi_fail(options->failure, -EINVAL,
                        "a message limit of %zu bytes is over the greatest, %zu",
                        options->message_limit, DX_MESSAGE_LIMIT_MAX);
    if (options->descriptor_limit > DX_DESCRIPTORS_MAX)
        return dxi_fail(options->failure, -EINVAL,
                        "a limit of %u descriptors is over the kernel's, %d",
                        options->descriptor_limit, DX_DESCRIPTORS_MAX);
    if (options->descriptor_limit > 0 && !framing->carries_descriptors)
        return dxi_fail(options->failure, -EINVAL, "the framing '%s' carries no descriptors",
                        framing->name);
    if (options->spin_us > DXI_SPIN_US_MAX)
        return dxi_fail(options->failure, -EINVAL, "to look for %d us is over the greatest, %d",
                        options->spin_us, DXI_SPIN_US_MAX);
    if (options->request_limit > DX_REQUEST_LIMIT_MAX)
        return dxi_fail(options->failure, -EINVAL,
                        "a limit of %u open requests is over the greatest, %d",
                        options->request_limit, DX_REQUEST_LIMIT_MAX);
    if (options->strip_cr && options->framing != DX_FRAMING_LINE)
        return dxi_fail(options->failure, -EINVAL, "strip_cr is for the framing 'line' only");
    if (options->ring_size > 0 &&
        (options->ring_size < DX_RING_SIZE_MIN || options->ring_size > DX_RING_SIZE_MAX ||
         (options->ring_size & (options->ring_size - 1)) != 0))
        return dxi_fail(options->failure, -EINVAL,
                        "a ring of %zu bytes is no power of two from %zu to %zu",
                        options->ring_size, DX_RING_SIZE_MIN, DX_RING_SIZE_MAX);
    if (options->socket_buffer > DX_MESSAGE_LIMIT_MAX)
        return dxi_fail(options->failure, -EINVAL, "a socket buffer of %zu bytes is too large",
                        options->socket_buffer);
    return 0;
}

/* What each side says first. If it cannot leave now it leaves before anything else. */
static int greet(dx_channel *channel)
{
    struct dxi_hello hello = {
        .version = DXI_VERSION,
        .descriptor_limit = (uint16_t)channel->descriptor_limit,
        .message_limit = channel->message_limit,
        .request_limit = channel->request_limit,
        .features = channel->lane.part != DXI_LANE_NONE ? DXI_FEATURE_LANE : 0,
    };
    uint8_t payload[DXI_HELLO_SIZE];
    struct dxi_letter letter = {
        .data = payload,
        .size = sizeof(payload),
        .kind = DXI_KIND_HELLO,
    };
    struct dxi_parting parting;

    dxi_hello_encode(&hello, payload);
    int error = dxi_parting_begin(&parting, channel->framing, &letter, channel->out.packet_limit);

    if (error == 0)
        error = dxi_parting_keep(&parting, &channel->out);
    if (error < 0)
        return error;
    atomic_store_explicit(&channel->out_pending, true, memory_order_relaxed);
    dxi_channel_flush_now(channel);
    return 0;
}

/* Settings of the sockets. None is needed for correctness, so none can fail the channel. */
static void configure(dx_channel *channel, const dx_channel_options *options)
{
    if (options->socket_buffer > 0 && channel->write_medium <= DXI_MEDIUM_SOCKET)
        (void)dxi_os->socket_set(channel->write_fd, SO_SNDBUF, (int)options->socket_buffer);
    /*
     * Where no descriptor is welcome the kernel need not even bring one: to discard a descriptor
     * whose close hangs would stall us. Older kernels answer ENOPROTOOPT, and we discard.
     */
    if (channel->read_medium != DXI_MEDIUM_UNIX)
        channel->in.barred = true;
    else if (channel->descriptor_limit == 0 && channel->framing != &dxi_framing_node &&
             channel->lane.part != DXI_LANE_ACCEPTOR)
        channel->in.barred = dxi_os->socket_set(channel->read_fd, SO_PASSRIGHTS, 0) == 0;
    if (channel->type == SOCK_STREAM)
        return;
    int buffer = 0;

    channel->out.packet_limit = DXI_PACKET_MAX;
    if (dxi_os->socket_get(channel->write_fd, SO_SNDBUF, &buffer) == 0 &&
        buffer < DXI_PACKET_MAX + PACKET_OVERHEAD)
        channel->out.packet_limit =
            buffer > PACKET_MIN + PACKET_OVERHEAD ? (size_t)buffer - PACKET_OVERHEAD : PACKET_MIN;
}

static void open_calls(dx_channel *channel, const dx_channel_options *options)
{
    struct dxi_calls *calls = &channel->calls;

    channel->request_limit =
        options->request_limit > 0 ? options->request_limit : (unsigned)DXI_REQUEST_LIMIT_DEFAULT;
    calls->ours.limit = channel->request_limit;
    calls->their_limit = channel->request_limit;
    /* A peer that has not seen our limit yet may open so many. */
    if (calls->their_limit < DXI_REQUESTS_UNGREETED)
        calls->their_limit = DXI_REQUESTS_UNGREETED;
    calls->theirs.limit = calls->their_limit + 1;
    channel->in.requests = &calls->theirs;
}

static void free_channel(dx_channel *channel)
{
    dxi_node_close(channel);
    dxi_lane_close(channel);
    dxi_stash_close(&channel->calls.stash);
    dxi_requests_close(&channel->calls.ours);
    dxi_requests_close(&channel->calls.theirs);
    dxi_inbox_close(&channel->in);
    dxi_channel_unreserve(channel);
    dxi_outbox_close(&channel->out);
    dxi_lock_close(&channel->in_lock);
    dxi_lock_close(&channel->out_lock);
    dxi_lock_close(&channel->text_lock);
    dxi_os->release(channel);
}

int dxi_channel_open(dx_channel **ret, const struct dxi_ends *ends,
                     const dx_channel_options *options)
{
    dx_channel *channel = dxi_os->allocate(sizeof(*channel));

    if (channel == NULL)
        return dxi_fail(options->failure, -ENOMEM, "no memory for a channel");
    memset(channel, 0, sizeof(*channel));
    channel->generation = dxi_generation();
    channel->generation_mark = dxi_generation_mark();
    channel->read_fd = ends->read_fd;
    channel->made_here = ends->is_makers;
    channel->write_fd = ends->write_fd;
    channel->read_medium = ends->read_medium;
    channel->write_medium = ends->write_medium;
    channel->type = dxi_channel_socket_type(options->type);
    channel->framing = dxi_framing_of(options->framing);
    channel->message_limit =
        options->message_limit > 0 ? options->message_limit : DX_MESSAGE_LIMIT_DEFAULT;
    channel->receive_backlog = channel->message_limit + BACKLOG_SLACK;
    if (options->receive_backlog > channel->receive_backlog)
        channel->receive_backlog = options->receive_backlog;
    channel->descriptor_limit = options->descriptor_limit;
    channel->in.decoder.strip_cr = options->strip_cr;
    open_calls(channel, options);
    channel->spin.limit_ns = dxi_channel_spin_limit(options);
    channel->peer_pidfd = -1;
    dxi_lock_open(&channel->in_lock);
    dxi_lock_open(&channel->out_lock);
    dxi_lock_open(&channel->text_lock);
    dxi_lane_open(channel, options, ends->is_makers);
    configure(channel, options);
    unsigned room = channel->descriptor_limit;

    /* An offer of memory bears one, whatever the limit for messages. */
    if (room == 0 && channel->lane.part == DXI_LANE_ACCEPTOR)
        room = 1;
    int error = dxi_inbox_open(&channel->in, channel->framing, channel->type != SOCK_STREAM,
                               channel->message_limit, channel->descriptor_limit, room);

    if (error == 0 && channel->framing->greets)
        error = greet(channel);
    if (error < 0) {
        free_channel(channel);
        return dxi_fail(options->failure, error, "no memory for a channel");
    }
    *ret = channel;
    return 0;
}

int dx_channel_pair(dx_channel *ret_ends[2], const dx_channel_options *options)
{
    if (options == NULL)
        options = &defaults;
    int error = dxi_channel_check_options(options);

    if (error < 0)
        return error;
    if (ret_ends == NULL)
        return dxi_fail(options->failure, -EINVAL, "dx_channel_pair() needs a place for two ends");
    dx_channel *ends[2] = {NULL, NULL};
    int fds[2];

    error = dxi_os->socketpair(dxi_channel_socket_type(options->type), fds);
    if (error < 0)
        return dxi_fail(options->failure, error, "cannot make a socketpair: %s",
                        dx_error_text(error));
    struct dxi_ends near = dxi_ends_of_socket(fds[0]);
    const struct dxi_ends far = dxi_ends_of_socket(fds[1]);

    near.is_makers = true;
    error = dxi_channel_open(&ends[0], &near, options);
    if (error < 0) {
        dxi_os->close(fds[0]);
        dxi_os->close(fds[1]);
        return error;
    }
    error = dxi_channel_open(&ends[1], &far, options);
    if (error < 0) {
        dx_channel_close(ends[0]);
        dxi_os->close(fds[1]);
        return error;
    }
    ret_ends[0] = ends[0];
    ret_ends[1] = ends[1];
    return 0;
}

void dxi_channel_watch(dx_channel *channel, int pidfd, bool owned)
{
    channel->peer_pidfd = pidfd;
    channel->peer_pidfd_owned = owned;
}

void dxi_channel_claim(dx_channel *channel)
{
    channel->claimed = true;
}

/*
 * What is unread may bear descriptors whose close waits, and the kernel closes them with the socket. Only
 * who made the socketpair reads it out: a worker's parent must see what its worker left unread.
 */
static void discard_unread(dx_channel *channel)
{
    struct dxi_arrival arrival = {.capacity = 0};
    uint8_t bytes[UNREAD_BYTES];
    ssize_t received = 1;

    if (!channel->made_here || channel->read_medium != DXI_MEDIUM_UNIX || channel->in.barred)
        return;
    dxi_os->shutdown(channel->read_fd, SHUT_RD);
    /* A packet may be empty, but has a sender; the end has none. */
    if (channel->type != SOCK_STREAM)
        dxi_os->socket_set(channel->read_fd, SO_PASSCRED, 1);
    for (int i = 0; i < UNREAD_READS && (received != 0 || arrival.has_sender); i++) {
        received = dxi_os->receive(channel->read_fd, bytes, sizeof(bytes), &arrival);
        if (received < 0 && received != -ECONNRESET)
            return;
    }
}

dx_channel *dxi_channel_destroy(dx_channel *channel)
{
    if (channel == NULL || dxi_channel_check(channel) < 0)
        return NULL;
    dxi_channel_say_goodbye(channel);
    int write_fd = channel->write_fd;

    discard_unread(channel);
    dxi_os->close(channel->read_fd);
    if (write_fd >= 0 && write_fd != channel->read_fd)
        dxi_os->close(write_fd);
    if (channel->peer_pidfd_owned)
        dxi_os->close(channel->peer_pidfd);
    free_channel(channel);
    return NULL;
}

dx_channel *dx_channel_close(dx_channel *channel)
{
    if (channel == NULL || dxi_channel_check(channel) < 0 || channel->claimed)
        return NULL;
    return dxi_channel_destroy(channel);
}
