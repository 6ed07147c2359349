/* SPDX-License-Identifier: MIT */
/*
 * What the C tests against real programs share: a partner is a program that never heard of duplex,
 * started as a child or found as a parent.
 */
#ifndef DUPLEX_TESTS_REAL_PARTNER_H
#define DUPLEX_TESTS_REAL_PARTNER_H

#include "harness.h"

#include <duplex.h>

#include <stdbool.h>
#include <stddef.h>

#define SCRIPT(name) DUPLEX_TEST_SOURCE "/tests/real/" name
#define PROGRAM(name) DUPLEX_TEST_PROGRAMS "/" name

/* An argument vector in place. */
#define ARGV(...) ((char *[]){__VA_ARGS__, NULL})

/* Long enough for an interpreter to start on a loaded machine. */
#define PATIENCE_MS 30000

/* Leave the test as passed if this machine lacks a program. */
#define NEED(program)                                                                              \
    do {                                                                                           \
        if (!is_installed(program))                                                                \
            HARNESS_SKIP(program " is not installed");                                             \
    } while (0)

bool is_installed(const char *program);

/* Start a program, or fail with the library's sentence. */
dx_process *start(char *const argv[], const dx_process_options *options);

void send_text(dx_channel *channel, const char *text);
void send_bytes(dx_channel *channel, const void *data, size_t size);

/* Receive one message. It is borrowed, as from dx_recv(). */
dx_message receive(dx_channel *channel);

/* Receive one message, which must be this text. */
void expect_text(dx_channel *channel, const char *expected);

/* The partner has said everything. */
void expect_end(dx_channel *channel);

/* The child ends by itself with this status; let go of it. */
void expect_exit(dx_process *process, int code);

/* Bytes of every value that repeat nowhere soon, to be freed. */
unsigned char *pattern(size_t size);

/* Everything that a descriptor has to say, as text. Closes it. Lasts until the next call. */
const char *read_to_end(int fd);

#endif
