/* SPDX-License-Identifier: MIT */
/*
 * What a channel can be made of, what not, and what becomes of the rest of the process: signals, the
 * blocking mode, descriptors, a peer that breaks the protocol.
 */
#include "media.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a signal found: its disposition, the thread's mask and what was pending. */
static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static bool is_pending_signal(void)
{
    sigset_t set;

    sigpending(&set);
    return sigismember(&set, SIGPIPE) == 1;
}

static bool is_blocked_signal(void)
{
    sigset_t set;

    pthread_sigmask(SIG_BLOCK, NULL, &set);
    return sigismember(&set, SIGPIPE) == 1;
}

static void block_signal(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(how, &set, NULL);
}

static void send_in_vain(enum medium medium)
{
    struct pair pair = open_over(medium);

    pair.far = dx_channel_close(pair.far);
    for (int i = 0; i < 3; i++) {
        int status = dx_send(pair.near, "x", 1, DX_FOREVER);

        /* TCP takes the first bytes, and learns then. */
        ck_assert(status == -EPIPE || (medium == TCP && i == 0));
        if (status == 0)
            sleep_ms(20);
    }
    expect_explained(pair.near, "the peer has gone");
    ck_assert_int_eq(dx_channel_end(pair.near, DX_NOW), 0);
    close_pair(&pair);
}

/* With and without the newer calls, which a filter refuses. See process/test_filters.c. */
EACH_MEDIUM(test_no_signal_tells_of_a_peer_that_has_gone)
{
    struct sigaction action = {.sa_handler = count_signal}, found;

    sigaction(SIGPIPE, &action, NULL);
    send_in_vain(medium);
    ck_assert_int_eq(signals, 0);
    ck_assert(!is_pending_signal());
    ck_assert(!is_blocked_signal());
    sigaction(SIGPIPE, NULL, &found);
    ck_assert(found.sa_handler == count_signal);

    signal(SIGPIPE, SIG_IGN);
    send_in_vain(medium);
    ck_assert(!is_pending_signal());
    signal(SIGPIPE, SIG_DFL);
    send_in_vain(medium);
    sigaction(SIGPIPE, NULL, &found);
    ck_assert(found.sa_handler == SIG_DFL);

    /* Blocked by its user, and then waiting: both stay as they were. */
    sigaction(SIGPIPE, &action, NULL);
    block_signal(SIG_BLOCK);
    send_in_vain(medium);
    ck_assert(!is_pending_signal());
    ck_assert(is_blocked_signal());
    raise(SIGPIPE);
    send_in_vain(medium);
    ck_assert(is_pending_signal());
    ck_assert_int_eq(signals, 0);
    block_signal(SIG_UNBLOCK);
    ck_assert_int_eq(signals, 1);
}

/* O_NONBLOCK is neither needed nor changed: somebody else may share the pipe, and flip it. */
EACH_MEDIUM(test_the_blocking_mode_is_left_alone)
{
    struct line line = open_line(medium);
    int shared[2] = {dup(line.near[0]), dup(line.near[1])};
    struct pair pair = {attach_line(line.near, NULL), attach_line(line.far, NULL)};

    for (int i = 0; i < 4; i++) {
        int mode = i % 2 == 0 ? 0 : O_NONBLOCK;

        for (int j = 0; j < 2; j++)
            ck_assert_int_eq(fcntl(shared[j], F_SETFL, mode), 0);
        carry(pair.near, pair.far, (unsigned)i, 300 * KIB);
        carry(pair.far, pair.near, (unsigned)i, 300 * KIB);
        expect_silence(pair.near);
        for (int j = 0; j < 2; j++)
            ck_assert_int_eq(fcntl(shared[j], F_GETFL) & O_NONBLOCK, mode);
    }
    close(shared[0]);
    close(shared[1]);
    close_pair(&pair);
}

EACH_MEDIUM(test_descriptors_are_refused_at_once_where_they_cannot_travel)
{
    struct line line = open_line(medium);
    dx_failure failure = {0};
    dx_channel_options options = {.descriptor_limit = 1, .failure = &failure};
    bool reads = medium == SOCKETS || medium == MIXED;
    dx_channel *channel = NULL;
    int status = dx_channel_attach(&channel, line.near[0], line.near[1], &options);

    ck_assert_int_eq(status, reads ? 0 : -EOPNOTSUPP);
    if (!reads) {
        ck_assert_ptr_nonnull(strstr(failure.text, "over sockets of AF_UNIX only"));
        ck_assert(is_open(line.near[0]) && is_open(line.near[1]));
        channel = attach_line(line.near, NULL);
    }
    dx_channel *far = attach_line(line.far, medium == SOCKETS ? &options : NULL);
    int note = make_note(3);
    dx_message message = with_descriptors("take", 4, &note, 1);

    if (medium == SOCKETS) {
        dx_message received;

        ck_assert_int_eq(dx_send_message(channel, &message, DX_NOW), 0);
        ck_assert_int_eq(dx_recv(far, &received, DX_FOREVER), 1);
        ck_assert_uint_eq(received.descriptor_count, 1);
        ck_assert(is_note(received.descriptors[0], 3));
    } else {
        ck_assert_int_eq(dx_send_message(channel, &message, DX_NOW), -EOPNOTSUPP);
        expect_explained(channel, "over sockets of AF_UNIX only");
        ck_assert(is_note(note, 3));
        close(note);
        carry(channel, far, 1, 100);
    }
    dx_channel_close(channel);
    dx_channel_close(far);
}

/* Whoever breaks the protocol sees the end of what it reads, while the channel is still there. */
EACH_MEDIUM(test_who_breaks_the_protocol_is_hung_up_on)
{
    struct line line = open_line(medium);
    dx_channel *channel = attach_line(line.near, NULL);
    struct pollfd end = {.fd = line.far[0], .events = POLLIN};
    char bytes[64];

    ck_assert_int_eq(write(line.far[1], "this is no frame", 16), 16);
    expect_error(channel, -EPROTO, NULL, DX_FOREVER);
    ck_assert_int_eq(dx_send(channel, "x", 1, DX_NOW), -EPROTO);
    do
        ck_assert_int_eq(poll(&end, 1, 5000), 1);
    while (read(line.far[0], bytes, sizeof(bytes)) > 0);
    dx_channel_close(channel);
    close(line.far[0]);
    if (line.far[1] != line.far[0])
        close(line.far[1]);
}

static void *send_for_ever(void *context)
{
    int status;

    do
        status = send_numbered(context, 1, 10 * KIB, DX_FOREVER);
    while (status == 0);
    return status == -EPROTO ? context : NULL;
}

/* The sender holds the pipe while the receiver finds out. */
START_TEST(test_a_sender_hangs_up_on_who_breaks_the_protocol)
{
    struct line line = open_line(PIPES);
    dx_channel *channel = attach_line(line.near, NULL);
    static char bytes[1 << 20];
    pthread_t sender;
    void *result;

    (void)numbered_payload(1, 10 * KIB);
    ck_assert_int_eq(pthread_create(&sender, NULL, send_for_ever, channel), 0);
    sleep_ms(30);
    ck_assert_int_eq(write(line.far[1], "this is no frame", 16), 16);
    expect_error(channel, -EPROTO, NULL, DX_FOREVER);
    while (read(line.far[0], bytes, sizeof(bytes)) > 0)
        continue;
    ck_assert_int_eq(pthread_join(sender, &result), 0);
    ck_assert_ptr_eq(result, channel);
    dx_channel_close(channel);
    close(line.far[0]);
    close(line.far[1]);
}
END_TEST

static const dx_channel_options lines = {.framing = DX_FRAMING_LINE};

START_TEST(test_a_file_is_read_to_its_end)
{
    char path[] = "/tmp/duplex-test-XXXXXX";
    int file = mkstemp(path);
    int ends[2] = {open(path, O_RDONLY | O_CLOEXEC), file};
    dx_channel *channel = attach_line(ends, &lines);
    dx_message message;

    unlink(path);
    ck_assert_int_eq(dx_send(channel, "one", 3, DX_NOW), 0);
    ck_assert_int_eq(dx_send(channel, "two", 3, DX_NOW), 0);
    ck_assert_int_eq(write(file, "three", 5), 5);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(dx_recv(channel, &message, DX_NOW), 1);
        ck_assert_uint_eq(message.size, i == 2 ? 5 : 3);
    }
    expect_end(channel, DX_NOW);
    dx_channel_close(channel);
}
END_TEST

START_TEST(test_nothing_is_read_from_dev_null_and_all_is_taken)
{
    for (int two = 0; two < 2; two++) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        int ends[2] = {null, two ? dup(null) : null};
        dx_channel *channel = attach_line(ends, &lines);

        expect_end(channel, DX_FOREVER);
        ck_assert_int_eq(dx_send(channel, "x", 1, DX_NOW), 0);
        ck_assert_int_eq(dx_channel_end(channel, DX_NOW), 0);
        ck_assert_int_eq(dx_send(channel, "x", 1, DX_NOW), -ESHUTDOWN);
        expect_end(channel, DX_FOREVER);
        dx_channel_close(channel);
    }
}
END_TEST

START_TEST(test_a_full_disk_is_said)
{
    int ends[2] = {open("/dev/null", O_RDONLY | O_CLOEXEC),
                   open("/dev/full", O_WRONLY | O_CLOEXEC)};
    dx_channel *channel = attach_line(ends, &lines);

    ck_assert_int_eq(dx_send(channel, "x", 1, DX_NOW), -ENOSPC);
    expect_explained(channel, "No space left");
    dx_channel_close(channel);
}
END_TEST

/* A terminal and its other side. false: there are none here. */
static bool open_terminal(struct pair *ret)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char name[64];

    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
        ptsname_r(master, name, sizeof(name)) != 0)
        return false;
    int terminal = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    int ends[2] = {terminal, terminal};
    int masters[2] = {master, dup(master)};

    *ret = (struct pair){attach_line(ends, &lines), attach_line(masters, &lines)};
    return true;
}

START_TEST(test_a_terminal_converses_until_its_other_side_goes)
{
    struct pair pair;
    char bytes[64] = "";
    dx_message message;

    if (!open_terminal(&pair))
        HARNESS_SKIP("needs pseudo-terminals");
    dx_channel *near = pair.near, *far = pair.far;

    ck_assert_int_eq(dx_recv(near, &message, DX_NOW), -ETIMEDOUT);
    ck_assert_int_eq(dx_send(far, "typed", 5, DX_NOW), 0);
    ck_assert_int_eq(dx_recv(near, &message, 5000), 1);
    ck_assert_uint_eq(message.size, 5);
    ck_assert_int_eq(dx_send(near, "said", 4, DX_NOW), 0);
    ck_assert_int_eq(dx_recv(far, &message, 5000), 1);
    memcpy(bytes, message.data, message.size);
    ck_assert_str_eq(bytes, "typed\r"); /* its echo */
    ck_assert_int_eq(dx_recv(far, &message, 5000), 1);
    dx_channel_close(near);
    expect_end(far, 5000);
    dx_channel_close(far);
}
END_TEST

/* It is read and written by one descriptor, of which no half can be closed. */
START_TEST(test_who_says_nothing_more_to_a_terminal_still_hears_it)
{
    struct pair pair;

    if (!open_terminal(&pair))
        HARNESS_SKIP("needs pseudo-terminals");
    int terminal = dx_channel_fd(pair.near);

    ck_assert_int_eq(dx_channel_end(pair.near, DX_NOW), 0);
    ck_assert_int_eq(dx_send(pair.near, "x", 1, DX_NOW), -ESHUTDOWN);
    ck_assert(is_open(terminal));
    ck_assert_int_eq(dx_channel_fd(pair.near), terminal);
    for (int i = 0; i < 3; i++) {
        dx_message message;

        ck_assert_int_eq(dx_send(pair.far, "typed", 5, DX_NOW), 0);
        ck_assert_int_eq(dx_recv(pair.near, &message, 5000), 1);
        ck_assert_uint_eq(message.size, 5);
    }
    close_pair(&pair);
}
END_TEST

/* In words, before anything has changed. */
START_TEST(test_what_was_not_opened_for_it_is_refused)
{
    int pipe[2], packets[2], stream[2];
    int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int name = open("/dev/null", O_PATH | O_CLOEXEC);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    open_pipe(pipe);
    raw_pair(DX_SEQPACKET, packets);
    raw_pair(DX_STREAM, stream);
    ck_assert_int_eq(connect(udp, (struct sockaddr *)&address, sizeof(address)), 0);
    const struct {
        int read_fd, write_fd, error;
        const char *text;
    } refusals[] = {
        {pipe[1], pipe[1], -EINVAL, "is not open for reading"},
        {pipe[0], pipe[0], -EINVAL, "is not open for writing"},
        {stream[0], pipe[0], -EINVAL, "is not open for writing"},
        {directory, pipe[1], -EINVAL, "is no socket, pipe or file"},
        {name, name, -EBADF, "is not open"},
        {pipe[0], 999, -EBADF, "descriptor 999 is not open"},
        {-1, pipe[1], -EBADF, "descriptor -1 is not open"},
        {packets[0], pipe[1], -EINVAL, "of different types"},
        {stream[0], packets[0], -EINVAL, "of different types"},
        {udp, udp, -EINVAL, "neither a stream nor a socket of AF_UNIX"},
    };

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        dx_failure failure = {0};
        dx_channel *channel = NULL;
        int status = dx_channel_attach(&channel, refusals[i].read_fd, refusals[i].write_fd,
                                       &(dx_channel_options){.failure = &failure});

        ck_assert_msg(status == refusals[i].error, "%zu: %d: %s", i, status, failure.text);
        ck_assert_msg(strstr(failure.text, refusals[i].text), "%zu: %s", i, failure.text);
        ck_assert_ptr_null(channel);
    }
    ck_assert_int_eq(dx_channel_attach(NULL, pipe[0], pipe[1], NULL), -EINVAL);
    close(pipe[0]);
    close(pipe[1]);
    close(packets[0]);
    close(packets[1]);
    close(stream[0]);
    close(stream[1]);
    close(directory);
    close(name);
    close(udp);
}
END_TEST

HARNESS_MAIN("attach", OF_EACH_MEDIUM(test_no_signal_tells_of_a_peer_that_has_gone),
             OF_EACH_MEDIUM(test_the_blocking_mode_is_left_alone),
             OF_EACH_MEDIUM(test_descriptors_are_refused_at_once_where_they_cannot_travel),
             OF_EACH_MEDIUM(test_who_breaks_the_protocol_is_hung_up_on),
             TEST(test_a_sender_hangs_up_on_who_breaks_the_protocol),
             TEST(test_a_file_is_read_to_its_end),
             TEST(test_nothing_is_read_from_dev_null_and_all_is_taken),
             TEST(test_a_full_disk_is_said),
             TEST(test_a_terminal_converses_until_its_other_side_goes),
             TEST(test_who_says_nothing_more_to_a_terminal_still_hears_it),
             TEST(test_what_was_not_opened_for_it_is_refused))
