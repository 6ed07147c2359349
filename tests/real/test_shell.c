/* SPDX-License-Identifier: MIT */
/* The shell and its filters, which speak in lines and in names that end with a NUL byte. */
#include "partner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUESTIONS 1000
#define FILES 1000

static const dx_handover both_ways[] = {DX_HANDOVER_STDIO, DX_HANDOVER_PIPES};

#define EACH_WAY(way) (size_t way = 0; (way) < sizeof(both_ways) / sizeof(*both_ways); (way)++)

static dx_process *start_filter(char *const argv[], dx_framing framing, dx_handover handover)
{
    const dx_process_options options = {.channel = {.framing = framing}, .handover = handover};

    return start(argv, &options);
}

/* With a command and a socket for its input, bash takes itself for a remote shell and reads ~/.bashrc. */
START_TEST(test_bash_answers_each_line_at_once)
{
    static char script[] =
        "n=0; while IFS= read -r line; do n=$((n + 1)); printf '%s: %s\\n' \"$n\" \"$line\"; done\n"
        "printf 'the rest: %s' \"$line\"; exit 3";

    NEED("bash");
    for
        EACH_WAY(way)
        {
            dx_process *process =
                start_filter(ARGV("bash", "--norc", "-c", script), DX_FRAMING_LINE, both_ways[way]);
            dx_channel *channel = dx_process_channel(process);
            char question[64], answer[80];

            for (int i = 1; i <= QUESTIONS; i++) {
                snprintf(question, sizeof(question), "  i am your\tfather \\%d  ", i);
                snprintf(answer, sizeof(answer), "%d: %s", i, question);
                send_text(channel, question);
                expect_text(channel, answer);
            }
            ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
            /* A last line counts that has no end. */
            expect_text(channel, "the rest: ");
            expect_end(channel);
            expect_exit(process, 3);
        }
}
END_TEST

START_TEST(test_bash_opens_dev_stdin_only_on_pipes)
{
    static char script[] =
        "while IFS= read -r line; do echo \"<$line>\"; done </dev/stdin || exit 5";

    NEED("bash");
    dx_process *process =
        start_filter(ARGV("bash", "--norc", "-c", script), DX_FRAMING_LINE, DX_HANDOVER_PIPES);
    dx_channel *channel = dx_process_channel(process);

    send_text(channel, "one");
    expect_text(channel, "<one>");
    ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
    expect_end(channel);
    expect_exit(process, 0);

    const dx_process_options on_a_socket = {.channel = {.framing = DX_FRAMING_LINE},
                                            .handover = DX_HANDOVER_STDIO,
                                            .stdio[2].mode = DX_STDIO_PIPE};

    process = start(ARGV("bash", "--norc", "-c", script), &on_a_socket);
    int complaints = dx_process_take_stdio(process, 2);

    expect_end(dx_process_channel(process));
    expect_exit(process, 5);
    ck_assert_ptr_nonnull(strstr(read_to_end(complaints), "/dev/stdin"));
}
END_TEST

static char folder[] = "/tmp/duplex-find-XXXXXX";

/* What a file may be called: everything but '/' and NUL. */
static void name_file(char *ret, size_t size, int number)
{
    static const char *const oddities[] = {"\n", "a\nb",         "\n\n",    " ",     "\r\n",
                                           "\\", "\x7f\xff\x01", "-print0", "'\"*$?"};
    const size_t count = sizeof(oddities) / sizeof(*oddities);

    if ((size_t)number < count)
        snprintf(ret, size, "%s", oddities[number]);
    else
        snprintf(ret, size, "file\n%d", number);
}

static void enter_a_folder_of_files(void)
{
    char name[64];

    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    for (int i = 0; i < FILES; i++) {
        name_file(name, sizeof(name), i);
        int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

        ck_assert_int_ge(fd, 0);
        close(fd);
    }
}

static void leave_it(void)
{
    char name[64];

    for (int i = 0; i < FILES; i++) {
        name_file(name, sizeof(name), i);
        unlink(name);
    }
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}

/* Remove each file that is named, so that a name which comes twice is noticed, and a wrong one. */
static int receive_names(dx_channel *channel)
{
    char name[64];
    dx_message message;
    int count = 0;
    int result;

    while ((result = dx_recv(channel, &message, PATIENCE_MS)) == 1) {
        ck_assert_uint_gt(message.size, 2);
        ck_assert_uint_lt(message.size, sizeof(name));
        memcpy(name, message.data, message.size);
        name[message.size] = '\0';
        ck_assert_msg(unlink(name) == 0, "'%s' is not there", name);
        count++;
    }
    ck_assert_int_eq(result, 0);
    return count;
}

START_TEST(test_find_names_each_file_whole)
{
    NEED("find");
    for
        EACH_WAY(way)
        {
            strcpy(folder + strlen(folder) - 6, "XXXXXX");
            enter_a_folder_of_files();
            dx_process *process = start_filter(ARGV("find", ".", "-type", "f", "-print0"),
                                               DX_FRAMING_NUL, both_ways[way]);
            ck_assert_int_eq(receive_names(dx_process_channel(process)), FILES);
            expect_exit(process, 0);
            leave_it();
        }
}
END_TEST

START_TEST(test_sort_and_xargs_take_what_ends_with_nul)
{
    NEED("sort");
    NEED("xargs");
    static char script[] = "sort -z | xargs -0 printf '<%s>\\0'";

    for
        EACH_WAY(way)
        {
            dx_process *process =
                start_filter(ARGV("sh", "-c", script), DX_FRAMING_NUL, both_ways[way]);
            dx_channel *channel = dx_process_channel(process);

            send_text(channel, "two\nlines");
            send_text(channel, "");
            send_text(channel, "one");
            ck_assert_int_eq(dx_send(channel, "a\0b", 3, 0), -EINVAL);
            ck_assert_int_eq(dx_channel_end(channel, PATIENCE_MS), 0);
            expect_text(channel, "<>");
            expect_text(channel, "<one>");
            expect_text(channel, "<two\nlines>");
            expect_end(channel);
            expect_exit(process, 0);
        }
}
END_TEST

HARNESS_MAIN("real_shell", TEST_WITHIN(test_bash_answers_each_line_at_once, 60),
             TEST(test_bash_opens_dev_stdin_only_on_pipes),
             TEST_WITHIN(test_find_names_each_file_whole, 60),
             TEST(test_sort_and_xargs_take_what_ends_with_nul))
