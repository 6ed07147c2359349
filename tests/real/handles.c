/* SPDX-License-Identifier: MIT */
#include "handles.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int open_bound(int type, int *ret_port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* Nobody waits for ever for what does not come. */
static int bounded(int fd)
{
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};

    ck_assert_int_ge(fd, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

int listen_tcp(int *ret_port)
{
    int fd = open_bound(SOCK_STREAM, ret_port);

    ck_assert_int_eq(listen(fd, 64), 0);
    return bounded(fd);
}

int connect_tcp(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons((uint16_t)port),
    };
    int fd = bounded(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

int accept_one(int fd)
{
    return bounded(accept4(fd, NULL, NULL, SOCK_CLOEXEC));
}

void pair_tcp(int ret_ends[2])
{
    int port;
    int server = listen_tcp(&port);

    ret_ends[0] = connect_tcp(port);
    ret_ends[1] = accept_one(server);
    close(server);
}

int bind_udp(int *ret_port)
{
    return bounded(open_bound(SOCK_DGRAM, ret_port));
}

int try_handle(dx_channel *channel, const char *text, int fd)
{
    dx_message message = {
        .data = text,
        .size = strlen(text),
        .descriptors = &fd,
        .descriptor_count = 1,
    };

    return dx_send_message(channel, &message, PATIENCE_MS);
}

void send_handle(dx_channel *channel, const char *text, int fd)
{
    int error = try_handle(channel, text, fd);

    ck_assert_msg(error == 0, "cannot send '%s': %d: %s", text, error, dx_channel_explain(channel));
}

int expect_handle(dx_channel *channel, const char *text)
{
    dx_message message = receive(channel);

    ck_assert_msg(message.size == strlen(text) && memcmp(message.data, text, message.size) == 0,
                  "'%.*s' came, and not '%s'", (int)message.size, (const char *)message.data, text);
    ck_assert_msg(message.descriptor_count == 1, "'%s' came with %zu descriptors", text,
                  message.descriptor_count);
    return dx_message_take(&message, 0);
}

void expect_answer(int fd, const char *words, const char *expected)
{
    if (words != NULL) {
        ck_assert_int_eq(send(fd, words, strlen(words), MSG_NOSIGNAL), (ssize_t)strlen(words));
        ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    }
    ck_assert_str_eq(read_to_end(fd), expected);
}
