/* SPDX-License-Identifier: MIT */
/*
 * Peers that are not in C: parent and child of the pair are processes of another language, and this
 * program starts the parent and hands it the task. The script is called with the work, the size of
 * a message and, if it has several, a way to do it and the number of workers as its arguments. When its child is ready it
 * prints "ready PID", with the child's pid, or those of all workers of a pool. Then, for each line
 * with a count, it does the work so many times and prints "ok", or in one line what went wrong. When
 * there are no more lines it ends its children and itself.
 *
 * Elapsed time is taken around such a line, processor time from the clocks that the kernel has of
 * both processes, and where the child runs is settled here too.
 */
#ifndef DUPLEX_BENCH_SCRIPT_H
#define DUPLEX_BENCH_SCRIPT_H

#include "peers/peer.h"

/* What peer->argument points to. */
struct script {
    const char *program; /* looked for in PATH */
    const char *file;
    const char *missing; /* why there are no figures without the program */
    const char *way;     /* of several that the script has; may be NULL */
};

/* As struct peer has them. */
const char *script_unavailable(const struct peer *peer, const struct task *task);
int script_open(const struct peer *peer, const struct trial *trial, void **ret);
int script_round_trip(void *pair, size_t size, uint64_t count);
int script_one_way(void *pair, size_t size, uint64_t count, bool corked);
int script_calls(void *pair, size_t size, uint64_t count, bool corked);
int script_jobs(void *pair, size_t size, uint64_t count);
int script_close(void *pair);

#endif
