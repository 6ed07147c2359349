/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the pool floor share. What asserts here is for the test's own process, and not
 * for workers that are functions.
 */
#ifndef DUPLEX_TESTS_POOL_COMMON_H
#define DUPLEX_TESTS_POOL_COMMON_H

#include "harness.h"

#include <duplex.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* Programs of this folder: see the head of each. */
#define WORKER DUPLEX_TEST_PROGRAMS "/child_worker"
#define FILTER DUPLEX_TEST_PROGRAMS "/child_filter"
#define STRANGER DUPLEX_TEST_PROGRAMS "/child_stranger"

/* An argument vector in place. */
#define ARGV(...) ((char *[]){__VA_ARGS__, NULL})

/* Long enough for a loaded machine under a sanitizer, short enough to fail within a test's limit. */
#define PATIENCE_MS (HARNESS_TSAN || harness_valgrind() ? 60000 : 9000)

/* Within this a pool is closed whose workers leave at once. */
#define CLOSE_MS 3000

#define MIB ((size_t)1 << 20)

/* How often: fewer times where everything takes ten times as long. */
unsigned scaled(unsigned natively, unsigned instrumented);

/* True where clocks mean nothing: a time that has a lower bound has no upper one then. */
bool is_slow(void);

/* A worker that does what its job says: see obey.h. */
int obey(dx_channel *parent, void *context);

/* Open a pool, or fail with the library's sentence. NULL options are the defaults with one worker. */
dx_pool *open_obedient(const dx_pool_options *options);
dx_pool *open_function(int (*worker)(dx_channel *parent, void *context), void *context,
                       const dx_pool_options *options);
dx_pool *open_program(char *const argv[], const dx_pool_options *options);

/* Submit a job, which must be accepted; returns its number. */
uint64_t submit(dx_pool *pool, const char *text);
uint64_t submit_bytes(dx_pool *pool, const void *data, size_t size);
uint64_t submitf(dx_pool *pool, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The next result, which must come. */
dx_result next(dx_pool *pool);

/* The next result answers this job with this text, or with a number. 0 is any job. */
void expect_answer(dx_pool *pool, uint64_t job, const char *text);
long expect_number(dx_pool *pool, uint64_t job);

/* What a job is answered with that is submitted to a pool that has no other. */
const char *ask(dx_pool *pool, const char *text);

/* The next result is this failure of this job, and says why. */
dx_result expect_failure(dx_pool *pool, uint64_t job, int error);

void assert_answered(const dx_pool *pool, const dx_result *result);
bool is_answer(const dx_result *result, const char *text);

/* No job is in the pool. */
void expect_empty(dx_pool *pool);

dx_pool_statistics statistics(const dx_pool *pool);
dx_worker_statistics worker_of(const dx_pool *pool, unsigned worker);

/* Let the pool do what it does for so long, or until the condition holds of its statistics. */
void look_after(dx_pool *pool, int ms);
#define look_until(pool, field, wanted)                                                            \
    do {                                                                                           \
        uint64_t end_ = now_ms() + (uint64_t)PATIENCE_MS;                                          \
        while ((uint64_t)statistics(pool).field != (uint64_t)(wanted) && now_ms() < end_)          \
            look_after(pool, 2);                                                                   \
        ck_assert_uint_eq(statistics(pool).field, (wanted));                                       \
    } while (0)

/*
 * The pool has no job; what it counts adds up; it is closed within CLOSE_MS, as workers leave when they
 * are asked to: the pools opened here would wait longer. Its statistics as they were before that.
 */
dx_pool_statistics finish(dx_pool *pool);

/* Memory that the workers see, too, all zeros. Give it back in the end. */
void *share(size_t size);
void give_back(void *memory, size_t size);

/* Adopt the orphans among our descendants, so that their ends can be seen; kill one, and see it. */
void adopt_orphans(void);
void end_orphan(pid_t pid);

void pause_ms(int ms);
uint64_t now_ms(void);

/* What this process has used of processors. */
uint64_t processor_ms(void);

#endif
