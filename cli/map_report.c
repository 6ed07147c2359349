/* SPDX-License-Identifier: MIT */
/* What is said on standard error; see map_report.h. */
#include "map_report.h"

#include "console.h"
#include "escape.h"

#include <jansson.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PROGRESS_MS = 200,
    HINT_MS = 5000 /* so long without any answer a person wonders */
};

#define TEXT_MAX ((size_t)60)    /* bytes of a job that are shown in a sentence */
#define REASON_MAX ((size_t)320) /* and of why it has failed */

/* Write to standard error; there is nobody to tell if that fails. */
static void write_error(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, text, size);

        if (written <= 0)
            return;
        text += written;
        size -= (size_t)written;
    }
}

void map_report_open(map_report *self, bool quiet)
{
    off_t start = lseek(STDIN_FILENO, 0, SEEK_CUR);
    struct stat status;

    *self = (map_report){.quiet = quiet, .began_ms = console_now_ms()};
    /* On one terminal the replies themselves show how it goes. */
    self->shows_progress = !quiet && isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO);
    self->next_ms = self->began_ms + PROGRESS_MS;
    if (start >= 0 && fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_size > start)
        self->input_size = status.st_size - start;
}

static void wipe(map_report *self)
{
    static const char start_of_line_and_erase[] = "\r\033[K";

    if (self->is_shown)
        write_error(start_of_line_and_erase, sizeof(start_of_line_and_erase) - 1);
    self->is_shown = false;
}

void map_report_say(map_report *self, const char *format, ...)
{
    char text[2048];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    wipe(self);
    complain("%s", text);
}

/* Add what may be shown of a text, and dots if that is not all. Returns the size. */
static size_t show(char *line, const char *text, size_t size, size_t most, bool all)
{
    size_t shown = size < most ? size : most;
    size_t used = escape(line, text, shown);

    if (shown == size && all)
        return used;
    line[used++] = '.';
    line[used++] = '.';
    line[used++] = '.';
    return used;
}

void map_report_failure(map_report *self, uint64_t seq, const char *why, const char *text,
                        size_t text_size, size_t size)
{
    char reason[4 * REASON_MAX + sizeof("...")];
    char job[4 * TEXT_MAX + sizeof("...")];
    size_t reason_size;
    size_t job_size;

    if (self->quiet)
        return;
    /* The reason may be in the worker's words. */
    reason_size = show(reason, why, strlen(why), REASON_MAX, true);
    job_size = show(job, text, text_size, TEXT_MAX, text_size == size);
    map_report_say(self, "job %llu failed: %.*s: %.*s", (unsigned long long)seq, (int)reason_size,
                   reason, (int)job_size, job);
}

void map_report_worker(void *report, unsigned worker, const char *bytes, size_t size)
{
    map_report *self = report;

    (void)worker;
    if (size == 0)
        return;
    wipe(self);
    write_error(bytes, size);
    self->in_mid_line = bytes[size - 1] != '\n';
}

int map_report_timeout_ms(const map_report *self, int64_t now_ms)
{
    if (!self->shows_progress)
        return DX_FOREVER;
    return self->next_ms > now_ms ? (int)(self->next_ms - now_ms) : 0;
}

/* How often a worker took the place of another. */
static uint64_t count_restarts(const dx_pool *pool)
{
    dx_worker_statistics worker;
    uint64_t restarts = 0;
    unsigned place;

    for (place = 0; dx_pool_worker_get(pool, place, &worker) == 0; place++)
        restarts += worker.starts > 0 ? worker.starts - 1 : 0;
    return restarts;
}

static double rate(uint64_t count, double seconds)
{
    return seconds > 0 ? (double)count / seconds : 0;
}

/* A rate that is easy to read: "0.25", "12.3", "81234". */
static const char *format_rate(char text[32], double value)
{
    snprintf(text, 32, value < 1 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value);
    return text;
}

/* How much of the input is done and how long the rest will take, if that can be known. */
static void format_rest(char *text, size_t size, const map_report *self, const map_counts *counts,
                        double seconds)
{
    double share;
    double left;

    text[0] = '\0';
    if (self->input_size <= 0 || counts->bytes == 0)
        return;
    share = (double)counts->bytes / (double)self->input_size;
    if (share > 1)
        share = 1;
    left = seconds * (1 - share) / share;
    if (left > 359999)
        snprintf(text, size, ", %.0f %%", share * 100);
    else
        snprintf(text, size, ", %.0f %%, %d:%02d:%02d left", share * 100, (int)left / 3600,
                 (int)left / 60 % 60, (int)left % 60);
}

/* A worker that collects its output by the block looks like one that thinks. */
static void hint(map_report *self, const dx_pool_statistics *statistics, const map_counts *counts,
                 int64_t now_ms)
{
    if (self->has_hinted || counts->done + counts->failed > 0 || statistics->running == 0 ||
        now_ms - self->began_ms < HINT_MS)
        return;
    self->has_hinted = true;
    map_report_say(self, "no worker has answered yet; does the program flush its output after "
                         "each answer? See also --timeout");
}

void map_report_progress(map_report *self, dx_pool *pool, const map_counts *counts, int64_t now_ms)
{
    double seconds = (double)(now_ms - self->began_ms) / 1000;
    dx_pool_statistics statistics = {0};
    struct winsize window = {0};
    char line[256];
    char rate_text[32];
    char rest[64];
    size_t columns = 79;
    int used;

    if (!self->shows_progress || now_ms < self->next_ms)
        return;
    self->next_ms = now_ms + PROGRESS_MS;
    dx_pool_statistics_get(pool, &statistics);
    hint(self, &statistics, counts, now_ms);
    if (self->in_mid_line)
        return;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1)
        columns = window.ws_col - 1U;
    format_rest(rest, sizeof(rest), self, counts, seconds);
    used = snprintf(line, sizeof(line),
                    "\r\033[Kduplex: %llu done, %s/s, %llu failed, %llu restarts%s",
                    (unsigned long long)counts->done,
                    format_rate(rate_text, rate(counts->done + counts->failed, seconds)),
                    (unsigned long long)counts->failed, (unsigned long long)count_restarts(pool),
                    rest);
    /* A line that wraps could not be wiped. */
    columns += 4;
    write_error(line, (size_t)used < columns ? (size_t)used : columns);
    self->is_shown = true;
}

static void summarize_in_json(const map_report *self, const map_counts *counts, int status)
{
    const dx_pool_statistics *statistics = &self->statistics;
    uint64_t jobs = counts->done + counts->failed;
    json_t *object =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:{s:f, s:f, s:f}, s:i}",
                  "jobs", (json_int_t)jobs, "done", (json_int_t)counts->done, "failed",
                  (json_int_t)counts->failed, "skipped", (json_int_t)counts->skipped, "retried",
                  (json_int_t)statistics->repeated, "starts", (json_int_t)statistics->starts,
                  "restarts", (json_int_t)self->restarts, "deaths", (json_int_t)statistics->deaths,
                  "recycled", (json_int_t)statistics->recycled, "seconds", self->seconds,
                  "jobs_per_second", rate(jobs, self->seconds), "latency_seconds", "p50",
                  (double)statistics->p50_ns / 1e9, "p99", (double)statistics->p99_ns / 1e9, "max",
                  (double)statistics->max_ns / 1e9, "status", status);
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    size_t size = text ? strlen(text) : 0;

    if (text) {
        /* In one write; the NUL gives its place to the newline. */
        text[size] = '\n';
        write_error(text, size + 1);
    } else {
        complain("out of memory");
    }
    free(text);
    json_decref(object);
}

static const char *format_time(char text[32], uint64_t ns)
{
    double us = (double)ns / 1000;

    if (us < 999.5)
        snprintf(text, 32, "%.3g µs", us);
    else if (us < 999.5e3)
        snprintf(text, 32, "%.3g ms", us / 1000);
    else
        snprintf(text, 32, us < 1e8 ? "%.3g s" : "%.0f s", us / 1e6);
    return text;
}

static void summarize(const map_report *self, const map_counts *counts)
{
    const dx_pool_statistics *statistics = &self->statistics;
    unsigned long long jobs = counts->done + counts->failed;
    char skipped[64] = "";
    char latency[128] = "";
    char p50[32];
    char p99[32];
    char max[32];
    char per_second[32];

    if (counts->skipped > 0)
        snprintf(skipped, sizeof(skipped), ", %llu done before",
                 (unsigned long long)counts->skipped);
    if (counts->done > 0)
        snprintf(latency, sizeof(latency), "; p50 %s, p99 %s, max %s",
                 format_time(p50, statistics->p50_ns), format_time(p99, statistics->p99_ns),
                 format_time(max, statistics->max_ns));
    complain("%llu job%s: %llu done, %llu failed%s; %llu retried, %llu restart%s; %.2f s, %s "
             "jobs/s%s",
             jobs, jobs == 1 ? "" : "s", (unsigned long long)counts->done,
             (unsigned long long)counts->failed, skipped, (unsigned long long)statistics->repeated,
             (unsigned long long)self->restarts, self->restarts == 1 ? "" : "s", self->seconds,
             format_rate(per_second, rate(jobs, self->seconds)), latency);
}

void map_report_end(map_report *self, const dx_pool *pool)
{
    wipe(self);
    self->shows_progress = false;
    self->seconds = (double)(console_now_ms() - self->began_ms) / 1000;
    dx_pool_statistics_get(pool, &self->statistics);
    self->restarts = count_restarts(pool);
}

void map_report_summary(const map_report *self, const map_counts *counts, bool as_json, int status)
{
    if (as_json)
        summarize_in_json(self, counts, status);
    else if (!self->quiet)
        summarize(self, counts);
}
