/* SPDX-License-Identifier: MIT */
/* Descriptors given to a child in Node, and taken from it: see node_handles.mjs. */
#include "handles.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static dx_process *start_limited(unsigned descriptor_limit, const dx_limit *limit)
{
    const dx_process_options options = {
        .channel = {.framing = DX_FRAMING_NODE, .descriptor_limit = descriptor_limit},
        .stdio[2].mode = descriptor_limit == 0 ? DX_STDIO_NULL : DX_STDIO_INHERIT,
        .limits = limit,
        .limit_count = limit != NULL,
    };

    dx_process *process = start(ARGV("node", SCRIPT("node_handles.mjs")), &options);

    expect_text(dx_process_channel(process), "\"ready\"");
    return process;
}

static dx_process *start_node(unsigned descriptor_limit)
{
    return start_limited(descriptor_limit, NULL);
}

/* It is alive, and goes when it is told to. */
static void part(dx_process *process)
{
    dx_channel *channel = dx_process_channel(process);

    send_text(channel, "{\"do\":\"echo\",\"value\":\"alive\"}");
    expect_text(channel, "{\"value\":\"alive\"}");
    ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
    expect_end(channel);
    expect_exit(process, 5);
}

/* The number behind these words, with which a message begins. */
static int number_after(const dx_message *message, const char *words)
{
    char text[64];

    ck_assert_uint_lt(message->size, sizeof(text));
    memcpy(text, message->data, message->size);
    text[message->size] = '\0';
    ck_assert_msg(strncmp(text, words, strlen(words)) == 0, "%s", text);
    return (int)strtol(text + strlen(words), NULL, 10);
}

START_TEST(test_node_speaks_by_a_socket_that_we_gave)
{
    int ends[2];

    NEED("node");
    dx_process *process = start_node(0);
    dx_channel *channel = dx_process_channel(process);

    pair_tcp(ends);
    send_handle(channel, "{\"do\":\"shout\",\"number\":1}", ends[1]);
    expect_text(channel, "{\"got\":\"socket\",\"number\":1}");
    expect_answer(ends[0], "by tcp", "BY TCP");

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    send_handle(channel, "{\"do\":\"shout\",\"number\":2}", ends[1]);
    expect_text(channel, "{\"got\":\"socket\",\"number\":2}");
    expect_answer(ends[0], "by a socketpair", "BY A SOCKETPAIR");
    part(process);
}
END_TEST

START_TEST(test_node_reads_and_writes_pipes_that_we_gave)
{
    int ends[2];

    NEED("node");
    dx_process *process = start_node(0);
    dx_channel *channel = dx_process_channel(process);

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    send_handle(channel, "{\"do\":\"listen\"}", ends[0]);
    expect_text(channel, "{\"got\":\"socket\"}");
    ck_assert_int_eq(write(ends[1], "by a pipe", 9), 9);
    close(ends[1]);
    expect_text(channel, "{\"text\":\"by a pipe\"}");

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    send_handle(channel, "{\"do\":\"speak\"}", ends[1]);
    expect_text(channel, "{\"got\":\"socket\"}");
    expect_answer(ends[0], NULL, "spoken by node");
    part(process);
}
END_TEST

/* The socket blocks here, and nobody reads what Node writes: Node must not wait for that. */
START_TEST(test_node_does_not_hang_in_a_socket_that_we_gave)
{
    int ends[2];

    NEED("node");
    dx_process *process = start_node(0);
    dx_channel *channel = dx_process_channel(process);

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    send_handle(channel, "{\"do\":\"flood\",\"size\":4000000}", ends[1]);
    expect_text(channel, "{\"got\":\"socket\"}");
    send_text(channel, "{\"do\":\"echo\",\"value\":1}");
    expect_text(channel, "{\"value\":1}");
    close(ends[0]);
    part(process);
}
END_TEST

START_TEST(test_node_serves_at_a_server_that_we_gave)
{
    int port;

    NEED("node");
    dx_process *process = start_node(0);
    dx_channel *channel = dx_process_channel(process);

    send_handle(channel, "{\"do\":\"serve\"}", listen_tcp(&port));
    expect_text(channel, "{\"got\":\"server\"}");
    for (int i = 0; i < 3; i++)
        expect_answer(connect_tcp(port), NULL, "served by node");
    part(process);
}
END_TEST

START_TEST(test_node_serves_at_a_unix_server_that_we_gave)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(sa_family_t);

    NEED("node");
    dx_process *process = start_node(0);
    dx_channel *channel = dx_process_channel(process);
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    /* The kernel chooses an abstract name, which no file has. */
    ck_assert_int_eq(bind(server, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(server, 8), 0);
    size = sizeof(address);
    ck_assert_int_eq(getsockname(server, (struct sockaddr *)&address, &size), 0);
    send_handle(channel, "{\"do\":\"serve\"}", server);
    expect_text(channel, "{\"got\":\"server\"}");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, size), 0);
    expect_answer(fd, NULL, "served by node");
    part(process);
}
END_TEST

START_TEST(test_node_answers_datagrams_at_a_socket_that_we_gave)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    char text[16] = "";
    int port, ours;

    NEED("node");
    dx_process *process = start_node(0);
    dx_channel *channel = dx_process_channel(process);

    send_handle(channel, "{\"do\":\"datagrams\"}", bind_udp(&port));
    expect_text(channel, "{\"got\":\"dgram\"}");
    address.sin_port = htons((uint16_t)port);
    int fd = bind_udp(&ours);

    ck_assert_int_eq(sendto(fd, "datagram", 8, 0, (struct sockaddr *)&address, sizeof(address)), 8);
    ck_assert_int_eq(recv(fd, text, sizeof(text) - 1, 0), 8);
    ck_assert_str_eq(text, "DATAGRAM");
    close(fd);
    part(process);
}
END_TEST

/* Nothing follows a handle before its answer, and all arrive in the order of sending. */
START_TEST(test_handles_and_messages_keep_their_order)
{
    char text[64];

    NEED("node");
    dx_process *process = start_node(0);
    dx_channel *channel = dx_process_channel(process);

    for (int i = 0; i < 60; i++) {
        snprintf(text, sizeof(text), "{\"do\":\"number\",\"number\":%d}", i);
        if (i % 3 == 0) {
            send_text(channel, text);
        } else {
            int ends[2];

            ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
            send_handle(channel, text, ends[1]);
            close(ends[0]);
        }
    }
    for (int i = 0; i < 60; i++) {
        snprintf(text, sizeof(text), "{\"number\":%d,\"got\":\"%s\"}", i,
                 i % 3 == 0 ? "nothing" : "socket");
        expect_text(channel, text);
    }
    part(process);
}
END_TEST

/* What Node cannot make a handle of would abort it. */
START_TEST(test_what_would_kill_node_does_not_leave)
{
    int ends[2], fds[6];

    NEED("node");
    dx_process *process = start_node(1);
    dx_channel *channel = dx_process_channel(process);

    fds[0] = open(SCRIPT("node_handles.mjs"), O_RDONLY | O_CLOEXEC);
    fds[1] = open("/dev/null", O_RDWR | O_CLOEXEC);
    fds[2] = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fds[3] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    fds[4] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    fds[5] = ends[0];
    for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
        ck_assert_msg(fds[i] >= 0, "descriptor %zu could not be opened: is there a /dev/ptmx?", i);
        int error = try_handle(channel, "{\"do\":\"number\",\"number\":1}", fds[i]);

        ck_assert_msg(error == -EINVAL, "descriptor %zu: %d", i, error);
        ck_assert_str_ne(dx_channel_explain(channel), "");
        close(fds[i]);
    }
    close(ends[1]);

    /* Neither do Node's own words, with a good descriptor or none. */
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    ck_assert_int_eq(try_handle(channel, "{\"cmd\":\"NODE_HANDLE_ACK\"}", ends[0]), -EINVAL);
    ck_assert_int_eq(try_handle(channel, "no JSON", ends[0]), -EINVAL);
    ck_assert_int_eq(try_handle(channel, "", ends[0]), -EINVAL);
    dx_message two = {.data = "{}", .size = 2, .descriptors = ends, .descriptor_count = 2};

    ck_assert_int_eq(dx_send_message(channel, &two, PATIENCE_MS), -EMSGSIZE);
    close(ends[0]);
    close(ends[1]);
    part(process);
}
END_TEST

START_TEST(test_sockets_come_from_node_in_order)
{
    enum { COUNT = 5 };
    int port, connections[COUNT];
    char text[64], said[32];

    NEED("node");
    dx_process *process = start_node(1);
    dx_channel *channel = dx_process_channel(process);
    int server = listen_tcp(&port);

    snprintf(text, sizeof(text), "{\"do\":\"give\",\"port\":%d,\"count\":%d}", port, COUNT);
    send_text(channel, text);
    for (int i = 0; i < COUNT; i++)
        connections[i] = accept_one(server);
    for (int i = 0; i < COUNT; i++) {
        struct sockaddr_in address;
        socklen_t size = sizeof(address);

        snprintf(text, sizeof(text), "{\"before\":%d}", i);
        expect_text(channel, text);
        dx_message message = receive(channel);

        ck_assert_uint_eq(message.descriptor_count, 1);
        int fd = dx_message_take(&message, 0);

        /* It is the socket that the message speaks of. */
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        snprintf(text, sizeof(text), "{\"socket\":%d,\"port\":%d}", i, ntohs(address.sin_port));
        ck_assert_uint_eq(message.size, strlen(text));
        ck_assert_int_eq(memcmp(message.data, text, message.size), 0);
        snprintf(said, sizeof(said), "by socket %d", i);
        ck_assert_int_eq(send(fd, said, strlen(said), MSG_NOSIGNAL), (ssize_t)strlen(said));
        close(fd);
        snprintf(text, sizeof(text), "{\"after\":%d}", i);
        expect_text(channel, text);
    }
    /* Node let go of them, or these ends would not see the end. */
    for (int i = 0; i < COUNT; i++) {
        ck_assert_ptr_nonnull(strstr(read_to_end(connections[i]), "by socket "));
    }
    close(server);
    part(process);
}
END_TEST

START_TEST(test_a_server_comes_from_node)
{
    int port;

    NEED("node");
    dx_process *process = start_node(1);
    dx_channel *channel = dx_process_channel(process);

    send_text(channel, "{\"do\":\"giveServer\"}");
    dx_message message = receive(channel);

    ck_assert_uint_eq(message.descriptor_count, 1);
    int server = dx_message_take(&message, 0);

    port = number_after(&message, "{\"server\":");
    expect_text(channel, "{\"sent\":true}");

    /* Only we listen now. */
    int ours = connect_tcp(port), theirs = accept_one(server);

    ck_assert_int_eq(send(theirs, "ours", 4, MSG_NOSIGNAL), 4);
    close(theirs);
    expect_answer(ours, NULL, "ours");
    close(server);
    part(process);
}
END_TEST

START_TEST(test_a_connection_that_node_accepted_is_given)
{
    int port;

    NEED("node");
    dx_process *process = start_node(1);
    dx_channel *channel = dx_process_channel(process);

    send_text(channel, "{\"do\":\"giveAccepted\"}");
    dx_message message = receive(channel);

    port = number_after(&message, "{\"port\":");
    int ours = connect_tcp(port);
    int theirs = expect_handle(channel, "\"accepted\"");

    ck_assert_int_eq(send(theirs, "accepted", 8, MSG_NOSIGNAL), 8);
    close(theirs);
    expect_answer(ours, NULL, "accepted");
    part(process);
}
END_TEST

/* Node sends it again, at last warns, and the conversation goes on. */
START_TEST(test_a_handle_that_is_not_welcome_is_refused)
{
    int port;

    NEED("node");
    dx_process *process = start_node(0);
    dx_channel *channel = dx_process_channel(process);
    int server = listen_tcp(&port);
    char text[64];

    snprintf(text, sizeof(text), "{\"do\":\"give\",\"port\":%d,\"count\":1}", port);
    send_text(channel, text);
    int connection = accept_one(server);

    expect_text(channel, "{\"before\":0}");
    expect_text(channel, "{\"after\":0}");
    expect_text(channel, "{\"warning\":\"SentHandleNotReceivedWarning\"}");
    close(connection);
    close(server);
    part(process);
}
END_TEST

static rlim_t limit_descriptors(rlim_t count)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;

    limit.rlim_cur = count;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

/* A process at its limit of open files loses a descriptor; Node has it, and sends it again. */
START_TEST(test_a_handle_that_was_lost_comes_again)
{
    dx_message message;
    int port;

    NEED("node");
    if (harness_valgrind())
        HARNESS_SKIP("valgrind has descriptors of its own beyond any limit");
    dx_process *process = start_node(1);
    dx_channel *channel = dx_process_channel(process);
    int server = listen_tcp(&port);
    char text[64];

    snprintf(text, sizeof(text), "{\"do\":\"give\",\"port\":%d,\"count\":1}", port);
    send_text(channel, text);
    int connection = accept_one(server);
    rlim_t before = limit_descriptors(3); /* nothing can be opened now */
    int got = dx_recv(channel, &message, PATIENCE_MS);

    if (got == 1) /* the message before it */
        got = dx_recv(channel, &message, PATIENCE_MS);
    limit_descriptors(before);
    ck_assert_msg(got == -EMFILE, "%d: %s", got, dx_channel_explain(channel));
    snprintf(text, sizeof(text), "{\"socket\":0,");
    message = receive(channel);
    ck_assert_uint_eq(message.descriptor_count, 1);
    ck_assert(message.size > strlen(text) && memcmp(message.data, text, strlen(text)) == 0);
    expect_text(channel, "{\"after\":0}");
    close(connection);
    close(server);
    part(process);
}
END_TEST

/* A pair of which Node has been sent one end, and lost it as often as it was said. */
static dx_process *start_exhausted(int times, int *ret_ours)
{
    /* Node raises the soft limit to the hard one. */
    const dx_limit few = {.resource = RLIMIT_NOFILE, .soft = 256, .hard = 256};
    dx_process *process = start_limited(1, &few);
    char text[64];
    int ends[2];

    snprintf(text, sizeof(text), "{\"do\":\"exhaust\",\"times\":%d}", times);
    send_text(dx_process_channel(process), text);
    expect_text(dx_process_channel(process), "\"exhausted\"");
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    send_handle(dx_process_channel(process), "{\"do\":\"shout\",\"number\":1}", ends[1]);
    *ret_ours = ends[0];
    return process;
}

/* Node itself sends three times more what its receiver has lost, and so do we. */
START_TEST(test_a_handle_that_node_lost_is_sent_again)
{
    int ours;

    NEED("node");
    if (harness_valgrind())
        HARNESS_SKIP("valgrind does not let a child lower its limit of descriptors");
    for (int times = 1; times <= 3; times++) {
        dx_process *process = start_exhausted(times, &ours);
        dx_channel *channel = dx_process_channel(process);

        send_text(channel, "{\"do\":\"echo\",\"value\":2}");
        expect_text(channel, "{\"got\":\"socket\",\"number\":1}");
        expect_text(channel, "{\"value\":2}");
        expect_answer(ours, "at last", "AT LAST");
        part(process);
    }
}
END_TEST

START_TEST(test_a_handle_that_node_cannot_have_is_given_up)
{
    int ours;

    NEED("node");
    if (harness_valgrind())
        HARNESS_SKIP("valgrind does not let a child lower its limit of descriptors");
    dx_process *process = start_exhausted(4, &ours);
    dx_channel *channel = dx_process_channel(process);

    /* Said once, to whoever sends next; then the conversation goes on. */
    ck_assert_int_eq(dx_send(channel, "{\"do\":\"echo\",\"value\":2}", 23, PATIENCE_MS), -ECOMM);
    ck_assert_str_ne(dx_channel_explain(channel), "");
    expect_answer(ours, NULL, "");
    part(process);
}
END_TEST

HARNESS_MAIN("real: node and handles", TEST_WITHIN(test_node_speaks_by_a_socket_that_we_gave, 60),
             TEST_WITHIN(test_node_reads_and_writes_pipes_that_we_gave, 60),
             TEST_WITHIN(test_node_does_not_hang_in_a_socket_that_we_gave, 60),
             TEST_WITHIN(test_node_serves_at_a_server_that_we_gave, 60),
             TEST_WITHIN(test_node_serves_at_a_unix_server_that_we_gave, 60),
             TEST_WITHIN(test_node_answers_datagrams_at_a_socket_that_we_gave, 60),
             TEST_WITHIN(test_handles_and_messages_keep_their_order, 60),
             TEST_WITHIN(test_what_would_kill_node_does_not_leave, 60),
             TEST_WITHIN(test_sockets_come_from_node_in_order, 60),
             TEST_WITHIN(test_a_server_comes_from_node, 60),
             TEST_WITHIN(test_a_connection_that_node_accepted_is_given, 60),
             TEST_WITHIN(test_a_handle_that_is_not_welcome_is_refused, 60),
             TEST_WITHIN(test_a_handle_that_was_lost_comes_again, 60),
             TEST_WITHIN(test_a_handle_that_node_lost_is_sent_again, 60),
             TEST_WITHIN(test_a_handle_that_node_cannot_have_is_given_up, 60))
