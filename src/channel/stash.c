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
    uint64_t number;   /* rises with each that is kept */
    size_t size;       /* of this struct with what lies behind it */
    int descriptors[]; /* then the bytes */
};

static void close_descriptors(const dx_message *message)
{
    for (size_t i = 0; i < message->descriptor_count; i++)
        if (message->descriptors[i] >= 0)
            dxi_os->discard(message->descriptors[i]);
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
    for (int i = 0; i < DXI_KEEPINGS; i++) {
        while (stash->queues[i].first != NULL) {
            struct dxi_kept *kept = stash->queues[i].first;

            stash->queues[i].first = kept->next;
            discard(kept);
        }
    }
}

int dxi_stash_keep(struct dxi_stash *stash, const dx_message *message, enum dxi_keeping keeping)
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
    kept->number = stash->kept++;
    kept->size = size;
    if (descriptors > 0)
        memcpy(kept->descriptors, message->descriptors, descriptors);
    if (message->size > 0)
        memcpy(bytes, message->data, message->size);
    if (stash->queues[keeping].first == NULL)
        stash->queues[keeping].first = kept;
    else
        stash->queues[keeping].last->next = kept;
    stash->queues[keeping].last = kept;
    stash->size += size;
    stash->descriptor_count += message->descriptor_count;
    return 0;
}

/* Lend what has been taken out of its queue. */
static void lend(struct dxi_stash *stash, struct dxi_kept *kept, dx_message *ret)
{
    stash->size -= kept->size;
    stash->descriptor_count -= kept->message.descriptor_count;
    dxi_stash_release(stash);
    stash->lent = kept;
    *ret = kept->message;
}

bool dxi_stash_first(struct dxi_stash *stash, enum dxi_keeping keeping, dx_message *ret)
{
    struct dxi_kept *kept = stash->queues[keeping].first;

    if (kept == NULL)
        return false;
    stash->queues[keeping].first = kept->next;
    lend(stash, kept, ret);
    return true;
}

bool dxi_stash_next(struct dxi_stash *stash, dx_message *ret)
{
    const struct dxi_kept *message = stash->queues[DXI_KEEP_MESSAGE].first;
    const struct dxi_kept *request = stash->queues[DXI_KEEP_REQUEST].first;
    bool message_first = message != NULL && (request == NULL || message->number < request->number);

    return dxi_stash_first(stash, message_first ? DXI_KEEP_MESSAGE : DXI_KEEP_REQUEST, ret);
}

/* There are no more than calls under way, one inside the other. */
bool dxi_stash_answer(struct dxi_stash *stash, uint64_t id, dx_message *ret)
{
    struct dxi_kept *before = NULL;
    struct dxi_kept *kept = stash->queues[DXI_KEEP_ANSWER].first;

    while (kept != NULL && kept->message.id != id) {
        before = kept;
        kept = kept->next;
    }
    if (kept == NULL)
        return false;
    if (before == NULL)
        stash->queues[DXI_KEEP_ANSWER].first = kept->next;
    else
        before->next = kept->next;
    if (stash->queues[DXI_KEEP_ANSWER].last == kept)
        stash->queues[DXI_KEEP_ANSWER].last = before;
    lend(stash, kept, ret);
    return true;
}
