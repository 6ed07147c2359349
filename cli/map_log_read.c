/* SPDX-License-Identifier: MIT */
/* A joblog that is resumed; see map_log_read.h. */
#include "map_log_read.h"

#include "console.h"
#include "lines.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROW_MAX ((size_t)1 << 20) /* GNU parallel does not shorten its commands */

enum { SEQ, HOST, STARTED, RUNTIME, SENT, RECEIVED, EXITVAL, SIGNAL, COMMAND };

const char map_log_header[] =
    "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

/* Read a whole number that stands up to the tab. */
static bool parse_number(const char *text, const char *end, long long *ret)
{
    char *stop;

    /* The line is not NUL-terminated, but strtoll() stops at the tab. */
    if (text == end || *text == ' ' || *text == '+')
        return false;
    errno = 0;
    *ret = strtoll(text, &stop, 10);
    return stop == end && errno == 0;
}

/* Read a row, which ends with no newline but has all of its tabs. */
static bool parse_row(const char *line, size_t size, uint64_t *ret_seq, bool *ret_failed)
{
    long long numbers[COMMAND] = {0};
    const char *end = line + size;
    int column;

    for (column = SEQ; column < COMMAND; column++) {
        const char *tab = memchr(line, '\t', (size_t)(end - line));

        if (!tab)
            return false;
        if ((column == SEQ || column == EXITVAL || column == SIGNAL) &&
            !parse_number(line, tab, &numbers[column]))
            return false;
        line = tab + 1;
    }
    *ret_seq = (uint64_t)numbers[SEQ];
    *ret_failed = numbers[EXITVAL] != 0 || numbers[SIGNAL] != 0;
    return numbers[SEQ] > 0;
}

static int refuse(const map_log *self, uint64_t line)
{
    if (line == 1)
        complain("'%s' is no joblog: it does not begin with the names of the columns", self->file);
    else
        complain("'%s' is no joblog: line %llu is no row of one", self->file,
                 (unsigned long long)line);
    return -EINVAL;
}

/* Take in a line of the file, from 1. */
static int take(map_log *self, uint64_t number, const char *line, size_t size, bool repeat_failed)
{
    uint64_t seq;
    bool failed;

    if (number == 1)
        return size == strlen(map_log_header) - 1 && memcmp(line, map_log_header, size) == 0
                   ? 0
                   : refuse(self, number);
    if (!parse_row(line, size, &seq, &failed))
        return refuse(self, number);
    /* A job that was repeated has several rows. */
    return failed && repeat_failed ? map_ranges_remove(&self->done, seq)
                                   : map_ranges_add(&self->done, seq);
}

int map_log_read(map_log *self, bool repeat_failed)
{
    line_reader reader = {.limit = ROW_MAX};
    uint64_t number = 0;
    int result = 0;

    while (result == 0 && !reader.at_end) {
        const char *line;
        size_t size;

        result = lines_read(&reader, self->fd);
        while (result == 0 && lines_next(&reader, &line, &size)) {
            /* The beginning of a row, or of the header, that was not written to its end. */
            if (reader.searched == reader.end) {
                if (number == 0 &&
                    (size >= sizeof(map_log_header) || memcmp(line, map_log_header, size) != 0))
                    result = refuse(self, 1);
                break;
            }
            result = take(self, ++number, line, size, repeat_failed);
            self->size += (off_t)size + 1;
            lines_drop(&reader, size);
        }
    }
    lines_close(&reader);
    if (result == -EMSGSIZE)
        result = refuse(self, number + 1);
    else if (result < 0 && result != -EINVAL)
        complain("cannot read the joblog '%s': %s", self->file, strerror(-result));
    return result;
}
