/* SPDX-License-Identifier: MIT */
/* How figures and the titles of tables are written, wherever they are shown. */
#include "bench.h"

void text_of_size(char ret[16], size_t size)
{
    static const char units[] = "BKMG";
    unsigned unit = 0;

    while (size >= 1024 && size % 1024 == 0 && unit < 3) {
        size /= 1024;
        unit++;
    }
    snprintf(ret, 16, unit ? "%zu %ciB" : "%zu %c", size, units[unit]);
}

void text_of_figure(char ret[24], double value)
{
    double magnitude = value < 0 ? -value : value;
    int decimals = magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3;

    snprintf(ret, 24, "%.*f", magnitude < 0.01 && magnitude > 0 ? 5 : decimals, value);
}

static bool rate_in_bytes(const struct group *group)
{
    return group->size >= 4096;
}

double text_shown(const struct group *group, double seconds)
{
    if (!group_is_rate(group))
        return seconds * 1e6;
    if (group->work == WORK_POOL)
        return 1e-3 / seconds;
    return (rate_in_bytes(group) ? (double)group->size * 1e-9 : 1e-6) / seconds;
}

void text_of_title(char *ret, size_t size, const struct group *group)
{
    char bytes[16];
    char what[160];

    text_of_size(bytes, group->size);
    switch (group->work) {
    case WORK_ROUND_TRIP:
        snprintf(what, sizeof(what), "round trip of %s, us; CPU in us per round trip", bytes);
        break;
    case WORK_ONE_WAY:
        snprintf(what, sizeof(what), "one way, messages of %s, %s; CPU in us per message", bytes,
                 rate_in_bytes(group) ? "GB/s" : "million messages/s");
        break;
    case WORK_CALLS:
        snprintf(what, sizeof(what),
                 "calls of %s, %d open at a time, million calls/s; CPU in us per call", bytes,
                 CALLS_OPEN);
        break;
    case WORK_SPAWN:
        snprintf(what, sizeof(what), "start /bin/true, parent of %s, us blocked in the call",
                 bytes);
        break;
    case WORK_BUSY:
        snprintf(what, sizeof(what),
                 "round trip of %s beside %d busy processes, us; CPU in us per round trip; loss: "
                 "of the busy ones, %%",
                 bytes, BUSY_COUNT);
        break;
    case WORK_IDLE:
        snprintf(what, sizeof(what),
                 "an open conversation in which nobody speaks, ms of CPU in an hour");
        break;
    case WORK_POOL:
        snprintf(what, sizeof(what),
                 "jobs of %s, %u worker%s, thousand jobs/s; CPU in us per job, of all workers",
                 bytes, placement_workers(group->placement),
                 placement_workers(group->placement) == 1 ? "" : "s");
        break;
    }
    snprintf(ret, size, "%s, %s: %s", group->name, placement_name(group->placement), what);
}

void text_of_row(char *ret, size_t size, const struct row *row)
{
    snprintf(ret, size, "%s%s", row->name, row->corked ? ", corked" : "");
}
