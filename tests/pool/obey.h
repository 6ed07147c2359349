/* SPDX-License-Identifier: MIT */
/*
 * A worker that does what its job says, and as badly. A job that does not begin with '!' is answered
 * with the same bytes.
 *
 *   !pid             answer with this process's pid
 *   !count           answer with how many jobs this worker had, this one included
 *   !env NAME        answer with this variable of the environment, or "-"
 *   !where           answer with the working directory
 *   !size N          answer with N bytes 'x'
 *   !sleep MS        answer "slept" after so long
 *   !error CODE TEXT answer with an error
 *   !refuse CODE     return this from the handler
 *   !raise SIGNAL    be killed by this signal, or stopped; answer "went on" if it was not
 *   !exit CODE       exit with this, and without an answer
 *   !last CODE       answer "last", and exit with this
 *   !final N         answer with N bytes 'x', and exit with 0
 *   !hang            never answer, do not die of SIGTERM before that was sent
 *   !stubborn        ignore SIGTERM, and never answer
 *   !deaf            close all descriptors, the channel's too, and never answer
 *   !once ADDRESS X  be killed by SIGKILL, unless the byte at this address (of memory that is shared
 *                    with the test) is not 0; set it. The second time answer X
 *   !slow ADDRESS X  the same with a hang
 *   !daemon ADDRESS  start a child that keeps all that this process has open, add its pid to the ints
 *                    at this address, of which the first is their number, and exit with 4
 *   !eat MIB         take so much memory and keep it; answer "full"; be killed by SIGABRT if there is
 *                    no more
 *   !stderr TEXT     say TEXT on standard error, and answer "said"
 *   !message TEXT    say TEXT to the parent as a message, and answer "told"
 *   !request TEXT    call the parent with TEXT, and answer "asked"
 *   !write TEXT      write TEXT to each descriptor that came along; answer how many those were
 *   !pipe TEXT       answer with the end of a pipe from which TEXT can be read
 */
#ifndef DUPLEX_TESTS_POOL_OBEY_H
#define DUPLEX_TESTS_POOL_OBEY_H

#include <duplex.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* No worker lives longer, whatever becomes of the test. */
enum { WORKER_LIFE_SECONDS = 300 };

static inline void obey_pause(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        continue;
}

_Noreturn static inline void obey_hang(void)
{
    for (;;)
        pause();
}

/* A sanitizer would catch it, and report. */
static inline void obey_raise(int number)
{
    signal(number, SIG_DFL);
    raise(number);
}

static inline int obey_text(dx_channel *parent, uint64_t id, const char *text)
{
    return dx_reply(parent, id, text, strlen(text), DX_FOREVER);
}

static inline int obey_number(dx_channel *parent, uint64_t id, long number)
{
    char text[32];

    snprintf(text, sizeof(text), "%ld", number);
    return obey_text(parent, id, text);
}

static inline int obey_size(dx_channel *parent, uint64_t id, size_t size)
{
    char *bytes = malloc(size + 1);

    if (bytes == NULL)
        return -ENOMEM;
    memset(bytes, 'x', size);
    int error = dx_reply(parent, id, bytes, size, DX_FOREVER);

    free(bytes);
    return error;
}

/* The first word is an address in memory that this worker shares with the test; *ret what follows. */
static inline void *obey_address(const char *words, const char **ret)
{
    char *end;
    uintptr_t address = (uintptr_t)strtoull(words, &end, 16);

    *ret = *end == ' ' ? end + 1 : end;
    return (void *)address; /* NOLINT: it came here as text */
}

static inline int obey_once(dx_channel *parent, uint64_t id, const char *words, int hang)
{
    const char *text;
    volatile char *flag = obey_address(words, &text);

    if (*flag)
        return obey_text(parent, id, text);
    *flag = 1;
    if (hang)
        obey_hang();
    raise(SIGKILL);
    return 0;
}

_Noreturn static inline void obey_daemon(const char *words)
{
    const char *rest;
    volatile int *daemons = obey_address(words, &rest);
    pid_t child = fork();

    if (child == 0) {
        alarm(60);
        obey_hang();
    }
    *daemons += 1;
    daemons[*daemons] = (int)child;
    _exit(4);
}

static inline int obey_eat(dx_channel *parent, uint64_t id, long mib)
{
    for (long i = 0; i < mib; i++) {
        volatile char *memory = malloc((size_t)1 << 20);

        if (memory == NULL)
            obey_raise(SIGABRT);
        for (size_t at = 0; memory != NULL && at < (size_t)1 << 20; at += 1024)
            memory[at] = 1;
    }
    return obey_text(parent, id, "full");
}

static inline int obey_write(dx_channel *parent, const dx_message *job, const char *text)
{
    for (size_t i = 0; i < job->descriptor_count; i++)
        if (write(job->descriptors[i], text, strlen(text)) < 0)
            return -errno;
    return obey_number(parent, job->id, (long)job->descriptor_count);
}

static inline int obey_pipe(dx_channel *parent, uint64_t id, const char *text)
{
    int ends[2];

    if (pipe(ends) < 0)
        return -errno;
    if (write(ends[1], text, strlen(text)) < 0)
        return -errno;
    close(ends[1]);
    dx_message reply = {.data = "pipe", .size = 4, .descriptors = &ends[0], .descriptor_count = 1};

    return dx_reply_message(parent, id, &reply, DX_FOREVER);
}

static inline int obey_error(dx_channel *parent, uint64_t id, const char *words)
{
    char *text;
    long code = strtol(words, &text, 10);

    return dx_reply_error(parent, id, (int)code, *text == ' ' ? text + 1 : NULL, DX_FOREVER);
}

/* Those that do not end well. Returns if it is none. */
static inline void obey_badly(dx_channel *parent, uint64_t id, const char *verb, const char *rest)
{
    if (strcmp(verb, "exit") == 0)
        _exit(atoi(rest));
    if (strcmp(verb, "last") == 0) {
        if (obey_text(parent, id, "last") < 0 || dx_flush(parent, DX_FOREVER) < 0)
            _exit(99);
        _exit(atoi(rest));
    }
    if (strcmp(verb, "final") == 0) {
        if (obey_size(parent, id, strtoul(rest, NULL, 10)) < 0 || dx_flush(parent, DX_FOREVER) < 0)
            _exit(99);
        _exit(0);
    }
    if (strcmp(verb, "hang") == 0)
        obey_hang();
    if (strcmp(verb, "stubborn") == 0) {
        signal(SIGTERM, SIG_IGN);
        obey_hang();
    }
    if (strcmp(verb, "deaf") == 0) {
        for (int fd = 0; fd < 1024; fd++)
            close(fd);
        obey_hang();
    }
    if (strcmp(verb, "daemon") == 0)
        obey_daemon(rest);
    if (strcmp(verb, "raise") == 0)
        obey_raise(atoi(rest));
}

/* Those that say more than the answer. 1: it is none of them. */
static inline int obey_aloud(dx_channel *parent, uint64_t id, const char *verb, const char *rest)
{
    if (strcmp(verb, "stderr") == 0) {
        if (write(STDERR_FILENO, rest, strlen(rest)) < 0)
            return -errno;
        return obey_text(parent, id, "said");
    }
    if (strcmp(verb, "message") == 0) {
        dx_send(parent, rest, strlen(rest), DX_FOREVER);
        return obey_text(parent, id, "told");
    }
    if (strcmp(verb, "request") == 0) {
        uint64_t own;

        dx_call_start(parent, rest, strlen(rest), &own, 10000);
        return obey_text(parent, id, "asked");
    }
    return 1;
}

static inline int obey_verb(dx_channel *parent, const dx_message *job, const char *verb,
                            const char *rest)
{
    static long count;

    count++;
    if (strcmp(verb, "pid") == 0)
        return obey_number(parent, job->id, getpid());
    if (strcmp(verb, "count") == 0)
        return obey_number(parent, job->id, count);
    if (strcmp(verb, "size") == 0)
        return obey_size(parent, job->id, strtoul(rest, NULL, 10));
    if (strcmp(verb, "error") == 0)
        return obey_error(parent, job->id, rest);
    if (strcmp(verb, "refuse") == 0)
        return atoi(rest);
    if (strcmp(verb, "once") == 0 || strcmp(verb, "slow") == 0)
        return obey_once(parent, job->id, rest, verb[0] == 's');
    if (strcmp(verb, "eat") == 0)
        return obey_eat(parent, job->id, atol(rest));
    if (strcmp(verb, "write") == 0)
        return obey_write(parent, job, rest);
    if (strcmp(verb, "pipe") == 0)
        return obey_pipe(parent, job->id, rest);
    if (strcmp(verb, "env") == 0)
        return obey_text(parent, job->id, getenv(rest) ? getenv(rest) : "-");
    if (strcmp(verb, "where") == 0) {
        char path[4096];

        return obey_text(parent, job->id, getcwd(path, sizeof(path)) ? path : "?");
    }
    if (strcmp(verb, "sleep") == 0) {
        obey_pause(atol(rest));
        return obey_text(parent, job->id, "slept");
    }
    int status = obey_aloud(parent, job->id, verb, rest);

    if (status <= 0)
        return status;
    obey_badly(parent, job->id, verb, rest);
    return obey_text(parent, job->id, "went on");
}

/* The handler for dx_work(). */
static inline int obey_job(dx_channel *parent, const dx_message *job, void *context)
{
    const char *bytes = job->data;
    char text[4096];

    (void)context;
    if (job->size == 0 || bytes[0] != '!' || job->size >= sizeof(text))
        return dx_reply(parent, job->id, job->data, job->size, DX_FOREVER);
    memcpy(text, bytes + 1, job->size - 1);
    text[job->size - 1] = '\0';
    char *rest = strchr(text, ' ');

    if (rest)
        *rest++ = '\0';
    return obey_verb(parent, job, text, rest ? rest : "");
}

#endif
