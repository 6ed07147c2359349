/* SPDX-License-Identifier: MIT */
/*
 * A child that behaves: sends each message back, and leaves at the end of the conversation.
 */
#include <duplex.h>

#include <unistd.h>

int main(void)
{
    dx_channel *parent;
    dx_message message;
    int status;

    alarm(300);
    if (dx_channel_to_parent(&parent, NULL) < 0)
        return 2;
    while ((status = dx_recv(parent, &message, DX_FOREVER)) == 1) {
        if (dx_send(parent, message.data, message.size, DX_FOREVER) < 0)
            return 3;
    }
    dx_channel_close(parent);
    return status == 0 ? 0 : 4;
}
