/* SPDX-License-Identifier: MIT */
/*
 * Messages that are never copied. A camera writes each picture straight to where the peer reads it:
 * dx_reserve() says where that is, dx_commit() sends it. The child that looks at the pictures trusts
 * its parent, and reads them where they lie (trust_peer). Both are only a matter of speed: while the
 * conversation is young, or where there is no shared memory, the same calls copy.
 */
#include <duplex.h>

#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 5000

enum { PICTURES = 100 };

static const size_t width = 320, height = 200;

/* How bright the pictures are, all together; said when the parent has ended its direction. */
static int look(dx_channel *camera, void *arg)
{
    unsigned long long light = 0;
    dx_message picture;
    char answer[32];
    int status;

    (void)arg;
    while ((status = dx_recv(camera, &picture, PATIENCE_MS)) == 1) {
        const unsigned char *pixels = picture.data;

        for (size_t i = 0; i < picture.size; i++)
            light += pixels[i];
    }
    if (status == 0) {
        snprintf(answer, sizeof(answer), "%llu", light);
        status = dx_send(camera, answer, strlen(answer), PATIENCE_MS);
    }
    if (status < 0)
        fprintf(stderr, "child: %s\n", dx_channel_explain(camera));
    return status < 0;
}

/* A picture that is made where it is read. In shared memory nobody copies it. */
static int take_picture(dx_channel *viewer, int number)
{
    void *pixels;
    int status = dx_reserve(viewer, width * height, &pixels, PATIENCE_MS);

    if (status < 0)
        return status;
    for (size_t row = 0; row < height; row++)
        memset((unsigned char *)pixels + row * width, number, width);
    return dx_commit(viewer, width * height);
}

static int converse(dx_channel *viewer)
{
    dx_message answer;
    int status = 0;

    for (int i = 0; i < PICTURES && status == 0; i++)
        status = take_picture(viewer, i);
    if (status == 0)
        status = dx_channel_end(viewer, PATIENCE_MS);
    if (status == 0)
        status = dx_recv(viewer, &answer, PATIENCE_MS) == 1 ? 0 : -1;
    if (status == 0)
        printf("%d pictures, light %.*s\n", PICTURES, (int)answer.size, (const char *)answer.data);
    else
        fprintf(stderr, "parent: %s\n", dx_channel_explain(viewer));
    return status;
}

int main(void)
{
    dx_failure failure;
    dx_channel_options trusting = {.trust_peer = true};
    dx_process_options options = {.child_channel = &trusting, .failure = &failure};
    dx_process *process;
    int status;

    if (dx_fork(&process, look, NULL, &options) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return 1;
    }
    status = converse(dx_process_channel(process));
    dx_process_close(process);
    return status < 0;
}
