/* SPDX-License-Identifier: MIT */
/*
 * Other ways to hold the same conversation: in an event loop, receiving only when the child has
 * ended, and with a thread for each direction.
 */
#include "kill.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>

struct loop {
    struct play *play;
    dx_channel *channel;
    unsigned told, got; /* messages that the channel has, echoes that have come */
    bool mute;          /* nothing more can be said */
    bool ended;         /* our end has been said */
};

/* Say what may be said without waiting. What has left counts as sent. */
static void loop_say(struct loop *loop)
{
    struct play *play = loop->play;
    struct side *mine = &play->board->sides[PARENT];
    int error = 0;

    while (!loop->mute && loop->told < play->is.count && loop->told - loop->got < play->is.window &&
           error == 0) {
        atomic_fetch_add(&mine->begun, 1);
        error = tell(play, loop->channel, loop->told, DX_NOW);
        if (error == 0)
            loop->told++;
        else
            atomic_fetch_sub(&mine->begun, 1);
    }
    if (error == 0 || error == -ETIMEDOUT)
        error = dx_flush(loop->channel, DX_NOW);
    if (error == 0) {
        atomic_store(&mine->sent, loop->told);
        if (loop->told == play->is.count && !loop->ended) {
            error = dx_channel_end(loop->channel, DX_NOW);
            note_in_vain(play, PARENT);
            loop->ended = error == 0;
        }
        return;
    }
    if (error == -ETIMEDOUT)
        return;
    note_in_vain(play, PARENT);
    loop->mute = true;
    if (error != -EPIPE || !was_killed(play, CHILD))
        complain(play, "a loop could not send: %s", dx_error_text(error));
}

static void loop_hear(struct loop *loop)
{
    struct play *play = loop->play;
    struct side *mine = &play->board->sides[PARENT];
    dx_message message;

    dx_channel_process(loop->channel);
    for (;;) {
        int status = dx_recv(loop->channel, &message, DX_NOW);

        if (status == -ETIMEDOUT)
            return;
        if (status != 1) {
            check_end(play, PARENT, status);
            return;
        }
        atomic_fetch_add(&mine->received, 1);
        if (!is_message(play, &message, loop->got++))
            return;
    }
}

/* One turn. False when there is nothing more to wait for, or a complaint. */
static bool loop_turn(struct loop *loop)
{
    struct play *play = loop->play;
    bool over = atomic_load(&play->board->sides[PARENT].over);
    int events = over ? 0 : dx_channel_events(loop->channel);
    int life_events = dx_process_events(play->process);
    int timeout = over ? DX_FOREVER : dx_channel_timeout_ms(loop->channel);
    struct pollfd sources[] = {
        {.fd = events ? dx_channel_fd(loop->channel) : -1, .events = (short)events},
        {.fd = life_events ? dx_process_fd(play->process) : -1, .events = (short)life_events},
    };

    if (over && !life_events)
        return false;
    if (poll(sources, 2, timeout < 0 ? WAIT_MS : timeout) == 0 && timeout < 0)
        return complain(play,
                        "a loop waits for what does not come: the events are %d, the child %s",
                        events, life_events ? "lives" : "has ended");
    if (sources[1].revents)
        dx_process_process(play->process);
    if (!over) {
        loop_hear(loop);
        loop_say(loop);
    }
    return !atomic_load(&play->board->complained);
}

void talk_in_a_loop(struct play *play, dx_channel *channel)
{
    struct loop loop = {.play = play, .channel = channel};

    loop_say(&loop);
    while (loop_turn(&loop))
        continue;
    if (loop.got == play->is.count)
        atomic_store(&play->board->complete, true);
    bury_child(play);
}

/* Nobody receives before the child has ended: then all that it said has to be here. */
void talk_late(struct play *play, dx_channel *channel)
{
    for (unsigned i = 0; i < play->is.count && say(play, channel, PARENT, i); i++)
        continue;
    say_end(play, channel, PARENT);
    int error = dx_process_wait(play->process, NULL, WAIT_MS);
    if (error < 0)
        complain(play, "the child could not be waited for: %s", dx_process_explain(play->process));
    hear_to_the_end(play, channel, 0);
}

struct sender {
    struct play *play;
    dx_channel *channel;
};

static void *send_all(void *context)
{
    struct sender *self = context;
    struct play *play = self->play;

    for (unsigned i = 0; i < play->is.count && say(play, self->channel, PARENT, i); i++)
        continue;
    say_end(play, self->channel, PARENT);
    return NULL;
}

void talk_in_threads(struct play *play, dx_channel *channel)
{
    struct sender sender = {play, channel};
    pthread_t thread;
    unsigned got = 0;

    if (pthread_create(&thread, NULL, send_all, &sender) != 0) {
        complain(play, "no thread");
        return;
    }
    hear_echoes(play, channel, UINT32_MAX, &got);
    pthread_join(thread, NULL);
    hear_to_the_end(play, channel, got);
}
