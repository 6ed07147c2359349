/* SPDX-License-Identifier: MIT */
/*
 * Simulated sockets: what a receive brings, and what becomes of the descriptors in it.
 */
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void drop_files(struct packet *packet)
{
    size_t count = packet->file_count;

    packet->file_count = 0;
    for (size_t i = 0; i < count; i++)
        file_let_go(packet->files[i]);
    free(packet->files);
    packet->files = NULL;
}

/* Take the first packet off; its sender has its room again. */
static void unlink_first(struct socket *self)
{
    struct packet *packet = self->first;

    self->first = packet->next;
    if (self->first == NULL)
        self->last = NULL;
    sockets_peer(self)->charged -= packet->charge;
    drop_files(packet);
    free(packet);
    kernel_stir();
}

void packets_drop(struct socket *owner)
{
    while (owner->first != NULL)
        unlink_first(owner);
}

/*
 * The kernel's control buffer has room for an even number of descriptors. What comes beyond the
 * capacity is closed by whoever called it, and counts as lost, as what finds no number does.
 */
static void hand_over(struct packet *packet, struct dxi_arrival *arrival)
{
    if (packet->file_count == 0)
        return;
    if (packet->file_count > arrival->capacity)
        arrival->lost = true;
    for (size_t i = 0; i < packet->file_count && i < arrival->capacity; i++) {
        int fd = file_place(kernel.running, packet->files[i], 0, true);

        if (fd < 0) {
            arrival->lost = true;
            break;
        }
        arrival->descriptors[arrival->count++] = fd;
    }
    drop_files(packet);
}

static void take_files(struct packet *packet, struct dxi_arrival *arrival)
{
    if (arrival->barred)
        drop_files(packet);
    else
        hand_over(packet, arrival);
}

static ssize_t receive_stream(struct socket *self, uint8_t *bytes, size_t size,
                              struct dxi_arrival *arrival)
{
    size_t copied = 0;

    if (self->first == NULL) {
        if (self->error != 0) {
            int error = self->error;

            self->error = 0;
            return -error;
        }
        return self->shut & SHUT_IN ? 0 : -EAGAIN;
    }
    while (copied < size && self->first != NULL) {
        struct packet *packet = self->first;
        size_t part = packet->size - packet->consumed;
        bool bears = packet->file_count > 0;

        if (part > size - copied)
            part = size - copied;
        memcpy(bytes + copied, packet->bytes + packet->consumed, part);
        copied += part;
        packet->consumed += part;
        if (bears)
            take_files(packet, arrival);
        if (packet->consumed < packet->size)
            break;
        unlink_first(self);
        if (bears)
            break;
    }
    return (ssize_t)copied;
}

static ssize_t receive_packet(struct socket *self, uint8_t *bytes, size_t size,
                              struct dxi_arrival *arrival)
{
    struct packet *packet = self->first;

    if (self->error != 0) {
        int error = self->error;

        self->error = 0;
        return -error;
    }
    if (packet == NULL) {
        if (self->pair->type != SOCK_SEQPACKET)
            return -EAGAIN;
        /* Linux holds no lock between the look for a packet and the look for the end. */
        kernel_interrupt();
        return self->shut & SHUT_IN ? 0 : -EAGAIN;
    }
    size_t part = packet->size < size ? packet->size : size;

    memcpy(bytes, packet->bytes, part);
    arrival->cut = packet->size > size && (!arrival->barred || arrival->packets);
    arrival->has_sender = self->asks_who && !arrival->barred;
    take_files(packet, arrival);
    unlink_first(self);
    return (ssize_t)part;
}

ssize_t sockets_receive(int fd, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    struct file *file = file_of(kernel.running, fd);

    arrival->count = 0;
    arrival->lost = false;
    arrival->cut = false;
    arrival->has_sender = false;
    if (file == NULL)
        return -EBADF;
    if (file->kind != FILE_SOCKET)
        return -ENOTSOCK;
    return file->socket->pair->type == SOCK_STREAM
               ? receive_stream(file->socket, bytes, size, arrival)
               : receive_packet(file->socket, bytes, size, arrival);
}
