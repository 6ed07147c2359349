/* SPDX-License-Identifier: MIT */
/*
 * Points as text: SCENARIO@ROUND/WATCHED/VICTIM/STOP/CALL/NTH, for example
 * "calls@3/parent/child1/entry/sendmsg/2": of round 3 of the calls, as the parent is about to make
 * its second sendmsg(2), the first child is killed.
 */
#include "kill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

static const char *const stops[STOPS] = {"entry", "exit", "step", "birth", "time"};

/* Those that the library makes; of the others the number will do. */
#define CALL(name)                                                                                 \
    {                                                                                              \
#name, SYS_##name                                                                          \
    }
static const struct {
    const char *name;
    unsigned number;
} calls[] = {
    CALL(read),
    CALL(write),
    CALL(close),
    CALL(mmap),
    CALL(munmap),
    CALL(mprotect),
    CALL(madvise),
    CALL(brk),
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(socketpair),
    CALL(sendmsg),
    CALL(sendto),
    CALL(recvmsg),
    CALL(recvfrom),
    CALL(shutdown),
    CALL(getsockopt),
    CALL(setsockopt),
    CALL(getsockname),
    CALL(getpeername),
    CALL(clone),
    CALL(execve),
    CALL(exit_group),
    CALL(waitid),
    CALL(fcntl),
    CALL(ftruncate),
    CALL(fallocate),
    CALL(memfd_create),
    CALL(getpid),
    CALL(getppid),
    CALL(prctl),
    CALL(prlimit64),
    CALL(setsid),
    CALL(setpgid),
    CALL(dup3),
    CALL(pipe2),
    CALL(ppoll),
    CALL(openat),
    CALL(pidfd_open),
    CALL(pidfd_send_signal),
    CALL(close_range),
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_pwait),
    CALL(futex),
    CALL(getrandom),
    CALL(ioctl),
    CALL(getcpu),
    CALL(sched_yield),
    CALL(faccessat),
    CALL(fstatfs),
    CALL(sched_getaffinity),
    CALL(set_robust_list),
    CALL(set_tid_address),
#ifdef SYS_poll
    CALL(poll),
#endif
#ifdef SYS_vfork
    CALL(vfork),
#endif
};
enum { CALL_COUNT = sizeof(calls) / sizeof(calls[0]) };

static void print_who(char text[16], int who)
{
    if (who == PARENT)
        snprintf(text, 16, "parent");
    else
        snprintf(text, 16, "child%d", who);
}

static bool parse_who(int *ret, const char *text)
{
    if (strcmp(text, "parent") == 0)
        *ret = PARENT;
    else if (strncmp(text, "child", 5) == 0 && text[5] >= '1' && text[5] <= '9')
        *ret = (int)strtol(text + 5, NULL, 10);
    else
        return false;
    return *ret <= CHILDREN_MAX;
}

void point_print(const struct point *point, char *text, size_t size)
{
    char watched[16], victim[16], call[32];

    print_who(watched, point->watched);
    print_who(victim, point->victim);
    snprintf(call, sizeof(call), "%u", point->call);
    for (size_t i = 0; i < CALL_COUNT && point->stop <= AT_EXIT; i++) {
        if (calls[i].number == point->call)
            snprintf(call, sizeof(call), "%s", calls[i].name);
    }
    snprintf(text, size, "%s@%u/%s/%s/%s/%s/%u", point->scenario->name, point->round, watched,
             victim, stops[point->stop], call, point->nth);
}

bool point_parse(struct point *ret, const char *text)
{
    char name[32], watched[16], victim[16], stop[16], call[32];
    int end = 0;

    *ret = (struct point){0};
    if (sscanf(text, "%31[^@]@%u/%15[^/]/%15[^/]/%15[^/]/%31[^/]/%u%n", name, &ret->round, watched,
               victim, stop, call, &ret->nth, &end) != 7 ||
        text[end] != '\0')
        return false;
    for (size_t i = 0; i < scenario_count; i++) {
        if (strcmp(scenarios[i].name, name) == 0)
            ret->scenario = &scenarios[i];
    }
    ret->stop = STOPS;
    for (int i = 0; i < STOPS; i++) {
        if (strcmp(stops[i], stop) == 0)
            ret->stop = (enum stop)i;
    }
    ret->call = (unsigned)strtoul(call, NULL, 10);
    for (size_t i = 0; i < CALL_COUNT; i++) {
        if (strcmp(calls[i].name, call) == 0)
            ret->call = calls[i].number;
    }
    return ret->scenario && ret->stop != STOPS && parse_who(&ret->watched, watched) &&
           parse_who(&ret->victim, victim);
}
