/* SPDX-License-Identifier: MIT */
/*
 * docs/hostile.md has a row for each misdeed that is tried. See common.h. With DUPLEX_TEST_ROWS the rows
 * are printed, for the document.
 */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROW_SIZE = 1024, TESTS_MAX = 64 };

static struct misdeed_test *first, **last = &first;
static const char *this_chapter;

void register_misdeed(struct misdeed_test *test)
{
    *last = test;
    last = &test->next;
}

/* Call visit with each line of the document, until it answers true. */
static bool read_document(bool (*visit)(const char *line, void *context), void *context)
{
    char line[ROW_SIZE];
    bool found = false;
    FILE *document = fopen(DUPLEX_TEST_SOURCE "/docs/hostile.md", "re");

    ck_assert_msg(document != NULL, "there is no docs/hostile.md");
    while (!found && fgets(line, sizeof(line), document) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        found = visit(line, context);
    }
    fclose(document);
    return found;
}

static bool is_row(const char *line, void *context)
{
    return strcmp(line, context) == 0;
}

/* As a reader knows it: `-EPROTO`. */
static const char *describe_answer(int answer)
{
    static const struct {
        int error;
        const char *name;
    } names[] = {
        {-EPROTO, "`-EPROTO`"},
        {-EPIPE, "`-EPIPE`"},
        {-ETIMEDOUT, "`-ETIMEDOUT`"},
        {-EMFILE, "`-EMFILE`"},
        {-EDEADLK, "`-EDEADLK`"},
        {-EPERM, "`-EPERM`"},
        {-ENOENT, "`-ENOENT`"},
        {-ETOOMANYREFS, "`-ETOOMANYREFS`"},
        {-ECONNABORTED, "`-ECONNABORTED`"},
        {-EREMOTEIO, "`-EREMOTEIO`"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (names[i].error == answer)
            return names[i].name;
    }
    ck_assert_msg(answer >= 0, "the answer %d has no name here", answer);
    return answer == 0 ? "`0`" : "as ever";
}

void expect_in_document(const char *does, const char *over, const char *call, int answer,
                        const char *says)
{
    char row[ROW_SIZE];

    snprintf(row, sizeof(row), "| %s | %s | `%s()` | %s | %s |", does, over, call,
             describe_answer(answer), says ? says : "");
    if (getenv("DUPLEX_TEST_ROWS") != NULL) {
        printf("%s\n", row);
        fflush(stdout);
        return;
    }
    ck_assert_msg(read_document(is_row, row), "docs/hostile.md lacks the row: %s", row);
}

struct count {
    char heading[64];
    bool within;
    unsigned rows;
};

static bool count_row(const char *line, void *context)
{
    struct count *count = context;

    if (line[0] == '#')
        count->within = strcmp(line, count->heading) == 0;
    else if (count->within && line[0] == '|')
        count->rows++;
    return false;
}

/* Two lines more are the table's head. */
START_TEST(test_the_document_has_a_row_for_each_and_no_others)
{
    struct count count = {.rows = 0};
    unsigned wanted = 0;

    for (struct misdeed_test *test = first; test != NULL; test = test->next)
        wanted++;
    snprintf(count.heading, sizeof(count.heading), "## %s", this_chapter);
    read_document(count_row, &count);
    ck_assert_uint_eq(count.rows, wanted + 2);
}
END_TEST

int hostile_main(const char *chapter)
{
    static struct harness_test tests[TESTS_MAX];
    size_t count = 0;

    this_chapter = chapter;
    for (struct misdeed_test *test = first; test != NULL && count < TESTS_MAX - 1;
         test = test->next)
        tests[count++] = (struct harness_test){test->test, test->seconds};
    tests[count++] = (struct harness_test)TEST(test_the_document_has_a_row_for_each_and_no_others);
    return harness_main(chapter, tests, count);
}
