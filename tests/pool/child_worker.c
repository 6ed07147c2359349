/* SPDX-License-Identifier: MIT */
/*
 * A worker that is a program: does what its jobs say, see obey.h. Its argument may name a manner:
 *
 *   slow MS    greet after so long
 *   broken     say three lines on standard error, and exit with 3 before it greets
 *   mute       say a line on standard error, and never greet
 *   hello      say "ready" as a message first
 *   late MS    the same after so long
 *   memory MIB take so much, and work
 *   bye        work, and say "bye\n" on standard error in the end
 */
#include "obey.h"

static dx_channel *parent;

static void say_ready(void)
{
    if (dx_send(parent, "ready", 5, DX_FOREVER) < 0)
        _exit(95);
}

static void complain(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        _exit(94);
}

int main(int argc, char **argv)
{
    const char *manner = argc > 1 ? argv[1] : "";
    long number = argc > 2 ? atol(argv[2]) : 0;

    alarm(WORKER_LIFE_SECONDS);
    if (strcmp(manner, "slow") == 0)
        obey_pause(number);
    if (strcmp(manner, "broken") == 0) {
        complain("loading the model\ncannot open 'model.bin'\ngiving up\n");
        return 3;
    }
    if (strcmp(manner, "mute") == 0) {
        complain("waiting for the licence server\n");
        obey_hang();
    }
    if (dx_channel_to_parent(&parent, &(dx_channel_options){.descriptor_limit = 4}) < 0)
        return 96;
    if (strcmp(manner, "late") == 0)
        obey_pause(number);
    if (strcmp(manner, "hello") == 0 || strcmp(manner, "late") == 0)
        say_ready();
    int status = dx_work(parent, obey_job, NULL);

    if (strcmp(manner, "bye") == 0)
        complain("bye\n");
    return status < 0 ? 98 : 0;
}
