/* SPDX-License-Identifier: MIT */
/*
 * No peer, but a limit: how fast one process copies as many bytes from one place to another. The
 * two places stay the same, so of 64 KiB it is the speed of the caches.
 */
#include "peers/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct places {
    unsigned char *source;
    unsigned char *target;
};

static bool has_part(const struct group *group, bool corked)
{
    return !corked && group->size >= (64 << 10);
}

static const char *unavailable(const struct peer *peer, const struct task *task)
{
    (void)peer;
    (void)task;
    return NULL;
}

static int open_places(const struct peer *peer, const struct trial *trial, void **ret)
{
    struct places *places = calloc(1, sizeof(*places));

    (void)peer;
    if (!places)
        return -ENOMEM;
    places->source = aligned_alloc(4096, trial->task.size);
    places->target = aligned_alloc(4096, trial->task.size);
    if (!places->source || !places->target) {
        free(places->source);
        free(places->target);
        free(places);
        return -ENOMEM;
    }
    memset(places->source, 1, trial->task.size);
    memset(places->target, 2, trial->task.size);
    *ret = places;
    return 0;
}

static int copy(void *context, size_t size, uint64_t count, bool corked)
{
    struct places *places = context;

    (void)corked;
    for (uint64_t i = 0; i < count; i++) {
        message_stamp(places->source, size, i);
        memcpy(places->target, places->source, size);
        /* Somebody might look at it: the compiler may leave out no copy. */
        __asm__ volatile("" : : "r"(places->target) : "memory");
        if (!message_check(places->target, size, i))
            return -EBADMSG;
    }
    return 0;
}

static int close_places(void *context)
{
    struct places *places = context;

    free(places->source);
    free(places->target);
    free(places);
    return 0;
}

const struct peer peer_limit_memcpy = {
    .name = "limit_memcpy",
    .about = "a limit: one process copies as many bytes with memcpy(3)",
    .limit = true,
    .has_part = has_part,
    .unavailable = unavailable,
    .open = open_places,
    .one_way = copy,
    .close = close_places,
};
