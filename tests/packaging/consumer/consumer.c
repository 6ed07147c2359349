/* SPDX-License-Identifier: MIT */
/* A user of the installed library: converses with itself and says the library's version. */
#include <duplex.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    dx_channel *ends[2];
    dx_message message;

    if (strcmp(dx_version(), DX_VERSION) != 0 || dx_channel_pair(ends, NULL) < 0)
        return 1;
    int error = dx_send(ends[0], "hello", 5, DX_NOW);
    if (error < 0 || dx_recv(ends[1], &message, 1000) != 1 || message.size != 5) {
        fprintf(stderr, "%s; %s\n", dx_channel_explain(ends[0]), dx_channel_explain(ends[1]));
        return 1;
    }
    dx_channel_close(ends[0]);
    dx_channel_close(ends[1]);
    puts(dx_version());
    return 0;
}
