/* SPDX-License-Identifier: MIT */
/*
 * The same calls made of Linux and of the simulated kernel, chosen by a seed, each with the same result.
 */
#ifndef DUPLEX_TESTS_SIMULATION_SCRIPT_H
#define DUPLEX_TESTS_SIMULATION_SCRIPT_H

#include "world.h"

/* What the kernel at hand is like. */
struct script_kernel {
    bool old;   /* it knows no SO_PASSRIGHTS */
    bool exact; /* it counts what lies in a socket as the simulated one does */
};

struct script_kernel script_examine_kernel(void);

/* Run the script of this seed on both. NULL, or where they differ. */
const char *script_run(uint64_t seed, const struct script_kernel *linux_kernel, bool traced);

/* Have a child end so and so, on both: by itself, by a signal, at the end of its socket. */
const char *script_run_child(uint64_t seed, const struct script_kernel *linux_kernel, bool traced);

#endif
