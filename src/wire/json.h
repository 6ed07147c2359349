/* SPDX-License-Identifier: MIT */
/*
 * Whether bytes are a JSON text (RFC 8259) in UTF-8, and what the members of its object are. It
 * builds nothing, does not recurse, and looks at each byte once.
 */
#ifndef DUPLEX_WIRE_JSON_H
#define DUPLEX_WIRE_JSON_H

#include <stddef.h>
#include <stdint.h>

enum {
    /* Arrays and objects within each other. A text that goes deeper is not accepted. */
    DXI_JSON_DEPTH_MAX = 4096,
};

/* A part of a text. Of a string it includes the quotation marks. */
struct dxi_json_span {
    size_t start, size;
};

/*
 * Called for each member of the object that a text is, if it is one; the members of what lies in it
 * are not shown. It is called before the whole text was judged.
 */
typedef void dxi_json_visit(void *context, const uint8_t *text, const struct dxi_json_span *name,
                            const struct dxi_json_span *value);

/* Judge a text. Returns SIZE_MAX if it is one, else where it ceases to be. visit may be NULL. */
size_t dxi_json_judge(const uint8_t *text, size_t size, dxi_json_visit *visit, void *context);

/*
 * Read a string of a judged text, with its escapes resolved, as far as there is room. What is not
 * ASCII becomes a zero byte, as does a zero. Returns how many were written.
 */
size_t dxi_json_read(const uint8_t *text, const struct dxi_json_span *span, char *ret, size_t room);

#endif
