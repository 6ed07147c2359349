/* SPDX-License-Identifier: MIT */
/* The descriptors that many workers take. */
#ifndef CLI_MAP_LIMIT_H
#define CLI_MAP_LIMIT_H

#include "map.h"

#include <duplex.h>

/*
 * Raise this process's limit of open descriptors as far as the workers need it, and say which limit
 * they are to be given: the one that was found. What goes wrong is said. Returns 0 or a negative
 * errno value.
 */
int map_limit_raise(const map_options *options, dx_limit *ret);

#endif
