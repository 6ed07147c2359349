/* SPDX-License-Identifier: MIT */
/*
 * What a side of a conversation hears, compared with what the other has said.
 */
#include "talk.h"

#include "os/os.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static void hear_note(struct side *side, dx_message *message)
{
    struct speech *speech = side->theirs;
    unsigned number = speech->heard;
    const struct note *note = &speech->notes[number];

    world_check(number < speech->said + speech->trying, "message %u was never said", number);
    world_check(message->size == note->size, "message %u has %zu bytes, not %zu", number,
                message->size, note->size);
    world_check(memcmp(message->data, talk_pattern(number, note->size), note->size) == 0,
                "message %u holds other bytes", number);
    world_check(message->descriptor_count == note->file_count ||
                    (message->descriptor_count == 0 &&
                     message->descriptors_lost == note->file_count),
                "message %u has %zu descriptors, not %u", number, message->descriptor_count,
                note->file_count);
    for (size_t i = 0; i < message->descriptor_count; i++)
        world_check(world_file(message->descriptors[i]) == note->files[i],
                    "message %u has other descriptors", number);
    if (message->descriptor_count > 0 && random_one_in(&side->plan, 2))
        dxi_os->close(dx_message_take(message, 0));
    speech->heard++;
}

static void hear_request(struct side *side, const dx_message *message)
{
    struct speech *speech = side->theirs;
    uint32_t place;

    world_check(message->size >= sizeof(place), "a request of %zu bytes", message->size);
    memcpy(&place, message->data, sizeof(place));
    world_check(place < speech->asked, "request %u was never made", place);
    struct ask *ask = &speech->asks[place];

    world_check(!ask->heard, "request %u came twice", place);
    world_check(message->size == ask->size, "request %u has %zu bytes, not %zu", place,
                message->size, ask->size);
    world_check(memcmp((const char *)message->data + sizeof(place),
                       talk_pattern(place + 1000, ask->size), ask->size - sizeof(place)) == 0,
                "request %u holds other bytes", place);
    ask->heard = true;
    ask->their_id = message->id;
}

static struct ask *find_ours(struct side *side, uint64_t id)
{
    for (unsigned i = 0; i < side->mine->asked; i++) {
        if (side->mine->asks[i].id == id && side->mine->asks[i].state != ASK_TRIED)
            return &side->mine->asks[i];
    }
    world_fail("an answer to request %" PRIu64 ", which is none of ours", id);
}

void talk_check_answer(struct side *side, struct ask *ask, int status, const dx_message *reply)
{
    unsigned place = (unsigned)(ask - side->mine->asks);

    world_check(ask->state != ASK_ENDED, "request %u ends twice", place);
    ask->state = ASK_ENDED;
    if (status == 0 || status == -EREMOTEIO) {
        world_check(ask->answer_tried, "request %u was never answered", place);
        world_check(ask->as_error == (status != 0), "request %u was answered otherwise", place);
        if (status == 0)
            world_check(reply->size == ask->answer_size &&
                            memcmp(reply->data, talk_pattern(place + 2000, reply->size),
                                   reply->size) == 0,
                        "the answer to request %u is another", place);
        else
            world_check(reply->code == (int)place, "the error for request %u is another", place);
        return;
    }
    ask->cancelled = true;
    if (status == -ETIMEDOUT)
        return;
    world_check(status == -EPIPE, "request %u ends with %d", place, status);
    /* Who has answered and has then ended in order was heard. */
    world_check(!(ask->answered && side->theirs->ended && !side->theirs->over) ||
                    world_had_death() || side->lossy,
                "request %u was answered, and its answer is lost", place);
}

static void hear_cancel(struct side *side, uint64_t id)
{
    for (unsigned i = 0; i < side->theirs->asked; i++) {
        struct ask *ask = &side->theirs->asks[i];

        if (ask->heard && ask->their_id == id) {
            ask->cancelled = true;
            return;
        }
    }
    world_fail("request %" PRIu64 " is cancelled, which never came", id);
}

void talk_hear_message(struct side *side, dx_message *message)
{
    switch (message->kind) {
    case DX_MESSAGE:
        hear_note(side, message);
        break;
    case DX_REQUEST:
        hear_request(side, message);
        break;
    case DX_REPLY:
        talk_check_answer(side, find_ours(side, message->id), 0, message);
        break;
    case DX_ERROR:
        talk_check_answer(side, find_ours(side, message->id), -EREMOTEIO, message);
        break;
    case DX_FAILED:
        talk_check_answer(side, find_ours(side, message->id), message->code, message);
        break;
    case DX_CANCEL:
        hear_cancel(side, message->id);
        break;
    default:
        world_fail("a message of kind %d", (int)message->kind);
    }
}

/* The conversation has come to its end here. */
void talk_check_end(struct side *side, int status)
{
    const struct speech *speech = side->theirs;

    bool ended = speech->ended || (speech->ending && !world_had_death());

    side->theirs->finished = true;
    world_say("%s: the end, %d, with %u of %u heard (%u for certain)", side->name, status,
              speech->heard, speech->said, speech->committed);
    world_check(ended || speech->over || world_had_death(),
                "the conversation has an end (%d) that nobody made: %s", status,
                dx_channel_explain(side->channel));
    if (status < 0)
        world_check(status == -EPIPE && (side->lossy || !(ended && speech->heard < speech->said)),
                    "the conversation ended with %d: %s", status,
                    dx_channel_explain(side->channel));
    unsigned least = ended ? speech->said : speech->committed;

    if (!side->lossy)
        world_check(speech->heard >= least, "%u messages were said, and only %u have come", least,
                    speech->heard);
    for (unsigned i = 0; i < side->mine->asked; i++)
        world_check(side->mine->asks[i].state != ASK_OPEN, "request %u has not ended", i);
}

int talk_hear(struct side *side, int timeout_ms)
{
    dx_message message;

    world_promise(timeout_ms, 0);
    int status = dx_recv(side->channel, &message, timeout_ms);

    world_kept();
    world_say("%s: hears with %d ms: %d", side->name, timeout_ms, status);
    switch (status) {
    case 1:
        talk_hear_message(side, &message);
        break;
    case 0:
    case -EPIPE:
        talk_check_end(side, status);
        break;
    case -ETIMEDOUT:
        world_check(timeout_ms != DX_FOREVER, "a receive for ever has timed out");
        break;
    case -EMFILE:
        break;
    default:
        world_fail("a receive says %d: %s", status, dx_channel_explain(side->channel));
    }
    return status;
}

/* Answers at once, later, or with its own refusal. */
int talk_handle(dx_channel *channel, const dx_message *request, void *context)
{
    struct side *side = context;
    uint32_t place;

    (void)channel;
    hear_request(side, request);
    memcpy(&place, request->data, sizeof(place));
    struct ask *ask = &side->theirs->asks[place];

    if (random_one_in(&side->plan, 4))
        return 0;
    (void)talk_answer_one(side, ask, random_one_in(&side->plan, 2) ? 5 : DX_FOREVER);
    return 0;
}
