/* SPDX-License-Identifier: MIT */
/*
 * A child that repeats what it hears, or works. The first argument says where its channel is: env, stdio,
 * argv (its number follows), or work, which is a worker of a pool with its channel as in env.
 */
#include <duplex.h>

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Nobody lives longer, whatever becomes of the test. */
enum { LIFE_SECONDS = 120 };

/* A job that begins with 'k' kills its worker. */
static int work(dx_channel *parent, const dx_message *job, void *context)
{
    (void)context;
    if (job->size > 0 && *(const char *)job->data == 'k')
        raise(SIGKILL);
    if (job->size > 0 && *(const char *)job->data == 'e')
        (void)!write(STDERR_FILENO, "a complaint\n", 12);
    return dx_reply(parent, job->id, job->data, job->size, DX_FOREVER);
}

static int repeat(dx_channel *parent)
{
    dx_message message;
    int status;

    while ((status = dx_recv(parent, &message, DX_FOREVER)) == 1)
        if (dx_send(parent, message.data, message.size, DX_FOREVER) < 0)
            return 97;
    (void)dx_channel_end(parent, DX_FOREVER);
    return status == 0 ? 0 : 98;
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "env";
    dx_claim claim = {0};
    dx_channel *parent;
    int status;

    alarm(LIFE_SECONDS);
    if (strcmp(way, "stdio") == 0)
        claim.handover = DX_HANDOVER_STDIO;
    if (strcmp(way, "argv") == 0) {
        claim.handover = DX_HANDOVER_ARGV;
        claim.text = argc > 2 ? argv[2] : "";
    }
    if (dx_channel_claim(&parent, &claim, NULL) < 0)
        return 96;
    if (strcmp(way, "work") == 0)
        status = dx_work(parent, work, NULL) < 0 ? 95 : 0;
    else
        status = repeat(parent);
    dx_channel_close(parent);
    return status;
}
