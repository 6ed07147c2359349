/* SPDX-License-Identifier: MIT */
/*
 * Send, receive and call so often, for tools/instructions to have valgrind count the instructions.
 *
 * usage: program_instructions LANE WORK COUNT    LANE: socket, fast; WORK: see the table below
 *        program_instructions key                say by which compiler, for what this was built
 *
 * Both ends live here and take turns, so nothing ever waits, and what is counted depends on nothing
 * but the code. Only what happens in counted() is of interest; the rest is how it comes to that.
 */
#include <duplex.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

enum { SIZE = 64, WARM_UP = 200, BATCH = 64 };

static dx_channel *ends[2];
static char words[SIZE];

static void must(int status, const char *what)
{
    if (status >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, dx_error_text(status));
    exit(1);
}

static void say(dx_channel *channel)
{
    must(dx_send(channel, words, SIZE, DX_NOW), "dx_send");
}

static void hear(dx_channel *channel)
{
    dx_message message;

    must(dx_recv(channel, &message, DX_NOW), "dx_recv");
    if (message.size != SIZE)
        must(-EBADMSG, "dx_recv");
}

static void call(void)
{
    dx_message message;
    uint64_t id;

    must(dx_call_start(ends[0], words, SIZE, &id, DX_NOW), "dx_call_start");
    must(dx_recv(ends[1], &message, DX_NOW), "dx_recv");
    must(dx_reply(ends[1], message.id, words, SIZE, DX_NOW), "dx_reply");
    must(dx_recv(ends[0], &message, DX_NOW), "dx_recv");
}

static void say_many(void)
{
    must(dx_cork(ends[0]), "dx_cork");
    for (int i = 0; i < BATCH; i++)
        say(ends[0]);
    must(dx_flush(ends[0], DX_NOW), "dx_flush");
}

static void hear_many(void)
{
    for (int i = 0; i < BATCH; i++)
        hear(ends[1]);
}

static void say_one(void)
{
    say(ends[0]);
}

static void hear_one(void)
{
    hear(ends[1]);
}

static void nothing(void) {}

/* A round is what comes before, what is counted, and what comes after. */
static const struct work {
    const char *name;
    void (*before)(void), (*counted)(void), (*after)(void);
} works[] = {
    {"send", nothing, say_one, hear_one},
    {"receive", say_one, hear_one, nothing},
    {"call", nothing, call, nothing},
    {"send-64-corked", nothing, say_many, hear_many},
    {"receive-64", say_many, hear_many, nothing},
};

/* The compiler must neither fold it into its callers nor learn from them what it gets. */
#ifdef __clang__
#define KEPT_APART __attribute__((noinline))
#else
#define KEPT_APART __attribute__((noinline, noipa))
#endif

/* Valgrind counts from here to the return. */
KEPT_APART void counted(void (*work)(void));

void counted(void (*work)(void))
{
    work();
    __asm__ volatile("");
}

/* Talk until the conversation is where it shall be counted. */
static void warm_up(bool fast)
{
    for (int i = 0; i < WARM_UP; i++) {
        say(ends[0]);
        hear(ends[1]);
        say(ends[1]);
        hear(ends[0]);
    }
    for (int i = 0; i < 2; i++)
        if ((dx_channel_is_fast(ends[i]) == 1) != fast) {
            fprintf(stderr, "the conversation is %s the fast lane\n", fast ? "not on" : "on");
            exit(1);
        }
}

static void say_key(void)
{
    struct utsname system;

    must(uname(&system), "uname");
#ifdef __clang__
    printf("clang-%d.%d.%d", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
    printf("gcc-%d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
#ifdef __GLIBC__
    printf(" glibc-%s", gnu_get_libc_version());
#else
    printf(" libc");
#endif
    printf(" %s\n", system.machine);
}

int main(int argc, char **argv)
{
    dx_channel_options options = {.spin_us = -1};
    const struct work *work = NULL;

    if (argc == 2 && strcmp(argv[1], "key") == 0) {
        say_key();
        return 0;
    }
    for (size_t i = 0; argc == 4 && i < sizeof(works) / sizeof(works[0]); i++)
        if (strcmp(works[i].name, argv[2]) == 0)
            work = &works[i];
    if (work == NULL) {
        fputs("usage: program_instructions socket|fast WORK COUNT\n", stderr);
        return 2;
    }
    options.socket_only = strcmp(argv[1], "socket") == 0;
    must(dx_channel_pair(ends, &options), "dx_channel_pair");
    warm_up(!options.socket_only);

    long count = strtol(argv[3], NULL, 10);

    for (long i = 0; i < count; i++) {
        work->before();
        counted(work->counted);
        work->after();
    }
    dx_channel_close(ends[0]);
    dx_channel_close(ends[1]);
    return 0;
}
