/* SPDX-License-Identifier: MIT */
/*
 * Several children in a GLib main loop: one GSource for each child, which watches the channel and
 * the pidfd. `prepare` tells GLib what the channel waits for now, `check` whether something came,
 * and `dispatch` does what can be done without waiting.
 */
#include "powers.h"

#include <glib.h>
#include <poll.h>

typedef struct peer_source {
    GSource source;
    peer peer;
    gpointer channel_tag;
    gpointer write_tag; /* the same as channel_tag when the channel has but one descriptor */
    gpointer life_tag;  /* NULL when the child has ended */
    gint64 due_us;      /* without an event; -1: nothing is */
} peer_source;

static GIOCondition condition_of(int events)
{
    return (events & POLLIN ? G_IO_IN : 0) | (events & POLLOUT ? G_IO_OUT : 0);
}

static gboolean prepare(GSource *source, gint *timeout_ms)
{
    peer_source *self = (peer_source *)source;
    int events = self->peer.over ? 0 : dx_channel_events(self->peer.channel);

    *timeout_ms = self->peer.over ? DX_FOREVER : dx_channel_timeout_ms(self->peer.channel);
    self->due_us = *timeout_ms < 0 ? -1 : g_get_monotonic_time() + *timeout_ms * (gint64)1000;
    /* Without events the descriptor must leave the loop: it would report G_IO_HUP for ever. */
    if (events <= 0 && self->channel_tag) {
        if (self->write_tag != self->channel_tag)
            g_source_remove_unix_fd(source, self->write_tag);
        g_source_remove_unix_fd(source, self->channel_tag);
        self->channel_tag = self->write_tag = NULL;
    } else if (self->channel_tag && self->write_tag == self->channel_tag) {
        g_source_modify_unix_fd(source, self->channel_tag, condition_of(events));
    } else if (self->channel_tag) {
        g_source_modify_unix_fd(source, self->channel_tag, condition_of(events & POLLIN));
        g_source_modify_unix_fd(source, self->write_tag, condition_of(events & POLLOUT));
    }
    return *timeout_ms == 0;
}

static gboolean check(GSource *source)
{
    peer_source *self = (peer_source *)source;

    if (self->channel_tag && (g_source_query_unix_fd(source, self->channel_tag) ||
                              g_source_query_unix_fd(source, self->write_tag)))
        return TRUE;
    if (self->life_tag && g_source_query_unix_fd(source, self->life_tag))
        return TRUE;
    return self->due_us >= 0 && g_get_monotonic_time() >= self->due_us;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    peer_source *self = (peer_source *)source;

    if (self->life_tag && dx_process_process(self->peer.process)) {
        g_source_remove_unix_fd(source, self->life_tag);
        self->life_tag = NULL;
    }
    powers_serve(&self->peer);
    if (self->peer.over && !self->life_tag) {
        callback(data);
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs functions = {.prepare = prepare, .check = check, .dispatch = dispatch};

static peer_source *start(int number)
{
    GSource *source = g_source_new(&functions, sizeof(peer_source));
    peer_source *self = (peer_source *)source;
    int read_fd;
    int write_fd;

    if (powers_start(&self->peer, number) < 0) {
        g_source_unref(source);
        return NULL;
    }
    read_fd = dx_channel_fd(self->peer.channel);
    write_fd = dx_channel_write_fd(self->peer.channel);
    self->channel_tag = g_source_add_unix_fd(source, read_fd, G_IO_IN);
    self->write_tag = self->channel_tag;
    if (write_fd != read_fd)
        self->write_tag = g_source_add_unix_fd(source, write_fd, 0);
    self->life_tag = g_source_add_unix_fd(source, dx_process_fd(self->peer.process), G_IO_IN);
    return self;
}

typedef struct family {
    GMainLoop *loop;
    int running;
} family;

static gboolean one_is_over(gpointer data)
{
    family *self = data;

    if (--self->running == 0)
        g_main_loop_quit(self->loop);
    return G_SOURCE_REMOVE;
}

int main(void)
{
    family all = {.loop = g_main_loop_new(NULL, FALSE), .running = CHILDREN};
    peer_source *sources[CHILDREN];
    bool well = true;
    int i;

    for (i = 0; i < CHILDREN; i++) {
        sources[i] = start(i + 1);
        if (!sources[i])
            return 1; /* those that run see the end of the conversation, and leave */
        g_source_set_callback(&sources[i]->source, one_is_over, &all, NULL);
        g_source_attach(&sources[i]->source, NULL);
    }
    g_main_loop_run(all.loop);
    for (i = 0; i < CHILDREN; i++) {
        well = powers_finish(&sources[i]->peer) && well;
        g_source_unref(&sources[i]->source);
    }
    g_main_loop_unref(all.loop);
    return well ? 0 : 1;
}
