/* SPDX-License-Identifier: MIT */
/*
 * Start a program with dx_spawn() and converse with it. The program is child_program.c, which lies
 * beside this one; its path may also be given as an argument. Shows what a failed start, a failed
 * conversation and the end of the child look like to a parent that wants to know.
 */
#include <duplex.h>

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 5000

/* The path of a program in the folder of this one. */
static int path_beside(char *path, size_t size, const char *name)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    int needed;

    if (length < 0)
        return -1;
    self[length] = '\0';
    needed = snprintf(path, size, "%s/%s", dirname(self), name);
    return needed > 0 && (size_t)needed < size ? 0 : -1;
}

static int converse(dx_channel *channel)
{
    static const char *const sentences[] = {"good morning", "i am your father", "", "good night"};
    size_t i;

    for (i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++) {
        dx_message reply;

        if (dx_send(channel, sentences[i], strlen(sentences[i]), PATIENCE_MS) < 0 ||
            dx_recv(channel, &reply, PATIENCE_MS) != 1)
            return -1;
        printf("'%s' --> '%.*s'\n", sentences[i], (int)reply.size, (const char *)reply.data);
    }
    return dx_channel_end(channel, PATIENCE_MS);
}

int main(int argc, char **argv)
{
    char path[PATH_MAX];
    char *child_argv[] = {argc > 1 ? argv[1] : path, NULL};
    dx_failure failure = {0};
    dx_process_options options = {.failure = &failure};
    dx_process *process;
    dx_exit end = {0};
    int status = 1;

    if (path_beside(path, sizeof(path), "child_program") < 0) {
        fprintf(stderr, "cannot tell where child_program lies\n");
        return 1;
    }
    if (dx_spawn(&process, child_argv, &options) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return 1;
    }
    if (converse(dx_process_channel(process)) < 0)
        fprintf(stderr, "%s\n", dx_channel_explain(dx_process_channel(process)));
    else if (dx_process_wait(process, &end, PATIENCE_MS) < 0)
        fprintf(stderr, "%s\n", dx_process_explain(process));
    else
        status = end.kind == DX_EXIT_CODE ? end.code : 1;
    if (end.text[0])
        printf("the child: %s\n", end.text);
    dx_process_close(process); /* stops it if it still runs */
    return status;
}
