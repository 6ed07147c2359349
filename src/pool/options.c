/* SPDX-License-Identifier: MIT */
/*
 * What a pool was asked to be: checked, copied with all that it points to, and the defaults put in.
 */
#include "pool/pool.h"

#include "channel/channel.h"
#include "wire/framing.h"

#include <errno.h>
#include <string.h>

enum {
    IDLE_MS = 10 * 1000,
    READY_MS = 60 * 1000,
    BACKOFF_MS = 10,
    BACKOFF_MAX_MS = 1000,
    WINDOW_MS = 60 * 1000,
    CANCEL_MS = 1000,
    QUEUE_MIN = 1024,
};

/* A piece of memory that lives as long as the pool. */
struct dxi_kept {
    struct dxi_kept *next;
    max_align_t bytes[];
};

/* A copy of size bytes, or NULL and *error set. Nothing to copy is NULL without an error. */
static void *keep(dx_pool *pool, const void *from, size_t size, int *error)
{
    struct dxi_kept *kept;

    if (from == NULL || *error < 0)
        return NULL;
    kept = dxi_os->allocate(sizeof(*kept) + size);
    if (!kept) {
        *error = -ENOMEM;
        return NULL;
    }
    memcpy(kept->bytes, from, size);
    kept->next = pool->kept;
    pool->kept = kept;
    return kept->bytes;
}

static char *keep_text(dx_pool *pool, const char *text, int *error)
{
    return keep(pool, text, text ? strlen(text) + 1 : 0, error);
}

/* A list of texts that ends with NULL. */
static char **keep_texts(dx_pool *pool, char *const *texts, int *error)
{
    size_t count = 0;
    char **copy;

    while (texts && texts[count])
        count++;
    copy = keep(pool, texts, (count + 1) * sizeof(*copy), error);
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = keep_text(pool, texts[i], error);
    return copy;
}

static void keep_process(dx_pool *pool, dx_process_options *options, int *error)
{
    options->failure = options->channel.failure = NULL;
    options->child_channel =
        keep(pool, options->child_channel, sizeof(*options->child_channel), error);
    options->handover_variable = keep_text(pool, options->handover_variable, error);
    options->descriptors = keep(pool, options->descriptors,
                                options->descriptor_count * sizeof(*options->descriptors), error);
    options->directory = keep_text(pool, options->directory, error);
    options->environment = keep_texts(pool, options->environment, error);
    options->environment_changes = keep_texts(pool, options->environment_changes, error);
    options->limits =
        keep(pool, options->limits, options->limit_count * sizeof(*options->limits), error);

    dx_identity *identity = keep(pool, options->identity, sizeof(*identity), error);

    if (identity)
        identity->groups =
            keep(pool, identity->groups, identity->group_count * sizeof(*identity->groups), error);
    options->identity = identity;
}

/* What cannot be. 0 or -EINVAL, explained. */
static int check(const dx_pool_options *options)
{
    dx_failure *failure = options->failure;
    dx_channel_options channel = options->process.channel;

    channel.failure = failure;
    if (options->workers > DX_WORKERS_MAX)
        return dxi_fail(failure, -EINVAL, "%u workers; the most is %d", options->workers,
                        DX_WORKERS_MAX);
    if (options->depth > DX_DEPTH_AUTO)
        return dxi_fail(failure, -EINVAL, "a depth of %u; the most is %d", options->depth,
                        DX_DEPTH_MAX);
    if (options->workers > 0 && options->workers_min > options->workers)
        return dxi_fail(failure, -EINVAL, "at least %u workers, and at most %u",
                        options->workers_min, options->workers);
    if (options->ready > DX_READY_AT_ONCE)
        return dxi_fail(failure, -EINVAL, "there is no readiness number %d", (int)options->ready);
    if (options->idle_ms < 0 || options->job_timeout_ms < 0 || options->backoff_ms < 0 ||
        options->backoff_max_ms < 0 || options->restart_window_ms < 0)
        return dxi_fail(failure, -EINVAL, "a negative time makes no sense here");
    static const char *const names[] = {"input", "output", "error"};

    for (int i = 0; i < 3; i++) {
        if (options->process.stdio[i].mode == DX_STDIO_PIPE)
            return dxi_fail(failure, -EINVAL,
                            "a worker's standard %s cannot be a pipe that nobody takes", names[i]);
    }
    if (options->process.channel.framing == DX_FRAMING_RAW)
        return dxi_fail(failure, -EINVAL,
                        "the framing 'raw' has no messages that could be answers");
    return dxi_channel_check_options(&channel);
}

static void default_int(int *value, int otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void put_in_defaults(dx_pool_options *options)
{
    if (options->workers == 0) {
        unsigned processors = dxi_os->processors();

        options->workers = processors < DX_WORKERS_MAX ? processors : DX_WORKERS_MAX;
    }
    if (options->workers_min == 0 || options->workers_min > options->workers)
        options->workers_min = options->workers;
    if (options->depth == 0)
        options->depth = 1;
    if (options->ready == DX_READY_DEFAULT && options->process.channel.framing != DX_FRAMING_NATIVE)
        options->ready = DX_READY_AT_ONCE;
    default_int(&options->idle_ms, IDLE_MS);
    default_int(&options->ready_timeout_ms, READY_MS);
    default_int(&options->backoff_ms, BACKOFF_MS);
    default_int(&options->backoff_max_ms, BACKOFF_MAX_MS);
    default_int(&options->restart_window_ms, WINDOW_MS);
    default_int(&options->cancel_grace_ms, CANCEL_MS);
    if (options->queue_bytes == 0)
        options->queue_bytes = (size_t)64 << 20;
}

int dxi_pool_take_options(dx_pool *pool, char *const argv[], const dx_pool_options *options)
{
    static const dx_pool_options none;
    dx_failure *failure;
    int error;

    pool->options = options ? *options : none;
    failure = pool->options.failure;
    error = check(&pool->options);
    if (error < 0)
        return error;
    put_in_defaults(&pool->options);
    pool->depth_most =
        pool->options.depth == DX_DEPTH_AUTO ? DXI_DEPTH_AUTO_MAX : pool->options.depth;
    pool->depth = pool->options.depth == DX_DEPTH_AUTO ? 1 : pool->options.depth;
    if (pool->options.queue_limit == 0) {
        size_t twice = (size_t)2 * pool->options.workers * pool->depth_most;

        pool->options.queue_limit = twice > QUEUE_MIN ? twice : QUEUE_MIN;
    }
    /* Sixteen may be open before the greeting of a worker has told how many; so no fewer after. */
    if (pool->options.process.channel.request_limit == 0 && pool->depth_most > 1)
        pool->options.process.channel.request_limit = DX_DEPTH_MAX;
    pool->plain_limit = pool->options.process.channel.framing != DX_FRAMING_NATIVE ? 0
                        : pool->options.process.channel.message_limit > 0
                            ? pool->options.process.channel.message_limit
                            : DX_MESSAGE_LIMIT_DEFAULT;
    pool->spin.limit_ns = dxi_channel_spin_limit(&pool->options.process.channel);
    pool->has_ids = pool->options.process.channel.framing == DX_FRAMING_NATIVE;
    pool->keeps_descriptors = pool->depth_most > 1 || pool->options.retries > 0;
    pool->reads_stderr = pool->options.process.stdio[2].mode == DX_STDIO_INHERIT;
    keep_process(pool, &pool->options.process, &error);
    pool->argv = keep_texts(pool, argv, &error);
    return error < 0 ? dxi_fail(failure, error, "%s", dx_error_text(error)) : 0;
}

void dxi_pool_drop_options(dx_pool *pool)
{
    while (pool->kept) {
        struct dxi_kept *next = pool->kept->next;

        dxi_os->release(pool->kept);
        pool->kept = next;
    }
}
