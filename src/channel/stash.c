/* SPDX-License-Identifier: MIT */
/*
 * Messages kept for later. See stash.h.
 */
#include "channel/stash.h"

#include "os/os.h"

#include <errno.h>
#include <string.h>

struct dxi_kept {
    struct dxi_kept *next;
    dx_message message;
    bool waited;
    size_t size;       /* of this struct with what lies behind it */
    int descriptors[]; /* then the bytes */
};

void dxi_stash_open(struct dxi_stash *stash)
{
    *stash = (struct dxi_stash){.last = &stash->first};
}

static void close_descriptors(const dx_message *message)
{
    for (size_t i = 0; i < message->descriptor_count; i++)
        if (message->descriptors[i] >= 0)
            dxi_os->close(message->descriptors[i]);
}

static void discard(struct dxi_kept *kept)
{
    if (kept == NULL)
        return;
    close_descriptors(&kept->message);
    dxi_os->release(kept);
}

void dxi_stash_release(struct dxi_stash *stash)
{
    discard(stash->lent);
    stash->lent = NULL;
}

void dxi_stash_close(struct dxi_stash *stash)
{
    dxi_stash_release(stash);
    while (stash->first != NULL) {
        struct dxi_kept *kept = stash->first;

        stash->first = kept->next;
        discard(kept);
    }
}

int dxi_stash_keep(struct dxi_stash *stash, const dx_message *message, bool waited)
{
    size_t descriptors = message->descriptor_count * sizeof(int);
    size_t size = sizeof(struct dxi_kept) + descriptors + message->size;
    struct dxi_kept *kept = dxi_os->allocate(size);

    if (kept == NULL)
        return -ENOMEM;
    uint8_t *bytes = (uint8_t *)kept->descriptors + descriptors;

    kept->next = NULL;
    kept->message = *message;
    kept->message.data = bytes;
    kept->message.descriptors = kept->descriptors;
    kept->waited = waited;
    kept->size = size;
    if (descriptors > 0)
        memcpy(kept->descriptors, message->descriptors, descriptors);
    if (message->size > 0)
        memcpy(bytes, message->data, message->size);
    *stash->last = kept;
    stash->last = &kept->next;
    stash->size += size;
    stash->descriptor_count += message->descriptor_count;
    return 0;
}

/* Take out what *link points at, and lend it. */
static void lend(struct dxi_stash *stash, struct dxi_kept **link, dx_message *ret)
{
    struct dxi_kept *kept = *link;

    *link = kept->next;
    if (kept->next == NULL)
        stash->last = link;
    stash->size -= kept->size;
    stash->descriptor_count -= kept->message.descriptor_count;
    dxi_stash_release(stash);
    stash->lent = kept;
    *ret = kept->message;
}

bool dxi_stash_next(struct dxi_stash *stash, dx_message *ret)
{
    for (struct dxi_kept **link = &stash->first; *link != NULL; link = &(*link)->next) {
        if (!(*link)->waited) {
            lend(stash, link, ret);
            return true;
        }
    }
    return false;
}

bool dxi_stash_answer(struct dxi_stash *stash, uint64_t id, dx_message *ret)
{
    for (struct dxi_kept **link = &stash->first; *link != NULL; link = &(*link)->next) {
        if ((*link)->waited && (*link)->message.id == id) {
            lend(stash, link, ret);
            return true;
        }
    }
    return false;
}

bool dxi_stash_ready(const struct dxi_stash *stash)
{
    for (const struct dxi_kept *kept = stash->first; kept != NULL; kept = kept->next)
        if (!kept->waited)
            return true;
    return false;
}
