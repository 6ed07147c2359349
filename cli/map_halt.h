/* SPDX-License-Identifier: MIT */
/*
 * When `duplex map` gives up before its input ends, in the words of GNU parallel: "soon,fail=3",
 * "now,success=1", "soon,fail=10%".
 */
#ifndef CLI_MAP_HALT_H
#define CLI_MAP_HALT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum map_halt_when {
    MAP_HALT_NEVER = 0,
    MAP_HALT_SOON, /* no new jobs; those that a worker has are finished */
    MAP_HALT_NOW   /* those are not finished either */
} map_halt_when;

typedef enum map_halt_what { MAP_HALT_FAIL, MAP_HALT_SUCCESS, MAP_HALT_DONE } map_halt_what;

typedef struct map_halt {
    map_halt_when when;
    map_halt_what what;
    uint64_t count;   /* so many jobs; unused if there is a percentage */
    unsigned percent; /* of those that have ended, of which there must be three; 0: none is given */
} map_halt;

/* Read the words. Returns false if they are wrong. */
bool map_halt_parse(map_halt *ret, const char *text);

/* Ask whether it is time, when so many have been answered and so many have failed. */
bool map_halt_is_due(const map_halt *halt, uint64_t done, uint64_t failed);

/* What has happened so often: "failures". */
const char *map_halt_event(const map_halt *halt, uint64_t done, uint64_t failed,
                           uint64_t *ret_count);

#endif
