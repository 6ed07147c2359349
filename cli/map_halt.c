/* SPDX-License-Identifier: MIT */
/* When to give up; see map_halt.h. */
#include "map_halt.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { ENDED_MIN = 3 }; /* before so many have ended a percentage says nothing */

static const char *const events[] = {
    [MAP_HALT_FAIL] = "fail=", [MAP_HALT_SUCCESS] = "success=", [MAP_HALT_DONE] = "done="};

/* Read "3" or "10%". */
static bool parse_count(map_halt *halt, const char *text)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 10);

    if (*text < '0' || *text > '9' || number == 0 || number > INT64_MAX)
        return false;
    if (*end == '\0') {
        halt->count = number;
        return true;
    }
    /* Of what has ended, always everything is done. */
    if (strcmp(end, "%") != 0 || number > 100 || halt->what == MAP_HALT_DONE)
        return false;
    halt->percent = (unsigned)number;
    return true;
}

bool map_halt_parse(map_halt *ret, const char *text)
{
    size_t i;

    *ret = (map_halt){0};
    if (strcmp(text, "never") == 0)
        return true;
    if (strncmp(text, "soon,", 5) == 0) {
        ret->when = MAP_HALT_SOON;
        text += 5;
    } else if (strncmp(text, "now,", 4) == 0) {
        ret->when = MAP_HALT_NOW;
        text += 4;
    } else {
        return false;
    }
    for (i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        size_t size = strlen(events[i]);

        if (strncmp(text, events[i], size) == 0) {
            ret->what = (map_halt_what)i;
            return parse_count(ret, text + size);
        }
    }
    return false;
}

/* How often has happened what it waits for. */
static uint64_t count_events(const map_halt *halt, uint64_t done, uint64_t failed)
{
    return (halt->what != MAP_HALT_FAIL ? done : 0) + (halt->what != MAP_HALT_SUCCESS ? failed : 0);
}

bool map_halt_is_due(const map_halt *halt, uint64_t done, uint64_t failed)
{
    uint64_t happened = count_events(halt, done, failed);

    if (halt->when == MAP_HALT_NEVER)
        return false;
    if (halt->percent == 0)
        return happened >= halt->count;
    return done + failed >= ENDED_MIN && happened * 100 >= (done + failed) * halt->percent;
}

const char *map_halt_event(const map_halt *halt, uint64_t done, uint64_t failed,
                           uint64_t *ret_count)
{
    bool one;

    *ret_count = count_events(halt, done, failed);
    one = *ret_count == 1;
    switch (halt->what) {
    case MAP_HALT_FAIL:
        return one ? "failure" : "failures";
    case MAP_HALT_SUCCESS:
        return one ? "answer" : "answers";
    case MAP_HALT_DONE:
    default:
        return one ? "job" : "jobs";
    }
}
