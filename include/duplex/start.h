/* SPDX-License-Identifier: MIT */
/*
 * What a child is asked to be, before it starts: how it gets its end of the conversation, its
 * descriptors, environment, limits and identity.
 */
#ifndef DUPLEX_START_H
#define DUPLEX_START_H

#include <duplex/error.h>
#include <duplex/options.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How a program learns where its end of the channel is. Its descriptors are blocking. Not for
 * dx_fork(), whose child has a channel already. A program that knows duplex finds its end with
 * dx_channel_to_parent() or dx_channel_claim().
 */
typedef enum dx_handover {
    DX_HANDOVER_ENV =
        0, /* its number is in an environment variable: `handover_variable`. Default */

    /* It is standard input and output, whose stdio choices are unused then. */
    DX_HANDOVER_STDIO,

    /*
     * As STDIO, by two pipes: for programs that open /dev/stdin by name, which no socket allows,
     * and for those that test for a pipe. Pipes carry no descriptors.
     */
    DX_HANDOVER_PIPES,

    /*
     * Two pipes with the numbers `channel_target`, which the child reads, and
     * `channel_write_target`: Erlang's nouse_stdio has 3 and 4, which are the defaults.
     */
    DX_HANDOVER_FDS,

    /*
     * sd_listen_fds(3): it is number 3, LISTEN_FDS is 1, LISTEN_PID the child's, and
     * LISTEN_FDNAMES `handover_variable`, or "duplex" if that is NULL.
     */
    DX_HANDOVER_LISTEN,

    /* Its number takes the place of each "{fd}" in argv, which must have one at least. */
    DX_HANDOVER_ARGV
} dx_handover;

typedef enum dx_stdio_mode {
    DX_STDIO_INHERIT = 0, /* the parent's; /dev/null if the parent has it closed. The default */
    DX_STDIO_NULL,        /* /dev/null */
    DX_STDIO_DESCRIPTOR,  /* a copy of `fd`, which stays the caller's */
    DX_STDIO_PIPE         /* a pipe; the parent gets the other end, see dx_process_take_stdio() */
} dx_stdio_mode;

typedef struct dx_stdio {
    dx_stdio_mode mode;
    int fd; /* for DX_STDIO_DESCRIPTOR */
} dx_stdio;

/* The child gets a copy of the parent's descriptor `fd` under the number `target`, 3 or greater. */
typedef struct dx_descriptor {
    int fd; /* stays the caller's */
    int target;
} dx_descriptor;

/* A resource limit: setrlimit(2). RLIM_INFINITY of <sys/resource.h> is UINT64_MAX. */
typedef struct dx_limit {
    int resource; /* RLIMIT_… */
    uint64_t soft;
    uint64_t hard;
} dx_limit;

/* Whom the child runs as. Needs the privilege to change to them. */
typedef struct dx_identity {
    uid_t user;
    gid_t group;
    const gid_t *groups; /* supplementary groups; group_count 0 drops all */
    size_t group_count;
} dx_identity;

/*
 * A group of its own is signalled as a whole, and what is left of it is killed when the child's end
 * is seen, by whichever function. Who shall outlive the child must leave the group.
 */
typedef enum dx_group {
    DX_GROUP_INHERIT = 0, /* the parent's process group. The default */
    DX_GROUP_NEW,         /* a process group of its own */
    DX_GROUP_SESSION      /* a session of its own, and so a group too */
} dx_group;

/* All-zero means the defaults, and so does NULL in place of the struct. */
typedef struct dx_process_options {
    /* The parent's end. `channel.failure` is unused here; see `failure`. */
    dx_channel_options channel;

    /*
     * The child's end, for dx_fork() only, else -EINVAL; NULL: the same as the parent's. Its type
     * is unused.
     */
    const dx_channel_options *child_channel;

    dx_handover handover;
    /*
     * DX_HANDOVER_ENV: the variable's name; NULL: DUPLEX_FD, or NODE_CHANNEL_FD if the framing is
     * DX_FRAMING_NODE, which also sets NODE_CHANNEL_SERIALIZATION_MODE. DX_HANDOVER_LISTEN: the
     * name of the descriptor.
     */
    const char *handover_variable;
    int channel_target;       /* the number of the channel in the child, 3 or greater. 0: 3 */
    int channel_write_target; /* DX_HANDOVER_FDS: what the child writes. 0: 4 */
    dx_stdio stdio[3];        /* standard input, output and error */

    /* Descriptors besides those. Each target once, and none the channel's. */
    const dx_descriptor *descriptors;
    size_t descriptor_count;

    /*
     * The working directory, entered with the rights of the child's identity; NULL: the parent's.
     * A relative program is found from there.
     */
    const char *directory;

    /*
     * dx_spawn() only. The whole environment, as in execve(2); NULL: the parent's. What hands a
     * descriptor to one program (DUPLEX_FD, NODE_CHANNEL_FD, WAYLAND_SOCKET, LISTEN_FDS and theirs)
     * is never inherited. Then the changes: "NAME=value" sets and "NAME" alone removes. Both lists end
     * with NULL. A program without '/' in its name is searched along the PATH of the result.
     */
    char *const *environment;
    char *const *environment_changes;

    dx_group group;
    const dx_limit *limits;
    size_t limit_count;
    const dx_identity *identity; /* NULL: the parent's */

    /* The child and its descendants cannot gain privileges by exec (PR_SET_NO_NEW_PRIVS). */
    bool no_new_privileges;

    /*
     * The kernel kills the child when the parent dies (PR_SET_PDEATHSIG), or earlier, when the
     * thread ends that started it. A program with set-user-id bits loses it.
     */
    bool die_with_parent;

    /*
     * Where the child itself writes its pid, before it does anything that anybody else can see, and
     * where 0 stands again before it is reaped, and after a failed start; NULL: nowhere. It has to
     * stay as long as the process. In memory that a third process shares (MAP_SHARED), that one knows
     * of a child whose parent was killed before dx_spawn() had returned; in other memory it stands when
     * that has returned. Of a pool: an array, with a place for each worker.
     */
    pid_t *noted_pid;

    /*
     * How long dx_process_stop() and dx_process_close() wait after the end of conversation, and
     * then after SIGTERM, before the next step. 0: 1000 ms each. Negative: skip the step.
     */
    int stop_end_ms;
    int stop_term_ms;

    /* Where a failed start is explained: "cannot start 'nope': No such file or directory". */
    dx_failure *failure;
} dx_process_options;

#ifdef __cplusplus
}
#endif
#endif
