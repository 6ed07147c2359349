/* SPDX-License-Identifier: MIT */
/*
 * Scenarios: channels without a child, of descriptors that exist, and as a child claims them.
 */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A conversation that one thread has with itself, so each message is small enough to lie in a buffer. */
static void converse(dx_channel *near, dx_channel *far, unsigned count)
{
    struct talk *there = &stage->talks[0], *back = &stage->talks[1];
    dx_message message;
    int status = 0;

    for (unsigned i = 0; i < count && status == 0; i++) {
        status = tell(near, there, 100 + i);
        if (status == 0)
            status = hear(far, there, &message) == 1 ? tell(far, back, 2000) : -1;
        if (status == 0)
            status = hear(near, back, &message) == 1 ? 0 : -1;
    }
    finish(near, there);
    finish(far, back);
    if (status == 0 && there->ended && back->ended) {
        (void)hear_out(far, there);
        (void)hear_out(near, back);
    }
}

static void close_both(dx_channel *near, dx_channel *far)
{
    if (dx_channel_close(near) != NULL || dx_channel_close(far) != NULL)
        complain("dx_channel_close() answered something");
}

static void play_pair_of(dx_channel_type type)
{
    dx_failure failure = {0};
    const dx_channel_options options = {.type = type,
                                        .descriptor_limit = 1,
                                        .socket_buffer = 60000,
                                        .spin_us = -1,
                                        .failure = &failure};
    dx_channel *ends[2];
    int status = dx_channel_pair(ends, &options);

    if (!went(status, "dx_channel_pair()", failure.text, 0)) {
        if (failure.error != status)
            complain("dx_channel_pair() answered %d, and explains %d", status, failure.error);
        return;
    }
    converse(ends[0], ends[1], 4);
    close_both(ends[0], ends[1]);
}

static void play_pair(void)
{
    play_pair_of(DX_STREAM);
}

static void play_pair_of_packets(void)
{
    play_pair_of(DX_SEQPACKET);
}

static void play_pair_of_datagrams(void)
{
    not_told();
    play_pair_of(DX_DGRAM);
}

/* The scenario's own. */
static void make_sockets(int ret[2])
{
    fault_mute();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret) < 0)
        complain("no sockets can be made for the scenario itself");
    fault_unmute();
}

static void make_pipes(int ret[4])
{
    fault_mute();
    if (pipe2(ret, O_CLOEXEC) < 0 || pipe2(ret + 2, O_CLOEXEC) < 0)
        complain("no pipes can be made for the scenario itself");
    fault_unmute();
}

static void close_own(int fd)
{
    fault_mute();
    close(fd);
    fault_unmute();
}

/* What is not the channel's after a failure is ours still. */
static dx_channel *attach(int read_fd, int write_fd, const dx_channel_options *options)
{
    dx_failure failure = {0};
    dx_channel_options own = *options;
    dx_channel *channel = NULL;
    int status = -EAGAIN;

    own.failure = &failure;
    own.spin_us = -1;
    for (int tries = 0; tries < 2 && status < 0; tries++) {
        status = dx_channel_attach(&channel, read_fd, write_fd, &own);
        (void)went(status, "dx_channel_attach()", failure.text, 0);
    }
    if (status < 0) {
        close_own(read_fd);
        if (write_fd != read_fd)
            close_own(write_fd);
        return NULL;
    }
    return channel;
}

static void converse_if_both(dx_channel *near, dx_channel *far)
{
    if (near != NULL && far != NULL)
        converse(near, far, 4);
    close_both(near, far);
}

static void play_attach(void)
{
    int fds[2];

    make_sockets(fds);
    dx_channel *near = attach(fds[0], fds[0], &(dx_channel_options){.descriptor_limit = 1});
    dx_channel *far = attach(fds[1], fds[1], &(dx_channel_options){0});

    converse_if_both(near, far);
}

static void play_attach_pipes(void)
{
    not_told();
    const dx_channel_options options = {.framing = DX_FRAMING_U32};
    int fds[4];

    make_pipes(fds);
    dx_channel *near = attach(fds[0], fds[3], &options);
    dx_channel *far = attach(fds[2], fds[1], &options);

    converse_if_both(near, far);
}

/* As a program does that was given a socket by name; the parent is this process, too. */
static void play_claim(void)
{
    dx_failure failure = {0};
    const dx_channel_options options = {.spin_us = -1, .failure = &failure};
    char number[16];
    dx_channel *far = NULL;
    int fds[2];

    make_sockets(fds);
    dx_channel *near = attach(fds[0], fds[0], &(dx_channel_options){0});

    snprintf(number, sizeof(number), "%d", fds[1]);
    setenv("DUPLEX_FD", number, 1);
    int status = dx_channel_to_parent(&far, &options);

    /* What was not claimed can be claimed again. */
    if (!went(status, "dx_channel_to_parent()", failure.text, 0)) {
        status = dx_channel_to_parent(&far, &options);
        (void)went(status, "dx_channel_to_parent()", failure.text, 0);
    }
    if (status < 0)
        close_own(fds[1]);
    unsetenv("DUPLEX_FD");
    converse_if_both(near, far);
}

/* The same by standard input and output, which become others then. */
static void claim_stdio(int input, int output, dx_channel *near)
{
    dx_failure failure = {0};
    const dx_channel_options options = {.spin_us = -1, .failure = &failure};
    const dx_claim claim = {.handover = DX_HANDOVER_STDIO};
    dx_channel *far = NULL;
    int saved[2];

    fault_mute();
    for (int i = 0; i < 2; i++)
        saved[i] = dup(i);
    dup2(input, 0);
    dup2(output, 1);
    close(input);
    if (output != input)
        close(output);
    fault_unmute();
    int status = dx_channel_claim(&far, &claim, &options);

    if (!went(status, "dx_channel_claim()", failure.text, 0)) {
        status = dx_channel_claim(&far, &claim, &options);
        (void)went(status, "dx_channel_claim()", failure.text, 0);
    }
    /* The conversation ends, and not by what somebody printed. */
    fault_mute();
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    fault_unmute();
    converse_if_both(near, far);
}

static void play_claim_stdio(void)
{
    int fds[2];

    make_sockets(fds);
    claim_stdio(fds[1], fds[1], attach(fds[0], fds[0], &(dx_channel_options){0}));
}

static void play_claim_pipes(void)
{
    not_told();
    int fds[4];

    make_pipes(fds);
    dx_channel *near = attach(fds[0], fds[3], &(dx_channel_options){0});

    claim_stdio(fds[2], fds[1], near);
}

/* Many are collected, and flushed. */
static void play_cork(void)
{
    const dx_channel_options options = {.spin_us = -1};
    struct talk *talk = &stage->talks[0];
    dx_channel *ends[2];
    dx_message message;
    int status = dx_channel_pair(ends, &options);

    if (!went(status, "dx_channel_pair()", "-", 0))
        return;
    (void)went(dx_cork(ends[0]), "dx_cork()", dx_channel_explain(ends[0]), 0);
    for (unsigned i = 0; i < 20 && status == 0; i++)
        status = tell(ends[0], talk, 3000 + i);
    for (int tries = 0; tries < 2; tries++) {
        int flushed = dx_flush(ends[0], stage->patience_ms);

        if (went(flushed, "dx_flush()", dx_channel_explain(ends[0]), 0) || !is_passing(flushed))
            break;
    }
    while (status == 0 && talk->heard < talk->said)
        status = hear(ends[1], talk, &message) == 1 ? 0 : -1;
    finish(ends[0], talk);
    if (status == 0 && talk->ended)
        (void)hear_out(ends[1], talk);
    close_both(ends[0], ends[1]);
}

/* The way of an event loop. */
static int turn(dx_channel *channel, int *ret_news)
{
    struct pollfd polled = {.fd = dx_channel_fd(channel)};
    int events = dx_channel_events(channel);
    int timeout_ms = dx_channel_timeout_ms(channel);

    if (!went(events, "dx_channel_events()", dx_channel_explain(channel), 0))
        return events;
    polled.events = (short)events;
    if (timeout_ms < 0 || timeout_ms > stage->patience_ms)
        timeout_ms = stage->patience_ms;
    fault_mute();
    int ready = poll(&polled, 1, timeout_ms);

    fault_unmute();
    if (ready == 0 && timeout_ms == stage->patience_ms)
        complain("nothing happens in the loop");
    *ret_news = dx_channel_process(channel);
    return ready;
}

static void play_loop(void)
{
    const dx_channel_options options = {.spin_us = -1};
    struct talk *talk = &stage->talks[0];
    dx_channel *ends[2];
    dx_message message;
    int status = dx_channel_pair(ends, &options);

    if (!went(status, "dx_channel_pair()", "-", 0))
        return;
    for (unsigned i = 0; i < 3 && status == 0; i++)
        status = tell(ends[0], talk, 1000);
    finish(ends[0], talk);
    while (status == 0 && !talk->end_seen && !stage->complained) {
        int news = 0, heard = 1;

        if (turn(ends[1], &news) < 0)
            break;
        while (news > 0 && (heard = dx_recv(ends[1], &message, DX_NOW)) == 1)
            check_words(talk, message.data, message.size);
        if (heard == 0)
            talk->end_seen = true;
        else if (heard < 0 && !went(heard, "dx_recv()", dx_channel_explain(ends[1]), ETIMEDOUT) &&
                 !is_passing(heard))
            break;
    }
    close_both(ends[0], ends[1]);
}

const struct scenario scenarios_of_channels[] = {
    {"pair", play_pair, NULL},
    {"packet-pair", play_pair_of_packets, NULL},
    {"dgram-pair", play_pair_of_datagrams, NULL},
    {"attach", play_attach, NULL},
    {"attach-pipes", play_attach_pipes, NULL},
    {"claim", play_claim, NULL},
    {"claim-stdio", play_claim_stdio, NULL},
    {"claim-pipes", play_claim_pipes, NULL},
    {"cork", play_cork, NULL},
    {"loop", play_loop, NULL},
    {NULL, NULL, NULL},
};
