/* SPDX-License-Identifier: MIT */
/*
 * The simulated kernel answers as Linux does. With arguments: COUNT [FIRST], or --seed N, or --child N.
 */
#include "harness.h"

#include "script.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRIPTS = 3000, CHILDREN = 60 };

typedef const char *script(uint64_t seed, const struct script_kernel *linux_kernel, bool traced);

static unsigned run(script *run_one, uint64_t first, uint64_t count)
{
    struct script_kernel at_hand = script_examine_kernel();
    unsigned failed = 0;

    if (!at_hand.exact)
        printf("skipped: full sockets: this kernel counts their memory in another way\n");
    if (at_hand.old)
        printf("skipped: SO_PASSRIGHTS: this kernel does not know it\n");
    for (uint64_t seed = first; seed < first + count && failed < 10; seed++) {
        const char *difference = run_one(seed, &at_hand, false);

        if (difference == NULL)
            continue;
        printf("script %" PRIu64 ": %s\n", seed, difference);
        failed++;
    }
    fflush(stdout);
    return failed;
}

START_TEST(test_linux_and_the_simulation_give_the_same_answers)
{
    unsigned scripts = harness_valgrind()  ? SCRIPTS / 50
                       : HARNESS_SANITIZED ? SCRIPTS / 4
                                           : SCRIPTS;

    if (HARNESS_TSAN)
        HARNESS_SKIP("it has one thread");
    ck_assert_uint_eq(run(script_run, 1, scripts), 0);
}
END_TEST

START_TEST(test_a_child_begins_and_ends_as_one_of_linux)
{
    if (HARNESS_TSAN)
        HARNESS_SKIP("it has one thread");
    ck_assert_uint_eq(run(script_run_child, 1, harness_valgrind() ? 5 : CHILDREN), 0);
}
END_TEST

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(test_linux_and_the_simulation_give_the_same_answers),
        TEST(test_a_child_begins_and_ends_as_one_of_linux),
    };

    if (argc == 3 && argv[1][0] == '-') {
        struct script_kernel at_hand = script_examine_kernel();
        uint64_t seed = strtoull(argv[2], NULL, 10);

        return (strcmp(argv[1], "--child") == 0 ? script_run_child : script_run)(seed, &at_hand,
                                                                                 true) != NULL;
    }
    if (argc > 1) {
        uint64_t count = strtoull(argv[1], NULL, 10);
        uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
        unsigned failed = run(script_run, first, count);

        failed += run(script_run_child, first, count / 40);
        printf("scripts: %" PRIu64 " on Linux and on the simulation, %u differ\n",
               count + count / 40, failed);
        return failed > 0;
    }
    return harness_main("simulation_kernel", tests, sizeof(tests) / sizeof(tests[0]));
}
