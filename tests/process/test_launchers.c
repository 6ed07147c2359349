/* SPDX-License-Identifier: MIT */
/*
 * Programs whose channel was arranged by somebody who has left: the conversation does not end with
 * that one.
 */
#include "common.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLAIMER DUPLEX_TEST_PROGRAMS "/child_claimer"

/* The shell connects two programs and leaves; the conversation does not end with it. */
START_TEST(test_a_shell_that_leaves_does_not_end_a_conversation_over_its_pipes)
{
    int there[2], back[2];
    dx_process *process;
    dx_channel *channel;
    dx_message message;

    ck_assert_int_eq(pipe2(there, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(back, O_CLOEXEC), 0);
    dx_descriptor list[] = {{there[0], 8}, {back[1], 9}};
    dx_process_options options = {
        .descriptors = list, .descriptor_count = 2, .stdio[1].mode = DX_STDIO_PIPE};

    adopt_orphans();
    ck_assert_int_eq(dx_spawn(&process,
                              ARGV("sh", "-c", CLAIMER " 2 - <&8 >&9 8<&- 9>&- 3>&- & echo $!"),
                              &options),
                     0);
    close(there[0]);
    close(back[1]);
    ck_assert_int_eq(dx_process_wait(process, NULL, PATIENCE_MS), 0);
    pid_t orphan = (pid_t)atoi(read_to_end(dx_process_take_stdio(process, 1)));

    dx_process_close(process);
    ck_assert_int_eq(dx_channel_attach(&channel, back[0], there[1], NULL), 0);
    pause_ms(100);
    ck_assert_int_eq(dx_send(channel, "still there", 11, PATIENCE_MS), 0);
    ck_assert_str_eq(receive_text(channel), "still there");
    ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
    ck_assert_int_eq(dx_recv(channel, &message, PATIENCE_MS), 0);
    dx_channel_close(channel);
    ck_assert(orphan_ended(orphan, PATIENCE_MS));
}
END_TEST

/* Makes a socketpair, starts a program on one end, says its pid, passes the other end, and leaves. */
static int launch(dx_channel *parent, void *arg)
{
    int ends[2];
    char text[16];

    (void)arg;
    harness_child_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    pid_t pid = fork();

    if (pid == 0) {
        dup2(ends[1], 0);
        dup2(ends[1], 1);
        execl(CLAIMER, CLAIMER, "1", "-", NULL);
        _exit(127);
    }
    close(ends[1]);
    snprintf(text, sizeof(text), "%d", (int)pid);
    dx_message message = {
        .data = text, .size = strlen(text) + 1, .descriptors = ends, .descriptor_count = 1};

    return dx_send_message(parent, &message, DX_FOREVER) == 0 ? 0 : 1;
}

START_TEST(test_a_launcher_that_leaves_does_not_end_a_conversation_on_standard_input)
{
    dx_process_options options = {.channel.descriptor_limit = 1};
    dx_process *process;
    dx_channel *channel;
    dx_message message;

    adopt_orphans();
    ck_assert_int_eq(dx_fork(&process, launch, NULL, &options), 0);
    ck_assert_int_eq(dx_recv(dx_process_channel(process), &message, PATIENCE_MS), 1);
    int fd = dx_message_take(&message, 0);
    pid_t orphan = (pid_t)atoi((const char *)message.data);

    ck_assert_int_eq(dx_process_wait(process, NULL, PATIENCE_MS), 0);
    dx_process_close(process);
    ck_assert_int_eq(dx_channel_attach(&channel, fd, fd, NULL), 0);
    pause_ms(100);
    ck_assert_int_eq(dx_send(channel, "still there", 11, PATIENCE_MS), 0);
    ck_assert_str_eq(receive_text(channel), "still there");
    ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
    ck_assert_int_eq(dx_recv(channel, &message, PATIENCE_MS), 0);
    dx_channel_close(channel);
    ck_assert(orphan_ended(orphan, PATIENCE_MS));
}
END_TEST

HARNESS_MAIN("process: launchers",
             TEST(test_a_shell_that_leaves_does_not_end_a_conversation_over_its_pipes),
             TEST(test_a_launcher_that_leaves_does_not_end_a_conversation_on_standard_input))
