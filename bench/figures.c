/* SPDX-License-Identifier: MIT */
/*
 * The figures for machines. All times are in seconds per operation, whatever the tables show, and
 * all passes are there, so that others can do their own statistics.
 */
#include "bench.h"

/* Writes one document; knows whether a comma is due. */
struct json {
    FILE *out;
    unsigned depth;
    bool comma;
};

static void put_text(struct json *json, const char *text)
{
    fputc('"', json->out);
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte == '"' || byte == '\\')
            fprintf(json->out, "\\%c", byte);
        else if (byte < 0x20)
            fprintf(json->out, "\\u%04x", byte);
        else
            fputc(byte, json->out);
    }
    fputc('"', json->out);
}

static void begin_value(struct json *json, const char *name)
{
    if (json->comma)
        fputc(',', json->out);
    if (json->depth > 0)
        fprintf(json->out, "\n%*s", (int)json->depth * 2, "");
    if (name) {
        put_text(json, name);
        fputs(": ", json->out);
    }
    json->comma = true;
}

static void open_nest(struct json *json, const char *name, char bracket)
{
    begin_value(json, name);
    fputc(bracket, json->out);
    json->depth++;
    json->comma = false;
}

static void close_nest(struct json *json, char bracket)
{
    json->depth--;
    fprintf(json->out, "\n%*s%c", (int)json->depth * 2, "", bracket);
    json->comma = true;
}

static void put_string(struct json *json, const char *name, const char *text)
{
    begin_value(json, name);
    put_text(json, text);
}

static void put_number(struct json *json, const char *name, double value)
{
    begin_value(json, name);
    fprintf(json->out, "%.9g", value);
}

static void put_bool(struct json *json, const char *name, bool value)
{
    begin_value(json, name);
    fputs(value ? "true" : "false", json->out);
}

static void put_passes(struct json *json, const char *name, const double *values, unsigned count)
{
    begin_value(json, name);
    fputc('[', json->out);
    for (unsigned i = 0; i < count; i++)
        fprintf(json->out, "%s%.9g", i ? ", " : "", values[i]);
    fputc(']', json->out);
}

static void put_single_times(struct json *json, const struct row *row)
{
    if (row->noted == 0)
        return;
    put_number(json, "p50", stats_median(row->p50, row->noted));
    put_number(json, "p99", stats_median(row->p99, row->noted));
}

static void put_figures(struct json *json, const struct group *group, const struct row *row)
{
    put_number(json, "operations", (double)row->count);
    put_number(json, "median", stats_median(row->seconds, row->passes));
    put_number(json, "min", stats_min(row->seconds, row->passes));
    put_number(json, "max", stats_max(row->seconds, row->passes));
    put_single_times(json, row);
    put_number(json, "parent_cpu", stats_median(row->parent_cpu, row->passes));
    put_number(json, "child_cpu", stats_median(row->child_cpu, row->passes));
    if (group->work == WORK_BUSY)
        put_number(json, "busy_loss", stats_median(row->busy_loss, row->passes));
    if (group_reference(group))
        put_number(json, "ratio", row_ratio(group, row, group_reference(group)));
    if (group_limit(group))
        put_number(json, "ratio_to_limit", row_ratio(group, row, group_limit(group)));
    put_passes(json, "passes", row->seconds, row->passes);
    if (group->work == WORK_SPAWN)
        put_passes(json, "passes_until_reaped", row->whole, row->passes);
    if (group->work == WORK_BUSY) {
        put_passes(json, "passes_p50", row->p50, row->noted);
        put_passes(json, "passes_busy_loss", row->busy_loss, row->passes);
    }
}

/* Time at rest: nothing was done, and what it cost is per second. */
static void put_idle_figures(struct json *json, const struct row *row)
{
    double parent = stats_median(row->parent_cpu, row->passes);
    double child = stats_median(row->child_cpu, row->passes);

    put_number(json, "parent_cpu_per_second", parent);
    put_number(json, "child_cpu_per_second", child);
    put_number(json, "cpu_per_hour", (parent + child) * 3600);
}

static void put_row(struct json *json, const struct group *group, const struct row *row)
{
    open_nest(json, NULL, '{');
    put_string(json, "name", row->name);
    put_bool(json, "corked", row->corked);
    if (row->limit)
        put_bool(json, "limit", true);
    if (row->skipped[0] != '\0')
        put_string(json, row->failed ? "failed" : "skipped", row->skipped);
    if (row->passes > 0 && group->work == WORK_IDLE)
        put_idle_figures(json, row);
    else if (row->passes > 0)
        put_figures(json, group, row);
    close_nest(json, '}');
}

static void put_group(struct json *json, const struct group *group)
{
    static const char *const kinds[] = {"round_trip",      "one_way", "calls", "spawn",
                                        "round_trip_busy", "idle",    "pool"};
    const struct row *reference = group_reference(group);
    const struct row *limit = group_limit(group);

    open_nest(json, NULL, '{');
    put_string(json, "workload", group->name);
    put_string(json, "kind", kinds[group->work]);
    put_string(json, "placement", placement_name(group->placement));
    put_number(json, "size", (double)group->size);
    put_string(json, "reference", reference ? reference->name : "");
    put_string(json, "limit", limit ? limit->name : "");
    open_nest(json, "rows", '[');
    for (unsigned i = 0; i < group->row_count; i++)
        put_row(json, group, &group->rows[i]);
    close_nest(json, ']');
    close_nest(json, '}');
}

static void put_targets(struct json *json, const struct group *groups, size_t group_count)
{
    static struct verdict verdicts[VERDICTS_MAX];
    size_t count = targets_judge(groups, group_count, verdicts);

    open_nest(json, "targets", '[');
    for (size_t i = 0; i < count; i++) {
        open_nest(json, NULL, '{');
        put_string(json, "what", verdicts[i].what);
        put_string(json, "against", verdicts[i].against);
        put_string(json, "bound_is", verdicts[i].at_least ? "least" : "most");
        put_number(json, "bound", verdicts[i].bound);
        if (verdicts[i].measured) {
            put_number(json, "value", verdicts[i].value);
            put_bool(json, "met", verdicts[i].met);
        }
        close_nest(json, '}');
    }
    close_nest(json, ']');
}

static void put_machine(struct json *json)
{
    struct machine machine;

    machine_describe(&machine);
    put_string(json, "date", machine.date);
    open_nest(json, "machine", '{');
    put_string(json, "kernel", machine.kernel);
    put_string(json, "processor", machine.processor);
    put_number(json, "cpus", machine.cpus);
    put_number(json, "load", machine.load);
    close_nest(json, '}');
}

void figures_write_json(FILE *out, const struct effort *effort, const struct group *groups,
                        size_t group_count)
{
    struct json json = {.out = out};

    open_nest(&json, NULL, '{');
    put_string(&json, "unit", "seconds per operation");
    put_machine(&json);
    put_number(&json, "passes", effort->passes);
    put_number(&json, "seconds_per_pass", effort->seconds);
    open_nest(&json, "groups", '[');
    for (size_t i = 0; i < group_count; i++)
        put_group(&json, &groups[i]);
    close_nest(&json, ']');
    put_targets(&json, groups, group_count);
    close_nest(&json, '}');
    fputc('\n', out);
}
