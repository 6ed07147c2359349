/* SPDX-License-Identifier: MIT */
/*
 * Descriptors in a conversation with Node: one with a message, answered by an ACK before anything
 * follows it. See node.c.
 */
#ifndef DUPLEX_CHANNEL_NODE_H
#define DUPLEX_CHANNEL_NODE_H

#include "wire/framing.h"

#include <duplex/channel.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct dxi_patience;

enum dxi_node_answer { DXI_NODE_NONE, DXI_NODE_ACK, DXI_NODE_NACK };

struct dxi_node {
    /* What was sent and is not answered, to be sent again. Belongs to out_lock. */
    bool unanswered;
    bool again; /* it was refused, and is to be sent again now */
    unsigned refusals;
    bool wanted;   /* a send was refused because of it */
    bool given_up; /* it was refused for the last time, and nobody was told yet */
    struct dxi_letter letter;
    void *bytes;
    int fd;
    bool was_blocking; /* and is to be so again if it is not sent */

    /* How far the inbox was searched for the answer. Belongs to in_lock. */
    uint64_t searched;
    struct dxi_decoder ahead;

    _Atomic int answer;           /* an enum dxi_node_answer, from the receiver to the sender */
    _Atomic unsigned acks, nacks; /* of what has come, still to be sent */
};

void dxi_node_close(dx_channel *channel);

/* The caller holds in_lock. As dxi_calls_sort(), for what the inbox has consumed last. */
int dxi_node_sort(dx_channel *channel, dx_message *message);

/*
 * The caller holds out_lock: wait until something may be sent, then complete the letter if the message
 * bears a descriptor, and keep what may have to be sent again. 0, or as dx_send_message().
 */
int dxi_node_prepare(dx_channel *channel, const dx_message *message, struct dxi_letter *letter,
                     struct dxi_patience *patience);

/* The caller holds out_lock: what was prepared was sent, or was not. */
void dxi_node_sent(dx_channel *channel, bool sent);

/* Whether dxi_node_write_due() has anything to do. */
bool dxi_node_is_due(const dx_channel *channel);

/* The caller holds out_lock, and no message is half sent: answer what has come, and send again what
 * was refused, as far as it goes without waiting. */
void dxi_node_write_due(dx_channel *channel);

#endif
