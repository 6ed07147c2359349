/* SPDX-License-Identifier: MIT */
/*
 * A set of numbers, kept as ranges: 100 million jobs that were done in about the order of their
 * numbers take no more room than a few.
 */
#ifndef CLI_MAP_RANGES_H
#define CLI_MAP_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct map_range {
    uint64_t first;
    uint64_t last;
} map_range;

/* All-zero is the empty set. */
typedef struct map_ranges {
    map_range *list; /* in order, with a gap between any two */
    size_t count;
    size_t capacity;
} map_ranges;

/* Put a number in, or take it out. Returns 0 or -ENOMEM. */
int map_ranges_add(map_ranges *set, uint64_t number);
int map_ranges_remove(map_ranges *set, uint64_t number);

bool map_ranges_has(const map_ranges *set, uint64_t number);

void map_ranges_clear(map_ranges *set);

#endif
