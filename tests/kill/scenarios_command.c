/* SPDX-License-Identifier: MIT */
/*
 * The command as the parent: `duplex talk` and `duplex map` with a program that has a child of its own, and `duplex demo`.
 * It takes the place of the parent's process, so that all it does from its first instruction on is a
 * place to die. What it writes goes onto the board.
 */
#include "kill.h"

#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Leaves somebody in its group who hears nothing of any end. */
static const char program[] = "sleep 60 <&- >&- 2>&- & exec cat";

enum { TALK, MAP, DEMO, LINE_SIZE = 200 };

/* What the command says when its child was killed: 128 and SIGKILL. */
enum { STATUS_KILLED = 128 + SIGKILL, STATUS_FAILED = 125 };

static const char *const heard[2] = {"child-->father:i am your child\n",
                                     "father-->child:i am your father\n"};

/* It may lie in a folder that somebody hides: see folders_make_private(). */
static int command_fd = -1;

bool has_command(void)
{
    if (command_fd < 0)
        command_fd = open(kill_command, O_PATH | O_CLOEXEC);
    return command_fd >= 0;
}

/* Line `number` of the input, and so of the output. Returns its size. */
static size_t write_line(const struct variation *is, unsigned number, char *line)
{
    size_t room = is->size < LINE_SIZE - 20 ? is->size : LINE_SIZE - 20;

    return (size_t)snprintf(line, LINE_SIZE, "%u:%.*s\n", number, (int)(room * (number % 3) / 2),
                            "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmno"
                            "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmno"
                            "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcd");
}

static bool be_input(const struct variation *is)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    char line[LINE_SIZE];

    if (fd < 0)
        return false;
    for (unsigned i = 0; i < is->count; i++) {
        size_t size = write_line(is, i, line);

        if (write(fd, line, size) != (ssize_t)size)
            return false;
    }
    return lseek(fd, 0, SEEK_SET) == 0 && dup2(fd, 0) == 0;
}

/* The board has an output of its own, with its own place to write to. */
static bool be_output(const struct play *play)
{
    char path[64];
    off_t place = offsetof(struct board, output);

    snprintf(path, sizeof(path), "/proc/self/fd/%d", play->board_fd);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

    return fd >= 0 && nowhere >= 0 && lseek(fd, place, SEEK_SET) == place && dup2(fd, 1) == 1 &&
           dup2(nowhere, 2) == 2;
}

void command_parent(struct play *play)
{
    const struct variation *is = &play->is;
    const char *framing = is->lane ? "line" : "raw";
    char workers[16], rounds[16];
    const char *const commands[][12] = {
        [TALK] = {kill_command, "talk", "--framing", framing, "--", "sh", "-c", program, NULL},
        [MAP] = {kill_command, "map", "--jobs", workers, "--retries", "3", "--", "sh", "-c",
                 program, NULL},
        [DEMO] = {kill_command, "demo", "--interval", "0", "--rounds", rounds, NULL},
    };

    snprintf(workers, sizeof(workers), "%u", is->workers);
    snprintf(rounds, sizeof(rounds), "%u", is->count);
    /* Who is traced cannot look for leaks. */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    if (!has_command() || !be_input(is) || !be_output(play)) {
        complain(play, "the command is not there, or has no input or output");
        return;
    }
    fexecve(command_fd, (char *const *)commands[is->manner], environ);
    complain(play, "the command cannot be executed");
}

void command_child(struct play *play, dx_channel *channel)
{
    (void)play;
    (void)channel;
}

/* How many lines have been written, one after the other as they should be; or SIZE_MAX. */
static size_t count_lines(const struct variation *is, const char *output)
{
    char line[LINE_SIZE];
    size_t count = 0;

    for (; count < is->count; count++) {
        size_t size = write_line(is, (unsigned)count, line);

        if (strncmp(output, line, size) != 0)
            return strncmp(output, line, strlen(output)) == 0 ? count : SIZE_MAX;
        output += size;
    }
    return *output == '\0' ? count : SIZE_MAX;
}

/* The same of the demo, whose two sides write each a line a round. */
static size_t count_rounds(const struct variation *is, const char *output)
{
    size_t said[2] = {0};

    while (*output != '\0') {
        int who = strncmp(output, heard[1], strlen(heard[1])) == 0;

        if (strncmp(output, heard[who], strlen(heard[who])) != 0)
            return SIZE_MAX;
        output += strlen(heard[who]);
        said[who]++;
    }
    if (said[0] > is->count || said[1] > is->count)
        return SIZE_MAX;
    return said[0] < said[1] ? said[0] : said[1];
}

void judge_command(const struct point *point, const struct board *board,
                   const struct outcome *outcome, char *text, size_t size)
{
    struct variation is;
    int status = outcome->parent_status;

    vary(&is, point->scenario, point->round);
    size_t lines =
        is.manner == DEMO ? count_rounds(&is, board->output) : count_lines(&is, board->output);

    if (lines == SIZE_MAX)
        snprintf(text, size, "the output is another: '%.200s'", board->output);
    else if (outcome->reached && point->victim == PARENT && WIFSIGNALED(status) &&
             WTERMSIG(status) == SIGKILL)
        return; /* whoever was left has ended: else it hangs */
    else if (outcome->left > outcome->killed)
        snprintf(text, size, "%u processes were left behind by the command", outcome->left);
    else if (!WIFEXITED(status))
        snprintf(text, size, "the command ended with the status 0x%x", (unsigned)status);
    else if (WEXITSTATUS(status) == 0 && lines < is.count)
        snprintf(text, size, "the command says that all is well after %zu of %u lines", lines,
                 is.count);
    else if (WEXITSTATUS(status) != 0 &&
             (!outcome->reached || is.manner == MAP ||
              (WEXITSTATUS(status) != STATUS_KILLED && WEXITSTATUS(status) != STATUS_FAILED)))
        snprintf(text, size, "the command exited with %d", WEXITSTATUS(status));
}
