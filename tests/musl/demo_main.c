/* SPDX-License-Identifier: MIT */
/*
 * The conversation of `duplex demo` for a C library that has neither argp nor jansson: built with
 * cli/demo.c, cli/console.c and cli/interrupt.c, and the library. It shows that the library and the
 * command's conversation run on musl, and nothing more: demo [-n ROUNDS] [-i SECONDS] [-t TYPE].
 */
#include "console.h"
#include "demo.h"
#include "interrupt.h"
#include "status.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static dx_channel_type type_by_name(const char *name)
{
    if (strcmp(name, "dgram") == 0)
        return DX_DGRAM;
    return strcmp(name, "seqpacket") == 0 ? DX_SEQPACKET : DX_STREAM;
}

int main(int argc, char **argv)
{
    demo_options options = {.interval_ms = 1000, .print = demo_print_line};
    int interrupt_fd;
    int option;

    while ((option = getopt(argc, argv, "n:i:t:")) != -1) {
        if (option == 'n')
            options.rounds = strtoull(optarg, NULL, 10);
        else if (option == 'i')
            options.interval_ms = (int)(strtod(optarg, NULL) * 1000);
        else if (option == 't')
            options.type = type_by_name(optarg);
        else
            return STATUS_FAILURE;
    }
    console_secure_descriptors();
    signal(SIGPIPE, SIG_IGN);
    interrupt_fd = interrupt_open();
    if (interrupt_fd < 0) {
        complain("cannot watch for signals: %s", strerror(-interrupt_fd));
        return STATUS_FAILURE;
    }
    return demo_converse(&options, interrupt_fd);
}
