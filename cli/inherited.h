/* SPDX-License-Identifier: MIT */
/*
 * The descriptors besides 0, 1 and 2 that whoever started the command meant for the program: as
 * with env(1) or nice(1), `duplex talk -- diff <(one) <(other)` finds its /dev/fd/63.
 */
#ifndef CLI_INHERITED_H
#define CLI_INHERITED_H

#include <duplex.h>

#include <stddef.h>

typedef struct inherited {
    dx_descriptor *list; /* each under its own number */
    size_t count;
} inherited;

/*
 * Find them; call it before anything is opened. Returns 0 or -ENOMEM. Without /proc none is found.
 */
int inherited_find(inherited *self);

/* Close them here, so that the program alone holds them, and forget them. */
void inherited_close(inherited *self);

#endif
