/* SPDX-License-Identifier: MIT */
/*
 * child_soak talk MANNER PATIENCE LIMIT, or child_soak work: see partner.c and worker.c, which it shares
 * with the functions that the soak forks.
 */
#include "partner.c"
#include "worker.c"

#include <stdlib.h>

int main(int argc, char **argv)
{
    dx_channel_options options = {.descriptor_limit = 4, .message_limit = SOAK_MESSAGE_MAX};
    dx_channel *parent;
    int status;

    if (argc < 2 || dx_channel_to_parent(&parent, &options) < 0)
        return 96;
    if (argc == 4)
        status = soak_partner(parent, (enum soak_manner)atoi(argv[2]), (unsigned)atoi(argv[3]));
    else
        status = soak_work(parent, NULL);
    dx_channel_close(parent);
    return status;
}
