/* SPDX-License-Identifier: MIT */
/* Descriptors as systemd passes them: to a program with libsystemd, and from systemd to duplex. */
#include "partner.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SERVICE PROGRAM("program_listener")
#define ACTIVATE "systemd-socket-activate"

/* The service ends at once with 77 if there is no libsystemd. False then. */
static bool service_is_there(dx_process *process)
{
    dx_exit exit;

    if (dx_process_wait(process, &exit, 0) == 0 && exit.kind == DX_EXIT_CODE && exit.code == 77) {
        dx_process_close(process);
        return false;
    }
    return true;
}

static void converse_with_service(dx_channel_type type, dx_framing framing, char *type_text)
{
    const dx_process_options options = {
        .channel = {.type = type, .framing = framing},
        .handover = DX_HANDOVER_LISTEN,
        .handover_variable = "control",
    };
    dx_process *process = start(ARGV(SERVICE, "control", type_text), &options);
    dx_channel *channel = dx_process_channel(process);
    dx_message message;

    /* Its answer or its end. */
    (void)dx_send(channel, "first", 5, PATIENCE_MS);
    int got = dx_recv(channel, &message, PATIENCE_MS);

    if (got != 1 && !service_is_there(process))
        HARNESS_SKIP("libsystemd is not installed");
    ck_assert_msg(got == 1, "%d: %s", got, dx_channel_explain(channel));
    for (size_t size = 0; size <= 50000; size = size * 7 + 1) {
        char *text = malloc(size + 1);

        memset(text, 'x', size);
        text[size] = '\0';
        send_text(channel, text);
        expect_text(channel, text);
        free(text);
    }
    ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
    expect_end(channel);
    expect_exit(process, 0);
}

START_TEST(test_sd_listen_fds_finds_a_stream)
{
    converse_with_service(DX_STREAM, DX_FRAMING_LINE, "1");
}
END_TEST

/* The service gives back every packet, and so our own greeting. */
START_TEST(test_sd_listen_fds_finds_a_seqpacket_socket)
{
    converse_with_service(DX_SEQPACKET, DX_FRAMING_NATIVE, "5");
}
END_TEST

START_TEST(test_sd_listen_fds_finds_the_default_name)
{
    const dx_process_options options = {
        .channel.framing = DX_FRAMING_LINE,
        .handover = DX_HANDOVER_LISTEN,
    };
    dx_process *process = start(ARGV(SERVICE, "duplex", "1"), &options);
    dx_exit exit;

    ck_assert_int_eq(dx_channel_end(dx_process_channel(process), PATIENCE_MS), 0);
    ck_assert_int_eq(dx_process_wait(process, &exit, PATIENCE_MS), 0);
    dx_process_close(process);
    if (exit.code == 77)
        HARNESS_SKIP("libsystemd is not installed");
    ck_assert_msg(exit.kind == DX_EXIT_CODE && exit.code == 0, "%s", exit.text);
}
END_TEST

static void expect_conversation(dx_channel *channel, bool claimed_once)
{
    unsigned char *bytes = pattern(300000);

    send_text(channel, "father");
    expect_text(channel, "rehtaf");
    send_bytes(channel, bytes, 300000);
    dx_message message = receive(channel);

    ck_assert_uint_eq(message.size, 300000);
    ck_assert_uint_eq(((const unsigned char *)message.data)[0], bytes[299999]);
    free(bytes);
    if (claimed_once) {
        send_text(channel, "claim");
        expect_text(channel, "No such file or directory");
    }
    ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
    expect_end(channel);
}

/* duplex passes the socket to systemd's program, which passes it on to a program with duplex. */
START_TEST(test_systemd_passes_on_what_duplex_passed)
{
    const dx_process_options options = {
        .handover = DX_HANDOVER_LISTEN,
        .handover_variable = "control",
        .stdio[2].mode = DX_STDIO_NULL,
    };

    NEED(ACTIVATE);
    dx_process *process = start(ARGV(ACTIVATE, "--fdname=control", PROGRAM("program_partner"),
                                     "native", "listen", "control"),
                                &options);

    expect_conversation(dx_process_channel(process), true);
    expect_exit(process, 0);
}
END_TEST

/* Connect as soon as somebody listens. */
static int connect_to(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "%s", name);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) + (socklen_t)length;

    for (int tries = 0; tries < 1000; tries++) {
        if (connect(fd, (struct sockaddr *)&address, size) == 0)
            return fd;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    ck_abort_msg("nobody listens at %s", name);
}

/* A service for each connection, which is a socket that neither of the two made. */
static void converse_by_connection(char *how, char *handover)
{
    char name[64], listen[80];
    const dx_process_options options = {
        .channel.framing = DX_FRAMING_RAW,
        .group = DX_GROUP_NEW,
        .stdio[2].mode = DX_STDIO_NULL,
    };

    snprintf(name, sizeof(name), "duplex-test-listen-%d", (int)getpid());
    snprintf(listen, sizeof(listen), "--listen=@%s", name);
    dx_process *process =
        start(ARGV(ACTIVATE, "--accept", how, listen, "-E", "ASAN_OPTIONS", "-E", "TSAN_OPTIONS",
                   PROGRAM("program_partner"), "native", handover),
              &options);

    for (int i = 0; i < 3; i++) {
        dx_channel *channel;
        int fd = connect_to(name);

        ck_assert_int_eq(dx_channel_attach(&channel, fd, fd, NULL), 0);
        expect_conversation(channel, strcmp(handover, "listen") == 0);
        dx_channel_close(channel);
    }
    ck_assert_int_eq(dx_process_stop(process, 0, NULL), 0);
    dx_process_close(process);
}

START_TEST(test_a_connection_that_systemd_accepted_is_claimed)
{
    NEED(ACTIVATE);
    converse_by_connection("--fdname=connection", "listen");
}
END_TEST

START_TEST(test_a_connection_as_inetd_passes_it_is_claimed)
{
    NEED(ACTIVATE);
    converse_by_connection("--inetd", "stdio");
}
END_TEST

HARNESS_MAIN("real: systemd", TEST(test_sd_listen_fds_finds_a_stream),
             TEST(test_sd_listen_fds_finds_a_seqpacket_socket),
             TEST(test_sd_listen_fds_finds_the_default_name),
             TEST(test_systemd_passes_on_what_duplex_passed),
             TEST(test_a_connection_that_systemd_accepted_is_claimed),
             TEST(test_a_connection_as_inetd_passes_it_is_claimed))
