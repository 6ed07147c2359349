/* SPDX-License-Identifier: MIT */
/*
 * Runs tests over libcheck and watches what they leave behind. The state of the process is recorded
 * before each test and compared after it, in the test's own process, so that a leak is the failure
 * of the test that made it.
 */
#include "harness.h"

#include "channel/lane.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if HARNESS_MSAN
#include <sanitizer/msan_interface.h>
#endif
#ifdef HARNESS_TELLS_VALGRIND
#include <valgrind/valgrind.h>
#endif

#define DEFAULT_SECONDS 20
#define DESCRIPTORS_WATCHED 4096
#define TARGET_SIZE 96

/* What each descriptor was when the test began; "" for one that was not open. */
static char before[DESCRIPTORS_WATCHED][TARGET_SIZE];
static size_t threads_before;
static rlim_t descriptor_limit;
static bool notes_are_idle;

/*
 * libcheck is compiled without the memory sanitizer, which takes all that it writes for uninitialised.
 * What it tells the runner of the tests is the only use of fwrite() in a test program.
 */
#if HARNESS_MSAN
size_t __real_fwrite(const void *bytes, size_t size, size_t count, FILE *file);
size_t __wrap_fwrite(const void *bytes, size_t size, size_t count, FILE *file);

size_t __wrap_fwrite(const void *bytes, size_t size, size_t count, FILE *file)
{
    __msan_unpoison(bytes, size * count);
    return __real_fwrite(bytes, size, count, file);
}
#endif

/*
 * A child of dx_fork() whose function has returned closes what it has, flushes and ends. Nothing else
 * ends so, and valgrind writes it down for tests/under_valgrind.
 */
#ifdef HARNESS_TELLS_VALGRIND
int __real_fflush(FILE *file);
int __wrap_fflush(FILE *file);

int __wrap_fflush(FILE *file)
{
    VALGRIND_PRINTF("flushes\n");
    return __real_fflush(file);
}
#endif

/* What a descriptor is, in the kernel's words: "socket:[4711]". "" if it is not open. */
static void describe_descriptor(int fd, char ret[TARGET_SIZE])
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, ret, TARGET_SIZE - 1);
    ret[length < 0 ? 0 : length] = '\0';
}

/*
 * Call visit for each descriptor that is open, but for the one that reads the list and for those
 * that valgrind keeps to itself, above the limit that it lets the program see.
 */
static void each_descriptor(void (*visit)(int fd, void *context), void *context)
{
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        ck_abort_msg("the harness cannot list the open descriptors: %s", strerror(errno));
    for (struct dirent *entry; (entry = readdir(directory));) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd != dirfd(directory) && (rlim_t)fd < descriptor_limit)
            visit(fd, context);
    }
    closedir(directory);
}

static void count_descriptor(int fd, void *context)
{
    (void)fd;
    ++*(size_t *)context;
}

static struct rlimit get_descriptor_limit(void)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit;
}

size_t harness_open_descriptors(void)
{
    size_t count = 0;
    each_descriptor(count_descriptor, &count);
    return count;
}

static size_t count_threads(void)
{
    size_t count = 0;
    DIR *directory = opendir("/proc/self/task");
    if (!directory)
        ck_abort_msg("the harness cannot list the threads: %s", strerror(errno));
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void record_descriptor(int fd, void *context)
{
    (void)context;
    if (fd < DESCRIPTORS_WATCHED)
        describe_descriptor(fd, before[fd]);
}

static void record(void)
{
    memset(before, 0, sizeof(before));
    descriptor_limit = get_descriptor_limit().rlim_max;
    each_descriptor(record_descriptor, NULL);
    /* The thread sanitizer adds a thread of its own when the first one is made. */
    threads_before = count_threads() + HARNESS_TSAN;
}

static void compare_descriptor(int fd, void *context)
{
    (void)context;
    char now[TARGET_SIZE];
    describe_descriptor(fd, now);
    if (fd >= DESCRIPTORS_WATCHED || !before[fd][0])
        ck_abort_msg("the test left descriptor %d open: %s", fd, now);
    if (strcmp(before[fd], now) != 0)
        ck_abort_msg("the test replaced descriptor %d: it was %s and is %s", fd, before[fd], now);
    before[fd][0] = '\0';
}

static void compare_descriptors(void)
{
    const char *fork_mode = getenv("CK_FORK");

    /* In the debugger's process the library of tests opens files of its own meanwhile. */
    if (fork_mode && strcmp(fork_mode, "no") == 0)
        return;
    each_descriptor(compare_descriptor, NULL);
    for (int fd = 0; fd < DESCRIPTORS_WATCHED; fd++)
        if (before[fd][0])
            ck_abort_msg("the test closed descriptor %d, which it found open: %s", fd, before[fd]);
}

static void compare_children(void)
{
    siginfo_t info = {0};
    if (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) < 0 &&
        errno == ECHILD)
        return;
    if (info.si_pid != 0)
        ck_abort_msg("the test left child %d behind, %s", (int)info.si_pid,
                     info.si_code == CLD_STOPPED ? "stopped" : "ended and not reaped");

    /* The list is a kernel option; without it the sentence has no number. */
    char children[128] = "";
    FILE *list = fopen("/proc/thread-self/children", "re");
    if (list) {
        if (!fgets(children, sizeof(children), list))
            children[0] = '\0';
        fclose(list);
    }
    ck_abort_msg("the test left a child running: %s", children);
}

static void compare_threads(void)
{
    /* pthread_join() returns a moment before the kernel takes the thread off its list. */
    size_t now = count_threads();
    for (int tries = 0; now > threads_before && tries < 200; tries++) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        now = count_threads();
    }
    if (now > threads_before)
        ck_abort_msg("the test left %zu more threads running than it found", now - threads_before);
}

static void compare(void)
{
    /* A test may have used up its descriptors or lowered the limit; looking around takes some. */
    struct rlimit limit = get_descriptor_limit();
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    compare_children();
    compare_threads();
    compare_descriptors();
}

/* Under valgrind, which shows itself where a test crashes, the notes take longer than the tests. */
void harness_note(const char *file, int line)
{
    if (!notes_are_idle)
        (_mark_point)(file, line);
}

bool harness_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");
    return preloaded && strstr(preloaded, "vgpreload");
}

void harness_skipped(const char *reason)
{
    printf("skipped: %s: %s\n", tcase_name(), reason);
    fflush(stdout);
}

void harness_child_fail(const char *file, int line, const char *condition)
{
    dprintf(STDERR_FILENO, "%s:%d: in a child: '%s' does not hold\n", file, line, condition);
    _exit(HARNESS_CHILD_FAILED);
}

bool harness_fast(void)
{
    return getenv("DUPLEX_TEST_FAST") != NULL;
}

int harness_main(const char *suite_name, const struct harness_test *tests, size_t count)
{
    if (HARNESS_ASAN || HARNESS_MSAN)
        setenv("CK_TIMEOUT_MULTIPLIER", "4", 0);
    if (HARNESS_TSAN || harness_valgrind())
        setenv("CK_TIMEOUT_MULTIPLIER", "15", 0);
    notes_are_idle = harness_valgrind();
    /* The same tests once more, in conversations that take to the fast lane as soon as they can. */
    if (harness_fast())
        dxi_lane_worth = 0;

    const char *only = getenv("DUPLEX_TEST");
    size_t chosen = 0;
    Suite *suite = suite_create(suite_name);
    for (size_t i = 0; i < count; i++) {
        const char *name = (*tests[i].test)->name;
        if (only && *only && strcmp(only, name) != 0)
            continue;
        TCase *test_case = tcase_create(name);
        tcase_set_timeout(test_case, tests[i].seconds > 0 ? tests[i].seconds : DEFAULT_SECONDS);
        tcase_add_checked_fixture(test_case, record, compare);
        tcase_add_test(test_case, *tests[i].test);
        suite_add_tcase(suite, test_case);
        chosen++;
    }
    if (chosen == 0) {
        fprintf(stderr, "%s: no test is called '%s'\n", suite_name, only ? only : "");
        return EXIT_FAILURE;
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
