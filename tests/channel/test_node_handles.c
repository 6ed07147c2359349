/* SPDX-License-Identifier: MIT */
/*
 * Descriptors in a conversation with Node, whom the test plays line by line: what answers what, and
 * that nothing follows a handle before it is answered. tests/real has Node itself.
 */
#include "callers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACK "{\"cmd\":\"NODE_HANDLE_ACK\"}"
#define NACK "{\"cmd\":\"NODE_HANDLE_NACK\"}"
#define HANDLE(type, message) "{\"cmd\":\"NODE_HANDLE\",\"type\":\"" type "\",\"msg\":" message "}"

struct node {
    dx_channel *channel;
    int fd;
};

static struct node meet_node(unsigned descriptor_limit)
{
    dx_channel_options options = {.framing = DX_FRAMING_NODE, .descriptor_limit = descriptor_limit};
    struct node node;

    node.channel = open_with_raw_peer(DX_STREAM, &options, &node.fd);
    return node;
}

static void leave_node(struct node *node)
{
    close(node->fd);
    dx_channel_close(node->channel);
}

/* Say a line, with a descriptor if it is not negative. */
static void say_line(const struct node *node, const char *line, int fd)
{
    char bytes[512];
    struct iovec part = {bytes, (size_t)snprintf(bytes, sizeof(bytes), "%s\n", line)};

    ck_assert_int_eq(dxi_os->send(node->fd, &part, 1, &fd, fd >= 0), (ssize_t)part.iov_len);
}

/* Hear exactly these lines, and return the descriptor that came along, or -1. */
static int hear_lines(const struct node *node, const char *expected)
{
    char bytes[512];
    size_t size = strlen(expected), heard = 0;
    int fd = -1;

    while (heard < size) {
        struct dxi_arrival arrival = {.descriptors = fd < 0 ? &fd : NULL, .capacity = fd < 0};
        struct pollfd polled = {.fd = node->fd, .events = POLLIN};
        ssize_t got;

        ck_assert_int_eq(poll(&polled, 1, PATIENCE_MS), 1);
        got = dxi_os->receive(node->fd, bytes + heard, size - heard, &arrival);
        ck_assert_int_gt(got, 0);
        ck_assert(!arrival.lost);
        heard += (size_t)got;
    }
    ck_assert_msg(memcmp(bytes, expected, size) == 0, "%.*s", (int)size, bytes);
    return fd;
}

static void hear_nothing(const struct node *node)
{
    struct pollfd polled = {.fd = node->fd, .events = POLLIN};

    dx_channel_process(node->channel);
    ck_assert_int_eq(poll(&polled, 1, 0), 0);
}

static int send_note(const struct node *node, const char *text, int fd, int timeout_ms)
{
    dx_message message = with_descriptors(text, strlen(text), &fd, 1);

    return dx_send_message(node->channel, &message, timeout_ms);
}

START_TEST(test_a_handle_goes_alone_and_is_waited_for)
{
    struct node node = meet_node(0);
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    ck_assert_int_eq(dx_send(node.channel, "1", 1, DX_NOW), 0);
    ck_assert_int_eq(send_note(&node, "{\"a\":2}", ends[0], DX_NOW), 0);
    ck_assert_int_eq(dx_send(node.channel, "3", 1, 20), -ETIMEDOUT);
    expect_explained(node.channel, "nothing may follow it");
    /* An event loop must not be told to try at once. */
    ck_assert_int_eq(dx_channel_events(node.channel), POLLIN);
    int heard = hear_lines(&node, "1\n" HANDLE("net.Socket", "{\"a\":2}") "\n");

    ck_assert_int_ge(heard, 0);
    hear_nothing(&node);
    say_line(&node, ACK, -1);
    ck_assert_int_eq(dx_send(node.channel, "3", 1, PATIENCE_MS), 0);
    ck_assert_int_eq(hear_lines(&node, "3\n"), -1);
    close(heard);
    close(ends[1]);
    leave_node(&node);
}
END_TEST

/* The answer lies behind messages that nobody has received. */
START_TEST(test_an_answer_is_found_behind_messages)
{
    struct node node = meet_node(0);
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    say_line(&node, "\"before\"", -1);
    ck_assert_int_eq(send_note(&node, "1", ends[0], DX_NOW), 0);
    close(hear_lines(&node, HANDLE("net.Socket", "1") "\n"));
    say_line(&node, "\"between\"", -1);
    say_line(&node, ACK, -1);
    say_line(&node, "\"behind\"", -1);
    ck_assert_int_eq(dx_send(node.channel, "2", 1, PATIENCE_MS), 0);
    /* That answer serves once. */
    ck_assert_int_eq(send_note(&node, "3", ends[1], PATIENCE_MS), 0);
    ck_assert_int_eq(dx_send(node.channel, "4", 1, 10), -ETIMEDOUT);
    close(hear_lines(&node, "2\n" HANDLE("net.Socket", "3") "\n"));
    const char *texts[] = {"\"before\"", "\"between\"", "\"behind\""};

    for (int i = 0; i < 3; i++) {
        dx_message message;

        receive(node.channel, &message, DX_MESSAGE);
        ck_assert(says(&message, texts[i]));
    }
    expect_silence(node.channel);
    ck_assert_int_eq(dx_send(node.channel, "4", 1, 10), -ETIMEDOUT);
    say_line(&node, ACK, -1);
    expect_silence(node.channel);
    ck_assert_int_eq(dx_send(node.channel, "4", 1, DX_NOW), 0);
    leave_node(&node);
}
END_TEST

/* What is kept to be sent again is let go with the answer, whether anything more is sent or not. */
START_TEST(test_an_answer_lets_go_of_the_descriptor)
{
    struct node node = meet_node(0);
    int ends[2];
    char byte;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(send_note(&node, "1", ends[1], DX_NOW), 0);
    close(hear_lines(&node, HANDLE("net.Socket", "1") "\n"));
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    ck_assert_int_eq(read(ends[0], &byte, 1), -1); /* it is kept */
    say_line(&node, ACK, -1);
    expect_silence(node.channel);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);
    close(ends[0]);

    /* With a message behind it, too, after which the user may not come back for long. */
    dx_message message;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(send_note(&node, "2", ends[1], DX_NOW), 0);
    close(hear_lines(&node, HANDLE("net.Socket", "2") "\n"));
    say_line(&node, ACK "\n3", -1);
    receive(node.channel, &message, DX_MESSAGE);
    ck_assert(says(&message, "3"));
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);
    close(ends[0]);
    leave_node(&node);
}
END_TEST

START_TEST(test_a_refused_handle_is_sent_again_three_times)
{
    struct node node = meet_node(0);
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(send_note(&node, "1", ends[0], DX_NOW), 0);
    for (int i = 0; i < 4; i++) {
        int heard = hear_lines(&node, HANDLE("net.Socket", "1") "\n");

        ck_assert_int_ge(heard, 0);
        close(heard);
        say_line(&node, NACK, -1);
        expect_silence(node.channel);
    }
    hear_nothing(&node);
    ck_assert_int_eq(dx_send(node.channel, "2", 1, DX_NOW), -ECOMM);
    expect_explained(node.channel, "refused the descriptor");
    ck_assert_int_eq(dx_send(node.channel, "2", 1, DX_NOW), 0);
    ck_assert_int_eq(hear_lines(&node, "2\n"), -1);

    /* By a sender that waits, too. */
    ck_assert_int_eq(send_note(&node, "3", ends[1], DX_NOW), 0);
    close(hear_lines(&node, HANDLE("net.Socket", "3") "\n"));
    say_line(&node, NACK, -1);
    ck_assert_int_eq(dx_send(node.channel, "4", 1, 20), -ETIMEDOUT);
    close(hear_lines(&node, HANDLE("net.Socket", "3") "\n"));
    say_line(&node, ACK, -1);
    ck_assert_int_eq(dx_send(node.channel, "4", 1, PATIENCE_MS), 0);
    ck_assert_int_eq(hear_lines(&node, "4\n"), -1);
    leave_node(&node);
}
END_TEST

/* What was refused is told by an error that no answer has: there is no reply to look at. */
START_TEST(test_a_call_after_a_refused_handle_was_not_answered)
{
    struct node node = meet_node(0);
    dx_message reply = {.size = 12345};

    ck_assert_int_eq(send_note(&node, "1", socket(AF_UNIX, SOCK_STREAM, 0), DX_NOW), 0);
    for (int i = 0; i < 4; i++) {
        close(hear_lines(&node, HANDLE("net.Socket", "1") "\n"));
        say_line(&node, NACK, -1);
        expect_silence(node.channel);
    }
    ck_assert_int_eq(dx_call(node.channel, "2", 1, &reply, DX_NOW), -ECOMM);
    expect_explained(node.channel, "refused the descriptor");
    ck_assert_uint_eq(reply.size, 12345);
    leave_node(&node);
}
END_TEST

START_TEST(test_a_handle_that_comes_is_acknowledged)
{
    struct node node = meet_node(1);
    int note = make_note(7);
    dx_message message;

    say_line(&node, HANDLE("net.Server", "{\"x\":[1]}"), note);
    say_line(&node, "2", -1);
    say_line(&node, "{\"cmd\":\"NODE_DEBUG\"}", -1);
    say_line(&node, "3", -1);
    receive(node.channel, &message, DX_MESSAGE);
    ck_assert(says(&message, "{\"x\":[1]}"));
    ck_assert_uint_eq(message.descriptor_count, 1);
    ck_assert(is_note(message.descriptors[0], 7));
    ck_assert_int_eq(hear_lines(&node, ACK "\n"), -1);
    receive(node.channel, &message, DX_MESSAGE);
    ck_assert(says(&message, "2"));
    receive(node.channel, &message, DX_MESSAGE);
    ck_assert(says(&message, "3"));
    expect_silence(node.channel);
    hear_nothing(&node);
    close(note);
    leave_node(&node);
}
END_TEST

START_TEST(test_a_handle_that_is_not_welcome_is_refused)
{
    struct node node = meet_node(0);
    int ends[2];
    dx_message message;
    char byte;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    say_line(&node, "1", -1);
    say_line(&node, HANDLE("net.Socket", "2"), ends[1]);
    say_line(&node, "3", -1);
    close(ends[1]);
    receive(node.channel, &message, DX_MESSAGE);
    receive(node.channel, &message, DX_MESSAGE);
    ck_assert(says(&message, "3"));
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);
    expect_silence(node.channel);
    ck_assert_int_eq(hear_lines(&node, NACK "\n"), -1);
    hear_nothing(&node);
    close(ends[0]);
    leave_node(&node);
}
END_TEST

START_TEST(test_a_handle_without_room_is_asked_for_again)
{
    if (harness_valgrind())
        HARNESS_SKIP("valgrind has descriptors of its own beyond the limit");
    struct node node = meet_node(1);
    int note = make_note(7);
    struct rlimit before, none;
    dx_message message;

    say_line(&node, HANDLE("net.Socket", "1"), note);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){(rlim_t)note + 1, before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int status = dx_recv(node.channel, &message, DX_NOW);

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_int_eq(status, -EMFILE);
    expect_silence(node.channel);
    ck_assert_int_eq(hear_lines(&node, NACK "\n"), -1);
    say_line(&node, HANDLE("net.Socket", "1"), note);
    receive(node.channel, &message, DX_MESSAGE);
    ck_assert(is_note(message.descriptors[0], 7));
    ck_assert_int_eq(hear_lines(&node, ACK "\n"), -1);
    close(note);
    leave_node(&node);
}
END_TEST

static void is_refused(const struct node *node, int fd, int error)
{
    ck_assert_int_eq(send_note(node, "1", fd, DX_NOW), error);
    ck_assert(fd < 0 || is_open(fd));
    hear_nothing(node);
    if (fd >= 0)
        close(fd);
}

START_TEST(test_what_would_kill_node_is_not_sent)
{
    struct node node = meet_node(0);
    const char *bad[] = {"",
                         "{",
                         "a",
                         "1 2",
                         "\"a\nb\"",
                         "\"\xff\"",
                         "1\n",
                         "{\"cmd\":\"NODE_HANDLE_ACK\"}",
                         "{\"\\u0063md\":\"NODE\\u005fX\"}"};
    int pair[2], ends[2];

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        ck_assert_msg(dx_send(node.channel, bad[i], strlen(bad[i]), DX_NOW) == -EINVAL, "%s",
                      bad[i]);
        hear_nothing(&node);
    }
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(send_note(&node, "{", ends[0], DX_NOW), -EINVAL);
    hear_nothing(&node);
    dx_message two = with_descriptors("1", 1, ends, 2);

    ck_assert_int_eq(dx_send_message(node.channel, &two, DX_NOW), -EMSGSIZE);
    hear_nothing(&node);
    close(ends[0]);
    close(ends[1]);

    is_refused(&node, open("/dev/null", O_RDWR | O_CLOEXEC), -EINVAL);
    is_refused(&node, make_note(1), -EINVAL);
    is_refused(&node, open("/", O_RDONLY | O_CLOEXEC), -EINVAL);
    is_refused(&node, -1, -EBADF);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    is_refused(&node, pair[0], -EINVAL);
    close(pair[1]);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    is_refused(&node, pair[0], -EINVAL);
    close(pair[1]);
    leave_node(&node);
}
END_TEST

START_TEST(test_each_sort_of_descriptor_has_its_name)
{
    struct node node = meet_node(0);
    struct {
        int domain, type;
        bool listens;
        const char *line;
    } sorts[] = {
        {AF_INET, SOCK_STREAM, true, HANDLE("net.Server", "1") "\n"},
        {AF_INET, SOCK_STREAM, false, HANDLE("net.Socket", "1") "\n"},
        {AF_INET, SOCK_DGRAM, false, HANDLE("dgram.Socket\",\"dgramType\":\"udp4", "1") "\n"},
    };

    for (size_t i = 0; i < sizeof(sorts) / sizeof(*sorts); i++) {
        int fd = socket(sorts[i].domain, sorts[i].type | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        if (sorts[i].listens)
            ck_assert_int_eq(listen(fd, 1), 0);
        ck_assert_int_eq(send_note(&node, "1", fd, DX_NOW), 0);
        close(hear_lines(&node, sorts[i].line));
        say_line(&node, ACK, -1);
        expect_silence(node.channel);
    }
    leave_node(&node);
}
END_TEST

static bool blocks(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    ck_assert_int_ge(flags, 0);
    return (flags & O_NONBLOCK) == 0;
}

/* Node would hang in one that blocks. What was not sent stays as it was. */
START_TEST(test_what_leaves_does_not_block)
{
    struct node node = meet_node(0);
    int ends[2], given[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(send_note(&node, "{", ends[0], DX_NOW), -EINVAL);
    ck_assert(blocks(ends[0]));
    ck_assert_int_eq(send_note(&node, "1", ends[0], DX_NOW), 0);
    given[0] = hear_lines(&node, HANDLE("net.Socket", "1") "\n");
    ck_assert(!blocks(given[0]));
    ck_assert(blocks(ends[1]));
    say_line(&node, ACK, -1);
    expect_silence(node.channel);

    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    ck_assert_int_eq(listen(server, 1), 0);
    ck_assert_int_eq(send_note(&node, "{", server, DX_NOW), -EINVAL);
    ck_assert(!blocks(server));
    ck_assert_int_eq(send_note(&node, "2", server, DX_NOW), 0);
    given[1] = hear_lines(&node, HANDLE("net.Server", "2") "\n");
    ck_assert(!blocks(given[1]));
    close(given[0]);
    close(given[1]);
    close(ends[1]);
    leave_node(&node);
}
END_TEST

START_TEST(test_a_peer_that_ends_without_an_answer_is_told)
{
    struct node node = meet_node(0);
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(send_note(&node, "1", ends[0], DX_NOW), 0);
    shutdown(node.fd, SHUT_WR);
    ck_assert_int_eq(dx_send(node.channel, "2", 1, PATIENCE_MS), -EPIPE);
    expect_explained(node.channel, "before it had answered");
    close(ends[1]);
    leave_node(&node);
}
END_TEST

/* Sockets that there are on other machines, or that do not say what they are. */
static int domain_of_all, error_of_types;

static int say_of_socket(int fd, int name, int *ret)
{
    if (name == SO_TYPE && error_of_types < 0)
        return error_of_types;
    int error = dxi_linux.socket_get(fd, name, ret);

    if (name == SO_DOMAIN)
        *ret = domain_of_all;
    return error;
}

START_TEST(test_a_socket_that_node_does_not_know_is_no_handle)
{
    static const struct {
        int domain, error;
        const char *sentence;
    } answers[] = {{AF_VSOCK, 0, "Node cannot make a handle"},
                   {AF_UNIX, -EINVAL, "cannot see what descriptor"}};
    struct dxi_os table = dxi_linux;

    table.socket_get = say_of_socket;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct node node = meet_node(0);
        int fds[2];

        raw_pair(DX_STREAM, fds);
        dx_message message = with_descriptors("1", 1, &fds[0], 1);

        domain_of_all = answers[i].domain;
        error_of_types = answers[i].error;
        dxi_os = &table;
        ck_assert_int_eq(dx_send_message(node.channel, &message, DX_NOW), -EINVAL);
        expect_explained(node.channel, answers[i].sentence);
        dxi_os = &dxi_linux;
        ck_assert_int_ge(fds[0], 0);
        close(fds[0]);
        close(fds[1]);
        leave_node(&node);
    }
}
END_TEST

HARNESS_MAIN("node_handles", TEST(test_a_socket_that_node_does_not_know_is_no_handle),
             TEST(test_a_handle_goes_alone_and_is_waited_for),
             TEST(test_an_answer_is_found_behind_messages),
             TEST(test_an_answer_lets_go_of_the_descriptor),
             TEST(test_a_refused_handle_is_sent_again_three_times),
             TEST(test_a_call_after_a_refused_handle_was_not_answered),
             TEST(test_a_handle_that_comes_is_acknowledged),
             TEST(test_a_handle_that_is_not_welcome_is_refused),
             TEST(test_a_handle_without_room_is_asked_for_again),
             TEST(test_what_would_kill_node_is_not_sent),
             TEST(test_each_sort_of_descriptor_has_its_name), TEST(test_what_leaves_does_not_block),
             TEST(test_a_peer_that_ends_without_an_answer_is_told))
