/* SPDX-License-Identifier: MIT */
/*
 * What a traced process does, stop by stop, until the point has come. A victim that is traced itself
 * is let go with the signal, so that its end is its parent's to see, as it is without a tracer; so
 * are all others from that moment on, and what follows runs free.
 */
#include "run.h"

#include <linux/ptrace.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* More than there are, unless somebody turns in circles, which the verdict will say. */
enum { SIGHTINGS_MAX = 50000 };

static void let_go(struct run *run, pid_t pid, int signal)
{
    int place = run_place(run, pid);

    run_trace(PTRACE_DETACH, pid, 0, (uintptr_t)signal);
    if (place >= 0)
        run->held[place] = false;
}

/* `stopped` is at the point. False if the victim has ended before. */
static bool kill_at(struct run *run, pid_t stopped, bool can_carry_signal)
{
    int victim = run->point->victim;

    if (run_has_ended(run, victim))
        return false;
    run_condemn(run);
    if (run->pids[victim] == stopped && can_carry_signal) {
        let_go(run, stopped, SIGKILL);
        return true;
    }
    syscall(SYS_kill, run->pids[victim], SIGKILL);
    if (run->pids[victim] != stopped)
        let_go(run, stopped, 0);
    return true;
}

static void note(struct run *run, enum stop stop, unsigned call, unsigned nth)
{
    struct sightings *list = run->list;

    if (!list || list->count == SIGHTINGS_MAX)
        return;
    if (list->count == list->room) {
        list->room = list->room * 2 + 256;
        list->items = realloc(list->items, list->room * sizeof(*list->items));
        if (!list->items)
            abort();
    }
    list->items[list->count++] = (struct sighting){
        .stop = stop,
        .call = call,
        .nth = nth,
        .other_lives = !run_has_ended(run, run->point->watched == PARENT ? CHILD : PARENT),
    };
}

/* The watched one has passed a mark. True if it has been let go. */
static bool pass_mark(struct run *run, pid_t pid, unsigned number)
{
    const struct point *point = run->point;

    if (number == MARK_BEGIN)
        run->open = true;
    if (number == MARK_END) {
        run->over = true;
        let_go(run, pid, 0);
        return true;
    }
    if (number >= MARKS_MAX)
        return false;
    run->last_mark = number;
    run->steps = 0;
    run->stepping = point->stop == AT_STEP && (run->list || point->call == number);
    return false;
}

/* The watched one is before or after a system call. True if it has been let go. */
static bool at_call(struct run *run, pid_t pid)
{
    const struct point *point = run->point;
    struct ptrace_syscall_info info = {0};

    if (run_trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), (uintptr_t)&info) <= 0)
        return false;
    bool entry = info.op == PTRACE_SYSCALL_INFO_ENTRY;

    if (entry) {
        run->call = (unsigned)info.entry.nr;
        if (info.entry.nr == SYS_getpriority && info.entry.args[0] == MARK_CALL)
            run->call = CALLS_MAX + (unsigned)info.entry.args[1];
    }
    if (run->call >= CALLS_MAX)
        return !entry && pass_mark(run, pid, run->call - CALLS_MAX);
    if (!run->open || point->stop > AT_EXIT)
        return false;
    enum stop stop = entry ? AT_ENTRY : AT_EXIT;
    unsigned nth = ++run->times[stop][run->call];

    note(run, stop, run->call, nth);
    if (run->list || stop != point->stop || run->call != point->call || nth != point->nth)
        return false;
    return kill_at(run, pid, true);
}

/* The watched one has executed an instruction. As at_call(). */
static bool at_step(struct run *run, pid_t pid)
{
    run->steps++;
    note(run, AT_STEP, run->last_mark, run->steps);
    if (run->steps >= STEPS_MAX)
        run->stepping = false;
    return !run->list && run->steps == run->point->nth && kill_at(run, pid, true);
}

static int note_birth(struct run *run, pid_t pid)
{
    int place = run_place(run, pid);

    if (place >= 0 || run->births == CHILDREN_MAX)
        return place;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

    /* It is a thread, and no child. */
    if (pidfd < 0)
        return -1;
    place = ++run->births;
    run->pids[place] = pid;
    run->pidfds[place] = pidfd;
    run->held[place] = true;
    return place;
}

static void go_on(struct run *run, pid_t pid, int signal)
{
    bool watched = pid == run->pids[run->point->watched];
    int how = PTRACE_CONT;

    if (watched && run->stepping)
        how = PTRACE_SINGLESTEP;
    else if (watched && run->point->stop <= AT_STEP)
        how = PTRACE_SYSCALL;
    run_trace(how, pid, 0, (uintptr_t)signal);
}

/* A child is there, stopped before its first instruction. */
static void meet(struct run *run, pid_t pid)
{
    const struct point *point = run->point;
    int place = note_birth(run, pid);

    if (place > 0)
        run->met[place] = true;
    if (point->stop == AT_BIRTH && place == point->victim && !run->list && !run->over &&
        kill_at(run, pid, false))
        return;
    if (run->over || place < 0 || place != point->watched || point->stop >= AT_BIRTH) {
        let_go(run, pid, 0);
        return;
    }
    /* Its own children are its own business. */
    run_trace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
    run->open = true;
    go_on(run, pid, 0);
}

/* The parent has made a child, and stands still. */
static void at_birth(struct run *run)
{
    const struct point *point = run->point;
    unsigned long pid = 0;

    run_trace(PTRACE_GETEVENTMSG, run->pids[PARENT], 0, (uintptr_t)&pid);
    int place = note_birth(run, (pid_t)pid);

    if (place < 0 && run->thread_count < THREADS_MAX)
        run->threads[run->thread_count++] = (pid_t)pid;
    if (point->watched == PARENT && place > 0)
        note(run, AT_BIRTH, 0, (unsigned)place);
    if (!run->list && point->stop == AT_BIRTH && point->victim == PARENT &&
        place == (int)point->nth && kill_at(run, run->pids[PARENT], false))
        return;
    /* Whoever watches a child, or the clock, has seen enough of the parent. */
    if (place > 0 &&
        (point->stop == AT_TIME || (point->watched != PARENT && place >= point->watched))) {
        let_go(run, run->pids[PARENT], 0);
        run->time_ns = run_now_ns() + point->nth * (uint64_t)1000;
        return;
    }
    go_on(run, run->pids[PARENT], 0);
}

void tracer_stopped(struct run *run, pid_t pid, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;
    int place = run_place(run, pid);
    bool own = event == 0 && (signal & ~0x80) != SIGTRAP; /* it was sent this signal */
    bool done = false;

    if (place != PARENT && event == PTRACE_EVENT_STOP && (place < 0 || !run->met[place])) {
        meet(run, pid);
        return;
    }
    if (run->over) {
        let_go(run, pid, own ? signal : 0);
        return;
    }
    if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
        at_birth(run);
        return;
    }
    if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
        /* Its group has been stopped, and it stays so. */
        run_trace(PTRACE_LISTEN, pid, 0, 0);
        return;
    }
    if (event == 0 && signal == (SIGTRAP | 0x80))
        done = at_call(run, pid);
    else if (event == 0 && signal == SIGTRAP && run->stepping)
        done = at_step(run, pid);
    if (!done)
        go_on(run, pid, own ? signal : 0);
}
