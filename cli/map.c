/* SPDX-License-Identifier: MIT */
/*
 * `duplex map`; see map.h. One loop, in which nothing waits for another:
 *
 *   standard input --> the pool      read only when the pool has taken what was read
 *   the pool --> standard output     results are taken only while there is room for them
 *   the signals, the clock
 *
 * Small jobs go through in batches: there is one look around, and one write, for as many as came
 * together since the last.
 */
#include "map.h"

#include "interrupt.h"
#include "map_limit.h"
#include "map_run.h"
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    LATE_MS = 10,  /* so long a reply may wait for others while there is more to do */
    FULL_MS = 100, /* how often the pool is looked after while its results cannot be taken */
    NAP_LEAST_NS = 15 * 1000,
    NAP_MOST_NS = 200 * 1000,
    LAST_WORDS_MS = 500 /* how long a run that was stopped waits for a reader of the rest */
};

enum { INTERRUPT, INPUT, OUTPUT, POOL, COUNT };

static int sooner(int timeout_ms, int other_ms)
{
    return other_ms >= 0 && (timeout_ms < 0 || other_ms < timeout_ms) ? other_ms : timeout_ms;
}

static bool has_output(const map_run *self)
{
    return map_bytes_size(&self->output) > 0 || map_bytes_size(&self->log.rows) > 0;
}

/* Whether what waits for standard output should be written now. */
static bool wants_to_write(const map_run *self, bool idle, int64_t now_ms)
{
    return has_output(self) &&
           (idle || map_bytes_size(&self->output) >= MAP_OUTPUT_MUCH ||
            map_log_is_full(&self->log) || now_ms - self->output_from_ms >= LATE_MS);
}

/* Results cannot be taken until more of the output was written. */
static bool is_full(const map_run *self)
{
    return map_bytes_size(&self->output) >= MAP_OUTPUT_FULL || map_log_is_full(&self->log);
}

static int fill_poll_set(map_run *self, struct pollfd fds[COUNT], bool idle, int64_t now_ms)
{
    int timeout_ms = idle ? dx_pool_timeout_ms(self->pool) : 0;
    bool writes = wants_to_write(self, idle, now_ms);

    /* The pool has no time to lose when it has results, and we no room for them. */
    if (idle && is_full(self) && timeout_ms >= 0 && timeout_ms < FULL_MS)
        timeout_ms = FULL_MS;
    fds[INTERRUPT] = (struct pollfd){.fd = self->interrupt_fd, .events = POLLIN};
    fds[INPUT] = (struct pollfd){.fd = -1, .events = POLLIN};
    if (map_wants_input(self)) {
        fds[INPUT].fd = dx_channel_fd(self->input);
        timeout_ms = sooner(timeout_ms, dx_channel_timeout_ms(self->input));
    }
    /* Without events this still tells of a reader that has gone. */
    fds[OUTPUT] = (struct pollfd){.fd = self->sink.fd, .events = writes ? POLLOUT : 0};
    fds[POOL] =
        (struct pollfd){.fd = dx_pool_fd(self->pool), .events = (short)dx_pool_events(self->pool)};
    return sooner(timeout_ms, map_report_timeout_ms(&self->report, now_ms));
}

/*
 * Answers of workers that have more to do are taken together: each wake-up of this process takes the
 * processor from one of them. They have enough for a fourth of the time that a job is with its worker.
 */
static void let_them_work(map_run *self)
{
    dx_pool_statistics statistics;
    uint64_t nap_ns;

    if (dx_pool_statistics_get(self->pool, &statistics) < 0 ||
        statistics.running < 3 * (uint64_t)statistics.ready)
        return;
    nap_ns = statistics.p50_ns / 4;
    if (nap_ns > NAP_MOST_NS)
        nap_ns = NAP_MOST_NS;
    if (nap_ns >= NAP_LEAST_NS)
        nanosleep(&(struct timespec){.tv_nsec = (long)nap_ns}, NULL);
}

/* Wait until something can go on; idle: nothing has gone on since the last time. */
static void wait_for_events(map_run *self, bool idle)
{
    struct pollfd fds[COUNT];
    int64_t now_ms = console_now_ms();
    int timeout_ms = fill_poll_set(self, fds, idle, now_ms);
    int signal_number;

    if (idle && timeout_ms != 0)
        let_them_work(self);
    if (poll(fds, COUNT, timeout_ms) < 0)
        return;
    signal_number = fds[INTERRUPT].revents ? interrupt_take(self->interrupt_fd) : 0;
    if (signal_number > 0)
        map_give_up(self, STATUS_SIGNAL + signal_number);
    dx_pool_process(self->pool);
    if (fds[OUTPUT].revents & (POLLOUT | POLLERR | POLLHUP)) {
        if (fds[OUTPUT].revents & POLLOUT)
            map_write_output(self);
        else
            map_lose_output(self);
    }
    map_report_progress(&self->report, self->pool, &self->counts, now_ms);
}

static void do_jobs(map_run *self)
{
    for (;;) {
        bool fed = map_feed(self);
        bool took = map_take_results(self);

        if (self->stopping || (self->pool_over && !has_output(self)))
            return;
        wait_for_events(self, !fed && !took);
    }
}

/* The run was given up: still write what was answered, if standard output takes it soon. */
static void write_last_words(map_run *self)
{
    int64_t deadline = console_now_ms() + LAST_WORDS_MS;

    while (map_bytes_size(&self->output) > 0) {
        struct pollfd output = {.fd = self->sink.fd, .events = POLLOUT};
        int64_t left = deadline - console_now_ms();

        if (left <= 0 || (poll(&output, 1, (int)left) < 0 && errno != EINTR))
            break;
        if (output.revents)
            map_write_output(self);
    }
    (void)map_log_write(&self->log, self->output_written);
}

static int open_pool(map_run *self)
{
    const map_options *options = self->options;
    dx_failure failure = {0};
    dx_limit limit;
    dx_pool_options pool_options = {
        .process = {.channel = {.framing = options->framing},
                    .group = DX_GROUP_NEW,
                    .die_with_parent = true,
                    .noted_pid = guard_groups_places(&self->guard)},
        .workers = options->workers,
        .depth = options->depth,
        .ordered = !options->unordered,
        .job_timeout_ms = options->timeout_ms,
        .retries = options->retries,
        .ready = options->ready,
        .ready_timeout_ms = options->ready_timeout_ms,
        .recycle_jobs = options->recycle_jobs,
        .recycle_bytes = options->recycle_bytes,
        .failure = &failure,
    };
    int result = map_limit_raise(options, &limit);

    if (result < 0)
        return STATUS_FAILURE;
    pool_options.process.limits = &limit;
    pool_options.process.limit_count = 1;
    if (self->report.shows_progress) {
        pool_options.on_stderr = map_report_worker;
        pool_options.stderr_context = &self->report;
    }
    handover_apply(&options->handover, &pool_options.process, self->inherited.list,
                   self->inherited.count);
    result = dx_pool_open(&self->pool, options->argv, &pool_options);
    if (result == 0)
        return 0;
    complain("%s", failure.text[0] ? failure.text : dx_error_text(result));
    return status_of_start(result);
}

static int open_guard(map_run *self)
{
    dx_failure failure = {0};
    int result = guard_groups_open(&self->guard, self->options->workers, &failure);

    if (result == 0)
        return 0;
    complain("cannot guard the workers: %s",
             failure.text[0] ? failure.text : dx_error_text(result));
    return STATUS_FAILURE;
}

/* The file of failed jobs must not be what is read: it is emptied. */
static int open_fail_file(map_run *self)
{
    const map_options *options = self->options;
    const char *file = options->fail_file;
    /* A run that goes on with another adds to what has failed in that one. */
    bool adds = options->resume && !options->resume_failed;
    struct stat input;
    struct stat own;

    if (!file)
        return 0;
    if (stat(file, &own) == 0 && fstat(STDIN_FILENO, &input) == 0 && S_ISREG(own.st_mode) &&
        own.st_dev == input.st_dev && own.st_ino == input.st_ino) {
        complain("the file for the failed jobs, '%s', is standard input", file);
        return -EINVAL;
    }
    self->fail_fd =
        open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | (adds ? 0 : O_TRUNC),
             0666);
    if (self->fail_fd >= 0)
        return 0;
    complain("cannot open '%s' for the failed jobs: %s", file, strerror(errno));
    return -EINVAL;
}

/* All that can fail before a worker is started. Returns an exit status for a failure, or 0. */
static int open_files(map_run *self)
{
    const map_options *options = self->options;

    /* Before any job is done of which nobody could hear. */
    if ((fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY) {
        complain("cannot write to standard output: it is closed");
        return STATUS_FAILURE;
    }
    self->sink = console_sink_of(STDOUT_FILENO);
    self->interrupt_fd = interrupt_open();
    if (self->interrupt_fd < 0) {
        complain("cannot watch for signals: %s", strerror(-self->interrupt_fd));
        return STATUS_FAILURE;
    }
    if (map_open_input(self) < 0 || open_fail_file(self) < 0)
        return STATUS_FAILURE;
    if (options->joblog &&
        map_log_open(&self->log, options->joblog, options->resume, options->resume_failed) < 0)
        return STATUS_FAILURE;
    return 0;
}

/* Bring the run to its end: no worker is left. */
static void finish(map_run *self)
{
    if (self->stopping)
        write_last_words(self);
    if (self->status == 0 && self->counts.failed > 0)
        self->status = 1;
    map_report_end(&self->report, self->pool);
    self->pool = dx_pool_close(self->pool);
    map_report_summary(&self->report, &self->counts, self->options->json, self->status);
}

static int run(map_run *self)
{
    int status = open_files(self);

    if (status == 0)
        status = open_guard(self);
    if (status == 0) {
        map_report_open(&self->report, self->options->quiet);
        status = open_pool(self);
    }
    if (status != 0)
        return status;
    do_jobs(self);
    finish(self);
    return self->status;
}

int map(const map_options *options)
{
    map_run self = {.options = options, .interrupt_fd = -1, .fail_fd = -1, .log = {.fd = -1}};
    int status = STATUS_FAILURE;

    /* A write beyond RLIMIT_FSIZE answers EFBIG instead. */
    interrupt_ignore(SIGXFSZ);
    if (inherited_find(&self.inherited) < 0)
        complain("out of memory");
    else
        status = run(&self);
    guard_groups_dismiss(&self.guard);
    map_close_input(&self);
    map_log_close(&self.log);
    map_bytes_clear(&self.output);
    inherited_close(&self.inherited);
    if (self.fail_fd >= 0)
        close(self.fail_fd);
    if (self.interrupt_fd >= 0)
        close(self.interrupt_fd);
    return status;
}
