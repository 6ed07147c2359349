/* SPDX-License-Identifier: MIT */
/*
 * What the tests of this floor share: a test for each channel type, bytes that can be recognised,
 * descriptors that can be told apart, time, and children that end with the test.
 */
#ifndef DUPLEX_TESTS_CHANNEL_SUPPORT_H
#define DUPLEX_TESTS_CHANNEL_SUPPORT_H

#include "harness.h"

#include "channel/internal.h"
#include "os/os.h"

#include <duplex/channel.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

/* Whether something that was accepted has not left yet. */
static inline bool is_pending(dx_channel *channel)
{
    return atomic_load(&channel->out_pending);
}

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/*
 * One promise, three tests: the function that follows is run with each type, in a process of its own.
 * OF_EACH_TYPE() is their entry in HARNESS_MAIN().
 */
#define EACH_TYPE(name)                                                                            \
    static void name(dx_channel_type type);                                                        \
    START_TEST(name##_on_stream)                                                                   \
    {                                                                                              \
        name(DX_STREAM);                                                                           \
    }                                                                                              \
    END_TEST                                                                                       \
    START_TEST(name##_on_seqpacket)                                                                \
    {                                                                                              \
        name(DX_SEQPACKET);                                                                        \
    }                                                                                              \
    END_TEST                                                                                       \
    START_TEST(name##_on_dgram)                                                                    \
    {                                                                                              \
        name(DX_DGRAM);                                                                            \
    }                                                                                              \
    END_TEST                                                                                       \
    static void name(dx_channel_type type)

/* clang-format off */
#define OF_EACH_TYPE(name) TEST(name##_on_stream), TEST(name##_on_seqpacket), TEST(name##_on_dgram)
#define OF_EACH_TYPE_WITHIN(name, seconds)                                                         \
    TEST_WITHIN(name##_on_stream, seconds), TEST_WITHIN(name##_on_seqpacket, seconds),             \
        TEST_WITHIN(name##_on_dgram, seconds)
/* clang-format on */

/* How much longer than usual everything takes: sanitizers, valgrind. */
int slowness(void);

/* Both ends of a conversation, in this process. */
struct pair {
    dx_channel *near;
    dx_channel *far;
};

struct pair open_pair(dx_channel_type type);
struct pair open_pair_with(const dx_channel_options *options);
void close_pair(struct pair *pair);

/* One end of a socketpair as a channel, and the bare descriptor of the other. */
dx_channel *open_with_raw_peer(dx_channel_type type, const dx_channel_options *options,
                               int *ret_peer);

/* SOCK_…, and a bare socketpair of it. */
int socket_type(dx_channel_type type);
void raw_pair(dx_channel_type type, int ret[2]);

/*
 * Bytes that look random and are the same in each process. A slice of them is the payload of a
 * numbered message, so that one that is lost, repeated, cut or swapped is noticed.
 */
const uint8_t *pattern(size_t size);
const uint8_t *numbered_payload(unsigned number, size_t size);
int send_numbered(dx_channel *channel, unsigned number, size_t size, int timeout_ms);
bool is_numbered(const dx_message *message, unsigned number, size_t size);
void expect_numbered(dx_channel *channel, unsigned number, size_t size, int timeout_ms);

/* Send on one end and receive on the other in one thread, whatever the kernel's buffer holds. */
void carry(dx_channel *from, dx_channel *to, unsigned number, size_t size);

/* Fill the outgoing buffer with messages of this size until nothing more is accepted; how many were. */
unsigned fill_outgoing(dx_channel *channel, unsigned first_number, size_t size);

/* dx_recv() must answer this, and the sentence must contain text (NULL: any, but one). */
void expect_error(dx_channel *channel, int error, const char *text, int timeout_ms);
void expect_end(dx_channel *channel, int timeout_ms);
void expect_silence(dx_channel *channel);
void expect_explained(const dx_channel *channel, const char *text);

/* A descriptor that says a number to whoever holds it, however it got there. */
int make_note(unsigned number);
bool is_note(int fd, unsigned number);
bool same_file(int a, int b);
bool is_open(int fd);
bool is_cloexec(int fd);

/* A message whose descriptors are these. */
dx_message with_descriptors(const void *data, size_t size, int *descriptors, size_t count);

uint64_t now_ms(void);
void sleep_ms(int ms);

/*
 * Turns that a loop may take in 250 ms in which nothing happens: 5 of its own, some that news
 * costs, and some where only time can tell. One that spins takes thousands.
 */
enum { LOOP_MS = 250, TURNS_MAX = 80 };

/* One turn of an event loop as the header describes it. And so long, in which it must be at rest. */
void take_turn(dx_channel *channel);
void expect_rest(dx_channel *channel, const char *when);

/* A child of the test with one end of a bare socketpair; handles do not survive the fork. */
struct child {
    pid_t pid;
    int pidfd;
    int fd; /* the test's end */
};

void start_child(struct child *child, dx_channel_type type, int (*body)(int fd, void *context),
                 void *context);

/* The channel on the test's end. It then owns the descriptor. */
dx_channel *channel_to_child(struct child *child, const dx_channel_options *options);

/* For the body of a child. */
dx_channel *child_channel(int fd, const dx_channel_options *options);

/* Wait for the child's end, which must be an exit with 0; or kill it. Closes what is left. */
void child_ended(struct child *child);
void kill_child(struct child *child);

#endif
