/* SPDX-License-Identifier: MIT */
/*
 * From a seed to a world, and many of them one after the other.
 */
#ifndef DUPLEX_TESTS_SIMULATION_SEEDS_H
#define DUPLEX_TESTS_SIMULATION_SEEDS_H

#include "world.h"

/* Run the world of this seed. */
struct world_history seeds_run(uint64_t seed, bool traced);

struct seeds_figures {
    uint64_t run, failed, calls, deaths, processes;
};

/*
 * Run so many worlds from a seed on, each `stride`-th, print those that fail, and stop when that are
 * `most`.
 */
struct seeds_figures seeds_run_many(uint64_t first, uint64_t count, uint64_t stride, uint64_t most);

/* The command: [COUNT] [--first N] [--processes N], or --seed N [--trace]. */
int seeds_main(int argc, char **argv);

#endif
