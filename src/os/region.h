/* SPDX-License-Identifier: MIT */
/*
 * Memory that two processes share: a control page, and a ring for each direction, each mapped twice in
 * a row, so that what crosses a ring's end lies in one piece.
 */
#ifndef DUPLEX_OS_REGION_H
#define DUPLEX_OS_REGION_H

#include <stddef.h>
#include <stdint.h>

struct dxi_region {
    void *control;     /* a page; NULL: there is no region */
    uint8_t *rings[2]; /* 2 * ring_size each */
    size_t ring_size;
    size_t mapped; /* bytes of address space, from control on */
};

/*
 * Make a region and map it. ring_size is a multiple of the page size. All of its memory is there
 * afterwards, and its size is sealed: nobody can take it away again. ret_fd is close-on-exec and the
 * caller's; the mapping does not need it.
 */
int dxi_linux_region_create(size_t ring_size, struct dxi_region *ret, int *ret_fd);

/*
 * Map a region that somebody else made. -EPERM if its size is not sealed, as touching memory that has
 * been cut off kills; -EINVAL if it is not memory of that size, or of huge pages, which may be absent.
 */
int dxi_linux_region_map(int fd, size_t ring_size, struct dxi_region *ret);

void dxi_linux_region_unmap(struct dxi_region *region);

#endif
