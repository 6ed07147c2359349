/* SPDX-License-Identifier: MIT */
/*
 * The inputs that are kept in tests/fuzz/corpus, each shown to its target. A failure aborts.
 */
#include "harness.h"
#include "targets.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX = 1 << 16 };

static void show_file(const struct target *target, const char *folder, const char *name)
{
    static uint8_t room[INPUT_MAX];
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "re");

    ck_assert_msg(file != NULL, "cannot open %s: %s", path, strerror(errno));
    size_t size = fread(room, 1, sizeof(room), file);

    fclose(file);
    /* In memory of this size, so that a sanitizer sees who looks further. */
    uint8_t *data = malloc(size > 0 ? size : 1);

    memcpy(data, room, size);
    target->run(target, data, size);
    free(data);
}

static void show_corpus(const char *name)
{
    char folder[2048];
    const struct target *target = targets;
    size_t count = 0;

    while (strcmp(target->name, name) != 0)
        ck_assert_ptr_ne(++target, targets + target_count);
    snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s", DUPLEX_TEST_SOURCE, name);
    DIR *directory = opendir(folder);

    ck_assert_msg(directory != NULL, "cannot open %s: %s", folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        show_file(target, folder, entry->d_name);
        count++;
    }
    closedir(directory);
    ck_assert_uint_ge(count, 5);
}

START_TEST(test_kept_input_of_the_native_decoder)
{
    show_corpus("native");
}
END_TEST

START_TEST(test_kept_input_of_decoders_that_look_for_an_end)
{
    show_corpus("ended");
}
END_TEST

START_TEST(test_kept_input_of_decoders_that_read_a_length)
{
    show_corpus("sized");
}
END_TEST

START_TEST(test_kept_input_of_the_decoder_of_headers)
{
    show_corpus("content-length");
}
END_TEST

START_TEST(test_kept_input_of_the_decoder_of_node)
{
    show_corpus("node");
}
END_TEST

START_TEST(test_kept_input_of_the_channel)
{
    show_corpus("channel");
}
END_TEST

START_TEST(test_kept_input_of_whole_conversations)
{
    show_corpus("conversation");
}
END_TEST

START_TEST(test_kept_input_of_the_lane)
{
    show_corpus("lane");
}
END_TEST

HARNESS_MAIN("fuzz", TEST(test_kept_input_of_the_native_decoder),
             TEST(test_kept_input_of_decoders_that_look_for_an_end),
             TEST(test_kept_input_of_decoders_that_read_a_length),
             TEST(test_kept_input_of_the_decoder_of_headers),
             TEST(test_kept_input_of_the_decoder_of_node), TEST(test_kept_input_of_the_channel),
             TEST(test_kept_input_of_whole_conversations), TEST(test_kept_input_of_the_lane))
