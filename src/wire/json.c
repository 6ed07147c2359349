/* SPDX-License-Identifier: MIT */
/*
 * The judge of JSON texts. Where it is, in which containers, is kept in one bit for each.
 */
#include "wire/json.h"

#include <stdbool.h>
#include <string.h>

struct judge {
    const uint8_t *text;
    size_t size, at;
    size_t depth;
    uint64_t
        objects[DXI_JSON_DEPTH_MAX / 64]; /* for each container around `at`: is it an object? */
    struct dxi_json_span name;            /* of the member of the outermost object */
    size_t value;                         /* where that member's value begins */
    dxi_json_visit *visit;
    void *context;
};

static bool peek(const struct judge *judge, char c)
{
    return judge->at < judge->size && judge->text[judge->at] == (uint8_t)c;
}

static bool take(struct judge *judge, char c)
{
    if (!peek(judge, c))
        return false;
    judge->at++;
    return true;
}

static void skip_space(struct judge *judge)
{
    while (peek(judge, ' ') || peek(judge, '\n') || peek(judge, '\r') || peek(judge, '\t'))
        judge->at++;
}

static bool within_object(const struct judge *judge)
{
    size_t container = judge->depth - 1;

    return judge->depth > 0 && (judge->objects[container / 64] >> container % 64 & 1) != 0;
}

static bool enter(struct judge *judge, bool object)
{
    size_t container = judge->depth;
    uint64_t bit = (uint64_t)1 << container % 64;

    if (container == DXI_JSON_DEPTH_MAX)
        return false;
    if (object)
        judge->objects[container / 64] |= bit;
    else
        judge->objects[container / 64] &= ~bit;
    judge->depth++;
    judge->at++;
    return true;
}

static bool in_range(uint8_t byte, uint8_t low, uint8_t high)
{
    return byte >= low && byte <= high;
}

/* How many bytes the character has that begins here and is not ASCII; 0: it is no UTF-8. */
static size_t character(const uint8_t *bytes, size_t left)
{
    uint8_t first = bytes[0];
    uint8_t low = 0x80, high = 0xbf;
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;

    if (!in_range(first, 0xc2, 0xf4) || left < size)
        return 0;
    /* Longer than need be, the halves of a pair (surrogates), and what lies above U+10FFFF. */
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    if (!in_range(bytes[1], low, high))
        return 0;
    for (size_t i = 2; i < size; i++)
        if (!in_range(bytes[i], 0x80, 0xbf))
            return 0;
    return size;
}

/* Eight bytes at once: does one end a run of plain ASCII, by being special in a string? */
static bool is_special(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = ones << 7;
    uint64_t quotes = word ^ ones * '"';
    uint64_t escapes = word ^ ones * '\\';
    uint64_t controls = word - ones * 0x20;

    return ((word | controls | (quotes - ones) | (escapes - ones)) & tops) != 0;
}

static void skip_plain(struct judge *judge)
{
    const uint8_t *text = judge->text;
    size_t at = judge->at;
    uint64_t word;

    for (; judge->size - at >= sizeof(word); at += sizeof(word)) {
        memcpy(&word, text + at, sizeof(word));
        if (is_special(word))
            break;
    }
    while (at < judge->size && in_range(text[at], 0x20, 0x7f) && text[at] != '"' &&
           text[at] != '\\')
        at++;
    judge->at = at;
}

static bool is_hexadecimal(uint8_t byte)
{
    return in_range(byte, '0', '9') || in_range(byte, 'a', 'f') || in_range(byte, 'A', 'F');
}

static bool escape(struct judge *judge)
{
    judge->at++;
    if (judge->at == judge->size)
        return false;
    uint8_t kind = judge->text[judge->at];

    if (kind == '\0' || strchr("\"\\/bfnrtu", kind) == NULL)
        return false;
    judge->at++;
    for (int i = 0; kind == 'u' && i < 4; i++) {
        if (judge->at == judge->size || !is_hexadecimal(judge->text[judge->at]))
            return false;
        judge->at++;
    }
    return true;
}

static bool string(struct judge *judge)
{
    if (!take(judge, '"'))
        return false;
    for (;;) {
        skip_plain(judge);
        if (judge->at == judge->size)
            return false;
        uint8_t byte = judge->text[judge->at];

        if (byte == '"') {
            judge->at++;
            return true;
        }
        if (byte == '\\') {
            if (!escape(judge))
                return false;
            continue;
        }
        size_t size = byte < 0x80 ? 0 : character(judge->text + judge->at, judge->size - judge->at);

        if (size == 0)
            return false;
        judge->at += size;
    }
}

static bool digits(struct judge *judge)
{
    size_t start = judge->at;

    while (judge->at < judge->size && in_range(judge->text[judge->at], '0', '9'))
        judge->at++;
    return judge->at > start;
}

static bool number(struct judge *judge)
{
    (void)take(judge, '-');
    if (!take(judge, '0') && !digits(judge))
        return false;
    if (take(judge, '.') && !digits(judge))
        return false;
    if (take(judge, 'e') || take(judge, 'E')) {
        if (!take(judge, '+'))
            (void)take(judge, '-');
        return digits(judge);
    }
    return true;
}

static bool word(struct judge *judge, const char *expected)
{
    for (; *expected != '\0'; expected++)
        if (!take(judge, *expected))
            return false;
    return true;
}

static bool scalar(struct judge *judge)
{
    switch (judge->at < judge->size ? judge->text[judge->at] : '\0') {
    case '"':
        return string(judge);
    case 't':
        return word(judge, "true");
    case 'f':
        return word(judge, "false");
    case 'n':
        return word(judge, "null");
    default:
        return number(judge);
    }
}

/* A member's name, and what stands before its value. */
static bool member(struct judge *judge)
{
    skip_space(judge);

    size_t start = judge->at;

    if (!string(judge))
        return false;
    if (judge->depth == 1)
        judge->name = (struct dxi_json_span){start, judge->at - start};
    skip_space(judge);
    if (!take(judge, ':'))
        return false;
    skip_space(judge);
    if (judge->depth == 1)
        judge->value = judge->at;
    return true;
}

/* The beginning of a value, up to where one ends: false with *ret_ended when another begins. */
static bool begin_value(struct judge *judge, bool *ret_ended)
{
    skip_space(judge);

    bool object = peek(judge, '{');

    *ret_ended = true;
    if (!object && !peek(judge, '['))
        return scalar(judge);
    if (!enter(judge, object))
        return false;
    skip_space(judge);
    if (take(judge, object ? '}' : ']')) {
        judge->depth--;
        return true;
    }
    *ret_ended = false;
    return !object || member(judge);
}

/* What follows a value within a container, up to where the next begins or the outermost has ended. */
static bool end_value(struct judge *judge)
{
    while (judge->depth > 0) {
        bool object = within_object(judge);

        if (object && judge->depth == 1 && judge->visit != NULL) {
            struct dxi_json_span value = {judge->value, judge->at - judge->value};

            judge->visit(judge->context, judge->text, &judge->name, &value);
        }
        skip_space(judge);
        if (take(judge, ','))
            return !object || member(judge);
        if (!take(judge, object ? '}' : ']'))
            return false;
        judge->depth--;
    }
    return true;
}

size_t dxi_json_judge(const uint8_t *text, size_t size, dxi_json_visit *visit, void *context)
{
    struct judge judge = {.text = text, .size = size, .visit = visit, .context = context};

    do {
        bool ended;

        if (!begin_value(&judge, &ended) || (ended && !end_value(&judge)))
            return judge.at;
    } while (judge.depth > 0);
    skip_space(&judge);
    return judge.at == size ? SIZE_MAX : judge.at;
}

static unsigned hexadecimal(const uint8_t *digits_at)
{
    unsigned value = 0;

    for (int i = 0; i < 4; i++) {
        uint8_t digit = digits_at[i];

        /* The low four bits of '0' are 0, those of 'A' and 'a' 1. */
        value = value << 4 | (digit <= '9' ? digit & 15U : (digit & 15U) + 9);
    }
    return value;
}

static char resolve(uint8_t kind)
{
    switch (kind) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return (char)kind;
    }
}

size_t dxi_json_read(const uint8_t *text, const struct dxi_json_span *span, char *ret, size_t room)
{
    const uint8_t *at = text + span->start + 1;
    const uint8_t *end = text + span->start + span->size - 1;
    size_t count = 0;

    while (at < end && count < room) {
        if (*at == '\\' && at[1] == 'u') {
            unsigned unit = hexadecimal(at + 2);

            ret[count++] = unit < 0x80 ? (char)unit : '\0';
            at += 6;
        } else if (*at == '\\') {
            ret[count++] = resolve(at[1]);
            at += 2;
        } else {
            ret[count++] = *at < 0x80 ? (char)*at : '\0';
            at++;
        }
    }
    return count;
}
