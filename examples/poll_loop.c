/* SPDX-License-Identifier: MIT */
/*
 * Several children in one loop of plain poll(2).
 *
 * What any loop does with a channel: before each wait, ask it for its descriptor, events and
 * timeout; when an event came, call dx_channel_process(), then dx_recv(…, DX_NOW) until it has no
 * more. Beside it the child's pidfd is polled, because only that tells of a death which a
 * grandchild hides.
 */
#include "powers.h"

#include <poll.h>

/* Each child has three places in the poll set: to read, to write, and its life. */
enum { READ, WRITE, LIFE, PLACES };

/*
 * Fill the places of one child; return how long to poll at most. A place without events is left out
 * (-1), because poll(2) would report POLLHUP for it for ever.
 */
static int prepare(peer *self, struct pollfd fds[PLACES])
{
    int events = self->over ? 0 : dx_channel_events(self->channel);
    int life_events = dx_process_events(self->process);

    fds[READ].fd = events & POLLIN ? dx_channel_fd(self->channel) : -1;
    fds[READ].events = POLLIN;
    fds[WRITE].fd = events & POLLOUT ? dx_channel_write_fd(self->channel) : -1;
    fds[WRITE].events = POLLOUT;
    fds[LIFE].fd = life_events ? dx_process_fd(self->process) : -1;
    fds[LIFE].events = (short)life_events;
    return self->over ? DX_FOREVER : dx_channel_timeout_ms(self->channel);
}

/* Run until every conversation is over and every child has ended. */
static void run(peer peers[CHILDREN])
{
    for (;;) {
        struct pollfd fds[CHILDREN * PLACES];
        int timeout_ms = DX_FOREVER;
        bool any = false;
        int i;

        for (i = 0; i < CHILDREN; i++) {
            int wanted_ms = prepare(&peers[i], &fds[i * PLACES]);

            if (timeout_ms < 0 || (wanted_ms >= 0 && wanted_ms < timeout_ms))
                timeout_ms = wanted_ms;
            any = any || !peers[i].over || dx_process_events(peers[i].process);
        }
        if (!any)
            return;
        if (poll(fds, CHILDREN * PLACES, timeout_ms) < 0)
            continue; /* a signal */
        for (i = 0; i < CHILDREN; i++) {
            if (fds[i * PLACES + LIFE].revents)
                dx_process_process(peers[i].process);
            /* Without looking at the events: a timeout of 0 or a death also gives it work. */
            powers_serve(&peers[i]);
        }
    }
}

int main(void)
{
    peer peers[CHILDREN] = {0};
    bool well = true;
    int i;

    for (i = 0; i < CHILDREN; i++) {
        if (powers_start(&peers[i], i + 1) < 0)
            return 1; /* those that run see the end of the conversation, and leave */
    }
    run(peers);
    for (i = 0; i < CHILDREN; i++)
        well = powers_finish(&peers[i]) && well;
    return well ? 0 : 1;
}
