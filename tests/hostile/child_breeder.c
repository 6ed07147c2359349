/* SPDX-License-Identifier: MIT */
/*
 * A child that stops, dies, or leaves others behind. Its descendants hold its end of the conversation.
 */
#include "actor.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* A user that nobody else is, so that its processes alone are counted. */
enum { NOBODY_ELSE = 60123, STORM_MAX = 64, STORM_DEPTH = 2, STORM_SECONDS = 10 };

static void stop(void)
{
    kill(getpid(), SIGSTOP);
}

static void leave(void)
{
    _exit(0);
}

static void speak_and_leave(void)
{
    hand_say_text(MESSAGE, 0, "goodbye");
    _exit(0);
}

static void crash(void)
{
    /* A sanitizer would say what it thinks of it, and exit. */
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

/* The default action of each signal is what it was; nothing but SIGKILL ends it. */
static void cling(void)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    hand_say_text(MESSAGE, 0, "never");
    for (;;)
        pause_ms(1000);
}

/* A descendant ends by itself some time, whatever becomes of the test. */
static void linger(void)
{
    alarm(LIFE_SECONDS);
    sit();
}

static void leave_grandchild(void)
{
    hand_say_text(MESSAGE, 0, "goodbye");
    if (fork() == 0)
        linger();
    _exit(0);
}

static void leave_talker(void)
{
    hand_say_text(MESSAGE, 0, "goodbye");
    if (fork() == 0) {
        static const uint8_t text[1000];
        const struct hand_frame frame = {.length = sizeof(text), .kind = MESSAGE};

        alarm(LIFE_SECONDS);
        for (;;)
            hand_say(&frame, text, sizeof(text), NULL, 0);
    }
    _exit(0);
}

/* Out of its group and its session, and a child of nobody here. */
static void leave_daemon(void)
{
    hand_say_text(MESSAGE, 0, "goodbye");
    pid_t between = fork();

    if (between == 0) {
        setsid();
        if (fork() == 0)
            linger();
        _exit(0);
    }
    waitpid(between, NULL, 0);
    _exit(0);
}

/* Each new process makes others, until there may be no more of them; so deep and no deeper. */
static void storm(void)
{
    int depth = 0;

    alarm(STORM_SECONDS);
    for (int i = 0; i < STORM_MAX; i++) {
        if (fork() != 0)
            continue;
        alarm(STORM_SECONDS);
        i = 0;
        if (++depth == STORM_DEPTH)
            break;
    }
    sit();
}

static void fork_storm(void)
{
    /* The limit came from the parent; of root's it would count nothing. */
    if (geteuid() == 0) {
        hand_demand(setgroups(0, NULL) == 0 && setgid(NOBODY_ELSE) == 0, 50);
        hand_demand(setuid(NOBODY_ELSE) == 0, 51);
    }
    if (fork() == 0)
        storm();
    hand_say_text(MESSAGE, 0, "there are many of us");
    pause_ms(50);
    _exit(0);
}

ACTOR_MAIN({"stop", stop, false}, {"leave", leave, false},
           {"speak-and-leave", speak_and_leave, false}, {"crash", crash, false},
           {"crash-at-once", crash, true}, {"leave-at-once", leave, true}, {"cling", cling, false},
           {"leave-grandchild", leave_grandchild, false}, {"leave-talker", leave_talker, false},
           {"leave-daemon", leave_daemon, false}, {"fork-storm", fork_storm, false})
