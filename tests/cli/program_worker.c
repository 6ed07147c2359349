/* SPDX-License-Identifier: MIT */
/*
 * A worker of `duplex map` for the tests: program_worker [-f FRAMING] [-e JOBS] [-m] [-c] [-s FILE].
 * It converses by standard input and output, or natively by DUPLEX_FD. -e: it exits after so many
 * jobs; -m: it says a first message; -c: it cannot start, and says why; -s: it adds a line to FILE
 * for each job that it is given. It answers a job with the same, but for these:
 *
 *   pid            its process id
 *   wait MS        the same after a while
 *   kill N         no answer: it is ended by signal N
 *   exit N         no answer: it exits with N
 *   once FILE      as "kill 9" if there is no such file, which is made; else the same
 *   hang           no answer, for ever
 *   stop           no answer: it stops itself by SIGSTOP
 *   twice          the same, twice
 *   half           the beginning of an answer, and then it dies
 *   garbage        what is no message of its framing
 *   grow           the same, with 64 MB more in its memory
 *   refuse         native: an error
 *   long           65 times 4096 bytes
 *   newline        two lines
 */
#include <duplex.h>

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define LONG_SIZE (65 * 4096)
#define GROWTH ((size_t)64 << 20)

typedef struct worker {
    dx_channel *parent;
    dx_framing framing;
    int out; /* the bytes of the conversation, past the channel */
    const char *seen;
    char *job; /* while it is at work; a job may end it, and it is no leak then */
} worker;

static void die_of(int number)
{
    const struct rlimit no_core = {0};

    setrlimit(RLIMIT_CORE, &no_core);
    signal(number, SIG_DFL); /* a sanitizer may have taken it */
    raise(number);
}

static void write_past(const worker *self, const char *text)
{
    if (write(self->out, text, strlen(text)) < 0)
        exit(1);
}

static void answer(const worker *self, uint64_t id, const void *data, size_t size)
{
    int result = id ? dx_reply(self->parent, id, data, size, DX_FOREVER)
                    : dx_send(self->parent, data, size, DX_FOREVER);

    if (result < 0)
        exit(1);
}

static void wait_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&time, NULL);
}

static void note(const worker *self, const char *job)
{
    FILE *file = self->seen ? fopen(self->seen, "a") : NULL;

    if (file) {
        fprintf(file, "%s\n", job);
        fclose(file);
    }
}

/* Jobs after which there is no answer, mostly. */
static void misbehave(const worker *self, const char *job)
{
    char file[256];
    int number;

    if (sscanf(job, "kill %d", &number) == 1)
        die_of(number);
    else if (sscanf(job, "exit %d", &number) == 1)
        exit(number);
    else if (sscanf(job, "once %255s", file) == 1 && access(file, F_OK) != 0) {
        close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        die_of(SIGKILL);
    } else if (strcmp(job, "hang") == 0) {
        for (;;)
            pause();
    } else if (strcmp(job, "stop") == 0) {
        raise(SIGSTOP);
    } else if (strcmp(job, "half") == 0) {
        write_past(self, "5:ha");
        die_of(SIGKILL);
    } else if (strcmp(job, "garbage") == 0) {
        write_past(self, "nonsense");
        wait_ms(60000);
    }
}

static void do_job(const worker *self, uint64_t id, const char *job, size_t size)
{
    static char large[LONG_SIZE];
    char text[32];
    int number;

    note(self, job);
    misbehave(self, job);
    if (strcmp(job, "pid") == 0) {
        snprintf(text, sizeof(text), "%d", (int)getpid());
        answer(self, id, text, strlen(text));
        return;
    }
    if (strcmp(job, "refuse") == 0 && id) {
        dx_reply_error(self->parent, id, 42, "it has\nno taste", DX_FOREVER);
        return;
    }
    if (strcmp(job, "long") == 0) {
        memset(large, 'x', sizeof(large));
        answer(self, id, large, sizeof(large));
        return;
    }
    if (strcmp(job, "newline") == 0) {
        answer(self, id, "two\nlines", 9);
        return;
    }
    if (sscanf(job, "wait %d", &number) == 1)
        wait_ms(number);
    if (strcmp(job, "twice") == 0)
        answer(self, id, job, size);
    if (strcmp(job, "grow") == 0) {
        char *memory = malloc(GROWTH);

        if (memory)
            memset(memory, 1, GROWTH);
        fprintf(stderr, "%s", memory ? "" : "no memory\n");
    }
    answer(self, id, job, size);
}

static void work(worker *self, int jobs)
{
    dx_message message;

    while (dx_recv(self->parent, &message, DX_FOREVER) == 1) {
        size_t size = message.size;
        self->job = malloc(size + 1);
        if (!self->job)
            exit(1);
        memcpy(self->job, message.data, size);
        self->job[size] = '\0';
        do_job(self, message.kind == DX_REQUEST ? message.id : 0, self->job, size);
        free(self->job);
        if (jobs > 0 && --jobs == 0)
            return;
    }
}

int main(int argc, char **argv)
{
    worker self = {.framing = DX_FRAMING_LINE, .out = dup(STDOUT_FILENO)};
    dx_channel_options options = {0};
    dx_claim claim = {.handover = DX_HANDOVER_STDIO};
    bool speaks_first = false;
    int jobs = 0;
    int option;

    while ((option = getopt(argc, argv, "f:e:mcs:")) != -1) {
        switch (option) {
        case 'f':
            if (dx_framing_by_name(&self.framing, optarg) < 0)
                return 2;
            break;
        case 'e':
            jobs = atoi(optarg);
            break;
        case 'm':
            speaks_first = true;
            break;
        case 'c':
            fprintf(stderr, "no model was found\n");
            return 3;
        case 's':
            self.seen = optarg;
            break;
        default:
            return 2;
        }
    }
    options.framing = self.framing;
    if (self.framing == DX_FRAMING_NATIVE)
        claim.handover = DX_HANDOVER_ENV;
    if (dx_channel_claim(&self.parent, &claim, &options) < 0)
        return 1;
    if (speaks_first)
        dx_send(self.parent, "hello", 5, DX_FOREVER);
    work(&self, jobs);
    dx_channel_close(self.parent);
    close(self.out);
    return 0;
}
