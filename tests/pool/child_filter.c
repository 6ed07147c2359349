/* SPDX-License-Identifier: MIT */
/*
 * A worker that knows nothing of duplex: reads jobs on standard input and answers each on standard
 * output, as lines, or in the framing that its first argument names: line, nul, netstring, u32. The
 * second may be "ready": say so in a message first. The answer to a job is "<JOB>"; to some:
 *
 *   !pid        this process's pid
 *   !raise N    none, but be killed by this signal, or stopped
 *   !exit N     none, but exit with this
 *   !last N     "last", and exit with this
 *   !twice      "once" and at once "again"
 *   !hang       none
 *   !half       the first half of one, and exit with 0
 *   !garbage    what is no message in this framing, where there is such a thing
 *   !long N     N bytes
 *   !final N    N bytes, and exit with 0
 *   !once FILE  be killed by SIGKILL, unless the file is there; make it. The second time "<done>"
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { JOB_MAX = 4 << 20, LIFE_SECONDS = 300 };

static const char *framing = "line";
static char job[JOB_MAX];

static bool framed(const char *name)
{
    return strcmp(framing, name) == 0;
}

/* Read up to a byte, which is dropped. False at the end, also in the middle of a job. */
static bool read_until(int last, size_t *ret_size)
{
    size_t size = 0;

    for (int byte; (byte = getchar()) != last; job[size++] = (char)byte)
        if (byte == EOF || size >= sizeof(job) - 1)
            return false;
    *ret_size = size;
    return true;
}

static bool read_job(size_t *ret_size)
{
    uint8_t length[4];

    if (framed("line"))
        return read_until('\n', ret_size);
    if (framed("nul"))
        return read_until('\0', ret_size);
    if (framed("netstring")) {
        size_t digits;

        if (!read_until(':', &digits))
            return false;
        job[digits] = '\0';
        *ret_size = strtoul(job, NULL, 10);
    } else {
        if (fread(length, 1, 4, stdin) != 4)
            return false;
        *ret_size = (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 |
                    (size_t)length[3];
    }
    if (*ret_size >= sizeof(job) || fread(job, 1, *ret_size, stdin) != *ret_size)
        return false;
    return !framed("netstring") || getchar() == ',';
}

static void begin(size_t size)
{
    if (framed("netstring"))
        printf("%zu:", size);
    for (int shift = 24; framed("u32") && shift >= 0; shift -= 8)
        putchar((int)(size >> shift & 0xff));
}

static void end(void)
{
    if (framed("line"))
        putchar('\n');
    if (framed("nul"))
        putchar('\0');
    if (framed("netstring"))
        putchar(',');
}

static void answer(const char *bytes, size_t size)
{
    begin(size);
    fwrite(bytes, 1, size, stdout);
    end();
}

static void answer_text(const char *text)
{
    answer(text, strlen(text));
}

static void answer_pid(void)
{
    char text[32];

    snprintf(text, sizeof(text), "%d", (int)getpid());
    answer_text(text);
}

static void answer_long(size_t size)
{
    begin(size);
    for (size_t i = 0; i < size; i++)
        putchar('x');
    end();
}

static void garbage(void)
{
    if (framed("netstring"))
        fputs("what is this?", stdout);
    else
        fputs("\xff\xff\xff\xff\xff", stdout); /* u32: longer than anybody takes */
}

_Noreturn static void die(int signal_number)
{
    signal(signal_number, SIG_DFL);
    raise(signal_number);
    _exit(93);
}

static void be_killed_once(const char *file)
{
    int fd = open(file, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    if (fd >= 0)
        raise(SIGKILL);
    answer_text("<done>");
}

static void obey(const char *verb, const char *rest)
{
    if (strcmp(verb, "pid") == 0)
        answer_pid();
    else if (strcmp(verb, "raise") == 0)
        die(atoi(rest));
    else if (strcmp(verb, "exit") == 0)
        _exit(atoi(rest));
    else if (strcmp(verb, "last") == 0) {
        answer_text("last");
        exit(atoi(rest));
    } else if (strcmp(verb, "twice") == 0) {
        answer_text("once");
        answer_text("again");
    } else if (strcmp(verb, "half") == 0) {
        begin(100);
        fputs("half an ans", stdout);
        exit(0);
    } else if (strcmp(verb, "garbage") == 0)
        garbage();
    else if (strcmp(verb, "long") == 0)
        answer_long(strtoul(rest, NULL, 10));
    else if (strcmp(verb, "final") == 0) {
        answer_long(strtoul(rest, NULL, 10));
        exit(0);
    } else if (strcmp(verb, "once") == 0)
        be_killed_once(rest);
    else
        pause();
}

int main(int argc, char **argv)
{
    size_t size;

    alarm(LIFE_SECONDS);
    if (argc > 1)
        framing = argv[1];
    if (argc > 2)
        answer_text("ready");
    for (fflush(stdout); read_job(&size); fflush(stdout)) {
        if (size > 0 && job[0] == '!') {
            job[size] = '\0';
            char *rest = strchr(job, ' ');

            if (rest)
                *rest++ = '\0';
            obey(job + 1, rest ? rest : "");
        } else {
            begin(size + 2);
            putchar('<');
            fwrite(job, 1, size, stdout);
            putchar('>');
            end();
        }
    }
    return 0;
}
