/* SPDX-License-Identifier: MIT */
/*
 * Requests of a conversation at random, and their answers.
 */
#include "talk.h"

#include <errno.h>
#include <string.h>

/* Enter the next request into the book, and write it. NULL: the book is full. */
static struct ask *make(struct side *side, uint8_t *ret_bytes, size_t room)
{
    struct speech *speech = side->mine;
    uint32_t place = speech->asked;

    if (place == ASKS_MAX || speech->ended)
        return NULL;
    struct ask *ask = &speech->asks[place];

    *ask = (struct ask){.state = ASK_TRIED};
    ask->size = sizeof(place) + random_size(&side->plan, room - sizeof(place));
    ask->answer_size = random_size(&side->plan, side->largest);
    memcpy(ret_bytes, &place, sizeof(place));
    memcpy(ret_bytes + sizeof(place), talk_pattern(place + 1000, ask->size),
           ask->size - sizeof(place));
    speech->asked++;
    return ask;
}

void talk_call(struct side *side)
{
    uint8_t bytes[4000];
    struct ask *ask = make(side, bytes, sizeof(bytes));
    int timeout_ms = (int)random_from(&side->plan, 0, 60);
    dx_message reply;

    if (ask == NULL)
        return;
    ask->timed = true;
    world_promise(timeout_ms, 0);
    int status = dx_call(side->channel, bytes, ask->size, &reply, timeout_ms);

    world_kept();
    world_say("%s: call %u with %d ms: %d", side->name, (unsigned)(ask - side->mine->asks),
              timeout_ms, status);
    if (status == -EDEADLK || status == -EBUSY || status == -EOPNOTSUPP || status == -ENOBUFS) {
        ask->state = ASK_ENDED;
        return;
    }
    talk_check_answer(side, ask, status, &reply);
}

void talk_start(struct side *side)
{
    uint8_t bytes[4000];
    struct ask *ask = make(side, bytes, sizeof(bytes));
    int timeout_ms = talk_timeout(side);

    if (ask == NULL)
        return;
    ask->started = true;
    ask->timed = timeout_ms != DX_FOREVER;
    world_promise(timeout_ms, 0);
    int status = dx_call_start(side->channel, bytes, ask->size, &ask->id, timeout_ms);

    world_kept();
    world_say("%s: request %u with %d ms: %d", side->name, (unsigned)(ask - side->mine->asks),
              timeout_ms, status);
    if (status < 0)
        world_check(!ask->heard || status == -EPIPE,
                    "a request was not made (%d), and has come all the same", status);
    if (status != -EBUSY && status != -EOPNOTSUPP)
        talk_check_send(side, "a request", status, timeout_ms);
    ask->state = status == 0 ? ASK_OPEN : ASK_ENDED;
}

void talk_cancel(struct side *side)
{
    struct speech *speech = side->mine;

    for (unsigned i = 0; i < speech->asked; i++) {
        struct ask *ask = &speech->asks[i];

        if (ask->state != ASK_OPEN || !ask->started)
            continue;
        int status = dx_cancel(side->channel, ask->id);

        world_say("%s: cancels request %u: %d", side->name, i, status);
        world_check(status == 0 || status == -ENOENT, "a cancel says %d", status);
        if (status == 0) {
            ask->state = ASK_ENDED;
            ask->cancelled = true;
        }
        return;
    }
}

int talk_answer_one(struct side *side, struct ask *ask, int timeout_ms)
{
    unsigned place = (unsigned)(ask - side->theirs->asks);
    bool tried_before = ask->answer_tried;
    int status;

    if (!tried_before)
        ask->as_error = random_one_in(&side->plan, 4);
    ask->answer_tried = true;
    world_promise(timeout_ms, 0);
    if (ask->as_error)
        status = dx_reply_error(side->channel, ask->their_id, (int)place, "no", timeout_ms);
    else
        status =
            dx_reply(side->channel, ask->their_id, talk_pattern(place + 2000, ask->answer_size),
                     ask->answer_size, timeout_ms);
    world_kept();
    world_say("%s: answers request %u: %d", side->name, place, status);
    if (status == -ENOENT) {
        world_check(ask->answered || ask->cancelled || ask->timed || ask->state == ASK_ENDED ||
                        side->mine->ended || world_had_death() || side->theirs->over,
                    "request %u is open, and cannot be answered", place);
        ask->answered = true;
        return status;
    }
    if (status != -ESHUTDOWN && status != -EPROTO)
        talk_check_send(side, "an answer", status, timeout_ms);
    if (status == 0)
        ask->answered = true;
    return status;
}

void talk_answer(struct side *side)
{
    struct speech *speech = side->theirs;

    for (unsigned i = 0; i < speech->asked && !side->mine->ended; i++) {
        struct ask *ask = &speech->asks[i];

        if (!ask->heard || ask->answered)
            continue;
        (void)talk_answer_one(side, ask, talk_timeout(side));
        return;
    }
}
