/* SPDX-License-Identifier: MIT */
/*
 * Simulated socketpairs: what Linux does with a send, a shutdown, a close.
 *
 * How much goes in follows Linux to the byte: each packet costs its sender the memory that Linux would
 * take for it, and a sender may begin one as long as what it has in flight is less than its buffer. It
 * was compared with Linux 6.18 and its pages of 4 KiB; test_kernel.c compares it with the kernel at hand.
 */
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* The headers of Debian 12 lack it. */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

enum {
    HEAD_OVERHEAD = 320, /* struct skb_shared_info */
    PACKET_OVERHEAD = 256,
    HEAD_MAX = PAGE - HEAD_OVERHEAD,
    STREAM_PAGES = 32768,
    DATAGRAM_HEAD_MAX = 4 * PAGE - HEAD_OVERHEAD,
    DATAGRAM_PAGES_MAX = 17 * PAGE,
    SEND_BUFFER_MIN = 4608,
    SEND_BUFFER_MAX = 4 << 20,
    DATAGRAM_SLACK = 32,
};

int sockets_make(int type, int ret[2])
{
    struct pair *pair = calloc(1, sizeof(*pair));
    struct file *files[2];

    if (pair == NULL)
        world_fail("no memory for a socket");
    pair->type = type;
    pair->maker = kernel.running;
    pair->maker_generation = kernel.running->generation;
    for (int i = 0; i < 2; i++) {
        pair->ends[i].pair = pair;
        pair->ends[i].send_buffer =
            kernel.options.send_buffer ? kernel.options.send_buffer : DEFAULT_SEND_BUFFER;
        files[i] = file_make(FILE_SOCKET);
        files[i]->socket = &pair->ends[i];
        file_hold(files[i]);
    }
    ret[0] = file_place(kernel.running, files[0], 0, true);
    ret[1] = ret[0] < 0 ? ret[0] : file_place(kernel.running, files[1], 0, true);
    if (ret[0] >= 0 && ret[1] < 0)
        file_close(kernel.running, ret[0]);
    file_let_go(files[0]);
    file_let_go(files[1]);
    return ret[1] < 0 ? ret[1] : 0;
}

struct socket *sockets_peer(const struct socket *self)
{
    struct socket *ends = self->pair->ends;

    return self == &ends[0] ? &ends[1] : &ends[0];
}

void sockets_close(struct file *file)
{
    struct socket *self = file->socket;
    struct pair *pair = self->pair;
    struct socket *peer = sockets_peer(self);

    self->closed = true;
    if (!peer->closed && pair->type != SOCK_DGRAM) {
        peer->shut = SHUT_IN | SHUT_OUT;
        const struct packet *unread = self->first;

        /* An empty packet in front is no loss to Linux, since it has urgent bytes that leave one. */
        if (unread != NULL && unread->size == 0)
            unread = unread->next;
        if (unread != NULL)
            peer->error = ECONNRESET;
    }
    packets_drop(self);
    if (peer->closed)
        free(pair);
}

static bool has_room(const struct socket *self)
{
    return ((self->charged + 1) << 2) <= (size_t)self->send_buffer;
}

unsigned sockets_events(const struct file *file)
{
    const struct socket *self = file->socket;
    unsigned events = 0;

    if (self->error != 0)
        events |= POLLERR;
    if (self->shut == (SHUT_IN | SHUT_OUT))
        events |= POLLHUP;
    if (self->shut & SHUT_IN)
        events |= POLLRDHUP | POLLIN | POLLRDNORM;
    if (self->first != NULL)
        events |= POLLIN | POLLRDNORM;
    if (has_room(self))
        events |= POLLOUT | POLLWRNORM | POLLWRBAND;
    return events;
}

/* What the allocator gives for so many bytes. */
static size_t rounded(size_t size)
{
    static const size_t classes[] = {64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192};

    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (size <= classes[i])
            return classes[i];
    }
    size_t pages = PAGE;

    while (pages < size)
        pages *= 2;
    return pages;
}

static size_t charge_of(size_t head, size_t in_pages)
{
    size_t whole_pages = (in_pages + PAGE - 1) / PAGE * PAGE;

    return rounded((head + 63) / 64 * 64 + HEAD_OVERHEAD) + PACKET_OVERHEAD + whole_pages;
}

static struct packet *make_packet(const struct iovec *parts, size_t from, size_t size)
{
    struct packet *packet = malloc(sizeof(*packet) + size);
    uint8_t *to;

    if (packet == NULL)
        world_fail("no memory for a packet");
    *packet = (struct packet){.size = size};
    to = packet->bytes;
    while (size > 0) {
        size_t part = parts->iov_len;

        if (from >= part) {
            from -= part;
            parts++;
            continue;
        }
        part -= from;
        if (part > size)
            part = size;
        memcpy(to, (const uint8_t *)parts->iov_base + from, part);
        to += part;
        size -= part;
        from = 0;
        parts++;
    }
    return packet;
}

static void deliver(struct socket *self, struct packet *packet, size_t charge)
{
    struct socket *peer = sockets_peer(self);

    packet->charge = charge;
    self->charged += charge;
    if (peer->last)
        peer->last->next = packet;
    else
        peer->first = packet;
    peer->last = packet;
    kernel_stir();
}

static void bear(struct packet *packet, const int *descriptors, size_t count)
{
    if (count == 0)
        return;
    packet->files = malloc(count * sizeof(struct file *));
    if (packet->files == NULL)
        world_fail("no memory for descriptors");
    packet->file_count = count;
    for (size_t i = 0; i < count; i++) {
        packet->files[i] = file_of(kernel.running, descriptors[i]);
        file_hold(packet->files[i]);
    }
}

static ssize_t send_stream(struct socket *self, const struct iovec *parts, size_t size,
                           const int *descriptors, size_t descriptor_count)
{
    struct socket *peer = sockets_peer(self);
    size_t sent = 0;

    if (self->shut & SHUT_OUT)
        return -EPIPE;
    size_t most = (size_t)(self->send_buffer / 2 - 64);

    if (most > HEAD_MAX + STREAM_PAGES)
        most = HEAD_MAX + STREAM_PAGES;
    /* Linux takes whole packets of a stream, or none. */
    size_t whole = kernel_cut((size + most - 1) / most) * most;

    if (size > whole)
        size = whole;
    while (sent < size) {
        size_t part = size - sent < most ? size - sent : most;
        size_t in_pages = 0;

        if (part > HEAD_MAX) {
            in_pages = (part - HEAD_MAX + PAGE - 1) / PAGE * PAGE;
            if (in_pages > part)
                in_pages = part;
        }
        if (self->error != 0 && sent == 0) {
            int error = self->error;

            self->error = 0;
            return -error;
        }
        if (self->charged >= (size_t)self->send_buffer)
            return sent > 0 ? (ssize_t)sent : -EAGAIN;
        if (peer->closed || (peer->shut & SHUT_IN))
            return sent > 0 ? (ssize_t)sent : -EPIPE;
        if (sent == 0 && descriptor_count > 0 && peer->barred)
            return -EPERM;
        struct packet *packet = make_packet(parts, sent, part);

        if (sent == 0)
            bear(packet, descriptors, descriptor_count);
        deliver(self, packet, charge_of(part - in_pages, in_pages));
        sent += part;
    }
    return (ssize_t)sent;
}

static int take_error(struct socket *self)
{
    int error = self->error;

    self->error = 0;
    return -error;
}

/* A datagram socket learns only now that its peer was closed, and loses what lies in it. */
static int disconnect(struct socket *self)
{
    self->disconnected = true;
    packets_drop(self);
    kernel_stir();
    return -ECONNREFUSED;
}

static ssize_t send_packet(struct socket *self, const struct iovec *parts, size_t size,
                           const int *descriptors, size_t descriptor_count)
{
    struct socket *peer = sockets_peer(self);
    bool datagrams = self->pair->type == SOCK_DGRAM;
    size_t in_pages = 0;

    if (!datagrams && self->error != 0)
        return take_error(self);
    if (size > (size_t)self->send_buffer - DATAGRAM_SLACK)
        return -EMSGSIZE;
    if (size > DATAGRAM_HEAD_MAX) {
        in_pages = size - DATAGRAM_HEAD_MAX;
        if (in_pages > DATAGRAM_PAGES_MAX)
            in_pages = DATAGRAM_PAGES_MAX;
        in_pages = (in_pages + PAGE - 1) / PAGE * PAGE;
    }
    if (self->error != 0)
        return take_error(self);
    if (self->shut & SHUT_OUT)
        return -EPIPE;
    if (self->charged >= (size_t)self->send_buffer)
        return -EAGAIN;
    if (self->disconnected)
        return -ENOTCONN;
    if (peer->closed)
        return datagrams ? disconnect(self) : -EPIPE;
    if (peer->shut & SHUT_IN)
        return -EPIPE;
    if (descriptor_count > 0 && peer->barred)
        return -EPERM;
    struct packet *packet = make_packet(parts, 0, size);

    bear(packet, descriptors, descriptor_count);
    deliver(self, packet, charge_of(size - in_pages, in_pages));
    return (ssize_t)size;
}

ssize_t sockets_send(int fd, const struct iovec *parts, size_t count, const int *descriptors,
                     size_t descriptor_count)
{
    struct file *file = file_of(kernel.running, fd);
    size_t size = 0;

    if (descriptor_count > PACKET_FILES)
        return -EINVAL;
    if (file == NULL)
        return -EBADF;
    if (file->kind != FILE_SOCKET)
        return -ENOTSOCK;
    for (size_t i = 0; i < descriptor_count; i++) {
        if (file_of(kernel.running, descriptors[i]) == NULL)
            return -EBADF;
    }
    for (size_t i = 0; i < count; i++)
        size += parts[i].iov_len;
    if (kernel_refuses())
        return -ENOBUFS;
    return file->socket->pair->type == SOCK_STREAM
               ? send_stream(file->socket, parts, size, descriptors, descriptor_count)
               : send_packet(file->socket, parts, size, descriptors, descriptor_count);
}

/* -EBADF or -ENOTSOCK, or 0 and the socket. */
static int find(int fd, struct socket **ret)
{
    struct file *file = file_of(kernel.running, fd);

    if (file == NULL)
        return -EBADF;
    if (file->kind != FILE_SOCKET)
        return -ENOTSOCK;
    *ret = file->socket;
    return 0;
}

int sockets_shutdown(int fd, int how)
{
    struct socket *self;
    int error = find(fd, &self);

    if (error < 0)
        return error;
    if (how < SHUT_RD || how > SHUT_RDWR)
        return -EINVAL;
    unsigned ways = (unsigned)how + 1;
    struct socket *peer = sockets_peer(self);

    self->shut |= ways;
    if (!peer->closed && self->pair->type != SOCK_DGRAM)
        peer->shut |= (ways & SHUT_IN ? SHUT_OUT : 0) | (ways & SHUT_OUT ? SHUT_IN : 0);
    kernel_stir();
    return 0;
}

int sockets_get(int fd, int name, int *ret)
{
    struct socket *self;
    int error = find(fd, &self);

    if (error < 0)
        return error;
    switch (name) {
    case SO_DOMAIN:
        *ret = AF_UNIX;
        return 0;
    case SO_TYPE:
        *ret = self->pair->type;
        return 0;
    case SO_SNDBUF:
        *ret = self->send_buffer;
        return 0;
    case SO_ACCEPTCONN:
        *ret = 0;
        return 0;
    case SO_ERROR:
        *ret = -take_error(self);
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int sockets_set(int fd, int name, int value)
{
    struct socket *self;
    int error = find(fd, &self);

    if (error < 0)
        return error;
    switch (name) {
    case SO_SNDBUF:
        if (value > SEND_BUFFER_MAX)
            value = SEND_BUFFER_MAX;
        self->send_buffer = value * 2 < SEND_BUFFER_MIN ? (int)SEND_BUFFER_MIN : value * 2;
        kernel_stir();
        return 0;
    case SO_PASSRIGHTS:
        if (kernel.options.old)
            return -ENOPROTOOPT;
        self->barred = value == 0;
        return 0;
    case SO_PASSCRED:
        self->asks_who = value != 0;
        return 0;
    case SO_PASSSEC:
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int sockets_connected(int fd)
{
    struct socket *self;
    int error = find(fd, &self);

    if (error < 0)
        return error;
    return self->disconnected ? -ENOTCONN : 0;
}

ssize_t sockets_queued(int fd)
{
    struct file *file = file_of(kernel.running, fd);
    ssize_t size = 0;

    if (file == NULL)
        return -EBADF;
    if (file->kind == FILE_PIPE)
        return pipes_queued(file);
    if (file->kind != FILE_SOCKET)
        return -ENOTTY;
    for (const struct packet *packet = file->socket->first; packet; packet = packet->next) {
        size += (ssize_t)(packet->size - packet->consumed);
        if (file->socket->pair->type == SOCK_DGRAM)
            break;
    }
    return size;
}

int sockets_peer_pidfd(int fd)
{
    struct socket *self;
    int error = find(fd, &self);

    if (error < 0)
        return error;
    if (kernel.options.old)
        return -ENOPROTOOPT;
    for (unsigned i = 0; i < kernel.process_count; i++) {
        if (kernel.processes[i]->generation == self->pair->maker_generation)
            return processes_pidfd(kernel.processes[i]);
    }
    return -ENODATA;
}
