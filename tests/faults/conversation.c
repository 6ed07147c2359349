/* SPDX-License-Identifier: MIT */
/*
 * Scenarios: a parent converses with a child, which is a function or a program, on each type of socket,
 * by pipes, with descriptors, and in shared memory.
 */
#include "stage.h"

#include "channel/lane.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* To the child and from it. */
enum { THERE, BACK };

/* What the child of these does: repeat each message, with its descriptors. */
static int echo(dx_channel *parent, void *context)
{
    struct talk *there = &stage->talks[THERE], *back = &stage->talks[BACK];
    uint64_t open = open_descriptors();
    dx_message message;
    int status;

    (void)context;
    while ((status = hear(parent, there, &message)) > 0) {
        int taken[4];
        size_t count = message.descriptor_count;

        for (size_t i = 0; i < count; i++)
            taken[i] = dx_message_take(&message, i);
        status = count > 0 ? tell_with(parent, back, message.size, taken, count)
                           : tell(parent, back, message.size);
        if (status < 0)
            break;
    }
    if (status == 0)
        finish(parent, back);
    /* A copy of what Node has not acknowledged stays as long as the channel. */
    if (there->end_seen && !dx_channel_is_fast(parent) && !stage->json &&
        open_descriptors() != open)
        complain("the child has other descriptors than before: %#llx, not %#llx",
                 (unsigned long long)open_descriptors(), (unsigned long long)open);
    return status == 0 ? 0 : 1;
}

/* Sizes of messages: small, larger than the kernel's buffer, and together. */
static const size_t sizes[] = {10, 300000, 8, 2000, 500};

static bool converse(dx_process *process, unsigned count)
{
    dx_channel *channel = dx_process_channel(process);
    struct talk *there = &stage->talks[THERE], *back = &stage->talks[BACK];
    dx_message message;
    int status = 0;

    for (unsigned i = 0; i < count && status == 0; i++) {
        status = tell(channel, there, sizes[i % 5]);
        if (status == 0)
            status = hear(channel, back, &message) == 1 ? 0 : -1;
    }
    finish(channel, there);
    return status == 0 && hear_out(channel, back) == 0;
}

static void start_failed(int status, const dx_failure *failure)
{
    (void)went(status, "the start", failure->text, 0);
    if (failure->error != status)
        complain("the start answered %d, and its explanation %d", status, failure->error);
}

static void converse_with_function(const dx_process_options *options, unsigned count)
{
    dx_failure failure = {0};
    dx_process_options own = *options;
    dx_process *process;
    int status;

    own.failure = &failure;
    status = dx_fork(&process, echo, NULL, &own);
    if (status < 0) {
        start_failed(status, &failure);
        return;
    }
    part(process, converse(process, count));
}

static void play_fork(void)
{
    converse_with_function(&(dx_process_options){.channel = {.spin_us = -1}}, 3);
}

static void play_fork_that_spins(void)
{
    converse_with_function(&(dx_process_options){.channel = {.spin_us = 200}}, 3);
}

static void play_seqpacket(void)
{
    converse_with_function(&(dx_process_options){.channel = {.type = DX_SEQPACKET, .spin_us = -1}},
                           3);
}

static void play_datagrams(void)
{
    not_told();
    converse_with_function(&(dx_process_options){.channel = {.type = DX_DGRAM, .spin_us = -1}}, 3);
}

/* Everything that a child can be asked to be. */
static void play_attributes(void)
{
    const dx_limit limits[] = {{RLIMIT_CORE, 0, 0}, {RLIMIT_NOFILE, 60, 60}};
    const dx_process_options options = {
        .channel = {.spin_us = -1, .socket_buffer = 50000},
        .directory = "/",
        .group = DX_GROUP_NEW,
        .limits = limits,
        .limit_count = 2,
        .no_new_privileges = true,
        .die_with_parent = true,
        .stdio = {{DX_STDIO_PIPE, 0}, {DX_STDIO_NULL, 0}, {DX_STDIO_INHERIT, 0}},
    };

    converse_with_function(&options, 2);
}

/* As somebody else, which root alone may ask for. */
static void play_another_user(void)
{
    const gid_t groups[] = {65533};
    const dx_identity identity = {
        .user = 65534, .group = 65534, .groups = groups, .group_count = 1};

    if (getuid() == 0)
        converse_with_function(&(dx_process_options){.channel = {.spin_us = -1},
                                                     .identity = &identity,
                                                     .die_with_parent = true},
                               2);
}

/* Under a filter that refuses what can be done in another way, as those of containers do. */
static void play_filtered(void)
{
    stage->faults.filtered = true;
    converse_with_function(&(dx_process_options){.channel = {.spin_us = -1}}, 2);
}

static void converse_with_program(const dx_process_options *options, char *const argv[])
{
    dx_failure failure = {0};
    dx_process_options own = *options;
    dx_process *process;

    own.failure = &failure;
    own.channel.spin_us = -1;
    int status = dx_spawn(&process, argv, &own);

    if (status < 0) {
        start_failed(status, &failure);
        return;
    }
    /* It repeats what it hears, so its talk is ours. */
    dx_channel *channel = dx_process_channel(process);
    struct talk *talk = &stage->talks[THERE];
    dx_message message;

    stage->talks[BACK] = (struct talk){0};
    for (unsigned i = 0; i < 3 && tell(channel, talk, sizes[i]) == 0; i++)
        if (hear(channel, talk, &message) != 1)
            break;
    finish(channel, talk);
    part(process, hear_out(channel, talk) == 0);
}

static void play_spawn(void)
{
    converse_with_program(&(dx_process_options){0}, (char *[]){fault_partner, "env", NULL});
}

static void play_spawn_with_stdio(void)
{
    converse_with_program(&(dx_process_options){.handover = DX_HANDOVER_STDIO},
                          (char *[]){fault_partner, "stdio", NULL});
}

static void play_filtered_spawn(void)
{
    stage->faults.filtered = true;
    converse_with_program(&(dx_process_options){0}, (char *[]){fault_partner, "env", NULL});
}

/* By two pipes, which are read and written in another way. */
static void play_spawn_with_pipes(void)
{
    not_told();
    converse_with_program(&(dx_process_options){.handover = DX_HANDOVER_PIPES},
                          (char *[]){fault_partner, "stdio", NULL});
}

static void play_filtered_pipes(void)
{
    stage->faults.filtered = true;
    play_spawn_with_pipes();
}

/* Searched along the path, with all that a program can be asked to be. */
static void play_spawn_attributes(void)
{
    int note = make_note(1);
    const dx_limit limits[] = {{RLIMIT_CORE, 0, 0}};
    const dx_descriptor given[] = {{note, 7}};
    dx_process_options options = {
        .handover = DX_HANDOVER_ARGV,
        .channel_target = 5,
        .descriptors = given,
        .descriptor_count = 1,
        .environment_changes = (char *[]){fault_path, "SOMETHING=else", NULL},
        .directory = "/",
        .group = DX_GROUP_SESSION,
        .limits = limits,
        .limit_count = 1,
        .no_new_privileges = true,
        .die_with_parent = true,
        .stdio = {{DX_STDIO_PIPE, 0}, {DX_STDIO_PIPE, 0}, {DX_STDIO_NULL, 0}},
    };

    converse_with_program(&options, (char *[]){"child_partner", "argv", "{fd}", NULL});
    fault_mute();
    close(note);
    fault_unmute();
}

/* There is no such program; nothing else may be said, and nothing be left. */
static void play_spawn_of_nothing(void)
{
    dx_failure failure = {0};
    dx_process_options options = {.failure = &failure};
    dx_process *process;
    int status = dx_spawn(&process, (char *[]){"/nowhere/nothing", NULL}, &options);

    if (status == 0)
        complain("a program was started that is not there");
    else if (!went(status, "the start", failure.text, ENOENT) && failure.error != status)
        complain("the start answered %d, and its explanation %d", status, failure.error);
}

/* The same for a function: what its child finds out must be heard, and the function must not run. */
static void play_fork_of_nothing(void)
{
    dx_failure failure = {0};
    dx_process_options options = {.directory = "/nowhere/nothing", .failure = &failure};
    dx_process *process;
    int status = dx_fork(&process, echo, NULL, &options);

    if (status == 0) {
        /* Who was kept from saying it has an exit report that does. */
        if (faults->fault.side != SIDE_CHILD && !fault_tells_of_death(&faults->fault))
            complain("a child was started in a directory that is not there");
        dx_process_close(process);
    } else if (!went(status, "the start", failure.text, ENOENT) && failure.error != status) {
        complain("the start answered %d, and its explanation %d", status, failure.error);
    }
}

/* Some descriptors there with one message, and the same back. */
static void play_descriptors_in(dx_framing framing, unsigned count)
{
    dx_failure failure = {0};
    const dx_process_options options = {
        .channel = {.framing = framing, .spin_us = -1, .descriptor_limit = count},
        .failure = &failure,
    };
    dx_process *process;
    int status = dx_fork(&process, echo, NULL, &options);

    if (status < 0) {
        start_failed(status, &failure);
        return;
    }
    dx_channel *channel = dx_process_channel(process);
    struct talk *there = &stage->talks[THERE], *back = &stage->talks[BACK];
    dx_message message;

    for (uint8_t i = 0; i < 3 && status == 0; i++) {
        int notes[2] = {-1, -1};

        for (uint8_t j = 0; j < count; j++)
            notes[j] = make_note(i + 100 * j);
        status = tell_with(channel, there, i == 1 ? 250000 : 20, notes, count);
        if (status == 0)
            status = hear(channel, back, &message) == 1 ? 0 : -1;
        if (status == 0 && message.descriptor_count != count && message.descriptors_lost == 0)
            complain("message %u came back with %zu descriptors", i, message.descriptor_count);
        for (uint8_t j = 0; status == 0 && j < message.descriptor_count; j++)
            if (!is_note(message.descriptors[j], i + 100 * j))
                complain("message %u came back with another's descriptor", i);
    }
    finish(channel, there);
    part(process, status == 0 && hear_out(channel, back) == 0);
}

static void play_descriptors(void)
{
    play_descriptors_in(DX_FRAMING_NATIVE, 2);
}

/* As with Node: one at a time, which the other side acknowledges. */
static void play_node(void)
{
    stage->json = true;
    if (stage->faults.fault.onwards)
        run_out();
    play_descriptors_in(DX_FRAMING_NODE, 1);
}

enum { PORTION = 12000, PORTIONS = 14 };

/* A child that hears many before it says so, that both sides have to sleep and to be woken. */
static int sip(dx_channel *parent, void *context)
{
    struct talk *there = &stage->talks[THERE], *back = &stage->talks[BACK];
    dx_message message;
    int status = 1;

    (void)context;
    for (unsigned i = 0; status > 0; i++) {
        status = hear(parent, there, &message);
        /* The talk's first messages go each way in turn until there is a lane. */
        if (status > 0 && (message.size < PORTION || i % PORTIONS == 0) &&
            tell(parent, back, 16) < 0)
            status = -1;
    }
    if (status == 0)
        finish(parent, back);
    return status == 0 ? 0 : 1;
}

/* Write in place. As tell(). */
static int tell_in_place(dx_channel *channel, struct talk *talk, size_t size)
{
    void *place;
    int status = -EPIPE;

    for (int tries = 0; tries < 2 && (tries == 0 || is_passing(status)); tries++) {
        status = dx_reserve(channel, size + 100, &place, stage->patience_ms);
        if (!went(status, "dx_reserve()", dx_channel_explain(channel), 0))
            continue;
        memcpy(place, words(talk->said, size), size);
        status = dx_commit(channel, size);
        if (went(status, "dx_commit()", dx_channel_explain(channel), 0)) {
            talk->said++;
            return 0;
        }
    }
    talk->gave_up = true;
    return status;
}

/* Say many at once, into a ring that does not hold them, and hear what comes of it. */
static int tell_many(dx_channel *channel, struct talk *there, struct talk *back)
{
    int status = 0;
    dx_message message;

    for (unsigned i = 0; i < PORTIONS && status == 0; i++)
        status =
            i % 5 == 2 ? tell_in_place(channel, there, PORTION) : tell(channel, there, PORTION);
    while (status == 0 && back->heard < 10)
        status = hear(channel, back, &message) == 1 ? 0 : -1;
    return status;
}

static void play_lane_of(dx_channel_type type)
{
    dx_failure failure = {0};
    const dx_process_options options = {
        .channel = {.type = type,
                    .spin_us = -1,
                    .ring_size = DX_RING_SIZE_MIN,
                    .descriptor_limit = 1},
        .failure = &failure,
    };
    dx_process *process;

    dxi_lane_worth = 0;
    /* A wake-up that finds the socket full is not needed, as its reader has something to read. */
    stage->faults.honest = true;
    int status = dx_fork(&process, sip, NULL, &options);

    if (status < 0) {
        start_failed(status, &failure);
        return;
    }
    dx_channel *channel = dx_process_channel(process);
    struct talk *there = &stage->talks[THERE], *back = &stage->talks[BACK];
    dx_message message;

    for (unsigned i = 0; i < 9 && status == 0; i++) {
        int note = i == 7 ? make_note(7) : -1;

        status = i == 7 ? tell_with(channel, there, 16, &note, 1) : tell(channel, there, 16);
        if (status == 0)
            status = hear(channel, back, &message) == 1 ? 0 : -1;
    }
    const struct fault *fault = &stage->faults.fault;
    bool passing = stage->faults.met == 0 || (fault->error == EINTR && !fault->onwards);

    if (status == 0 && passing && dx_channel_is_fast(channel) != 1)
        complain("there is no fast lane after 9 messages each way");
    if (status == 0)
        status = tell_many(channel, there, back);
    finish(channel, there);
    part(process, status == 0 && hear_out(channel, back) == 0);
}

static void play_lane(void)
{
    play_lane_of(DX_STREAM);
}

static void play_lane_by_packets(void)
{
    play_lane_of(DX_SEQPACKET);
}

const struct scenario scenarios_of_conversation[] = {
    {"fork", play_fork, NULL},
    {"spin", play_fork_that_spins, NULL},
    {"seqpacket", play_seqpacket, NULL},
    {"dgram", play_datagrams, NULL},
    {"attributes", play_attributes, NULL},
    {"another-user", play_another_user, NULL},
    {"filtered", play_filtered, NULL},
    {"filtered-spawn", play_filtered_spawn, NULL},
    {"filtered-pipes", play_filtered_pipes, NULL},
    {"spawn", play_spawn, NULL},
    {"stdio", play_spawn_with_stdio, NULL},
    {"pipes", play_spawn_with_pipes, NULL},
    {"program", play_spawn_attributes, NULL},
    {"nothing", play_spawn_of_nothing, NULL},
    {"nowhere", play_fork_of_nothing, NULL},
    {"descriptors", play_descriptors, NULL},
    {"node", play_node, NULL},
    {"lane", play_lane, NULL},
    {"packet-lane", play_lane_by_packets, NULL},
    {NULL, NULL, NULL},
};
