/* SPDX-License-Identifier: MIT */
/*
 * Claims its channel, answers questions about what it finds then, and echoes until the end.
 *
 *   child_claimer HANDOVER TEXT QUESTION...
 *
 * HANDOVER is a number of dx_handover, TEXT the claim's ("-": none; for FDS "READ,WRITE"). Each
 * answer is a message. A claim that fails is explained on standard error, and the exit status is 70.
 */
#include <duplex.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIFE_SECONDS = 120 };

static dx_channel *channel;

static void say(const char *text)
{
    if (dx_send(channel, text, strlen(text), DX_FOREVER) < 0)
        _exit(99);
}

/* The open descriptors that a program started by this one would have. */
static void say_inherited(void)
{
    char list[512] = "";

    for (int fd = 0; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFD);

        if (flags >= 0 && (flags & FD_CLOEXEC) == 0)
            snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%d", *list ? " " : "",
                     fd);
    }
    say(list);
}

static void say_variable(const char *name)
{
    const char *value = getenv(name);

    say(value ? value : "(none)");
}

static void say_stdin(void)
{
    char byte;

    say(read(0, &byte, 1) == 0 ? "the end" : "something");
}

static void say_again(const dx_claim *claim)
{
    dx_failure failure = {0};
    dx_channel *second = NULL;

    int status = dx_channel_claim(&second, claim, &(dx_channel_options){.failure = &failure});

    say(status == 0 ? "claimed twice" : failure.text);
    dx_channel_close(second);
}

static void answer(const char *question, const dx_claim *claim)
{
    if (strcmp(question, "inherited") == 0)
        say_inherited();
    else if (strcmp(question, "stdin") == 0)
        say_stdin();
    else if (strcmp(question, "print") == 0)
        say(printf("printed\n") > 0 && fflush(stdout) == 0 ? "printed" : "not printed");
    else if (strcmp(question, "again") == 0)
        say_again(claim);
    else
        say_variable(question);
}

static int echo(void)
{
    dx_message message;
    int status;

    while ((status = dx_recv(channel, &message, DX_FOREVER)) == 1) {
        if (dx_send(channel, message.data, message.size, DX_FOREVER) < 0)
            return 98;
    }
    return status == 0 ? 0 : 97;
}

int main(int argc, char **argv)
{
    dx_failure failure = {0};
    dx_channel_options options = {.failure = &failure};
    dx_claim claim = {.handover = argc > 1 ? (dx_handover)atoi(argv[1]) : DX_HANDOVER_ENV};

    alarm(LIFE_SECONDS);
    if (argc > 2 && strcmp(argv[2], "-") != 0)
        claim.text = argv[2];
    if (claim.handover == DX_HANDOVER_FDS && claim.text)
        sscanf(claim.text, "%d,%d", &claim.read_fd, &claim.write_fd);
    if (dx_channel_claim(&channel, &claim, &options) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return 70;
    }
    for (int i = 3; i < argc; i++)
        answer(argv[i], &claim);
    int status = echo();

    dx_channel_close(channel);
    return status;
}
