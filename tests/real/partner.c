/* SPDX-License-Identifier: MIT */
#include "partner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Who runs the tests may have wrappers of these programs first in the PATH, which open files. */
__attribute__((constructor)) static void use_a_plain_path(void)
{
    setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
}

bool is_installed(const char *program)
{
    static const char *const folders[] = {"/usr/local/bin", "/usr/bin", "/bin"};
    char path[256];

    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
        snprintf(path, sizeof(path), "%s/%s", folders[i], program);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

dx_process *start(char *const argv[], const dx_process_options *options)
{
    dx_failure failure = {0};
    dx_process_options own = *options;
    dx_process *process;

    own.failure = &failure;
    own.die_with_parent = true; /* nothing is left of a test that fails */
    int error = dx_spawn(&process, argv, &own);

    ck_assert_msg(error == 0, "cannot start: %d: %s", error, failure.text);
    return process;
}

void send_bytes(dx_channel *channel, const void *data, size_t size)
{
    int error = dx_send(channel, data, size, PATIENCE_MS);

    ck_assert_msg(error == 0, "cannot send %zu bytes: %d: %s", size, error,
                  dx_channel_explain(channel));
}

void send_text(dx_channel *channel, const char *text)
{
    send_bytes(channel, text, strlen(text));
}

dx_message receive(dx_channel *channel)
{
    dx_message message;
    int got = dx_recv(channel, &message, PATIENCE_MS);

    ck_assert_msg(got == 1, "no message: %d: %s", got, dx_channel_explain(channel));
    return message;
}

void expect_text(dx_channel *channel, const char *expected)
{
    dx_message message = receive(channel);

    ck_assert_msg(message.size == strlen(expected) &&
                      memcmp(message.data, expected, message.size) == 0,
                  "'%.*s' came, and not '%s'", message.size > 400 ? 400 : (int)message.size,
                  (const char *)message.data, expected);
}

void expect_end(dx_channel *channel)
{
    dx_message message;
    int got = dx_recv(channel, &message, PATIENCE_MS);

    ck_assert_msg(got <= 0, "'%.*s' came, and not the end",
                  message.size > 400 ? 400 : (int)message.size, (const char *)message.data);
    ck_assert_msg(got == 0, "%d: %s", got, dx_channel_explain(channel));
}

void expect_exit(dx_process *process, int code)
{
    dx_exit exit;
    int error = dx_process_wait(process, &exit, PATIENCE_MS);

    ck_assert_msg(error == 0, "the child goes on: %s", dx_process_explain(process));
    ck_assert_msg(exit.kind == DX_EXIT_CODE && exit.code == code, "%s, and not exit code %d",
                  exit.text, code);
    dx_process_close(process);
}

unsigned char *pattern(size_t size)
{
    unsigned char *bytes = malloc(size > 0 ? size : 1);
    unsigned state = 1;

    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < size; i++) {
        state = state * 1103515245 + 12345;
        bytes[i] = (unsigned char)(state >> 16);
    }
    return bytes;
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
