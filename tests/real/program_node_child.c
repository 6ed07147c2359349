/* SPDX-License-Identifier: MIT */
/*
 * A child of Node's child_process.fork(), which takes it for Node: see node_parent.mjs. It
 *
 *   gives back each message, but those that ask for something, as strings: "socket" and "server"
 *   for a handle, "deadly" to say what would kill Node, "disconnect" to say "last words" and go;
 *   takes each handle: accepts one connection if it is a server, and says who serves it.
 *
 * Exits with 3 when Node disconnects, with 4 when it was asked to.
 */
#include <duplex.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000 };

static dx_channel *parent;

static void demand(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "program_node_child: %s: %s\n", what,
                parent ? dx_channel_explain(parent) : "");
        exit(1);
    }
}

static bool is_text(const dx_message *message, const char *text)
{
    return message->size == strlen(text) && memcmp(message->data, text, message->size) == 0;
}

static void say(const char *text)
{
    demand(dx_send(parent, text, strlen(text), PATIENCE_MS) == 0, text);
}

static void say_with(const char *text, int fd)
{
    dx_message message = {
        .data = text,
        .size = strlen(text),
        .descriptors = &fd,
        .descriptor_count = 1,
    };

    demand(dx_send_message(parent, &message, PATIENCE_MS) == 0, text);
}

/* One end for Node, and words that wait in it, as from the other. */
static void give_socket(void)
{
    int ends[2];

    demand(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    demand(write(ends[1], "from duplex", 11) == 11, "write");
    close(ends[1]);
    say("{\"before\":\"socket\"}");
    say_with("{\"handle\":\"socket\"}", ends[0]);
    say("{\"after\":\"socket\"}");
}

static void give_server(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    demand(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
    demand(listen(fd, 8) == 0, "listen");
    say_with("{\"handle\":\"server\"}", fd);
}

static void take_handle(dx_message *message)
{
    int listens = 0;
    socklen_t size = sizeof(listens);
    int fd = dx_message_take(message, 0);

    demand(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0, "no socket came");
    say(listens ? "{\"took\":\"server\"}" : "{\"took\":\"socket\"}");
    for (int accepted = -1; listens; listens = 0, close(fd), fd = accepted) {
        /* Node made it non-blocking. */
        while ((accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) < 0 && errno == EAGAIN)
            usleep(5000);
        demand(accepted >= 0, "accept");
    }
    demand(send(fd, "served by duplex", 16, MSG_NOSIGNAL) == 16, "serving");
    close(fd);
}

/* What would end the parent with an exception is refused here. */
static void say_deadly_things(void)
{
    static const char *const deadly[] = {
        "", "no JSON", "{}\n\n{}", "{\"cmd\":\"NODE_HANDLE_ACK\"}", "{\"cmd\":\"NODE_x\"}",
    };

    for (size_t i = 0; i < sizeof(deadly) / sizeof(*deadly); i++)
        demand(dx_send(parent, deadly[i], strlen(deadly[i]), PATIENCE_MS) == -EINVAL, deadly[i]);
    say("\"refused\"");
}

static void answer(dx_message *message)
{
    if (message->descriptor_count == 1)
        take_handle(message);
    else if (is_text(message, "\"socket\""))
        give_socket();
    else if (is_text(message, "\"server\""))
        give_server();
    else if (is_text(message, "\"deadly\""))
        say_deadly_things();
    else
        demand(dx_send(parent, message->data, message->size, PATIENCE_MS) == 0, "giving back");
}

int main(void)
{
    dx_failure failure = {0};
    const dx_channel_options options = {
        .framing = DX_FRAMING_NODE,
        .descriptor_limit = 1,
        .failure = &failure,
    };
    dx_message message;
    int got;

    demand(dx_channel_claim(&parent, NULL, &options) == 0, failure.text);
    demand(getenv("NODE_CHANNEL_FD") == NULL && getenv("NODE_CHANNEL_SERIALIZATION_MODE") == NULL,
           "the promise is still there");
    while ((got = dx_recv(parent, &message, PATIENCE_MS)) == 1 &&
           !is_text(&message, "\"disconnect\""))
        answer(&message);
    demand(got >= 0, "receiving");
    if (got == 1)
        say("\"last words\"");
    dx_channel_close(parent);
    return got == 1 ? 4 : 3;
}
