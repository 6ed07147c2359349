/* SPDX-License-Identifier: MIT */
/*
 * See stranger.h.
 */
#include "stranger.h"

#include "wire/bytes.h"

#include <sys/socket.h>
#include <unistd.h>

void encode_header(const struct header *header, uint8_t ret[DXI_HEADER_SIZE])
{
    dxi_store32(ret, header->length);
    ret[4] = header->kind;
    ret[5] = header->flags;
    dxi_store16(ret + 6, header->descriptors);
    dxi_store64(ret + 8, header->id);
}

ssize_t hear(struct stranger *stranger, struct header *ret, uint8_t *payload, size_t size)
{
    static uint8_t packet[DXI_PACKET_MAX];
    size_t wanted = stranger->type == DX_STREAM ? DXI_HEADER_SIZE : sizeof(packet);
    ssize_t got = recv(stranger->fd, packet, wanted, MSG_DONTWAIT);

    if (got < 0 && errno == EAGAIN)
        return -2;
    if (got <= 0)
        return -1;
    ck_assert_int_ge(got, DXI_HEADER_SIZE);
    *ret = (struct header){
        .length = dxi_load32(packet),
        .kind = packet[4],
        .flags = packet[5],
        .descriptors = dxi_load16(packet + 6),
        .id = dxi_load64(packet + 8),
    };
    ck_assert_uint_le(ret->length, size);
    if (stranger->type == DX_STREAM && ret->length > 0)
        ck_assert_int_eq(recv(stranger->fd, payload, ret->length, MSG_DONTWAIT | MSG_WAITALL),
                         ret->length);
    else
        memcpy(payload, packet + DXI_HEADER_SIZE, ret->length);
    return ret->length;
}

struct stranger meet_stranger(dx_channel_type type, const dx_channel_options *options)
{
    struct stranger stranger = {.type = type};
    struct header header;
    uint8_t payload[DXI_HELLO_SIZE];

    stranger.channel = open_with_raw_peer(type, options, &stranger.fd);
    ck_assert_int_eq(hear(&stranger, &header, payload, sizeof(payload)), DXI_HELLO_SIZE);
    ck_assert_int_eq(header.kind, DXI_KIND_HELLO);
    return stranger;
}

void greet_as(struct stranger *stranger, uint16_t version, uint16_t descriptor_limit,
              uint64_t message_limit)
{
    struct dxi_hello hello = {
        .version = version,
        .descriptor_limit = descriptor_limit,
        .message_limit = message_limit,
        .request_limit = 1024,
    };
    uint8_t payload[DXI_HELLO_SIZE];

    dxi_hello_encode(&hello, payload);
    ck_assert_int_eq(say_frame(stranger,
                               &(struct header){.length = DXI_HELLO_SIZE, .kind = DXI_KIND_HELLO},
                               payload, sizeof(payload), NULL, 0),
                     0);
}

struct stranger meet_greeted(dx_channel_type type, const dx_channel_options *options)
{
    struct stranger stranger = meet_stranger(type, options);

    greet_as(&stranger, DXI_VERSION, DX_DESCRIPTORS_MAX, DX_MESSAGE_LIMIT_MAX);
    return stranger;
}

static int say_parts(struct stranger *stranger, struct iovec *parts, size_t part_count,
                     const int *descriptors, size_t count)
{
    size_t size = 0;

    for (size_t i = 0; i < part_count; i++)
        size += parts[i].iov_len;
    ssize_t sent = dxi_linux.send(stranger->fd, parts, part_count, descriptors, count);

    if (sent < 0)
        return (int)sent;
    ck_assert_uint_eq((size_t)sent, size);
    return 0;
}

int say_with(struct stranger *stranger, const void *bytes, size_t size, const int *descriptors,
             size_t count)
{
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};

    return say_parts(stranger, &part, 1, descriptors, count);
}

int say(struct stranger *stranger, const void *bytes, size_t size)
{
    return say_with(stranger, bytes, size, NULL, 0);
}

int say_frame(struct stranger *stranger, const struct header *header, const void *payload,
              size_t size, const int *descriptors, size_t count)
{
    uint8_t bytes[DXI_HEADER_SIZE];
    struct iovec parts[2] = {
        {.iov_base = bytes, .iov_len = sizeof(bytes)},
        {.iov_base = (void *)payload, .iov_len = size},
    };

    encode_header(header, bytes);
    return say_parts(stranger, parts, size > 0 ? 2 : 1, descriptors, count);
}

void say_message(struct stranger *stranger, const char *text)
{
    struct header header = {.length = (uint32_t)strlen(text), .kind = DXI_KIND_MESSAGE};

    ck_assert_int_eq(say_frame(stranger, &header, text, strlen(text), NULL, 0), 0);
}

void expect_text(dx_channel *channel, const char *text)
{
    dx_message message;
    int status = dx_recv(channel, &message, 1000);

    ck_assert_msg(status == 1, "%d instead of '%s': %s", status, text, dx_channel_explain(channel));
    ck_assert_uint_eq(message.size, strlen(text));
    ck_assert_mem_eq(message.data, text, message.size);
}

void part(struct stranger *stranger)
{
    if (stranger->fd >= 0)
        close(stranger->fd);
    stranger->channel = dx_channel_close(stranger->channel);
}
