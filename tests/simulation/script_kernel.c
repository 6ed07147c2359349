/* SPDX-License-Identifier: MIT */
/*
 * What the kernel at hand is like, as far as scripts must know.
 */
#include "script.h"

#include "kernel.h"

#include <sys/socket.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* Sends of this size until the socket is full. */
static long fill(const struct dxi_os *os, int type, size_t size)
{
    static uint8_t bytes[150000];
    const struct iovec part = {.iov_base = bytes, .iov_len = size};
    int fds[2];
    long total = 0;
    ssize_t sent;

    if (os->socketpair(type, fds) < 0)
        return -1;
    while ((sent = os->send(fds[0], &part, 1, NULL, 0)) > 0)
        total += sent;
    os->close(fds[0]);
    os->close(fds[1]);
    return total;
}

static void compare_buffers(void *context)
{
    static const size_t sizes[] = {1, 100, 400, 1000, 4000, 10000, 40000, 150000};
    struct script_kernel *ret = context;

    ret->exact = true;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (fill(&dxi_linux, SOCK_STREAM, sizes[i]) != fill(&simulated_os, SOCK_STREAM, sizes[i]) ||
            fill(&dxi_linux, SOCK_SEQPACKET, sizes[i]) !=
                fill(&simulated_os, SOCK_SEQPACKET, sizes[i]))
            ret->exact = false;
    }
}

struct script_kernel script_examine_kernel(void)
{
    static const struct world_options calm;
    struct script_kernel found = {0};
    int fds[2];

    if (dxi_linux.socketpair(SOCK_STREAM, fds) == 0) {
        found.old = dxi_linux.socket_set(fds[0], SO_PASSRIGHTS, 1) < 0;
        dxi_linux.close(fds[0]);
        dxi_linux.close(fds[1]);
    }
    (void)world_run(0, &calm, compare_buffers, &found, false);
    return found;
}
