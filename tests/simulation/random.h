/* SPDX-License-Identifier: MIT */
/*
 * Choices that a seed decides: the same numbers on every machine.
 */
#ifndef DUPLEX_TESTS_SIMULATION_RANDOM_H
#define DUPLEX_TESTS_SIMULATION_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct randomness {
    uint64_t state;
};

static inline uint64_t random_next(struct randomness *randomness)
{
    uint64_t mixed = randomness->state += UINT64_C(0x9E3779B97F4A7C15);

    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ (mixed >> 31);
}

/* From 0 to count - 1. */
static inline uint64_t random_below(struct randomness *randomness, uint64_t count)
{
    return count > 1 ? random_next(randomness) % count : 0;
}

/* From least to most, both included. */
static inline uint64_t random_from(struct randomness *randomness, uint64_t least, uint64_t most)
{
    return least + random_below(randomness, most - least + 1);
}

/* True once in so many times; 0: never. */
static inline bool random_one_in(struct randomness *randomness, unsigned times)
{
    return times > 0 && random_below(randomness, times) == 0;
}

/* Each order of magnitude up to most as likely as the others, and most itself now and then. */
static inline size_t random_size(struct randomness *randomness, size_t most)
{
    unsigned bits = 0;

    if (random_one_in(randomness, 16))
        return most;
    while (bits < 63 && ((uint64_t)1 << bits) < most)
        bits++;
    uint64_t below = (uint64_t)1 << random_below(randomness, bits + 1);
    uint64_t size = random_below(randomness, below + 1);

    return size < most ? (size_t)size : most;
}

#endif
