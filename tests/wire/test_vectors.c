/* SPDX-License-Identifier: MIT */
/*
 * The decoders and encoders of src/wire against every test vector, in portions of every kind.
 */
#include "harness.h"
#include "replay.h"
#include "vectors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Longer streams are cut at random places only: each place of each would take the square of them.
 */
enum { EACH_PLACE_MAX = 1024 / WIRE_PART, ROUNDS = 40 / WIRE_PART };

/* A file of vectors for each framing that has borders, and how many it has at least. */
static const struct file {
    const struct dxi_framing *framing;
    const char *name;
    size_t least;
} files[] = {
    {&dxi_framing_native, "native.txt", 80},
    {&dxi_framing_native, "lane.txt", 20},
    {&dxi_framing_line, "line.txt", 25},
    {&dxi_framing_nul, "nul.txt", 12},
    {&dxi_framing_netstring, "netstring.txt", 20},
    {&dxi_framing_u8, "u8.txt", 6},
    {&dxi_framing_u16, "u16.txt", 8},
    {&dxi_framing_u32, "u32.txt", 8},
    {&dxi_framing_python, "python.txt", 14},
    {&dxi_framing_content_length, "content-length.txt", 35},
    {&dxi_framing_pkt_line, "pkt-line.txt", 20},
    {&dxi_framing_node, "node.txt", 60},
};

enum { FILE_COUNT = sizeof(files) / sizeof(*files) };

struct run {
    const struct dxi_framing *framing;
    unsigned seed;
    size_t count; /* vectors that were looked at */
};

static void each_file(void (*visit)(const struct vector *, void *), struct run *run)
{
    for (size_t i = 0; i < FILE_COUNT; i++) {
        run->framing = files[i].framing;
        size_t count = vectors_each(DUPLEX_TEST_SOURCE, files[i].name, visit, run);

        ck_assert_msg(count >= files[i].least, "%s has only %zu vectors", files[i].name, count);
    }
}

/* Whether the bytes alone tell how it goes. */
static bool of_bytes(const struct vector *vector)
{
    return vector->outcome != REFUSED && violation_in_bytes(vector->violation);
}

static void show_whole(const struct vector *vector, void *context)
{
    struct run *run = context;
    struct replay replay;

    if (!of_bytes(vector))
        return;
    struct bytes stream = vector_stream(vector);

    replay_begin(&replay, vector, run->framing);
    replay_show(&replay, stream.data, stream.size, true);
    replay_end(&replay, stream.size);
    free(stream.data);
    run->count++;
}

START_TEST(test_each_vector_means_what_it_says)
{
    each_file(show_whole, &(struct run){0});
}
END_TEST

static void show_split(const struct vector *vector, void *context)
{
    struct run *run = context;
    struct replay replay;

    if (!of_bytes(vector))
        return;
    struct bytes stream = vector_stream(vector);

    for (size_t place = 0; place <= stream.size && stream.size <= EACH_PLACE_MAX; place++) {
        replay_begin(&replay, vector, run->framing);
        replay_show(&replay, stream.data, place, false);
        replay_show(&replay, stream.data, stream.size, false);
        replay_show(&replay, stream.data, stream.size, true);
        replay_end(&replay, stream.size);
    }
    free(stream.data);
    run->count++;
}

START_TEST(test_each_vector_means_the_same_cut_in_two_at_any_place)
{
    each_file(show_split, &(struct run){0});
}
END_TEST

static void show_bytes(const struct vector *vector, void *context)
{
    struct run *run = context;
    struct replay replay;

    if (!of_bytes(vector))
        return;
    struct bytes stream = vector_stream(vector);

    if (stream.size <= EACH_PLACE_MAX) {
        replay_begin(&replay, vector, run->framing);
        for (size_t size = 0; size <= stream.size; size++)
            replay_show(&replay, stream.data, size, size == stream.size);
        replay_end(&replay, stream.size);
    }
    free(stream.data);
    run->count++;
}

START_TEST(test_each_vector_means_the_same_byte_by_byte)
{
    each_file(show_bytes, &(struct run){0});
}
END_TEST

/* A receiver reads only when it is told that it lacks bytes, and then as many as come. */
static void show_random(const struct vector *vector, void *context)
{
    struct run *run = context;
    struct replay replay;

    if (!of_bytes(vector))
        return;
    struct bytes stream = vector_stream(vector);

    for (int round = 0; round < ROUNDS; round++) {
        size_t size = 0;

        replay_begin(&replay, vector, run->framing);
        while (size < stream.size) {
            size_t left = stream.size - size;
            size_t most = rand_r(&run->seed) % 2 == 0 ? 20 : left;

            size += 1 + (size_t)rand_r(&run->seed) % (most < left ? most : left);
            if (size - replay.start >= replay.decoder.needed)
                replay_show(&replay, stream.data, size, false);
        }
        replay_show(&replay, stream.data, stream.size, true);
        replay_end(&replay, stream.size);
        /* Long streams are slow byte by byte, and all alike. */
        if (stream.size > EACH_PLACE_MAX && round > 1)
            break;
    }
    free(stream.data);
    run->count++;
}

START_TEST(test_each_vector_means_the_same_in_random_portions)
{
    each_file(show_random, &(struct run){.seed = 20260101});
}
END_TEST

static void put(struct bytes *bytes, const void *data, size_t size)
{
    bytes->data = realloc(bytes->data, bytes->size + size + 1);
    if (size > 0)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

static void encode(const struct dxi_framing *framing, const struct dxi_letter *letter,
                   struct bytes *ret)
{
    struct dxi_envelope envelope;

    memset(&envelope, 0xa5, sizeof(envelope));
    ck_assert_int_eq(framing->encode(letter, &envelope), 0);
    put(ret, envelope.header, envelope.header_size);
    put(ret, letter->data, letter->size);
    put(ret, envelope.trailer, envelope.trailer_size);
}

static void encode_hello(const struct dxi_framing *framing, const struct dxi_hello *hello,
                         struct bytes *ret)
{
    uint8_t payload[DXI_HELLO_SIZE];
    struct dxi_letter letter = {.data = payload, .size = sizeof(payload), .kind = DXI_KIND_HELLO};

    dxi_hello_encode(hello, payload);
    encode(framing, &letter, ret);
}

static void encode_offer(const struct dxi_framing *framing, const struct dxi_offer *offer,
                         struct bytes *ret)
{
    uint8_t payload[DXI_OFFER_SIZE];
    struct dxi_letter letter = {
        .data = payload, .size = sizeof(payload), .kind = DXI_KIND_OFFER, .descriptors = 1};

    dxi_offer_encode(offer, payload);
    encode(framing, &letter, ret);
}

static void encode_message(const struct vector *vector, const struct dxi_framing *framing,
                           const struct sight *sight, struct bytes *ret)
{
    size_t piece = vector->pieces > 0 ? vector->pieces : SIZE_MAX;
    struct bytes payload = {0};
    size_t done = 0;
    struct dxi_letter letter;

    if (sight->kind == DXI_KIND_ERROR) {
        uint8_t code[DXI_ERROR_SIZE_MIN];

        dxi_store32(code, (uint32_t)sight->code);
        put(&payload, code, sizeof(code));
        piece = SIZE_MAX;
    }
    if (sight->kind != DXI_KIND_NODE_ACK && sight->kind != DXI_KIND_NODE_NACK)
        put(&payload, sight->message.data, sight->message.size);
    do {
        size_t left = payload.size - done;

        letter = (struct dxi_letter){
            .data = payload.data + done,
            .size = left < piece ? left : piece,
            .kind = (uint8_t)sight->kind,
            .more = left > piece,
            .descriptors = done == 0 ? (uint16_t)sight->descriptors : 0,
            .id = sight->id,
            .handle_type = vector->handle_type,
        };
        encode(framing, &letter, ret);
        done += letter.size;
    } while (letter.more);
    free(payload.data);
}

static void check_encoder(const struct vector *vector, void *context)
{
    struct run *run = context;

    if (vector->outcome != GOOD || vector->decode_only)
        return;
    struct bytes stream = vector_stream(vector);
    struct bytes made = {.data = malloc(1)};

    for (size_t i = 0; i < vector->sight_count; i++) {
        if (vector->sights[i].kind == DXI_KIND_HELLO)
            encode_hello(run->framing, &vector->sights[i].hello, &made);
        else if (vector->sights[i].kind == DXI_KIND_OFFER)
            encode_offer(run->framing, &vector->sights[i].offer, &made);
        else
            encode_message(vector, run->framing, &vector->sights[i], &made);
    }
    ck_assert_msg(made.size == stream.size && memcmp(made.data, stream.data, made.size) == 0,
                  "'%s': the encoder makes other bytes", vector->name);
    free(made.data);
    free(stream.data);
    run->count++;
}

START_TEST(test_the_encoder_makes_the_bytes_of_each_good_vector)
{
    struct run run = {0};

    each_file(check_encoder, &run);
    ck_assert_uint_gt(run.count, 90);
}
END_TEST

static void check_refusal(const struct vector *vector, void *context)
{
    struct run *run = context;
    struct dxi_envelope envelope;

    if (vector->outcome != REFUSED)
        return;
    for (size_t i = 0; i < vector->sight_count; i++) {
        const struct bytes *message = &vector->sights[i].message;
        struct dxi_letter letter = {
            .data = message->data,
            .size = message->size,
            .kind = (uint8_t)vector->sights[i].kind,
            .descriptors = (uint16_t)vector->sights[i].descriptors,
            .handle_type = vector->handle_type,
        };

        ck_assert_msg(run->framing->encode(&letter, &envelope) == -EINVAL, "'%s' is not refused",
                      vector->name);
        run->count++;
    }
}

START_TEST(test_the_encoder_refuses_what_it_must_refuse)
{
    struct run run = {0};

    each_file(check_refusal, &run);
    ck_assert_uint_ge(run.count, 35);
}
END_TEST

static void check_frames(const struct vector *vector, void *context)
{
    struct run *run = context;
    struct dxi_decoder decoder = {
        .message_limit = vector->limit,
        .descriptor_limit = vector->accepts,
        .strip_cr = vector->strip_cr,
        .words = vector->lane ? 1U << DXI_KIND_OFFER : 0,
    };

    if (vector->outcome != GOOD)
        return;
    for (size_t i = 0; i < vector->send_count; i++) {
        const struct send *send = &vector->sends[i];
        struct dxi_frame frame;
        int status =
            run->framing->decode_last(&decoder, send->bytes.data, send->bytes.size, &frame);

        ck_assert_msg(status == 1 && dxi_frame_total(&frame) == send->bytes.size,
                      "'%s': line %zu is not one frame", vector->name, i + 1);
        ck_assert_uint_eq(frame.descriptors, send->came);
        run->framing->consume(&decoder, &frame);
    }
    run->count++;
}

START_TEST(test_each_line_of_bytes_of_a_good_vector_is_one_frame)
{
    each_file(check_frames, &(struct run){0});
}
END_TEST

static void note_violation(const struct vector *vector, void *context)
{
    bool *seen = context;

    seen[vector->violation] = true;
}

START_TEST(test_each_violation_has_a_vector)
{
    bool seen[DXI_VIOLATION_NODE_HANDLE + 1] = {false};

    for (size_t i = 0; i < FILE_COUNT; i++)
        vectors_each(DUPLEX_TEST_SOURCE, files[i].name, note_violation, seen);
    /* test_sockets.c makes these: a packet that is too large would be a long line, and no line can
     * say what comes to one who is in the fast lane. */
    for (int i = DXI_VIOLATION_NONE + 1; i <= DXI_VIOLATION_NODE_HANDLE; i++)
        ck_assert_msg(seen[i] || i == DXI_VIOLATION_PACKET || i == DXI_VIOLATION_LANE_OUTSIDE ||
                          i == DXI_VIOLATION_RING,
                      "no vector has the violation '%s'", violation_name((enum dxi_violation)i));
}
END_TEST

HARNESS_MAIN("wire vectors", TEST(test_each_vector_means_what_it_says),
             TEST(test_each_vector_means_the_same_cut_in_two_at_any_place),
             TEST(test_each_vector_means_the_same_byte_by_byte),
             TEST(test_each_vector_means_the_same_in_random_portions),
             TEST(test_the_encoder_makes_the_bytes_of_each_good_vector),
             TEST(test_the_encoder_refuses_what_it_must_refuse),
             TEST(test_each_line_of_bytes_of_a_good_vector_is_one_frame),
             TEST(test_each_violation_has_a_vector))
