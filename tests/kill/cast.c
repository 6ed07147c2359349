/* SPDX-License-Identifier: MIT */
/*
 * What scenarios are made of: a child by function or program, messages that can be told apart, and
 * the look at what is said of an end. Everything that has happened is written on the board at once,
 * because whoever writes it may be killed after it.
 */
#include "kill.h"

#include "channel/internal.h"
#include "channel/lane.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The n-th number that belongs to a round: the same on every machine. */
static uint64_t draw(uint64_t *state)
{
    uint64_t word = *state += 0x9e3779b97f4a7c15u;

    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
}

static uint64_t one_of(uint64_t *state, size_t count, const uint64_t *choices)
{
    return choices[draw(state) % count];
}

#define ONE_OF(state, ...)                                                                         \
    one_of(state, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (uint64_t[]){__VA_ARGS__})

/* Round 0 is the plainest, on a stream; the others are drawn. */
void vary(struct variation *ret, const struct scenario *scenario, unsigned round)
{
    uint64_t state = round;

    for (const char *letter = scenario->name; *letter; letter++)
        state = state * 131 + (unsigned char)*letter;
    bool plain = round == 0;

    *ret = (struct variation){.round = round};
    ret->type = plain ? DX_STREAM : ONE_OF(&state, DX_STREAM, DX_SEQPACKET);
    ret->lane = !plain && ONE_OF(&state, 0, 1);
    ret->trust = !plain && ONE_OF(&state, 0, 0, 1);
    ret->spin_us = plain ? 0 : (int)ONE_OF(&state, 0, 1, 300) - 1;
    ret->count = plain ? 5 : (unsigned)ONE_OF(&state, 3, 5, 8, 12);
    ret->window = plain ? 1 : (unsigned)ONE_OF(&state, 1, 2, 12);
    ret->size = plain ? 100 : (size_t)ONE_OF(&state, 0, 40, 700, 5000, 70000, 300000);
    ret->socket_buffer = plain ? 0 : (size_t)ONE_OF(&state, 0, 0, 4096);
    ret->handover =
        plain ? DX_HANDOVER_ENV
              : (dx_handover)ONE_OF(&state, DX_HANDOVER_ENV, DX_HANDOVER_ENV, DX_HANDOVER_STDIO,
                                    DX_HANDOVER_LISTEN, DX_HANDOVER_ARGV);
    ret->die_with_parent = !plain && ONE_OF(&state, 0, 0, 1);
    ret->group = plain ? DX_GROUP_INHERIT
                       : (dx_group)ONE_OF(&state, DX_GROUP_INHERIT, DX_GROUP_INHERIT, DX_GROUP_NEW,
                                          DX_GROUP_SESSION);
    ret->spawned = !plain && ONE_OF(&state, 0, 0, 1);
    ret->workers = plain ? 2 : (unsigned)ONE_OF(&state, 1, 2, 3);
    ret->depth = plain ? 1 : (unsigned)ONE_OF(&state, 1, 1, 3, DX_DEPTH_AUTO);
    ret->retries = plain ? 1 : (unsigned)ONE_OF(&state, 0, 1, 2);
    ret->ordered = !plain && ONE_OF(&state, 0, 1);
    /* The manners one after the other, so that few rounds have them all. */
    ret->manner = round % (scenario->manners > 0 ? scenario->manners : 1);
    if (scenario->settle)
        scenario->settle(ret);
}

bool complain(struct play *play, const char *format, ...)
{
    va_list arguments;

    if (atomic_exchange(&play->board->complained, 1))
        return false;
    va_start(arguments, format);
    vsnprintf(play->board->complaint, sizeof(play->board->complaint), format, arguments);
    va_end(arguments);
    return false;
}

bool was_killed(const struct play *play, int who)
{
    return atomic_load(&play->board->killed) >> who & 1;
}

void mark(unsigned number)
{
    /* It asks for the priority of nobody, and is told so. */
    syscall(SYS_getpriority, MARK_CALL, number);
}

dx_channel_options channel_of(const struct variation *is)
{
    return (dx_channel_options){
        .type = is->type,
        .socket_only = !is->lane,
        .trust_peer = is->trust,
        .spin_us = is->spin_us,
        .descriptor_limit = 8,
        .socket_buffer = is->socket_buffer,
        .ring_size = DX_RING_SIZE_MIN,
    };
}

static int be_function(dx_channel *channel, void *context)
{
    struct play *play = context;

    atomic_store(&play->board->sides[CHILD].life, BEGUN);
    play->scenario->child(play, channel);
    atomic_store(&play->board->sides[CHILD].life, LEAVING);
    return 0;
}

static void start(struct play *play, dx_process_options *options)
{
    const struct variation *is = &play->is;
    char round[16];
    char *argv[] = {"/proc/self/exe", "--child", (char *)play->scenario->name, round, NULL, NULL};
    const dx_descriptor board = {.fd = play->board_fd, .target = BOARD_FD};
    int error;

    if (is->spawned) {
        snprintf(round, sizeof(round), "%u", is->round);
        if (is->handover == DX_HANDOVER_ARGV)
            argv[4] = "{fd}";
        options->handover = is->handover;
        options->descriptors = &board;
        options->descriptor_count = 1;
        error = dx_spawn(&play->process, argv, options);
    } else {
        error = dx_fork(&play->process, be_function, play, options);
    }
    if (error < 0) {
        play->process = NULL;
        complain(play, "the child could not be started: %s", options->failure->text);
    }
}

dx_channel *raise_child(struct play *play)
{
    dx_failure failure = {0};
    dx_process_options options = {
        .channel = channel_of(&play->is),
        .die_with_parent = play->is.die_with_parent,
        .group = play->is.group,
        .failure = &failure,
    };

    dxi_lane_worth = 0;
    start(play, &options);
    return play->process ? dx_process_channel(play->process) : NULL;
}

void bury_child(struct play *play)
{
    struct board *board = play->board;
    int error = dx_process_wait(play->process, &board->exit, WAIT_MS);

    if (error < 0)
        complain(play, "the child's end was not told: %s", dx_process_explain(play->process));
    else
        atomic_store(&board->exit_known, true);
    play->process = dx_process_close(play->process);
}

/* Small ones and large ones take turns, and every third is as small as can be. */
size_t size_of(const struct play *play, unsigned number)
{
    static const unsigned parts[] = {1, 0, 3, 7, 0, 2};

    unsigned part = parts[number % 6];

    return sizeof(number) + (part > 0 ? play->is.size / part : number % 4);
}

/* Bytes that differ from message to message, and in each of their places. */
static uint8_t byte_of(unsigned number, size_t place)
{
    return (uint8_t)(number * 37 + place * 11 + (place >> 8));
}

void write_message(const struct play *play, unsigned number, uint8_t *bytes)
{
    size_t size = size_of(play, number);

    memcpy(bytes, &number, sizeof(number));
    for (size_t i = sizeof(number); i < size; i++)
        bytes[i] = byte_of(number, i);
}

int tell(struct play *play, dx_channel *channel, unsigned number, int timeout_ms)
{
    size_t size = size_of(play, number);
    uint8_t *bytes = malloc(size);

    if (!bytes)
        abort();
    write_message(play, number, bytes);
    int error = dx_send(channel, bytes, size, timeout_ms);

    free(bytes);
    return error;
}

void note_sent(struct play *play, dx_channel *channel, int self)
{
    struct side *mine = &play->board->sides[self];

    dxi_lock(&channel->out_lock);
    bool left = dxi_outbox_size(&channel->out) == 0;

    dxi_unlock(&channel->out_lock);
    if (left)
        atomic_store(&mine->sent, atomic_load(&mine->begun));
}

void note_in_vain(struct play *play, int self)
{
    if (play->is.type == DX_DGRAM && was_killed(play, !self))
        atomic_store(&play->board->sides[self].in_vain, true);
}

bool say(struct play *play, dx_channel *channel, int self, unsigned number)
{
    struct side *mine = &play->board->sides[self];

    atomic_fetch_add(&mine->begun, 1);
    int error = tell(play, channel, number, WAIT_MS);

    if (error == 0) {
        note_sent(play, channel, self);
        return true;
    }
    atomic_fetch_sub(&mine->begun, 1);
    note_in_vain(play, self);
    if (error != -EPIPE || !was_killed(play, !self))
        return complain(play, "%s could not send message %u: %s: %s",
                        self ? "the child" : "the parent", number, dx_error_text(error),
                        dx_channel_explain(channel));
    return false;
}

void say_end(struct play *play, dx_channel *channel, int self)
{
    int error = dx_channel_end(channel, WAIT_MS);

    note_in_vain(play, self);
    if (error == 0)
        note_sent(play, channel, self);
    else if (error != -EPIPE || !was_killed(play, !self))
        complain(play, "the end could not be said: %s", dx_error_text(error));
}

bool is_message(struct play *play, const dx_message *message, unsigned number)
{
    const uint8_t *bytes = message->data;
    size_t size = size_of(play, number);
    unsigned found = UINT32_MAX;

    if (message->size >= sizeof(found))
        memcpy(&found, bytes, sizeof(found));
    if (found != number)
        return complain(play, "message %u came in the place of message %u", found, number);
    if (message->size != size)
        return complain(play, "message %u has %zu bytes instead of %zu", number, message->size,
                        size);
    for (size_t i = sizeof(number); i < size; i++) {
        if (bytes[i] != byte_of(number, i))
            return complain(play, "byte %zu of message %u is wrong", i, number);
    }
    return true;
}

void check_end(struct play *play, int self, int status)
{
    struct side *mine = &play->board->sides[self];
    struct side *other = &play->board->sides[!self];
    const char *me = self ? "the child" : "the parent";

    atomic_store(&mine->over, true);
    if (status != 0 && status != -EPIPE)
        complain(play, "%s was told of the end by: %s", me, dx_error_text(status));
    if (status < 0 && !was_killed(play, !self))
        complain(play, "%s was told of a death, and nobody was killed", me);
    unsigned sent = atomic_load(&other->sent), received = atomic_load(&mine->received);

    /* What was begun may have left before the sender could note it. */
    if ((received < sent && !atomic_load(&mine->in_vain)) || received > atomic_load(&other->begun))
        complain(
            play,
            "%s was told of the end by %d, and received %u messages; %u were sent and %u begun", me,
            status, received, sent, atomic_load(&other->begun));
}

bool hear(struct play *play, dx_channel *channel, int self, dx_message *ret)
{
    int status = dx_recv(channel, ret, WAIT_MS);

    if (status == 1) {
        atomic_fetch_add(&play->board->sides[self].received, 1);
        return true;
    }
    check_end(play, self, status);
    return false;
}

/* What a spawned child is to claim its channel by. */
static dx_claim claim_of(const struct variation *is, char *const argv[])
{
    return (dx_claim){
        .handover = is->handover,
        .text = is->handover == DX_HANDOVER_ARGV ? argv[2] : NULL,
    };
}

int be_program(char *const argv[])
{
    struct play play = {0};
    dx_channel *channel;
    dx_failure failure = {0};

    for (size_t i = 0; i < scenario_count && argv[0] && argv[1]; i++) {
        if (strcmp(scenarios[i].name, argv[0]) == 0)
            play.scenario = &scenarios[i];
    }
    if (!play.scenario)
        return 2;
    vary(&play.is, play.scenario, (unsigned)strtoul(argv[1], NULL, 10));
    play.board = mmap(NULL, sizeof(*play.board), PROT_READ | PROT_WRITE, MAP_SHARED, BOARD_FD, 0);
    if (play.board == MAP_FAILED)
        return 2;
    close(BOARD_FD);
    dxi_lane_worth = 0;
    atomic_store(&play.board->sides[CHILD].life, BEGUN);

    dx_claim claim = claim_of(&play.is, argv);
    dx_channel_options options = channel_of(&play.is);

    options.failure = &failure;
    int error = dx_channel_claim(&channel, &claim, &options);

    if (error < 0) {
        complain(&play, "the program has no channel: %s", failure.text);
        return 3;
    }
    play.scenario->child(&play, channel);
    atomic_store(&play.board->sides[CHILD].life, LEAVING);
    dx_channel_close(channel);
    return 0;
}
