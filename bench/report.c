/* SPDX-License-Identifier: MIT */
/*
 * The tables for people: medians with their spread, the ratio to the reference of the same run, the
 * processor time of both sides, and the target where there is one.
 */
#include "bench.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

static void read_processor(char *ret, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];

    snprintf(ret, size, "unknown processor");
    while (file && fgets(line, sizeof(line), file)) {
        char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) == 0 && colon) {
            colon[strcspn(colon, "\n")] = '\0';
            snprintf(ret, size, "%.*s", (int)size - 1, colon + 2);
            break;
        }
    }
    if (file)
        fclose(file);
}

void machine_describe(struct machine *ret)
{
    struct utsname system;
    cpu_set_t allowed;

    memset(ret, 0, sizeof(*ret));
    if (uname(&system) == 0)
        snprintf(ret->kernel, sizeof(ret->kernel), "%.*s %.*s", 20, system.sysname, 64,
                 system.release);
    read_processor(ret->processor, sizeof(ret->processor));
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
        ret->cpus = (unsigned)CPU_COUNT(&allowed);
    if (getloadavg(&ret->load, 1) != 1)
        ret->load = 0;
}

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

static void size_text(char ret[16], size_t size)
{
    static const char units[] = "BKMG";
    unsigned unit = 0;

    while (size >= 1024 && size % 1024 == 0 && unit < 3) {
        size /= 1024;
        unit++;
    }
    snprintf(ret, 16, unit ? "%zu %ciB" : "%zu %c", size, units[unit]);
}

/* Three significant digits in seven columns. */
static void print_figure(FILE *out, double value)
{
    int decimals = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;

    fprintf(out, " %8.*f", decimals, value);
}

static bool rate_in_bytes(const struct group *group)
{
    return group->size >= 4096;
}

/* What the table shows for so many seconds an operation. */
static double shown(const struct group *group, double seconds)
{
    if (!group_is_rate(group))
        return seconds * 1e6;
    return (rate_in_bytes(group) ? (double)group->size * 1e-9 : 1e-6) / seconds;
}

static void print_title(FILE *out, const struct group *group)
{
    char size[16];

    size_text(size, group->size);
    fprintf(out, "\n%s, %s: ", group->name, placement_name(group->placement));
    switch (group->work) {
    case WORK_ROUND_TRIP:
        fprintf(out, "round trip of %s, us; CPU in us per round trip\n", size);
        break;
    case WORK_ONE_WAY:
        fprintf(out, "one way, messages of %s, %s; CPU in us per message\n", size,
                rate_in_bytes(group) ? "GB/s" : "million messages/s");
        break;
    case WORK_CALLS:
        fprintf(out, "calls of %s, %d open at a time, million calls/s; CPU in us per call\n", size,
                CALLS_OPEN);
        break;
    case WORK_SPAWN:
        fprintf(out, "start /bin/true, parent of %s, us blocked in the call\n", size);
        break;
    }
}

static void print_columns(FILE *out, const struct group *group)
{
    const struct row *reference = group_reference(group);
    bool spawn = group->work == WORK_SPAWN;

    fprintf(out, "  %-25s %8s %8s %8s", "", "median", "min", "max");
    if (spawn)
        fprintf(out, " %8s", "reaped");
    fprintf(out, "  x %-12s %8s %8s", reference ? reference->name : "-", "CPU prnt", "CPU chld");
    fprintf(out, spawn ? " %8s  target\n" : "  target\n", "growth");
}

static void print_row(FILE *out, const struct group *group, const struct row *row,
                      const struct group *first_spawn)
{
    double fastest = shown(group, stats_min(row->seconds, row->passes));
    double slowest = shown(group, stats_max(row->seconds, row->passes));
    char name[40];

    snprintf(name, sizeof(name), "%s%s", row->name, row->corked ? ", corked" : "");
    fprintf(out, "  %-25s", name);
    if (row->passes == 0) {
        fprintf(out, " %s: %s\n", row->failed ? "FAILED" : "skipped", row->skipped);
        return;
    }
    print_figure(out, shown(group, stats_median(row->seconds, row->passes)));
    print_figure(out, fastest < slowest ? fastest : slowest);
    print_figure(out, fastest < slowest ? slowest : fastest);
    if (group->work == WORK_SPAWN)
        print_figure(out, stats_median(row->whole, row->passes) * 1e6);
    if (row_ratio(group, row) > 0)
        fprintf(out, "  %14.2f", row_ratio(group, row));
    else
        fprintf(out, "  %14s", "-");
    print_figure(out, stats_median(row->parent_cpu, row->passes) * 1e6);
    print_figure(out, stats_median(row->child_cpu, row->passes) * 1e6);
    if (group->work == WORK_SPAWN)
        fprintf(out, " %8.2f", row_growth(first_spawn, row));
    if (row->target > 0 && row_ratio(group, row) > 0)
        fprintf(out, "  %s %g: %s", group_is_rate(group) ? ">=" : "<=", row->target,
                row_target_met(group, row) ? "met" : "missed");
    if (row->failed)
        fprintf(out, "  then FAILED: %s", row->skipped);
    fputc('\n', out);
}

void report_group(FILE *out, const struct group *group, const struct group *first_spawn)
{
    print_title(out, group);
    print_columns(out, group);
    for (unsigned i = 0; i < group->row_count; i++)
        print_row(out, group, &group->rows[i], first_spawn);
    fflush(out);
}
