/* SPDX-License-Identifier: MIT */
/* A set of numbers; see map_ranges.h. */
#include "map_ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The place of the first range that ends at or after the number. */
static size_t find(const map_ranges *set, uint64_t number)
{
    size_t low = 0;
    size_t high = set->count;

    /* Mostly it is behind the last. */
    if (high > 0 && set->list[high - 1].last < number)
        return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->list[middle].last < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int insert(map_ranges *set, size_t place, map_range range)
{
    if (!set->list || set->count == set->capacity) {
        size_t capacity = set->capacity ? set->capacity * 2 : 16;
        map_range *list = realloc(set->list, capacity * sizeof(*list));

        if (!list)
            return -ENOMEM;
        set->list = list;
        set->capacity = capacity;
    }
    memmove(set->list + place + 1, set->list + place, (set->count - place) * sizeof(*set->list));
    set->list[place] = range;
    set->count++;
    return 0;
}

static void erase(map_ranges *set, size_t place)
{
    set->count--;
    memmove(set->list + place, set->list + place + 1, (set->count - place) * sizeof(*set->list));
}

bool map_ranges_has(const map_ranges *set, uint64_t number)
{
    size_t place = find(set, number);

    return place < set->count && set->list[place].first <= number;
}

int map_ranges_add(map_ranges *set, uint64_t number)
{
    size_t place = find(set, number);
    map_range *next = place < set->count ? &set->list[place] : NULL;
    map_range *before = place > 0 ? &set->list[place - 1] : NULL;

    if (next && next->first <= number)
        return 0;
    if (before && before->last + 1 == number) {
        before->last = number;
        if (next && next->first == number + 1) {
            before->last = next->last;
            erase(set, place);
        }
        return 0;
    }
    if (next && next->first == number + 1) {
        next->first = number;
        return 0;
    }
    return insert(set, place, (map_range){number, number});
}

int map_ranges_remove(map_ranges *set, uint64_t number)
{
    size_t place = find(set, number);
    map_range *range = place < set->count ? &set->list[place] : NULL;
    map_range front;

    if (!range || range->first > number)
        return 0;
    if (range->first == range->last) {
        erase(set, place);
    } else if (range->first == number) {
        range->first++;
    } else if (range->last == number) {
        range->last--;
    } else {
        front = (map_range){range->first, number - 1};
        range->first = number + 1;
        return insert(set, place, front);
    }
    return 0;
}

void map_ranges_clear(map_ranges *set)
{
    free(set->list);
    *set = (map_ranges){0};
}
