/* SPDX-License-Identifier: MIT */
/*
 * A child of `duplex talk --framing native` for the tests, in the manner that its argument names:
 *
 *   echo      answers each message with the same
 *   loud      as echo, and prints "seen" on its standard output each time
 *   newline   says one message that holds a newline, and an empty one
 *   late      hears everything to the end, then answers with the number of messages
 *   first     ends its own direction at once, then hears everything to the end; exits with 7
 *   garbage   writes what is no frame to its channel, and stays
 *   cut       dies in the middle of a frame's header
 */
#include <duplex.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int hear_all(dx_channel *parent, bool echo, bool loud)
{
    dx_message message;
    int count = 0;

    while (dx_recv(parent, &message, DX_FOREVER) == 1) {
        count++;
        if (loud) {
            puts("seen");
            fflush(stdout);
        }
        if (echo && dx_send(parent, message.data, message.size, DX_FOREVER) < 0)
            exit(1);
    }
    return count;
}

static int write_raw(const void *data, size_t size)
{
    const char *number = getenv("DUPLEX_FD");

    return number && write(atoi(number), data, size) == (ssize_t)size ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *manner = argc > 1 ? argv[1] : "";
    dx_channel *parent;
    char text[32];
    int status = 0;

    if (strcmp(manner, "garbage") == 0) {
        if (write_raw("this is no frame of any kind", 28) != 0)
            return 1;
        for (;;)
            pause();
    }
    if (strcmp(manner, "cut") == 0)
        return write_raw("\0\0\0", 3);

    if (dx_channel_to_parent(&parent, NULL) < 0)
        return 1;
    if (strcmp(manner, "echo") == 0 || strcmp(manner, "loud") == 0) {
        hear_all(parent, true, manner[0] == 'l');
    } else if (strcmp(manner, "newline") == 0) {
        dx_send(parent, "two\nlines", 9, DX_FOREVER);
        dx_send(parent, NULL, 0, DX_FOREVER);
    } else if (strcmp(manner, "late") == 0) {
        snprintf(text, sizeof(text), "%d", hear_all(parent, false, false));
        dx_send(parent, text, strlen(text), DX_FOREVER);
    } else if (strcmp(manner, "first") == 0) {
        dx_channel_end(parent, DX_FOREVER);
        hear_all(parent, false, false);
        status = 7;
    } else {
        status = 2;
    }
    dx_channel_close(parent);
    return status;
}
