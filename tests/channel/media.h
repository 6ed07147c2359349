/* SPDX-License-Identifier: MIT */
/*
 * What a channel can be made of besides a socketpair: a test for each.
 */
#ifndef DUPLEX_TESTS_CHANNEL_MEDIA_H
#define DUPLEX_TESTS_CHANNEL_MEDIA_H

#include "support.h"

enum medium { PIPES, FIFOS, SOCKETS, TCP, MIXED };

/* clang-format off */
#define EACH_MEDIUM(name)                                                                          \
    static void name(enum medium medium);                                                          \
    START_TEST(name##_over_pipes) { name(PIPES); } END_TEST                                        \
    START_TEST(name##_over_fifos) { name(FIFOS); } END_TEST                                        \
    START_TEST(name##_over_two_sockets) { name(SOCKETS); } END_TEST                                \
    START_TEST(name##_over_tcp) { name(TCP); } END_TEST                                            \
    START_TEST(name##_over_a_socket_and_a_pipe) { name(MIXED); } END_TEST                          \
    static void name(enum medium medium)
#define OF_EACH_MEDIUM(name)                                                                       \
    TEST(name##_over_pipes), TEST(name##_over_fifos), TEST(name##_over_two_sockets),               \
        TEST(name##_over_tcp), TEST(name##_over_a_socket_and_a_pipe)
/* clang-format on */

/* What near and far read and write. */
struct line {
    int near[2], far[2];
};

struct line open_line(enum medium medium);

/* One direction: [0] is read and [1] is written. */
void open_pipe(int ret[2]);

dx_channel *attach_line(const int ends[2], const dx_channel_options *options);
struct pair open_over(enum medium medium);

#endif
