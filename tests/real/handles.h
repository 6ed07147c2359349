/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of every kind, made and passed on: what the tests of Node's handles share. Not for
 * children: it asserts.
 */
#ifndef DUPLEX_TESTS_REAL_HANDLES_H
#define DUPLEX_TESTS_REAL_HANDLES_H

#include "partner.h"

/* A server on a port of this machine that nobody else has, which is stored. */
int listen_tcp(int *ret_port);
int connect_tcp(int port);
int accept_one(int fd);

/* Two ends that are connected by a TCP connection. */
void pair_tcp(int ret_ends[2]);

/* A datagram socket on a port of this machine, which is stored. */
int bind_udp(int *ret_port);

/* A message with one descriptor, which moves. Returns what dx_send_message() does. */
int try_handle(dx_channel *channel, const char *text, int fd);
void send_handle(dx_channel *channel, const char *text, int fd);

/* A message that must be this text, and its one descriptor. */
int expect_handle(dx_channel *channel, const char *text);

/* Write these words, end that direction, read to the end: what came must be as expected. */
void expect_answer(int fd, const char *words, const char *expected);

#endif
