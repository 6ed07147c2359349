/* SPDX-License-Identifier: MIT */
/*
 * The reader of the test vectors. It is strict: a misspelt vector must not pass for one that is
 * checked.
 */
#include "vectors.h"

#include "harness.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    [DXI_VIOLATION_NONE] = "none",
    [DXI_VIOLATION_LENGTH] = "length",
    [DXI_VIOLATION_KIND] = "kind",
    [DXI_VIOLATION_FLAGS] = "flags",
    [DXI_VIOLATION_ID] = "id",
    [DXI_VIOLATION_VERSION] = "version",
    [DXI_VIOLATION_NO_HELLO] = "no-hello",
    [DXI_VIOLATION_SECOND_HELLO] = "second-hello",
    [DXI_VIOLATION_HELLO_SIZE] = "hello-size",
    [DXI_VIOLATION_EMPTY_FRAGMENT] = "empty-fragment",
    [DXI_VIOLATION_FRAGMENT_DESCRIPTORS] = "fragment-descriptors",
    [DXI_VIOLATION_DESCRIPTOR_LIMIT] = "descriptor-limit",
    [DXI_VIOLATION_DESCRIPTORS_MISSING] = "descriptors-missing",
    [DXI_VIOLATION_DESCRIPTORS_SURPLUS] = "descriptors-surplus",
    [DXI_VIOLATION_LINE] = "line",
    [DXI_VIOLATION_PACKET] = "packet",
    [DXI_VIOLATION_NO_ID] = "no-id",
    [DXI_VIOLATION_FRAGMENT_KIND] = "fragment-kind",
    [DXI_VIOLATION_ERROR_SIZE] = "error-size",
    [DXI_VIOLATION_CANCEL] = "cancel",
    [DXI_VIOLATION_REQUEST_LIMIT] = "request-limit",
    [DXI_VIOLATION_DUPLICATE_REQUEST] = "duplicate-request",
    [DXI_VIOLATION_UNKNOWN_REPLY] = "unknown-reply",
    [DXI_VIOLATION_LANE_WORD] = "lane-word",
    [DXI_VIOLATION_LANE_OUTSIDE] = "lane-outside",
    [DXI_VIOLATION_RING] = "ring",
    [DXI_VIOLATION_TERMINATED] = "terminated",
    [DXI_VIOLATION_NETSTRING_LENGTH] = "netstring-length",
    [DXI_VIOLATION_NETSTRING_COMMA] = "netstring-comma",
    [DXI_VIOLATION_NEGATIVE_LENGTH] = "negative-length",
    [DXI_VIOLATION_SMALL_LONG_LENGTH] = "small-long-length",
    [DXI_VIOLATION_HEADER_SIZE] = "header-size",
    [DXI_VIOLATION_HEADER_LINE] = "header-line",
    [DXI_VIOLATION_HEADER_LENGTH] = "header-length",
    [DXI_VIOLATION_HEADER_MISSING] = "header-missing",
    [DXI_VIOLATION_HEADER_DOUBLE] = "header-double",
    [DXI_VIOLATION_PKT_LENGTH] = "pkt-length",
    [DXI_VIOLATION_JSON] = "json",
    [DXI_VIOLATION_EMPTY_LINE] = "empty-line",
    [DXI_VIOLATION_NODE_HANDLE] = "node-handle",
};

enum { NAME_COUNT = sizeof(names) / sizeof(*names) };

const char *violation_name(enum dxi_violation violation)
{
    return (size_t)violation < NAME_COUNT ? names[violation] : NULL;
}

bool violation_in_bytes(enum dxi_violation violation)
{
    return violation != DXI_VIOLATION_DESCRIPTORS_MISSING &&
           violation != DXI_VIOLATION_DESCRIPTORS_SURPLUS && violation != DXI_VIOLATION_PACKET &&
           violation != DXI_VIOLATION_REQUEST_LIMIT &&
           violation != DXI_VIOLATION_DUPLICATE_REQUEST &&
           violation != DXI_VIOLATION_UNKNOWN_REPLY && violation != DXI_VIOLATION_LANE_OUTSIDE &&
           violation != DXI_VIOLATION_RING;
}

struct reader {
    const char *file;
    unsigned line;
    size_t count;
    bool begun;
    struct vector vector;
};

static _Noreturn void nonsense(const struct reader *reader, const char *why)
{
    ck_abort_msg("tests/vectors/%s:%u: %s", reader->file, reader->line, why);
    abort();
}

static uint64_t number(const struct reader *reader, const char **text)
{
    char *end;

    while (**text == ' ')
        ++*text;
    if (!isdigit((unsigned char)**text))
        nonsense(reader, "a number was expected");
    errno = 0;
    unsigned long long value = strtoull(*text, &end, 10);

    if (errno != 0 || (*end != '\0' && *end != ' '))
        nonsense(reader, "this is no number");
    *text = end;
    return value;
}

static void append(struct bytes *bytes, const void *part, size_t size, size_t times)
{
    bytes->data = realloc(bytes->data, bytes->size + size * times + 1);
    for (; times > 0; times--) {
        memcpy(bytes->data + bytes->size, part, size);
        bytes->size += size;
    }
}

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

/* Two digits of hexadecimal, or a text between apostrophes: how long it is, and how long it says. */
static size_t read_part(const struct reader *reader, const char *text, uint8_t *ret_byte,
                        const void **ret, size_t *ret_size)
{
    int high = digit(text[0]);
    int low = high >= 0 ? digit(text[1]) : -1;
    const char *end = *text == '\'' ? strchr(text + 1, '\'') : NULL;

    if (end != NULL) {
        *ret = text + 1;
        *ret_size = (size_t)(end - text) - 1;
        return *ret_size + 2;
    }
    if (low < 0)
        nonsense(reader, "this is not hexadecimal");
    *ret_byte = (uint8_t)(high << 4 | low);
    *ret = ret_byte;
    *ret_size = 1;
    return 2;
}

static struct bytes hexadecimal(const struct reader *reader, const char *text)
{
    struct bytes bytes = {.data = malloc(1)};

    for (;;) {
        while (*text == ' ')
            text++;
        if (*text == '\0')
            return bytes;
        const void *part;
        uint8_t byte;
        size_t size, times = 1;

        text += read_part(reader, text, &byte, &part, &size);
        if (*text == '*') {
            text++;
            times = number(reader, &text);
        }
        append(&bytes, part, size, times);
    }
}

static struct sight *next_sight(struct reader *reader)
{
    if (reader->vector.sight_count == VECTOR_PARTS)
        nonsense(reader, "too much is to be seen");
    return &reader->vector.sights[reader->vector.sight_count++];
}

static void read_hello(struct reader *reader, const char *value)
{
    struct sight *sight = next_sight(reader);

    sight->kind = DXI_KIND_HELLO;
    sight->hello.version = (uint16_t)number(reader, &value);
    sight->hello.descriptor_limit = (uint16_t)number(reader, &value);
    sight->hello.features = (uint32_t)number(reader, &value);
    sight->hello.message_limit = number(reader, &value);
    sight->hello.request_limit = (uint32_t)number(reader, &value);
}

static void read_offer(struct reader *reader, const char *value)
{
    struct sight *sight = next_sight(reader);

    sight->kind = DXI_KIND_OFFER;
    sight->descriptors = 1;
    sight->offer.version = (uint32_t)number(reader, &value);
    sight->offer.control_size = (uint32_t)number(reader, &value);
    sight->offer.ring_size = number(reader, &value);
}

static int32_t code(const struct reader *reader, const char **text)
{
    bool negative = **text == ' ' && (*text)[1] == '-';

    *text += negative ? 2 : 0;
    uint64_t value = number(reader, text);

    if (value > (uint64_t)INT32_MAX + negative)
        nonsense(reader, "this is no code");
    return (int32_t)(negative ? -(int64_t)value : (int64_t)value);
}

/* The kind of what is seen, by its word; 0 if it is another word. */
static enum dxi_kind kind_of(const char *word, size_t length)
{
    static const char *const words[] = {
        [DXI_KIND_MESSAGE] = "message",       [DXI_KIND_REQUEST] = "request",
        [DXI_KIND_REPLY] = "reply",           [DXI_KIND_ERROR] = "error",
        [DXI_KIND_CANCEL] = "cancel",         [DXI_KIND_FLUSH] = "flush",
        [DXI_KIND_DELIMITER] = "delimiter",   [DXI_KIND_RESPONSE_END] = "response-end",
        [DXI_KIND_NODE_HANDLE] = "handle",    [DXI_KIND_NODE_ACK] = "handle-ack",
        [DXI_KIND_NODE_NACK] = "handle-nack", [DXI_KIND_NODE_OTHER] = "internal",
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (words[i] != NULL && strlen(words[i]) == length && strncmp(word, words[i], length) == 0)
            return (enum dxi_kind)i;
    return 0;
}

static void read_sight(struct reader *reader, enum dxi_kind kind, const char *value)
{
    struct sight *sight = next_sight(reader);

    sight->kind = kind;
    if (kind > DXI_KIND_MESSAGE && kind <= DXI_KIND_CANCEL)
        sight->id = number(reader, &value);
    if (kind == DXI_KIND_ERROR)
        sight->code = code(reader, &value);
    else if (kind != DXI_KIND_CANCEL && (kind < DXI_KIND_FLUSH || kind > DXI_KIND_RESPONSE_END))
        sight->descriptors = (unsigned)number(reader, &value);
    sight->message = hexadecimal(reader, value);
}

/* "reply 1 0 61" */
static void read_dropped(struct reader *reader, const char *value)
{
    size_t length = strcspn(value, " ");
    enum dxi_kind kind = kind_of(value, length);

    if (kind < DXI_KIND_REPLY || kind > DXI_KIND_CANCEL)
        nonsense(reader, "this is nothing that is dropped");
    read_sight(reader, kind, value + length);
    reader->vector.sights[reader->vector.sight_count - 1].dropped = true;
}

static void read_made(struct reader *reader, const char *value, bool closed)
{
    struct vector *vector = &reader->vector;

    if (vector->made_count == VECTOR_PARTS)
        nonsense(reader, "too many requests");
    vector->made[vector->made_count++] = (struct made){number(reader, &value), closed};
}

static void read_bytes(struct reader *reader, const char *value)
{
    if (reader->vector.send_count == VECTOR_PARTS)
        nonsense(reader, "too many sends");
    reader->vector.sends[reader->vector.send_count++].bytes = hexadecimal(reader, value);
}

static void read_came(struct reader *reader, const char *value)
{
    if (reader->vector.send_count == 0)
        nonsense(reader, "descriptors came before anything was sent");
    reader->vector.sends[reader->vector.send_count - 1].came = (unsigned)number(reader, &value);
}

static void read_violation(struct reader *reader, const char *value)
{
    struct vector *vector = &reader->vector;
    size_t length = strcspn(value, " ");
    size_t i = 1;

    while (i < NAME_COUNT && (strlen(names[i]) != length || strncmp(names[i], value, length) != 0))
        i++;
    if (i == NAME_COUNT)
        nonsense(reader, "there is no such violation");
    vector->violation = (enum dxi_violation)i;
    value += length;
    vector->has_numbers = *value != '\0';
    if (vector->has_numbers) {
        vector->value = number(reader, &value);
        vector->value_limit = number(reader, &value);
    }
}

static void read_field(struct reader *reader, const char *word, const char *value)
{
    struct vector *vector = &reader->vector;

    if (!reader->begun)
        nonsense(reader, "no vector has begun");
    if (strcmp(word, "limit") == 0)
        vector->limit = number(reader, &value);
    else if (strcmp(word, "accepts") == 0)
        vector->accepts = (unsigned)number(reader, &value);
    else if (strcmp(word, "pieces") == 0)
        vector->pieces = number(reader, &value);
    else if (strcmp(word, "decode-only") == 0)
        vector->decode_only = true;
    else if (strcmp(word, "strip-cr") == 0)
        vector->strip_cr = true;
    else if (strcmp(word, "handle-type") == 0)
        snprintf(vector->handle_type, sizeof(vector->handle_type), "%s", value);
    else if (strcmp(word, "bytes") == 0)
        read_bytes(reader, value);
    else if (strcmp(word, "came") == 0)
        read_came(reader, value);
    else if (strcmp(word, "hello") == 0)
        read_hello(reader, value);
    else if (strcmp(word, "offer") == 0)
        read_offer(reader, value);
    else if (kind_of(word, strlen(word)) != 0)
        read_sight(reader, kind_of(word, strlen(word)), value);
    else if (strcmp(word, "dropped") == 0)
        read_dropped(reader, value);
    else if (strcmp(word, "requests") == 0)
        vector->requests = (unsigned)number(reader, &value);
    else if (strcmp(word, "open") == 0 || strcmp(word, "closed") == 0)
        read_made(reader, value, *word == 'c');
    else if (strcmp(word, "violation") == 0)
        read_violation(reader, value);
    else if (strcmp(word, "needed") == 0)
        vector->needed = number(reader, &value);
    else
        nonsense(reader, "there is no such word");
}

static void check_whole(const struct reader *reader)
{
    const struct vector *vector = &reader->vector;

    if ((vector->outcome == BAD) != (vector->violation != DXI_VIOLATION_NONE))
        nonsense(reader, "the vector before has to break the protocol, and only if it is bad");
    if ((vector->outcome == CUT) != (vector->needed != 0))
        nonsense(reader, "the vector before has to need bytes, and only if it is cut");
    if ((vector->outcome == REFUSED) != (vector->send_count == 0))
        nonsense(reader, "the vector before has to have bytes, unless they are refused");
}

static void end_vector(struct reader *reader, void (*visit)(const struct vector *, void *),
                       void *context)
{
    if (!reader->begun)
        return;
    check_whole(reader);
    visit(&reader->vector, context);
    for (size_t i = 0; i < reader->vector.send_count; i++)
        free(reader->vector.sends[i].bytes.data);
    for (size_t i = 0; i < reader->vector.sight_count; i++)
        free(reader->vector.sights[i].message.data);
}

/* The outcome that a word says, or -1 if it is another word. */
static int outcome_of(const char *word)
{
    static const char *const words[] = {"good", "bad", "cut", "refused"};

    for (int i = 0; i < (int)(sizeof(words) / sizeof(*words)); i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    return -1;
}

static void read_line(struct reader *reader, char *line,
                      void (*visit)(const struct vector *, void *), void *context)
{
    char *colon = strchr(line, ':');

    if (colon == NULL || (colon[1] != ' ' && colon[1] != '\0'))
        nonsense(reader, "this is neither a word nor a comment");
    *colon = '\0';
    const char *value = colon[1] == ' ' ? colon + 2 : colon + 1;
    int outcome = outcome_of(line);

    if (outcome < 0) {
        read_field(reader, line, value);
        return;
    }
    end_vector(reader, visit, context);
    reader->begun = true;
    reader->count++;
    reader->vector = (struct vector){
        .outcome = (enum outcome)outcome,
        .limit = (size_t)16 << 20,
        .lane = strcmp(reader->file, "lane.txt") == 0,
    };
    snprintf(reader->vector.name, sizeof(reader->vector.name), "%s", value);
}

size_t vectors_each(const char *source, const char *file,
                    void (*visit)(const struct vector *vector, void *context), void *context)
{
    struct reader reader = {.file = file};
    char path[4096];
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;

    snprintf(path, sizeof(path), "%s/tests/vectors/%s", source, file);
    FILE *stream = fopen(path, "re");

    if (stream == NULL)
        ck_abort_msg("cannot open %s: %s", path, strerror(errno));
    while ((length = getline(&line, &capacity, stream)) > 0) {
        reader.line++;
        if (line[length - 1] == '\n')
            line[--length] = '\0';
        if (length > 0 && line[0] != '#')
            read_line(&reader, line, visit, context);
    }
    end_vector(&reader, visit, context);
    free(line);
    fclose(stream);
    return reader.count;
}

struct bytes vector_stream(const struct vector *vector)
{
    struct bytes stream = {.data = malloc(1)};

    for (size_t i = 0; i < vector->send_count; i++) {
        const struct bytes *bytes = &vector->sends[i].bytes;

        stream.data = realloc(stream.data, stream.size + bytes->size + 1);
        memcpy(stream.data + stream.size, bytes->data, bytes->size);
        stream.size += bytes->size;
    }
    return stream;
}
