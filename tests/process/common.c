/* SPDX-License-Identifier: MIT */
#include "common.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Whoever runs the tests may have a directory in the PATH that not everybody may search. */
__attribute__((constructor)) static void use_a_plain_path(void)
{
    setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
}

const char *read_to_end(int fd)
{
    static char text[65536];
    size_t length = 0;

    ck_assert_int_ge(fd, 0);
    for (;;) {
        ssize_t size = read(fd, text + length, sizeof(text) - 1 - length);

        if (size < 0 && errno == EINTR)
            continue;
        ck_assert_int_ge(size, 0);
        if (size == 0)
            break;
        length += (size_t)size;
    }
    text[length] = '\0';
    close(fd);
    return text;
}

const char *output_of(char *const argv[], const dx_process_options *options)
{
    dx_failure failure = {0};
    dx_process_options own = options ? *options : (dx_process_options){0};
    dx_process *process;
    dx_exit exit;

    own.stdio[1].mode = DX_STDIO_PIPE;
    if (!own.failure)
        own.failure = &failure;
    ASSERT_STARTED(dx_spawn(&process, argv, &own), *own.failure);
    const char *text = read_to_end(dx_process_take_stdio(process, 1));

    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    ck_assert_msg(exit.kind == DX_EXIT_CODE && exit.code == 0, "%s: %s; it said '%s'", argv[0],
                  exit.text, text);
    dx_process_close(process);
    return text;
}

const char *receive_text(dx_channel *channel)
{
    static char text[4096];
    dx_message message;
    int got = dx_recv(channel, &message, PATIENCE_MS);

    ck_assert_msg(got == 1, "no message: %d: %s", got, dx_channel_explain(channel));
    ck_assert_uint_lt(message.size, sizeof(text));
    memcpy(text, message.data, message.size);
    text[message.size] = '\0';
    return text;
}

long receive_number(dx_channel *channel)
{
    return strtol(receive_text(channel), NULL, 10);
}

void adopt_orphans(void)
{
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
}

bool orphan_ended(pid_t pid, int ms)
{
    for (uint64_t end = now_ms() + (uint64_t)ms;;) {
        if (waitpid(pid, NULL, WNOHANG) == pid)
            return true;
        if (now_ms() >= end)
            return false;
        pause_ms(5);
    }
}

void pause_ms(int ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        continue;
}

uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
