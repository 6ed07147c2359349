/* SPDX-License-Identifier: MIT */
/*
 * The framing of Node's child_process with 'json' serialization: a JSON text in UTF-8, then '\n'.
 * Node parses each line without a safety net: an empty line, or one that is no JSON text, kills it.
 * So none is sent, and none is taken.
 *
 * An object whose "cmd" is a string that begins with "NODE_" and goes on is Node's own. A
 * NODE_HANDLE comes with a descriptor and bears the message in its "msg"; it is answered by a
 * NODE_HANDLE_ACK or NODE_HANDLE_NACK. If a name occurs several times, the last counts, as it does
 * for Node.
 */
#include "wire/json.h"
#include "wire/simple.h"

static const char prefix[] = "NODE_";

enum {
    PREFIX_SIZE = sizeof(prefix) - 1,
    WORD_MAX = 32, /* no word of Node's is as long */

    /*
     * What Node writes around the message of a NODE_HANDLE: the limit is the message's. Beside the
     * names there is a "key", which holds an address: a path of AF_UNIX, with escapes, at most.
     */
    AROUND_MAX = 1024,
};

/* The handles that Node knows how to make of a descriptor. */
static const char *const handle_types[] = {
    "net.Socket", "net.Server", "net.Native", "dgram.Socket", "dgram.Native",
};

/* What matters of a message that is an object. A span of size 0 is not there. */
struct members {
    struct dxi_json_span cmd, type, msg;
    bool is_private; /* some "cmd" is Node's own, be it the last or not */
};

/* Read a string. 0 for any other value. */
static size_t read_word(const uint8_t *text, const struct dxi_json_span *value, char ret[WORD_MAX])
{
    return value->size > 0 && text[value->start] == '"' ? dxi_json_read(text, value, ret, WORD_MAX)
                                                        : 0;
}

static bool is_word(const char *word, size_t size, const char *expected)
{
    return size == strlen(expected) && memcmp(word, expected, size) == 0;
}

static bool is_private(const uint8_t *text, const struct dxi_json_span *cmd)
{
    char word[WORD_MAX];

    return read_word(text, cmd, word) > PREFIX_SIZE && memcmp(word, prefix, PREFIX_SIZE) == 0;
}

static void note_member(void *context, const uint8_t *text, const struct dxi_json_span *name,
                        const struct dxi_json_span *value)
{
    struct members *members = context;
    char word[WORD_MAX];
    size_t size = read_word(text, name, word);

    if (is_word(word, size, "cmd")) {
        members->cmd = *value;
        members->is_private = members->is_private || is_private(text, value);
    } else if (is_word(word, size, "type")) {
        members->type = *value;
    } else if (is_word(word, size, "msg")) {
        members->msg = *value;
    }
}

static bool is_handle_type(const char *word, size_t size)
{
    for (size_t i = 0; i < sizeof(handle_types) / sizeof(*handle_types); i++)
        if (is_word(word, size, handle_types[i]))
            return true;
    return false;
}

static int too_long(struct dxi_decoder *decoder)
{
    return dxi_violated(decoder, DXI_VIOLATION_LINE, decoder->message_limit,
                        decoder->message_limit);
}

/* A NODE_HANDLE that Node sends again after a NACK: it wraps the whole of it once more. */
static void unwrap(const uint8_t *line, struct dxi_json_span *msg)
{
    struct members inner = {0};
    char word[WORD_MAX];

    if (line[msg->start] != '{' ||
        dxi_json_judge(line + msg->start, msg->size, note_member, &inner) != SIZE_MAX)
        return;
    size_t size = read_word(line + msg->start, &inner.cmd, word);

    if (!is_word(word, size, "NODE_HANDLE") || inner.msg.size == 0)
        return;
    msg->start += inner.msg.start;
    msg->size = inner.msg.size;
}

/* A NODE_HANDLE: the frame is that of its message. */
static int judge_handle(struct dxi_decoder *decoder, const uint8_t *line, size_t length,
                        const struct members *members, struct dxi_frame *ret)
{
    struct dxi_json_span msg = members->msg;
    char word[WORD_MAX];
    size_t size = read_word(line, &members->type, word);

    if (!is_handle_type(word, size) || msg.size == 0)
        return dxi_violated(decoder, DXI_VIOLATION_NODE_HANDLE, 0, 0);
    unwrap(line, &msg);
    (void)dxi_found(msg.start, msg.size, length - msg.start - msg.size + 1, ret);
    ret->kind = DXI_KIND_NODE_HANDLE;
    ret->descriptors = 1;
    return 1;
}

/* A line of a peer, which is looked through once. */
static int judge_line(struct dxi_decoder *decoder, const uint8_t *line, size_t length,
                      struct dxi_frame *ret)
{
    struct members members = {0};
    size_t wrong;
    char word[WORD_MAX];

    if (length == 0)
        return dxi_violated(decoder, DXI_VIOLATION_EMPTY_LINE, 0, 0);
    wrong = dxi_json_judge(line, length, note_member, &members);
    if (wrong != SIZE_MAX)
        return dxi_violated(decoder, DXI_VIOLATION_JSON, wrong + 1, 0);
    (void)dxi_found(0, length, 1, ret);
    if (!is_private(line, &members.cmd))
        return 1;
    size_t size = read_word(line, &members.cmd, word);

    if (is_word(word, size, "NODE_HANDLE"))
        return judge_handle(decoder, line, length, &members, ret);
    if (is_word(word, size, "NODE_HANDLE_ACK"))
        ret->kind = DXI_KIND_NODE_ACK;
    else if (is_word(word, size, "NODE_HANDLE_NACK"))
        ret->kind = DXI_KIND_NODE_NACK;
    else
        ret->kind = DXI_KIND_NODE_OTHER;
    return 1;
}

static int decode(struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                  struct dxi_frame *ret)
{
    size_t length;
    int status;

    if (dxi_frame_total(&decoder->judged) > 0) {
        *ret = decoder->judged;
        return 1;
    }
    status = dxi_find_end(decoder, bytes, size, '\n', decoder->message_limit + AROUND_MAX, &length);
    if (status < 0)
        return too_long(decoder);
    if (status == 0)
        return 0;
    status = judge_line(decoder, bytes, length, ret);
    if (status < 0)
        return status;
    if (ret->size > decoder->message_limit)
        return too_long(decoder);
    decoder->judged = *ret;
    return 1;
}

static void consume(struct dxi_decoder *decoder, const struct dxi_frame *frame)
{
    decoder->judged = (struct dxi_frame){0};
    dxi_consumed(decoder, frame);
}

/* What Node would take for a message of its user's. */
static bool is_message(const struct dxi_letter *letter)
{
    struct members members = {0};

    return letter->size > 0 && !letter->more && memchr(letter->data, '\n', letter->size) == NULL &&
           dxi_json_judge(letter->data, letter->size, note_member, &members) == SIZE_MAX &&
           !members.is_private;
}

static void append(struct dxi_envelope *envelope, const char *text)
{
    size_t size = strlen(text);

    memcpy(envelope->header + envelope->header_size, text, size);
    envelope->header_size += size;
}

static int encode_handle(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    if (letter->descriptors != 1 || letter->handle_type == NULL || !is_message(letter) ||
        !is_handle_type(letter->handle_type, strlen(letter->handle_type)))
        return -EINVAL;
    append(ret, "{\"cmd\":\"NODE_HANDLE\",\"type\":\"");
    append(ret, letter->handle_type);
    if (letter->dgram_type != NULL) {
        append(ret, "\",\"dgramType\":\"");
        append(ret, letter->dgram_type);
    }
    append(ret, "\",\"msg\":");
    memcpy(ret->trailer, "}\n", 2);
    ret->trailer_size = 2;
    return 0;
}

static int encode(const struct dxi_letter *letter, struct dxi_envelope *ret)
{
    ret->header_size = 0;
    ret->trailer[0] = '\n';
    ret->trailer_size = 1;
    switch (letter->kind) {
    case DXI_KIND_MESSAGE:
        return letter->descriptors == 0 && is_message(letter) ? 0 : -EINVAL;
    case DXI_KIND_NODE_HANDLE:
        return encode_handle(letter, ret);
    case DXI_KIND_NODE_ACK:
    case DXI_KIND_NODE_NACK:
        if (letter->size > 0 || letter->more || letter->descriptors > 0)
            return -EINVAL;
        append(ret, letter->kind == DXI_KIND_NODE_ACK ? "{\"cmd\":\"NODE_HANDLE_ACK\"}"
                                                      : "{\"cmd\":\"NODE_HANDLE_NACK\"}");
        return 0;
    default:
        return -EINVAL;
    }
}

const struct dxi_framing dxi_framing_node = {
    .name = "node",
    .carries_descriptors = true,
    .decode = decode,
    .decode_last = decode,
    .consume = consume,
    .encode = encode,
};
