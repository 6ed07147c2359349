/* SPDX-License-Identifier: MIT */
/*
 * Bytes of others as people may see them on a line of a terminal or of a file: printable UTF-8 as it
 * is; else \n, \t, \r, \\ and \x1b.
 */
#ifndef CLI_ESCAPE_H
#define CLI_ESCAPE_H

#include <stddef.h>

/* Write them, at most four times as many. Returns how many; there is no NUL. */
size_t escape(char *line, const void *data, size_t size);

#endif
