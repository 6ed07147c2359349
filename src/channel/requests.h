/* SPDX-License-Identifier: MIT */
/*
 * The open requests of one direction: found by id, and lined up by what is to become of them.
 *
 * A place in the table stays where it is while its request is open; only the index over it moves.
 * Memory is taken by the number of requests that are open at one time, up to the limit, and kept.
 */
#ifndef DUPLEX_CHANNEL_REQUESTS_H
#define DUPLEX_CHANNEL_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The line in which a request stands, if it stands in one. */
enum dxi_line {
    DXI_LINE_NONE,    /* it is being sent, or waited for by a dx_call(), or the peer's */
    DXI_LINE_TIMED,   /* by rising deadline */
    DXI_LINE_UNTIMED, /* it has no deadline */
    DXI_LINE_DUE,     /* it has ended here, and the peer is still to be told */
    DXI_LINES
};

struct dxi_request {
    uint64_t id; /* 0: the place is free */
    uint64_t deadline_ns;
    uint32_t next, previous; /* in its line, or among the free places; a place and 1, or 0 */
    uint32_t at;             /* where the index has it */
    uint8_t line;
    int code;    /* theirs, in DXI_LINE_DUE: the error with which it is to be answered */
    bool waited; /* its answer is for the dx_call() that made it */
};

struct dxi_requests {
    struct dxi_request *places;
    uint32_t *index; /* by hash of the id: a place and 1, or 0; twice as long as places, at least */
    uint32_t capacity, mask;
    uint64_t seed; /* of the hash: the peer chooses ids, and must not choose them for one place */
    uint32_t limit;
    uint32_t count;
    uint32_t free;
    uint32_t latest; /* the place that was filled last, and 1; 0: none was */
    uint32_t first[DXI_LINES], last[DXI_LINES];
};

void dxi_requests_close(struct dxi_requests *requests);

/* Have a free place for one more. 0; -EBUSY at the limit; -ENOMEM. */
int dxi_requests_reserve(struct dxi_requests *requests);

/*
 * Add an id, in no line. NULL: it is open already. There must be a free place. Lasts until the next
 * reserve.
 */
struct dxi_request *dxi_requests_add(struct dxi_requests *requests, uint64_t id);

/* As dxi_requests_find(), by the index. */
struct dxi_request *dxi_requests_search(struct dxi_requests *requests, uint64_t id);

/* The open request with this id, or NULL. Mostly it is the latest, which is answered at once. */
static inline struct dxi_request *dxi_requests_find(struct dxi_requests *requests, uint64_t id)
{
    if (requests->latest != 0 && id != 0 && requests->places[requests->latest - 1].id == id)
        return &requests->places[requests->latest - 1];
    return dxi_requests_search(requests, id);
}

void dxi_requests_remove(struct dxi_requests *requests, struct dxi_request *request);

/* Take it out of its line and put it into another. */
void dxi_requests_line_up(struct dxi_requests *requests, struct dxi_request *request,
                          enum dxi_line line);

/* The first of a line, or NULL. */
static inline struct dxi_request *dxi_requests_first(const struct dxi_requests *requests,
                                                     enum dxi_line line)
{
    uint32_t first = requests->first[line];

    return first != 0 ? &requests->places[first - 1] : NULL;
}

/* When the first of them is over; UINT64_MAX: none will be. */
static inline uint64_t dxi_requests_earliest(const struct dxi_requests *requests)
{
    const struct dxi_request *first = dxi_requests_first(requests, DXI_LINE_TIMED);

    return first != NULL ? first->deadline_ns : UINT64_MAX;
}

#endif
