/* SPDX-License-Identifier: MIT */
/*
 * See lanes.h.
 */
#include "lanes.h"

#include "wire/native.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_TO_A_LANE = 200 };

size_t lane_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    size_t count = 0;

    if (maps == NULL)
        abort();
    while (fgets(line, sizeof(line), maps))
        count += strstr(line, "/memfd:duplex") != NULL;
    fclose(maps);
    return count;
}

void run_on_lane(void (*test)(dx_channel_type type), dx_channel_type type)
{
    size_t before = lane_mappings();

    dxi_lane_worth = 0;
    test(type);
    ck_assert_msg(lane_mappings() == before, "%zu mappings of a lane were left behind",
                  lane_mappings() - before);
}

void make_fast(struct pair *pair)
{
    for (unsigned i = 0; i < ROUNDS_TO_A_LANE; i++) {
        if (dx_channel_is_fast(pair->near) == 1 && dx_channel_is_fast(pair->far) == 1)
            return;
        carry(pair->near, pair->far, i, 1);
        carry(pair->far, pair->near, i, 1);
    }
    ck_abort_msg("no lane after %d rounds", ROUNDS_TO_A_LANE);
}

struct pair open_lane_with(const dx_channel_options *options)
{
    struct pair pair = open_pair_with(options);

    make_fast(&pair);
    return pair;
}

struct pair open_lane(dx_channel_type type)
{
    return open_lane_with(&(dx_channel_options){.type = type});
}

struct dxi_ring_side *words_of(dx_channel *channel)
{
    return channel->lane.out.mine;
}

void forge(dx_channel *channel, const void *bytes, size_t size)
{
    struct dxi_ring_out *out = &channel->lane.out;

    memcpy(dxi_ring_place(out), bytes, size);
    out->tail += size;
    dxi_ring_publish(out);
}

static void make_header(uint8_t ret[DXI_HEADER_SIZE], uint32_t length, uint8_t kind,
                        uint16_t descriptors, uint64_t id)
{
    dxi_store32(ret, length);
    ret[4] = kind;
    ret[5] = 0;
    dxi_store16(ret + 6, descriptors);
    dxi_store64(ret + 8, id);
}

void forge_frame(dx_channel *channel, uint32_t length, uint8_t kind, uint16_t descriptors,
                 uint64_t id)
{
    uint8_t header[DXI_HEADER_SIZE];

    make_header(header, length, kind, descriptors, id);
    forge(channel, header, sizeof(header));
}

void forge_by_socket(dx_channel *channel, uint8_t kind, uint16_t descriptors, uint64_t id,
                     const int *passed, size_t passed_count)
{
    uint8_t header[DXI_HEADER_SIZE];
    struct iovec part = {.iov_base = header, .iov_len = sizeof(header)};

    make_header(header, 0, kind, descriptors, id);
    ck_assert_int_eq(dxi_linux.send(channel->write_fd, &part, 1, passed, passed_count),
                     DXI_HEADER_SIZE);
}

struct start {
    family_body *body;
    void *context;
};

/* The child's half of the way into the lane. */
static int begin_child(dx_channel *parent, void *context)
{
    struct start *start = context;
    dx_message message;

    alarm(120);
    do {
        harness_child_assert(dx_recv(parent, &message, DX_FOREVER) == 1);
        harness_child_assert(message.size == 1);
        harness_child_assert(dx_send(parent, message.data, 1, DX_FOREVER) == 0);
    } while (*(const char *)message.data == 'w');
    /* What the body does to the lane must not meet the answer. */
    harness_child_assert(dx_recv(parent, &message, DX_FOREVER) == 1);
    return start->body(parent, start->context);
}

struct family start_family_with(const dx_channel_options *ours, const dx_channel_options *theirs,
                                family_body *body, void *context)
{
    dx_failure failure = {0};
    dx_process_options options = {.channel = *ours, .child_channel = theirs, .failure = &failure};
    struct start start = {body, context};
    struct family family;
    dx_message message;
    const char *word = "w";

    int started = dx_fork(&family.process, begin_child, &start, &options);

    ck_assert_msg(started == 0, "%d: %s", started, failure.text);
    family.channel = dx_process_channel(family.process);
    for (unsigned i = 0; i < ROUNDS_TO_A_LANE; i++) {
        if (i == ROUNDS_TO_A_LANE - 1 || dx_channel_is_fast(family.channel) == 1)
            word = "W";
        ck_assert_int_eq(dx_send(family.channel, word, 1, 10000), 0);
        ck_assert_int_eq(dx_recv(family.channel, &message, 10000), 1);
        if (*word == 'W')
            break;
    }
    ck_assert_int_eq(dx_send(family.channel, word, 1, 10000), 0);
    bool wanted =
        !ours->socket_only && !(theirs != NULL && theirs->socket_only) && ours->type != DX_DGRAM;

    ck_assert_int_eq(dx_channel_is_fast(family.channel), wanted);
    return family;
}

struct family start_family(dx_channel_type type, family_body *body, void *context)
{
    return start_family_with(&(dx_channel_options){.type = type, .descriptor_limit = 253}, NULL,
                             body, context);
}

void end_family(struct family *family)
{
    dx_exit exit;

    int ended = dx_channel_end(family->channel, 1000);

    /* The child may have left by itself. */
    ck_assert_msg(ended == 0 || ended == -EPIPE, "%d: %s", ended,
                  dx_channel_explain(family->channel));
    ck_assert_int_eq(dx_process_wait(family->process, &exit, 10000 * slowness()), 0);
    ck_assert_msg(exit.kind == DX_EXIT_CODE && exit.code == 0, "the child: %s", exit.text);
    family->process = dx_process_close(family->process);
}

void bury_family(struct family *family)
{
    dx_exit exit;

    dx_process_stop(family->process, 0, &exit);
    family->process = dx_process_close(family->process);
}

uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}
