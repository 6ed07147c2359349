/* SPDX-License-Identifier: MIT */
/* Signals as a descriptor; see interrupt.h. */
#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

int interrupt_open(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t set;
    size_t i;
    int fd;

    sigemptyset(&set);
    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        struct sigaction action;

        /* Linux queues a blocked signal even when it is ignored, so it must not enter the set. */
        if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&set, signals[i]);
    }
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int interrupt_take(int interrupt_fd)
{
    struct signalfd_siginfo information;

    if (read(interrupt_fd, &information, sizeof(information)) != (ssize_t)sizeof(information))
        return 0;
    return (int)information.ssi_signo;
}

void interrupt_ignore(int signal_number)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};

    /* It fails for numbers that are no signals only. */
    (void)sigaction(signal_number, &ignore, NULL);
}
