/* SPDX-License-Identifier: MIT */
/*
 * What has to be true after a run, whoever was killed in it.
 */
#include "kill.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const folders[] = {"/tmp", "/dev/shm"};

static void write_map(const char *path, unsigned id)
{
    FILE *map = fopen(path, "we");

    if (map) {
        fprintf(map, "%u %u 1", id, id);
        fclose(map);
    }
}

/* Who may not mount may do so in a user namespace of its own, where the system has them. */
static bool leave_mounts(void)
{
    uid_t user = getuid();
    gid_t group = getgid();

    if (unshare(CLONE_NEWNS) == 0)
        return true;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return false;
    FILE *groups = fopen("/proc/self/setgroups", "we");

    if (groups) {
        fputs("deny", groups);
        fclose(groups);
    }
    write_map("/proc/self/uid_map", user);
    write_map("/proc/self/gid_map", group);
    return true;
}

bool folders_make_private(void)
{
    if (!leave_mounts() || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        if (mount("none", folders[i], "tmpfs", 0, NULL) < 0)
            return false;
    }
    return true;
}

void folders_look(char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        DIR *directory = opendir(folders[i]);

        for (struct dirent *entry; directory && (entry = readdir(directory));) {
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                snprintf(text, size, "%s/%s was left behind", folders[i], entry->d_name);
        }
        if (directory)
            closedir(directory);
    }
}

struct verdict {
    char *text;
    size_t size;
};

/* The first thing that is wrong counts. */
static void find(struct verdict *verdict, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void find(struct verdict *verdict, const char *format, ...)
{
    va_list arguments;

    if (verdict->text[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(verdict->text, verdict->size, format, arguments);
    va_end(arguments);
}

static bool is_pool(const struct point *point)
{
    return strcmp(point->scenario->name, "pool") == 0;
}

static bool has_grandchild(const struct point *point)
{
    return strcmp(point->scenario->name, "grandchild") == 0;
}

/* What the parent was told of the child's end. */
static void judge_report(struct verdict *verdict, const struct point *point,
                         const struct board *board, const struct outcome *outcome, bool stubborn)
{
    const dx_exit *exit = &board->exit;
    bool reached = outcome->reached && point->victim != PARENT;
    bool by_itself = exit->kind == DX_EXIT_CODE && exit->code == 0;
    bool killed = exit->kind == DX_EXIT_SIGNAL && exit->signal == SIGKILL;
    /* Held back, it may get the first signal after the last was sent. */
    bool stopped =
        exit->kind == DX_EXIT_SIGNAL && (exit->signal == exit->stop_signal ||
                                         (exit->signal == SIGTERM && exit->stop_signal == SIGKILL));

    if (is_pool(point))
        return;
    if (!atomic_load(&board->exit_known))
        find(verdict, "the parent was not told of the child's end");
    else if (reached && killed)
        return;
    else if (reached && !outcome->was_leaving && !stubborn)
        find(verdict, "the child was killed, and the parent told: %s", exit->text);
    else if (!(stubborn && stopped) && !by_itself)
        find(verdict, "of the child's end the parent was told: %s", exit->text);
}

static void judge_parent(struct verdict *verdict, const struct point *point,
                         const struct board *board, const struct outcome *outcome, bool stubborn)
{
    if (!WIFEXITED(outcome->parent_status) || WEXITSTATUS(outcome->parent_status) != 0)
        find(verdict, "the parent ended with the status 0x%x", (unsigned)outcome->parent_status);
    /* The end of its group has ended the grandchild; it would have left with 0. */
    if (outcome->left > 0 && !(has_grandchild(point) && outcome->left == outcome->killed))
        find(verdict, "%u processes were left behind by a parent that ended well", outcome->left);
    judge_report(verdict, point, board, outcome, stubborn);
    if (!atomic_load(&board->complete) && (!outcome->reached || is_pool(point)))
        find(verdict, "the parent did not do all that there was to do");
}

static void judge_orphans(struct verdict *verdict, const struct point *point,
                          const struct variation *is, const struct board *board,
                          const struct outcome *outcome, bool stubborn)
{
    const struct side *child = &board->sides[CHILD];
    bool begun = atomic_load(&child->life) != UNBORN;

    bool by_signal = WIFSIGNALED(outcome->bad_status);
    /* The parent may have asked it to before it died. */
    bool asked = stubborn && by_signal && WTERMSIG(outcome->bad_status) == SIGTERM;
    bool crashed = atomic_load(&board->crashed) && !by_signal;
    /* Or have ended what was left of a group. */
    bool may_be_killed = is->die_with_parent || has_grandchild(point);

    if (outcome->bad > 0 && !asked && !crashed)
        find(verdict, "the child ended with the status 0x%x after the parent's death",
             (unsigned)outcome->bad_status);
    if (outcome->killed > 0 && !may_be_killed)
        find(verdict, "the child was killed, and by nobody who should");
    if (outcome->early > 0 && begun && !is_pool(point))
        find(verdict, "the child left with 127 although it had begun");
    if (outcome->left > 0 && outcome->killed == 0 && begun && !stubborn && !is_pool(point) &&
        !atomic_load(&child->over))
        find(verdict, "the child left without having seen the end of the conversation");
}

void judge(const struct point *point, const struct board *board, const struct outcome *outcome,
           char *text, size_t size)
{
    struct verdict verdict = {text, size};
    struct variation is;
    bool parent_killed =
        WIFSIGNALED(outcome->parent_status) && WTERMSIG(outcome->parent_status) == SIGKILL;

    vary(&is, point->scenario, point->round);
    bool stubborn = strcmp(point->scenario->name, "stop") == 0 && is.manner > 0;

    text[0] = '\0';
    if (outcome->hung)
        find(&verdict, "somebody hangs: after %u ms not all had ended", RUN_MS * slowness);
    if (atomic_load(&board->complained))
        find(&verdict, "%s", board->complaint);
    if (strcmp(point->scenario->name, "command") == 0) {
        if (text[0] == '\0')
            judge_command(point, board, outcome, text, size);
        return;
    }
    /* One that ended by itself just before it was killed was not. */
    if (outcome->reached && point->victim == PARENT && parent_killed)
        judge_orphans(&verdict, point, &is, board, outcome, stubborn);
    else
        judge_parent(&verdict, point, board, outcome, stubborn);
}
