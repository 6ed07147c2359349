/* SPDX-License-Identifier: MIT */
/*
 * Strings of JSON: BEFORE, then as many bytes as ANY has, which may be anything, between quotation
 * marks, from memory that ends where they do. What is judged to be a string is read, into enough
 * room and into too little.
 */
#include "wire/json.h"

#include "any_byte.h"

#include FRAMING

static uint8_t text[sizeof("'" BEFORE ANY "'") - 1] = "\"" BEFORE ANY "\"";

int main(void)
{
    struct judge judge = {.text = text, .size = sizeof(text)};
    char all[sizeof(text)];
    char part[2];

    /*@ loop unroll sizeof(ANY); */
    for (size_t i = sizeof(BEFORE); i < sizeof(text) - 1; i++)
        MAKE_ANY(text[i]);
    if (string(&judge)) {
        struct dxi_json_span span = {0, judge.at};

        (void)dxi_json_read(text, &span, all, sizeof(all));
        (void)dxi_json_read(text, &span, part, sizeof(part));
    }
    return 0;
}
