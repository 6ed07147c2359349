/* SPDX-License-Identifier: MIT */
#include "replay.h"

#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void check_same_decoder(const struct dxi_decoder *a, const struct dxi_decoder *b)
{
    ck_assert_uint_eq(a->needed, b->needed);
    ck_assert_uint_eq(a->scanned, b->scanned);
    ck_assert_int_eq(a->greeted, b->greeted);
    ck_assert_int_eq(a->continued, b->continued);
    ck_assert_uint_eq(a->assembled, b->assembled);
    ck_assert_int_eq(a->fault.violation, b->fault.violation);
    ck_assert_uint_eq(a->fault.value, b->fault.value);
    ck_assert_uint_eq(a->fault.limit, b->fault.limit);
}

static void check_same_frame(const struct dxi_frame *a, const struct dxi_frame *b)
{
    ck_assert_uint_eq(a->header, b->header);
    ck_assert_uint_eq(a->size, b->size);
    ck_assert_uint_eq(a->trailer, b->trailer);
    ck_assert_uint_eq(a->kind, b->kind);
    ck_assert_int_eq(a->more, b->more);
    ck_assert_uint_eq(a->descriptors, b->descriptors);
    ck_assert_uint_eq(a->id, b->id);
}

/* The short way for plain messages must see exactly what decode() sees. */
static void check_short_way(const struct dxi_decoder *decoder, const uint8_t *bytes, size_t size,
                            int status, const struct dxi_frame *frame)
{
    size_t payload = dxi_native_plain(decoder, bytes, size);
    bool plain = status == 1 && frame->kind == DXI_KIND_MESSAGE && !frame->more &&
                 frame->descriptors == 0 && !decoder->continued;

    ck_assert_int_eq(payload != SIZE_MAX, plain);
    if (plain)
        ck_assert_uint_eq(payload, frame->size);
}

static int decode_once(const struct dxi_framing *framing, struct dxi_decoder *decoder,
                       const uint8_t *bytes, size_t size, bool last, struct dxi_frame *ret)
{
    memset(ret, 0xa5, sizeof(*ret));
    return last ? framing->decode_last(decoder, bytes, size, ret)
                : framing->decode(decoder, bytes, size, ret);
}

int decode_twice(const struct dxi_framing *framing, struct dxi_decoder *decoder,
                 const uint8_t *bytes, size_t size, bool last, struct dxi_frame *ret)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);
    struct dxi_frame again;

    memcpy(exact, bytes, size);
    int status = decode_once(framing, decoder, exact, size, last, ret);
    struct dxi_decoder after = *decoder;

    ck_assert_int_eq(decode_once(framing, decoder, exact, size, last, &again), status);
    check_same_decoder(&after, decoder);
    if (status == 1)
        check_same_frame(ret, &again);
    if (framing == &dxi_framing_native)
        check_short_way(decoder, exact, size, status, ret);
    free(exact);
    return status;
}

void replay_begin(struct replay *replay, const struct vector *vector,
                  const struct dxi_framing *framing)
{
    *replay = (struct replay){.vector = vector, .framing = framing};
    replay->decoder.message_limit = vector->limit;
    replay->decoder.descriptor_limit = vector->accepts;
    replay->decoder.strip_cr = vector->strip_cr;
    if (vector->lane)
        replay->decoder.words = 1U << DXI_KIND_OFFER;
}

static const struct sight *next_sight(struct replay *replay, uint8_t kind)
{
    const struct vector *vector = replay->vector;

    ck_assert_msg(replay->seen < vector->sight_count, "'%s': more is seen than was sent",
                  vector->name);
    const struct sight *sight = &vector->sights[replay->seen++];

    ck_assert_msg(sight->kind == kind, "'%s': sight %zu is of another kind", vector->name,
                  replay->seen);
    return sight;
}

static void see_hello(struct replay *replay, const uint8_t *payload, size_t size)
{
    struct dxi_hello hello;

    if (dxi_hello_decode(payload, size, &hello, &replay->fault) < 0) {
        replay->broken = true;
        return;
    }
    const struct dxi_hello *said = &next_sight(replay, DXI_KIND_HELLO)->hello;

    ck_assert_uint_eq(hello.version, said->version);
    ck_assert_uint_eq(hello.descriptor_limit, said->descriptor_limit);
    ck_assert_uint_eq(hello.features, said->features);
    ck_assert_uint_eq(hello.message_limit, said->message_limit);
    ck_assert_uint_eq(hello.request_limit, said->request_limit);
}

/* It is declined: nothing more of a lane may come. */
static void see_offer(struct replay *replay, const uint8_t *payload)
{
    const struct dxi_offer *said = &next_sight(replay, DXI_KIND_OFFER)->offer;
    struct dxi_offer offer;

    dxi_offer_decode(payload, &offer);
    ck_assert_uint_eq(offer.version, said->version);
    ck_assert_uint_eq(offer.control_size, said->control_size);
    ck_assert_uint_eq(offer.ring_size, said->ring_size);
    replay->decoder.words = 0;
}

static void see_piece(struct replay *replay, const struct dxi_frame *frame, const uint8_t *payload)
{
    struct bytes *message = &replay->message;

    message->data = realloc(message->data, message->size + frame->size + 1);
    memcpy(message->data + message->size, payload, frame->size);
    message->size += frame->size;
    if (frame->more)
        return;
    const struct sight *sight = next_sight(replay, frame->kind);
    const struct bytes *said = &sight->message;
    size_t before = frame->kind == DXI_KIND_ERROR ? DXI_ERROR_SIZE_MIN : 0;

    ck_assert_uint_eq(frame->id, sight->id);
    if (before > 0)
        ck_assert_int_eq((int32_t)dxi_load32(message->data), sight->code);
    ck_assert_msg(message->size == before + said->size &&
                      memcmp(message->data + before, said->data, said->size) == 0,
                  "'%s': message %zu differs", replay->vector->name, replay->seen);
    message->size = 0;
}

void replay_show(struct replay *replay, const uint8_t *stream, size_t size, bool last)
{
    struct dxi_decoder *decoder = &replay->decoder;
    struct dxi_frame frame;

    while (!replay->broken) {
        const uint8_t *bytes = stream + replay->start;
        int status =
            decode_twice(replay->framing, decoder, bytes, size - replay->start, last, &frame);

        if (status == 0) {
            ck_assert_uint_gt(decoder->needed, last ? 0 : size - replay->start);
            return;
        }
        if (status < 0) {
            ck_assert_int_eq(status, -EPROTO);
            replay->broken = true;
            replay->fault = decoder->fault;
            return;
        }
        ck_assert_uint_le(dxi_frame_total(&frame), size - replay->start);
        if (frame.kind == DXI_KIND_HELLO)
            see_hello(replay, bytes + frame.header, frame.size);
        else if (frame.kind == DXI_KIND_OFFER)
            see_offer(replay, bytes + frame.header);
        else
            see_piece(replay, &frame, bytes + frame.header);
        replay->framing->consume(decoder, &frame);
        replay->start += dxi_frame_total(&frame);
        ck_assert_uint_eq(decoder->assembled, replay->message.size);
    }
}

void replay_end(struct replay *replay, size_t stream_size)
{
    const struct vector *vector = replay->vector;
    size_t rest = stream_size - replay->start;

    ck_assert_msg(replay->seen == vector->sight_count, "'%s': %zu of %zu were seen", vector->name,
                  replay->seen, vector->sight_count);
    ck_assert_msg(replay->broken == (vector->outcome == BAD), "'%s': it %s the protocol",
                  vector->name, replay->broken ? "breaks" : "does not break");
    if (vector->outcome == BAD) {
        ck_assert_str_eq(violation_name(replay->fault.violation),
                         violation_name(vector->violation));
        if (vector->has_numbers) {
            ck_assert_uint_eq(replay->fault.value, vector->value);
            ck_assert_uint_eq(replay->fault.limit, vector->value_limit);
        }
    } else {
        ck_assert_msg((rest > 0 || replay->decoder.continued) == (vector->outcome == CUT),
                      "'%s': %zu bytes are left", vector->name, rest);
    }
    if (vector->outcome == CUT)
        ck_assert_uint_eq(replay->decoder.needed, vector->needed);
    free(replay->message.data);
}
