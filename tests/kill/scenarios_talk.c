/* SPDX-License-Identifier: MIT */
/*
 * Scenarios of messages: question and answer by the socket, and each way to send in the lane.
 */
#include "kill.h"

#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The echoes up to this number. False at the end. */
bool hear_echoes(struct play *play, dx_channel *channel, unsigned up_to, unsigned *got)
{
    dx_message message;

    while (*got < up_to) {
        if (!hear(play, channel, PARENT, &message) || !is_message(play, &message, *got))
            return false;
        ++*got;
    }
    return true;
}

/* Say the end, and hear what the child still has to say: all that it said before it died. */
void hear_to_the_end(struct play *play, dx_channel *channel, unsigned got)
{
    say_end(play, channel, PARENT);
    if (!atomic_load(&play->board->sides[PARENT].over))
        hear_echoes(play, channel, UINT32_MAX, &got);
    if (got == play->is.count)
        atomic_store(&play->board->complete, true);
    else if (!was_killed(play, CHILD))
        complain(play, "%u echoes came instead of %u", got, play->is.count);
    bury_child(play);
}

static void talk_in_turns(struct play *play, dx_channel *channel)
{
    unsigned got = 0;

    for (unsigned i = 0; i < play->is.count && say(play, channel, PARENT, i); i++) {
        if (i + 1 - got >= play->is.window && !hear_echoes(play, channel, got + 1, &got))
            break;
    }
    hear_to_the_end(play, channel, got);
}

void talk_parent(struct play *play)
{
    static void (*const manners[])(struct play *, dx_channel *) = {talk_in_turns, talk_in_a_loop,
                                                                   talk_late, talk_in_threads};
    dx_channel *channel = raise_child(play);

    if (channel)
        manners[play->is.manner](play, channel);
}

static void echo(struct play *play, dx_channel *channel, bool marked)
{
    dx_message message;
    bool talks = true;

    for (unsigned i = 0;; i++) {
        if (marked)
            mark(2 * i);
        if (!hear(play, channel, CHILD, &message) || !is_message(play, &message, i))
            return;
        if (marked)
            mark(2 * i + 1);
        /* A parent that takes nothing any more may have said something before. */
        if (talks)
            talks = say(play, channel, CHILD, i);
    }
}

void talk_child(struct play *play, dx_channel *channel)
{
    echo(play, channel, false);
}

/*
 * A grandchild that holds the child's end of the channel as long as the first parent lives. So only
 * the pidfd tells that the child has ended; and only the end of its group ends the grandchild.
 */
void grandchild_child(struct play *play, dx_channel *channel)
{
    pid_t parent = atomic_load(&play->board->parent);
    int pidfd = (int)syscall(SYS_pidfd_open, parent, 0);

    if (pidfd >= 0 && getppid() == parent && fork() == 0) {
        struct pollfd end = {.fd = pidfd, .events = POLLIN};

        poll(&end, 1, RUN_MS);
        _exit(0);
    }
    if (pidfd >= 0)
        close(pidfd);
    talk_child(play, channel);
}

/* The first round trips bring the conversation into the lane, the others are marked. */
enum { LANE_PLAIN = 4, LANE_MARKED = 3, LANE_TOGETHER = 3 };

static bool say_in_place(struct play *play, dx_channel *channel, unsigned number)
{
    struct side *mine = &play->board->sides[PARENT];
    size_t size = size_of(play, number);
    void *room;

    atomic_fetch_add(&mine->begun, 1);
    int error = dx_reserve(channel, size, &room, WAIT_MS);

    if (error == 0) {
        write_message(play, number, room);
        error = dx_commit(channel, size);
    }
    /* What does not fit at once is kept, and would die with us. */
    if (error == 0)
        error = dx_flush(channel, WAIT_MS);
    if (error == 0)
        atomic_fetch_add(&mine->sent, 1);
    else if (error != -EPIPE || !was_killed(play, CHILD))
        complain(play, "message %u could not be written in place: %s", number,
                 dx_error_text(error));
    return error == 0;
}

/* Some that leave together: none is sent before all are. */
static bool say_together(struct play *play, dx_channel *channel, unsigned first)
{
    struct side *mine = &play->board->sides[PARENT];
    int error = dx_cork(channel);

    atomic_fetch_add(&mine->begun, LANE_TOGETHER);
    for (unsigned i = 0; i < LANE_TOGETHER && error == 0; i++)
        error = tell(play, channel, first + i, WAIT_MS);
    if (error == 0)
        error = dx_flush(channel, WAIT_MS);
    if (error == 0)
        atomic_fetch_add(&mine->sent, LANE_TOGETHER);
    else if (error != -EPIPE || !was_killed(play, CHILD))
        complain(play, "what was collected could not leave: %s", dx_error_text(error));
    return error == 0;
}

static bool is_fast(struct play *play, dx_channel *channel)
{
    return dx_channel_is_fast(channel) == 1 || was_killed(play, CHILD) ||
           complain(play, "the conversation is not in the lane");
}

void lane_parent(struct play *play)
{
    dx_channel *channel = raise_child(play);
    unsigned got = 0, number = 0;
    bool talks = channel != NULL;

    if (!channel)
        return;
    play->is.count = LANE_PLAIN + LANE_MARKED + LANE_TOGETHER;
    for (; talks && number < LANE_PLAIN; number++)
        talks = say(play, channel, PARENT, number) && hear_echoes(play, channel, number + 1, &got);
    talks = talks && is_fast(play, channel);
    for (unsigned i = 0; i < LANE_MARKED && talks; i++, number++) {
        mark(2 * i);
        talks = i == 1 ? say_in_place(play, channel, number) : say(play, channel, PARENT, number);
        mark(2 * i + 1);
        talks = talks && hear_echoes(play, channel, number + 1, &got);
    }
    mark(2 * LANE_MARKED);
    if (talks)
        say_together(play, channel, number);
    mark(2 * LANE_MARKED + 1);
    hear_to_the_end(play, channel, got);
}

void lane_child(struct play *play, dx_channel *channel)
{
    echo(play, channel, true);
}
