/* SPDX-License-Identifier: MIT */
/* Write the files of a folder of results; see results.h. */
#include "results.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static int complain(const char *path, int error)
{
    fprintf(stderr, "bench: cannot write '%s': %s\n", path, strerror(-error));
    return error;
}

int results_prepare(const char *folder)
{
    int error = plot_available();

    if (error == -ENOENT)
        fprintf(stderr, "bench: gnuplot is not installed (Debian: gnuplot-nox); "
                        "without it there are no plots. --json needs none.\n");
    else if (error < 0)
        fprintf(stderr, "bench: cannot run gnuplot: %s\n", strerror(-error));
    if (error < 0)
        return error;
    if (mkdir(folder, 0777) < 0 && errno != EEXIST)
        return complain(folder, -errno);
    return access(folder, W_OK) < 0 ? complain(folder, -errno) : 0;
}

static int close_file(FILE *file, const char *path)
{
    int error = ferror(file) ? -EIO : 0;

    if (fclose(file) != 0 && error == 0)
        error = -errno;
    return error < 0 ? complain(path, error) : 0;
}

static const char *path_in(char path[PATH_SIZE], const char *folder, const char *name)
{
    snprintf(path, PATH_SIZE, "%s/%s", folder, name);
    return path;
}

static int draw(int (*plot)(const char *, const struct group *, size_t), const char *path,
                const struct group *groups, size_t count)
{
    int error = plot(path, groups, count);

    if (error < 0)
        fprintf(stderr, "bench: gnuplot did not draw '%s': %s\n", path, strerror(-error));
    return error;
}

int results_write(const char *folder, const struct effort *effort, const struct group *groups,
                  size_t count)
{
    char path[PATH_SIZE];
    FILE *file = fopen(path_in(path, folder, "results.json"), "we");
    int error;

    if (!file)
        return complain(path, -errno);
    figures_write_json(file, effort, groups, count);
    error = close_file(file, path);
    if (error < 0)
        return error;
    file = fopen(path_in(path, folder, "results.md"), "we");
    if (!file)
        return complain(path, -errno);
    markdown_write(file, effort, groups, count);
    error = close_file(file, path);
    if (error == 0)
        error = draw(plot_round_trips, path_in(path, folder, "rtt.svg"), groups, count);
    if (error == 0)
        error = draw(plot_one_way, path_in(path, folder, "one_way.svg"), groups, count);
    if (error == 0)
        error = draw(plot_pools, path_in(path, folder, "pool.svg"), groups, count);
    return error;
}
