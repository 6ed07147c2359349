/* SPDX-License-Identifier: MIT */
/*
 * The framing of language servers (LSP) and debug adapters (DAP): "Content-Length: 5\r\n\r\nhello".
 * The name is read in any case, other headers are skipped, and lines may end with '\n' alone.
 * Nothing else is forgiven: what a server prints by mistake must not pass for a header.
 */
#include "wire/simple.h"

enum {
    /* All headers of a message, and the empty line behind them. */
    HEADERS_MAX = 8192,
};

static const char length_name[] = "content-length";

/* What a header's name is made of: a token of RFC 9110. */
static bool is_of_name(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') ||
           (byte != '\0' && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

/* How many bytes a header's name has; 0 if there is no name, or none that ends with ':'. */
static size_t name_size(const uint8_t *line, size_t size)
{
    size_t i = 0;

    while (i < size && is_of_name(line[i]))
        i++;
    return i < size && line[i] == ':' ? i : 0;
}

static bool is_length_name(const uint8_t *name, size_t size)
{
    if (size != sizeof(length_name) - 1)
        return false;
    for (size_t i = 0; i < size; i++) {
        uint8_t lower = name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i];

        if (lower != (uint8_t)length_name[i])
            return false;
    }
    return true;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* Read a number between blanks. false: there is none, or something else, or one over 64 bits. */
static bool read_length(const uint8_t *text, size_t size, uint64_t *ret)
{
    uint64_t value = 0;

    while (size > 0 && is_blank(text[0])) {
        text++;
        size--;
    }
    while (size > 0 && is_blank(text[size - 1]))
        size--;
    if (size == 0)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned digit = (unsigned)text[i] - '0';

        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret = value;
    return true;
}

static int judge_line(struct dxi_decoder *decoder, const uint8_t *line, size_t size)
{
    struct dxi_headers *headers = &decoder->headers;
    size_t name = name_size(line, size);
    uint64_t length;

    if (name == 0)
        return dxi_violated(decoder, DXI_VIOLATION_HEADER_LINE, headers->number + 1, 0);
    if (!is_length_name(line, name))
        return 0;
    if (headers->has_length)
        return dxi_violated(decoder, DXI_VIOLATION_HEADER_DOUBLE, 0, 0);
    if (!read_length(line + name + 1, size - name - 1, &length))
        return dxi_violated(decoder, DXI_VIOLATION_HEADER_LENGTH, 0, 0);
    if (length > decoder->message_limit)
        return dxi_violated(decoder, DXI_VIOLATION_LENGTH, length, decoder->message_limit);
    headers->has_length = true;
    headers->length = (size_t)length;
    return 0;
}

/* Go on with the headers, each byte once. 1: they have ended; 0: not yet; or -EPROTO. */
static int read_headers(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size)
{
    struct dxi_headers *headers = &decoder->headers;
    size_t window = size < HEADERS_MAX ? size : (size_t)HEADERS_MAX;

    for (;;) {
        size_t end;

        if (dxi_find_end(decoder, bytes, window, '\n', HEADERS_MAX, &end) <= 0)
            return size < HEADERS_MAX
                       ? 0
                       : dxi_violated(decoder, DXI_VIOLATION_HEADER_SIZE, HEADERS_MAX, HEADERS_MAX);
        size_t line_size = end - headers->line;

        if (line_size > 0 && bytes[end - 1] == '\r')
            line_size--;
        if (line_size == 0) {
            if (!headers->has_length)
                return dxi_violated(decoder, DXI_VIOLATION_HEADER_MISSING, 0, 0);
            headers->size = end + 1;
            return 1;
        }
        int error = judge_line(decoder, bytes + headers->line, line_size);

        if (error < 0)
            return error;
        headers->number++;
        headers->line = decoder->scanned = end + 1;
    }
}

static int decode(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                  struct dxi_frame *ret)
{
    struct dxi_headers *headers = &decoder->headers;

    if (headers->size == 0) {
        int status = read_headers(decoder, bytes, size);

        if (status <= 0)
            return status;
    }
    return dxi_announced(decoder, size, headers->size, headers->length, 0, ret);
}

static void consume(struct dxi_decoder *decoder, const struct dxi_frame *frame)
{
    decoder->headers = (struct dxi_headers){0};
    dxi_consumed(decoder, frame);
}

static int encode(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    static const char name[] = "Content-Length: ";
    uint8_t *end = ret->header + sizeof(name) - 1;

    if (!dxi_letter_is_plain(letter))
        return -EINVAL;
    memcpy(ret->header, name, sizeof(name) - 1);
    end += dxi_store_decimal(end, letter->size);
    memcpy(end, "\r\n\r\n", 4);
    ret->header_size = (size_t)(end + 4 - ret->header);
    ret->trailer_size = 0;
    return 0;
}

const struct dxi_framing dxi_framing_content_length = {
    .name = "content-length",
    .decode = decode,
    .decode_last = decode,
    .consume = consume,
    .encode = encode,
};
