/* SPDX-License-Identifier: MIT */
/*
 * Converses with its parent, in the manner that its argument names.
 *
 *   echo            answer each message with the same; exit with 0 at the end of the conversation
 *   exit N          exit with N
 *   raise N         be killed by signal N
 *   flood BYTES     send messages of 64 KiB, this many bytes in all, and exit with 5
 *   deaf            say "here" and wait for SIGTERM
 *   stubborn        ignore SIGTERM, say "here" and wait for SIGKILL
 *   catching        say "here", answer SIGTERM by exiting with 6
 *   stopped         stop itself; SIGTERM kills it when it goes on
 *   family          start a child that ignores SIGTERM; say its pid; exit with 0 at the end
 *   burn MS         use the processor for so long, 16 MiB of memory, and exit with 0
 *   stdin           read standard input to its end, and exit with 0
 */
#include <duplex.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Nobody lives longer, whatever becomes of the test. Not inherited by a child. */
enum { LIFE_SECONDS = 120 };

static dx_channel *parent;

static void say(const char *text)
{
    if (dx_send(parent, text, strlen(text), DX_FOREVER) < 0)
        _exit(99);
}

static int echo(void)
{
    dx_message message;

    while (dx_recv(parent, &message, DX_FOREVER) == 1) {
        if (dx_send(parent, message.data, message.size, DX_FOREVER) < 0)
            return 98;
    }
    return 0;
}

static int flood(long bytes)
{
    static char block[65536];

    for (; bytes > 0; bytes -= (long)sizeof(block)) {
        if (dx_send(parent, block, sizeof(block), DX_FOREVER) < 0)
            return 97;
    }
    return 5;
}

static void leave(int signal)
{
    (void)signal;
    _exit(6);
}

_Noreturn static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static int family(void)
{
    dx_message message;
    char pid[32];
    pid_t child = fork();

    if (child == 0) {
        alarm(LIFE_SECONDS);
        signal(SIGTERM, SIG_IGN);
        wait_for_ever();
    }
    snprintf(pid, sizeof(pid), "%d", (int)child);
    say(pid);
    while (dx_recv(parent, &message, DX_FOREVER) == 1)
        continue;
    return 0;
}

static int burn(long ms)
{
    size_t size = (size_t)16 << 20;
    volatile char *memory = malloc(size);
    clock_t end = clock() + ms * (CLOCKS_PER_SEC / 1000);

    for (size_t i = 0; i < size; i += 512)
        memory[i] = 1;
    while (clock() < end)
        continue;
    free((void *)memory);
    return 0;
}

static int be_killed(int number)
{
    /* A sanitizer would catch it, and report. */
    signal(number, SIG_DFL);
    return raise(number);
}

static int read_stdin(void)
{
    char bytes[4096];

    while (read(STDIN_FILENO, bytes, sizeof(bytes)) > 0)
        continue;
    return 0;
}

int main(int argc, char **argv)
{
    const char *manner = argc > 1 ? argv[1] : "echo";
    long number = argc > 2 ? atol(argv[2]) : 0;

    alarm(LIFE_SECONDS);
    if (dx_channel_to_parent(&parent, NULL) < 0)
        return 96;
    if (strcmp(manner, "echo") == 0)
        return echo();
    if (strcmp(manner, "exit") == 0)
        return (int)number;
    if (strcmp(manner, "raise") == 0)
        return be_killed((int)number);
    if (strcmp(manner, "flood") == 0)
        return flood(number);
    if (strcmp(manner, "family") == 0)
        return family();
    if (strcmp(manner, "burn") == 0)
        return burn(number);
    if (strcmp(manner, "stdin") == 0)
        return read_stdin();
    if (strcmp(manner, "stubborn") == 0)
        signal(SIGTERM, SIG_IGN);
    if (strcmp(manner, "catching") == 0)
        signal(SIGTERM, leave);
    say("here");
    if (strcmp(manner, "stopped") == 0)
        raise(SIGSTOP);
    wait_for_ever();
}
