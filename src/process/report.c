/* SPDX-License-Identifier: MIT */
/*
 * How a child ended, in fields and in a sentence.
 */
#include "process/process.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* sigabbrev_np(3) would do, and only glibc has it. */
static const struct {
    int signal;
    const char *name;
} names[] = {
    {SIGHUP, "SIGHUP"},       {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"}, {SIGILL, "SIGILL"},
    {SIGTRAP, "SIGTRAP"},     {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},
    {SIGKILL, "SIGKILL"},     {SIGUSR1, "SIGUSR1"}, {SIGSEGV, "SIGSEGV"}, {SIGUSR2, "SIGUSR2"},
    {SIGPIPE, "SIGPIPE"},     {SIGALRM, "SIGALRM"}, {SIGTERM, "SIGTERM"}, {SIGCHLD, "SIGCHLD"},
    {SIGCONT, "SIGCONT"},     {SIGSTOP, "SIGSTOP"}, {SIGTSTP, "SIGTSTP"}, {SIGTTIN, "SIGTTIN"},
    {SIGTTOU, "SIGTTOU"},     {SIGURG, "SIGURG"},   {SIGXCPU, "SIGXCPU"}, {SIGXFSZ, "SIGXFSZ"},
    {SIGVTALRM, "SIGVTALRM"}, {SIGPROF, "SIGPROF"}, {SIGIO, "SIGIO"},     {SIGSYS, "SIGSYS"},
    {SIGWINCH, "SIGWINCH"},
#ifdef SIGPWR
    {SIGPWR, "SIGPWR"},
#endif
#ifdef SIGSTKFLT
    {SIGSTKFLT, "SIGSTKFLT"},
#endif
};

const char *dxi_signal_name(int signal, char *buffer, size_t size)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].signal == signal)
            return names[i].name;
    }
    if (signal == SIGRTMIN)
        snprintf(buffer, size, "SIGRTMIN");
    else if (signal > SIGRTMIN && signal <= SIGRTMAX)
        snprintf(buffer, size, "SIGRTMIN+%d", signal - SIGRTMIN);
    else
        snprintf(buffer, size, "signal %d", signal);
    return buffer;
}

void dxi_exit_fill(dx_exit *ret, const struct dxi_ended *ended)
{
    char name[32];

    memset(ret, 0, sizeof(*ret));
    ret->user_us = ended->user_us;
    ret->system_us = ended->system_us;
    ret->peak_memory_bytes = ended->peak_memory_bytes;
    if (!ended->known) {
        ret->kind = DX_EXIT_UNKNOWN;
        snprintf(ret->text, sizeof(ret->text),
                 "ended; how is not known, because this program ignores SIGCHLD or reaps children "
                 "that are not its own");
    } else if (ended->wait_code == CLD_EXITED) {
        ret->kind = DX_EXIT_CODE;
        ret->code = ended->wait_status;
        snprintf(ret->text, sizeof(ret->text), "exited with status %d", ret->code);
    } else {
        ret->kind = DX_EXIT_SIGNAL;
        ret->signal = ended->wait_status;
        ret->core_dumped = ended->wait_code == CLD_DUMPED;
        snprintf(ret->text, sizeof(ret->text), "killed by %s%s",
                 dxi_signal_name(ret->signal, name, sizeof(name)),
                 ret->core_dumped ? " (core dumped)" : "");
    }
}
