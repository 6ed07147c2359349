/* SPDX-License-Identifier: MIT */
/*
 * A program's end of the conversation with whoever started it: the other side of a handover.
 *
 * What was promised is found, checked without touching it, and only then taken: a claim that fails
 * has changed nothing. A promise is for this program alone, so what it stands in is removed from the
 * environment. It is believed once, and strictly: what else may be open under a number is not ours.
 */
#include "channel/attach.h"
#include "channel/internal.h"
#include "channel/listen.h"

#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLE_DUPLEX "DUPLEX_FD"
#define VARIABLE_NODE "NODE_CHANNEL_FD"
#define VARIABLE_NODE_MODE "NODE_CHANNEL_SERIALIZATION_MODE"

enum {
    STANDARD_NUMBERS = 3, /* 0, 1 and 2 are everybody's: no channel stays there */
    ERLANG_READS = 3,
    ERLANG_WRITES = 4,
};

static const dx_channel_options defaults;
static const dx_claim by_duplex;

/* What lies under the standard numbers after a claim says nothing of one. */
static _Atomic bool standard_claimed;

/* What was promised to this program. */
struct promise {
    int read_fd, write_fd;
    bool one_socket;      /* one number was promised, and so a socket */
    bool the_same;        /* two numbers of one socket: the second is let go */
    bool by_number;       /* nothing but numbers tells of it */
    bool by_the_maker;    /* whoever made the socket speaks to us by it */
    const char *variable; /* to be removed, or NULL */
    size_t listen_index;  /* LISTEN: which of them */
};

/* A descriptor number, and where it ended; or -EINVAL. */
static int parse_number(const char *text, const char **ret_end)
{
    char *end;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    errno = 0;
    long number = strtol(text, &end, 10);

    *ret_end = end;
    return errno != 0 || number >= INT_MAX ? -EINVAL : (int)number;
}

/* "3", or "0,1" to read and to write. */
static int parse_promise(const char *text, struct promise *ret)
{
    const char *end;

    ret->read_fd = ret->write_fd = parse_number(text, &end);
    ret->one_socket = ret->read_fd >= 0 && *end == '\0';
    if (ret->read_fd < 0 || ret->one_socket)
        return ret->read_fd;
    ret->write_fd = *end == ',' ? parse_number(end + 1, &end) : -EINVAL;
    return ret->write_fd < 0 || *end != '\0' ? -EINVAL : 0;
}

static int find_in_variable(const char *name, const dx_channel_options *options,
                            struct promise *ret)
{
    bool is_node = options->framing == DX_FRAMING_NODE;

    if (name == NULL)
        name = is_node ? VARIABLE_NODE : VARIABLE_DUPLEX;
    const char *value = getenv(name);
    const char *mode = getenv(VARIABLE_NODE_MODE);

    if (value == NULL)
        return dxi_fail(options->failure, -ENOENT,
                        "this program was not started by %s: %s is not in its environment",
                        is_node                              ? "Node"
                        : strcmp(name, VARIABLE_DUPLEX) == 0 ? "duplex"
                                                             : "a parent that speaks with it",
                        name);
    if (parse_promise(value, ret) < 0)
        return dxi_fail(options->failure, -EINVAL,
                        "%s holds '%.64s', which is no descriptor number", name, value);
    if (is_node && mode != NULL && strcmp(mode, "json") != 0)
        return dxi_fail(options->failure, -EINVAL,
                        "the parent speaks the '%.64s' serialization of Node, and not json", mode);
    ret->by_the_maker = ret->one_socket;
    ret->variable = name;
    return 0;
}

static int find_listen(const char *name, dx_failure *failure, struct promise *ret)
{
    int fd = dxi_listen_find(name, failure, &ret->listen_index);

    ret->read_fd = ret->write_fd = fd;
    ret->one_socket = true;
    return fd < 0 ? fd : 0;
}

static int find_argument(const char *text, dx_failure *failure, struct promise *ret)
{
    if (text == NULL)
        return dxi_fail(failure, -EINVAL, "the argument that holds the descriptor is missing");
    if (parse_promise(text, ret) < 0)
        return dxi_fail(failure, -EINVAL, "the argument '%.64s' is no descriptor number", text);
    ret->by_number = true;
    ret->by_the_maker = ret->one_socket;
    return 0;
}

static int find(const dx_claim *claim, const dx_channel_options *options, struct promise *ret)
{
    *ret = (struct promise){0};
    switch (claim->handover) {
    case DX_HANDOVER_ENV:
        return find_in_variable(claim->text, options, ret);
    case DX_HANDOVER_STDIO:
    case DX_HANDOVER_PIPES:
        ret->write_fd = 1;
        return atomic_load_explicit(&standard_claimed, memory_order_relaxed)
                   ? dxi_fail(options->failure, -ENOENT,
                              "standard input and output were claimed before")
                   : 0;
    case DX_HANDOVER_FDS:
        ret->by_number = true;
        ret->read_fd = claim->read_fd;
        ret->write_fd = claim->write_fd;
        if (ret->read_fd == 0 && ret->write_fd == 0) {
            ret->read_fd = ERLANG_READS;
            ret->write_fd = ERLANG_WRITES;
        }
        return 0;
    case DX_HANDOVER_LISTEN:
        return find_listen(claim->text, options->failure, ret);
    case DX_HANDOVER_ARGV:
        return find_argument(claim->text, options->failure, ret);
    }
    return dxi_fail(options->failure, -EINVAL, "there is no handover %d", (int)claim->handover);
}

/*
 * One number must be a socket; two that are the same socket become one. What came across an exec is
 * not close-on-exec: this program opened it itself, or has claimed it before.
 */
static int check_numbers(struct promise *promise, dx_failure *failure)
{
    struct dxi_nature reads, writes;
    int error = dxi_os->examine(promise->read_fd, &reads);

    if (error < 0)
        return 0; /* the examination that follows says it */
    if (promise->by_number && reads.cloexec)
        return dxi_fail(failure, -ENOENT,
                        "nobody has handed descriptor %d to this program, or it was claimed "
                        "before: it is close-on-exec",
                        promise->read_fd);
    if (promise->one_socket && reads.sort != DXI_SORT_SOCKET)
        return dxi_fail(failure, -ENOTSOCK, "descriptor %d is not a socket", promise->read_fd);
    error = dxi_os->examine(promise->write_fd, &writes);
    if (error == 0 && reads.sort == DXI_SORT_SOCKET && writes.sort == DXI_SORT_SOCKET &&
        reads.device == writes.device && reads.inode == writes.inode)
        promise->the_same = true;
    return 0;
}

/* Copies above the standard numbers, of what lies there. In ends; the promise keeps its own. */
static int move_up(struct dxi_ends *ends, dx_failure *failure)
{
    bool is_one = ends->read_fd == ends->write_fd;
    int read_copy = ends->read_fd;
    int write_copy = ends->write_fd;

    if (read_copy < STANDARD_NUMBERS)
        read_copy = dxi_os->duplicate(read_copy, STANDARD_NUMBERS);
    if (is_one)
        write_copy = read_copy;
    else if (read_copy >= 0 && write_copy < STANDARD_NUMBERS)
        write_copy = dxi_os->duplicate(write_copy, STANDARD_NUMBERS);
    if (read_copy >= 0 && write_copy >= 0) {
        ends->read_fd = read_copy;
        ends->write_fd = write_copy;
        return 0;
    }
    int error = read_copy < 0 ? read_copy : write_copy;

    if (read_copy >= 0 && read_copy != ends->read_fd)
        dxi_os->close(read_copy);
    return dxi_fail(failure, error, "cannot move descriptor %d out of the way: %s",
                    read_copy < 0 ? ends->read_fd : ends->write_fd, dx_error_text(error));
}

static void close_copies(const struct dxi_ends *ends, const struct promise *promise)
{
    if (ends->read_fd != promise->read_fd)
        dxi_os->close(ends->read_fd);
    if (ends->write_fd != promise->write_fd && ends->write_fd != ends->read_fd)
        dxi_os->close(ends->write_fd);
}

/*
 * Under a standard number that was the conversation nothing of it remains: what is read there is the
 * end, and what is written goes where complaints go.
 */
static void vacate(int number, bool complaints_heard, int null)
{
    if (number >= STANDARD_NUMBERS)
        return;
    (void)dxi_os->replace(number == 1 && complaints_heard ? 2 : null, number);
    atomic_store_explicit(&standard_claimed, true, memory_order_relaxed);
}

static void vacate_all(const struct promise *promise, int null)
{
    struct dxi_nature nature;
    bool complaints_heard =
        promise->read_fd != 2 && promise->write_fd != 2 && dxi_os->examine(2, &nature) == 0;

    vacate(promise->read_fd, complaints_heard, null);
    if (promise->write_fd == promise->read_fd)
        return;
    vacate(promise->write_fd, complaints_heard, null);
    if (promise->the_same && promise->write_fd >= STANDARD_NUMBERS)
        dxi_os->close(promise->write_fd);
}

/*
 * Watch the process at the other end. It made the socketpair, and so the kernel names it; before
 * Linux 6.5 it is our parent or nobody, asked before and after, as a number may be taken by another
 * process.
 */
static void watch_parent(dx_channel *channel)
{
    int pidfd = dxi_os->peer_pidfd(channel->read_fd);

    /* The maker has been reaped: ENODATA, and before Linux 6.16 EINVAL. */
    if (pidfd == -ENODATA || pidfd == -ESRCH || pidfd == -EINVAL) {
        dxi_channel_mourn(channel);
        return;
    }
    if (pidfd < 0) {
        pid_t parent = dxi_os->parent_pid();

        pidfd = parent > 1 ? dxi_os->pidfd_open(parent) : -1;
        /* It has died since it was asked for. */
        if (parent > 1 && dxi_os->parent_pid() != parent) {
            if (pidfd >= 0)
                dxi_os->close(pidfd);
            dxi_channel_mourn(channel);
            return;
        }
    }
    if (pidfd >= 0)
        dxi_channel_watch(channel, pidfd, true);
}

/* The promise is for this program alone; what it starts must not believe it. */
static void forget(const dx_claim *claim, const struct promise *promise, bool is_node)
{
    if (claim->handover == DX_HANDOVER_LISTEN)
        dxi_listen_forget(promise->listen_index);
    /* The name may be the caller's, and is not looked at after this. */
    if (promise->variable != NULL) {
        unsetenv(promise->variable);
        if (is_node)
            unsetenv(VARIABLE_NODE_MODE);
    }
}

/* Everything has been found good: make the channel, from copies where numbers are vacated. */
static int take(dx_channel **ret, const struct promise *promise, struct dxi_ends *ends,
                const dx_channel_options *options)
{
    bool vacating = promise->read_fd < STANDARD_NUMBERS || promise->write_fd < STANDARD_NUMBERS;
    int null = vacating ? dxi_os->open("/dev/null", O_RDWR) : -1;

    if (vacating && null < 0)
        return dxi_fail(options->failure, null, "cannot open /dev/null: %s", dx_error_text(null));
    int error = move_up(ends, options->failure);

    if (error == 0) {
        error = dxi_attach_open(ret, ends, options);
        if (error < 0)
            close_copies(ends, promise);
        else
            vacate_all(promise, null);
    }
    if (null >= 0)
        dxi_os->close(null);
    return error;
}

int dx_channel_claim(dx_channel **ret, const dx_claim *claim, const dx_channel_options *options)
{
    dx_channel_options own = options != NULL ? *options : defaults;
    struct promise promise;
    struct dxi_ends ends = {0};

    if (claim == NULL)
        claim = &by_duplex;
    if (ret == NULL)
        return dxi_fail(own.failure, -EINVAL, "a claim needs a place for the channel");
    int error = find(claim, &own, &promise);

    if (error == 0)
        error = check_numbers(&promise, own.failure);
    if (error == 0)
        error = dxi_attach_examine(&ends, promise.read_fd,
                                   promise.the_same ? promise.read_fd : promise.write_fd, &own);
    if (error == 0)
        error = take(ret, &promise, &ends, &own);
    if (error < 0)
        return error;
    forget(claim, &promise, own.framing == DX_FRAMING_NODE);
    /*
     * Of descriptors that merely lie where they were expected nobody knows who is at the other end:
     * the parent may be a shell that connected two programs and left. Their end tells.
     */
    if (promise.by_the_maker && ends.read_medium == DXI_MEDIUM_UNIX)
        watch_parent(*ret);
    return 0;
}

int dx_channel_to_parent(dx_channel **ret, const dx_channel_options *options)
{
    return dx_channel_claim(ret, NULL, options);
}
