/* SPDX-License-Identifier: MIT */
/*
 * Every call of a scenario fails once, in every way that its manual page lists. Without arguments some of
 * these points, as a test; with --all all of them:
 *
 *   test_points --all [SCENARIO]
 *   test_points --point SCENARIO/FUNCTION/N/ERROR
 *
 * DUPLEX_FAULTS_START moves the choice of the test by so many points.
 */
#include "run.h"

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SHORT_STRIDE = 29, /* every so many points in the test */
    SHORT_PASSES = 8,
    SHORT_PLACES = 40,
    SHORT_SECONDS = 8,
};

FAULT_PROGRAMS

START_TEST(test_each_call_may_fail_once)
{
    const char *start = getenv("DUPLEX_FAULTS_START");
    const struct choice choice = {
        .stride = SHORT_STRIDE,
        .passes = SHORT_PASSES,
        .places = SHORT_PLACES,
        .start = start != NULL ? strtoul(start, NULL, 10) : 0,
        .processes = 1,
        .counts = 1,
        .seconds = SHORT_SECONDS,
    };
    struct summary sum = run_faults(&choice);

    ck_assert_msg(sum.failed == 0, "%lu of %lu points failed; the first: %s", sum.failed,
                  sum.points, sum.first);
    printf("faults: %lu points of %lu scenarios, in %lu something failed\n", sum.points,
           sum.scenarios, sum.met);
    ck_assert_uint_gt(sum.met, 0);
}
END_TEST

/* What must be found: a scenario with a mistake, and the word by which it is told. */
static void leak_memory(void)
{
    dx_channel *ends[2];

    if (dx_channel_pair(ends, NULL) == 0)
        dx_channel_close(ends[0]);
    fault_mute();
    close(dx_channel_fd(ends[1]));
    fault_unmute();
}

static void leak_descriptor(void)
{
    (void)make_note(1);
}

_Noreturn static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static void leak_child(void)
{
    fault_mute();
    if (fork() == 0)
        _exit(0);
    fault_unmute();
}

static void leave_an_orphan(void)
{
    fault_mute();
    if (fork() == 0)
        wait_for_ever();
    fault_unmute();
}

static void crash(void)
{
    raise(SIGSEGV);
}

static void lose_a_message(void)
{
    stage->talks[0] = (struct talk){.said = 3, .heard = 2, .ended = true, .end_seen = true};
}

static void double_a_message(void)
{
    check_words(&stage->talks[0], words(0, 10), 10);
    check_words(&stage->talks[0], words(0, 10), 10);
}

static void say_nothing(void)
{
    (void)went(-ENOMEM, "something", "a sentence", 0);
}

START_TEST(test_what_a_scenario_leaves_or_loses_is_found)
{
    static const struct {
        struct scenario scenario;
        const char *complaint;
    } mistakes[] = {
        {{"memory", leak_memory, NULL}, "memory were not released"},
        {{"descriptor", leak_descriptor, NULL}, "open descriptors are"},
        {{"child", leak_child, NULL}, "a child was left"},
        {{"orphan", leave_an_orphan, NULL}, "a child was left"},
        {{"crash", crash, NULL}, "killed by signal 11"},
        {{"loss", lose_a_message, NULL}, "2 arrived"},
        {{"double", double_a_message, NULL}, "arrived twice"},
        {{"error", say_nothing, NULL}, "something answered"},
    };
    const struct fault none = {.call = -1};
    long ms;

    run_begin();
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
        /* A sanitizer makes an exit of it. */
        if (HARNESS_SANITIZED && mistakes[i].scenario.play == crash)
            continue;
        bool is_well = run_point(&mistakes[i].scenario, &none, &ms);

        ck_assert_msg(!is_well, "the mistake '%s' was not found", mistakes[i].scenario.name);
        ck_assert_msg(strstr(stage->complaint, mistakes[i].complaint), "the mistake '%s': %s",
                      mistakes[i].scenario.name, stage->complaint);
    }
    run_end();
}
END_TEST

static const struct harness_test tests[] = {
    TEST(test_what_a_scenario_leaves_or_loses_is_found),
    TEST_WITHIN(test_each_call_may_fail_once, 60),
};

/* 4312 as 4,312. */
static const char *with_commas(unsigned long number)
{
    static char text[32];
    char digits[32];
    int count = snprintf(digits, sizeof(digits), "%lu", number);
    char *end = text;

    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            *end++ = ',';
        *end++ = digits[i];
    }
    *end = '\0';
    return text;
}

static int run_all(const char *scenario)
{
    const struct choice choice = {
        .scenario = scenario,
        .stride = 1,
        .passes = 1,
        .counts = 3,
        .processes = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
        .verbose = getenv("DUPLEX_FAULTS_VERBOSE") != NULL,
    };
    time_t begin = time(NULL);
    struct summary sum = run_faults(&choice);

    printf("faults: the slowest point was %s, %ld ms\n", sum.slowest, sum.slowest_ms);
    printf("faults: %s points", with_commas(sum.points));
    printf(" of %lu scenarios,", sum.scenarios);
    printf(" %s met,", with_commas(sum.met));
    printf(" %s failed, in %ld s\n", with_commas(sum.failed), (long)(time(NULL) - begin));
    return sum.failed == 0 && sum.met > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--point") == 0)
        return run_point_named(argv[2]);
    if ((argc == 2 || argc == 3) && strcmp(argv[1], "--all") == 0)
        return run_all(argc == 3 ? argv[2] : NULL);
    if (argc > 1) {
        fprintf(stderr, "usage: test_points [--all [SCENARIO] | --point POINT]\n");
        return 2;
    }
    return FAULT_MAIN("faults", tests);
}
