/* SPDX-License-Identifier: MIT */
/* Jobs out of standard input for the pool; see map_run.h. */
#include "map_run.h"

#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    FEED_MAX = 4096,     /* jobs between two looks at everything else */
    LOOK_BACK = 1 << 20, /* more jobs do not wait for a worker */
    FAILURE_TEXT_MAX = 64
};

int map_open_input(map_run *self)
{
    dx_failure failure = {0};
    const dx_channel_options options = {
        .framing = self->options->input, .spin_us = -1, .failure = &failure};
    /* A channel has two directions. Nothing is ever said in this one. */
    int read_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    int write_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int result = read_fd < 0 || write_fd < 0 ? -errno : 0;

    if (result == 0)
        result = dx_channel_attach(&self->input, read_fd, write_fd, &options);
    if (result == 0)
        return 0;
    complain("cannot read standard input: %s",
             failure.text[0] ? failure.text : dx_error_text(result));
    if (read_fd >= 0)
        close(read_fd);
    if (write_fd >= 0)
        close(write_fd);
    return result;
}

void map_close_input(map_run *self)
{
    map_job *job = self->jobs;

    self->input = dx_channel_close(self->input);
    while (job) {
        map_job *next = job->next;

        free(job);
        job = next;
    }
    self->job = self->jobs = NULL;
}

void map_forget_job(map_run *self, map_job *job)
{
    if (!job)
        return;
    if (job->next)
        job->next->before = job->before;
    if (job->before)
        job->before->next = job->next;
    else
        self->jobs = job->next;
    if (self->job == job)
        self->job = NULL;
    free(job);
}

static int64_t real_time_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* How much of a job will be asked for when it has ended. */
static size_t kept_of(const map_run *self, size_t size)
{
    size_t most = self->log.fd >= 0 ? MAP_LOG_TEXT_MAX : FAILURE_TEXT_MAX;

    if (self->options->tag || self->fail_fd >= 0)
        return size;
    return size < most ? size : most;
}

/* Enter the message that was received as a job. */
static bool enter(map_run *self)
{
    size_t size = self->message.size;
    size_t kept = kept_of(self, size);

    self->job = malloc(sizeof(*self->job) + kept);
    if (!self->job) {
        map_report_say(&self->report, "out of memory");
        map_give_up(self, STATUS_FAILURE);
        return false;
    }
    *self->job = (map_job){.next = self->jobs, .seq = self->seq, .size = size, .kept = kept};
    if (self->jobs)
        self->jobs->before = self->job;
    self->jobs = self->job;
    memcpy(self->job->text, self->message.data, kept);
    return true;
}

static void input_failed(map_run *self, const char *why)
{
    map_report_say(&self->report, "cannot read standard input after job %llu: %s",
                   (unsigned long long)self->seq, why);
    self->input_over = true;
    self->status = STATUS_FAILURE;
}

/*
 * Receive the next job that is to be done. Returns 1 if there is one, or if more have to be passed
 * over first, and 0 if there is none yet or none any more.
 */
static int receive(map_run *self)
{
    int result = dx_recv(self->input, &self->message, DX_NOW);

    if (result == -ETIMEDOUT)
        return 0;
    if (result != 1) {
        self->input_over = true;
        if (result < 0)
            input_failed(self, dx_channel_explain(self->input));
        return 0;
    }
    if (self->message.kind != DX_MESSAGE) {
        input_failed(self, "a packet without data is no job");
        return 0;
    }
    self->seq++;
    if (!map_log_has(&self->log, self->seq))
        return enter(self);
    self->counts.skipped++;
    self->counts.bytes += self->message.size + 1;
    return 1;
}

/* Give the job to the pool. Returns true if it is done with. */
static bool submit(map_run *self)
{
    dx_result refused = {0};
    const dx_job job = {
        .data = self->message.data, .size = self->message.size, .context = self->job};
    int result;

    if (self->log.fd >= 0)
        self->job->at_us = real_time_us();
    result = dx_pool_submit_job(self->pool, &job, &self->number, DX_NOW);
    switch (result) {
    case 0:
        self->job = NULL;
        return true;
    case -ETIMEDOUT:
    case -EDEADLK:
        return false;
    case -ECONNABORTED:
        /* Why is said when the last result was taken. */
        self->input_over = true;
        return false;
    case -EMSGSIZE:
    case -EINVAL:
        /* The framing, or its limit, does not let this one through. */
        refused.error = result;
        refused.text = dx_pool_explain(self->pool);
        map_end_job(self, self->job, &refused);
        return true;
    default:
        map_report_say(&self->report, "cannot go on: %s",
                       result == -ENOMEM ? "out of memory" : dx_error_text(result));
        map_give_up(self, STATUS_FAILURE);
        return false;
    }
}

bool map_wants_input(const map_run *self)
{
    return !self->input_over && !self->job && !self->halting;
}

bool map_feed(map_run *self)
{
    unsigned count = 0;

    while (count < FEED_MAX && !self->stopping && !self->halting) {
        if (!self->job && (self->input_over || !receive(self)))
            break;
        if (self->job && !submit(self))
            break;
        count++;
    }
    return count > 0;
}

void map_halt_soon(map_run *self)
{
    dx_pool_statistics statistics;
    uint64_t number = self->number;
    uint64_t oldest = number > LOOK_BACK ? number - LOOK_BACK : 0;

    self->halting = true;
    map_forget_job(self, self->job);
    /* Jobs go out in their order, so that the last ones are those that wait. */
    while (number > oldest && dx_pool_statistics_get(self->pool, &statistics) == 0 &&
           statistics.queued > 0)
        (void)dx_pool_cancel(self->pool, number--);
}
