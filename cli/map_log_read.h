/* SPDX-License-Identifier: MIT */
/* What a joblog looks like, and what stands in one that is resumed. */
#ifndef CLI_MAP_LOG_READ_H
#define CLI_MAP_LOG_READ_H

#include "map_log.h"

/* The first line, with its newline. */
extern const char map_log_header[];

/*
 * Learn what is done, and how far the whole rows go. What goes wrong is said. Returns 0 or a negative
 * errno value.
 */
int map_log_read(map_log *self, bool repeat_failed);

#endif
