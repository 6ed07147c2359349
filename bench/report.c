/* SPDX-License-Identifier: MIT */
/*
 * The tables for people: medians with their spread, the ratios to the reference and to the limit of
 * the same run, and the processor time of both sides; at the end, which targets are met.
 */
#include "bench.h"

void report_heading(FILE *out, const struct effort *effort)
{
    struct machine machine;

    machine_describe(&machine);
    fprintf(out, "%s, %s, %u CPUs allowed, load %.2f; medians of %u interleaved passes\n",
            machine.kernel, machine.processor, machine.cpus, machine.load, effort->passes);
    if (machine.load > 0.5)
        fprintf(out, "The machine is busy: trust the ratios a little and the times not at all.\n");
    fprintf(out,
            "free: CPUs chosen by the scheduler; pinned: one CPU each; same: both on one CPU\n");
}

const struct group *report_first_spawn(const struct group *groups, const struct group *group)
{
    if (group->work != WORK_SPAWN)
        return NULL;
    while (groups->work != WORK_SPAWN || groups->placement != group->placement)
        groups++;
    return groups;
}

static void print_figure(FILE *out, double value)
{
    char text[24];

    text_of_figure(text, value);
    fprintf(out, " %8s", text);
}

static void print_ratio(FILE *out, double ratio)
{
    char text[24];

    text_of_figure(text, ratio);
    fprintf(out, "  %17s", ratio > 0 ? text : "-");
}

static void print_column_of(FILE *out, const struct row *other)
{
    fprintf(out, "  x %-15s", other ? other->name : "-");
}

static void print_columns(FILE *out, const struct group *group)
{
    fprintf(out, "  %-30s", "");
    if (group->work == WORK_IDLE) {
        fprintf(out, " %8s %8s\n", "parent", "child");
        return;
    }
    fprintf(out, " %8s %8s %8s", group->work == WORK_BUSY ? "mean" : "median", "min", "max");
    if (group->work == WORK_ROUND_TRIP || group->work == WORK_BUSY)
        fprintf(out, " %8s %8s", "p50", "p99");
    if (group->work == WORK_BUSY)
        fprintf(out, " %8s", "loss");
    if (group->work == WORK_SPAWN)
        fprintf(out, " %8s %8s", "reaped", "growth");
    fprintf(out, " %8s %8s", "CPU prnt", "CPU chld");
    print_column_of(out, group_reference(group));
    if (group_limit(group))
        print_column_of(out, group_limit(group));
    fputc('\n', out);
}

static void print_single_times(FILE *out, const struct row *row)
{
    if (row->noted == 0) {
        fprintf(out, " %8s %8s", "-", "-");
        return;
    }
    print_figure(out, stats_median(row->p50, row->noted) * 1e6);
    print_figure(out, stats_median(row->p99, row->noted) * 1e6);
}

static void print_cpu(FILE *out, const struct row *row, double unit)
{
    print_figure(out, stats_median(row->parent_cpu, row->passes) * unit);
    print_figure(out, stats_median(row->child_cpu, row->passes) * unit);
}

static void print_figures(FILE *out, const struct group *group, const struct row *row,
                          const struct group *first)
{
    double fastest = text_shown(group, stats_min(row->seconds, row->passes));
    double slowest = text_shown(group, stats_max(row->seconds, row->passes));

    print_figure(out, text_shown(group, stats_median(row->seconds, row->passes)));
    print_figure(out, fastest < slowest ? fastest : slowest);
    print_figure(out, fastest < slowest ? slowest : fastest);
    if (group->work == WORK_ROUND_TRIP || group->work == WORK_BUSY)
        print_single_times(out, row);
    if (group->work == WORK_BUSY)
        print_figure(out, stats_median(row->busy_loss, row->passes) * 100);
    if (group->work == WORK_SPAWN) {
        print_figure(out, stats_median(row->whole, row->passes) * 1e6);
        print_figure(out, row_growth(first, row));
    }
    print_cpu(out, row, 1e6);
    print_ratio(out, row_ratio(group, row, group_reference(group)));
    if (group_limit(group))
        print_ratio(out, row_ratio(group, row, group_limit(group)));
}

static void print_row(FILE *out, const struct group *group, const struct row *row,
                      const struct group *first)
{
    char name[48];

    text_of_row(name, sizeof(name), row);
    fprintf(out, "  %-30s", name);
    if (row->passes == 0) {
        fprintf(out, " %s: %s\n", row->failed ? "FAILED" : "skipped", row->skipped);
        return;
    }
    if (group->work == WORK_IDLE)
        print_cpu(out, row, 3600 * 1e3);
    else
        print_figures(out, group, row, first);
    if (row->failed)
        fprintf(out, "  then FAILED: %s", row->skipped);
    fputc('\n', out);
}

void report_group(FILE *out, const struct group *group, const struct group *first)
{
    char title[200];

    text_of_title(title, sizeof(title), group);
    fprintf(out, "\n%s\n", title);
    print_columns(out, group);
    for (unsigned i = 0; i < group->row_count; i++)
        print_row(out, group, &group->rows[i], first);
    fflush(out);
}

void report_targets(FILE *out, const struct verdict *verdicts, size_t count)
{
    if (count > 0)
        fprintf(out, "\ntargets\n");
    for (size_t i = 0; i < count; i++) {
        const struct verdict *verdict = &verdicts[i];
        char value[24] = "-";

        if (verdict->measured)
            text_of_figure(value, verdict->value);
        fprintf(out, "  %-12s %-48s %8s %s, at %s %g\n",
                !verdict->measured ? "not measured"
                : verdict->met     ? "met"
                                   : "MISSED",
                verdict->what, value, verdict->against, verdict->at_least ? "least" : "most",
                verdict->bound);
    }
    fflush(out);
}
