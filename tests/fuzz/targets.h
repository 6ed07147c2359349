/* SPDX-License-Identifier: MIT */
/*
 * The targets of the fuzzer: functions that take any bytes and abort when a promise does not hold.
 *
 * ./dev fuzz runs each with libFuzzer, which looks for such bytes; test_corpus.c shows the kept ones
 * to them in each run of the tests. A target's name is the name of its folder in tests/fuzz/corpus.
 */
#ifndef DUPLEX_TESTS_FUZZ_TARGETS_H
#define DUPLEX_TESTS_FUZZ_TARGETS_H

#include "wire/framing.h"

#include <stddef.h>
#include <stdint.h>

/* What does not hold is said on standard error, and the process aborted. */
#define require(condition) ((condition) ? (void)0 : require_failed(__FILE__, __LINE__, #condition))

_Noreturn void require_failed(const char *file, int line, const char *condition);

struct target {
    const char *name;
    void (*run)(const struct target *target, const uint8_t *data, size_t size);
    const struct dxi_framing *framings[6]; /* of run_decoder: those that it chooses from */
};

extern const struct target targets[];
extern const size_t target_count;

/*
 * The first bytes choose the framing, its options and how the rest is cut. A decoder that sees the
 * rest must say the same however it is cut, and what it decodes must mean the same when encoded.
 */
void run_decoder(const struct target *target, const uint8_t *data, size_t size);

/* The same for a channel whose peer says the rest, in portions and with descriptors. */
void run_channel(const struct target *target, const uint8_t *data, size_t size);

/*
 * A whole conversation in a kernel of the input's own, see world.h: what the peer says, what the kernel
 * refuses and what the user does, in any order. The second begins in the fast lane, where the peer also
 * writes to all of the memory that both share.
 */
void run_conversation(const struct target *target, const uint8_t *data, size_t size);
void run_lane(const struct target *target, const uint8_t *data, size_t size);

/* libFuzzer's names. DUPLEX_FUZZ_TARGET in the environment chooses the target. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#endif
