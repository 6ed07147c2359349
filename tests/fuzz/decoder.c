/* SPDX-License-Identifier: MIT */
/*
 * The target of the decoders. See targets.h.
 */
#include "targets.h"

#include "wire/native.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    FRAMES_MAX = 4096,
    CHOICES = 3,
    CONTENT_LENGTH_AROUND = 8192,
    AROUND = 120,
    EXACT_MAX = 1024,
#if defined(__SANITIZE_ADDRESS__)
    WATCHED = 1
#elif defined(__has_feature)
    WATCHED = __has_feature(address_sanitizer)
#else
    WATCHED = 0
#endif
};

/* All that a decoder said of some bytes. */
struct record {
    struct dxi_frame frames[FRAMES_MAX];
    size_t count;
    size_t consumed;
    size_t assembled; /* payload of a message whose last piece has not come */
    int status;       /* 0, or -EPROTO and the fault */
    struct dxi_fault fault;
};

struct trial {
    const struct dxi_framing *framing;
    struct dxi_decoder options;
    unsigned seed; /* of how the bytes are cut */
    const uint8_t *bytes;
    size_t size;
};

static size_t count_framings(const struct target *target)
{
    size_t count = 0;

    while (count < sizeof(target->framings) / sizeof(*target->framings) &&
           target->framings[count] != NULL)
        count++;
    return count;
}

static struct trial choose(const struct target *target, const uint8_t *data, size_t size)
{
    static const size_t limits[] = {8, 100, 3000, (size_t)16 << 20};
    struct trial trial = {
        .framing = target->framings[data[0] % count_framings(target)],
        .options = {.message_limit = limits[data[1] % 4],
                    .descriptor_limit = data[1] >> 2 & 3,
                    .strip_cr = (data[1] & 16) != 0},
        .seed = data[2],
        .bytes = data + CHOICES,
        .size = size - CHOICES,
    };

    return trial;
}

/*
 * The same question twice must have the same answer, from memory that ends where the bytes end, if
 * anybody watches that. Of long ones the end is not watched: to copy them for each of their frames
 * takes its time.
 */
static int ask(const struct dxi_framing *framing, struct dxi_decoder *decoder, const uint8_t *bytes,
               size_t size, bool last, struct dxi_frame *ret)
{
    uint8_t *copy = WATCHED && size <= EXACT_MAX ? malloc(size > 0 ? size : 1) : NULL;
    const uint8_t *exact = copy != NULL ? copy : bytes;
    int (*decode)(struct dxi_decoder *, const uint8_t *, size_t, struct dxi_frame *) =
        last ? framing->decode_last : framing->decode;
    struct dxi_frame again = {0};

    memset(ret, 0, sizeof(*ret));
    if (copy != NULL && size > 0)
        memcpy(copy, bytes, size);
    int status = decode(decoder, exact, size, ret);
    size_t needed = decoder->needed;

    require(decode(decoder, exact, size, &again) == status);
    require(decoder->needed == needed);
    require(status != 1 || (again.header == ret->header && again.size == ret->size &&
                            again.trailer == ret->trailer && again.kind == ret->kind));
    free(copy);
    return status;
}

static void check_frame(const struct trial *trial, const struct dxi_frame *frame, size_t left)
{
    require(dxi_frame_total(frame) > 0);
    require(frame->header <= left && frame->size <= left && frame->trailer <= left);
    require(dxi_frame_total(frame) <= left);
    require(frame->kind == DXI_KIND_HELLO || frame->kind == DXI_KIND_ERROR ||
            frame->size <= trial->options.message_limit);
    /* A handle that is not welcome is refused by an answer, and breaks nothing. */
    require(frame->descriptors <= trial->options.descriptor_limit ||
            frame->kind == DXI_KIND_NODE_HANDLE);
}

/* Take all frames that the first `size` bytes hold. */
static void take(const struct trial *trial, struct dxi_decoder *decoder, size_t size, bool last,
                 struct record *record)
{
    while (record->status == 0 && record->count < FRAMES_MAX) {
        struct dxi_frame *frame = &record->frames[record->count];
        size_t left = size - record->consumed;
        int status =
            ask(trial->framing, decoder, trial->bytes + record->consumed, left, last, frame);

        if (status == 0) {
            require(last || decoder->needed > left);
            require(decoder->needed <=
                    trial->options.message_limit + CONTENT_LENGTH_AROUND + AROUND);
            return;
        }
        if (status < 0) {
            require(status == -EPROTO && decoder->fault.violation != DXI_VIOLATION_NONE);
            record->status = status;
            record->fault = decoder->fault;
            return;
        }
        check_frame(trial, frame, left);
        record->assembled += frame->size;
        /* Of a message in pieces the limit is for all of them. */
        require(!frame->more || record->assembled <= trial->options.message_limit);
        require(!decoder->continued || record->assembled <= trial->options.message_limit);
        if (!frame->more)
            record->assembled = 0;
        trial->framing->consume(decoder, frame);
        record->consumed += dxi_frame_total(frame);
        record->count++;
    }
}

static void see_whole(const struct trial *trial, struct record *record)
{
    struct dxi_decoder decoder = trial->options;

    take(trial, &decoder, trial->size, true, record);
}

/* In portions, as a receiver reads them, who heeds what is needed every other time. */
static void see_portions(const struct trial *trial, struct record *record)
{
    struct dxi_decoder decoder = trial->options;
    unsigned seed = trial->seed;
    size_t size = 0;

    while (size < trial->size) {
        size_t most = seed % 3 == 0 ? 1 : seed % 3 == 1 ? 40 : trial->size;

        size += 1 + (size_t)rand_r(&seed) % most;
        size = size < trial->size ? size : trial->size;
        if (trial->seed % 2 == 0 || size - record->consumed >= decoder.needed)
            take(trial, &decoder, size, false, record);
    }
    take(trial, &decoder, trial->size, true, record);
}

static void compare(const struct trial *trial, const struct record *a, const struct record *b)
{
    require(a->status == b->status);
    require(a->consumed == b->consumed);
    if (trial->framing->has_no_borders)
        return;
    require(a->count == b->count);
    require(a->fault.violation == b->fault.violation);
    require(a->fault.value == b->fault.value && a->fault.limit == b->fault.limit);
    for (size_t i = 0; i < a->count; i++) {
        const struct dxi_frame *x = &a->frames[i], *y = &b->frames[i];

        require(x->header == y->header && x->size == y->size && x->trailer == y->trailer);
        require(x->kind == y->kind && x->more == y->more && x->id == y->id);
        require(x->descriptors == y->descriptors);
    }
}

/* What a framing takes and does not send. */
static bool may_refuse(const struct dxi_framing *framing, const struct dxi_frame *frame)
{
    if (framing == &dxi_framing_pkt_line)
        return frame->kind == DXI_KIND_MESSAGE && frame->size == 0;
    /* Node's own words, and what another JSON reader might take for them. */
    return framing == &dxi_framing_node && frame->kind != DXI_KIND_NODE_ACK &&
           frame->kind != DXI_KIND_NODE_NACK;
}

static void encode_again(const struct trial *trial, const struct dxi_decoder *before,
                         const struct dxi_frame *frame, const uint8_t *payload)
{
    bool answer = frame->kind == DXI_KIND_NODE_ACK || frame->kind == DXI_KIND_NODE_NACK;
    struct dxi_decoder decoder = *before;
    struct dxi_envelope envelope;
    struct dxi_frame again;
    struct dxi_letter letter = {
        .data = payload,
        .size = answer ? 0 : frame->size,
        .kind = frame->kind,
        .more = frame->more,
        .descriptors = frame->descriptors,
        .id = frame->id,
        .handle_type = "net.Socket",
    };
    int status = trial->framing->encode(&letter, &envelope);

    if (status < 0) {
        require(may_refuse(trial->framing, frame));
        return;
    }
    size_t size = envelope.header_size + letter.size + envelope.trailer_size;
    uint8_t *bytes = malloc(size + 1);

    require(bytes != NULL);
    memcpy(bytes, envelope.header, envelope.header_size);
    memcpy(bytes + envelope.header_size, payload, letter.size);
    memcpy(bytes + envelope.header_size + letter.size, envelope.trailer, envelope.trailer_size);
    decoder.strip_cr = false;
    /* The answers have one form: it may be longer than the one that came and the limit. */
    if (answer)
        decoder.message_limit = sizeof(envelope.header);
    require(ask(trial->framing, &decoder, bytes, size, false, &again) == 1);
    require(dxi_frame_total(&again) == size);
    require(again.kind == frame->kind && again.more == frame->more && again.id == frame->id);
    require(again.descriptors == frame->descriptors);
    require(answer ||
            (again.size == frame->size && memcmp(bytes + again.header, payload, again.size) == 0));
    free(bytes);
}

static void encode_all(const struct trial *trial, const struct record *record)
{
    struct dxi_decoder decoder = trial->options;
    size_t start = 0;

    for (size_t i = 0; i < record->count; i++) {
        const struct dxi_frame *frame = &record->frames[i];

        encode_again(trial, &decoder, frame, trial->bytes + start + frame->header);
        trial->framing->consume(&decoder, frame);
        start += dxi_frame_total(frame);
    }
}

void run_decoder(const struct target *target, const uint8_t *data, size_t size)
{
    static struct record whole, portions;

    if (size < CHOICES)
        return;
    struct trial trial = choose(target, data, size);

    whole.count = whole.consumed = portions.count = portions.consumed = 0;
    whole.status = portions.status = 0;
    whole.assembled = portions.assembled = 0;
    whole.fault = portions.fault = (struct dxi_fault){0};
    see_whole(&trial, &whole);
    see_portions(&trial, &portions);
    compare(&trial, &whole, &portions);
    encode_all(&trial, &whole);
}
