/* SPDX-License-Identifier: MIT */
/*
 * What the misbehaving programs of this folder share: they are told by their first argument what to do,
 * and by their second whether to take part in a lane. They begin when the parent says so, but for those
 * that misbehave from the start. In the end each hears its parent out and leaves.
 */
#ifndef DUPLEX_TESTS_HOSTILE_ACTOR_H
#define DUPLEX_TESTS_HOSTILE_ACTOR_H

#include "by_hand.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct act {
    const char *name;
    void (*play)(void);
    bool at_once;
};

/*
 * For a child whose parent has let go of it, or was never able to. And the size of the message by which
 * the parent says "begin".
 */
enum { LIFE_SECONDS = 300, BEGIN_SIZE = 5 };

static inline void pause_ms(int ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&time, NULL);
}

/* Take everything in and do nothing, until the parent has gone. */
static inline void hear_out(void)
{
    static char bytes[262144];

    while (recv(hand.fd, bytes, sizeof(bytes), 0) > 0)
        continue;
}

/* Do nothing at all. */
static inline void sit(void)
{
    for (;;)
        pause();
}

static inline int run_act(const struct act *acts, size_t count, int argc, char **argv)
{
    struct hand_frame frame;

    alarm(LIFE_SECONDS);
    hand_find();
    hand_keeps_memory = true;
    for (size_t i = 0; i < count && argc > 1; i++) {
        if (strcmp(acts[i].name, argv[1]) != 0)
            continue;
        if (!acts[i].at_once) {
            hand_greet(1, argc > 2);
            do
                hand_demand(hand_hear(&frame), 40);
            while (frame.kind != MESSAGE || frame.length != BEGIN_SIZE);
        }
        acts[i].play();
        hear_out();
        return 0;
    }
    return 41;
}

#define ACTOR_MAIN(...)                                                                            \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        static const struct act acts[] = {__VA_ARGS__};                                            \
        return run_act(acts, sizeof(acts) / sizeof(*acts), argc, argv);                            \
    }

#endif
