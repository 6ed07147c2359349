/* SPDX-License-Identifier: MIT */
/*
 * What is said in a conversation of the soak, and what is heard.
 */
#include "talk.h"

#include "channel/calls.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Node takes JSON: letters between quotation marks. Too large for a stack. */
static char quoted[SOAK_MESSAGE_MAX];

static const char *bytes_of(const struct soak_talk *talk, const struct soak_awaited *awaited)
{
    if (talk->framing != DX_FRAMING_NODE)
        return soak_letters() + awaited->offset;
    memcpy(quoted, soak_letters() + awaited->offset, awaited->size);
    quoted[0] = quoted[awaited->size - 1] = '"';
    return quoted;
}

int soak_talk_patience(const struct soak_talk *talk)
{
    return talk->manner == SOAK_STOPS ? 5 : soak_patience_ms;
}

static bool may_fail(const struct soak_talk *talk, int status)
{
    if (status == -ETIMEDOUT)
        return talk->manner == SOAK_STOPS;
    if (status == -EDEADLK)
        return talk->trusting;
    /* So many may be open before the other has greeted. */
    if (status == -EBUSY)
        return talk->count >= DXI_REQUESTS_UNGREETED;
    return talk->doomed && (status == -EPIPE || status == -EPROTO);
}

/* What a send answered. True if the message is on its way. */
static bool sent(struct soak *soak, struct soak_talk *talk, int status, const char *what)
{
    if (status == 0)
        return true;
    if (!may_fail(talk, status) && !(talk->other && status == -ETIMEDOUT))
        soak_fail(soak, "%s failed: %s (%s)", what, dx_error_text(status),
                  dx_channel_explain(talk->mine));
    if (status == -EPIPE || status == -EPROTO)
        talk->gone = true;
    return false;
}

static struct soak_awaited choose(struct soak *soak, const struct soak_talk *talk)
{
    size_t size = talk->least + soak_size(soak, talk->most - talk->least);

    return (struct soak_awaited){.offset = soak_random(soak, SOAK_OFFSETS), .size = (uint32_t)size};
}

static struct soak_awaited *in_row(struct soak_talk *talk, unsigned place)
{
    return &talk->awaited[(talk->first + place) % SOAK_AWAITED_MAX];
}

static void await(struct soak *soak, struct soak_talk *talk, const struct soak_awaited *awaited)
{
    struct soak_awaited *place = in_row(talk, talk->count++);

    *place = *awaited;
    talk->bytes += awaited->size;
    soak->messages++;
    if (soak->plant == SOAK_PLANT_CHANGE && soak_one_in(soak, 8))
        place->offset++;
}

static bool has_room(const struct soak_talk *talk, size_t size)
{
    size_t most = talk->other ? SOAK_PAIR_BYTES_MAX : SOAK_BYTES_MAX;

    return talk->count == 0 || (talk->count < SOAK_AWAITED_MAX && talk->bytes + size <= most);
}

static int send_timeout(const struct soak_talk *talk)
{
    return talk->other ? DX_NOW : soak_talk_patience(talk);
}

static void say(struct soak *soak, struct soak_talk *talk)
{
    struct soak_awaited awaited = choose(soak, talk);
    const char *bytes = bytes_of(talk, &awaited);
    uint64_t id = 0;
    int status;

    if (!has_room(talk, awaited.size))
        return;
    bool asks = talk->framing == DX_FRAMING_NATIVE ? soak_one_in(soak, 2) : talk->calls;

    if (asks)
        status = dx_call_start(talk->mine, bytes, awaited.size, &id,
                               talk->other ? DX_NOW : soak_talk_patience(talk));
    else
        status = dx_send(talk->mine, bytes, awaited.size, send_timeout(talk));
    /* Each answer that is awaited is one open request at most, and the limit is larger. */
    if (!sent(soak, talk, status, asks ? "dx_call_start()" : "dx_send()"))
        return;
    awaited.id = id;
    talk->latest = id;
    await(soak, talk, &awaited);
    if (soak->plant == SOAK_PLANT_LOSS && soak_one_in(soak, 8))
        await(soak, talk, &awaited);
}

/* A pipe from which eight bytes can be read. */
static int make_token(uint64_t token)
{
    int ends[2];

    if (pipe(ends) < 0)
        return -1;
    if (write(ends[1], &token, sizeof(token)) != sizeof(token)) {
        close(ends[0]);
        ends[0] = -1;
    }
    close(ends[1]);
    return ends[0];
}

static void say_with_descriptor(struct soak *soak, struct soak_talk *talk)
{
    struct soak_awaited awaited = choose(soak, talk);
    bool may = talk->carries && talk->bearing < SOAK_BEARING_MAX && has_room(talk, awaited.size);
    int fd = may ? make_token(awaited.offset) : -1;
    dx_message message = {
        .data = bytes_of(talk, &awaited),
        .size = awaited.size,
        .descriptors = &fd,
        .descriptor_count = 1,
    };

    if (fd < 0)
        return;
    int status = dx_send_message(talk->mine, &message, send_timeout(talk));

    if (sent(soak, talk, status, "dx_send_message()")) {
        awaited.bears = true;
        talk->bearing++;
        await(soak, talk, &awaited);
        if (fd != -1)
            soak_fail(soak, "a descriptor that was sent is still the sender's");
    } else if (fd >= 0) {
        close(fd);
    }
}

static void say_in_place(struct soak *soak, struct soak_talk *talk)
{
    struct soak_awaited awaited = choose(soak, talk);
    void *place;

    if (talk->framing == DX_FRAMING_NODE || talk->calls || !has_room(talk, awaited.size))
        return;
    int status = dx_reserve(talk->mine, awaited.size, &place, send_timeout(talk));

    if (status == 0) {
        memcpy(place, bytes_of(talk, &awaited), awaited.size);
        status = dx_commit(talk->mine, awaited.size);
    }
    if (sent(soak, talk, status, "dx_reserve() and dx_commit()"))
        await(soak, talk, &awaited);
}

static void say_many(struct soak *soak, struct soak_talk *talk)
{
    unsigned many = soak_random(soak, 30);

    if (dx_cork(talk->mine) < 0)
        soak_fail(soak, "dx_cork() failed");
    for (unsigned i = 0; i < many && !talk->gone; i++)
        say(soak, talk);
    if (!talk->gone && soak_one_in(soak, 2))
        (void)sent(soak, talk, dx_flush(talk->mine, send_timeout(talk)), "dx_flush()");
}

/* The one that was asked last is not to be heard of any more. */
static void take_back(struct soak *soak, struct soak_talk *talk)
{
    struct soak_awaited *last = in_row(talk, talk->count - 1);

    if (talk->latest == 0 || talk->count == 0 || last->id != talk->latest)
        return;
    int status = dx_cancel(talk->mine, talk->latest);

    talk->latest = 0;
    if (status < 0) {
        /* Its answer may have come while a call waited for another. */
        if (status != -ENOENT)
            soak_fail(soak, "a request cannot be cancelled: %s", dx_error_text(status));
        return;
    }
    talk->count--;
    talk->bytes -= last->size;
}

static bool is_same(const struct soak_talk *talk, const struct soak_awaited *awaited,
                    const dx_message *message)
{
    return message->size == awaited->size &&
           memcmp(message->data, bytes_of(talk, awaited), message->size) == 0;
}

/* Where a message ends with a byte of its own, one that a death has cut counts as a whole one. */
static bool is_cut(const struct soak_talk *talk, const struct soak_awaited *awaited,
                   const dx_message *message)
{
    return talk->doomed && (talk->framing == DX_FRAMING_LINE || talk->framing == DX_FRAMING_NUL) &&
           message->size < awaited->size &&
           memcmp(message->data, bytes_of(talk, awaited), message->size) == 0;
}

static void call(struct soak *soak, struct soak_talk *talk)
{
    struct soak_awaited awaited = choose(soak, talk);
    bool knows_calls = talk->framing == DX_FRAMING_NATIVE || talk->calls;
    dx_message reply;

    if (talk->other || !knows_calls || talk->manner == SOAK_STOPS)
        return;
    int status =
        dx_call(talk->mine, bytes_of(talk, &awaited), awaited.size, &reply, soak_patience_ms);

    soak->messages++;
    if (talk->is_partner && soak_is_refused(awaited.size) && status == -EREMOTEIO) {
        if (reply.code != SOAK_REFUSED_CODE)
            soak_fail(soak, "an error came with the code %d", reply.code);
    } else if (sent(soak, talk, status, "dx_call()") && !is_same(talk, &awaited, &reply)) {
        soak_fail(soak, "an answer of %zu bytes is not what was asked, of %u", reply.size,
                  awaited.size);
    }
}

static void check_descriptor(struct soak *soak, const struct soak_awaited *awaited,
                             dx_message *message)
{
    uint64_t token = UINT64_MAX;
    int fd = message->descriptor_count == 1 ? dx_message_take(message, 0) : -1;

    if (fd >= 0 && read(fd, &token, sizeof(token)) != sizeof(token))
        token = UINT64_MAX;
    if (token != awaited->offset)
        soak_fail(soak, "a message came without its descriptor, or with another's");
    if (fd >= 0)
        close(fd);
}

static void forget_first(struct soak_talk *talk)
{
    talk->bytes -= talk->awaited[talk->first].size;
    talk->first = (talk->first + 1) % SOAK_AWAITED_MAX;
    talk->count--;
}

/* Bytes without borders: the first awaited, or more, or a part. */
static void hear_bytes(struct soak *soak, struct soak_talk *talk, const char *bytes, size_t size)
{
    while (size > 0 && talk->count > 0) {
        const struct soak_awaited *awaited = &talk->awaited[talk->first];
        size_t left = awaited->size - talk->part;
        size_t here = size < left ? size : left;

        if (memcmp(bytes, bytes_of(talk, awaited) + talk->part, here) != 0)
            soak_fail(soak, "%zu bytes are not those that were sent", here);
        bytes += here;
        size -= here;
        talk->part += here;
        if (talk->part < awaited->size)
            return;
        talk->part = 0;
        forget_first(talk);
    }
    if (size > 0)
        soak_fail(soak, "%zu bytes came that were not sent", size);
}

/* A request that will not be answered. Its place in the row is any. */
static void hear_failure(struct soak *soak, struct soak_talk *talk, const dx_message *message)
{
    unsigned place = 0;

    while (place < talk->count && in_row(talk, place)->id != message->id)
        place++;
    if (!talk->doomed || place == talk->count) {
        soak_fail(soak, "request %llu failed: %s", (unsigned long long)message->id,
                  dx_error_text(message->code));
        return;
    }
    talk->bytes -= in_row(talk, place)->size;
    talk->count--;
    for (; place < talk->count; place++)
        *in_row(talk, place) = *in_row(talk, place + 1);
}

static void hear(struct soak *soak, struct soak_talk *talk, dx_message *message)
{
    const struct soak_awaited *awaited = &talk->awaited[talk->first];

    if (message->kind == DX_FAILED) {
        hear_failure(soak, talk, message);
        return;
    }
    if (talk->framing == DX_FRAMING_RAW) {
        hear_bytes(soak, talk, message->data, message->size);
        return;
    }
    if (talk->count == 0) {
        soak_fail(soak, "a message of %zu bytes came that was not awaited", message->size);
        return;
    }
    bool refused = talk->is_partner && awaited->id > 0 && soak_is_refused(awaited->size);
    dx_kind kind = refused ? DX_ERROR : awaited->id > 0 ? DX_REPLY : DX_MESSAGE;

    if (message->kind != kind || message->id != awaited->id ||
        (refused ? message->code != SOAK_REFUSED_CODE
                 : !is_same(talk, awaited, message) && !is_cut(talk, awaited, message)))
        soak_fail(soak, "a message of %zu bytes, kind %d, id %llu came instead of %u, %d, %llu",
                  message->size, (int)message->kind, (unsigned long long)message->id, awaited->size,
                  (int)kind, (unsigned long long)awaited->id);
    if (awaited->bears) {
        talk->bearing--;
        check_descriptor(soak, awaited, message);
    } else if (message->descriptor_count > 0) {
        soak_fail(soak, "a descriptor came that was not sent");
    }
    forget_first(talk);
}

void soak_talk_serve(struct soak_talk *talk)
{
    if (!talk->other)
        return;
    (void)dx_flush(talk->mine, DX_NOW);
    for (unsigned i = 0; i < 2 * SOAK_AWAITED_MAX; i++) {
        if (!talk->owes && dx_recv(talk->other, &talk->owed, DX_NOW) != 1)
            break;
        talk->owes = !soak_echo(talk->other, &talk->owed, DX_NOW);
        if (talk->owes)
            break;
    }
}

/* As a loop of events does it: nothing waits but poll(2). As dx_recv(). */
static int receive_by_events(struct soak_talk *talk, dx_message *ret)
{
    int timeout = soak_talk_patience(talk);
    int status = dx_recv(talk->mine, ret, DX_NOW);

    for (int rounds = 0; status == -ETIMEDOUT && rounds < 1000; rounds++) {
        short events = (short)dx_channel_events(talk->mine);
        int left = dx_channel_timeout_ms(talk->mine);
        struct pollfd polled[2] = {
            {.fd = dx_channel_fd(talk->mine), .events = events & POLLIN},
            {.fd = dx_process_fd(talk->process), .events = POLLIN},
        };

        if (events & POLLOUT && dx_channel_write_fd(talk->mine) == polled[0].fd)
            polled[0].events |= POLLOUT;
        if (poll(polled, dx_process_events(talk->process) ? 2 : 1,
                 left < 0 || left > timeout ? timeout : left) == 0 &&
            (left < 0 || left > timeout))
            return -ETIMEDOUT;
        (void)dx_process_process(talk->process);
        (void)dx_channel_process(talk->mine);
        status = dx_recv(talk->mine, ret, DX_NOW);
    }
    return status;
}

/* Both ends are ours: what is under way is there when the other has done its part. */
static int receive_of_pair(struct soak_talk *talk, dx_message *ret)
{
    int status = -ETIMEDOUT;

    for (int rounds = 0; status == -ETIMEDOUT && rounds < 1000; rounds++) {
        soak_talk_serve(talk);
        status = dx_recv(talk->mine, ret, DX_NOW);
    }
    return status;
}

bool soak_talk_receive(struct soak *soak, struct soak_talk *talk)
{
    dx_message message;
    int status;

    soak->about = talk->what;
    if (talk->over)
        return false;
    if (talk->other)
        status = receive_of_pair(talk, &message);
    else if (soak_one_in(soak, 4))
        status = receive_by_events(talk, &message);
    else
        status = dx_recv(talk->mine, &message, soak_talk_patience(talk));
    if (status == 1) {
        hear(soak, talk, &message);
        return true;
    }
    if (status == 0 || status == -EPIPE || status == -EPROTO)
        talk->over = talk->gone = true;
    if (status < 0 ? !may_fail(talk, status) : talk->count > 0 && !talk->doomed)
        soak_fail(soak, "%u messages are awaited, and instead: %s (%s)", talk->count,
                  dx_error_text(status), dx_channel_explain(talk->mine));
    return false;
}

void soak_talk_rest(struct soak *soak, struct soak_talk *talk)
{
    while (talk->count > 0 && !talk->over && soak_talk_receive(soak, talk))
        continue;
}

void soak_talk_step(struct soak *soak, struct soak_talk *talk)
{
    soak->about = talk->what;
    if (talk->gone) {
        if (!talk->over && talk->count > 0)
            (void)soak_talk_receive(soak, talk);
        return;
    }
    switch (soak_random(soak, 12)) {
    case 0:
        say_with_descriptor(soak, talk);
        break;
    case 1:
        say_in_place(soak, talk);
        break;
    case 2:
        say_many(soak, talk);
        break;
    case 3:
        take_back(soak, talk);
        break;
    case 4:
    case 5:
        call(soak, talk);
        break;
    case 6:
    case 7:
    case 8:
        say(soak, talk);
        break;
    default:
        if (talk->count > 0)
            (void)soak_talk_receive(soak, talk);
        break;
    }
}
