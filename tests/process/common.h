/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the process floor share. Not for their children: what asserts here speaks to
 * the test runner by a descriptor that a child of ours does not have, and may have as something
 * else.
 */
#ifndef DUPLEX_TESTS_PROCESS_COMMON_H
#define DUPLEX_TESTS_PROCESS_COMMON_H

#include "harness.h"

#include <duplex.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Programs of this folder: see the head of each. */
#define PROBE DUPLEX_TEST_PROGRAMS "/child_probe"
#define TALKER DUPLEX_TEST_PROGRAMS "/child_talker"

/* An argument vector in place. */
#define ARGV(...) ((char *[]){__VA_ARGS__, NULL})

/*
 * Long enough for a loaded machine under a sanitizer, short enough to fail within a test's limit.
 */
#define PATIENCE_MS 8000

/* What a child must answer, or the test fails with the library's sentence. */
#define ASSERT_STARTED(call, failure)                                                              \
    do {                                                                                           \
        int started_ = (call);                                                                     \
        ck_assert_msg(started_ == 0, "%s: %d: %s", #call, started_, (failure).text);               \
    } while (0)

/* Everything up to the end of fd, as text; closes it. Lasts until the next call. */
const char *read_to_end(int fd);

/* Start a program with its standard output in a pipe, wait for its end; options may be NULL. */
const char *output_of(char *const argv[], const dx_process_options *options);

/* Receive one message as text. Lasts until the next call. */
const char *receive_text(dx_channel *channel);

/* Receive one message that is a number. */
long receive_number(dx_channel *channel);

/* Adopt the orphans among our descendants, so that their ends can be seen. */
void adopt_orphans(void);

/* Wait for an adopted orphan's end, and reap it. False if it still runs after ms. */
bool orphan_ended(pid_t pid, int ms);

void pause_ms(int ms);
uint64_t now_ms(void);

#endif
