/* SPDX-License-Identifier: MIT */
/*
 * Scenarios: calls, by both sides at the same time.
 */
#include "stage.h"

#include <errno.h>
#include <string.h>

/* Answered by each side; the child asks back before it answers. */
static int answer(dx_channel *channel, const dx_message *request, void *context)
{
    bool asks_back = context != NULL && request->size == 4;
    char text[16];
    size_t size = request->size < sizeof(text) ? request->size : sizeof(text);
    uint64_t id = request->id;
    dx_message reply;

    /* It is lent until the next call. */
    memcpy(text, request->data, size);
    if (size == 6 && memcmp(text, "refuse", 6) == 0)
        return -EACCES;
    if (asks_back) {
        int status = dx_call(channel, "back?", 5, &reply, stage->patience_ms);

        if (!went(status, "dx_call() of the child", dx_channel_explain(channel), EREMOTEIO))
            return status;
        if (reply.size != 5 || memcmp(reply.data, "back?", 5) != 0)
            complain("the child's call was answered with %zu bytes", reply.size);
    }
    for (int tries = 0; tries < 2; tries++) {
        int status = dx_reply(channel, id, text, size, stage->patience_ms);

        if (went(status, "dx_reply()", dx_channel_explain(channel), ENOENT) || !is_passing(status))
            return status;
    }
    return -EIO;
}

static int serve(dx_channel *parent, void *context)
{
    dx_message message;
    int status;
    int mark;

    (void)context;
    (void)dx_channel_on_request(parent, answer, &mark);
    do
        status = hear(parent, &stage->talks[0], &message);
    while (status > 0);
    if (status == 0)
        finish(parent, &stage->talks[1]);
    return status == 0 ? 0 : 1;
}

static bool is_text(const dx_message *message, const char *text)
{
    return message->size == strlen(text) && memcmp(message->data, text, message->size) == 0;
}

/* Ask until it is answered, twice at most; what it said must come back. */
static int ask(dx_channel *channel, const char *text)
{
    dx_message reply;
    int status = -EPIPE;

    for (int tries = 0; tries < 2 && (tries == 0 || is_passing(status)); tries++) {
        status = dx_call(channel, text, strlen(text), &reply, stage->patience_ms);
        if (status == -EREMOTEIO && (reply.kind != DX_ERROR || reply.code == 0))
            complain("an error came as an answer of kind %d and code %d", reply.kind, reply.code);
        /* The child could not answer, and said so. */
        if (went(status, "dx_call()", dx_channel_explain(channel), EREMOTEIO) &&
            !is_text(&reply, text))
            complain("a call was answered with another's answer");
        if (status == 0)
            break;
    }
    if (status == -EREMOTEIO && (stage->faults.met == 0 || fault_is_harmless(&stage->faults.fault)))
        complain("a call was refused");
    return status;
}

/* Each ends exactly once, whatever happens. */
static void collect(dx_channel *channel, const uint64_t *ids, unsigned count)
{
    unsigned ended[4] = {0};
    unsigned left = count;
    int errors = 0;

    while (left > 0 && errors < 3) {
        dx_message message;
        int status = dx_recv(channel, &message, stage->patience_ms);

        (void)went(status, "dx_recv()", dx_channel_explain(channel), 0);
        if (status < 0)
            errors++;
        if (status == 0)
            complain("the conversation ended, and %u requests did not", left);
        if (status <= 0 && !is_passing(status))
            break;
        if (status <= 0)
            continue;
        unsigned which = 0;

        while (which < count && ids[which] != message.id)
            which++;
        if (which == count || ended[which]++ > 0)
            complain("a request ended that was not open: kind %d", message.kind);
        left--;
        if (message.kind != DX_REPLY && message.kind != DX_ERROR && message.kind != DX_FAILED)
            complain("a request ended with a message of kind %d", message.kind);
    }
}

static void converse(dx_channel *channel)
{
    static const char *const texts[] = {"one", "refuse", "three"};
    uint64_t ids[4];
    unsigned count = 0;
    dx_message reply;
    int status = ask(channel, "call");

    if (status < 0 && !is_passing(status))
        return;
    (void)ask(channel, "large enough");
    status = dx_call(channel, "refuse", 6, &reply, stage->patience_ms);
    if (status == 0)
        complain("what was refused was answered");
    (void)went(status, "dx_call()", dx_channel_explain(channel), EREMOTEIO);
    for (unsigned i = 0; i < 3; i++) {
        status =
            dx_call_start(channel, texts[i], strlen(texts[i]), &ids[count], stage->patience_ms);
        if (went(status, "dx_call_start()", dx_channel_explain(channel), 0))
            count++;
    }
    status = dx_call_start(channel, "no more", 7, &ids[3], stage->patience_ms);
    if (went(status, "dx_call_start()", dx_channel_explain(channel), 0))
        (void)went(dx_cancel(channel, ids[3]), "dx_cancel()", dx_channel_explain(channel), ENOENT);
    collect(channel, ids, count);
}

static void play_calls(void)
{
    dx_failure failure = {0};
    const dx_process_options options = {.channel = {.spin_us = -1}, .failure = &failure};
    dx_process *process;
    int status = dx_fork(&process, serve, NULL, &options);

    if (!went(status, "dx_fork()", failure.text, 0))
        return;
    dx_channel *channel = dx_process_channel(process);

    (void)dx_channel_on_request(channel, answer, NULL);
    converse(channel);
    finish(channel, &stage->talks[0]);
    part(process, hear_out(channel, &stage->talks[1]) == 0);
}

const struct scenario scenarios_of_calls[] = {
    {"calls", play_calls, NULL},
    {NULL, NULL, NULL},
};
