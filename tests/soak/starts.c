/* SPDX-License-Identifier: MIT */
/*
 * Starts that fail, and children that are nobody's partner: programs that end without a word.
 */
#include "soak.h"

#include <errno.h>

static void start_nothing(struct soak *soak)
{
    char *argv[] = {(char *)"/nowhere/is/such/a/program", NULL};
    dx_failure failure = {0};
    dx_process *process = NULL;
    int status = dx_spawn(&process, argv, &(dx_process_options){.failure = &failure});

    if (status != -ENOENT || process != NULL || failure.error != -ENOENT)
        soak_fail(soak, "a program that is not there was started: %s", dx_error_text(status));
}

static int refuse(dx_channel *parent, void *context)
{
    (void)parent;
    (void)context;
    return 98;
}

static void start_nowhere(struct soak *soak)
{
    dx_process *process = NULL;
    int status = dx_fork(&process, refuse, NULL,
                         &(dx_process_options){.directory = "/nowhere/is/such/a/folder"});

    if (status != -ENOENT || process != NULL)
        soak_fail(soak, "a child was started in a folder that is not there: %s",
                  dx_error_text(status));
}

/* It does not greet, and ends; or it says what is no greeting. */
static void start_stranger(struct soak *soak, const char *script, int expected)
{
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
    dx_process *process;
    dx_message message;
    dx_exit report;
    int status = dx_spawn(&process, argv, &(dx_process_options){.channel.socket_only = true});

    if (status < 0) {
        soak_fail(soak, "a shell cannot be started: %s", dx_error_text(status));
        return;
    }
    soak->started++;
    status = dx_recv(dx_process_channel(process), &message, soak_patience_ms);
    if (status != expected)
        soak_fail(soak, "of a stranger was heard: %s", dx_error_text(status));
    status = dx_process_wait(process, &report, soak_patience_ms);
    if (status < 0 || report.kind != DX_EXIT_CODE || report.code != 5)
        soak_fail(soak, "a stranger's end was not told: %s", dx_process_explain(process));
    dx_process_close(process);
}

void soak_start(struct soak *soak)
{
    soak->about = "a start";
    switch (soak_random(soak, 4)) {
    case 0:
        start_nothing(soak);
        break;
    case 1:
        start_nowhere(soak);
        break;
    case 2:
        start_stranger(soak, "exit 5", -EPIPE);
        break;
    default:
        start_stranger(soak, "echo 'this is no greeting, and long enough' >&3; exit 5", -EPROTO);
        break;
    }
}
