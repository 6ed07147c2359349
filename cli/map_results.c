/* SPDX-License-Identifier: MIT */
/* Results of the pool to standard output, the joblog and the file of failed jobs; see map_run.h. */
#include "map_run.h"

#include "status.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TAKE_MAX = 4096,   /* results between two looks at everything else */
    EXITVAL_NONE = -1, /* there is no exit status that tells of a failure: a timeout and the like */
    EXITVAL_MAX = 255
};

void map_give_up(map_run *self, int status)
{
    self->stopping = true;
    if (self->status == 0)
        self->status = status;
}

/* How a job ended, as the joblog has it: both 0 if it was answered. */
static void set_exit(map_row *row, const dx_result *result)
{
    const dx_exit *end = result->exit;

    row->code = row->signal = 0;
    if (result->error == 0)
        return;
    if (result->error == -EREMOTEIO)
        row->code = result->message.code > 0 && result->message.code <= EXITVAL_MAX
                        ? result->message.code
                        : 1;
    else if (end && end->kind == DX_EXIT_SIGNAL)
        row->signal = end->signal;
    else if (end && end->kind == DX_EXIT_CODE && end->code != 0)
        row->code = end->code;
    else
        row->code = EXITVAL_NONE;
}

static void log_job(map_run *self, const map_job *job, const dx_result *result)
{
    map_row row = {
        .seq = job->seq,
        .started_us = job->at_us + (int64_t)result->wait_us,
        .run_us = result->run_us,
        .sent = job->size,
        .received = result->error == 0 ? result->message.size : 0,
        .text = job->text,
        .text_size = job->kept,
    };

    set_exit(&row, result);
    if (map_log_add(&self->log, &row, self->output_written + map_bytes_size(&self->output)) == 0)
        return;
    map_report_say(&self->report, "out of memory");
    map_give_up(self, STATUS_FAILURE);
}

/* Keep the job's bytes so that they can be the input of another run. */
static int keep_failed(map_run *self, const map_job *job)
{
    map_bytes bytes = {0};
    int result = map_frame_add(&bytes, self->options->input, job->text, job->kept);

    while (result == 0 && map_bytes_size(&bytes) > 0) {
        ssize_t written = write(self->fail_fd, bytes.data + bytes.start, map_bytes_size(&bytes));

        if (written >= 0)
            map_bytes_drop(&bytes, (size_t)written);
        else if (errno != EINTR)
            result = -errno;
    }
    map_bytes_clear(&bytes);
    return result;
}

static void job_failed(map_run *self, const map_job *job, const dx_result *result)
{
    const char *why = result->text && result->text[0] ? result->text : dx_error_text(result->error);
    int error;

    self->counts.failed++;
    map_report_failure(&self->report, job->seq, why, job->text, job->kept, job->size);
    if (self->fail_fd < 0)
        return;
    error = keep_failed(self, job);
    if (error == 0)
        return;
    map_report_say(&self->report, "cannot write the failed jobs to '%s': %s",
                   self->options->fail_file, strerror(-error));
    map_give_up(self, STATUS_FAILURE);
}

/* Put the reply where standard output waits: all of it, or nothing and a negative errno value. */
static int add_output(map_run *self, const map_job *job, const dx_message *reply)
{
    map_bytes *output = &self->output;
    size_t size = map_bytes_size(output);
    int result = 0;

    if (size == 0)
        self->output_from_ms = console_now_ms();
    if (self->options->tag) {
        result = map_bytes_add(output, job->text, job->kept);
        if (result == 0)
            result = map_bytes_add(output, "\t", 1);
    }
    if (result == 0)
        result = map_frame_add(output, self->options->output, reply->data, reply->size);
    if (result < 0)
        output->end = output->start + size;
    if (result == -ENOMEM) {
        map_report_say(&self->report, "out of memory");
        map_give_up(self, STATUS_FAILURE);
    }
    return result;
}

static void halt_if_due(map_run *self)
{
    const map_halt *halt = &self->options->halt;
    uint64_t done = self->counts.done;
    uint64_t failed = self->counts.failed;
    const char *event;
    uint64_t count;

    if (self->halting || self->stopping || !map_halt_is_due(halt, done, failed))
        return;
    event = map_halt_event(halt, done, failed, &count);
    map_report_say(&self->report, "halted after %llu %s%s", (unsigned long long)count, event,
                   halt->when == MAP_HALT_SOON ? "; jobs that have begun are finished" : "");
    if (halt->when == MAP_HALT_SOON)
        map_halt_soon(self);
    else
        self->stopping = true;
}

void map_end_job(map_run *self, map_job *job, const dx_result *result)
{
    dx_result unfit = *result;

    /* It has not ended: nothing is said of it, so that a run that is resumed does it. */
    if (result->error == -ECANCELED || result->error == -ECONNABORTED) {
        map_forget_job(self, job);
        return;
    }
    if (result->error == 0) {
        unfit.error = add_output(self, job, &result->message);
        if (unfit.error == -EMSGSIZE || unfit.error == -EINVAL)
            unfit.text = "the framing of the output cannot carry the reply";
    }
    self->counts.bytes += job->size + 1;
    if (unfit.error == 0)
        self->counts.done++;
    else
        job_failed(self, job, &unfit);
    if (self->log.fd >= 0)
        log_job(self, job, &unfit);
    map_forget_job(self, job);
    halt_if_due(self);
}

bool map_take_results(map_run *self)
{
    unsigned count = 0;
    dx_result result;

    while (count < TAKE_MAX && !self->stopping && map_bytes_size(&self->output) < MAP_OUTPUT_FULL &&
           !map_log_is_full(&self->log)) {
        int got = dx_pool_next(self->pool, &result, DX_NOW);

        if (got == -ETIMEDOUT)
            break;
        if (got == 1) {
            map_end_job(self, result.context, &result);
            count++;
            continue;
        }
        if (got < 0) {
            map_report_say(&self->report, "the workers have ended before all jobs were done: %s",
                           dx_pool_explain(self->pool));
            self->input_over = true;
            if (self->status == 0)
                self->status = STATUS_FAILURE;
        }
        self->pool_over = got < 0 || ((self->input_over || self->halting) && !self->job);
        break;
    }
    return count > 0;
}

void map_lose_output(map_run *self)
{
    map_report_say(&self->report, "nobody reads standard output any more");
    map_give_up(self, STATUS_SIGNAL + SIGPIPE);
    map_bytes_clear(&self->output);
}

void map_write_output(map_run *self)
{
    size_t size = map_bytes_size(&self->output);
    ssize_t written = 0;

    if (size > 0)
        written = console_write_some(&self->sink, self->output.data + self->output.start, size);
    if (written == -EPIPE) {
        map_lose_output(self);
        return;
    }
    if (written < 0) {
        map_report_say(&self->report, "cannot write to standard output: %s",
                       strerror((int)-written));
        map_give_up(self, STATUS_FAILURE);
        map_bytes_clear(&self->output);
        return;
    }
    map_bytes_drop(&self->output, (size_t)written);
    self->output_written += (uint64_t)written;
    if (map_log_write(&self->log, self->output_written) < 0)
        map_give_up(self, STATUS_FAILURE);
}
