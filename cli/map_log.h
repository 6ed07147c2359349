/* SPDX-License-Identifier: MIT */
/*
 * The joblog of `duplex map`: a row for each job that has ended, in the columns of GNU parallel, by
 * which a run can be resumed.
 *
 * A row is held back until everything that standard output was to get of its job has been written.
 * Rows are written whole; after a failed write the file ends with the last whole one.
 */
#ifndef CLI_MAP_LOG_H
#define CLI_MAP_LOG_H

#include "map_frame.h"
#include "map_ranges.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MAP_LOG_TEXT_MAX 1000 /* so many bytes of a job are shown */

/* All-zero but for fd -1 is a log that is off: all of the functions below do nothing then. */
typedef struct map_log {
    int fd;
    const char *file;
    bool is_file;      /* and no FIFO or the like */
    off_t size;        /* of the whole rows in it */
    map_ranges done;   /* not to be done again */
    map_bytes rows;    /* that are still to be written */
    map_bytes pending; /* for each row of rows that is held back: a struct of map_log.c */
} map_log;

typedef struct map_row {
    uint64_t seq;
    int64_t started_us; /* of the real-time clock */
    uint64_t run_us;
    size_t sent;
    size_t received;
    int code;
    int signal;
    const char *text; /* the job, or its beginning */
    size_t text_size;
} map_row;

/*
 * Begin a log in a new file, or one that is emptied; or, to resume, go on with one and learn what is
 * done: all jobs that have a row, or of these without those whose last row says that they failed.
 * What goes wrong is said. Returns 0 or a negative errno value.
 */
int map_log_open(map_log *self, const char *file, bool resume, bool repeat_failed);

/* True if a run that is resumed has done this job before. */
bool map_log_has(const map_log *self, uint64_t seq);

/* Add a row, to be written when so many bytes of output have been. Returns 0 or -ENOMEM. */
int map_log_add(map_log *self, const map_row *row, uint64_t output_end);

/* True when so many rows wait that no more should be added. */
bool map_log_is_full(const map_log *self);

/*
 * So many bytes of output have been written: write the rows that have waited for it. What goes wrong
 * is said. Returns 0 or a negative errno value; the log is off then.
 */
int map_log_write(map_log *self, uint64_t output_written);

void map_log_close(map_log *self);

#endif
