/* SPDX-License-Identifier: MIT */
/* Lines out of a descriptor; see lines.h. */
#include "lines.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_CAPACITY ((size_t)64 << 10)

/* Make room behind what is there: move it to the front, then grow, to the limit and its end. */
static int make_room(line_reader *reader)
{
    size_t most = reader->limit + 1 > FIRST_CAPACITY ? reader->limit + 1 : FIRST_CAPACITY;
    size_t capacity = reader->capacity ? reader->capacity * 2 : FIRST_CAPACITY;
    char *data;

    if (reader->start > 0) {
        memmove(reader->data, reader->data + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->searched -= reader->start;
        reader->start = 0;
    }
    if (reader->end < reader->capacity)
        return 0;
    if (capacity > most)
        capacity = most;
    if (capacity <= reader->capacity)
        return -EMSGSIZE;
    data = realloc(reader->data, capacity);
    if (!data)
        return -ENOMEM;
    reader->data = data;
    reader->capacity = capacity;
    return 0;
}

int lines_read(line_reader *reader, int fd)
{
    int result = make_room(reader);
    ssize_t got;

    if (result < 0)
        return result;
    got = read(fd, reader->data + reader->end, reader->capacity - reader->end);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    reader->end += (size_t)got;
    reader->at_end = got == 0;
    return 0;
}

/* Where the next line ends, if it does. */
static const char *find_end(const line_reader *reader)
{
    if (reader->kind == LINE_END_NONE || reader->searched == reader->end)
        return NULL;
    return memchr(reader->data + reader->searched, reader->kind == LINE_END_NUL ? '\0' : '\n',
                  reader->end - reader->searched);
}

bool lines_next(line_reader *reader, const char **ret_data, size_t *ret_size)
{
    const char *found = find_end(reader);

    reader->searched = found ? (size_t)(found - reader->data) : reader->end;
    if (!found &&
        (reader->start == reader->end || (!reader->at_end && reader->kind != LINE_END_NONE)))
        return false;
    *ret_data = reader->data + reader->start;
    *ret_size = reader->searched - reader->start;
    if (found && reader->kind == LINE_END_KEPT)
        (*ret_size)++;
    return true;
}

void lines_drop(line_reader *reader, size_t size)
{
    reader->start += size;
    /* The end of the line, which only the last one may lack. */
    if (reader->start < reader->end &&
        (reader->kind == LINE_END_NEWLINE || reader->kind == LINE_END_NUL))
        reader->start++;
    reader->searched = reader->start;
}

void lines_close(line_reader *reader)
{
    free(reader->data);
    reader->data = NULL;
    reader->capacity = reader->start = reader->searched = reader->end = 0;
}
