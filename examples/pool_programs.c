/* SPDX-License-Identifier: MIT */
/*
 * Workers that have never heard of duplex: any program that reads lines and answers each with one.
 * Each line of standard input is a job, each answer a line of standard output, in the same order:
 *
 *   seq 1000 | pool_programs bc -l
 *   pool_programs sed -u 's/father/child/' < letter
 *
 * Input is read no faster than the workers take it, and output does not wait for the end of input.
 */
#include <duplex.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Print the next result, which may be waited for. Returns as dx_pool_next(). */
static int take(dx_pool *pool, int timeout_ms, int *failed)
{
    dx_result result;
    int status = dx_pool_next(pool, &result, timeout_ms);

    if (status != 1)
        return status;
    if (result.error == 0) {
        fwrite(result.message.data, 1, result.message.size, stdout);
        putchar('\n');
    } else {
        fprintf(stderr, "line %llu: %s\n", (unsigned long long)result.job, result.text);
        ++*failed;
    }
    return 1;
}

static int run(dx_pool *pool, int *failed)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    int status = 0;

    while (status >= 0 && (size = getline(&line, &room, stdin)) > 0) {
        size -= line[size - 1] == '\n';
        /* A queue full of results is no place for jobs: take one, try again. */
        while ((status = dx_pool_submit(pool, line, (size_t)size, NULL, DX_FOREVER)) == -EDEADLK)
            take(pool, DX_FOREVER, failed);
        while (status == 0 && take(pool, DX_NOW, failed) == 1) {
            /* What is done already is printed already. */
        }
    }
    free(line);
    while (status >= 0 && (status = take(pool, DX_FOREVER, failed)) == 1) {
        /* The rest, until no job is left. */
    }
    return status;
}

int main(int argc, char *argv[])
{
    char *upper[] = {"sed", "-u", "s/.*/\\U&/", NULL};
    dx_failure failure;
    dx_pool_options options = {
        .process = {.channel = {.framing = DX_FRAMING_LINE}, .handover = DX_HANDOVER_STDIO},
        .depth = DX_DEPTH_AUTO,
        .ordered = true,
        .retries = 2,
        .job_timeout_ms = 10000, /* a program that answers nothing is noticed by this alone */
        .failure = &failure,
    };
    dx_pool *pool;
    int failed = 0;
    int status;

    if (dx_pool_open(&pool, argc > 1 ? argv + 1 : upper, &options) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return 1;
    }
    status = run(pool, &failed);
    if (status < 0)
        fprintf(stderr, "%s\n", dx_pool_explain(pool));
    dx_pool_close(pool);
    return status < 0 || failed > 0;
}
