/* SPDX-License-Identifier: MIT */
/*
 * The targets that play a whole conversation. See play.h.
 */
#include "play.h"

#include "targets.h"

#include "channel/channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>

enum { CHOICES = 5 };

struct play play;

static const size_t limits[] = {0, 100, 3000, 70000};

void play_do(const char *who, const struct play_act *act)
{
    static int tells = -1;
    const uint8_t *at = world.at;

    if (tells < 0)
        tells = getenv("DUPLEX_FUZZ_TELL") != NULL;
    if (tells)
        fprintf(stderr, "%*s%s: %s\n", 2 * (int)play.depth, "", who, act->name);
    act->act();
    if (!tells)
        return;
    fprintf(stderr, "%*s%s: %s was it, with", 2 * (int)play.depth, "", who, act->name);
    for (; at < world.at; at++)
        fprintf(stderr, " %02x", *at);
    fprintf(stderr, "; \"%s\"\n", dx_channel_explain(play.channel));
}

/* The user's acts and the peer's, as they come. */
static void act_all(void)
{
    while (world.at < world.end)
        if (!peer_act())
            user_act();
}

/* Everything is over in the end, and is told as it was told before. */
static void conclude(void)
{
    unsigned turns = 0;

    memset(world.faults, 0, sizeof(world.faults));
    world.allocation = 0;
    world.ended = world.closed = true;
    while (!play.over) {
        world.calls = 0;
        user_receive(1);
        require(++turns < 10000);
    }
    user_receive(DX_NOW);
}

static void close_all(void)
{
    book_compare_received();
    dxi_channel_destroy(play.channel);
    require(world.closed_ends == play.ends);
    /* What has left by the ring is there still, if nobody wrote over it. */
    if (play.in_lane)
        peer_take(SIZE_MAX);
    book_compare();
}

static bool open_channel(const uint8_t *choices, bool lane)
{
    static const dx_channel_type types[] = {DX_STREAM, DX_STREAM, DX_SEQPACKET, DX_DGRAM};
    struct dxi_ends ends = {.read_fd = WORLD_READ_FD, .write_fd = WORLD_READ_FD};
    dx_channel_options *options = &play.options;

    options->framing = lane || choices[0] < 128 ? DX_FRAMING_NATIVE
                                                : (dx_framing)(choices[0] % (DX_FRAMING_RAW + 1));
    play.framing = dxi_framing_of(options->framing);
    options->type = play.framing->fragments ? types[choices[1] & 3] : DX_STREAM;
    if (lane && options->type == DX_DGRAM)
        options->type = DX_STREAM;
    options->message_limit = limits[choices[1] >> 2 & 3];
    options->request_limit = 4;
    options->descriptor_limit = play.framing->carries_descriptors ? choices[1] >> 4 & 3 : 0;
    options->spin_us = (choices[1] & 64) != 0 ? -1 : 1;
    options->trust_peer = (choices[1] & 128) != 0;
    options->socket_only = !lane && (choices[2] & 1) != 0;
    options->strip_cr = options->framing == DX_FRAMING_LINE && (choices[2] & 1) != 0;
    play.maker = ends.is_makers = (choices[2] & 2) != 0;
    __libc_single_threaded = (choices[2] & 4) == 0;
    world.one_processor = (choices[2] & 128) != 0;
    dxi_lane_worth = lane || (choices[2] & 8) != 0 ? 0 : 4;
    if (!lane && options->type == DX_STREAM && (choices[2] & 48) != 0) {
        /* Two descriptors, of any media. */
        ends.write_fd = WORLD_WRITE_FD;
        ends.read_medium = (enum dxi_medium)(choices[2] >> 4 & 3);
        ends.write_medium = (enum dxi_medium)(choices[3] & 3);
        if (ends.read_medium != DXI_MEDIUM_UNIX)
            options->descriptor_limit = 0;
    }
    if ((choices[3] & 4) != 0) {
        world.allocation = 1 + (choices[3] >> 3 & 7);
        play.failed = true;
    }
    world.type = dxi_channel_socket_type(options->type);
    require(dxi_channel_check_options(options) == 0);
    int status = dxi_channel_open(&play.channel, &ends, options);

    if (status < 0) {
        require(status == -ENOMEM && (choices[3] & 4) != 0);
        return false;
    }
    world.channel = play.channel;
    play.ends = ends.write_fd != ends.read_fd ? 3 : 1;
    if ((choices[3] & 64) != 0) {
        play.ends |= 4;
        dxi_channel_watch(play.channel, WORLD_PIDFD, true);
    }
    if ((choices[3] & 128) != 0 && !lane) {
        dxi_channel_lead_to_worker(play.channel);
        play.worker = true;
    }
    return true;
}

static void run(const uint8_t *data, size_t size, bool lane)
{
    char single_threaded = __libc_single_threaded;

    if (size < CHOICES)
        return;
    memset(&play, 0, offsetof(struct play, sends));
    play.send_count = play.got_count = 0;
    play.unbooked = play.unheard = play.in_lane = false;
    play.last_id = play.descriptors_said = 0;
    world_begin(data + CHOICES, size - CHOICES);
    world.act = peer_act;
    world_have_region((data[4] & 1) != 0);
    if (open_channel(data, lane)) {
        if (lane)
            peer_begin_lane((data[4] & 1) != 0);
        act_all();
        conclude();
        close_all();
    }
    __libc_single_threaded = single_threaded;
    world_end();
}

void run_conversation(const struct target *target, const uint8_t *data, size_t size)
{
    (void)target;
    run(data, size, false);
}

void run_lane(const struct target *target, const uint8_t *data, size_t size)
{
    (void)target;
    run(data, size, true);
}
