/* SPDX-License-Identifier: MIT */
/*
 * fresh PROGRAM [ARGUMENT...]: run a test with only 0, 1 and 2 open and with the default signals.
 * Who runs the tests leaks a log here and ignores a signal there, and the tests look at just that.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void close_what_was_inherited(void)
{
    int inherited[256];
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");

    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory)) && count < 256;) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (fd > STDERR_FILENO && fd != dirfd(directory))
            inherited[count++] = fd;
    }
    closedir(directory);
    while (count > 0)
        close(inherited[--count]);
}

static void reset_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
}

int main(int argc, char *argv[])
{
    if (argc < 2)
        return 2;
    close_what_was_inherited();
    reset_signals();
    execvp(argv[1], argv + 1);
    fprintf(stderr, "cannot run %s: %s\n", argv[1], strerror(errno));
    return 127;
}
