/* SPDX-License-Identifier: MIT */
/*
 * Descriptors in a conversation with Node (child_process, Node 18 and 20).
 *
 * Node wraps a message that bears one into a NODE_HANDLE, and sends nothing more until that is
 * answered by an ACK; a NACK says that the descriptor did not come along, and has it sent again,
 * three times at most. So do we. A descriptor that Node cannot make a handle of aborts it: none such
 * is sent. Nor is an ACK that nobody waits for, which aborts it too. And none is sent that blocks:
 * Node uses it as it comes, and would hang in its accept(2), read(2) or write(2).
 *
 * The answer may lie behind messages that our user has not received yet. So the sender that waits
 * for it searches the inbox beyond them, with a decoder of its own; whoever comes by the answer
 * first takes note of it.
 */
#include "channel/internal.h"
#include "channel/parcels.h"

#include "os/os.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
    AGAIN_MAX = 3, /* as Node itself: it is sent four times */
    /* Where the answer cannot be read yet, a sender looks again so often; and so often in vain. */
    LOOK_AGAIN_NS = 10 * 1000 * 1000,
    LOOKS_IN_VAIN = 10,
};

static void forget(dx_channel *channel)
{
    struct dxi_node *node = &channel->node;

    dxi_os->release(node->bytes);
    if (node->unanswered)
        dxi_os->close(node->fd);
    node->bytes = NULL;
    node->unanswered = node->again = false;
    node->refusals = 0;
    /* An event loop that was refused meanwhile is told to try again. */
    if (node->wanted)
        atomic_store_explicit(&channel->out_wanted, true, memory_order_relaxed);
    node->wanted = false;
}

void dxi_node_close(dx_channel *channel)
{
    forget(channel);
}

/* Receiving. */

/* An answer, which is noted by whoever passes it first. */
static void note_answer(dx_channel *channel, uint8_t kind)
{
    atomic_store_explicit(&channel->node.answer,
                          kind == DXI_KIND_NODE_ACK ? DXI_NODE_ACK : DXI_NODE_NACK,
                          memory_order_seq_cst);
    atomic_store_explicit(&channel->out_pending, true, memory_order_seq_cst);
}

int dxi_node_sort(dx_channel *channel, dx_message *message)
{
    struct dxi_inbox *in = &channel->in;
    struct dxi_node *node = &channel->node;
    bool searched = in->position <= node->searched;

    switch (in->kind) {
    case DXI_KIND_NODE_HANDLE:
        if (message->descriptor_count == 1) {
            if (!searched)
                dxi_channel_note_due(channel, &node->acks);
            return 1;
        }
        /* It did not arrive, or is not welcome: Node sends it again, and gives up at last. */
        dxi_channel_note_due(channel, &node->nacks);
        return 0;
    case DXI_KIND_NODE_ACK:
    case DXI_KIND_NODE_NACK:
        if (!searched)
            note_answer(channel, in->kind);
        return 0;
    case DXI_KIND_NODE_OTHER:
        return 0;
    default:
        return 1;
    }
}

/* Take note of a frame that lies at this place of the conversation. false: it is left to its receiver. */
static bool note_frame(dx_channel *channel, uint64_t place, const struct dxi_frame *frame)
{
    switch (frame->kind) {
    case DXI_KIND_NODE_ACK:
    case DXI_KIND_NODE_NACK:
        note_answer(channel, frame->kind);
        return true;
    case DXI_KIND_NODE_HANDLE:
        /* The peer waits as we do: both would wait for ever. */
        if (!dxi_parcels_whole(&channel->in, place))
            return false;
        dxi_channel_note_due(channel, &channel->node.acks);
        return true;
    default:
        return true;
    }
}

/* Search what has come and was not received yet. 0, or -EPROTO. */
static int search(dx_channel *channel)
{
    struct dxi_node *node = &channel->node;
    struct dxi_inbox *in = &channel->in;
    struct dxi_frame frame;
    int status = 1;

    dxi_lock(&channel->in_lock);
    if (node->searched <= in->position) {
        node->searched = in->position;
        node->ahead = in->decoder;
    }
    while (status == 1) {
        size_t offset = (size_t)(node->searched - in->position);
        size_t size = dxi_inbox_size(in) - offset;

        if (size < node->ahead.needed || size == 0)
            break;
        status = in->framing->decode(&node->ahead, in->bytes + in->start + offset, size, &frame);
        if (status != 1 || !note_frame(channel, node->searched, &frame))
            break;
        in->framing->consume(&node->ahead, &frame);
        node->searched += dxi_frame_total(&frame);
    }
    dxi_unlock(&channel->in_lock);
    return status < 0 ? dxi_channel_fail_fault(channel, &node->ahead.fault) : 0;
}

/* Sending. */

/* Take note of the answer, if it has come. The caller holds out_lock. */
static void settle(dx_channel *channel)
{
    struct dxi_node *node = &channel->node;
    int answer = atomic_exchange_explicit(&node->answer, DXI_NODE_NONE, memory_order_seq_cst);

    if (!node->unanswered || answer == DXI_NODE_NONE)
        return;
    if (answer == DXI_NODE_NACK && node->refusals++ < AGAIN_MAX) {
        node->again = true;
        return;
    }
    node->given_up = answer == DXI_NODE_NACK;
    forget(channel);
}

/* Send it again. 0, or what a send says; then it is still to be sent. */
static int send_again(dx_channel *channel, struct dxi_patience *patience)
{
    struct dxi_node *node = &channel->node;
    struct dxi_parting parting;

    node->again = false;
    int status = dxi_parting_begin(&parting, channel->framing, &node->letter, 0);

    if (status == 0)
        status = dxi_channel_transmit(channel, &parting, &node->fd, 1, patience);
    node->again = status == -ETIMEDOUT || status == -EDEADLK;
    if (status < 0 && !node->again) {
        node->given_up = true;
        forget(channel);
    }
    return status;
}

/* As many as were asked for, while the outbox is not full: the peer may send without end. */
static void write_answers(dx_channel *channel, _Atomic unsigned *count, enum dxi_kind kind)
{
    struct dxi_letter letter = {.kind = (uint8_t)kind};

    while (atomic_load_explicit(count, memory_order_seq_cst) > 0 &&
           dxi_outbox_size(&channel->out) < DXI_COALESCE &&
           dxi_channel_leave(channel, &letter) == 0)
        atomic_fetch_sub_explicit(count, 1, memory_order_seq_cst);
}

static void write_all_answers(dx_channel *channel)
{
    write_answers(channel, &channel->node.acks, DXI_KIND_NODE_ACK);
    write_answers(channel, &channel->node.nacks, DXI_KIND_NODE_NACK);
}

/*
 * Take in, look for the answer, and answer the peer's handles, which alone may leave now. 1: the
 * answer has come; 0: not yet, and taking says how to wait; or an error.
 */
static int look_for_answer(dx_channel *channel, enum dxi_taking *ret_taking)
{
    *ret_taking = dxi_channel_take_in(channel);
    int status = search(channel);

    if (atomic_load_explicit(&channel->node.answer, memory_order_seq_cst) != DXI_NODE_NONE)
        return 1;
    if (status < 0)
        return status;
    if (atomic_load_explicit(&channel->broken, memory_order_relaxed))
        return -EPROTO;
    if (*ret_taking == DXI_TAKING_OVER)
        return dxi_channel_fail(channel, -EPIPE, "the peer ended before it had answered a handle");
    write_all_answers(channel);
    return dxi_channel_push(channel);
}

/* Wait for what the peer says next. The caller holds out_lock. */
static int wait_for_word(dx_channel *channel, struct dxi_patience *patience, unsigned *vain)
{
    enum dxi_taking taking;
    struct pollfd polled[2] = {
        {.fd = channel->read_fd, .events = POLLIN},
        {.fd = channel->peer_pidfd, .events = POLLIN},
    };
    uint64_t deadline = dxi_patience_deadline(patience);
    uint64_t soon = dxi_os->now_ns() + LOOK_AGAIN_NS;
    int status = look_for_answer(channel, &taking);

    if (status != 0)
        return status < 0 ? status : 0;
    if (taking == DXI_TAKING_FULL && ++*vain > LOOKS_IN_VAIN)
        return dxi_channel_fail(channel, -EDEADLK,
                                "%zu bytes wait here to be received, and the answer to a handle "
                                "behind them",
                                dxi_channel_backlog(channel));
    if (taking != DXI_TAKING)
        polled[0].fd = -1;
    else if (dxi_outbox_size(&channel->out) > 0)
        polled[0].events |= POLLOUT;
    /* A receiver in another thread may come by the answer, or by a handle to be answered. */
    bool look_again = taking != DXI_TAKING || !dxi_os->single_threaded();
    int ready = dxi_os->poll(polled, 2, look_again && soon < deadline ? soon : deadline);

    if (ready < 0)
        return dxi_channel_fail(channel, ready, "cannot wait: %s", dx_error_text(ready));
    if (polled[1].revents != 0 && polled[0].revents == 0)
        return dxi_channel_fail(channel, -EPIPE, "the peer has died");
    if (ready == 0 && dxi_patience_over(patience))
        return dxi_channel_fail(channel, -ETIMEDOUT,
                                "the peer has not answered a handle until the deadline, and "
                                "nothing may follow it");
    return 0;
}

/* Wait until something may be sent. The caller holds out_lock. */
static int await(dx_channel *channel, struct dxi_patience *patience)
{
    struct dxi_node *node = &channel->node;
    unsigned vain = 0;
    int status = 0;

    settle(channel);
    while (node->unanswered && status == 0) {
        status =
            node->again ? send_again(channel, patience) : wait_for_word(channel, patience, &vain);
        settle(channel);
    }
    node->wanted = status == -ETIMEDOUT || status == -EDEADLK;
    if (status == 0 && node->given_up) {
        node->given_up = false;
        return dxi_channel_fail(channel, -ECOMM,
                                "the peer refused the descriptor of a message before this one %d "
                                "times",
                                AGAIN_MAX + 1);
    }
    return status;
}

/* What Node would make of a descriptor. */
static int classify(dx_channel *channel, int fd, struct dxi_letter *letter)
{
    struct dxi_nature nature;
    int domain = 0, type = 0, listens = 0;
    int error = dxi_os->examine(fd, &nature);

    if (error == -EBADF)
        return dxi_channel_fail(channel, error, "a descriptor that is to be sent is not open");
    letter->handle_type = "net.Socket";
    if (error == 0 && nature.is_fifo)
        return 0;
    bool is_socket = error == 0 && nature.sort == DXI_SORT_SOCKET;

    if (is_socket)
        error = dxi_os->socket_get(fd, SO_DOMAIN, &domain);
    if (is_socket && error == 0)
        error = dxi_os->socket_get(fd, SO_TYPE, &type);
    if (error < 0)
        return dxi_channel_fail(channel, error, "cannot see what descriptor %d is: %s", fd,
                                dx_error_text(error));
    if (is_socket) {
        bool internet = domain == AF_INET || domain == AF_INET6;

        (void)dxi_os->socket_get(fd, SO_ACCEPTCONN, &listens);
        if (listens)
            letter->handle_type = "net.Server";
        if (type == SOCK_STREAM && (internet || domain == AF_UNIX))
            return 0;
        letter->handle_type = "dgram.Socket";
        letter->dgram_type = domain == AF_INET ? "udp4" : "udp6";
        if (type == SOCK_DGRAM && internet)
            return 0;
    }
    return dxi_channel_fail(channel, -EINVAL,
                            "Node cannot make a handle of descriptor %d: it is no pipe, stream "
                            "socket or UDP socket",
                            fd);
}

/* Node takes every handle for one that does not block. */
static int unblock(dx_channel *channel)
{
    struct dxi_node *node = &channel->node;
    int changed = dxi_os->set_nonblock(node->fd, true);

    node->was_blocking = changed > 0;
    if (changed >= 0)
        return 0;
    forget(channel);
    return dxi_channel_fail(channel, changed, "cannot make a descriptor non-blocking: %s",
                            dx_error_text(changed));
}

/* Keep what may have to be sent again. */
static int keep(dx_channel *channel, const dx_message *message, const struct dxi_letter *letter)
{
    struct dxi_node *node = &channel->node;

    node->bytes = dxi_os->allocate(message->size > 0 ? message->size : 1);
    if (node->bytes == NULL)
        return dxi_channel_fail(channel, -ENOMEM, "no memory for a message of %zu bytes",
                                message->size);
    node->fd = dxi_os->duplicate(message->descriptors[0], 3);
    if (node->fd < 0) {
        int error = node->fd;

        dxi_os->release(node->bytes);
        node->bytes = NULL;
        return dxi_channel_fail(channel, error, "cannot keep a descriptor until it is answered: %s",
                                dx_error_text(error));
    }
    if (message->size > 0)
        memcpy(node->bytes, message->data, message->size);
    node->letter = *letter;
    node->letter.data = node->bytes;
    node->unanswered = true;
    atomic_store_explicit(&node->answer, DXI_NODE_NONE, memory_order_relaxed);
    return 0;
}

int dxi_node_prepare(dx_channel *channel, const dx_message *message, struct dxi_letter *letter,
                     struct dxi_patience *patience)
{
    int status = await(channel, patience);

    /* What is no message is refused by the framing, with descriptors as without. */
    if (status < 0 || message->descriptor_count == 0 || letter->kind != DXI_KIND_MESSAGE)
        return status;
    if (message->descriptor_count > 1)
        return dxi_channel_fail(channel, -EMSGSIZE,
                                "%zu descriptors; Node takes one with a message",
                                message->descriptor_count);
    letter->kind = DXI_KIND_NODE_HANDLE;
    status = classify(channel, message->descriptors[0], letter);
    if (status == 0)
        status = keep(channel, message, letter);
    return status < 0 ? status : unblock(channel);
}

void dxi_node_sent(dx_channel *channel, bool sent)
{
    if (sent)
        return;
    if (channel->node.was_blocking)
        (void)dxi_os->set_nonblock(channel->node.fd, false);
    forget(channel);
}

bool dxi_node_is_due(const dx_channel *channel)
{
    const struct dxi_node *node = &channel->node;

    return node->again || atomic_load_explicit(&node->acks, memory_order_seq_cst) > 0 ||
           atomic_load_explicit(&node->nacks, memory_order_seq_cst) > 0 ||
           atomic_load_explicit(&node->answer, memory_order_seq_cst) != DXI_NODE_NONE;
}

void dxi_node_write_due(dx_channel *channel)
{
    struct dxi_node *node = &channel->node;
    struct dxi_patience none = {.timeout_ms = DX_NOW};

    settle(channel);
    if (channel->out.error < 0 || channel->out.ended) {
        atomic_store_explicit(&node->acks, 0, memory_order_relaxed);
        atomic_store_explicit(&node->nacks, 0, memory_order_relaxed);
        forget(channel);
        return;
    }
    write_all_answers(channel);
    if (node->again)
        (void)send_again(channel, &none);
}
