/* SPDX-License-Identifier: MIT */
/*
 * Bytes that wait to be written, and messages as their framing has them. Knows no descriptor.
 */
#ifndef CLI_MAP_FRAME_H
#define CLI_MAP_FRAME_H

#include <duplex.h>

#include <stdbool.h>
#include <stddef.h>

/* All-zero holds nothing. */
typedef struct map_bytes {
    char *data;
    size_t capacity;
    size_t start; /* the first that is still to be written */
    size_t end;
} map_bytes;

/* Add bytes at the end. Returns 0 or -ENOMEM. */
int map_bytes_add(map_bytes *bytes, const void *data, size_t size);

/* Make room for so many at the end, and say where: `data + end`. Returns 0 or -ENOMEM. */
int map_bytes_reserve(map_bytes *bytes, size_t size);

/* Be done with the first ones. */
void map_bytes_drop(map_bytes *bytes, size_t size);

size_t map_bytes_size(const map_bytes *bytes);
void map_bytes_clear(map_bytes *bytes);

/* True for a framing in which messages can be kept in a file: not for native, node and raw. */
bool map_frame_fits(dx_framing framing);

/*
 * Add a message. Lines and messages that end with NUL are written as they are, even if they hold what
 * ends them. Returns 0, -ENOMEM, or -EMSGSIZE or -EINVAL if the framing cannot have it.
 */
int map_frame_add(map_bytes *bytes, dx_framing framing, const void *data, size_t size);

#endif
