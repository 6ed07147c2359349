/* SPDX-License-Identifier: MIT */
/*
 * Channels of descriptors that somebody else made: looked at first, and then taken.
 */
#ifndef DUPLEX_CHANNEL_ATTACH_H
#define DUPLEX_CHANNEL_ATTACH_H

#include "channel/channel.h"

/*
 * Look whether a channel can be made of these, with these options, whose type is then the
 * descriptors'. Explains in options->failure. Changes nothing. 0, or as dx_channel_attach().
 */
int dxi_attach_examine(struct dxi_ends *ret, int read_fd, int write_fd,
                       dx_channel_options *options);

/* Make a channel of what was found good. 0 or -ENOMEM. */
int dxi_attach_open(dx_channel **ret, const struct dxi_ends *ends,
                    const dx_channel_options *options);

#endif
