/* SPDX-License-Identifier: MIT */
/*
 * Lines out of a descriptor, read only when asked for, in memory that grows no further than the
 * longest line allowed. Knows nothing of what the lines are for.
 */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>

typedef enum line_end {
    LINE_END_NEWLINE = 0, /* a line ends with a newline, and is given without it */
    LINE_END_NUL,         /* the same with a NUL */
    LINE_END_KEPT,        /* with a newline, which is given as a part of the line */
    LINE_END_NONE         /* there are no lines: what was read is given as it is */
} line_end;

/* All-zero but for the limit is a reader that has read nothing. */
typedef struct line_reader {
    size_t limit; /* the longest line in bytes, without its end */
    line_end kind;

    char *data;
    size_t capacity;
    size_t start;    /* where the next line begins */
    size_t searched; /* up to here no line ends after start */
    size_t end;
    bool at_end; /* nothing more will come; what is left without an end is the last line */
} line_reader;

/*
 * Read once, which blocks if nothing is there. Call it only when lines_next() has no line.
 * Returns 0, -EMSGSIZE if a line is longer than the limit, or the negative errno value of the read.
 */
int lines_read(line_reader *reader, int fd);

/*
 * Look at the next whole line; it is borrowed until lines_read(). The same line comes again until
 * lines_drop(). Returns false if there is none yet, or none any more.
 */
bool lines_next(line_reader *reader, const char **ret_data, size_t *ret_size);

/* Be done with the line of lines_next(), which had this size. */
void lines_drop(line_reader *reader, size_t size);

void lines_close(line_reader *reader);

#endif
