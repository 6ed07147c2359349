/* SPDX-License-Identifier: MIT */
/*
 * The judge of JSON texts, for WP: texts of any size and any depth. Its contracts are in
 * judge.toml: the place where it is never passes the end of the text, nor the depth the bits that
 * are kept for it.
 */
#include <stddef.h>
#include <stdint.h>

/* What memcpy() and strchr() ask for and give, in types: eight bytes, and somewhere or nowhere. */
/*@ requires \valid_read(from + (0 .. 7)) && \valid(to);
    assigns *to \from from[0 .. 7]; */
extern void load_word(uint64_t *to, const uint8_t *from);
/*@ assigns \result \from byte; */
extern _Bool is_among(uint8_t byte);
#include <string.h>
#define memcpy(to, from, size) load_word(to, from)
#define strchr(text, byte) (is_among(byte) ? "" : NULL)

#include "wire/json.h"

/* Who is shown a member may read all of its name and its value. */
/*@ requires \valid_read(name) && \valid_read(value);
    requires \valid_read(text + (0 .. name->start + name->size - 1));
    requires \valid_read(text + (0 .. value->start + value->size - 1));
    assigns \nothing; */
extern void any_visit(void *context, const uint8_t *text, const struct dxi_json_span *name,
                      const struct dxi_json_span *value);

/* It goes on, or stays where it is. */
#define GOES_ON                                                                                    \
    requires sound(judge);                                                                         \
    assigns judge->at;                                                                             \
    ensures sound(judge);                                                                          \
    ensures judge->at >= \old(judge->at)

#include FRAMING
