/* SPDX-License-Identifier: MIT */
/*
 * What `duplex map` tells people on standard error: a line of progress, if it is a terminal, which
 * gives way to everything else; sentences; and the summary at the end.
 */
#ifndef CLI_MAP_REPORT_H
#define CLI_MAP_REPORT_H

#include <duplex.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The jobs of a run so far. */
typedef struct map_counts {
    uint64_t done;
    uint64_t failed;
    uint64_t skipped; /* a run that is resumed had done them before */
    uint64_t bytes;   /* of standard input that these three were */
} map_counts;

typedef struct map_report {
    bool quiet;
    bool shows_progress;
    bool is_shown;    /* the line of progress is on the terminal */
    bool in_mid_line; /* a worker's words lack their newline */
    bool has_hinted;
    int64_t began_ms;
    int64_t next_ms;               /* when the line may be shown again */
    dx_pool_statistics statistics; /* from map_report_end() on; so are the next two */
    uint64_t restarts;
    double seconds;
    off_t input_size; /* of standard input from where it was, if it is a file; else 0 */
} map_report;

void map_report_open(map_report *self, bool quiet);

/* Say a sentence that is an error. */
__attribute__((format(printf, 2, 3))) void map_report_say(map_report *self, const char *format,
                                                          ...);

/* Say that a job has failed, and why, unless the run is quiet. */
void map_report_failure(map_report *self, uint64_t seq, const char *why, const char *text,
                        size_t text_size, size_t size);

/* For dx_pool_options.on_stderr, with the report as its context. */
void map_report_worker(void *report, unsigned worker, const char *bytes, size_t size);

/* The time of poll(2) until the line of progress is due; DX_FOREVER if there is none. */
int map_report_timeout_ms(const map_report *self, int64_t now_ms);

/* Show the line of progress, if it is due. */
void map_report_progress(map_report *self, dx_pool *pool, const map_counts *counts, int64_t now_ms);

/* Take the line of progress away, and note what the summary needs of the pool. */
void map_report_end(map_report *self, const dx_pool *pool);

/* Tell how it was: a sentence, or a JSON object. */
void map_report_summary(const map_report *self, const map_counts *counts, bool as_json, int status);

#endif
