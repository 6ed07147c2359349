/* SPDX-License-Identifier: MIT */
/*
 * A program for spawn_program.c to start: takes the channel to the parent that started it and
 * answers each message in capitals, until the parent has said everything.
 */
#include <duplex.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static int answer(dx_channel *parent, const dx_message *message)
{
    const unsigned char *said = message->data;
    char *capitals = malloc(message->size + 1);
    size_t i;
    int result;

    if (!capitals)
        return -1;
    for (i = 0; i < message->size; i++)
        capitals[i] = (char)toupper(said[i]);
    result = dx_send(parent, capitals, message->size, DX_FOREVER);
    free(capitals);
    return result;
}

int main(void)
{
    dx_failure failure = {0};
    dx_channel_options options = {.failure = &failure};
    dx_channel *parent;
    dx_message message;
    int result;

    if (dx_channel_to_parent(&parent, &options) < 0) {
        fprintf(stderr, "child_program: %s\n", failure.text);
        return 1;
    }
    while ((result = dx_recv(parent, &message, DX_FOREVER)) == 1) {
        result = answer(parent, &message);
        if (result < 0)
            break;
    }
    if (result < 0)
        fprintf(stderr, "child_program: %s\n", dx_channel_explain(parent));
    dx_channel_close(parent);
    return result < 0 ? 1 : 0;
}
