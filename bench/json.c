/* SPDX-License-Identifier: MIT */
/*
 * The figures for machines. All times are in seconds per operation, whatever the tables show, and
 * all passes are there, so that others can do their own statistics.
 */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static void put_row(struct json *json, const struct group *group, const struct row *row)
{
    open_nest(json, NULL, '{');
    put_string(json, "name", row->name);
    put_bool(json, "corked", row->corked);
    if (row->skipped[0] != '\0')
        put_string(json, row->failed ? "failed" : "skipped", row->skipped);
    if (row->passes > 0) {
        put_number(json, "operations", (double)row->count);
        put_number(json, "median", stats_median(row->seconds, row->passes));
        put_number(json, "min", stats_min(row->seconds, row->passes));
        put_number(json, "max", stats_max(row->seconds, row->passes));
        put_number(json, "parent_cpu", stats_median(row->parent_cpu, row->passes));
        put_number(json, "child_cpu", stats_median(row->child_cpu, row->passes));
        if (group_reference(group))
            put_number(json, "ratio", row_ratio(group, row));
        if (row->target > 0 && group_reference(group)) {
            put_number(json, "target", row->target);
            put_bool(json, "met", row_target_met(group, row));
        }
        put_passes(json, "passes", row->seconds, row->passes);
        if (group->work == WORK_SPAWN)
            put_passes(json, "passes_until_reaped", row->whole, row->passes);
    }
    close_nest(json, '}');
}

static void put_group(struct json *json, const struct group *group)
{
    static const char *const kinds[] = {"round_trip", "one_way", "calls", "spawn"};
    const struct row *reference = group_reference(group);

    open_nest(json, NULL, '{');
    put_string(json, "workload", group->name);
    put_string(json, "kind", kinds[group->work]);
    put_string(json, "placement", placement_name(group->placement));
    put_number(json, "size", (double)group->size);
    put_string(json, "reference", reference ? reference->name : "");
    open_nest(json, "rows", '[');
    for (unsigned i = 0; i < group->row_count; i++)
        put_row(json, group, &group->rows[i]);
    close_nest(json, ']');
    close_nest(json, '}');
}

static void put_machine(struct json *json)
{
    struct machine machine;

    machine_describe(&machine);
    open_nest(json, "machine", '{');
    put_string(json, "kernel", machine.kernel);
    put_string(json, "processor", machine.processor);
    put_number(json, "cpus", machine.cpus);
    put_number(json, "load", machine.load);
    close_nest(json, '}');
}

int json_write(const char *path, const struct effort *effort, const struct group *groups,
               size_t group_count)
{
    struct json json = {0};
    int error = 0;

    json.out = fopen(path, "we");
    if (!json.out)
        return -errno;
    open_nest(&json, NULL, '{');
    put_string(&json, "unit", "seconds per operation");
    put_machine(&json);
    put_number(&json, "passes", effort->passes);
    put_number(&json, "seconds_per_pass", effort->seconds);
    open_nest(&json, "groups", '[');
    for (size_t i = 0; i < group_count; i++)
        put_group(&json, &groups[i]);
    close_nest(&json, ']');
    close_nest(&json, '}');
    fputc('\n', json.out);
    if (ferror(json.out))
        error = -EIO;
    if (fclose(json.out) != 0 && error == 0)
        error = -errno;
    return error;
}
