/* SPDX-License-Identifier: MIT */
/*
 * See media.h.
 */
#include "media.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void open_pipe(int ret[2])
{
    ck_assert_int_eq(pipe2(ret, O_CLOEXEC), 0);
}

static void open_fifo(int ret[2])
{
    char directory[] = "/tmp/duplex-test-XXXXXX";
    char path[64];

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/fifo", directory);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ret[0] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ret[1] = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(ret[0], 0);
    ck_assert_int_ge(ret[1], 0);
    ck_assert_int_eq(fcntl(ret[0], F_SETFL, 0), 0);
    unlink(path);
    rmdir(directory);
}

static void open_tcp(int ret[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(ret[0], (struct sockaddr *)&address, sizeof(address)), 0);
    ret[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(ret[1], 0);
    close(listener);
}

struct line open_line(enum medium medium)
{
    int there[2], back[2];

    if (medium == TCP) {
        open_tcp(there);
        return (struct line){{there[0], there[0]}, {there[1], there[1]}};
    }
    if (medium == PIPES || medium == MIXED)
        open_pipe(there);
    else if (medium == FIFOS)
        open_fifo(there);
    else
        raw_pair(DX_STREAM, there);
    if (medium == PIPES)
        open_pipe(back);
    else if (medium == FIFOS)
        open_fifo(back);
    else
        raw_pair(DX_STREAM, back);
    return (struct line){{back[0], there[1]}, {there[0], back[1]}};
}

dx_channel *attach_line(const int ends[2], const dx_channel_options *options)
{
    dx_channel *channel;
    dx_failure failure = {0};
    dx_channel_options own = options != NULL ? *options : (dx_channel_options){0};

    own.failure = &failure;
    int status = dx_channel_attach(&channel, ends[0], ends[1], &own);

    ck_assert_msg(status == 0, "%d: %s", status, failure.text);
    return channel;
}

struct pair open_over(enum medium medium)
{
    struct line line = open_line(medium);

    return (struct pair){attach_line(line.near, NULL), attach_line(line.far, NULL)};
}
