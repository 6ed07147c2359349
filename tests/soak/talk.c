/* SPDX-License-Identifier: MIT */
/*
 * How a conversation of the soak begins, and how it ends.
 */
#include "talk.h"

#include "channel/lane.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TALK_DESCRIPTORS = 4, DEPARTS_WITHIN = 20 };

struct plan {
    enum soak_manner manner;
    unsigned patience;
};

static int live(dx_channel *parent, void *context)
{
    const struct plan *plan = context;

    return soak_partner(parent, plan->manner, plan->patience);
}

/* The sizes that a framing can carry; it has no empty messages, or needs two quotation marks. */
static void choose_sizes(struct soak_talk *talk)
{
    talk->least = 0;
    talk->most = talk->other ? SOAK_PAIR_BYTES_MAX : SOAK_MESSAGE_MAX;
    switch (talk->framing) {
    case DX_FRAMING_U8:
        talk->most = 255;
        break;
    case DX_FRAMING_U16:
    case DX_FRAMING_PKT_LINE:
        if (talk->most > 65516)
            talk->most = 65516;
        talk->least = talk->framing == DX_FRAMING_PKT_LINE;
        break;
    case DX_FRAMING_NODE:
        talk->least = 2;
        break;
    case DX_FRAMING_RAW:
        talk->least = 1;
        break;
    default:
        break;
    }
}

static void choose_channel(struct soak *soak, struct soak_talk *talk, dx_channel_options *ret)
{
    static const size_t rings[] = {0, DX_RING_SIZE_MIN, 128 << 10};
    static const unsigned worth[] = {0, 4, 32};

    talk->framing = soak_one_in(soak, 3) ? (dx_framing)soak_random(soak, DX_FRAMING_RAW + 1)
                                         : DX_FRAMING_NATIVE;
    bool native = talk->framing == DX_FRAMING_NATIVE;

    dxi_lane_worth = worth[soak_random(soak, 3)];
    talk->trusting = native && soak_one_in(soak, 4);
    talk->carries = native && soak_one_in(soak, 2);
    talk->calls = !native && talk->framing != DX_FRAMING_RAW && soak_one_in(soak, 2);
    *ret = (dx_channel_options){
        .type = native ? (dx_channel_type)soak_random(soak, 3) : DX_STREAM,
        .framing = talk->framing,
        .message_limit = SOAK_MESSAGE_MAX,
        .descriptor_limit = talk->carries ? TALK_DESCRIPTORS : 0,
        .socket_only = soak_one_in(soak, 3),
        .ring_size = rings[soak_random(soak, 3)],
        .trust_peer = talk->trusting,
        .spin_us = soak_one_in(soak, 2) ? -1 : 0,
    };
}

static int open_pair(struct soak_talk *talk, const dx_channel_options *options)
{
    dx_channel *ends[2];
    int status = dx_channel_pair(ends, options);

    if (status < 0)
        return status;
    talk->mine = ends[0];
    talk->other = ends[1];
    talk->is_partner = talk->framing == DX_FRAMING_NATIVE;
    return 0;
}

static int fork_partner(struct soak_talk *talk, struct plan *plan,
                        const dx_process_options *options)
{
    talk->is_partner = talk->framing == DX_FRAMING_NATIVE;
    return dx_fork(&talk->process, live, plan, options);
}

/* The program knows the native framing only. */
static int spawn_partner(struct soak_talk *talk, const struct plan *plan,
                         dx_process_options *options)
{
    char manner[16], patience[16];
    char *argv[] = {(char *)soak_program, (char *)"talk", manner, patience, NULL};

    snprintf(manner, sizeof(manner), "%d", (int)plan->manner);
    snprintf(patience, sizeof(patience), "%u", plan->patience);
    talk->is_partner = true;
    talk->calls = false;
    options->channel.framing = talk->framing = DX_FRAMING_NATIVE;
    return dx_spawn(&talk->process, argv, options);
}

/* cat(1) speaks any framing that has no greeting. */
static int spawn_cat(struct soak_talk *talk, struct plan *plan, dx_process_options *options,
                     bool pipes)
{
    char *argv[] = {(char *)"cat", NULL};

    talk->carries = talk->is_partner = false;
    options->channel.descriptor_limit = 0;
    talk->manner = plan->manner = SOAK_ECHO;
    talk->doomed = false;
    options->handover = pipes ? DX_HANDOVER_PIPES : DX_HANDOVER_STDIO;
    return dx_spawn(&talk->process, argv, options);
}

static int open_with_child(struct soak *soak, struct soak_talk *talk, dx_channel_options *channel)
{
    struct plan plan = {SOAK_ECHO, soak_random(soak, DEPARTS_WITHIN)};
    dx_process_options options = {
        .channel = *channel,
        .die_with_parent = soak_one_in(soak, 2),
        .group = (dx_group)soak_random(soak, 3),
        .stop_end_ms = 1 + (int)soak_random(soak, 20),
        .stop_term_ms = 1 + (int)soak_random(soak, 20),
    };
    int status;

    if (soak_one_in(soak, 2))
        plan.manner = (enum soak_manner)soak_random(soak, SOAK_MANNERS);
    /* Bytes that are no frame are some in other framings. */
    if (talk->framing != DX_FRAMING_NATIVE && plan.manner >= SOAK_GARBAGE)
        plan.manner = SOAK_ECHO;
    talk->manner = plan.manner;
    talk->doomed = plan.manner != SOAK_ECHO && plan.manner != SOAK_STUBBORN;
    if (talk->framing != DX_FRAMING_NATIVE && soak_one_in(soak, 2))
        status = spawn_cat(talk, &plan, &options, soak_one_in(soak, 2));
    else if (talk->framing == DX_FRAMING_NATIVE && soak_one_in(soak, 2))
        status = spawn_partner(talk, &plan, &options);
    else
        status = fork_partner(talk, &plan, &options);
    if (status < 0)
        return status;
    soak->started++;
    talk->mine = dx_process_channel(talk->process);
    return 0;
}

struct soak_talk *soak_talk_open(struct soak *soak)
{
    struct soak_talk *talk = calloc(1, sizeof(*talk));
    dx_channel_options options;
    int status;

    if (!talk)
        return NULL;
    choose_channel(soak, talk, &options);
    /* Node's framing has an end to be waited for in the midst of a send: with a child only. */
    if (talk->framing != DX_FRAMING_NODE && soak_one_in(soak, 3))
        status = open_pair(talk, &options);
    else
        status = open_with_child(soak, talk, &options);
    if (status < 0) {
        soak_fail(soak, "a conversation cannot begin: %s", dx_error_text(status));
        free(talk);
        return NULL;
    }
    choose_sizes(talk);
    snprintf(talk->what, sizeof(talk->what), "%s, framing %s, type %d, worth %u%s%s%s, manner %d",
             talk->other        ? "a pair"
             : talk->is_partner ? "a partner"
                                : "a filter or function",
             dx_framing_name(talk->framing), (int)options.type, dxi_lane_worth,
             options.socket_only ? ", by the socket" : "", talk->trusting ? ", trusting" : "",
             talk->carries ? ", with descriptors" : "", (int)talk->manner);
    return talk;
}

struct soak_talk *soak_talk_veteran(struct soak *soak)
{
    struct soak_talk *talk = calloc(1, sizeof(*talk));
    struct plan plan = {SOAK_ECHO, 0};
    dx_process_options options = {
        .channel = {.message_limit = SOAK_MESSAGE_MAX, .descriptor_limit = TALK_DESCRIPTORS},
        .group = DX_GROUP_NEW,
    };

    if (!talk)
        return NULL;
    talk->carries = true;
    if (fork_partner(talk, &plan, &options) < 0) {
        free(talk);
        return NULL;
    }
    soak->started++;
    talk->mine = dx_process_channel(talk->process);
    choose_sizes(talk);
    snprintf(talk->what, sizeof(talk->what), "the oldest child");
    return talk;
}

pid_t soak_talk_pid(const struct soak_talk *talk)
{
    return dx_process_pid(talk->process);
}

static void end_pair(struct soak *soak, struct soak_talk *talk, bool orderly)
{
    dx_message message;

    if (orderly) {
        soak_talk_rest(soak, talk);
        soak_talk_serve(talk);
        if (dx_channel_end(talk->mine, DX_NOW) < 0 || dx_recv(talk->other, &message, DX_NOW) != 0 ||
            dx_channel_end(talk->other, DX_NOW) < 0 || dx_recv(talk->mine, &message, DX_NOW) != 0)
            soak_fail(soak, "an orderly end of a pair was not seen: %s, %s",
                      dx_channel_explain(talk->mine), dx_channel_explain(talk->other));
    }
    bool mine_first = soak_one_in(soak, 2);

    dx_channel_close(mine_first ? talk->mine : talk->other);
    dx_channel_close(mine_first ? talk->other : talk->mine);
}

/* Receive to the end. What comes must be what was sent, and all of it unless the child was killed. */
static void drain(struct soak *soak, struct soak_talk *talk)
{
    for (unsigned i = 0; i < 2 * SOAK_AWAITED_MAX && !talk->over; i++) {
        if (!soak_talk_receive(soak, talk))
            break;
    }
    if (!talk->over && talk->manner != SOAK_STOPS)
        soak_fail(soak, "the end of a conversation does not come");
}

static void check_exit(struct soak *soak, const struct soak_talk *talk, const dx_exit *report)
{
    enum soak_manner manner = talk->manner;

    if (manner == SOAK_STOPS || manner == SOAK_STUBBORN)
        return;
    if (manner == SOAK_DIES
            ? report->kind != DX_EXIT_SIGNAL || report->signal != SIGKILL
            : report->kind != DX_EXIT_CODE || report->code != (manner == SOAK_EXITS ? 7 : 0))
        soak_fail(soak, "a child of manner %d %s", (int)manner, report->text);
}

/* All is said and heard, and the child goes by itself. */
static void end_orderly(struct soak *soak, struct soak_talk *talk)
{
    dx_exit report = {0};

    soak_talk_rest(soak, talk);
    int status = dx_channel_end(talk->mine, soak_talk_patience(talk));

    if (status < 0 && !talk->doomed)
        soak_fail(soak, "a conversation cannot be ended: %s", dx_error_text(status));
    if (talk->manner == SOAK_STUBBORN) {
        status = dx_process_stop(talk->process, 5, &report);
        if (status < 0 || report.signal != SIGKILL || report.stop_signal != SIGKILL)
            soak_fail(soak, "a stubborn child %s", report.text);
        return;
    }
    drain(soak, talk);
    if (talk->manner == SOAK_STOPS)
        return;
    status = dx_process_wait(talk->process, &report, soak_patience_ms);
    if (status < 0)
        soak_fail(soak, "a child has not ended: %s", dx_process_explain(talk->process));
    else
        check_exit(soak, talk, &report);
}

static void end_by_signal(struct soak *soak, struct soak_talk *talk)
{
    dx_exit report = {0};
    bool departed = talk->doomed;
    int status = dx_process_signal(talk->process, SIGKILL);

    talk->doomed = true;
    if (status < 0 && !(status == -ESRCH && departed))
        soak_fail(soak, "a child cannot be killed: %s", dx_process_explain(talk->process));
    drain(soak, talk);
    status = dx_process_wait(talk->process, &report, soak_patience_ms);
    if (status < 0 || (!departed && report.signal != SIGKILL))
        soak_fail(soak, "a child that was killed %s", report.text);
}

void soak_talk_end(struct soak *soak, struct soak_talk *talk, bool orderly)
{
    dx_exit report = {0};

    soak->about = talk->what;
    if (talk->other) {
        end_pair(soak, talk, orderly);
        free(talk);
        return;
    }
    if (orderly) {
        end_orderly(soak, talk);
    } else if (soak_one_in(soak, 3)) {
        end_by_signal(soak, talk);
    } else if (soak_one_in(soak, 2)) {
        int status = dx_process_stop(talk->process, (int)soak_random(soak, 20), &report);

        if (status < 0 || report.kind == DX_EXIT_UNKNOWN)
            soak_fail(soak, "a child was not stopped: %s", dx_process_explain(talk->process));
    }
    dx_process_close(talk->process);
    free(talk);
}
