/* SPDX-License-Identifier: MIT */
/*
 * See support.h.
 */
#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Numbers of messages begin their slices at different places; more than that adds nothing. */
enum { SLICES = 8192 };

int slowness(void)
{
    if (HARNESS_TSAN || harness_valgrind())
        return 15;
    return HARNESS_MSAN ? 8 : HARNESS_ASAN ? 4 : 1;
}

struct pair open_pair_with(const dx_channel_options *options)
{
    dx_channel *ends[2];

    ck_assert_int_eq(dx_channel_pair(ends, options), 0);
    return (struct pair){ends[0], ends[1]};
}

struct pair open_pair(dx_channel_type type)
{
    return open_pair_with(&(dx_channel_options){.type = type});
}

void close_pair(struct pair *pair)
{
    pair->near = dx_channel_close(pair->near);
    pair->far = dx_channel_close(pair->far);
}

int socket_type(dx_channel_type type)
{
    return type == DX_STREAM ? SOCK_STREAM : type == DX_SEQPACKET ? SOCK_SEQPACKET : SOCK_DGRAM;
}

void raw_pair(dx_channel_type type, int ret[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, socket_type(type) | SOCK_CLOEXEC, 0, ret), 0);
}

dx_channel *open_with_raw_peer(dx_channel_type type, const dx_channel_options *options,
                               int *ret_peer)
{
    dx_channel *channel;
    int fds[2];

    raw_pair(type, fds);
    ck_assert_int_eq(dx_channel_attach(&channel, fds[0], fds[0], options), 0);
    *ret_peer = fds[1];
    return channel;
}

const uint8_t *pattern(size_t size)
{
    static uint64_t *words;
    static size_t capacity;

    if (size > capacity) {
        uint64_t state = 0x9e3779b97f4a7c15U;

        capacity = (size + KIB * 64) & ~(size_t)7;
        words = realloc(words, capacity);
        if (words == NULL)
            abort();
        for (size_t i = 0; i < capacity / sizeof(*words); i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            words[i] = state;
        }
    }
    return (const uint8_t *)words;
}

const uint8_t *numbered_payload(unsigned number, size_t size)
{
    return pattern(size + SLICES) + number * 2654435761U % SLICES;
}

int send_numbered(dx_channel *channel, unsigned number, size_t size, int timeout_ms)
{
    return dx_send(channel, numbered_payload(number, size), size, timeout_ms);
}

bool is_numbered(const dx_message *message, unsigned number, size_t size)
{
    return message->size == size && message->data != NULL &&
           memcmp(message->data, numbered_payload(number, size), size) == 0;
}

void expect_numbered(dx_channel *channel, unsigned number, size_t size, int timeout_ms)
{
    dx_message message;
    int status = dx_recv(channel, &message, timeout_ms);

    ck_assert_msg(status == 1, "message %u of %zu bytes: %d instead of a message: %s", number, size,
                  status, dx_channel_explain(channel));
    ck_assert_msg(is_numbered(&message, number, size),
                  "message %u of %zu bytes: %zu bytes came, or others", number, size, message.size);
    ck_assert_uint_eq(message.descriptors_lost, 0);
}

void carry(dx_channel *from, dx_channel *to, unsigned number, size_t size)
{
    dx_message message;
    int status = send_numbered(from, number, size, DX_NOW);

    ck_assert_msg(status == 0, "sending %zu bytes: %d: %s", size, status, dx_channel_explain(from));
    while ((status = dx_recv(to, &message, DX_NOW)) == -ETIMEDOUT) {
        int flushed = dx_flush(from, DX_NOW);

        ck_assert_msg(flushed == 0 || flushed == -ETIMEDOUT, "flushing: %d: %s", flushed,
                      dx_channel_explain(from));
    }
    ck_assert_msg(status == 1, "receiving %zu bytes: %d: %s", size, status, dx_channel_explain(to));
    ck_assert_msg(is_numbered(&message, number, size), "%zu bytes came for %zu, or others",
                  message.size, size);
}

unsigned fill_outgoing(dx_channel *channel, unsigned first_number, size_t size)
{
    for (unsigned count = 0;; count++) {
        int status = send_numbered(channel, first_number + count, size, DX_NOW);

        if (status == -ETIMEDOUT)
            return count;
        ck_assert_msg(status == 0, "filling: %d: %s", status, dx_channel_explain(channel));
    }
}

void expect_explained(const dx_channel *channel, const char *text)
{
    const char *sentence = dx_channel_explain(channel);

    ck_assert_ptr_nonnull(sentence);
    ck_assert_msg(sentence[0] != '\0', "a failure is not explained");
    ck_assert_msg(sentence[strlen(sentence) - 1] != '.', "a full stop ends '%s'", sentence);
    ck_assert_msg(text == NULL || strstr(sentence, text) != NULL, "'%s' does not say '%s'",
                  sentence, text);
}

void expect_error(dx_channel *channel, int error, const char *text, int timeout_ms)
{
    dx_message message;
    int status = dx_recv(channel, &message, timeout_ms);

    ck_assert_msg(status == error, "%d instead of %d: %s", status, error,
                  dx_channel_explain(channel));
    expect_explained(channel, text);
}

void expect_end(dx_channel *channel, int timeout_ms)
{
    dx_message message;
    int status = dx_recv(channel, &message, timeout_ms);

    ck_assert_msg(status == 0, "%d instead of the end: %s", status, dx_channel_explain(channel));
}

void expect_silence(dx_channel *channel)
{
    expect_error(channel, -ETIMEDOUT, "deadline", DX_NOW);
}

int make_note(unsigned number)
{
    int fd = memfd_create("note", MFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, &number, sizeof(number), 0), sizeof(number));
    return fd;
}

bool is_note(int fd, unsigned number)
{
    unsigned found;

    return pread(fd, &found, sizeof(found), 0) == sizeof(found) && found == number;
}

bool same_file(int a, int b)
{
    struct stat first, second;

    return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_ino == second.st_ino &&
           first.st_dev == second.st_dev;
}

bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

bool is_cloexec(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

dx_message with_descriptors(const void *data, size_t size, int *descriptors, size_t count)
{
    return (dx_message){
        .data = data, .size = size, .descriptors = descriptors, .descriptor_count = count};
}

uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void sleep_ms(int ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000L};

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

void take_turn(dx_channel *channel)
{
    struct pollfd polled = {.fd = dx_channel_fd(channel)};
    int events = dx_channel_events(channel);
    int timeout_ms = dx_channel_timeout_ms(channel);

    ck_assert_int_ge(events, 0);
    if (events == 0)
        polled.fd = -1;
    polled.events = (short)events;
    if (timeout_ms < 0 || timeout_ms > 50)
        timeout_ms = 50;
    poll(&polled, 1, timeout_ms);
    dx_channel_process(channel);
}

void expect_rest(dx_channel *channel, const char *when)
{
    uint64_t end = now_ms() + LOOP_MS;
    unsigned turns = 0;

    for (; now_ms() < end; turns++)
        take_turn(channel);
    ck_assert_msg(turns <= TURNS_MAX, "%s: %u turns in %d ms", when, turns, LOOP_MS);
}

/* valgrind 3.19 knows no pidfd_open(2), but passes on what clone(2) gives. */
static pid_t fork_with_pidfd(int *ret_pidfd)
{
    if (harness_valgrind())
        return (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, ret_pidfd, NULL, NULL);
    pid_t pid = fork();

    if (pid > 0)
        *ret_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    return pid;
}

void start_child(struct child *child, dx_channel_type type, int (*body)(int fd, void *context),
                 void *context)
{
    int fds[2];

    raw_pair(type, fds);
    child->pidfd = -1;
    child->pid = fork_with_pidfd(&child->pidfd);
    ck_assert_int_ge(child->pid, 0);
    if (child->pid == 0) {
        close(fds[0]);
        dxi_os = &dxi_linux;
        _exit(body(fds[1], context));
    }
    close(fds[1]);
    child->fd = fds[0];
    ck_assert_int_ge(child->pidfd, 0);
}

dx_channel *channel_to_child(struct child *child, const dx_channel_options *options)
{
    dx_channel *channel;

    ck_assert_int_eq(dx_channel_attach(&channel, child->fd, child->fd, options), 0);
    child->fd = -1;
    return channel;
}

/* A child that dies with its channel open has not lost it: valgrind looks for what nobody holds. */
static dx_channel *volatile reachable;

dx_channel *child_channel(int fd, const dx_channel_options *options)
{
    dx_channel *channel = NULL;

    harness_child_assert(dx_channel_attach(&channel, fd, fd, options) == 0);
    reachable = channel;
    return channel;
}

/* SIGCHLD's default is kept, so the status waits for us. */
static int reap(struct child *child)
{
    int status = -1;

    if (child->fd >= 0)
        close(child->fd);
    close(child->pidfd);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

void child_ended(struct child *child)
{
    int status = reap(child);

    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %#x",
                  (unsigned)status);
}

void kill_child(struct child *child)
{
    kill(child->pid, SIGKILL);
    (void)reap(child);
}
