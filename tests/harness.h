/* SPDX-License-Identifier: MIT */
/*
 * The harness of all C tests: each test is a process of its own with a time limit, and fails if it
 * leaves behind a descriptor, a child or a thread that it did not find, or closes one that it did.
 *
 *     START_TEST(test_an_empty_message_is_a_message)
 *     {
 *         ck_assert_int_eq(dx_send(channel, NULL, 0, DX_NOW), 0);
 *     }
 *     END_TEST
 *
 *     HARNESS_MAIN("channel", TEST(test_an_empty_message_is_a_message),
 *                  TEST_WITHIN(test_a_million_messages_cross, 120))
 *
 * DUPLEX_TEST=name runs one test; CK_FORK=no beside it runs that test in the debugger's process.
 * DUPLEX_TEST_PROGRAMS, DUPLEX_TEST_SOURCE and DUPLEX_TEST_COMMAND are strings from the build: the
 * folder of this folder's child programs, the source tree, and the duplex command.
 */
#ifndef DUPLEX_TESTS_HARNESS_H
#define DUPLEX_TESTS_HARNESS_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>

/* Each assertion that holds is noted by libcheck, for a test that crashes: see harness_note(). */
#define _mark_point(file, line) harness_note(file, line)

void harness_note(const char *file, int line);

/* Under which sanitizer this was compiled: 1 or 0, for #if and for if. */
#if defined(__SANITIZE_ADDRESS__)
#define HARNESS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HARNESS_ASAN 1
#endif
#endif
#ifndef HARNESS_ASAN
#define HARNESS_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define HARNESS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HARNESS_TSAN 1
#endif
#endif
#ifndef HARNESS_TSAN
#define HARNESS_TSAN 0
#endif

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#define HARNESS_MSAN 1
#endif
#endif
#ifndef HARNESS_MSAN
#define HARNESS_MSAN 0
#endif

#define HARNESS_SANITIZED (HARNESS_ASAN || HARNESS_TSAN || HARNESS_MSAN)

struct harness_test {
    const TTest **test;
    double seconds; /* the time limit; 0: 20 seconds. Longer under a sanitizer or valgrind */
};

/* clang-format off */
#define TEST(name) {&(name), 0}
#define TEST_WITHIN(name, limit) {&(name), (limit)}
/* clang-format on */

/* Define main(): run these tests and exit with EXIT_SUCCESS if all pass. */
#define HARNESS_MAIN(suite, ...)                                                                   \
    int main(void)                                                                                 \
    {                                                                                              \
        static const struct harness_test harness_tests[] = {__VA_ARGS__};                          \
        return harness_main(suite, harness_tests, sizeof(harness_tests) / sizeof(*harness_tests)); \
    }

int harness_main(const char *suite, const struct harness_test *tests, size_t count);

/* True if this process runs under valgrind. */
bool harness_valgrind(void);

/* Whether conversations take to the fast lane as soon as they can (DUPLEX_TEST_FAST). */
bool harness_fast(void);

/* Leave the test as passed, and have its name and this reason printed: "needs root". */
#define HARNESS_SKIP(reason)                                                                       \
    do {                                                                                           \
        harness_skipped(reason);                                                                   \
        return;                                                                                    \
    } while (0)

void harness_skipped(const char *reason);

/*
 * For a child of a test, in place of ck_assert(), whose failures only the test's own process can
 * report: say on standard error what does not hold, and _exit() with HARNESS_CHILD_FAILED.
 */
#define HARNESS_CHILD_FAILED 97
#define harness_child_assert(condition)                                                            \
    ((condition) ? (void)0 : harness_child_fail(__FILE__, __LINE__, #condition))

_Noreturn void harness_child_fail(const char *file, int line, const char *condition);

/* How many descriptors this process has open. For tests that count in their middle. */
size_t harness_open_descriptors(void);

#endif
