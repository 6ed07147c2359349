/* SPDX-License-Identifier: MIT */
/*
 * Medians, spreads and ratios. A ratio is the median of the ratios of each pass, and not the ratio
 * of two medians: the machine drifts, and both halves of a pass were measured side by side.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

double stats_median(const double *values, unsigned count)
{
    double sorted[VALUES_MAX];

    if (count == 0)
        return 0;
    memcpy(sorted, values, count * sizeof(*values));
    qsort(sorted, count, sizeof(*sorted), compare);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

double stats_min(const double *values, unsigned count)
{
    double least = count ? values[0] : 0;

    for (unsigned i = 1; i < count; i++) {
        if (values[i] < least)
            least = values[i];
    }
    return least;
}

double stats_max(const double *values, unsigned count)
{
    double greatest = count ? values[0] : 0;

    for (unsigned i = 1; i < count; i++) {
        if (values[i] > greatest)
            greatest = values[i];
    }
    return greatest;
}

const struct row *group_reference(const struct group *group)
{
    for (unsigned i = 0; i < group->row_count && group_has_ratios(group); i++) {
        if (group->rows[i].reference && group->rows[i].passes > 0)
            return &group->rows[i];
    }
    return NULL;
}

const struct row *group_limit(const struct group *group)
{
    for (unsigned i = 0; i < group->row_count && group_has_ratios(group); i++) {
        if (group->rows[i].limit && group->rows[i].passes > 0)
            return &group->rows[i];
    }
    return NULL;
}

double row_ratio(const struct group *group, const struct row *row, const struct row *other)
{
    double ratios[PASSES_MAX];
    unsigned passes;

    if (!other || row->passes == 0)
        return 0;
    passes = row->passes < other->passes ? row->passes : other->passes;
    for (unsigned i = 0; i < passes; i++) {
        if (group_is_rate(group))
            ratios[i] = other->seconds[i] / row->seconds[i];
        else
            ratios[i] = row->seconds[i] / other->seconds[i];
    }
    return stats_median(ratios, passes);
}

double row_growth(const struct group *first, const struct row *row)
{
    for (unsigned i = 0; first && i < first->row_count; i++) {
        const struct row *other = &first->rows[i];

        if (strcmp(other->name, row->name) == 0 && other->passes > 0 && row->passes > 0)
            return stats_median(row->seconds, row->passes) /
                   stats_median(other->seconds, other->passes);
    }
    return 0;
}
