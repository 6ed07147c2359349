/* SPDX-License-Identifier: MIT */
/*
 * Claims of what lies in unusual places: one standard number and one that is not, the number of standard
 * error, two sockets for one conversation, a socket that is none of a parent's. And claims that fail when
 * half of it has been moved: then it lies where it lay.
 */
#include "meter.h"
#include "support.h"

#include "os/os.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READS = 40, WRITES, ONE_SOCKET, FAR_READS, FAR_WRITES };

/* Where the conversation lies: two pipes, or one socket under both numbers. */
static const struct place {
    int read_fd, write_fd;
    bool is_socket;
} places[] = {
    {0, WRITES, false}, {READS, 1, false}, {2, WRITES, false},     {READS, 2, false},
    {0, 1, false},      {0, 2, false},     {0, ONE_SOCKET, true},  {ONE_SOCKET, 1, true},
    {2, 2, true},       {0, 1, true},      {READS, WRITES, false}, {ONE_SOCKET, ONE_SOCKET, true},
    {2, 1, false},      {1, 2, false},
};

enum { PLACES = sizeof(places) / sizeof(places[0]) };

/* Lay the conversation there, and its other end under the far numbers. */
static void lay(const struct place *place)
{
    int there[2], back[2];

    if (place->is_socket) {
        harness_child_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, there) == 0);
        harness_child_assert(dup2(there[1], FAR_READS) >= 0 && dup2(there[1], FAR_WRITES) >= 0);
        harness_child_assert(dup2(there[0], place->write_fd) >= 0);
        harness_child_assert(dup2(there[0], place->read_fd) >= 0);
    } else {
        harness_child_assert(pipe(there) == 0 && pipe(back) == 0);
        harness_child_assert(dup2(back[0], FAR_READS) >= 0 && dup2(there[1], FAR_WRITES) >= 0);
        harness_child_assert(dup2(there[0], place->read_fd) >= 0);
        harness_child_assert(dup2(back[1], place->write_fd) >= 0);
        close(back[0]);
        close(back[1]);
    }
    close(there[0]);
    close(there[1]);
}

static int claim(const struct place *place, dx_channel **ret)
{
    dx_claim claim = {
        .handover = DX_HANDOVER_FDS, .read_fd = place->read_fd, .write_fd = place->write_fd};

    return dx_channel_claim(ret, &claim, NULL);
}

static void converse(dx_channel *channel)
{
    dx_channel *far;
    dx_message message;

    harness_child_assert(dx_channel_attach(&far, FAR_READS, FAR_WRITES, NULL) == 0);
    harness_child_assert(dx_send(channel, "up", 2, 1000) == 0);
    harness_child_assert(dx_recv(far, &message, 1000) == 1 && message.size == 2);
    harness_child_assert(dx_send(far, "down", 4, 1000) == 0);
    harness_child_assert(dx_recv(channel, &message, 1000) == 1 && message.size == 4);
    dx_channel_close(far);
}

static bool is_null(int fd)
{
    struct stat null, found;

    return stat("/dev/null", &null) == 0 && fstat(fd, &found) == 0 && null.st_rdev == found.st_rdev;
}

/* Under a standard number nothing is left of it, and what is not the channel's own is closed. */
static void check_vacated(const dx_channel *channel, const struct place *place)
{
    bool complains = place->read_fd != 2 && place->write_fd != 2;

    if (place->read_fd != 1 && place->read_fd <= 2)
        harness_child_assert(is_null(place->read_fd));
    if (place->read_fd == 1 || place->write_fd == 1)
        harness_child_assert(complains ? same_file(1, 2) : is_null(1));
    if (place->write_fd == 2)
        harness_child_assert(is_null(2));
    harness_child_assert(dx_channel_fd(channel) > 2 && is_cloexec(dx_channel_fd(channel)));
    harness_child_assert(dx_channel_write_fd(channel) > 2);
    harness_child_assert(is_cloexec(dx_channel_write_fd(channel)));
    if (place->is_socket && place->write_fd > 2 && place->write_fd != dx_channel_fd(channel))
        harness_child_assert(!is_open(place->write_fd));
}

static void in_a_child(void (*body)(const struct place *place), const struct place *place)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        body(place);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0, "%d,%d: status %#x", place->read_fd, place->write_fd,
                  (unsigned)status);
}

static void claim_there(const struct place *place)
{
    dx_channel *channel;

    lay(place);
    harness_child_assert(claim(place, &channel) == 0);
    check_vacated(channel, place);
    converse(channel);
    dx_channel_close(channel);
}

START_TEST(test_a_conversation_lies_under_any_two_numbers)
{
    for (int i = 0; i < PLACES; i++)
        in_a_child(claim_there, &places[i]);
}
END_TEST

/* A system that refuses the n-th copy of a descriptor. */
static int copies_until_refusal;

static int refuse_copy(int fd, int at_least)
{
    return --copies_until_refusal == 0 ? -EMFILE : dxi_linux.duplicate(fd, at_least);
}

/* What lies under both numbers, and how much is open, is as before. */
struct remains {
    struct stat reads, writes;
    size_t open;
};

static struct remains look_at(const struct place *place)
{
    struct remains found = {.open = harness_open_descriptors()};

    harness_child_assert(fstat(place->read_fd, &found.reads) == 0);
    harness_child_assert(fstat(place->write_fd, &found.writes) == 0);
    return found;
}

static void check_untouched(const struct place *place, const struct remains *before)
{
    struct remains now = look_at(place);

    harness_child_assert(now.open == before->open);
    harness_child_assert(now.reads.st_ino == before->reads.st_ino);
    harness_child_assert(now.writes.st_ino == before->writes.st_ino);
    harness_child_assert(!is_cloexec(place->read_fd) && !is_cloexec(place->write_fd));
}

static void claim_without_copies(const struct place *place)
{
    struct dxi_os table = dxi_linux;
    dx_channel *channel = NULL;

    lay(place);
    struct remains before = look_at(place);

    table.duplicate = refuse_copy;
    dxi_os = &table;
    for (int at = 1;; at++) {
        copies_until_refusal = at;
        int status = claim(place, &channel);

        if (copies_until_refusal > 0) {
            harness_child_assert(status == 0);
            break;
        }
        harness_child_assert(status == -EMFILE && channel == NULL);
        check_untouched(place, &before);
    }
    check_vacated(channel, place);
    converse(channel);
    dx_channel_close(channel);
}

static void claim_without_memory(const struct place *place)
{
    dx_channel *channel = NULL;
    int status = -ENOMEM;

    lay(place);
    struct remains before = look_at(place);

    meter_install();
    for (int at = 1; status < 0; at++) {
        meter_fail(CALL_ALLOCATE, at, 1, 0);
        status = claim(place, &channel);
        harness_child_assert(status == (meter.failed > 0 ? -ENOMEM : 0));
        if (status < 0)
            check_untouched(place, &before);
    }
    meter_fail_no_more();
    check_vacated(channel, place);
    converse(channel);
    dx_channel_close(channel);
}

START_TEST(test_what_could_not_be_moved_lies_where_it_lay)
{
    for (int i = 0; i < PLACES; i++) {
        in_a_child(claim_without_copies, &places[i]);
        in_a_child(claim_without_memory, &places[i]);
    }
}
END_TEST

/* Where there is no memory for the names of the others, nobody is to believe any of them. */
static void claim_of_two_without_memory(const struct place *place)
{
    dx_claim claim = {.handover = DX_HANDOVER_LISTEN};
    dx_channel *channel = NULL;
    char own[16];
    int status = -ENOMEM;
    bool forgotten = false;

    lay(place);
    snprintf(own, sizeof(own), "%d", (int)getpid());
    meter_install();
    for (int at = 1; !forgotten; at++) {
        /* Both lie at 3 and 4 then. */
        harness_child_assert(dup2(READS, 3) == 3 && dup2(READS, 4) == 4);
        setenv("LISTEN_FDS", "2", 1);
        setenv("LISTEN_PID", own, 1);
        meter_fail(CALL_ALLOCATE, at, 1, 0);
        status = dx_channel_claim(&channel, &claim, NULL);
        harness_child_assert(meter.failed == 1);
        harness_child_assert(status == 0 || status == -ENOMEM);
        forgotten = getenv("LISTEN_FDS") == NULL;
        harness_child_assert(forgotten == (status == 0));
    }
    harness_child_assert(getenv("LISTEN_PID") == NULL && getenv("LISTEN_FDNAMES") == NULL);
    meter_fail_no_more();
    dx_channel_close(channel);
}

START_TEST(test_who_cannot_say_what_is_left_says_that_nothing_is)
{
    in_a_child(claim_of_two_without_memory,
               &(struct place){.read_fd = READS, .write_fd = WRITES, .is_socket = true});
}
END_TEST

/* One way by one socket, and one by another of the same kind. */
START_TEST(test_two_sockets_are_not_taken_for_one)
{
    dx_claim claim = {.handover = DX_HANDOVER_FDS};
    dx_channel *near, *far;
    int there[2], back[2];

    raw_pair(DX_STREAM, there);
    raw_pair(DX_STREAM, back);
    claim.read_fd = back[0];
    claim.write_fd = there[0];
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(dxi_os->set_cloexec(there[i], false), 0);
        ck_assert_int_eq(dxi_os->set_cloexec(back[i], false), 0);
    }
    ck_assert_int_eq(dx_channel_claim(&near, &claim, NULL), 0);
    ck_assert_int_eq(dx_channel_fd(near), back[0]);
    ck_assert_int_eq(dx_channel_write_fd(near), there[0]);
    ck_assert_int_eq(dx_channel_attach(&far, there[1], back[1], NULL), 0);
    carry(near, far, 1, 1000);
    carry(far, near, 2, 1000);
    dx_channel_close(near);
    dx_channel_close(far);
}
END_TEST

static void promise(int fd)
{
    char number[16];

    snprintf(number, sizeof(number), "%d", fd);
    ck_assert_int_eq(setenv("DUPLEX_FD", number, 1), 0);
}

/* Who made a socket across the network is no process here, and the kernel is not asked for one. */
static unsigned asked_for_peer;

static int count_peer(int fd)
{
    asked_for_peer++;
    return dxi_linux.peer_pidfd(fd);
}

static void connect_by_tcp(int ret[2])
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(here);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(listener, (struct sockaddr *)&here, size), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&here, &size), 0);
    ret[0] = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(ret[0], (struct sockaddr *)&here, size), 0);
    ret[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(ret[1], 0);
    close(listener);
}

START_TEST(test_no_parent_is_looked_for_behind_a_socket_of_the_network)
{
    struct dxi_os table = dxi_linux;
    dx_channel *near, *far;
    int fds[2];

    connect_by_tcp(fds);
    promise(fds[0]);
    table.peer_pidfd = count_peer;
    dxi_os = &table;
    ck_assert_int_eq(dx_channel_to_parent(&near, NULL), 0);
    ck_assert_uint_eq(asked_for_peer, 0);
    ck_assert_int_eq(dx_channel_attach(&far, fds[1], fds[1], NULL), 0);
    ck_assert_int_eq(send_numbered(near, 1, 1000, 1000), 0);
    expect_numbered(far, 1, 1000, 1000);
    dx_channel_close(far);
    expect_end(near, 1000);
    dx_channel_close(near);
    dxi_os = &dxi_linux;
}
END_TEST

/* What kernels say of a maker that is no more: it depends on their age, and on who reaped it. */
static int answer_of_kernel;

static int say_of_peer(int fd)
{
    (void)fd;
    return answer_of_kernel;
}

START_TEST(test_a_parent_that_was_reaped_has_died_whatever_the_kernel_calls_it)
{
    static const int answers[] = {-ENODATA, -ESRCH, -EINVAL};
    struct dxi_os table = dxi_linux;

    table.peer_pidfd = say_of_peer;
    dxi_os = &table;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        dx_channel *channel;
        int fds[2];

        answer_of_kernel = answers[i];
        raw_pair(DX_DGRAM, fds);
        promise(fds[0]);
        ck_assert_int_eq(dx_channel_to_parent(&channel, NULL), 0);
        expect_error(channel, -EPIPE, NULL, 1000);
        dx_channel_close(channel);
        close(fds[1]);
    }
    dxi_os = &dxi_linux;
}
END_TEST

/* Older ones say nothing of how they speak, and speak JSON. */
START_TEST(test_a_node_that_names_no_mode_speaks_json)
{
    static const char line[] = "{\"hello\":1}\n";
    dx_channel *channel;
    dx_message message;
    char number[16];
    int fds[2];

    raw_pair(DX_STREAM, fds);
    snprintf(number, sizeof(number), "%d", fds[0]);
    ck_assert_int_eq(setenv("NODE_CHANNEL_FD", number, 1), 0);
    ck_assert_int_eq(unsetenv("NODE_CHANNEL_SERIALIZATION_MODE"), 0);
    ck_assert_int_eq(
        dx_channel_claim(&channel, NULL, &(dx_channel_options){.framing = DX_FRAMING_NODE}), 0);
    ck_assert_int_eq(write(fds[1], line, strlen(line)), (ssize_t)strlen(line));
    ck_assert_int_eq(dx_recv(channel, &message, 1000), 1);
    ck_assert_uint_eq(message.size, strlen(line) - 1);
    dx_channel_close(channel);
    close(fds[1]);
}
END_TEST

HARNESS_MAIN("claim places", TEST(test_a_conversation_lies_under_any_two_numbers),
             TEST(test_what_could_not_be_moved_lies_where_it_lay),
             TEST(test_who_cannot_say_what_is_left_says_that_nothing_is),
             TEST(test_two_sockets_are_not_taken_for_one),
             TEST(test_no_parent_is_looked_for_behind_a_socket_of_the_network),
             TEST(test_a_parent_that_was_reaped_has_died_whatever_the_kernel_calls_it),
             TEST(test_a_node_that_names_no_mode_speaks_json))
