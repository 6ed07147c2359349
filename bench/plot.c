/* SPDX-License-Identifier: MIT */
/*
 * Bars by peer, one for each size, on a logarithmic axis, drawn by gnuplot as SVG. The background
 * is transparent and the text takes its colour from the reader's scheme, light or dark; the bars are
 * of colours that stand out on both, and that people who see colours differently can tell apart.
 */
#include "results.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { SERIES_MAX = 8, NAMES_MAX = ROWS_MAX, SVG_SIZE_MAX = 4 << 20 };

/* One bar at each peer. */
struct series {
    const char *title;
    const char *workload;
    bool corked;
    const char *colour;
};

struct plot {
    const char *title;
    const char *axis;
    enum placement placement;
    struct series series[SERIES_MAX]; /* until the one without a title */
    double (*value)(const struct group *group, const struct row *row);
};

/* Run gnuplot with a script on its standard input; what it says stays on standard error. */
static int run_gnuplot(char *const arguments[], const char *script)
{
    posix_spawn_file_actions_t actions;
    int ends[2];
    int status = 0;
    int error;
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    error = -posix_spawnp(&child, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    if (error == 0) {
        size_t size = strlen(script);

        if (write(ends[1], script, size) != (ssize_t)size)
            error = -EIO;
    }
    close(ends[1]);
    if (error == -EIO || error == 0) {
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            error = -EIO;
    }
    return error;
}

int plot_available(void)
{
    char *const arguments[] = {"gnuplot", "-e", "exit", NULL};

    return run_gnuplot(arguments, "");
}

static const struct row *find(const struct plot *plot, const struct group *groups, size_t count,
                              const struct series *series, const char *name,
                              const struct group **ret_group)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(groups[i].name, series->workload) != 0 || groups[i].placement != plot->placement)
            continue;
        *ret_group = &groups[i];
        for (unsigned j = 0; j < groups[i].row_count; j++) {
            const struct row *row = &groups[i].rows[j];

            if (row->passes > 0 && row->corked == series->corked && strcmp(row->name, name) == 0)
                return row;
        }
    }
    return NULL;
}

/* The peers that have a bar, in the order of the tables. */
static unsigned collect_names(const struct plot *plot, const struct group *groups, size_t count,
                              const char *names[NAMES_MAX])
{
    unsigned found = 0;

    for (const struct series *series = plot->series; series->title; series++) {
        for (size_t i = 0; i < count; i++) {
            if (strcmp(groups[i].name, series->workload) != 0)
                continue;
            for (unsigned j = 0; j < groups[i].row_count; j++) {
                const char *name = groups[i].rows[j].name;
                const struct group *group;
                bool known = !find(plot, groups, count, series, name, &group);

                for (unsigned k = 0; k < found && !known; k++)
                    known = strcmp(names[k], name) == 0;
                if (!known && found < NAMES_MAX)
                    names[found++] = name;
            }
        }
    }
    return found;
}

/* gnuplot refuses to draw bars that are all missing. */
static bool has_bars(const struct plot *plot, const struct series *series,
                     const struct group *groups, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct group *group;

        for (unsigned j = 0; j < groups[i].row_count; j++) {
            if (find(plot, groups, count, series, groups[i].rows[j].name, &group))
                return true;
        }
    }
    return false;
}

/* Returns the least value. Names have nothing that gnuplot would not take as it is. */
static double put_data(FILE *out, const struct plot *plot, const struct group *groups, size_t count)
{
    const char *names[NAMES_MAX];
    unsigned name_count = collect_names(plot, groups, count, names);
    double least = HUGE_VAL;

    fputs("$data << END\n", out);
    for (unsigned i = 0; i < name_count; i++) {
        fprintf(out, "\"%s\"", names[i]);
        for (const struct series *series = plot->series; series->title; series++) {
            const struct group *group = NULL;
            const struct row *row = find(plot, groups, count, series, names[i], &group);

            if (row) {
                double value = plot->value(group, row);

                fprintf(out, " %.6g", value);
                least = value < least ? value : least;
            } else {
                fputs(" NaN", out);
            }
        }
        fputc('\n', out);
    }
    fputs("END\n", out);
    return least;
}

static void put_script(FILE *out, const struct plot *plot, const struct group *groups, size_t count)
{
    struct machine machine;
    const char *separator = "";
    unsigned column = 2;

    machine_describe(&machine);
    fprintf(out, "set yrange [%.3g:*]\n", put_data(out, plot, groups, count) / 2);
    fprintf(out,
            "set terminal svg size 1100,560 noenhanced font 'sans-serif,13'\n"
            "set title \"%s\\n%s, %s, %u CPUs, %.10s\"\n"
            "set ylabel \"%s\"\n",
            plot->title, machine.kernel, machine.processor, machine.cpus, machine.date, plot->axis);
    fputs("set style data histograms\n"
          "set style histogram clustered gap 1\n"
          "set style fill solid 0.9 noborder\n"
          "set boxwidth 0.9\n"
          "set logscale y\n"
          "set format y '%g'\n"
          "set border 3 linecolor rgb '#888888'\n"
          "set grid y linecolor rgb '#888888' linewidth 0.5 dashtype 3\n"
          "set xtics nomirror rotate by -40 left\n"
          "set ytics nomirror\n"
          "set key outside top right horizontal\n"
          "set rmargin 10\n"
          "plot ",
          out);
    for (const struct series *series = plot->series; series->title; series++, column++) {
        if (!has_bars(plot, series, groups, count))
            continue;
        fprintf(out, "%s$data using %u:xtic(1) title \"%s\" linecolor rgb '%s'", separator, column,
                series->title, series->colour);
        separator = ", ";
    }
    fputc('\n', out);
}

/*
 * Let the reader's scheme colour the text: a style sheet behind the tag that opens the picture. Who
 * knows no schemes shows a grey that can be read on either.
 */
static int add_style(const char *path)
{
    static const char style[] =
        "\n<style>text { fill: #7a828c }"
        " @media (prefers-color-scheme: light) { text { fill: #1f2328 } }"
        " @media (prefers-color-scheme: dark) { text { fill: #d1d7e0 } }</style>\n";
    FILE *file = fopen(path, "r+e");
    char *svg = malloc(SVG_SIZE_MAX);
    char *tag = NULL;
    int error = file ? 0 : -errno;

    if (error == 0 && svg) {
        svg[fread(svg, 1, SVG_SIZE_MAX - 1, file)] = '\0';
        tag = strstr(svg, "<svg");
        tag = tag ? strchr(tag, '>') : NULL;
    }
    if (error == 0 && (!tag || fseek(file, tag + 1 - svg, SEEK_SET) < 0 || fputs(style, file) < 0 ||
                       fputs(tag + 1, file) < 0))
        error = -EIO;
    if (file && fclose(file) != 0 && error == 0)
        error = -errno;
    free(svg);
    return error;
}

static int draw(const char *path, const struct plot *plot, const struct group *groups, size_t count)
{
    char *const arguments[] = {"gnuplot", "-", NULL};
    char *script = NULL;
    size_t size;
    FILE *out = open_memstream(&script, &size);
    const char *names[NAMES_MAX];
    int error;

    if (!out)
        return -errno;
    fprintf(out, "set output '%s'\n", path);
    put_script(out, plot, groups, count);
    error = fclose(out) != 0 ? -ENOMEM : 0;
    /* A selection of workloads may have nothing to draw. */
    if (error == 0 && collect_names(plot, groups, count, names) > 0) {
        error = run_gnuplot(arguments, script);
        if (error == 0)
            error = add_style(path);
    }
    free(script);
    return error;
}

static double microseconds(const struct group *group, const struct row *row)
{
    (void)group;
    return stats_median(row->seconds, row->passes) * 1e6;
}

static double gigabytes(const struct group *group, const struct row *row)
{
    return (double)group->size * 1e-9 / stats_median(row->seconds, row->passes);
}

int plot_round_trips(const char *path, const struct group *groups, size_t count)
{
    static const struct plot plot = {
        .title = "Round trip between a parent and its child, a CPU each; lower is better",
        .axis = "microseconds, logarithmic",
        .series =
            {
                {"64 B", "rtt-64", false, "#56b4e9"},
                {"1 KiB", "rtt-1k", false, "#009e73"},
                {"64 KiB", "rtt-64k", false, "#e69f00"},
                {"1 MiB", "rtt-1m", false, "#d55e00"},
            },
        .value = microseconds,
    };

    return draw(path, &plot, groups, count);
}

int plot_one_way(const char *path, const struct group *groups, size_t count)
{
    static const struct plot plot = {
        .title = "One way from a parent to its child, a CPU each; higher is better",
        .axis = "GB/s of payload, logarithmic",
        .series =
            {
                {"64 B, each sent at once", "oneway-64", false, "#56b4e9"},
                {"64 B, corked", "oneway-64", true, "#0072b2"},
                {"1 KiB, corked", "oneway-1k", true, "#009e73"},
                {"64 KiB", "oneway-64k", false, "#e69f00"},
                {"1 MiB", "oneway-1m", false, "#d55e00"},
            },
        .value = gigabytes,
    };

    return draw(path, &plot, groups, count);
}

static double thousands_per_second(const struct group *group, const struct row *row)
{
    (void)group;
    return 1e-3 / stats_median(row->seconds, row->passes);
}

int plot_pools(const char *path, const struct group *groups, size_t count)
{
    static const struct plot plot = {
        .title = "Jobs of 100 bytes for two workers; higher is better",
        .axis = "thousand jobs per second, logarithmic",
        .placement = PLACEMENT_FREE,
        .series = {{"100 B", "pool-100", false, "#56b4e9"}},
        .value = thousands_per_second,
    };

    return draw(path, &plot, groups, count);
}
