/* SPDX-License-Identifier: MIT */
/*
 * Descriptors handed over as sd_listen_fds(3) describes: from number 3 on, by LISTEN_FDS, LISTEN_PID
 * and LISTEN_FDNAMES.
 */
#ifndef DUPLEX_CHANNEL_LISTEN_H
#define DUPLEX_CHANNEL_LISTEN_H

#include <duplex/error.h>

#include <stddef.h>

/*
 * The number of the descriptor with this name, or of the first that was not claimed if name is NULL;
 * or -ENOENT or -EINVAL, explained.
 */
int dxi_listen_find(const char *name, dx_failure *failure, size_t *ret_index);

/*
 * It was claimed. The variables go with the last one; until then they stay for the others, and the
 * name of this one says that it is taken.
 */
void dxi_listen_forget(size_t index);

#endif
