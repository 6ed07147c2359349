/* SPDX-License-Identifier: MIT */
/*
 * Scenarios of descriptors, of calls both ways, and of stopping a child.
 */
#include "kill.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PIPES_MAX = 12, STOP_GRACE_MS = 30 };

/*
 * The parent gives the writing ends of pipes away and keeps the reading ends: when the child is no
 * more and its channel closed, nobody may hold a writing end, and each pipe has ended.
 */
static void check_pipes(struct play *play, const int *reads, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char byte;
        ssize_t size = read(reads[i], &byte, 1);

        if (size == 1 && !atomic_load(&play->board->complete) && !was_killed(play, CHILD))
            complain(play, "pipe %u was written to", i);
        if (size == 1)
            size = read(reads[i], &byte, 1);
        if (size != 0)
            complain(play, "somebody still holds a descriptor that was sent away: pipe %u", i);
        close(reads[i]);
    }
}

/* Send the writing end of a new pipe with message `number`. */
static bool give_pipe(struct play *play, dx_channel *channel, unsigned number, int *ret_read)
{
    struct side *mine = &play->board->sides[PARENT];
    uint8_t bytes[400000];
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return complain(play, "no pipe");
    *ret_read = ends[0];
    dx_message message = {.data = bytes,
                          .size = size_of(play, number),
                          .descriptors = &ends[1],
                          .descriptor_count = 1};

    write_message(play, number, bytes);
    atomic_fetch_add(&mine->begun, 1);
    int error = dx_send_message(channel, &message, WAIT_MS);

    if (error == 0) {
        note_sent(play, channel, PARENT);
        return ends[1] == -1 || complain(play, "a descriptor that was sent is still here");
    }
    if (ends[1] < 0)
        complain(play, "a descriptor that was not sent is gone");
    else
        close(ends[1]);
    if (error != -EPIPE || !was_killed(play, CHILD))
        complain(play, "a descriptor could not be sent: %s: %s", dx_error_text(error),
                 dx_channel_explain(channel));
    return false;
}

/* The child sends each descriptor back. */
static bool take_pipe(struct play *play, dx_channel *channel, unsigned number)
{
    dx_message message;

    if (!hear(play, channel, PARENT, &message) || !is_message(play, &message, number))
        return false;
    if (message.descriptor_count != 1)
        return complain(play, "message %u came without its descriptor", number);
    /* The last ones are left to the library to close. */
    if (number % 2 != 0)
        return true;
    int fd = dx_message_take(&message, 0);

    if (fd < 0 || write(fd, "x", 1) != 1)
        complain(play, "the descriptor of message %u is no good", number);
    if (fd >= 0)
        close(fd);
    return true;
}

void descriptors_parent(struct play *play)
{
    dx_channel *channel = raise_child(play);
    unsigned window = play->is.window > 4 ? 4 : play->is.window;
    unsigned pipes = 0, got = 0;
    int reads[PIPES_MAX];
    bool talks = channel != NULL;

    if (!channel)
        return;
    while (talks && pipes < play->is.count && pipes < PIPES_MAX) {
        unsigned number = pipes;

        reads[number] = -1;
        talks = give_pipe(play, channel, number, &reads[number]);
        pipes += reads[number] >= 0;
        if (talks && pipes - got >= window)
            talks = take_pipe(play, channel, got++);
    }
    (void)dx_channel_end(channel, WAIT_MS);
    while (!atomic_load(&play->board->sides[PARENT].over) && take_pipe(play, channel, got))
        got++;
    if (got == play->is.count)
        atomic_store(&play->board->complete, true);
    else if (!was_killed(play, CHILD))
        complain(play, "%u descriptors came back of %u", got, play->is.count);
    bury_child(play);
    check_pipes(play, reads, pipes);
}

void descriptors_child(struct play *play, dx_channel *channel)
{
    struct side *mine = &play->board->sides[CHILD];
    dx_message message;

    for (unsigned i = 0; hear(play, channel, CHILD, &message); i++) {
        if (!is_message(play, &message, i))
            return;
        if (message.descriptor_count != 1) {
            complain(play, "the child's message %u has no descriptor", i);
            return;
        }
        int fd = dx_message_take(&message, 0);
        dx_message back = {
            .data = message.data, .size = message.size, .descriptors = &fd, .descriptor_count = 1};

        atomic_fetch_add(&mine->begun, 1);
        int error = dx_send_message(channel, &back, WAIT_MS);

        if (error == 0) {
            note_sent(play, channel, CHILD);
            continue;
        }
        close(fd);
        if (error != -EPIPE || !was_killed(play, PARENT))
            complain(play, "the child could not send a descriptor: %s", dx_error_text(error));
    }
}

/* The child asks back for each request that is odd, before it answers. */
static int answer_child(dx_channel *channel, const dx_message *request, void *context)
{
    struct play *play = context;
    unsigned number = 0;

    if (request->size < sizeof(number))
        return complain(play, "a question from the child is cut off"), 0;
    memcpy(&number, request->data, sizeof(number));
    return dx_reply(channel, request->id, &number, sizeof(number), WAIT_MS) == 0 ? 0 : -EINVAL;
}

/* One answer of those that were asked for with dx_call_start(). False at the end. */
static bool hear_answer(struct play *play, dx_channel *channel, const uint64_t *ids, bool *ended,
                        unsigned count)
{
    dx_message message;
    int status = dx_recv(channel, &message, WAIT_MS);
    unsigned which = 0;

    if (status != 1) {
        check_end(play, PARENT, status);
        return false;
    }
    while (which < count && ids[which] != message.id)
        which++;
    if (which == count || ended[which])
        return complain(play, "an answer came to no request, or a second time");
    ended[which] = true;
    if (message.kind == DX_REPLY)
        return is_message(play, &message, which);
    if (message.kind != DX_FAILED || message.code != -EPIPE || !was_killed(play, CHILD))
        complain(play, "request %u ended with kind %d, code %d", which, (int)message.kind,
                 message.code);
    return true;
}

/* Requests that are under way together; each must end once, whatever dies. */
static void ask_together(struct play *play, dx_channel *channel)
{
    uint64_t ids[PIPES_MAX];
    bool ended[PIPES_MAX] = {false};
    unsigned asked = 0, answered = 0;
    uint8_t bytes[400000];

    for (; asked < play->is.count && asked < PIPES_MAX; asked++) {
        write_message(play, asked, bytes);
        int error = dx_call_start(channel, bytes, size_of(play, asked), &ids[asked], WAIT_MS);

        if (error == 0)
            continue;
        if (error != -EPIPE || !was_killed(play, CHILD))
            complain(play, "request %u could not be made: %s", asked, dx_error_text(error));
        break;
    }
    while (answered < asked && hear_answer(play, channel, ids, ended, asked))
        answered++;
    if (answered < asked)
        complain(play, "%u of %u requests ended", answered, asked);
}

void calls_parent(struct play *play)
{
    dx_channel *channel = raise_child(play);
    uint8_t bytes[400000];
    bool talks = channel != NULL;

    if (!channel)
        return;
    dx_channel_on_request(channel, answer_child, play);
    for (unsigned i = 0; i < play->is.count && talks; i++) {
        dx_message reply;

        write_message(play, i, bytes);
        int error = dx_call(channel, bytes, size_of(play, i), &reply, WAIT_MS);

        talks = error == 0 && is_message(play, &reply, i);
        if (error < 0 && (error != -EPIPE || !was_killed(play, CHILD)))
            complain(play, "call %u failed: %s: %s", i, dx_error_text(error),
                     dx_channel_explain(channel));
    }
    if (talks)
        ask_together(play, channel);
    (void)dx_channel_end(channel, WAIT_MS);
    dx_message message;
    int status = dx_recv(channel, &message, WAIT_MS);

    if (status > 0)
        complain(play, "a message came in a conversation of calls");
    else
        check_end(play, PARENT, status);
    atomic_store(&play->board->complete, true);
    bury_child(play);
}

static int answer_parent(dx_channel *channel, const dx_message *request, void *context)
{
    struct play *play = context;
    unsigned number = 0;

    if (request->size >= sizeof(number))
        memcpy(&number, request->data, sizeof(number));
    if (number % 2 != 0) {
        dx_message reply;
        /* The request is borrowed only until the next call. */
        int error = dx_call(channel, &number, sizeof(number), &reply, WAIT_MS);

        if (error < 0 && (error != -EPIPE || !was_killed(play, PARENT)))
            complain(play, "the child's question failed: %s", dx_error_text(error));
        uint8_t bytes[400000];

        write_message(play, number, bytes);
        error = dx_reply(channel, request->id, bytes, size_of(play, number), WAIT_MS);
        return error == -EPIPE && was_killed(play, PARENT) ? 0 : error;
    }
    int error = dx_reply(channel, request->id, request->data, request->size, WAIT_MS);

    return error == -EPIPE && was_killed(play, PARENT) ? 0 : error;
}

void calls_child(struct play *play, dx_channel *channel)
{
    dx_message message;

    dx_channel_on_request(channel, answer_parent, play);
    int status = dx_recv(channel, &message, WAIT_MS);

    if (status == 1)
        complain(play, "the child was told what is no request");
    else
        check_end(play, CHILD, status);
}

/* Manner 0 leaves when it is asked to, 1 at SIGTERM, 2 only when it is killed. */
void stop_parent(struct play *play)
{
    struct board *board = play->board;
    dx_channel *channel = raise_child(play);
    dx_message message;

    if (!channel)
        return;
    say(play, channel, PARENT, 0);
    if (hear(play, channel, PARENT, &message))
        is_message(play, &message, 0);
    int error = dx_process_stop(play->process, STOP_GRACE_MS, &board->exit);

    if (error < 0)
        complain(play, "the child could not be stopped: %s", dx_process_explain(play->process));
    else
        atomic_store(&board->exit_known, true);
    /* On a busy machine more than needed may have been done, but never less. */
    int stop = board->exit.stop_signal;
    unsigned degree = stop == SIGKILL ? 2 : stop == SIGTERM;

    if (!was_killed(play, CHILD) && degree < play->is.manner)
        complain(play, "a child of manner %u was stopped by signal %d", play->is.manner, stop);
    atomic_store(&board->complete, true);
    play->process = dx_process_close(play->process);
}

void stop_child(struct play *play, dx_channel *channel)
{
    dx_message message;

    if (play->is.manner == 2)
        signal(SIGTERM, SIG_IGN);
    if (hear(play, channel, CHILD, &message)) {
        say(play, channel, CHILD, 0);
        if (play->is.manner == 0)
            hear(play, channel, CHILD, &message);
    }
    atomic_store(&play->board->sides[CHILD].life, play->is.manner == 0 ? LEAVING : BEGUN);
    for (unsigned i = 0; play->is.manner > 0 && i < WAIT_MS / 100; i++)
        poll(NULL, 0, 100);
}
