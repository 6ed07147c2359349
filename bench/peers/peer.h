/* SPDX-License-Identifier: MIT */
/*
 * How a peer takes part in the benchmark, and what all peers have in common.
 *
 * A peer opens a pair of processes: the calling one is the parent, and the child that it starts
 * serves the task. Each message carries its number in its first and last byte; whoever receives it
 * looks at both, so that nobody is paid for messages that were never delivered or never touched.
 *
 * To add a peer: one file here that defines a struct peer, and a line in peers.c.
 */
#ifndef DUPLEX_BENCH_PEER_H
#define DUPLEX_BENCH_PEER_H

#include "bench.h"

#include <sys/types.h>

struct trial {
    struct task task;
    struct figures *figures; /* in memory that both processes share */
};

/* Say why a trial fails, for people, where an errno value would not. Either process may. */
void trial_fails(const struct trial *trial, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct peer {
    const char *name;
    const char *about;
    const void *argument;  /* the peer's own, where one file serves several */
    bool round_trips_only; /* in one-way runs it would be another peer once more */
    bool limit;            /* what the machine can do: takes part whatever peers are asked for */

    /* Whether a table has a row for it; NULL: each whose work it has a function for. */
    bool (*has_part)(const struct group *group, bool corked);

    /* Why it cannot do this task, in a few words; NULL if it can. */
    const char *(*unavailable)(const struct peer *peer, const struct task *task);

    /* Start the child, which does side_serve(). Returns 0 or a negative errno, as all that follow.
     */
    int (*open)(const struct peer *peer, const struct trial *trial, void **ret);

    /*
     * Send a message and receive it back, count times. A peer whose parent is a program of its own
     * notes that program's processor time in figures->parent_cpu, here and in the two that follow.
     */
    int (*round_trip)(void *pair, size_t size, uint64_t count);

    /* Send count messages; then wait for the child's word that it has received them all. */
    int (*one_way)(void *pair, size_t size, uint64_t count, bool corked);

    /*
     * Ask count times with CALLS_OPEN requests open, each of which the child answers with the same
     * bytes. NULL: the peer has no part in WORK_CALLS.
     */
    int (*calls)(void *pair, size_t size, uint64_t count, bool corked);

    /*
     * Have placement_workers() workers echo count jobs, and note the processor time of them all in
     * figures->child_cpu. NULL: the peer has no part in WORK_POOL.
     */
    int (*jobs)(void *pair, size_t size, uint64_t count);

    /*
     * Each run starts the workers anew: it is to last this long then, is preceded by no warm-up, and
     * the first guess is so many jobs. 0: they are started once.
     */
    double run_seconds;
    uint64_t first_count;

    /*
     * Wait so many seconds for a message that does not come, as the peer's users wait for one. NULL:
     * the peer has no part in WORK_IDLE.
     */
    int (*idle)(void *pair, double seconds);

    /* End the child and reap it, in any case. An error if the child failed. */
    int (*close)(void *pair);
};

/* Those of duplex itself, in their order: conversations, and pools that need no program. */
#define OWN_CONVERSATIONS                                                                          \
    &peer_duplex_stream, &peer_duplex_stream_reserve, &peer_duplex_stream_socket,                  \
        &peer_duplex_seqpacket, &peer_duplex_seqpacket_socket, &peer_duplex_dgram,                 \
        &peer_duplex_stream_asleep, &peer_duplex_stream_socket_asleep
#define OWN_POOLS                                                                                  \
    &peer_duplex_pool, &peer_duplex_pool_deep, &peer_duplex_pool_socket,                           \
        &peer_duplex_pool_socket_deep

extern const struct peer *const peers[];
extern const size_t peer_count;

extern const struct peer peer_limit_ping_pong;
extern const struct peer peer_limit_memcpy;
extern const struct peer peer_raw_stream;
extern const struct peer peer_raw_seqpacket;
extern const struct peer peer_raw_pipe;
extern const struct peer peer_imsg;
extern const struct peer peer_duplex_stream;
extern const struct peer peer_duplex_stream_socket;
extern const struct peer peer_duplex_seqpacket;
extern const struct peer peer_duplex_seqpacket_socket;
extern const struct peer peer_duplex_dgram;
extern const struct peer peer_duplex_stream_reserve;
extern const struct peer peer_duplex_stream_asleep;
extern const struct peer peer_duplex_stream_socket_asleep;
extern const struct peer peer_libuv;
extern const struct peer peer_nng;
extern const struct peer peer_zeromq;
extern const struct peer peer_sdbus;
extern const struct peer peer_capnp;
extern const struct peer peer_node;
extern const struct peer peer_python;
extern const struct peer peer_duplex_pool;
extern const struct peer peer_duplex_pool_deep;
extern const struct peer peer_duplex_pool_socket;
extern const struct peer peer_duplex_pool_socket_deep;
extern const struct peer peer_duplex_pool_lines;
extern const struct peer peer_duplex_pool_lines_deep;
extern const struct peer peer_python_imap;
extern const struct peer peer_python_imap_chunks;
extern const struct peer peer_python_executor;
extern const struct peer peer_parallel_each;
extern const struct peer peer_parallel_round_robin_each;
extern const struct peer peer_parallel_round_robin;
extern const struct peer peer_xargs_each;

/* What the receiver of a one-way run says when it has everything: one message of this size. */
enum { ACKNOWLEDGEMENT_SIZE = 8 };

/* Buffer of a reader that takes many small messages in one call. */
enum { READ_SIZE = 64 * 1024 };

/* latency.c: a message begins its way; in round trips the one before is back. */
extern bool latency_wanted;
void latency_note(void);

static inline void latency_begin(void)
{
    if (latency_wanted)
        latency_note();
}

static inline void message_stamp(unsigned char *bytes, size_t size, uint64_t number)
{
    latency_begin();
    bytes[0] = (unsigned char)number;
    bytes[size - 1] = (unsigned char)number;
}

static inline bool message_check(const unsigned char *bytes, size_t size, uint64_t number)
{
    return bytes[0] == (unsigned char)number && bytes[size - 1] == (unsigned char)number;
}

/* Messages of one size in a stream of bytes that arrives in pieces. */
struct scan {
    size_t size;
    size_t offset; /* in the message that is under way */
    uint64_t number;
};

/* Check the messages in a piece. 0, or -EBADMSG. */
int scan_piece(struct scan *scan, const unsigned char *bytes, size_t size);

/* Where a side runs, and what processor time its process has used so far, in seconds. */
int side_place(enum placement placement, bool child);
/* The same for all threads of the child of a pair that is not ours. */
int side_place_process(enum placement placement, pid_t child);
double side_cpu(void);
double side_now(void);

/* In the child: do the phase for the warm-up and for the timed messages, and note the time used. */
typedef int (*side_phase)(void *end, const struct task *task, uint64_t count);
int side_serve(const struct trial *trial, side_phase phase, void *end);

/* fork(2), with a child that does not outlive its parent. In the child it returns 0. */
pid_t hand_made_fork(void);
/* Wait for such a child. An error if it failed. */
int hand_made_reap(pid_t child);

/* For peers that start their child by hand: socketpair(2) and fork(2), as every tutorial has it. */
struct hand_made {
    int fd;
    pid_t child;
};
int hand_made_open(struct hand_made *ret, int socket_type, int socket_buffer,
                   int (*child)(int fd, const struct trial *trial), const struct trial *trial);
int hand_made_close(struct hand_made *pair);

/* write(2) and read(2) until all of it is done. 0 or a negative errno; -EPIPE at the end. */
int write_all(int fd, const void *bytes, size_t size);
int read_all(int fd, void *bytes, size_t size);
/* Until the other side has closed its end, or ended. */
void await_end_of(int fd);

#endif
