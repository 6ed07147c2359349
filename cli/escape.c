/* SPDX-License-Identifier: MIT */
/* Bytes as people may see them; see escape.h. */
#include "escape.h"

#include <string.h>

/* The size of the printable character of UTF-8 that stands there; 0 if none does. */
static size_t character_at(const unsigned char *text, size_t size)
{
    static const struct {
        unsigned char mask, lead;
        unsigned long least;
    } kinds[] = {
        {0, 0, 0}, {0x80, 0, 0x20}, {0xe0, 0xc0, 0xa0}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    unsigned long point;
    size_t length = 1;
    size_t i;

    while (length < 5 && (text[0] & kinds[length].mask) != kinds[length].lead)
        length++;
    if (length == 5 || length > size)
        return 0;
    point = text[0] & (unsigned char)~kinds[length].mask;
    for (i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (text[i] & 0x3f);
    }
    /* Neither a control character, nor one that turns the direction of writing around. */
    if (point < kinds[length].least || point == 0x7f || point == '\\' || point > 0x10ffff ||
        (point >= 0xd800 && point < 0xe000) || (point >= 0x2028 && point <= 0x202e) ||
        (point >= 0x2066 && point <= 0x2069))
        return 0;
    return length;
}

size_t escape(char *line, const void *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    static const char named[] = "\nn\tt\rr\\\\";
    const unsigned char *text = data;
    char *next = line;
    size_t i = 0;

    while (i < size) {
        size_t length = character_at(text + i, size - i);
        const char *name = length > 0 ? NULL : memchr(named, text[i], sizeof(named) - 1);

        if (length > 0) {
            memcpy(next, text + i, length);
            next += length;
            i += length;
            continue;
        }
        /* Only the first of each pair is what has a name. */
        if (name && (name - named) % 2 == 0) {
            *next++ = '\\';
            *next++ = name[1];
        } else {
            *next++ = '\\';
            *next++ = 'x';
            *next++ = digits[text[i] >> 4];
            *next++ = digits[text[i] & 15];
        }
        i++;
    }
    return (size_t)(next - line);
}
