/* SPDX-License-Identifier: MIT */
/*
 * One side of a conversation at random: it says, listens, asks, answers, ends and leaves.
 */
#include "talk.h"

#include "os/os.h"

#include "channel/internal.h"

#include <errno.h>
#include <string.h>

static uint8_t pattern[2 * PATTERN_SIZE];

void talk_prepare(void)
{
    struct randomness randomness = {.state = 1};

    if (pattern[0] != 0)
        return;
    for (size_t i = 0; i < sizeof(pattern); i += 8) {
        uint64_t word = random_next(&randomness);

        memcpy(pattern + i, &word, 8);
    }
}

const uint8_t *talk_pattern(uint64_t number, size_t size)
{
    if (size > PATTERN_SIZE)
        world_fail("a message of %zu bytes is too large for this test", size);
    return pattern + number * UINT64_C(40503) % PATTERN_SIZE;
}

int talk_timeout(struct side *side)
{
    switch (random_below(&side->plan, 4)) {
    case 0:
        return DX_NOW;
    case 1:
        return (int)random_from(&side->plan, 1, 3);
    case 2:
        return (int)random_from(&side->plan, 4, 80);
    default:
        return DX_FOREVER;
    }
}

static bool peer_may_be_gone(const struct side *side)
{
    return side->theirs->over || side->theirs->ended || side->theirs->ending || world_had_death();
}

void talk_check_send(struct side *side, const char *what, int status, int timeout_ms)
{
    world_say("%s: %s with %d ms: %d", side->name, what, timeout_ms, status);
    switch (status) {
    case 0:
    case -EDEADLK:
    case -ENOBUFS: /* the kernel's own word, from a kernel that refuses now and then */
        return;
    case -ETIMEDOUT:
        world_check(timeout_ms != DX_FOREVER, "%s for ever has timed out", what);
        return;
    case -EPIPE:
        world_check(peer_may_be_gone(side), "%s: the peer is there, and it says: %s", what,
                    dx_channel_explain(side->channel));
        return;
    default:
        world_fail("%s says %d: %s", what, status, dx_channel_explain(side->channel));
    }
}

/* What has left our hands must arrive, whatever becomes of us. */
static void note_committed(struct side *side)
{
    const struct dxi_lane *lane = &side->channel->lane;

    if (dxi_outbox_size(&side->channel->out) == 0 &&
        (lane->course != DXI_COURSE_RING || lane->out.tail == lane->out.published))
        side->mine->committed = side->mine->said;
}

static void make_files(struct side *side, struct note *note, int *descriptors)
{
    unsigned most = side->options.descriptor_limit < NOTE_FILES ? side->options.descriptor_limit
                                                                : (unsigned)NOTE_FILES;

    note->file_count = 0;
    if (most == 0 || !random_one_in(&side->plan, 4))
        return;
    unsigned wanted = (unsigned)random_from(&side->plan, 1, most);

    while (note->file_count < wanted) {
        int fd = dxi_os->open("/dev/null", 0);

        if (fd < 0)
            return;
        descriptors[note->file_count] = fd;
        note->files[note->file_count++] = world_file(fd);
    }
}

static int say_reserved(struct side *side, const uint8_t *data, size_t size, int timeout_ms)
{
    void *room;
    int status = dx_reserve(side->channel, size, &room, timeout_ms);

    if (status < 0)
        return status;
    memcpy(room, data, size);
    return dx_commit(side->channel, size);
}

static void say(struct side *side)
{
    struct speech *speech = side->mine;
    struct note *note = &speech->notes[speech->said];
    int descriptors[NOTE_FILES];
    int timeout_ms = talk_timeout(side);
    int status;

    if (speech->said == NOTES_MAX || speech->ended)
        return;
    note->size = random_size(&side->plan, side->largest);
    make_files(side, note, descriptors);
    const uint8_t *data = talk_pattern(speech->said, note->size);

    speech->trying = true;
    world_promise(timeout_ms, 0);
    if (note->file_count > 0 || random_one_in(&side->plan, 4)) {
        const dx_message message = {.data = data,
                                    .size = note->size,
                                    .descriptors = descriptors,
                                    .descriptor_count = note->file_count};

        status = dx_send_message(side->channel, &message, timeout_ms);
    } else if (random_one_in(&side->plan, 8)) {
        status = say_reserved(side, data, note->size, timeout_ms);
    } else {
        status = dx_send(side->channel, data, note->size, timeout_ms);
    }
    world_kept();
    speech->trying = false;
    world_say("%s: message %u of %zu bytes and %u descriptors", side->name, speech->said,
              note->size, note->file_count);
    talk_check_send(side, "a send", status, timeout_ms);
    world_check(status == 0 || speech->heard <= speech->said,
                "message %u was not sent (%d), and has come all the same", speech->said, status);
    if (status == 0) {
        speech->said++;
        note_committed(side);
        return;
    }
    for (unsigned i = 0; i < note->file_count; i++) {
        world_check(world_file(descriptors[i]) == note->files[i],
                    "a descriptor that was not sent is not ours any more");
        dxi_os->close(descriptors[i]);
    }
}

static void flush(struct side *side)
{
    int timeout_ms = talk_timeout(side);

    world_promise(timeout_ms, 0);
    int status = dx_flush(side->channel, timeout_ms);

    world_kept();
    talk_check_send(side, "a flush", status, timeout_ms);
    if (status == 0)
        note_committed(side);
}

/* As an event loop has it: poll, process, and take what there is. */
static void loop(struct side *side)
{
    int most = (int)random_from(&side->plan, 0, 20);
    int wait_ms = dx_channel_timeout_ms(side->channel);
    struct pollfd polled = {
        .fd = dx_channel_fd(side->channel),
        .events = (short)dx_channel_events(side->channel),
    };

    if (wait_ms < 0 || wait_ms > most)
        wait_ms = most;
    if (polled.events == 0)
        polled.fd = -1;
    dxi_os->poll(&polled, 1, dxi_deadline(wait_ms));
    world_promise(DX_NOW, 1000000);
    int more = dx_channel_process(side->channel);

    world_kept();
    world_say("%s: a turn of its loop: %d", side->name, more);
    world_check(more >= 0, "a turn of a loop says %d: %s", more, dx_channel_explain(side->channel));
    note_committed(side);
    while (more == 1 && !side->theirs->finished && talk_hear(side, DX_NOW) == 1)
        continue;
}

static void step(struct side *side)
{
    switch (random_below(&side->plan, 14)) {
    case 0:
    case 1:
    case 2:
    case 3:
        say(side);
        break;
    case 4:
    case 5:
        talk_hear(side, (int)random_from(&side->plan, 0, 30));
        break;
    case 6:
        talk_hear(side, DX_NOW);
        break;
    case 7:
        talk_call(side);
        break;
    case 8:
        talk_start(side);
        break;
    case 9:
        talk_answer(side);
        break;
    case 10:
        loop(side);
        break;
    case 11:
        if (random_one_in(&side->plan, 2))
            dx_cork(side->channel);
        else
            flush(side);
        break;
    case 12:
        world_sleep(random_below(&side->plan, 5000000));
        break;
    default:
        talk_cancel(side);
        break;
    }
}

static void end(struct side *side)
{
    int timeout_ms = talk_timeout(side);

    world_promise(timeout_ms, 0);
    side->mine->ending = true;
    int status = dx_channel_end(side->channel, timeout_ms);

    side->mine->ending = false;
    world_kept();
    talk_check_send(side, "the end", status, timeout_ms);
    if (status == 0) {
        side->mine->ended = true;
        note_committed(side);
    }
}

void talk(struct side *side)
{
    if (side->handles)
        dx_channel_on_request(side->channel, talk_handle, side);
    for (unsigned i = 0; i < side->steps; i++) {
        step(side);
        if (side->theirs->finished)
            break;
    }
    if (side->leaves_early) {
        side->mine->over = true;
        return;
    }
    for (unsigned tries = 0; !side->mine->ended && !side->theirs->finished; tries++) {
        end(side);
        if (!side->mine->ended)
            talk_hear(side, 1);
        if (peer_may_be_gone(side) && tries > 20)
            break;
    }
    while (!side->theirs->finished)
        talk_hear(side, DX_FOREVER);
    side->mine->over = true;
}
