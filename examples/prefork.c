/* SPDX-License-Identifier: MIT */
/*
 * A prefork HTTP server, as Apache made it known: the parent accepts connections and hands each to a
 * worker, which serves it to its end. A worker that dies takes one connection with it and is
 * replaced; the parent touches no byte that a client sends.
 *
 *   prefork [PORT]       listens on the loopback interface, on any free port if none is given
 *
 * A connection is a job, and its socket the descriptor of that job. With one job at a time and no
 * retries nobody but the worker has the socket, so the client sees its end as soon as the worker
 * has closed it, or has died. So many connections are served at a time as there are workers; there are more
 * when there are more connections, and those that find none wait. SIGTERM and SIGINT let what is
 * under way be finished; a second one does not.
 */
#include "http_connection.h"

#include <duplex.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <unistd.h>

#define WORKERS_MIN 4
#define WORKERS_MAX 64
#define CONNECTIONS_MAX 192 /* those included that wait for a worker; more wait in the kernel */
#define LEAVE_FD 4          /* what a worker has its end of the pipe `leave` as */

/* A worker that still has a connection then hangs: it would have ended it by itself. */
#define HANGS_MS (HTTP_CONNECTION_MS + 2 * HTTP_REQUEST_MS + 10000)
#define TIRED_MS 100 /* how long nothing is accepted when descriptors or memory are short */

typedef struct server {
    dx_pool *pool;
    int listener; /* -1 once the server leaves */
    int leave;    /* the parent's end of a pipe that nobody writes to; workers see its end */
    bool tired;
    unsigned open; /* connections in the pool */
    uint64_t connections, requests, lost;
} server;

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static int serve(dx_channel *parent, const dx_message *job, void *context)
{
    dx_message message = *job;
    int fd = dx_message_take(&message, 0);
    uint64_t id = job->id;
    uint64_t requests;
    char text[64];

    (void)context;
    if (fd < 0)
        return fd;
    snprintf(text, sizeof(text), "served by %d", (int)getpid());
    requests = http_serve(fd, LEAVE_FD, text);
    close(fd);
    return dx_reply(parent, id, &requests, sizeof(requests), DX_FOREVER);
}

static int worker(dx_channel *parent, void *context)
{
    return dx_work(parent, serve, context) < 0;
}

/* Listen, and say where. Returns the socket, or -1. */
static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int yes = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
        bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        perror("prefork: cannot listen");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    printf("http://127.0.0.1:%d/\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static int open_pool(server *self)
{
    int leave[2];
    dx_failure failure;
    dx_descriptor leave_end = {.target = LEAVE_FD};
    dx_channel_options to_parent = {.descriptor_limit = 1};
    dx_pool_options options = {
        .process = {.child_channel = &to_parent,
                    .descriptors = &leave_end,
                    .descriptor_count = 1,
                    .group = DX_GROUP_NEW}, /* Ctrl-C is for the parent, which drains */
        .workers = WORKERS_MAX,
        .workers_min = WORKERS_MIN,
        .queue_limit = CONNECTIONS_MAX,
        .job_timeout_ms = HANGS_MS,
        .recycle_jobs = 10000, /* what leaks does not leak for ever */
        .failure = &failure,
    };

    if (pipe2(leave, O_CLOEXEC) < 0) {
        perror("prefork: cannot make a pipe");
        return -1;
    }
    leave_end.fd = leave[0]; /* stays open: the pool starts workers later, too */
    self->leave = leave[1];
    if (dx_pool_open_function(&self->pool, worker, NULL, &options) < 0) {
        fprintf(stderr, "prefork: %s\n", failure.text);
        return -1;
    }
    return 0;
}

/* Give the connections that are there to the pool, as far as there is room in it. */
static void take_connections(server *self)
{
    dx_job job = {.descriptor_count = 1};

    while (self->open < CONNECTIONS_MAX) {
        int fd = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            /* Others mean that there is none, or that one has gone again. */
            self->tired = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
            return;
        }
        job.descriptors = &fd;
        if (dx_pool_submit_job(self->pool, &job, NULL, DX_NOW) < 0) {
            close(fd);
            self->tired = true;
            return;
        }
        self->connections++;
        self->open++;
    }
}

/* Note what became of connections. Returns 1, 0 when no connection is left, or a negative number. */
static int take_results(server *self)
{
    dx_result result;
    uint64_t requests;
    int status;

    while ((status = dx_pool_next(self->pool, &result, DX_NOW)) == 1) {
        self->open--;
        if (result.error == 0 && result.message.size == sizeof(requests)) {
            memcpy(&requests, result.message.data, sizeof(requests));
            self->requests += requests;
        } else {
            self->lost++;
            fprintf(stderr, "prefork: a connection was lost: %s\n", result.text);
        }
    }
    return status == -ETIMEDOUT ? 1 : status;
}

/* Stop accepting; the workers let their clients finish. */
static void leave(server *self)
{
    dx_pool_drain(self->pool);
    close(self->listener);
    self->listener = -1;
    close(self->leave);
    self->leave = -1;
}

static int run(server *self, const sigset_t *signals_let_in)
{
    int status = 1;

    while (signals < 2) {
        struct pollfd fds[2] = {{.fd = dx_pool_fd(self->pool)}, {.events = POLLIN}};
        int timeout_ms = dx_pool_timeout_ms(self->pool);

        fds[0].events = (short)dx_pool_events(self->pool);
        fds[1].fd = self->tired || self->open >= CONNECTIONS_MAX ? -1 : self->listener;
        if (self->tired && (timeout_ms < 0 || timeout_ms > TIRED_MS))
            timeout_ms = TIRED_MS;
        self->tired = false;
        if (ppoll(fds, 2,
                  timeout_ms < 0
                      ? NULL
                      : &(struct timespec){timeout_ms / 1000, timeout_ms % 1000 * 1000000L},
                  signals_let_in) < 0 &&
            errno != EINTR)
            return -errno;
        dx_pool_process(self->pool);
        if (fds[1].revents)
            take_connections(self);
        status = take_results(self);
        if (status < 0) {
            fprintf(stderr, "prefork: %s\n", dx_pool_explain(self->pool));
            return status;
        }
        if (signals > 0 && self->listener >= 0)
            leave(self);
        if (self->listener < 0 && status == 0)
            return 0;
    }
    return 0;
}

int main(int argc, char *argv[])
{
    server self = {.listener = -1, .leave = -1};
    struct sigaction action = {.sa_handler = count_signal};
    dx_pool_statistics now = {0};
    sigset_t ours, before;
    int status;

    /* They are let in while we poll, and at no other time, so that none is missed. */
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigprocmask(SIG_BLOCK, &ours, &before);
    sigdelset(&before, SIGTERM);
    sigdelset(&before, SIGINT);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    self.listener = listen_on(argc > 1 ? atoi(argv[1]) : 0);
    if (self.listener < 0 || open_pool(&self) < 0)
        return 1;
    status = run(&self, &before);
    dx_pool_statistics_get(self.pool, &now);
    dx_pool_close(self.pool);
    printf("%llu connections, %llu requests, %llu lost, %llu workers\n",
           (unsigned long long)self.connections, (unsigned long long)self.requests,
           (unsigned long long)self.lost, (unsigned long long)now.starts);
    return status < 0;
}
