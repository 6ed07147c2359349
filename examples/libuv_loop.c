/* SPDX-License-Identifier: MIT */
/*
 * Several children in a libuv loop: a uv_poll_t watches each channel, another each child's pidfd,
 * and a uv_timer_t stands for dx_channel_timeout_ms(), which is 0 when a message waits that was taken
 * in already. After each call on a channel all of them are renewed, as its answers may have changed.
 */
#include "powers.h"

#include <poll.h>
#include <uv.h>

typedef struct watched_peer {
    peer peer;
    uv_poll_t channel_watch;
    uv_poll_t life_watch;
    uv_timer_t work; /* what is to be done without an event */
} watched_peer;

static void on_channel(uv_poll_t *watch, int status, int events);
static void on_work(uv_timer_t *timer);

/* Tell libuv what the channel and the child wait for now; nothing, and the loop ends. */
static void renew(watched_peer *self)
{
    int wanted = self->peer.over ? 0 : dx_channel_events(self->peer.channel);
    int events = (wanted & POLLIN ? UV_READABLE : 0) | (wanted & POLLOUT ? UV_WRITABLE : 0);

    /* A child of dx_fork() or dx_spawn() has one socket, so dx_channel_write_fd() is the same. A
     * channel attached to two would have a uv_poll_t for each. */
    if (wanted > 0)
        uv_poll_start(&self->channel_watch, events, on_channel);
    else
        uv_poll_stop(&self->channel_watch);
    if (!dx_process_events(self->peer.process))
        uv_poll_stop(&self->life_watch);
    int timeout_ms = self->peer.over ? DX_FOREVER : dx_channel_timeout_ms(self->peer.channel);

    if (timeout_ms >= 0)
        uv_timer_start(&self->work, on_work, (uint64_t)timeout_ms, 0);
    else
        uv_timer_stop(&self->work);
}

static void on_work(uv_timer_t *timer)
{
    watched_peer *self = timer->data;

    powers_serve(&self->peer);
    renew(self);
}

static void on_channel(uv_poll_t *watch, int status, int events)
{
    /* Whatever libuv says (it reports POLLERR as a bad descriptor), the channel knows the truth. */
    (void)status;
    (void)events;
    on_work(&((watched_peer *)watch->data)->work);
}

static void on_life(uv_poll_t *watch, int status, int events)
{
    watched_peer *self = watch->data;

    (void)status;
    (void)events;
    dx_process_process(self->peer.process);
    on_work(&self->work);
}

static int start(watched_peer *self, uv_loop_t *loop, int number)
{
    int result = powers_start(&self->peer, number);

    if (result < 0)
        return result;
    self->channel_watch.data = self->life_watch.data = self->work.data = self;
    uv_poll_init(loop, &self->channel_watch, dx_channel_fd(self->peer.channel));
    uv_poll_init(loop, &self->life_watch, dx_process_fd(self->peer.process));
    uv_timer_init(loop, &self->work);
    uv_poll_start(&self->life_watch, UV_READABLE, on_life);
    on_work(&self->work);
    return 0;
}

/* The watches must be closed before the descriptors, which belong to the process. */
static bool finish(watched_peer *self, uv_loop_t *loop)
{
    uv_close((uv_handle_t *)&self->channel_watch, NULL);
    uv_close((uv_handle_t *)&self->life_watch, NULL);
    uv_close((uv_handle_t *)&self->work, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    return powers_finish(&self->peer);
}

int main(void)
{
    static watched_peer peers[CHILDREN];
    uv_loop_t *loop = uv_default_loop();
    bool well = true;
    int i;

    for (i = 0; i < CHILDREN; i++) {
        if (start(&peers[i], loop, i + 1) < 0)
            return 1; /* those that run see the end of the conversation, and leave */
    }
    uv_run(loop, UV_RUN_DEFAULT);
    for (i = 0; i < CHILDREN; i++)
        well = finish(&peers[i], loop) && well;
    uv_loop_close(loop);
    return well ? 0 : 1;
}
