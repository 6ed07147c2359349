/* SPDX-License-Identifier: MIT */
/*
 * Claims of what was never promised: each is refused in words, and nothing has changed. What is
 * promised and kept is in process/test_handovers.c.
 */
#include "support.h"

#include "os/os.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Descriptors under numbers that the table can name. */
enum { SOCKET = 40, PIPE_READ, PIPE_WRITE, FILE_BOTH, LISTENER, PACKETS, CLOSE_ON_EXEC, NONE };

static void put(int fd, int number)
{
    ck_assert_int_ge(fd, 0);
    ck_assert(!is_open(number));
    ck_assert_int_eq(dup2(fd, number), number);
    close(fd);
}

/* Returns the other end of the socket. */
static int open_all(void)
{
    int fds[2];
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    ck_assert_int_eq(pipe(fds), 0);
    put(fds[0], PIPE_READ);
    put(fds[1], PIPE_WRITE);
    ck_assert_int_eq(listen(listener, 1), -1);
    put(listener, LISTENER);
    put(open("/dev/null", O_RDWR), FILE_BOTH);
    raw_pair(DX_SEQPACKET, fds);
    put(fds[0], PACKETS);
    close(fds[1]);
    ck_assert_int_eq(fcntl(PIPE_READ, F_DUPFD_CLOEXEC, CLOSE_ON_EXEC), CLOSE_ON_EXEC);
    raw_pair(DX_STREAM, fds);
    put(fds[0], SOCKET);
    return fds[1];
}

static void close_all(int other)
{
    for (int fd = SOCKET; fd < NONE; fd++)
        close(fd);
    close(other);
}

static void refused(const dx_claim *claim, dx_framing framing, int error, const char *text)
{
    dx_failure failure = {0};
    dx_channel_options options = {.framing = framing, .failure = &failure};
    dx_channel *channel = NULL;
    size_t open = harness_open_descriptors();
    int status = dx_channel_claim(&channel, claim, &options);

    ck_assert_msg(status == error, "%d instead of %d: %s", status, error, failure.text);
    ck_assert_int_eq(failure.error, error);
    ck_assert_msg(strstr(failure.text, text) != NULL, "'%s' does not say '%s'", failure.text, text);
    ck_assert_ptr_null(channel);
    ck_assert_uint_eq(harness_open_descriptors(), open);
    for (int fd = SOCKET; fd < CLOSE_ON_EXEC; fd++)
        ck_assert(is_open(fd) && !is_cloexec(fd));
}

START_TEST(test_a_variable_that_holds_nonsense_is_not_believed)
{
    static const struct {
        const char *value;
        int error;
        const char *text;
    } claims[] = {
        {"", -EINVAL, "DUPLEX_FD holds '', which is no descriptor number"},
        {"x", -EINVAL, "which is no descriptor number"},
        {"40x", -EINVAL, "which is no descriptor number"},
        {" 40", -EINVAL, "which is no descriptor number"},
        {"+40", -EINVAL, "which is no descriptor number"},
        {"-1", -EINVAL, "which is no descriptor number"},
        {"40 ", -EINVAL, "which is no descriptor number"},
        {"40.0", -EINVAL, "which is no descriptor number"},
        {"99999999999999999999", -EINVAL, "which is no descriptor number"},
        {"2147483647", -EINVAL, "which is no descriptor number"},
        {"4294967336", -EINVAL, "which is no descriptor number"},
        {"40,", -EINVAL, "which is no descriptor number"},
        {",40", -EINVAL, "which is no descriptor number"},
        {"41,42,", -EINVAL, "which is no descriptor number"},
        {"41,42,43", -EINVAL, "which is no descriptor number"},
        {"41;42", -EINVAL, "which is no descriptor number"},
        {"47", -EBADF, "descriptor 47 is not open"},
        {"41,47", -EBADF, "descriptor 47 is not open"},
        {"47,42", -EBADF, "descriptor 47 is not open"},
        {"41", -ENOTSOCK, "descriptor 41 is not a socket"},
        {"43", -ENOTSOCK, "descriptor 43 is not a socket"},
        {"44", -EINVAL, "the socket 44 is not connected"},
        {"42,41", -EINVAL, "descriptor 42 is not open for reading"},
        {"41,41", -EINVAL, "descriptor 41 is not open for writing"},
        {"45,42", -EINVAL, "of different types"},
        {"41,45", -EINVAL, "of different types"},
    };
    int other = open_all();

    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        setenv("DUPLEX_FD", claims[i].value, 1);
        setenv("MY_FD", claims[i].value, 1);
        refused(NULL, DX_FRAMING_NATIVE, claims[i].error, claims[i].text);
        refused(&(dx_claim){.text = "MY_FD"}, DX_FRAMING_LINE, claims[i].error,
                strncmp(claims[i].text, "DUPLEX", 6) == 0 ? "MY_FD" : claims[i].text);
        ck_assert_str_eq(getenv("DUPLEX_FD"), claims[i].value);
        ck_assert_str_eq(getenv("MY_FD"), claims[i].value);
    }
    unsetenv("DUPLEX_FD");
    unsetenv("MY_FD");
    refused(NULL, DX_FRAMING_NATIVE, -ENOENT, "DUPLEX_FD is not in its environment");
    refused(&(dx_claim){.text = "MY_FD"}, DX_FRAMING_NATIVE, -ENOENT,
            "MY_FD is not in its environment");
    close_all(other);
}
END_TEST

START_TEST(test_node_must_speak_json)
{
    int other = open_all();

    refused(NULL, DX_FRAMING_NODE, -ENOENT, "NODE_CHANNEL_FD is not in its environment");
    setenv("NODE_CHANNEL_FD", "40", 1);
    setenv("NODE_CHANNEL_SERIALIZATION_MODE", "advanced", 1);
    refused(NULL, DX_FRAMING_NODE, -EINVAL, "'advanced'");
    setenv("NODE_CHANNEL_SERIALIZATION_MODE", "json", 1);
    setenv("NODE_CHANNEL_FD", "45", 1);
    refused(NULL, DX_FRAMING_NODE, -EINVAL, "needs a stream");

    dx_channel *channel = NULL;

    setenv("NODE_CHANNEL_FD", "40", 1);
    ck_assert_int_eq(
        dx_channel_claim(&channel, NULL, &(dx_channel_options){.framing = DX_FRAMING_NODE}), 0);
    ck_assert_ptr_null(getenv("NODE_CHANNEL_FD"));
    ck_assert_ptr_null(getenv("NODE_CHANNEL_SERIALIZATION_MODE"));
    ck_assert(is_cloexec(SOCKET));
    dx_channel_close(channel);
    close_all(other);
}
END_TEST

START_TEST(test_numbers_and_arguments_are_checked_as_strictly)
{
    const struct {
        dx_claim claim;
        int error;
        const char *text;
    } claims[] = {
        {{.handover = (dx_handover)6}, -EINVAL, "there is no handover 6"},
        {{.handover = (dx_handover)-1}, -EINVAL, "there is no handover -1"},
        {{.handover = DX_HANDOVER_ARGV}, -EINVAL, "is missing"},
        {{.handover = DX_HANDOVER_ARGV, .text = ""}, -EINVAL, "the argument ''"},
        {{.handover = DX_HANDOVER_ARGV, .text = "{fd}"}, -EINVAL, "the argument '{fd}'"},
        {{.handover = DX_HANDOVER_ARGV, .text = "41"}, -ENOTSOCK, "41 is not a socket"},
        {{.handover = DX_HANDOVER_ARGV, .text = "47"}, -EBADF, "47 is not open"},
        {{.handover = DX_HANDOVER_FDS, .read_fd = -1, .write_fd = 42}, -EBADF, "-1 is not open"},
        {{.handover = DX_HANDOVER_FDS, .read_fd = 41, .write_fd = 47}, -EBADF, "47 is not open"},
        {{.handover = DX_HANDOVER_FDS, .read_fd = 42, .write_fd = 41}, -EINVAL, "for reading"},
        {{.handover = DX_HANDOVER_FDS, .read_fd = 46, .write_fd = 42},
         -ENOENT,
         "nobody has handed descriptor 46 to this program"},
    };
    int other = open_all();

    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++)
        refused(&claims[i].claim, DX_FRAMING_NATIVE, claims[i].error, claims[i].text);
    ck_assert_int_eq(dx_channel_claim(NULL, NULL, NULL), -EINVAL);
    close_all(other);
}
END_TEST

START_TEST(test_what_cannot_travel_is_refused_before_the_claim)
{
    dx_failure failure = {0};
    dx_channel_options options = {.descriptor_limit = 1, .failure = &failure};
    dx_channel *channel = NULL;
    int other = open_all();

    setenv("DUPLEX_FD", "41,42", 1);
    ck_assert_int_eq(dx_channel_claim(&channel, NULL, &options), -EOPNOTSUPP);
    ck_assert_ptr_nonnull(strstr(failure.text, "over sockets of AF_UNIX only"));
    ck_assert_str_eq(getenv("DUPLEX_FD"), "41,42");
    close_all(other);
}
END_TEST

/* In a process of its own, whose numbers from 3 on are free for it. */
static void in_a_child(void (*body)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        for (int fd = 3; fd < 20; fd++)
            close(fd);
        body();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0, "status %#x", (unsigned)status);
}

static void pass(const char *count, const char *pid, const char *names)
{
    char own[16];

    snprintf(own, sizeof(own), "%d", (int)getpid());
    setenv("LISTEN_FDS", count, 1);
    setenv("LISTEN_PID", pid != NULL ? pid : own, 1);
    if (names != NULL)
        setenv("LISTEN_FDNAMES", names, 1);
    else
        unsetenv("LISTEN_FDNAMES");
}

static int claim_passed(const char *name, dx_channel **ret, dx_failure *failure)
{
    return dx_channel_claim(ret, &(dx_claim){.handover = DX_HANDOVER_LISTEN, .text = name},
                            &(dx_channel_options){.failure = failure});
}

static void refuse_passed(void)
{
    static const struct {
        const char *count, *pid, *names, *name;
        int error;
        const char *text;
    } claims[] = {
        {"1", "1", NULL, NULL, -ENOENT, "to the process 1, which is not this one"},
        {"1", "x", NULL, NULL, -EINVAL, "LISTEN_PID holds 'x'"},
        {"1", "", NULL, NULL, -EINVAL, "LISTEN_PID holds ''"},
        {"1", "-1", NULL, NULL, -EINVAL, "LISTEN_PID holds '-1'"},
        {"0", NULL, NULL, NULL, -EINVAL, "LISTEN_FDS holds '0'"},
        {"", NULL, NULL, NULL, -EINVAL, "LISTEN_FDS holds ''"},
        {"2x", NULL, NULL, NULL, -EINVAL, "LISTEN_FDS holds '2x'"},
        {"-2", NULL, NULL, NULL, -EINVAL, "LISTEN_FDS holds '-2'"},
        {"99999999999", NULL, NULL, NULL, -EINVAL, "LISTEN_FDS holds"},
        {"999999999999999999999999", NULL, NULL, NULL, -EINVAL, "LISTEN_FDS holds"},
        {"65537", NULL, NULL, NULL, -EINVAL, "LISTEN_FDS holds"},
        {"2", NULL, "a", NULL, -EINVAL, "2 descriptors were passed to this program, with 1 names"},
        {"1", NULL, "a:b", NULL, -EINVAL, "with 2 names"},
        {"1", NULL, "a", "b", -ENOENT, "with the name 'b'"},
        {"1", NULL, NULL, "b", -ENOENT, "with the name 'b'"},
        {"1", NULL, "claimed", NULL, -ENOENT, "that is not claimed already"},
        {"2", NULL, "a:b", "b", -EBADF, "descriptor 4 is not open"},
        {"1", NULL, NULL, NULL, -ENOTSOCK, "descriptor 3 is not a socket"},
    };
    int pipes[2];

    harness_child_assert(pipe(pipes) == 0 && pipes[0] == 3);
    close(pipes[1]);
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        dx_failure failure = {0};
        dx_channel *channel = NULL;

        pass(claims[i].count, claims[i].pid, claims[i].names);
        harness_child_assert(claim_passed(claims[i].name, &channel, &failure) == claims[i].error);
        harness_child_assert(strstr(failure.text, claims[i].text) != NULL);
        harness_child_assert(channel == NULL);
        harness_child_assert(strcmp(getenv("LISTEN_FDS"), claims[i].count) == 0);
    }
    unsetenv("LISTEN_FDS");
    dx_failure failure = {0};
    dx_channel *channel = NULL;

    harness_child_assert(claim_passed(NULL, &channel, &failure) == -ENOENT);
    harness_child_assert(strstr(failure.text, "LISTEN_FDS is not in its environment") != NULL);
}

START_TEST(test_passed_descriptors_are_believed_by_their_process_only)
{
    in_a_child(refuse_passed);
}
END_TEST

static void claim_some_of_several(void)
{
    dx_channel *channels[3];
    int ends[3][2];

    for (int i = 0; i < 3; i++) {
        harness_child_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]) == 0);
        harness_child_assert(fcntl(ends[i][1], F_DUPFD, 20) >= 20);
        close(ends[i][1]);
    }
    harness_child_assert(is_open(3) && is_open(4) && is_open(5) && !is_open(6));
    setenv("LISTEN_PIDFDID", "1", 1);
    pass("3", NULL, "a:b:a");
    harness_child_assert(claim_passed("b", &channels[0], NULL) == 0);
    harness_child_assert(dx_channel_fd(channels[0]) == 4 && is_cloexec(4));
    /* The others are the program's, to take by sd_listen_fds_with_names(3) or to claim. */
    harness_child_assert(strcmp(getenv("LISTEN_FDS"), "3") == 0);
    harness_child_assert(strcmp(getenv("LISTEN_FDNAMES"), "a:claimed:a") == 0);
    harness_child_assert(!is_cloexec(3) && !is_cloexec(5));
    harness_child_assert(claim_passed("b", &channels[1], NULL) == -ENOENT);
    harness_child_assert(claim_passed(NULL, &channels[1], NULL) == 0);
    harness_child_assert(dx_channel_fd(channels[1]) == 3);
    harness_child_assert(claim_passed("a", &channels[2], NULL) == 0);
    harness_child_assert(dx_channel_fd(channels[2]) == 5);
    harness_child_assert(getenv("LISTEN_FDS") == NULL && getenv("LISTEN_PID") == NULL);
    harness_child_assert(getenv("LISTEN_FDNAMES") == NULL && getenv("LISTEN_PIDFDID") == NULL);
    for (int i = 0; i < 3; i++)
        dx_channel_close(channels[i]);
}

static void claim_one_without_names(void)
{
    dx_channel *channel;
    int ends[2];

    harness_child_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && ends[0] == 3);
    pass("2", NULL, NULL);
    harness_child_assert(claim_passed(NULL, &channel, NULL) == 0);
    harness_child_assert(strcmp(getenv("LISTEN_FDNAMES"), "claimed:unknown") == 0);
    dx_channel_close(channel);
}

START_TEST(test_of_several_passed_descriptors_the_others_stay)
{
    in_a_child(claim_some_of_several);
    in_a_child(claim_one_without_names);
}
END_TEST

/* With no descriptor free for the copies: all is as before, and works when there is one. */
static void claim_without_room(void)
{
    dx_claim claim = {.handover = DX_HANDOVER_STDIO};
    dx_channel *channel = NULL;
    int ends[2];
    int fd;

    harness_child_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    harness_child_assert(dup2(ends[0], 0) == 0 && dup2(ends[0], 1) == 1);
    close(ends[0]);
    while ((fd = open("/dev/null", O_RDONLY)) >= 0)
        continue;
    for (int left = 0;; left++) {
        bool same = same_file(0, 1) && !is_cloexec(0) && !is_cloexec(1);

        harness_child_assert(same);
        int status = dx_channel_claim(&channel, &claim, NULL);

        if (status == 0)
            break;
        harness_child_assert(status == -EMFILE);
        harness_child_assert(left < 5);
        close(10 + left);
    }
    struct stat null, found;

    harness_child_assert(stat("/dev/null", &null) == 0 && fstat(0, &found) == 0);
    harness_child_assert(found.st_rdev == null.st_rdev && same_file(1, 2));
    dx_channel_close(channel);
}

static void claim_without_standard_error(void)
{
    dx_claim claim = {.handover = DX_HANDOVER_PIPES};
    dx_channel *channel = NULL;
    int there[2], back[2];
    char byte;

    harness_child_assert(pipe(there) == 0 && pipe(back) == 0);
    harness_child_assert(dup2(there[0], 0) == 0 && dup2(back[1], 1) == 1);
    close(there[0]);
    close(back[1]);
    close(2);
    harness_child_assert(dx_channel_claim(&channel, &claim, NULL) == 0);
    harness_child_assert(dx_channel_fd(channel) > 2 && dx_channel_write_fd(channel) > 2);
    harness_child_assert(is_cloexec(dx_channel_fd(channel)));
    harness_child_assert(is_cloexec(dx_channel_write_fd(channel)));
    harness_child_assert(read(0, &byte, 1) == 0 && write(1, "x", 1) == 1);
    harness_child_assert(!is_open(2));
    dx_channel_close(channel);
}

START_TEST(test_standard_input_and_output_are_moved_or_left_alone)
{
    if (!harness_valgrind())
        in_a_child(claim_without_room);
    in_a_child(claim_without_standard_error);
}
END_TEST

/* A kernel before Linux 6.5, and a parent that dies between two looks at it. */
static int looks_at_the_parent;

static int no_peer_pidfd(int fd)
{
    (void)fd;
    return -ENOPROTOOPT;
}

static pid_t dying_parent(void)
{
    return looks_at_the_parent++ == 0 ? 12345 : 1;
}

static int no_such_process(pid_t pid)
{
    (void)pid;
    return -ESRCH;
}

/* Of datagrams nothing else tells of the end: the child waited for ever. */
START_TEST(test_a_parent_that_dies_while_it_is_looked_for_has_died)
{
    struct dxi_os table = dxi_linux;
    dx_channel *channel;
    dx_message message;
    char number[16];
    int fds[2];

    raw_pair(DX_DGRAM, fds);
    snprintf(number, sizeof(number), "%d", fds[0]);
    setenv("DUPLEX_FD", number, 1);
    table.peer_pidfd = no_peer_pidfd;
    table.parent_pid = dying_parent;
    table.pidfd_open = no_such_process;
    dxi_os = &table;
    ck_assert_int_eq(dx_channel_to_parent(&channel, NULL), 0);
    ck_assert_int_eq(dx_recv(channel, &message, 1000), -EPIPE);
    dx_channel_close(channel);
    dxi_os = &dxi_linux;
    close(fds[1]);
}
END_TEST

HARNESS_MAIN("claims", TEST(test_a_variable_that_holds_nonsense_is_not_believed),
             TEST(test_node_must_speak_json),
             TEST(test_numbers_and_arguments_are_checked_as_strictly),
             TEST(test_what_cannot_travel_is_refused_before_the_claim),
             TEST(test_passed_descriptors_are_believed_by_their_process_only),
             TEST(test_of_several_passed_descriptors_the_others_stay),
             TEST(test_standard_input_and_output_are_moved_or_left_alone),
             TEST(test_a_parent_that_dies_while_it_is_looked_for_has_died))
