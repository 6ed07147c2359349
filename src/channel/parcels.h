/* SPDX-License-Identifier: MIT */
/*
 * The inbox's descriptors: they arrive with a read, and belong to the frame that begins within it.
 */
#ifndef DUPLEX_CHANNEL_PARCELS_H
#define DUPLEX_CHANNEL_PARCELS_H

#include "channel/inbox.h"

int dxi_parcels_open(struct dxi_inbox *in, unsigned descriptor_room);
void dxi_parcels_close(struct dxi_inbox *in);

/* Close what the user did not take of the last message. */
void dxi_parcels_release(struct dxi_inbox *in);

/* A read of this size, not yet counted in `end`, brought these. */
void dxi_parcels_arrived(struct dxi_inbox *in, size_t size, const struct dxi_arrival *arrival);

/* The same read turned out to be none, or is not believed: close what came with it. */
void dxi_parcels_discard(const struct dxi_arrival *arrival);

/* What the last read brought did not come with a message, but for one that comes by the ring. */
void dxi_parcels_turn(struct dxi_inbox *in);

/*
 * Bind what arrived to this frame, which begins at the inbox's position, as the message's
 * descriptors. 0; -EPROTO if what came is not what the frame announced; -EMFILE, once, if this
 * process could not accept them.
 */
int dxi_parcels_bind(struct dxi_inbox *in, const struct dxi_frame *frame);

/* The frame at the inbox's position may have none: close what came with it. Returns 0. */
int dxi_parcels_refuse(struct dxi_inbox *in);

/* Whether the frame that begins at this place has come with one descriptor, and none was lost. */
bool dxi_parcels_whole(const struct dxi_inbox *in, uint64_t place);

/* Whether descriptors came with bytes that are consumed already; says so in the decoder's fault. */
bool dxi_parcels_stale(struct dxi_inbox *in);

#endif
