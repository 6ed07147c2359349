/* SPDX-License-Identifier: MIT */
/*
 * The smallest pool: workers that square numbers, one of which is too much for them. It ends every
 * worker that it is given to, fails by itself, and is told with the signal; the others are done.
 */
#include <duplex.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int square(dx_channel *parent, const dx_message *job, void *context)
{
    long number;

    (void)context;
    memcpy(&number, job->data, sizeof(number));
    if (number == 13)
        abort();
    number *= number;
    return dx_reply(parent, job->id, &number, sizeof(number), DX_FOREVER);
}

static int worker(dx_channel *parent, void *context)
{
    return dx_work(parent, square, context) < 0;
}

int main(void)
{
    dx_failure failure;
    dx_pool_options options = {.workers = 4, .retries = 1, .ordered = true, .failure = &failure};
    dx_pool *pool;
    dx_result result;
    long number;
    int status;

    if (dx_pool_open_function(&pool, worker, NULL, &options) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return 1;
    }
    for (number = 11; number <= 15; number++)
        dx_pool_submit(pool, &number, sizeof(number), NULL, DX_FOREVER);
    for (number = 11; (status = dx_pool_next(pool, &result, DX_FOREVER)) == 1; number++) {
        long answer = 0;

        if (result.error == 0) {
            memcpy(&answer, result.message.data, sizeof(answer));
            printf("%ld * %ld = %ld\n", number, number, answer);
        } else {
            printf("%ld * %ld: tried %u times, the last worker was %s\n", number, number,
                   result.tries, result.exit ? result.exit->text : result.text);
        }
    }
    if (status < 0)
        fprintf(stderr, "%s\n", dx_pool_explain(pool));
    dx_pool_close(pool);
    return status < 0;
}
