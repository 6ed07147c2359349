/* SPDX-License-Identifier: MIT */
/*
 * What a channel is made of: options and descriptors that make sense, and a sentence for each that does
 * not. What failed has changed nothing.
 */
#include "support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* dx_channel_pair() refuses these options in these words, and so does dx_channel_attach(). */
static void refused(dx_channel_options options, const char *text)
{
    dx_channel *ends[2] = {NULL, NULL};
    dx_failure failure = {.error = 1};
    int fds[2];

    options.failure = NULL;
    ck_assert_int_eq(dx_channel_pair(ends, &options), -EINVAL);
    options.failure = &failure;
    ck_assert_int_eq(dx_channel_pair(ends, &options), -EINVAL);
    ck_assert_ptr_null(ends[0]);
    ck_assert_ptr_null(ends[1]);
    ck_assert_int_eq(failure.error, -EINVAL);
    ck_assert_str_eq(failure.text, text);

    /* What type a socket is, is asked of the socket. */
    if (options.type > DX_DGRAM)
        return;
    raw_pair(options.type, fds);
    failure.text[0] = '\0';
    ck_assert_int_eq(dx_channel_attach(ends, fds[0], fds[0], &options), -EINVAL);
    ck_assert_ptr_null(ends[0]);
    ck_assert_str_eq(failure.text, text);
    close(fds[0]);
    close(fds[1]);
}

START_TEST(test_each_bad_option_is_named)
{
    refused((dx_channel_options){.type = (dx_channel_type)3}, "there is no channel type 3");
    refused((dx_channel_options){.framing = (dx_framing)12}, "there is no framing 12");
    refused((dx_channel_options){.type = DX_SEQPACKET, .framing = DX_FRAMING_LINE},
            "the framing 'line' needs a stream");
    refused((dx_channel_options){.type = DX_DGRAM, .framing = DX_FRAMING_LINE},
            "the framing 'line' needs a stream");
    refused((dx_channel_options){.message_limit = DX_MESSAGE_LIMIT_MAX + 1},
            "a message limit of 1073741825 bytes is over the greatest, 1073741824");
    refused((dx_channel_options){.message_limit = SIZE_MAX},
            "a message limit of 18446744073709551615 bytes is over the greatest, 1073741824");
    refused((dx_channel_options){.descriptor_limit = DX_DESCRIPTORS_MAX + 1},
            "a limit of 254 descriptors is over the kernel's, 253");
    refused((dx_channel_options){.framing = DX_FRAMING_LINE, .descriptor_limit = 1},
            "the framing 'line' carries no descriptors");
    refused((dx_channel_options){.request_limit = DX_REQUEST_LIMIT_MAX + 1},
            "a limit of 65537 open requests is over the greatest, 65536");
    refused((dx_channel_options){.strip_cr = true}, "strip_cr is for the framing 'line' only");
    refused((dx_channel_options){.socket_buffer = SIZE_MAX},
            "a socket buffer of 18446744073709551615 bytes is too large");
}
END_TEST

EACH_TYPE(test_every_good_option_is_taken)
{
    dx_failure failure = {.error = 42};
    struct pair pair = open_pair_with(&(dx_channel_options){
        .type = type,
        .message_limit = DX_MESSAGE_LIMIT_MAX,
        .receive_backlog = SIZE_MAX,
        .descriptor_limit = DX_DESCRIPTORS_MAX,
        .socket_buffer = 1 << 20,
        .failure = &failure,
    });

    ck_assert_int_eq(failure.error, 42);
    carry(pair.near, pair.far, 1, 100000);
    close_pair(&pair);
}

START_TEST(test_no_options_are_the_defaults)
{
    dx_channel *ends[2];
    int type = 0;
    socklen_t size = sizeof(type);

    ck_assert_int_eq(dx_channel_pair(ends, NULL), 0);
    ck_assert_int_eq(getsockopt(dx_channel_fd(ends[0]), SOL_SOCKET, SO_TYPE, &type, &size), 0);
    ck_assert_int_eq(type, SOCK_STREAM);
    carry(ends[0], ends[1], 1, 1000);
    dx_channel_close(ends[0]);
    dx_channel_close(ends[1]);
}
END_TEST

EACH_TYPE(test_both_ends_are_close_on_exec)
{
    struct pair pair = open_pair(type);
    dx_channel *attached;
    int fds[2];

    ck_assert(is_cloexec(dx_channel_fd(pair.near)));
    ck_assert(is_cloexec(dx_channel_fd(pair.far)));
    close_pair(&pair);

    ck_assert_int_eq(socketpair(AF_UNIX, socket_type(type), 0, fds), 0);
    ck_assert_int_eq(dx_channel_attach(&attached, fds[0], fds[0], NULL), 0);
    ck_assert(is_cloexec(fds[0]));
    ck_assert(!is_cloexec(fds[1]));
    ck_assert_int_eq(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
    dx_channel_close(attached);
    ck_assert(!is_open(fds[0]));
    close(fds[1]);

    int others[2];

    ck_assert_int_eq(socketpair(AF_UNIX, socket_type(type), 0, fds), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, socket_type(type), 0, others), 0);
    ck_assert_int_eq(dx_channel_attach(&attached, fds[0], others[0], NULL), 0);
    ck_assert(is_cloexec(fds[0]) && is_cloexec(others[0]));
    dx_channel_close(attached);
    ck_assert(!is_open(fds[0]) && !is_open(others[0]));
    close(fds[1]);
    close(others[1]);
}

EACH_TYPE(test_the_send_buffer_is_as_large_as_was_asked)
{
    struct pair pair = open_pair_with(&(dx_channel_options){.type = type, .socket_buffer = 100000});
    int size = 0;
    socklen_t length = sizeof(size);

    ck_assert_int_eq(
        getsockopt(dx_channel_write_fd(pair.near), SOL_SOCKET, SO_SNDBUF, &size, &length), 0);
    ck_assert_int_eq(size, 200000);
    close_pair(&pair);
}

static void not_attached(int read_fd, int write_fd, int error, const char *text)
{
    dx_channel *channel = NULL;
    dx_failure failure = {0};
    bool open_before = is_open(read_fd);
    int status =
        dx_channel_attach(&channel, read_fd, write_fd, &(dx_channel_options){.failure = &failure});

    ck_assert_msg(status == error, "%d instead of %d: %s", status, error, failure.text);
    ck_assert_int_eq(failure.error, error);
    ck_assert_msg(strstr(failure.text, text) != NULL, "'%s' does not say '%s'", failure.text, text);
    ck_assert_ptr_null(channel);
    ck_assert_int_eq(is_open(read_fd), open_before);
    ck_assert_int_eq(dx_channel_attach(&channel, read_fd, write_fd, NULL), error);
}

START_TEST(test_what_cannot_be_conversed_over_is_not_attached)
{
    int fds[2], pipes[2];
    int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int internet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    raw_pair(DX_STREAM, fds);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    not_attached(1000, 1000, -EBADF, "descriptor 1000 is not open");
    not_attached(fds[0], 1000, -EBADF, "descriptor 1000 is not open");
    not_attached(-1, -1, -EBADF, "is not open");
    not_attached(pipes[1], pipes[0], -EINVAL, "is not open for reading");
    not_attached(fds[0], pipes[0], -EINVAL, "is not open for writing");
    not_attached(other, other, -EINVAL, "is not connected");
    not_attached(fds[0], other, -EINVAL, "is not connected");
    if (internet >= 0)
        not_attached(internet, internet, -EINVAL, "is not connected");
    close(fds[0]);
    close(fds[1]);
    close(pipes[0]);
    close(pipes[1]);
    close(other);
    if (internet >= 0)
        close(internet);
}
END_TEST

START_TEST(test_a_listening_socket_is_not_attached)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    /* An address of the family alone: the kernel chooses an abstract one. */
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    not_attached(listener, listener, -EINVAL, "is not connected");
    close(listener);
}
END_TEST

START_TEST(test_two_types_do_not_make_one_channel)
{
    int stream[2], packets[2];

    raw_pair(DX_STREAM, stream);
    raw_pair(DX_SEQPACKET, packets);
    not_attached(stream[0], packets[0], -EINVAL, "of different types");
    for (int i = 0; i < 2; i++) {
        close(stream[i]);
        close(packets[i]);
    }
}
END_TEST

EACH_TYPE(test_a_place_for_the_result_is_needed)
{
    dx_failure failure = {0};
    dx_channel_options options = {.type = type, .failure = &failure};
    int fds[2];

    ck_assert_int_eq(dx_channel_pair(NULL, &options), -EINVAL);
    ck_assert_str_ne(failure.text, "");
    failure.text[0] = '\0';
    raw_pair(type, fds);
    ck_assert_int_eq(dx_channel_attach(NULL, fds[0], fds[0], &options), -EINVAL);
    ck_assert_str_ne(failure.text, "");
    ck_assert(is_open(fds[0]));
    close(fds[0]);
    close(fds[1]);
}

START_TEST(test_a_type_is_ignored_where_the_socket_tells)
{
    dx_channel *channel;
    int fds[2];

    raw_pair(DX_SEQPACKET, fds);
    ck_assert_int_eq(dx_channel_attach(&channel, fds[0], fds[0],
                                       &(dx_channel_options){.type = (dx_channel_type)99}),
                     0);
    dx_channel_close(channel);
    close(fds[1]);
}
END_TEST

START_TEST(test_lines_do_not_go_over_packets)
{
    dx_failure failure = {0};
    dx_channel *channel;
    int fds[2];

    raw_pair(DX_DGRAM, fds);
    ck_assert_int_eq(dx_channel_attach(&channel, fds[0], fds[0],
                                       &(dx_channel_options){.framing = DX_FRAMING_LINE,
                                                             .failure = &failure}),
                     -EINVAL);
    ck_assert_str_eq(failure.text, "the framing 'line' needs a stream");
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(test_the_channel_to_the_parent_needs_a_parent)
{
    dx_failure failure = {0};
    dx_channel_options options = {.failure = &failure};
    dx_channel *channel = NULL;

    unsetenv("DUPLEX_FD");
    ck_assert_int_eq(dx_channel_to_parent(&channel, &options), -ENOENT);
    ck_assert_ptr_nonnull(strstr(failure.text, "DUPLEX_FD"));
    static const char *const bad[] = {"",  "x", "-1", "3x", " 3", "+3", "99999999999999999999",
                                      "3 "};

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        setenv("DUPLEX_FD", bad[i], 1);
        ck_assert_int_eq(dx_channel_to_parent(&channel, &options), -EINVAL);
        ck_assert_ptr_nonnull(strstr(failure.text, "no descriptor number"));
    }
    setenv("DUPLEX_FD", "999", 1);
    ck_assert_int_eq(dx_channel_to_parent(&channel, &options), -EBADF);
    ck_assert_ptr_null(channel);
}
END_TEST

EACH_TYPE(test_the_channel_to_the_parent_is_claimed_once)
{
    dx_channel *mine, *parent, *again;
    char number[16];
    int fds[2];

    raw_pair(type, fds);
    snprintf(number, sizeof(number), "%d", fds[1]);
    setenv("DUPLEX_FD", number, 1);
    ck_assert_int_eq(fcntl(fds[1], F_SETFD, 0), 0);
    ck_assert_int_eq(dx_channel_attach(&mine, fds[0], fds[0], NULL), 0);
    ck_assert_int_eq(dx_channel_to_parent(&parent, NULL), 0);
    ck_assert_ptr_null(getenv("DUPLEX_FD"));
    ck_assert(is_cloexec(fds[1]));
    ck_assert_int_eq(dx_channel_to_parent(&again, NULL), -ENOENT);
    carry(parent, mine, 1, 1000);
    dx_channel_close(parent);
    dx_channel_close(mine);
}

START_TEST(test_every_error_has_a_text)
{
    static const int errors[] = {0,          ETIMEDOUT, EPIPE,  EPROTO,    EMSGSIZE,
                                 EDEADLK,    EMFILE,    ECHILD, EINVAL,    ENOMEM,
                                 EPERM,      EBADF,     ENOENT, ESHUTDOWN, ENFILE,
                                 EOPNOTSUPP, EREMOTEIO, EBUSY,  12345};

    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
        ck_assert_ptr_nonnull(dx_error_text(errors[i]));
        ck_assert_str_ne(dx_error_text(errors[i]), "");
        /* The text lasts until the next call. */
        char text[200];

        snprintf(text, sizeof(text), "%s", dx_error_text(errors[i]));
        ck_assert_str_eq(dx_error_text(-errors[i]), text);
    }
    ck_assert_str_eq(dx_error_text(-EPIPE), "the peer has gone");
    ck_assert_str_eq(dx_error_text(-EREMOTEIO), "the peer answered with an error");
    ck_assert_str_eq(dx_version(), DX_VERSION);
}
END_TEST

HARNESS_MAIN(
    "options", TEST(test_each_bad_option_is_named), OF_EACH_TYPE(test_every_good_option_is_taken),
    TEST(test_no_options_are_the_defaults), OF_EACH_TYPE(test_both_ends_are_close_on_exec),
    OF_EACH_TYPE(test_the_send_buffer_is_as_large_as_was_asked),
    TEST(test_what_cannot_be_conversed_over_is_not_attached),
    TEST(test_a_listening_socket_is_not_attached), TEST(test_two_types_do_not_make_one_channel),
    OF_EACH_TYPE(test_a_place_for_the_result_is_needed),
    TEST(test_a_type_is_ignored_where_the_socket_tells), TEST(test_lines_do_not_go_over_packets),
    TEST(test_the_channel_to_the_parent_needs_a_parent),
    OF_EACH_TYPE(test_the_channel_to_the_parent_is_claimed_once), TEST(test_every_error_has_a_text))
