/* SPDX-License-Identifier: MIT */
/* How much is run: the defaults, and how a user asks for something else. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

struct effort effort_default(void)
{
    return (struct effort){
        .passes = 5,
        .seconds = 0.15,
        .idle_seconds = 5,
        .interrupt_fd = -1,
    };
}

void effort_be_quick(struct effort *effort)
{
    effort->passes = 3;
    effort->seconds = 0.05;
    effort->idle_seconds = 1;
}

unsigned effort_parse_placements(const char *list)
{
    unsigned placements = 0;

    while (*list) {
        size_t length = strcspn(list, ",");
        int found = -1;

        for (int i = 0; i < PLACEMENT_COUNT; i++) {
            const char *name = placement_name((enum placement)i);

            if (strlen(name) == length && strncmp(list, name, length) == 0)
                found = i;
        }
        if (found < 0)
            return 0;
        placements |= 1u << found;
        list += length + (list[length] == ',');
    }
    return placements;
}

bool effort_parse_number(const char *text, double least, double most, double *ret)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= least && value <= most))
        return false;
    *ret = value;
    return true;
}
