/* SPDX-License-Identifier: MIT */
/*
 * One connection of HTTP/1.1, served to its end: as much of it as the example prefork needs. Each
 * request is answered with the same text, as long as the client asks, in time and in good form.
 */
#ifndef EXAMPLES_HTTP_CONNECTION_H
#define EXAMPLES_HTTP_CONNECTION_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define HTTP_IDLE_MS 5000        /* a client may say nothing for so long before a request, */
#define HTTP_REQUEST_MS 5000     /* take so long for one, */
#define HTTP_CONNECTION_MS 20000 /* and begin the last one after so long */
#define HTTP_LEAVE_MS 100        /* when the server leaves, a request is still waited for so long */
#define HTTP_HEAD_MAX 8192
#define HTTP_BODY_MAX (1 << 20)

typedef struct http_connection {
    int fd;
    int leave_fd; /* at its end when the server leaves */
    bool leaving;
    int64_t last_ms; /* no request begins after this */
    uint64_t requests;
    size_t have; /* bytes that were received and not used yet */
    char bytes[HTTP_HEAD_MAX + 1];
} http_connection;

typedef struct http_request {
    int status; /* what to answer */
    bool head;  /* without the text */
    bool last;
    size_t body; /* bytes that follow the head */
} http_request;

static int64_t http_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Wait for the socket. Returns whether it is ready, before the deadline and before the server leaves. */
static bool http_wait(http_connection *self, short events, int64_t until_ms, bool may_leave)
{
    struct pollfd fds[2] = {{self->fd, events, 0}, {self->leave_fd, POLLIN, 0}};

    for (;;) {
        int64_t left_ms = until_ms - http_now_ms();

        if (left_ms <= 0)
            return false;
        fds[1].fd = may_leave && !self->leaving ? self->leave_fd : -1;
        fds[1].revents = 0;
        if (poll(fds, 2, (int)left_ms) < 0 && errno != EINTR)
            return false;
        if (fds[0].revents)
            return true;
        if (fds[1].revents) {
            /* A request may be on its way, and would be lost with the connection. */
            self->leaving = true;
            if (until_ms > http_now_ms() + HTTP_LEAVE_MS)
                until_ms = http_now_ms() + HTTP_LEAVE_MS;
        }
    }
}

/* Receive some bytes. Returns how many, 0 at the end, or -1 when it is too late or the client has gone. */
static ssize_t http_receive(http_connection *self, void *bytes, size_t size, int64_t until_ms,
                            bool may_leave)
{
    for (;;) {
        ssize_t got = recv(self->fd, bytes, size, MSG_DONTWAIT);

        if (got >= 0)
            return got;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN || !http_wait(self, POLLIN, until_ms, may_leave))
            return -1;
    }
}

static bool http_send(http_connection *self, const char *bytes, size_t size, int64_t until_ms)
{
    while (size > 0) {
        ssize_t sent = send(self->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent >= 0) {
            bytes += sent;
            size -= (size_t)sent;
        } else if (errno != EINTR &&
                   (errno != EAGAIN || !http_wait(self, POLLOUT, until_ms, false))) {
            return false;
        }
    }
    return true;
}

/*
 * Receive the head of a request, up to its empty line. Returns its size; 0 if there is no more request;
 * or what to answer, negative.
 */
static int http_receive_head(http_connection *self, int64_t *ret_until_ms)
{
    int64_t until_ms = http_now_ms() + (self->have ? HTTP_REQUEST_MS : HTTP_IDLE_MS);

    for (;;) {
        char *end;
        ssize_t got;

        self->bytes[self->have] = '\0';
        end = strstr(self->bytes, "\r\n\r\n");
        if (end != NULL) {
            *ret_until_ms = until_ms;
            return (int)(end + 4 - self->bytes);
        }
        if (self->have == HTTP_HEAD_MAX)
            return -431;
        if (memchr(self->bytes, '\0', self->have) != NULL)
            return -400;
        got = http_receive(self, self->bytes + self->have, HTTP_HEAD_MAX - self->have, until_ms,
                           self->have == 0);
        if (got <= 0 && self->have == 0)
            return 0;
        if (got <= 0)
            return got < 0 ? -408 : -400;
        if (self->have == 0)
            until_ms = http_now_ms() + HTTP_REQUEST_MS;
        self->have += (size_t)got;
    }
}

/* Note what a field of the head says that matters to us. */
static void http_read_field(http_request *request, const char *field)
{
    const char *value = strchr(field, ':');

    if (value == NULL || value == field || field[strcspn(field, " \t:")] != ':') {
        request->status = 400;
        return;
    }
    value += 1 + strspn(value + 1, " \t");
    if (strncasecmp(field, "Connection:", 11) == 0) {
        request->last = strcasestr(value, "close") != NULL ||
                        (request->last && strcasestr(value, "keep-alive") == NULL);
    } else if (strncasecmp(field, "Content-Length:", 15) == 0) {
        size_t digits = strspn(value, "0123456789");

        if (digits == 0 || value[digits + strspn(value + digits, " \t")] != '\0')
            request->status = 400;
        else if (digits > 9 || strtoul(value, NULL, 10) > HTTP_BODY_MAX)
            request->status = 413;
        else
            request->body = strtoul(value, NULL, 10);
    } else if (strncasecmp(field, "Transfer-Encoding:", 18) == 0) {
        request->status = 501;
    }
}

/* Read a whole head, which is spoiled by that. */
static http_request http_read_head(char *head)
{
    http_request request = {.status = 400, .last = true};
    char *state = NULL;
    char *method = strtok_r(head, "\r\n", &state);
    char *target = method ? strchr(method, ' ') : NULL;
    char *version = target ? strchr(target + 1, ' ') : NULL;
    char *field;

    if (version == NULL)
        return request;
    *target++ = '\0';
    *version++ = '\0';
    if (strncmp(version, "HTTP/", 5) != 0)
        return request;
    request.head = strcmp(method, "HEAD") == 0;
    request.status = request.head || strcmp(method, "GET") == 0 ? 200 : 405;
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        request.status = 505;
    request.last = version[7] == '0';
    while ((field = strtok_r(NULL, "\r\n", &state)) != NULL)
        http_read_field(&request, field);
    /* What follows a head that was not understood is not known to be a request. */
    request.last = request.last || (request.status != 200 && request.status != 405);
    return request;
}

static const char *http_reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Bad Request";
    }
}

static bool http_answer(http_connection *self, const http_request *request, const char *text)
{
    char answer[512];
    const char *body = request->status == 200 ? text : http_reason(request->status);
    int size = snprintf(answer, sizeof(answer),
                        "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\n%s"
                        "Connection: %s\r\nContent-Length: %zu\r\n\r\n%s\n",
                        request->status, http_reason(request->status),
                        request->status == 405 ? "Allow: GET, HEAD\r\n" : "",
                        request->last ? "close" : "keep-alive", strlen(body) + 1, body);

    if (request->head)
        size -= (int)strlen(body) + 1;
    return http_send(self, answer, (size_t)size, http_now_ms() + HTTP_REQUEST_MS);
}

/* Let the body of a request pass; nothing here needs it. */
static bool http_skip_body(http_connection *self, size_t size, int64_t until_ms)
{
    while (size > 0) {
        size_t part = size < self->have ? size : self->have;
        ssize_t got;

        self->have -= part;
        size -= part;
        memmove(self->bytes, self->bytes + part, self->have);
        if (size == 0)
            break;
        got = http_receive(self, self->bytes, HTTP_HEAD_MAX, until_ms, false);
        if (got <= 0)
            return false;
        self->have = (size_t)got;
    }
    return true;
}

/* Serve one request. Returns whether there may be another. */
static bool http_serve_request(http_connection *self, const char *text)
{
    http_request request;
    int64_t until_ms;
    int size = http_receive_head(self, &until_ms);

    if (size == 0)
        return false;
    if (size < 0) {
        http_answer(self, &(http_request){.status = -size, .last = true}, text);
        return false;
    }
    self->bytes[size - 2] = '\0';
    request = http_read_head(self->bytes);
    self->have -= (size_t)size;
    memmove(self->bytes, self->bytes + size, self->have);
    if (self->leaving || http_now_ms() > self->last_ms)
        request.last = true;
    if (request.status == 200 || request.status == 405) {
        if (!http_skip_body(self, request.body, until_ms))
            return false;
    }
    self->requests++;
    return http_answer(self, &request, text) && !request.last;
}

/*
 * Serve a connection until its end, which this function brings about; `fd` stays the caller's to close.
 * Returns how many requests were answered.
 */
static uint64_t http_serve(int fd, int leave_fd, const char *text)
{
    http_connection self = {
        .fd = fd, .leave_fd = leave_fd, .last_ms = http_now_ms() + HTTP_CONNECTION_MS};
    int64_t until_ms;

    while (http_serve_request(&self, text)) {
        /* The next one. */
    }
    /* To close a socket with bytes unread may take our last answer from the client: read them first. */
    shutdown(fd, SHUT_WR);
    until_ms = http_now_ms() + HTTP_LEAVE_MS;
    while (http_receive(&self, self.bytes, HTTP_HEAD_MAX, until_ms, false) > 0 &&
           http_now_ms() < until_ms) {
        /* Nobody needs them. */
    }
    return self.requests;
}

#endif
