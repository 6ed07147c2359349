/* SPDX-License-Identifier: MIT */
/*
 * `duplex map`: each message of standard input is a job for one of many workers, which are started
 * once; what the worker answers goes to standard output.
 */
#ifndef CLI_MAP_H
#define CLI_MAP_H

#include "handover.h"
#include "map_halt.h"

#include <duplex.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct map_options {
    char *const *argv; /* the worker and its arguments, ending with NULL */

    dx_framing framing; /* how a worker is spoken to */
    dx_framing input;   /* how standard input is cut into jobs */
    dx_framing
        output; /* how replies are written; of these two none that map_frame_fits() refuses */
    handover_choice handover;

    unsigned workers;
    unsigned depth;
    bool unordered;
    dx_ready ready;
    int ready_timeout_ms;

    unsigned retries;
    int timeout_ms;
    uint64_t recycle_jobs;
    size_t recycle_bytes;
    map_halt halt;

    bool tag;
    const char *joblog; /* a file, or NULL; so is the next */
    const char *fail_file;
    bool resume;
    bool resume_failed; /* implies resume */
    bool json;
    bool quiet;
} map_options;

/* Do all jobs. Returns the exit status; no worker is left. */
int map(const map_options *options);

#endif
