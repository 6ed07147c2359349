/* SPDX-License-Identifier: MIT */
/* The tables once more, for a page that people read later and elsewhere. */
#include "results.h"

static void put_figure(FILE *out, double value)
{
    char text[24];

    text_of_figure(text, value);
    fprintf(out, " %s |", text);
}

static void put_ratio(FILE *out, double ratio)
{
    if (ratio > 0)
        put_figure(out, ratio);
    else
        fputs(" |", out);
}

static bool has_single_times(const struct group *group)
{
    return group->work == WORK_ROUND_TRIP || group->work == WORK_BUSY;
}

/* The names of the columns, and the line under them. */
static void put_head(FILE *out, const struct group *group)
{
    unsigned columns = 5;

    if (group->work == WORK_IDLE) {
        fputs("| | parent | child |\n|---|--:|--:|\n", out);
        return;
    }
    fprintf(out, "| | %s | least – greatest |", group->work == WORK_BUSY ? "mean" : "median");
    if (has_single_times(group)) {
        fputs(" p50 | p99 |", out);
        columns += 2;
    }
    if (group->work == WORK_BUSY) {
        fputs(" loss, % |", out);
        columns++;
    }
    if (group->work == WORK_SPAWN) {
        fputs(" reaped | growth |", out);
        columns += 2;
    }
    fputs(" CPU parent | CPU child |", out);
    if (group_reference(group)) {
        fprintf(out, " × %s |", group_reference(group)->name);
        columns++;
    }
    if (group_limit(group)) {
        fprintf(out, " × %s |", group_limit(group)->name);
        columns++;
    }
    fputs("\n|---|", out);
    while (--columns > 0)
        fputs("--:|", out);
    fputc('\n', out);
}

static void put_cpu(FILE *out, const struct row *row, double unit)
{
    put_figure(out, stats_median(row->parent_cpu, row->passes) * unit);
    put_figure(out, stats_median(row->child_cpu, row->passes) * unit);
}

static void put_spread(FILE *out, const struct group *group, const struct row *row)
{
    double fastest = text_shown(group, stats_min(row->seconds, row->passes));
    double slowest = text_shown(group, stats_max(row->seconds, row->passes));
    char least[24];
    char greatest[24];

    text_of_figure(least, fastest < slowest ? fastest : slowest);
    text_of_figure(greatest, fastest < slowest ? slowest : fastest);
    fprintf(out, " %s – %s |", least, greatest);
}

static void put_row(FILE *out, const struct group *group, const struct row *row,
                    const struct group *first)
{
    char name[48];

    text_of_row(name, sizeof(name), row);
    fprintf(out, "| %s%s%s |", row->limit ? "*" : "", name, row->limit ? "*" : "");
    if (group->work == WORK_IDLE) {
        put_cpu(out, row, 3600 * 1e3);
        fputc('\n', out);
        return;
    }
    put_figure(out, text_shown(group, stats_median(row->seconds, row->passes)));
    put_spread(out, group, row);
    if (has_single_times(group) && row->noted > 0) {
        put_figure(out, stats_median(row->p50, row->noted) * 1e6);
        put_figure(out, stats_median(row->p99, row->noted) * 1e6);
    } else if (has_single_times(group)) {
        fputs(" | |", out);
    }
    if (group->work == WORK_BUSY)
        put_figure(out, stats_median(row->busy_loss, row->passes) * 100);
    if (group->work == WORK_SPAWN) {
        put_figure(out, stats_median(row->whole, row->passes) * 1e6);
        put_figure(out, row_growth(first, row));
    }
    put_cpu(out, row, 1e6);
    if (group_reference(group))
        put_ratio(out, row_ratio(group, row, group_reference(group)));
    if (group_limit(group))
        put_ratio(out, row_ratio(group, row, group_limit(group)));
    fputc('\n', out);
}

/* Rows without figures, and why; a paragraph under the table. */
static void put_skipped(FILE *out, const struct group *group)
{
    bool begun = false;

    for (unsigned i = 0; i < group->row_count; i++) {
        const struct row *row = &group->rows[i];
        char name[48];

        if (row->skipped[0] == '\0')
            continue;
        text_of_row(name, sizeof(name), row);
        fprintf(out, "%s- %s %s: %s\n", begun ? "" : "\n", name,
                !row->failed      ? "was skipped"
                : row->passes > 0 ? "failed later"
                                  : "failed",
                row->skipped);
        begun = true;
    }
}

static void put_group(FILE *out, const struct group *group, const struct group *first)
{
    char title[200];

    text_of_title(title, sizeof(title), group);
    fprintf(out, "\n## %s\n\n", title);
    put_head(out, group);
    for (unsigned i = 0; i < group->row_count; i++) {
        if (group->rows[i].passes > 0)
            put_row(out, group, &group->rows[i], first);
    }
    put_skipped(out, group);
}

static void put_targets(FILE *out, const struct group *groups, size_t count)
{
    static struct verdict verdicts[VERDICTS_MAX];
    size_t verdict_count = targets_judge(groups, count, verdicts);

    if (verdict_count == 0)
        return;
    fputs("\n## Targets\n\n| | measured | | bound | |\n|---|--:|---|---|---|\n", out);
    for (size_t i = 0; i < verdict_count; i++) {
        const struct verdict *verdict = &verdicts[i];
        char value[24] = "–";

        if (verdict->measured)
            text_of_figure(value, verdict->value);
        fprintf(out, "| %s | %s | %s | at %s %g | %s |\n", verdict->what, value, verdict->against,
                verdict->at_least ? "least" : "most", verdict->bound,
                !verdict->measured ? "not measured"
                : verdict->met     ? "met"
                                   : "**missed**");
    }
}

void markdown_write(FILE *out, const struct effort *effort, const struct group *groups,
                    size_t count)
{
    struct machine machine;

    machine_describe(&machine);
    fprintf(
        out,
        "# Results\n\n"
        "Written by the benchmark on %s; how it measures stands in its README.\n\n"
        "%s, %s, %u CPUs allowed, load %.2f. Medians of %u interleaved passes, with the least "
        "and the greatest; p50 and p99 are of single round trips. `pinned`: a CPU each; `same`: "
        "both on one CPU; `free`: as the scheduler likes. Times drift with the machine; the "
        "ratios (×) are the medians of those within each pass, and more is better where the "
        "figures are rates. Rows in italics are limits of the machine.\n",
        machine.date, machine.kernel, machine.processor, machine.cpus, machine.load,
        effort->passes);
    for (size_t i = 0; i < count; i++)
        put_group(out, &groups[i], report_first_spawn(groups, &groups[i]));
    put_targets(out, groups, count);
}
