/* SPDX-License-Identifier: MIT */
/*
 * docs/lane.md is enough to take part: a child that was written by it converses with a parent that
 * uses the library.
 */
#include "harness.h"

#include <duplex.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000, MESSAGES = 3000, SIZE_MAX_SENT = 200000 };

struct scene {
    dx_process *process;
    dx_channel *channel;
    uint8_t *bytes;
    unsigned seed;
};

static struct scene open_scene(dx_channel_type type)
{
    dx_failure failure = {0};
    dx_process_options options = {
        .channel = {.type = type, .ring_size = DX_RING_SIZE_MIN, .descriptor_limit = 2},
        .failure = &failure,
    };
    char *argv[] = {DUPLEX_TEST_PROGRAMS "/program_lane_stranger", NULL};
    struct scene scene = {.bytes = malloc(SIZE_MAX_SENT), .seed = 20260202};

    ck_assert_msg(dx_spawn(&scene.process, argv, &options) == 0, "%s", failure.text);
    scene.channel = dx_process_channel(scene.process);
    for (size_t i = 0; i < SIZE_MAX_SENT; i++)
        scene.bytes[i] = (uint8_t)(i * 7 + i / 256);
    return scene;
}

/* The child ends when it has heard the end and has said it. */
static void close_scene(struct scene *scene)
{
    dx_message message;
    dx_exit end;

    ck_assert_int_eq(dx_channel_end(scene->channel, PATIENCE_MS), 0);
    ck_assert_int_eq(dx_recv(scene->channel, &message, PATIENCE_MS), 0);
    ck_assert_int_eq(dx_process_wait(scene->process, &end, PATIENCE_MS), 0);
    ck_assert_msg(end.code == 0 && end.signal == 0, "the child left with %d, signal %d", end.code,
                  end.signal);
    dx_process_close(scene->process);
    free(scene->bytes);
}

static void send_one(struct scene *scene, size_t size, size_t descriptor_count)
{
    int descriptors[2];
    dx_message message = {
        .data = scene->bytes,
        .size = size,
        .descriptors = descriptors,
        .descriptor_count = descriptor_count,
    };

    for (size_t i = 0; i < descriptor_count; i++) {
        descriptors[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(descriptors[i], 0);
    }
    int sent = dx_send_message(scene->channel, &message, PATIENCE_MS);

    ck_assert_msg(sent == 0, "%s", dx_channel_explain(scene->channel));
}

static void receive_one(struct scene *scene, size_t size, size_t descriptor_count)
{
    dx_message message;
    struct stat ours, theirs;
    int status = dx_recv(scene->channel, &message, PATIENCE_MS);

    ck_assert_msg(status == 1, "%d: %s", status, dx_channel_explain(scene->channel));
    ck_assert_uint_eq(message.size, size);
    ck_assert_mem_eq(message.data, scene->bytes, size);
    ck_assert_uint_eq(message.descriptor_count, descriptor_count);
    ck_assert_int_eq(stat("/dev/null", &ours), 0);
    for (size_t i = 0; i < descriptor_count; i++) {
        ck_assert_int_eq(fstat(message.descriptors[i], &theirs), 0);
        ck_assert_uint_eq(theirs.st_rdev, ours.st_rdev);
    }
}

/* Mostly small, now and then more than the ring holds. */
static size_t some_size(struct scene *scene, unsigned number)
{
    unsigned most = number % 50 == 49 ? SIZE_MAX_SENT : 2000;

    return (size_t)rand_r(&scene->seed) % most;
}

static void converse(dx_channel_type type)
{
    struct scene scene = open_scene(type);

    for (unsigned i = 0; i < MESSAGES; i++) {
        size_t size = some_size(&scene, i);
        size_t descriptors = i % 7 == 6 ? 1 + i % 2 : 0;

        send_one(&scene, size, descriptors);
        receive_one(&scene, size, descriptors);
    }
    ck_assert_int_eq(dx_channel_is_fast(scene.channel), 1);
    close_scene(&scene);
}

START_TEST(test_a_child_by_the_document_converses_on_a_stream)
{
    converse(DX_STREAM);
}
END_TEST

START_TEST(test_a_child_by_the_document_converses_on_packets)
{
    converse(DX_SEQPACKET);
}
END_TEST

/* It waits for room, and so do we; each is woken by the other. */
START_TEST(test_a_child_by_the_document_is_sent_many_messages_at_once)
{
    enum { AT_ONCE = 400 };
    struct scene scene = open_scene(DX_STREAM);
    size_t sizes[AT_ONCE];

    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < AT_ONCE; i++) {
            sizes[i] = some_size(&scene, i);
            send_one(&scene, sizes[i], 0);
        }
        for (unsigned i = 0; i < AT_ONCE; i++)
            receive_one(&scene, sizes[i], 0);
    }
    ck_assert_int_eq(dx_channel_is_fast(scene.channel), 1);
    close_scene(&scene);
}
END_TEST

HARNESS_MAIN("wire lane stranger", TEST(test_a_child_by_the_document_converses_on_a_stream),
             TEST(test_a_child_by_the_document_converses_on_packets),
             TEST(test_a_child_by_the_document_is_sent_many_messages_at_once))
