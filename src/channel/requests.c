/* SPDX-License-Identifier: MIT */
/*
 * The table of open requests. See requests.h.
 */
#include "channel/requests.h"

#include "os/os.h"

#include <errno.h>
#include <string.h>

enum { CAPACITY_FIRST = 32 };

void dxi_requests_close(struct dxi_requests *requests)
{
    dxi_os->release(requests->places);
    dxi_os->release(requests->index);
}

/* Where the id stands in the index, or where it would. */
static uint32_t locate(const struct dxi_requests *requests, uint64_t id)
{
    /* By an odd number that the peer does not know. The high bits depend on all of the id. */
    uint32_t at = (uint32_t)(((id ^ requests->seed) * (requests->seed | 1)) >> 40) & requests->mask;

    while (requests->index[at] != 0 && requests->places[requests->index[at] - 1].id != id)
        at = (at + 1) & requests->mask;
    return at;
}

static int grow(struct dxi_requests *requests)
{
    uint32_t capacity = requests->capacity > 0 ? requests->capacity * 2 : (uint32_t)CAPACITY_FIRST;
    uint32_t slots = 2;

    if (capacity > requests->limit)
        capacity = requests->limit;
    while (slots < capacity * 2)
        slots *= 2;
    uint32_t *index = dxi_os->allocate(slots * sizeof(*index));

    if (index == NULL)
        return -ENOMEM;
    struct dxi_request *places =
        dxi_os->resize(requests->places, capacity * sizeof(*requests->places));

    if (places == NULL) {
        dxi_os->release(index);
        return -ENOMEM;
    }
    memset(index, 0, slots * sizeof(*index));
    /* Drawn late: a forked child knows all that its parent knew before. */
    if (requests->capacity == 0)
        requests->seed = dxi_os->now_ns() * UINT64_C(0xD6E8FEB86659FD93) ^ (uintptr_t)places;
    dxi_os->release(requests->index);
    requests->places = places;
    requests->index = index;
    requests->mask = slots - 1;
    for (uint32_t i = capacity; i > requests->capacity; i--) {
        places[i - 1] = (struct dxi_request){.next = requests->free};
        requests->free = i;
    }
    for (uint32_t i = 0; i < requests->capacity; i++) {
        if (places[i].id == 0)
            continue;
        places[i].at = locate(requests, places[i].id);
        index[places[i].at] = i + 1;
    }
    requests->capacity = capacity;
    return 0;
}

int dxi_requests_reserve(struct dxi_requests *requests)
{
    if (requests->count >= requests->limit)
        return -EBUSY;
    return requests->free != 0 ? 0 : grow(requests);
}

struct dxi_request *dxi_requests_add(struct dxi_requests *requests, uint64_t id)
{
    uint32_t at = locate(requests, id);
    uint32_t place = requests->free;

    if (requests->index[at] != 0)
        return NULL;
    struct dxi_request *request = &requests->places[place - 1];

    requests->free = request->next;
    requests->count++;
    requests->index[at] = requests->latest = place;
    *request = (struct dxi_request){.id = id, .deadline_ns = UINT64_MAX, .at = at};
    return request;
}

struct dxi_request *dxi_requests_search(struct dxi_requests *requests, uint64_t id)
{
    if (requests->count == 0)
        return NULL;
    uint32_t place = requests->index[locate(requests, id)];

    return place != 0 ? &requests->places[place - 1] : NULL;
}

/* Close the gap in the index, so that a search need not step over what is gone. */
static void unlist(struct dxi_requests *requests, uint32_t gap)
{
    uint32_t at = gap;

    requests->index[gap] = 0;
    for (;;) {
        at = (at + 1) & requests->mask;
        uint32_t place = requests->index[at];

        if (place == 0)
            return;
        struct dxi_request *moved = &requests->places[place - 1];

        requests->index[at] = 0;
        moved->at = locate(requests, moved->id);
        requests->index[moved->at] = place;
    }
}

void dxi_requests_line_up(struct dxi_requests *requests, struct dxi_request *request,
                          enum dxi_line line)
{
    struct dxi_request *places = requests->places;
    uint32_t self = (uint32_t)(request - places) + 1;

    if (request->line != DXI_LINE_NONE) {
        uint32_t *before = request->previous != 0 ? &places[request->previous - 1].next
                                                  : &requests->first[request->line];
        uint32_t *behind = request->next != 0 ? &places[request->next - 1].previous
                                              : &requests->last[request->line];

        *before = request->next;
        *behind = request->previous;
    }
    request->line = (uint8_t)line;
    request->next = request->previous = 0;
    if (line == DXI_LINE_NONE)
        return;
    /* Deadlines mostly rise, as requests are made with the same patience. */
    uint32_t after = requests->last[line];

    while (line == DXI_LINE_TIMED && after != 0 &&
           places[after - 1].deadline_ns > request->deadline_ns)
        after = places[after - 1].previous;
    request->previous = after;
    request->next = after != 0 ? places[after - 1].next : requests->first[line];
    *(after != 0 ? &places[after - 1].next : &requests->first[line]) = self;
    *(request->next != 0 ? &places[request->next - 1].previous : &requests->last[line]) = self;
}

void dxi_requests_remove(struct dxi_requests *requests, struct dxi_request *request)
{
    if (request->line != DXI_LINE_NONE)
        dxi_requests_line_up(requests, request, DXI_LINE_NONE);
    unlist(requests, request->at);
    request->id = 0;
    request->next = requests->free;
    requests->free = (uint32_t)(request - requests->places) + 1;
    requests->count--;
}
