/* SPDX-License-Identifier: MIT */
/* Messages to be written; see map_frame.h and docs/framings.md. */
#include "map_frame.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY ((size_t)64 << 10)
#define PACKET_MAX 65516 /* git's */

enum { HEAD_MAX = 64 };

int map_bytes_reserve(map_bytes *bytes, size_t size)
{
    size_t capacity = bytes->capacity ? bytes->capacity : FIRST_CAPACITY;
    char *data;

    if (size <= bytes->capacity - bytes->end)
        return 0;
    if (bytes->start > 0) {
        memmove(bytes->data, bytes->data + bytes->start, bytes->end - bytes->start);
        bytes->end -= bytes->start;
        bytes->start = 0;
    }
    while (capacity - bytes->end < size)
        capacity *= 2;
    if (capacity == bytes->capacity)
        return 0;
    data = realloc(bytes->data, capacity);
    if (!data)
        return -ENOMEM;
    bytes->data = data;
    bytes->capacity = capacity;
    return 0;
}

int map_bytes_add(map_bytes *bytes, const void *data, size_t size)
{
    int result = map_bytes_reserve(bytes, size);

    if (result < 0)
        return result;
    if (size > 0)
        memcpy(bytes->data + bytes->end, data, size);
    bytes->end += size;
    return 0;
}

void map_bytes_drop(map_bytes *bytes, size_t size)
{
    bytes->start += size;
    if (bytes->start == bytes->end)
        bytes->start = bytes->end = 0;
}

size_t map_bytes_size(const map_bytes *bytes)
{
    return bytes->end - bytes->start;
}

void map_bytes_clear(map_bytes *bytes)
{
    free(bytes->data);
    *bytes = (map_bytes){0};
}

bool map_frame_fits(dx_framing framing)
{
    return framing != DX_FRAMING_NATIVE && framing != DX_FRAMING_NODE && framing != DX_FRAMING_RAW;
}

/* A length in so many bytes, the most significant first. Returns how many, or -EMSGSIZE. */
static int length(char *head, int width, size_t size)
{
    int i;

    if (width < (int)sizeof(size) && size >> (8 * width) != 0)
        return -EMSGSIZE;
    for (i = 0; i < width; i++)
        head[i] = (char)(size >> (8 * (width - 1 - i)));
    return width;
}

/* What stands before the data. Returns its size, or -EMSGSIZE or -EINVAL. */
static int make_head(char head[HEAD_MAX], dx_framing framing, size_t size)
{
    switch (framing) {
    case DX_FRAMING_NETSTRING:
        return snprintf(head, HEAD_MAX, "%zu:", size);
    case DX_FRAMING_U8:
        return length(head, 1, size);
    case DX_FRAMING_U16:
        return length(head, 2, size);
    case DX_FRAMING_U32:
        return length(head, 4, size);
    case DX_FRAMING_PYTHON:
        /* No message is so large that it would take the long form. */
        return size > INT32_MAX ? -EMSGSIZE : length(head, 4, size);
    case DX_FRAMING_CONTENT_LENGTH:
        return snprintf(head, HEAD_MAX, "Content-Length: %zu\r\n\r\n", size);
    case DX_FRAMING_PKT_LINE:
        if (size == 0 || size > PACKET_MAX)
            return size == 0 ? -EINVAL : -EMSGSIZE;
        return snprintf(head, HEAD_MAX, "%04zx", size + 4);
    default:
        return 0;
    }
}

int map_frame_add(map_bytes *bytes, dx_framing framing, const void *data, size_t size)
{
    char head[HEAD_MAX];
    int head_size = make_head(head, framing, size);
    int result;

    if (head_size < 0)
        return head_size;
    result = map_bytes_reserve(bytes, (size_t)head_size + size + 1);
    if (result < 0)
        return result;
    map_bytes_add(bytes, head, (size_t)head_size);
    map_bytes_add(bytes, data, size);
    if (framing == DX_FRAMING_LINE)
        bytes->data[bytes->end++] = '\n';
    else if (framing == DX_FRAMING_NUL)
        bytes->data[bytes->end++] = '\0';
    else if (framing == DX_FRAMING_NETSTRING)
        bytes->data[bytes->end++] = ',';
    return 0;
}
