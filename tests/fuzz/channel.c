/* SPDX-License-Identifier: MIT */
/*
 * The target of the channel. See targets.h. The peer is one end of a socketpair: it says the bytes
 * in portions, some with a descriptor, and ends. The channel receives until the end, answers what is
 * asked, and must leave no descriptor behind.
 */
#include "targets.h"

#include <duplex.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHOICES = 3, PORTION_MAX = 64, MESSAGES_MAX = 100000 };

static void say(int peer, const uint8_t *bytes, size_t size, bool with_descriptor)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (with_descriptor) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &peer, sizeof(peer));
    }
    /* A channel that was broken takes no more, and that is no failure. */
    (void)sendmsg(peer, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* What is said to the channel is not read: its buffer holds it, or it refuses. */
static void answer(dx_channel *channel, const dx_message *message)
{
    if (message->kind == DX_REQUEST && message->size % 2 == 0)
        (void)dx_reply(channel, message->id, message->data, message->size, DX_NOW);
    else if (message->kind == DX_REQUEST && message->size % 3 == 0)
        (void)dx_reply_error(channel, message->id, -1, "no", DX_NOW);
    else if (message->kind == DX_MESSAGE)
        (void)dx_send(channel, message->data, message->size, DX_NOW);
}

/* Receive what is there. Returns what dx_recv() said last. */
static int receive_all(dx_channel *channel, size_t limit)
{
    dx_message message;
    int status;
    unsigned count = 0;

    while ((status = dx_recv(channel, &message, DX_NOW)) == 1) {
        /* The text of an error is not a message of the peer's user. */
        require(message.size <= limit || message.kind == DX_ERROR || message.kind == DX_FAILED);
        require(message.data != NULL);
        require(message.descriptor_count <= 2);
        require(++count < MESSAGES_MAX);
        answer(channel, &message);
    }
    return status;
}

static int lowest_free(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    require(fd >= 0);
    close(fd);
    return fd;
}

void run_channel(const struct target *target, const uint8_t *data, size_t size)
{
    static const size_t limits[] = {8, 100, 3000, 0};
    static const int types[] = {SOCK_STREAM, SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    dx_channel_options options = {0};
    dx_channel *channel;
    int before = lowest_free(), fds[2], status = -ETIMEDOUT;

    (void)target;
    if (size < CHOICES)
        return;
    options.framing = (dx_framing)(data[0] % (DX_FRAMING_RAW + 1));
    options.message_limit = limits[data[1] & 3];
    if (options.framing == DX_FRAMING_NATIVE || options.framing == DX_FRAMING_NODE)
        options.descriptor_limit = data[1] >> 2 & 2;
    options.strip_cr = options.framing == DX_FRAMING_LINE && (data[1] & 16) != 0;
    options.request_limit = 2;
    int type = options.framing == DX_FRAMING_NATIVE ? types[data[1] >> 6] : SOCK_STREAM;

    require(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) == 0);
    require(dx_channel_attach(&channel, fds[0], fds[0], &options) == 0);
    if (options.framing == DX_FRAMING_NATIVE && (data[1] & 32) != 0)
        (void)dx_call_start(channel, "ask", 3, &(uint64_t){0}, DX_FOREVER);
    unsigned step = data[2];
    const uint8_t *bytes = data + CHOICES;
    size_t limit = options.message_limit > 0 ? options.message_limit : DX_MESSAGE_LIMIT_DEFAULT;

    for (size_t left = size - CHOICES; left > 0 && (status == -ETIMEDOUT || status == -EMFILE);) {
        size_t portion = step % 4 == 0 ? left : 1 + step % PORTION_MAX;

        portion = portion < left ? portion : left;
        say(fds[1], bytes, portion, step % 8 == 7);
        bytes += portion;
        left -= portion;
        step = step * 5 + 3;
        if (step % 16 < 12)
            status = receive_all(channel, limit);
    }
    /* A packet without bytes is the end where the kernel tells of none. */
    if (type == SOCK_DGRAM)
        (void)send(fds[1], "", 0, MSG_NOSIGNAL | MSG_DONTWAIT);
    else
        shutdown(fds[1], SHUT_WR);
    while ((status = receive_all(channel, limit)) == -EMFILE)
        ;
    require(status == 0 || status == -EPROTO || status == -EPIPE);
    require(receive_all(channel, limit) == status);
    require(status == 0 || dx_channel_explain(channel)[0] != '\0');
    dx_channel_close(channel);
    close(fds[1]);
    require(lowest_free() == before);
}
