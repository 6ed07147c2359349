/* SPDX-License-Identifier: MIT */
/* The files that a whole run leaves for others to read: figures, tables, plots. */
#ifndef DUPLEX_BENCH_RESULTS_H
#define DUPLEX_BENCH_RESULTS_H

#include "bench.h"

/*
 * Make the folder if need be, and see whether everything that is needed to fill it is here, so that
 * nobody waits for figures that cannot be kept. Complains on standard error; 0 or a negative errno.
 */
int results_prepare(const char *folder);

/* Write results.json, results.md, rtt.svg, one_way.svg and pool.svg. Complains on standard error. */
int results_write(const char *folder, const struct effort *effort, const struct group *groups,
                  size_t count);

/* markdown.c */
void markdown_write(FILE *out, const struct effort *effort, const struct group *groups,
                    size_t count);

/* plot.c: draw by gnuplot(1). 0 or a negative errno; -ENOENT if there is no gnuplot. */
int plot_available(void);
int plot_round_trips(const char *path, const struct group *groups, size_t count);
int plot_one_way(const char *path, const struct group *groups, size_t count);
int plot_pools(const char *path, const struct group *groups, size_t count);

#endif
