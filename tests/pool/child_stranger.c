/* SPDX-License-Identifier: MIT */
/*
 * A native worker that speaks the protocol by hand, without the library, and as badly as its jobs
 * say. The argument "silent" has it never greet. Each job is answered with the same bytes, but:
 *
 *   twice     is answered with "first", and then with "second"
 *   garbage   is answered with bytes that are no frame
 *   half      is answered with the first half of a frame; exit with 0
 *   stranger  is answered under an id that was never used, and then rightly
 *   message   a MESSAGE comes in place of its answer
 *   request   a REQUEST comes in place of its answer
 *   mute      is not answered; exit with 0
 *   pieces    is answered in two pieces, "one" and "two"
 *   unfinished  is answered with one piece that is not the last; exit with 0
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEADER_SIZE = 16,
    HELLO = 1,
    MESSAGE = 2,
    REQUEST = 3,
    REPLY = 4,
    MORE = 1,
    JOB_MAX = 65536
};

static int channel;

static void store(uint8_t *bytes, size_t size, uint64_t number)
{
    while (size > 0) {
        bytes[--size] = (uint8_t)number;
        number >>= 8;
    }
}

static uint64_t load(const uint8_t *bytes, size_t size)
{
    uint64_t number = 0;

    for (size_t i = 0; i < size; i++)
        number = number << 8 | bytes[i];
    return number;
}

static void say_bytes(const void *bytes, size_t size)
{
    for (const char *at = bytes; size > 0;) {
        ssize_t sent = send(channel, at, size, MSG_NOSIGNAL);

        if (sent <= 0)
            _exit(91);
        at += sent;
        size -= (size_t)sent;
    }
}

static void say_header(uint8_t kind, uint8_t flags, uint64_t id, size_t size)
{
    uint8_t header[HEADER_SIZE] = {[4] = kind, [5] = flags};

    store(header, 4, size);
    store(header + 8, 8, id);
    say_bytes(header, sizeof(header));
}

static void say(uint8_t kind, uint64_t id, const char *text)
{
    say_header(kind, 0, id, strlen(text));
    say_bytes(text, strlen(text));
}

static void greet(void)
{
    uint8_t hello[20] = {0};

    store(hello, 2, 1);           /* version */
    store(hello + 8, 8, 1 << 20); /* message limit */
    store(hello + 16, 4, 1024);   /* request limit */
    say_header(HELLO, 0, 0, sizeof(hello));
    say_bytes(hello, sizeof(hello));
}

static void hear(uint8_t *bytes, size_t size)
{
    if (size > 0 && recv(channel, bytes, size, MSG_WAITALL) != (ssize_t)size)
        _exit(0);
}

static void answer(uint64_t id, const char *job)
{
    if (strcmp(job, "twice") == 0) {
        say(REPLY, id, "first");
        say(REPLY, id, "second");
    } else if (strcmp(job, "garbage") == 0) {
        for (int i = 0; i < 16; i++)
            say_bytes("garbage ", 8);
    } else if (strcmp(job, "half") == 0) {
        say_header(REPLY, 0, id, 100);
        say_bytes("half an ans", 11);
        _exit(0);
    } else if (strcmp(job, "stranger") == 0) {
        say(REPLY, id + 1000000, "for whom?");
        say(REPLY, id, job);
    } else if (strcmp(job, "message") == 0) {
        say(MESSAGE, 0, "by the way");
    } else if (strcmp(job, "request") == 0) {
        say(REQUEST, 7, "and what do you think?");
    } else if (strcmp(job, "mute") == 0) {
        _exit(0);
    } else if (strcmp(job, "pieces") == 0) {
        say_header(REPLY, MORE, id, 3);
        say_bytes("one", 3);
        say(REPLY, id, "two");
    } else if (strcmp(job, "unfinished") == 0) {
        say_header(REPLY, MORE, id, 3);
        say_bytes("one", 3);
        _exit(0);
    } else {
        say(REPLY, id, job);
    }
}

int main(int argc, char **argv)
{
    const char *number = getenv("DUPLEX_FD");
    static uint8_t job[JOB_MAX + 1];
    uint8_t header[HEADER_SIZE];

    alarm(300);
    if (number == NULL)
        return 92;
    channel = atoi(number);
    if (argc < 2 || strcmp(argv[1], "silent") != 0)
        greet();
    for (;;) {
        hear(header, sizeof(header));
        size_t size = load(header, 4);

        if (size > JOB_MAX)
            return 93;
        hear(job, size);
        job[size] = '\0';
        if (header[4] == REQUEST)
            answer(load(header + 8, 8), (const char *)job);
    }
}
