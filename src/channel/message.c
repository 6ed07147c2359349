/* SPDX-License-Identifier: MIT */
/*
 * What a user does with a message once it is received.
 */
#include <duplex/message.h>

#include <errno.h>

int dx_message_take(dx_message *message, size_t index)
{
    if (message == NULL || index >= message->descriptor_count)
        return -EINVAL;
    int fd = message->descriptors[index];

    if (fd < 0)
        return -EBADF;
    message->descriptors[index] = -1;
    return fd;
}
