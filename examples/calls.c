/* SPDX-License-Identifier: MIT */
/*
 * Both ends call. The parent asks three questions at once, and the answers come as they are ready.
 * To answer "twice", the child has to ask the parent something itself: the handler of the parent is
 * called while the parent waits.
 */
#include <duplex.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 5000

/* The child answers numbers with their squares, and asks the parent what it does not know. */
static int answer(dx_channel *parent, const dx_message *request, void *arg)
{
    dx_message known;
    char text[32];
    int number, size;

    (void)arg;
    snprintf(text, sizeof(text), "%.*s", (int)request->size, (const char *)request->data);
    uint64_t id = request->id; /* the request itself lasts until we receive or call */

    if (strcmp(text, "twice") == 0) {
        if (dx_call(parent, "the number", 10, &known, PATIENCE_MS) < 0)
            return -EIO;
        snprintf(text, sizeof(text), "%.*s", (int)known.size, (const char *)known.data);
        if (sscanf(text, "%d", &number) != 1)
            return -EINVAL;
        size = snprintf(text, sizeof(text), "%d", 2 * number);
    } else if (sscanf(text, "%d", &number) == 1) {
        size = snprintf(text, sizeof(text), "%d", number * number);
    } else {
        return dx_reply_error(parent, id, 400, "that is no number", PATIENCE_MS);
    }
    return dx_reply(parent, id, text, (size_t)size, PATIENCE_MS);
}

static int child(dx_channel *parent, void *arg)
{
    dx_message message;
    int status;

    (void)arg;
    dx_channel_on_request(parent, answer, NULL);
    while ((status = dx_recv(parent, &message, DX_FOREVER)) == 1) {
        /* Requests go to the handler; nothing else is said here. */
    }
    return status < 0;
}

static int tell(dx_channel *channel, const dx_message *request, void *number)
{
    printf("parent: the child asks for %.*s\n", (int)request->size, (const char *)request->data);
    return dx_reply(channel, request->id, number, strlen(number), PATIENCE_MS);
}

static int converse(dx_channel *channel)
{
    static const char *const questions[] = {"7", "seven", "12"};
    dx_message message;
    uint64_t ids[3];

    for (int i = 0; i < 3; i++)
        if (dx_call_start(channel, questions[i], strlen(questions[i]), &ids[i], PATIENCE_MS) < 0)
            return -1;
    for (int i = 0; i < 3; i++) {
        if (dx_recv(channel, &message, DX_FOREVER) != 1)
            return -1;
        printf("parent: %s %s %.*s\n", questions[message.id - ids[0]],
               message.kind == DX_REPLY ? "-->" : "is refused:", (int)message.size,
               (const char *)message.data);
    }
    dx_channel_on_request(channel, tell, "21");
    if (dx_call(channel, "twice", 5, &message, PATIENCE_MS) < 0)
        return -1;
    printf("parent: twice that is %.*s\n", (int)message.size, (const char *)message.data);
    return 0;
}

int main(void)
{
    dx_failure failure;
    dx_process_options options = {.failure = &failure};
    dx_process *process;
    int status;

    if (dx_fork(&process, child, NULL, &options) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return 1;
    }
    status = converse(dx_process_channel(process));
    if (status < 0)
        fprintf(stderr, "%s\n", dx_channel_explain(dx_process_channel(process)));
    dx_process_close(process);
    return status < 0;
}
