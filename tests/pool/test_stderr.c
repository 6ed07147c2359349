/* SPDX-License-Identifier: MIT */
/*
 * What workers write on standard error.
 */
#include "common.h"

#include <fcntl.h>
#include <sys/wait.h>

enum { PLACES = 8, HEARD_MAX = 1 << 20 };

struct ear {
    char heard[PLACES][HEARD_MAX];
    size_t size[PLACES];
    bool deaf; /* somebody said more than there is room for, or from no place */
};

static void hear(void *context, unsigned worker, const char *bytes, size_t size)
{
    struct ear *ear = context;

    if (worker >= PLACES || size > HEARD_MAX - 1 - ear->size[worker]) {
        ear->deaf = true;
        return;
    }
    memcpy(ear->heard[worker] + ear->size[worker], bytes, size);
    ear->size[worker] += size;
}

static size_t heard_in_all(const struct ear *ear)
{
    size_t size = 0;

    for (int i = 0; i < PLACES; i++)
        size += ear->size[i];
    return size;
}

START_TEST(test_the_handler_hears_who_said_what)
{
    struct ear *ear = calloc(1, sizeof(*ear));
    dx_pool_options options = {.workers = 3, .on_stderr = hear, .stderr_context = ear};
    char expected[PLACES][8192] = {""};

    for (int program = 0; program < 2; program++) {
        dx_pool *pool = program ? open_program(ARGV(WORKER), &options) : open_obedient(&options);

        memset(ear, 0, sizeof(*ear));
        memset(expected, 0, sizeof(expected));
        for (int i = 0; i < 60; i++) {
            char line[64];

            submitf(pool, "!stderr line %d of this test\n", i);
            dx_result result = next(pool);

            assert_answered(pool, &result);
            snprintf(line, sizeof(line), "line %d of this test\n", i);
            strcat(expected[result.worker], line);
        }
        finish(pool);
        ck_assert(!ear->deaf);
        for (int i = 0; i < PLACES; i++)
            ck_assert_str_eq(ear->heard[i], expected[i]);
    }
    free(ear);
}
END_TEST

/* The last words of one that dies, and of one that leaves when the pool is closed. */
START_TEST(test_last_words_are_heard)
{
    struct ear *ear = calloc(1, sizeof(*ear));
    dx_pool_options options = {.workers = 1, .on_stderr = hear, .stderr_context = ear};
    dx_pool *pool = open_program(ARGV(WORKER, "bye"), &options);

    submit(pool, "!stderr help!\n");
    submit(pool, "!raise 9");
    expect_answer(pool, 1, "said");
    expect_failure(pool, 2, -EPIPE);
    ck_assert_str_eq(ear->heard[0], "help!\n");
    ck_assert_str_eq(ask(pool, "x"), "x");
    dx_pool_close(pool);
    ck_assert_str_eq(ear->heard[0], "help!\nbye\n");
    free(ear);
}
END_TEST

/* More than a pipe holds, without an answer: who writes is not kept waiting for ever. */
static int talk_much(dx_channel *parent, const dx_message *job, void *context)
{
    static char line[1000];

    (void)context;
    memset(line, 'e', sizeof(line));
    for (int i = 0; i < 500; i++)
        if (write(STDERR_FILENO, line, sizeof(line)) != (ssize_t)sizeof(line))
            return -EIO;
    return dx_reply(parent, job->id, "done", 4, DX_FOREVER);
}

static int work_aloud(dx_channel *parent, void *context)
{
    return dx_work(parent, talk_much, context);
}

START_TEST(test_much_is_heard)
{
    struct ear *ear = calloc(1, sizeof(*ear));
    dx_pool_options options = {.workers = 2, .on_stderr = hear, .stderr_context = ear};
    dx_pool *pool = open_function(work_aloud, NULL, &options);

    submit(pool, "x");
    submit(pool, "x");
    expect_answer(pool, 0, "done");
    expect_answer(pool, 0, "done");
    dx_pool_close(pool);
    ck_assert(!ear->deaf);
    ck_assert_uint_eq(heard_in_all(ear), 1000000);
    free(ear);
}
END_TEST

/* Have a file in place of standard error while the pool lives; what it holds in the end. */
static const char *through_stderr(const dx_pool_options *options)
{
    static char text[8192];
    char path[] = "/tmp/duplex-stderr-XXXXXX";
    int saved = dup(STDERR_FILENO), file = mkstemp(path);

    ck_assert_int_ge(file, 0);
    unlink(path);
    dup2(file, STDERR_FILENO);
    dx_pool *pool = open_program(ARGV(WORKER, "bye"), options);

    for (int i = 0; i < 20; i++) {
        submit(pool, "!stderr words\n");
        expect_answer(pool, 0, "said");
    }
    dx_pool_close(pool);
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t size = pread(file, text, sizeof(text) - 1, 0);

    close(file);
    ck_assert_int_ge(size, 0);
    text[size] = '\0';
    return text;
}

static size_t count_lines(const char *text, const char *line)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, line)); at += strlen(line))
        count++;
    return count;
}

START_TEST(test_it_is_passed_on)
{
    const char *text = through_stderr(&(dx_pool_options){.workers = 2});

    ck_assert_msg(count_lines(text, "words\n") == 20, "%s", text);
    ck_assert_msg(count_lines(text, "bye\n") == 2, "%s", text);
}
END_TEST

START_TEST(test_with_another_standard_error_it_is_not_read)
{
    struct ear *ear = calloc(1, sizeof(*ear));
    dx_pool_options options = {
        .workers = 1,
        .on_stderr = hear,
        .stderr_context = ear,
        .process.stdio[2].mode = DX_STDIO_NULL,
    };

    ck_assert_str_eq(through_stderr(&options), "");
    char path[] = "/tmp/duplex-stderr-XXXXXX", text[64] = "";
    int file = mkstemp(path);

    unlink(path);
    options.process.stdio[2] = (dx_stdio){.mode = DX_STDIO_DESCRIPTOR, .fd = file};
    options.recycle_jobs = 1;
    dx_pool *pool = open_obedient(&options);

    ask(pool, "!stderr one\n");
    ask(pool, "!stderr two\n");
    dx_pool_close(pool);
    ck_assert_int_eq(pread(file, text, sizeof(text) - 1, 0), 8);
    ck_assert_str_eq(text, "one\ntwo\n");
    close(file);
    ck_assert_uint_eq(heard_in_all(ear), 0);
    free(ear);
}
END_TEST

/* A pool whose caller has no standard error. */
START_TEST(test_a_closed_standard_error_is_no_trouble)
{
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);

    close(STDERR_FILENO);
    dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 2});
    dx_result results[4];

    for (int i = 0; i < 4; i++) {
        submit(pool, "!stderr into the void\n");
        results[i] = next(pool);
    }
    dx_pool_close(pool);
    bool left_closed = fcntl(STDERR_FILENO, F_GETFD) < 0;

    dup2(saved, STDERR_FILENO);
    close(saved);
    ck_assert(left_closed);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(results[i].error, 0);
}
END_TEST

/* Put this in place of standard error; returns what was there. */
static int swap_stderr(int fd)
{
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);

    dup2(fd, STDERR_FILENO);
    close(fd);
    return saved;
}

static void restore_stderr(int saved)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
}

/* Who would hear it has gone: that is no reason to be killed by SIGPIPE. */
START_TEST(test_nobody_hears_it)
{
    int ends[2], errors = 0;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    int saved = swap_stderr(ends[1]);
    dx_pool *pool = open_obedient(&(dx_pool_options){.workers = 2});

    for (int i = 0; i < 20; i++) {
        submit(pool, "!stderr is anybody there?\n");
        errors += next(pool).error != 0;
    }
    dx_pool_close(pool);
    restore_stderr(saved);
    ck_assert_int_eq(errors, 0);
}
END_TEST

/* Read what comes until it is so much, and look after the pool; its one result may still be to come. */
static size_t read_all(dx_pool *pool, int fd, size_t most, bool *answered)
{
    static char bytes[4096];
    size_t heard = 0;
    dx_result result;

    for (uint64_t end = now_ms() + (uint64_t)PATIENCE_MS;
         (heard < most || !*answered) && now_ms() < end;) {
        for (ssize_t size; (size = read(fd, bytes, sizeof(bytes))) > 0;)
            heard += (size_t)size;
        if (!*answered)
            *answered = dx_pool_next(pool, &result, 1) == 1;
        else
            look_after(pool, 1);
    }
    return heard;
}

/* What else comes in a moment. */
static size_t read_some(dx_pool *pool, int fd)
{
    static char bytes[4096];
    size_t heard = 0;

    for (int i = 0; i < 30; i++) {
        for (ssize_t size; (size = read(fd, bytes, sizeof(bytes))) > 0;)
            heard += (size_t)size;
        look_after(pool, 2);
    }
    return heard;
}

/* Whoever hears it is slow: who writes much waits, and nobody else does. */
START_TEST(test_who_hears_it_is_slow)
{
    int ends[2];
    dx_result result;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    /* Ours is blocking, as it is for everybody who did not make it so. */
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);
    int saved = swap_stderr(ends[1]);
    dx_pool *pool = open_function(work_aloud, NULL, &(dx_pool_options){.workers = 1});
    dx_pool *other = open_obedient(&(dx_pool_options){.workers = 1});
    uint64_t begun = now_ms();

    submit(pool, "x");
    int silent = dx_pool_next(pool, &result, 300);
    uint64_t took = now_ms() - begun;
    bool good = strcmp(ask(other, "and here?"), "and here?") == 0;
    bool answered = false;
    size_t heard = read_all(pool, ends[0], 500000, &answered);

    dx_pool_close(other);
    dx_pool_close(pool);
    restore_stderr(saved);
    close(ends[0]);
    ck_assert(good);
    ck_assert_int_eq(silent, -ETIMEDOUT);
    ck_assert_uint_lt(took, is_slow() ? 5000 : 1500);
    ck_assert(answered);
    ck_assert_uint_eq(heard, 500000);
}
END_TEST

/* Says much and is gone before it could be passed on. */
START_TEST(test_last_words_wait_for_who_hears_them)
{
    dx_pool_options options = {.workers = 1,
                               .process.channel.framing = DX_FRAMING_LINE,
                               .process.handover = DX_HANDOVER_PIPES};
    int ends[2];
    dx_result result;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);
    int saved = swap_stderr(ends[1]);
    dx_pool *pool =
        open_program(ARGV("sh", "-c", "read job; head -c 100000 /dev/zero >&2; exit 3"), &options);

    submit(pool, "x");
    bool answered = dx_pool_next(pool, &result, 300) == 1;
    size_t heard = read_all(pool, ends[0], 100000, &answered);

    dx_pool_close(pool);
    restore_stderr(saved);
    close(ends[0]);
    ck_assert(answered);
    ck_assert_uint_eq(heard, 100000);
}
END_TEST

/* As much as its pipe is made to hold, by context, or a byte; and then the end. 9: it cannot. */
enum { PIPE_MOST = 1 << 20, PIPE_USUAL = 1 << 16 };

static int complain_and_leave(dx_channel *parent, void *context)
{
    static char words[PIPE_MOST];
    const int *most = context;
    dx_message job;

    alarm(60);
    if (dx_recv(parent, &job, DX_FOREVER) != 1)
        return 0;
    size_t size = job.size > 1 ? (size_t)*most : 1;

    if (fcntl(STDERR_FILENO, F_SETPIPE_SZ, *most) < *most)
        return 9;
    return write(STDERR_FILENO, words, size) == (ssize_t)size ? 3 : 4;
}

/* The pool learns of both at once, and one look does not take in all that the pipe holds. */
START_TEST(test_last_words_are_heard_to_the_end)
{
    struct ear *ear = calloc(1, sizeof(*ear));
    dx_pool_options options = {.workers = 1, .on_stderr = hear, .stderr_context = ear};
    int most = PIPE_USUAL;
    dx_pool *pool = open_function(complain_and_leave, &most, &options);
    siginfo_t dead;

    look_until(pool, ready, 1);
    submit(pool, "much");
    ck_assert_int_eq(waitid(P_PID, (id_t)worker_of(pool, 0).pid, &dead, WEXITED | WNOWAIT), 0);
    dx_result result = next(pool);

    ck_assert_ptr_nonnull(result.exit);
    ck_assert_int_eq(result.exit->code, 3);
    ck_assert_uint_eq(ear->size[0], PIPE_USUAL);
    dx_pool_close(pool);
    free(ear);
}
END_TEST

/* Nobody hears what is passed on: the last words of one worker are kept, and no more than those. */
START_TEST(test_what_nobody_hears_is_kept_as_far_as_one_pipe_goes)
{
    static char filling[PIPE_USUAL];
    int ends[2];
    int codes[3], most = PIPE_MOST;
    bool answered = true;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(write(ends[1], filling, sizeof(filling)), PIPE_USUAL);
    int saved = swap_stderr(ends[1]);
    dx_pool *pool = open_function(complain_and_leave, &most, &(dx_pool_options){.workers = 1});

    for (int i = 0; i < 3; i++) {
        submit(pool, i == 1 ? "." : "much");
        dx_result result = next(pool);

        codes[i] = result.exit != NULL ? result.exit->code : -1;
    }
    size_t heard = read_all(pool, ends[0], PIPE_USUAL + PIPE_MOST, &answered);

    /* What was too much does not come later. */
    heard += read_some(pool, ends[0]);
    dx_pool_close(pool);
    restore_stderr(saved);
    close(ends[0]);
    if (codes[0] == 9)
        HARNESS_SKIP("needs a pipe that can be enlarged");
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(codes[i], 3);
    ck_assert_uint_eq(heard, PIPE_USUAL + PIPE_MOST);
}
END_TEST

HARNESS_MAIN("pool: stderr", TEST(test_the_handler_hears_who_said_what),
             TEST(test_last_words_are_heard), TEST(test_much_is_heard), TEST(test_it_is_passed_on),
             TEST(test_with_another_standard_error_it_is_not_read),
             TEST(test_a_closed_standard_error_is_no_trouble), TEST(test_nobody_hears_it),
             TEST(test_who_hears_it_is_slow), TEST(test_last_words_wait_for_who_hears_them),
             TEST(test_last_words_are_heard_to_the_end),
             TEST(test_what_nobody_hears_is_kept_as_far_as_one_pipe_goes))
