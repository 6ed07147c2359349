/* SPDX-License-Identifier: MIT */
/* The joblog; see map_log.h. */
#include "map_log.h"

#include "console.h"
#include "escape.h"
#include "map_log_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROWS_FULL ((size_t)256 << 10)

enum { NUMBERS_MAX = 160 }; /* the columns before the job's text */

/* A row that is held back. */
struct pending {
    uint64_t output_end;
    size_t size;
};

/* The same file for two runs would have each job's number twice. */
static int lock(const map_log *self)
{
    if (flock(self->fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        complain("another run is writing the joblog '%s'", self->file);
    else
        complain("cannot lock the joblog '%s': %s", self->file, strerror(errno));
    return errno == EWOULDBLOCK ? -EWOULDBLOCK : -EIO;
}

/* Write all of it. Returns how much was, which is less if errno says why. */
static size_t write_all(int fd, const char *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t written = write(fd, data + done, size - done);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            break;
        done += (size_t)written;
    }
    return done;
}

/* Write whole rows. */
static int write_rows(map_log *self, const char *data, size_t size)
{
    size_t written = write_all(self->fd, data, size);
    const char *newline;
    int error = errno;

    if (written == size) {
        self->size += (off_t)size;
        return 0;
    }
    complain("cannot write the joblog '%s': %s", self->file, strerror(error));
    newline = written > 0 ? memrchr(data, '\n', written) : NULL;
    if (newline)
        self->size += newline + 1 - data;
    if (self->is_file && ftruncate(self->fd, self->size) < 0)
        complain("cannot take a part of a row out of the joblog '%s': %s", self->file,
                 strerror(errno));
    map_log_close(self);
    return -error;
}

static int begin(map_log *self, bool resume, bool repeat_failed)
{
    struct stat status;
    int result;

    self->is_file = fstat(self->fd, &status) == 0 && S_ISREG(status.st_mode);
    if (!self->is_file) {
        if (!resume)
            return write_rows(self, map_log_header, strlen(map_log_header));
        complain("cannot resume by the joblog '%s': it is no regular file", self->file);
        return -EINVAL;
    }
    result = lock(self);
    if (result == 0 && resume)
        result = map_log_read(self, repeat_failed);
    if (result < 0)
        return result;
    /* Of a run that was killed the last row may be cut. */
    if (ftruncate(self->fd, self->size) < 0) {
        result = -errno;
        complain("cannot truncate the joblog '%s': %s", self->file, strerror(-result));
        return result;
    }
    if (self->size > 0)
        return 0;
    return write_rows(self, map_log_header, strlen(map_log_header));
}

int map_log_open(map_log *self, const char *file, bool resume, bool repeat_failed)
{
    int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY;
    int result;

    *self = (map_log){.fd = open(file, flags, 0666), .file = file};
    if (self->fd < 0) {
        result = -errno;
        complain("cannot open the joblog '%s': %s", file, strerror(-result));
        return result;
    }
    result = begin(self, resume, repeat_failed);
    if (result < 0)
        map_log_close(self);
    return result;
}

bool map_log_has(const map_log *self, uint64_t seq)
{
    return self->done.count > 0 && map_ranges_has(&self->done, seq);
}

int map_log_add(map_log *self, const map_row *row, uint64_t output_end)
{
    size_t shown = row->text_size < MAP_LOG_TEXT_MAX ? row->text_size : MAP_LOG_TEXT_MAX;
    struct pending pending = {.output_end = output_end};
    size_t before;
    int result;

    if (self->fd < 0)
        return 0;
    result = map_bytes_reserve(&self->rows, NUMBERS_MAX + 4 * shown + sizeof("...\n"));
    if (result < 0)
        return result;
    before = self->rows.end;
    self->rows.end += (size_t)snprintf(
        self->rows.data + before, NUMBERS_MAX, "%llu\t:\t%lld.%03d\t%6llu.%03d\t%zu\t%zu\t%d\t%d\t",
        (unsigned long long)row->seq, (long long)(row->started_us / 1000000),
        (int)(row->started_us / 1000 % 1000), (unsigned long long)(row->run_us / 1000000),
        (int)(row->run_us / 1000 % 1000), row->sent, row->received, row->code, row->signal);
    self->rows.end += escape(self->rows.data + self->rows.end, row->text, shown);
    if (shown < row->sent)
        map_bytes_add(&self->rows, "...", 3);
    map_bytes_add(&self->rows, "\n", 1);
    pending.size = self->rows.end - before;
    return map_bytes_add(&self->pending, &pending, sizeof(pending));
}

bool map_log_is_full(const map_log *self)
{
    return map_bytes_size(&self->rows) >= ROWS_FULL;
}

int map_log_write(map_log *self, uint64_t output_written)
{
    size_t size = 0;
    int result;

    while (map_bytes_size(&self->pending) > 0) {
        struct pending pending;

        memcpy(&pending, self->pending.data + self->pending.start, sizeof(pending));
        if (pending.output_end > output_written)
            break;
        size += pending.size;
        map_bytes_drop(&self->pending, sizeof(pending));
    }
    if (size == 0)
        return 0;
    result = write_rows(self, self->rows.data + self->rows.start, size);
    if (result == 0)
        map_bytes_drop(&self->rows, size);
    return result;
}

void map_log_close(map_log *self)
{
    if (self->fd >= 0)
        close(self->fd);
    self->fd = -1;
    map_ranges_clear(&self->done);
    map_bytes_clear(&self->rows);
    map_bytes_clear(&self->pending);
}
